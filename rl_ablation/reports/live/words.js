/** What the page says in words. */

import { floatText } from "./digest.js";
import { cutName, regionOf, sizeOf } from "./state.js";

/** @typedef {import("./types").PageData} PageData */
/** @typedef {import("./types").Effect} Effect */
/** @typedef {import("./state.js").State} State */
/** @typedef {import("./race.js").Race} Race */

/**
 * A number with a true minus sign; a dash where there is none.
 * @param {number | null} value
 */
export function number(value) {
    if (value === null || !Number.isFinite(value)) return "–";
    const text = Math.abs(value) < 100 ? value.toFixed(2) : value.toFixed(0);
    return (Number(text) === 0 ? "0" : text).replace("-", "−");
}

/**
 * What a loss does to a behaviour: "forward speed 1.47 → 0.28 m/s (95 % CI of the change …)".
 * @param {Effect} effect
 */
export function change({ label, unit, intact, lesioned, low, high }) {
    const told = low === null || high === null ? "alike in all episodes"
        : `95 % CI of the change ${number(low)} to ${number(high)}`;
    return `${label} ${number(intact)} → ${number(lesioned)} ${unit}`.trimEnd() + ` (${told})`;
}

/**
 * What the run says of a region's loss.
 * @param {Effect[]} effects
 */
export function loss(effects) {
    const clear = effects.filter((effect) => effect.clear);
    return clear.length ? clear.map(change).join("; ") : "no behaviour changes clearly";
}

/**
 * What is known of a unit.
 * @param {string} site
 * @param {number} unit
 * @param {PageData} data
 * @param {Race} race
 */
export function aboutUnit(site, unit, data, race) {
    const named = data.names[site]?.[unit], called = `unit ${unit} of ${site}`;
    const [intact, cut] = race.runners.map(({ robot }) => robot.policy.activity[site][unit]);
    const { mean, std } = data.activity.sites[site];
    const lines = [
        `${named === undefined ? called : `${named} (${called})`}: ${number(cut)} in the cut robot, ` +
            `${number(intact)} in the intact one; usually ${number(mean[unit])} ± ${number(std[unit])}`,
    ];
    const regions = (data.run?.regions ?? []).filter(({ cut: held }) => held[site]?.includes(unit));
    const own = regions.find(({ cut: held }) => Object.values(held).flat().length === 1);
    if (own !== undefined) lines.push(`Without it: ${loss(own.effects)}.`);
    for (const region of regions) {
        if (region !== own && region.group !== "layers") {
            const units = Object.values(region.cut).flat().length;
            lines.push(`Part of ${region.label} (${units} units), without which: ${loss(region.effects)}.`);
        }
    }
    return lines;
}

/**
 * How episodes have ended so far.
 * @param {Race} race
 */
export function countsOf(race) {
    const total = race.cut.episodes;
    if (total === 0) return "No episode has ended yet.";
    const ends = (/** @type {Record<string, number>} */ counts) => {
        const told = Object.entries(counts).filter(([how]) => how !== "time");
        return told.map(([how, count]) => `${how} ${count}`).join(", ") || "none ended early";
    };
    return `${total} episode${total === 1 ? "" : "s"}. Cut robot: ${ends(race.cut.counts)}. Intact robot: ${ends(race.intact.counts)}.`;
}

/** How an episode's end is told. @type {Record<string, string>} */
const ENDED = { time: "time is up", crash: "crashed", fall: "fell", unstable: "the physics diverged" };

/**
 * @param {string} ended
 * @param {number} seconds
 */
export const endText = (ended, seconds) =>
    ended === "" ? "" : `${ENDED[ended] ?? ended} at ${seconds.toFixed(1)} s`;

/**
 * Python that tests a cut with statistics.
 * @param {State} state
 * @param {PageData} data
 */
export function python(state, data) {
    const cut = Object.entries(state.cut).filter(([, units]) => units.size > 0)
        .map(([site, units]) => `${JSON.stringify(site)}: ${tuple([...units].sort((a, b) => a - b))}`);
    const region = regionOf(state.cut, data);
    const fields = [
        `name=${JSON.stringify(sizeOf(state.cut) === 0 ? "nothing" : (region?.name ?? cutName(state, data)))}`,
        `cut={${cut.join(", ")}}`,
        `kind=${JSON.stringify(state.kind)}`,
        ...(state.strength === null ? [] : [`strength=${floatText(state.strength)}`]),
        ...(state.onset === 0 ? [] : [`onset=${state.onset}`]),
        ...(state.when === null ? [] : [`when=${JSON.stringify(state.when)}`]),
    ];
    const conditions = state.condition === "" ? "" : `, conditions=[${JSON.stringify(state.condition)}]`;
    return [
        "import rl_ablation as rl",
        ...data.load,
        `cut = rl.Lesion(${fields.join(", ")})`,
        `run = rl.sweep(agent, rl.Plan([cut]), episodes=24, seed=${state.seed}${conditions})`,
        'print(run.effects()[["measure", "intact", "lesioned", "ci_low", "ci_high", "q"]].to_string())',
    ].join("\n");
}

/** @param {number[]} units */
const tuple = (units) => (units.length === 1 ? `(${units[0]},)` : `(${units.join(", ")})`);
