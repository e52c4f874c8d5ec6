/**
 * What is being played: the cut, the condition, the start. The page's address says it all, and
 * an address makes it again: `#cut=h1:3,5,8&kind=zero&condition=bends/cw&seed=7`.
 */

import { canonical } from "./triggers.js";

/** @typedef {import("./types").PageData} PageData */
/** @typedef {import("./types").Lesion} Lesion */
/** @typedef {import("./types").Region} Region */

/** @typedef {{cut: Record<string, Iterable<number>>, more: import("./types").More | null}} What is cut */
/** @typedef {Lesion & {condition: string, seed: number, overlay: boolean}} State */

/**
 * The state of a page that was opened without an address.
 * @param {PageData} data
 * @returns {State}
 */
export function initial(data) {
    const conditions = Object.keys(data.scene.conditions);
    return {
        cut: {},
        more: null,
        kind: data.run?.kinds[0] ?? data.kinds[0].name,
        strength: data.run?.strength ?? null,
        onset: 0,
        when: null,
        condition: conditions[0],
        seed: data.scene.conditions[conditions[0]].starts[0].seed,
        overlay: false,
    };
}

/**
 * Units as ranges: 0, 1, 2, 5 → "0-2,5".
 * @param {Iterable<number>} units
 */
export function ranges(units) {
    const sorted = [...units].sort((a, b) => a - b);
    /** @type {[number, number][]} */
    const found = [];
    for (const unit of sorted) {
        const last = found.at(-1);
        if (last !== undefined && last[1] === unit - 1) last[1] = unit;
        else found.push([unit, unit]);
    }
    return found
        .map(([a, b]) => (a === b ? `${a}` : b === a + 1 ? `${a},${b}` : `${a}-${b}`))
        .join(",");
}

/**
 * Sites with their units; what a policy does not have is left out.
 * @param {string} text "h0:1,2;h1:3-9"
 * @param {Record<string, number>} sites
 * @returns {Record<string, Set<number>>}
 */
export function readCut(text, sites) {
    /** @type {Record<string, Set<number>>} */
    const cut = {};
    for (const part of text.split(";")) {
        const [site, list] = part.split(":");
        if (!Object.hasOwn(sites, site) || list === undefined) continue;
        const units = (cut[site] ??= new Set());
        for (const piece of list.split(",")) {
            const match = /^(\d{1,6})(?:-(\d{1,6}))?$/.exec(piece.trim());
            if (match === null) continue;
            const [first, last] = [Number(match[1]), Number(match[2] ?? match[1])];
            for (let k = first; k <= Math.min(last, sites[site] - 1); k++) units.add(k);
        }
    }
    return cut;
}

/**
 * What is cut, to be changed; of a region, or with none, of nothing.
 * @param {What} [region]
 * @returns {Pick<Lesion, "cut" | "more">}
 */
export const copied = (region = { cut: {}, more: null }) => ({
    cut: Object.fromEntries(Object.entries(region.cut).map(([site, units]) => [site, new Set(units)])),
    more: region.more,
});

/**
 * How many units there are, over all sites.
 * @param {Record<string, Iterable<number>>} cut
 */
export const unitsIn = (cut) => Object.values(cut).reduce((sum, units) => sum + [...units].length, 0);

/**
 * How many directions are cut, over all sites.
 * @param {What} what
 */
export const directionsIn = ({ more }) =>
    Object.values(more?.directions ?? {}).reduce((sum, { mean }) => sum + mean.length, 0);

/**
 * How many units and directions are cut.
 * @param {What} what
 */
export const sizeOf = (what) => unitsIn(what.cut) + directionsIn(what);

/**
 * The region of a run that is cut, to the unit, if there is one. Directions and connections are cut
 * as the run has them, or not at all.
 * @param {Lesion} lesion
 * @param {PageData} data
 * @returns {Region | undefined}
 */
export function regionOf({ cut, more }, data) {
    const size = unitsIn(cut);
    return data.run?.regions.find((region) => region.more === more && size === unitsIn(region.cut) &&
        Object.entries(region.cut).every(([site, units]) => units.every((u) => cut[site]?.has(u))));
}

/**
 * A finite number of an address, or none.
 * @param {string | null} text
 */
function numberIn(text) {
    const value = text === null || text.trim() === "" ? NaN : Number(text);
    return Number.isFinite(value) ? value : null;
}

/**
 * The state that an address tells; what it does not tell, or tells wrongly, is as at the start.
 * @param {string} hash
 * @param {PageData} data
 * @returns {State}
 */
export function readAddress(hash, data) {
    const state = initial(data), given = new URLSearchParams(hash.replace(/^#/, "").replaceAll("+", "%2B"));
    const region = data.run?.regions.find(({ name }) => name === given.get("region"));
    Object.assign(state, region ? copied(region) : { cut: readCut(given.get("cut") ?? "", data.policy.sites) });
    const kind = data.kinds.find(({ name }) => name === given.get("kind"));
    if (kind !== undefined) [state.kind, state.strength] = [kind.name, null];
    const strength = numberIn(given.get("strength"));
    if (strength !== null && takesStrength(state.kind, data)) state.strength = strength;
    state.onset = Math.max(0, Math.round(numberIn(given.get("onset")) ?? 0));
    try {
        state.when = given.has("when") ? canonical(given.get("when") ?? "") : null;
    } catch {
        state.when = null;
    }
    const condition = given.get("condition") ?? "";
    if (Object.hasOwn(data.scene.conditions, condition)) state.condition = condition;
    const seed = numberIn(given.get("seed"));
    if (startOf(state.condition, seed, data) !== undefined) state.seed = Number(seed);
    state.overlay = given.get("view") === "overlay";
    return state;
}

/**
 * The address that tells a state.
 * @param {State} state
 * @param {PageData} data
 */
export function address(state, data) {
    const region = regionOf(state, data);
    const parts = Object.entries(state.cut).filter(([, units]) => units.size > 0);
    /** @type {[string, string | number | null][]} */
    const told = [
        ["region", region && sizeOf(state) > 0 ? region.name : null],
        ["cut", region ? null : parts.map(([s, u]) => `${s}:${ranges(u)}`).join(";") || null],
        ["kind", state.kind],
        ["strength", state.strength],
        ["when", state.when],
        ["onset", state.onset === 0 ? null : state.onset],
        ["condition", state.condition === "" ? null : state.condition],
        ["seed", state.seed],
        ["view", state.overlay ? "overlay" : null],
    ];
    const pairs = told.filter(([, value]) => value !== null);
    const text = (/** @type {string | number | null} */ value) =>
        encodeURIComponent(String(value)).replace(/%(2F|3A|3B|2C)/g, (code) => decodeURIComponent(code));
    return `#${pairs.map(([key, value]) => `${key}=${text(value)}`).join("&")}`;
}

/**
 * @param {string} kind
 * @param {PageData} data
 */
export const takesStrength = (kind, data) =>
    data.kinds.find(({ name }) => name === kind)?.default != null;

/**
 * The start of a seed under a condition.
 * @param {string} condition
 * @param {number | null} seed
 * @param {PageData} data
 */
export const startOf = (condition, seed, data) =>
    data.scene.conditions[condition].starts.find((start) => start.seed === seed);
