/** One robot in closed loop: its physics, senses, policy and lesion, a control step at a time. */

import { Masks } from "./lesions.js";
import { HEADINGS, compileTerm, feelsForces, placesBefore } from "./senses.js";
import { Place } from "./track.js";
import { met, parse } from "./triggers.js";

/** @typedef {import("./types").Scene} Scene */
/** @typedef {import("./types").Start} Start */
/** @typedef {import("./types").Term} Term */
/** @typedef {import("./types").End} End */
/** @typedef {import("./types").Lesion} Lesion */
/** @typedef {import("./types").KindData} KindData */
/** @typedef {import("./physics.js").Physics} Physics */
/** @typedef {import("./policy.js").Policy} Policy */
/** @typedef {import("./activity.js").Activity} Activity */
/** @typedef {import("./triggers.js").Comparison} Comparison */
/** @typedef {{force: [number, number], steps: number}} Shove forward and left, N; steps to go */

/**
 * Read terms for every robot of a scene.
 * @param {Scene} scene
 */
export function readings(scene) {
    return {
        observation: scene.observation.terms.map((term) => compileTerm(term, scene)),
        signals: Object.entries(scene.signals).map(
            ([name, term]) => /** @type {const} */ ([name, compileTerm(term, scene)]),
        ),
        before: placesBefore(scene),
        feels: feelsForces(scene),
    };
}

export class Robot {
    /**
     * @param {Scene} scene
     * @param {Physics} physics
     * @param {Policy} policy
     * @param {Record<string, KindData>} kinds
     * @param {Activity} activity
     */
    constructor(scene, physics, policy, kinds, activity) {
        this.scene = scene;
        this.physics = physics;
        this.policy = policy;
        this.kinds = kinds;
        this.activity = activity;
        this.read = readings(scene);
        this.steps = 0;
        this.action = new Float64Array(scene.control.names.length);
        /** @type {number[]} */
        this.command = [0, 0, 0];
        this.pushed = false;
        /** A person's command, which overrides the start's. @type {number[] | null} */
        this.wanted = null;
        /** A person's push. @type {Shove | null} */
        this.shove = null;
        /** @type {Place | null} */
        this.place = null;
        /** @type {Map<string, ArrayLike<number>>} */
        this.before = new Map();
        /** @type {Map<Term, number[][]>} */
        this.histories = new Map();
        /** @type {Record<string, ArrayLike<number>>} */
        this.signals = {};
        /** @type {Float64Array | Float32Array} */
        this.obs = new Float64Array(0);
        /** @type {Map<End, number[]>} */
        this.gained = new Map();
        /** How the episode ended; "" while it runs. */
        this.ended = "";
        /** Whether the lesion was carried out at the last step. */
        this.cut = false;
        /** @type {Start | null} */
        this.start = null;
        /** @type {Comparison[]} */
        this.when = [];
        /** @type {Masks | null} */
        this.masks = null;
    }

    /**
     * Start an episode.
     * @param {Start} start
     * @param {Lesion} lesion
     */
    reset(start, lesion) {
        const { tracks } = this.scene;
        this.start = start;
        this.physics.reset(start.qpos, start.qvel);
        this.steps = 0;
        this.action.fill(0);
        this.pushed = this.cut = false;
        this.shove = null;
        this.place = start.track === undefined ? null
            : new Place(tracks[start.track], start.nearest ?? 0, start.lateral ?? 0);
        this.before.clear();
        this.histories.clear();
        this.gained.clear();
        this.ended = "";
        this.lesion(lesion);
        this.tell();
        for (const name of Object.keys(this.signals)) {
            if (!this.scene.at_start.includes(name)) delete this.signals[name];
        }
        this.observe();
    }

    /**
     * Take another lesion, from the next step on.
     * @param {Lesion} lesion
     */
    lesion(lesion) {
        this.when = lesion.when === null ? [] : parse(lesion.when);
        this.masks = new Masks(lesion, this.start?.seed ?? 0, this.kinds, this.activity);
    }

    /** Make one control step; nothing after the end. */
    step() {
        if (this.ended !== "") return;
        this.act();
        this.push();
        for (const [name, read] of this.read.before) this.before.set(name, read(this));
        this.physics.step(this.scene.substeps);
        if (this.read.feels) this.physics.feel();
        this.steps += 1;
        const [x, y] = this.physics.field("qpos");
        this.place?.follow(x, y);
        this.tell();
        this.ended = this.howEnded();
        this.observe();
    }

    /** Choose the action, and set the controls. */
    act() {
        const { control } = this.scene, { masks, policy } = this;
        const said = { ...this.signals, obs: this.obs };
        this.cut = masks !== null && this.steps >= masks.lesion.onset && met(this.when, said);
        if (this.cut) masks?.begin(this.steps, policy.normalise(this.obs));
        const action = policy.act(this.obs, this.cut ? masks : null);
        const ctrl = this.physics.field("ctrl");
        action.forEach((value, k) => {
            if (control.clip !== null) {
                value = Math.min(Math.max(value, control.clip[0]), control.clip[1]);
            }
            this.action[k] = value;
            ctrl[k] = numberOf(control.offset, k) + numberOf(control.scale, k) * value;
        });
    }

    /** Apply the pushes of this step: the start's, and a person's. */
    push() {
        const { push } = this.scene;
        if (push === null) return;
        let [forward, left] = [0, 0];
        for (const [step, steps, force] of this.start?.pushes ?? []) {
            if (step <= this.steps && this.steps < step + steps) {
                [forward, left] = [forward + force[0], left + force[1]];
            }
        }
        if (this.shove !== null) {
            [forward, left] = [forward + this.shove.force[0], left + this.shove.force[1]];
            this.shove.steps -= 1;
            if (this.shove.steps <= 0) this.shove = null;
        }
        this.pushed = forward !== 0 || left !== 0;
        const heading = HEADINGS[push.heading](this.physics.field("qpos"));
        const [cos, sin] = [Math.cos(heading), Math.sin(heading)];
        const force = this.physics.field("xfrc_applied"), at = 6 * this.physics.body(push.body);
        force[at] = cos * forward - sin * left;
        force[at + 1] = sin * forward + cos * left;
    }

    /** Say what came of the step. */
    tell() {
        for (const [name, read] of this.read.signals) this.signals[name] = read(this);
    }

    /** See what the next step is decided by. */
    observe() {
        this.command = this.wanted ?? commandAt(this.start?.commands ?? [], this.steps);
        const parts = this.read.observation.map((read) => read(this));
        const { clip, dtype } = this.scene.observation;
        const size = parts.reduce((sum, part) => sum + part.length, 0);
        const obs = dtype === "float32" ? new Float32Array(size) : new Float64Array(size);
        let at = 0;
        for (const part of parts) {
            obs.set(part, at);
            at += part.length;
        }
        if (clip !== null) {
            for (let k = 0; k < size; k++) obs[k] = Math.min(Math.max(obs[k], clip[0]), clip[1]);
        }
        this.obs = obs;
    }

    /**
     * The last values of a term, the present ones included, oldest first.
     * @param {Term} term
     * @param {number} count
     * @param {ArrayLike<number>} now
     */
    remember(term, count, now) {
        const kept = this.histories.get(term) ?? Array(count).fill(Array.from(now));
        const values = [...kept.slice(1), Array.from(now)];
        this.histories.set(term, values);
        return values.flat();
    }

    /** How the step ended the episode; "" if it goes on. */
    howEnded() {
        if (this.physics.unstable) return "unstable";
        for (const end of this.scene.ends) {
            const values = Array.from(this.signals[end.signal]);
            if (end.gains_less !== undefined ? this.lags(end, values[0]) : hits(end, values)) {
                return end.name;
            }
        }
        return this.steps === this.scene.horizon ? "time" : "";
    }

    /**
     * Whether a signal has gained too little within the time of an end.
     * @param {End} end
     * @param {number} value
     */
    lags(end, value) {
        const past = this.gained.get(end) ?? [];
        this.gained.set(end, past);
        past.push(value);
        const back = past.length - 1 - Math.round((end.within ?? 0) / this.scene.dt);
        return back >= 0 && value - past[back] < (end.gains_less ?? 0);
    }
}

/**
 * @param {number | number[]} values
 * @param {number} k
 */
const numberOf = (values, k) => (typeof values === "number" ? values : values[k]);

/**
 * The command that holds at a step.
 * @param {[number, number[]][]} commands
 * @param {number} step
 */
function commandAt(commands, step) {
    return commands.findLast(([from]) => from <= step)?.[1] ?? [0, 0, 0];
}

/**
 * Whether any value of a signal lies where an episode ends.
 * @param {End} end
 * @param {number[]} values
 */
function hits(end, values) {
    const { at_most: most, below, outside, beyond } = end;
    if (most !== undefined) return values.some((v) => v <= most);
    if (below !== undefined) return values.some((v) => v < below);
    if (outside !== undefined) {
        const [low, high] = outside;
        return !values.every((v) => Number.isFinite(v) && (low ?? -Infinity) < v && v < (high ?? Infinity));
    }
    const [low, high] = beyond ?? [null, null];
    return !values.every((v) => Number.isFinite(v) && (low ?? -Infinity) <= v && v <= (high ?? Infinity));
}
