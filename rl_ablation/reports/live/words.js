/** What the page says in words. */

import { floatText } from "./digest.js";
import { project } from "./lesions.js";
import { directionsIn, regionOf, sizeOf, unitsIn } from "./state.js";

/** @typedef {import("./types").PageData} PageData */
/** @typedef {import("./types").Effect} Effect */
/** @typedef {import("./types").Region} Region */
/** @typedef {import("./state.js").What} What */
/** @typedef {import("./state.js").State} State */
/** @typedef {import("./race.js").Race} Race */

const MOST_PARTS = 8; // loadings of a unit that are told

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
 * So many of something: "1 unit", "3 units".
 * @param {number} count
 * @param {string} what
 */
const counted = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;

/** What a unit of a site is, before its name in a sentence. @type {Record<string, string>} */
const IS = { obs: "the sensor ", action: "the motor " };

/**
 * Units in few words: "3 units of h1".
 * @param {Record<string, Iterable<number>>} cut
 * @param {PageData} data
 * @param {Record<string, string>} [is] what stands before the name of a single one
 */
function unitsName(cut, data, is = {}) {
    const parts = Object.entries(cut).map(([site, units]) => /** @type {const} */ ([site, [...units]]));
    return parts.filter(([, units]) => units.length > 0).map(([site, units]) => {
        const [only] = units;
        const name = data.names[site]?.[only];
        if (units.length === 1) return name === undefined ? `unit ${only} of ${site}` : `${is[site] ?? ""}${name}`;
        if (units.length === data.policy.sites[site]) return `all of ${site}`;
        return `${units.length} units of ${site}`;
    }).join(" and ");
}

/**
 * Directions in few words: "the direction readout-bend of layer h1".
 * @param {What} what
 * @param {string} name of the region
 */
function directionsName(what, name) {
    const count = directionsIn(what), sites = Object.keys(what.more?.directions ?? {});
    const own = name.slice(name.lastIndexOf("/") + 1);
    return `the ${count === 1 ? "direction" : `${count} directions`} ${own} of layer${sites.length === 1 ? "" : "s"} ${sites.join(" and ")}`;
}

/**
 * A region of the run in few words: what it is called, or what is done to directions, or to what
 * some units tell others: "what 5 units of h0 tell 4 units of h1".
 * @param {Region} region
 * @param {PageData} data
 */
export function regionName(region, data) {
    if (region.more === null) return region.label;
    const units = unitsName(region.cut, data, IS), { to, directions } = region.more;
    const along = Object.keys(directions).length ? directionsName(region, region.name) : "";
    const cut = [units, along].filter(Boolean).join(" and ");
    if (Object.keys(to).length === 0) return cut;
    return `what ${cut} ${sizeOf(region) === 1 ? "tells" : "tell"} ${unitsName(to, data, IS)}`;
}

/**
 * A region with its size, for a list: "h1/cluster-0 (12 units)".
 * @param {Region} region
 */
export function listed(region) {
    const units = unitsIn(region.cut), directions = directionsIn(region);
    if (region.more === null) return units === 1 ? region.label : `${region.label} (${units} units)`;
    const size = [[units, "unit"], [directions, "direction"]].filter(([count]) => count)
        .map(([count, what]) => counted(Number(count), String(what))).join(" and ");
    const hear = unitsIn(region.more.to);
    return `${region.label} (${size}${hear === 0 ? "" : ` → ${counted(hear, "unit")}`})`;
}

/**
 * A cut in few words.
 * @param {State} state
 * @param {PageData} data
 */
export function cutName(state, data) {
    if (sizeOf(state) === 0) return "nothing cut";
    const region = regionOf(state, data);
    return region === undefined ? unitsName(state.cut, data) : regionName(region, data);
}

/**
 * What the marks in the network mean, where directions or connections are cut.
 * @param {State} state
 * @param {PageData} data
 * @param {Race} race
 */
export function aboutMarks({ cut, more }, data, race) {
    if (more === null) return "";
    const told = [];
    for (const [site, { axes, mean, std }] of Object.entries(more.directions)) {
        if (mean.length > 1) {
            told.push(`Discs: how much of each unit of ${site} is in the ${mean.length} directions.`);
            continue;
        }
        const [intact, cut] = race.runners.map(({ robot }) =>
            project(axes, (unit) => robot.policy.activity[site][unit]));
        told.push(
            `Discs: how much of each unit of ${site} is in the direction, dark for plus, light for minus. ` +
            `Along it the code is at ${number(cut)} in the cut robot, ${number(intact)} in the intact one; ` +
            `usually ${number(mean[0])} ± ${number(std[0])}.`,
        );
    }
    if (Object.keys(more.to).length) {
        if (unitsIn(cut)) told.push("Solid frames: who tells.");
        told.push("Dashed frames: who alone hears of the cut; all others hear everything.");
    }
    return told.join(" ");
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
    const along = race.cut.robot.masks?.lesion.more?.directions[site];
    if (along !== undefined) {
        const width = data.policy.sites[site];
        const parts = Array.from(along.mean, (_, k) => number(along.axes[k * width + unit])).slice(0, MOST_PARTS);
        lines.push(`Its loading on the direction${along.mean.length === 1 ? "" : "s"}: ${parts.join(", ")}.`);
    }
    const regions = (data.run?.regions ?? []).filter(({ cut: held, more }) => more === null && held[site]?.includes(unit));
    const own = regions.find(({ cut: held }) => unitsIn(held) === 1);
    if (own !== undefined) lines.push(`Without it: ${loss(own.effects)}.`);
    for (const region of regions) {
        if (region !== own && region.group !== "layers") {
            lines.push(`Part of ${listed(region)}, without which: ${loss(region.effects)}.`);
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
    const region = regionOf(state, data), whole = state.more !== null;
    const fields = [
        `name=${JSON.stringify(sizeOf(state) === 0 ? "nothing" : (region?.name ?? cutName(state, data)))}`,
        whole ? "cut=region.cut, directions=region.directions, to=region.to" : `cut={${cut.join(", ")}}`,
        `kind=${JSON.stringify(state.kind)}`,
        ...(state.strength === null ? [] : [`strength=${floatText(state.strength)}`]),
        ...(state.onset === 0 ? [] : [`onset=${state.onset}`]),
        ...(state.when === null ? [] : [`when=${JSON.stringify(state.when)}`]),
    ];
    const conditions = state.condition === "" ? "" : `, conditions=[${JSON.stringify(state.condition)}]`;
    return [
        "import rl_ablation as rl",
        ...data.load,
        ...(whole ? [`region = ${data.run?.plan}[${JSON.stringify(region?.name)}]`] : []),
        `cut = rl.Lesion(${fields.join(", ")})`,
        `run = rl.sweep(agent, rl.Plan([cut]), episodes=24, seed=${state.seed}${conditions})`,
        'print(run.effects()[["measure", "intact", "lesioned", "ci_low", "ci_high", "q"]].to_string())',
    ].join("\n");
}

/** @param {number[]} units */
const tuple = (units) => (units.length === 1 ? `(${units[0]},)` : `(${units.join(", ")})`);
