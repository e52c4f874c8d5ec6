/**
 * Lesions: the lab's kinds of cut as data, and the scale and shift that carry one out at a step,
 * as `rl_ablation/lesions/masks.py` makes them.
 */

import { Float } from "./digest.js";
import { digestKey, mix, normal, uniform, unitKey, whole, xor } from "./streams.js";

/** @typedef {import("./types").KindData} KindData */
/** @typedef {import("./activity.js").Activity} Activity */
/** @typedef {import("./types").Lesion} Lesion */
/** @typedef {{scale: Float32Array, shift: Float32Array, place: Key}} Made */
/** @typedef {import("./streams.js").Key} Key */

/**
 * The units of a cut, in order, sites without any left out.
 * @param {Lesion} lesion
 * @returns {[string, number[]][]}
 */
export function parts(lesion) {
    const sites = Object.keys(lesion.cut).filter((site) => lesion.cut[site].size > 0);
    return sites.sort().map((site) => [site, [...lesion.cut[site]].sort((a, b) => a - b)]);
}

/**
 * The 64-bit key of a lesion's random stream: `rl_ablation.lesions.lesion.Lesion.key`.
 * @param {Lesion} lesion
 */
export function lesionKey(lesion) {
    const strength = lesion.strength === null ? null : new Float(lesion.strength);
    const when = lesion.when === null ? [] : [lesion.when];
    const more = lesion.more === null ? [] : [lesion.more.digest];
    return digestKey([
        Object.fromEntries(parts(lesion)), lesion.kind, strength, lesion.onset, null, ...when, ...more,
    ]);
}

/**
 * An affine coefficient of a unit; one number stands for all of them.
 * @param {number | ArrayLike<number>} values
 * @param {number} unit
 */
const of = (values, unit) => (typeof values === "number" ? values : values[unit]);

/** Draw modes that the page knows. @type {Record<string, true>} */
export const DRAWS = { sample: true, alike: true, normal: true };

/**
 * The coordinate of values along a direction.
 * @param {Float32Array} axis
 * @param {(unit: number) => number} value
 */
export const project = (axis, value) => axis.reduce((sum, part, unit) => sum + part * value(unit), 0);

/** One lesion of one robot in one episode. */
export class Masks {
    /**
     * @param {Lesion} lesion
     * @param {number} seed of the episode
     * @param {Record<string, KindData>} kinds
     * @param {Activity} activity
     */
    constructor(lesion, seed, kinds, activity) {
        this.lesion = lesion;
        this.kind = kinds[lesion.kind];
        this.activity = activity;
        /** The only units that hear of the cut; without any, all do. */
        this.to = lesion.more?.to ?? {};
        this.parts = new Map(parts(lesion));
        /** @type {Map<string, Made>} */
        this.made = new Map();
        for (const [site, units] of this.parts) this.made.set(site, this.coefficients(site, site, units));
        /** @type {Map<string, Made & {axes: Float32Array}>} */
        this.along = new Map();
        for (const [site, { axes, mean }] of Object.entries(lesion.more?.directions ?? {})) {
            const key = `${lesion.more?.digest} ${site}`;
            this.along.set(site, { axes, ...this.coefficients(key, site, [...mean.keys()]) });
        }
        this.key = mix(xor(lesionKey(lesion), mix(whole(seed))));
        this.now = this.key;
        this.moment = -1; // whose values are taken, for kinds that take those of a moment
    }

    /**
     * Scale and shift of units of a site, or along directions.
     * @param {string} key of the kind's coefficients
     * @param {string} site
     * @param {number[]} units
     * @returns {Made}
     */
    coefficients(key, site, units) {
        const { scale, shift } = this.kind.sites[key];
        const strength = this.lesion.strength ?? this.kind.default ?? 0;
        return {
            scale: Float32Array.from(units, (u) => of(scale[0], u) + of(scale[1], u) * strength),
            shift: Float32Array.from(units, (u) => of(shift[0], u) + of(shift[1], u) * strength),
            place: digestKey(site),
        };
    }

    /**
     * Prepare for a control step, in which the robot sees `seen` (normalised).
     * @param {number} step
     * @param {Float32Array} seen
     */
    begin(step, seen) {
        this.now = mix(xor(this.key, mix(whole(step))));
        if (this.kind.draws === "sample") {
            this.moment = Math.floor(uniform(this.now) * this.activity.moments);
        } else if (this.kind.draws === "alike") {
            const near = this.activity.alike(seen);
            this.moment = near[Math.floor(uniform(this.now) * near.length)];
        }
    }

    /**
     * Carry the lesion out at a site.
     * @param {string} site
     * @param {Float32Array} values
     */
    apply(site, values) {
        this.set(site, values);
        this.turn(site, values);
    }

    /**
     * Cut the units of a site.
     * @param {string} site
     * @param {Float32Array} values
     */
    set(site, values) {
        const units = this.parts.get(site), made = this.made.get(site);
        if (units === undefined || made === undefined) return;
        const { scale, shift, place } = made;
        units.forEach((unit, k) => {
            let added = shift[k];
            if (this.kind.draws === "normal") {
                added = Math.fround(added * Math.fround(normal(unitKey(this.now, place, unit))));
            } else if (this.kind.draws !== null) {
                added = this.activity.value(site, this.moment, unit);
            }
            values[unit] = Math.fround(values[unit] * scale[k]) + added;
        });
    }

    /**
     * Cut along the directions of a site: h' = h + V·((scale − 1)·z + shift), with z = Vᵀh.
     * @param {string} site
     * @param {Float32Array} values
     */
    turn(site, values) {
        const made = this.along.get(site);
        if (made === undefined) return;
        const { axes, scale, shift, place } = made, width = values.length, after = Float64Array.from(values);
        scale.forEach((gain, k) => {
            const axis = axes.subarray(k * width, (k + 1) * width);
            let added = shift[k];
            if (this.kind.draws === "normal") {
                added *= Math.fround(normal(unitKey(this.now, place, k)));
            } else if (this.kind.draws !== null) {
                added = project(axis, (unit) => this.activity.value(site, this.moment, unit));
            }
            const step = (gain - 1) * project(axis, (unit) => values[unit]) + added;
            axis.forEach((part, unit) => (after[unit] += step * part));
        });
        values.set(after);
    }
}
