/** Two robots in step: the intact one and the cut one, from the same start, episode by episode. */

import { met, parse } from "./triggers.js";

/** @typedef {import("./types").Scene} Scene */
/** @typedef {import("./types").Gauge} Gauge */
/** @typedef {import("./types").Lesion} Lesion */
/** @typedef {import("./types").Start} Start */
/** @typedef {import("./robot.js").Robot} Robot */
/** @typedef {import("./triggers.js").Comparison} Comparison */

/** @type {Lesion} */
const NONE = { cut: {}, more: null, kind: "zero", strength: null, onset: 0, when: null };

const SMOOTH = 0.25; // s: over so long a signal's jitter is evened out for the eye

/** What a robot's gauges say: now, and over the episode. */
export class Scores {
    /** @param {Scene} scene */
    constructor(scene) {
        this.gauges = scene.gauges;
        this.fresh = Math.min(1, scene.dt / SMOOTH);
        /** @type {Comparison[][]} */
        this.only = scene.gauges.map(({ while: when }) => (when === undefined ? [] : parse(when)));
        /** The bar's value at every step, smoothed. @type {number[][]} */
        this.series = [];
        /** @type {number[]} */
        this.sums = [];
        /** @type {number[]} */
        this.counts = [];
        this.reset();
    }

    /** Begin an episode. */
    reset() {
        this.series = this.gauges.map(() => []);
        this.sums = this.gauges.map(() => 0);
        this.counts = this.gauges.map(() => 0);
    }

    /**
     * Take the signals of a step.
     * @param {Record<string, ArrayLike<number>>} signals
     */
    take(signals) {
        this.gauges.forEach((gauge, k) => {
            const value = (gauge.sign ?? 1) * signals[gauge.signal][0];
            const last = this.series[k].at(-1) ?? value;
            this.series[k].push(last + this.fresh * (value - last));
            if (!met(this.only[k], signals)) return;
            const wanted = gauge.wanted === undefined ? 0 : signals[gauge.wanted][0];
            const part = value - wanted;
            this.counts[k] += 1;
            this.sums[k] += gauge.take === "mean_abs" ? Math.abs(part) : part;
            if (gauge.take === "last") [this.sums[k], this.counts[k]] = [part, 1];
        });
    }

    /**
     * The number behind a gauge so far; NaN before the first step that counts.
     * @param {number} k
     */
    number(k) {
        return this.counts[k] === 0 ? NaN : this.sums[k] / this.counts[k];
    }
}

/** A robot with what is kept of it. */
export class Runner {
    /**
     * @param {string} name
     * @param {Robot} robot
     */
    constructor(name, robot) {
        this.name = name;
        this.robot = robot;
        this.scores = new Scores(robot.scene);
        /** How often episodes ended, by the way they did. @type {Record<string, number>} */
        this.counts = {};
        this.qposBefore = new Float64Array(0);
        /** Where the followed body has been, x, y, z, … @type {number[]} */
        this.trail = [];
        this.followed = robot.physics.body(robot.scene.camera.body);
    }

    /**
     * @param {Start} start
     * @param {Lesion} lesion
     */
    reset(start, lesion) {
        this.robot.reset(start, lesion);
        this.scores.reset();
        this.qposBefore = this.robot.physics.field("qpos").slice();
        this.trail = [];
    }

    /** One control step, if the episode still runs. */
    step() {
        const { robot } = this;
        this.qposBefore.set(robot.physics.field("qpos"));
        if (robot.ended !== "") return;
        robot.step();
        this.scores.take(robot.signals);
        const at = 3 * this.followed;
        this.trail.push(...robot.physics.field("xpos").subarray(at, at + 3));
        if (robot.ended !== "") this.counts[robot.ended] = (this.counts[robot.ended] ?? 0) + 1;
    }

    /** Episodes that came to their end. */
    get episodes() {
        return Object.values(this.counts).reduce((sum, count) => sum + count, 0);
    }
}

export class Race {
    /**
     * @param {Robot} intact
     * @param {Robot} cut
     */
    constructor(intact, cut) {
        this.intact = new Runner("intact", intact);
        this.cut = new Runner("cut", cut);
        this.runners = [this.intact, this.cut];
        this.steps = 0;
    }

    /**
     * Start both robots.
     * @param {Start} start
     * @param {Lesion} lesion
     */
    reset(start, lesion) {
        this.steps = 0;
        this.intact.reset(start, NONE);
        this.cut.reset(start, lesion);
    }

    /** Count episodes from here on. */
    forget() {
        for (const runner of this.runners) runner.counts = {};
    }

    /** One control step of both. */
    step() {
        this.steps += 1;
        for (const runner of this.runners) runner.step();
    }

    /** Whether the episode is over: the cut robot's is. */
    get over() {
        return this.cut.robot.ended !== "";
    }
}
