/** Gauges: what the two robots do right now, over the episode, and what the intact one usually does. */

import { number } from "./words.js";

/** @typedef {import("./types").PageData} PageData */
/** @typedef {import("./types").Gauge} Gauge */
/** @typedef {import("./race.js").Race} Race */
/** @typedef {{ink: string, soft: string, line: string, intact: string, cut: string}} Inks */

const HEIGHT = 44; // of a time series, CSS pixels
/** How a gauge's number comes about. */
const TAKES = { mean: "mean so far", mean_abs: "mean size so far", last: "now" };

/**
 * A new element.
 * @param {string} kind
 * @param {string} name of its class
 * @param {string} [text]
 */
function made(kind, name, text = "") {
    const element = document.createElement(kind);
    if (name !== "") element.className = name;
    element.textContent = text;
    return element;
}

/** One gauge: a bar with marks, the number behind it, a time series. */
class Card {
    /** @param {Gauge} gauge */
    constructor(gauge) {
        this.gauge = gauge;
        this.usual = "";
        const title = made("h3", "", gauge.label), numbers = made("p", "numbers");
        this.cut = made("span", "cut-number");
        this.intact = made("span", "intact-number");
        numbers.append(this.cut, this.intact);
        this.bar = made("div", "bar");
        this.marks = {
            usual: made("i", "usual"), wanted: made("i", "wanted"),
            intact: made("i", "at intact"), cut: made("i", "at cut"),
        };
        this.bar.append(...Object.values(this.marks));
        this.canvas = document.createElement("canvas");
        for (const part of [this.bar, this.canvas]) part.setAttribute("aria-hidden", "true");
        this.element = made("div", "gauge");
        this.element.append(title, numbers, this.bar, this.canvas);
    }

    /**
     * Where a value lies in the bar, 0 to 1.
     * @param {number} value
     */
    share(value) {
        const { low, high } = this.gauge;
        return Math.min(Math.max((value - low) / (high - low), 0), 1);
    }

    /**
     * Put a mark at a value, or away.
     * @param {HTMLElement} mark
     * @param {number | undefined} value
     */
    put(mark, value) {
        const there = value !== undefined && Number.isFinite(value);
        mark.hidden = !there;
        if (there) mark.style.left = `${(100 * this.share(value)).toFixed(1)}%`;
    }

    /**
     * What the intact robot usually does, from the lab.
     * @param {{mean: number, spread: number} | null} usual
     */
    expect(usual) {
        // A gauge of the distance from what is wanted has its number off the bar's scale.
        const inBar = this.gauge.wanted === undefined && this.gauge.take !== "mean_abs";
        this.put(this.marks.usual, usual === null || !inBar ? undefined : usual.mean);
        const unit = this.gauge.unit === "" ? "" : ` ${this.gauge.unit}`;
        this.usual = usual === null ? "" : ` · usually ${number(usual.mean)}`;
        this.element.title = usual === null ? "" :
            `In the lab the intact robot has ${number(usual.mean)} ± ${number(usual.spread)}${unit} here (mean and standard deviation of its episodes).`;
    }

    /**
     * @param {number} k number of the gauge
     * @param {Race} race
     * @param {number} horizon steps that the time series shows
     * @param {Inks} inks
     */
    draw(k, race, horizon, inks) {
        const { gauge } = this, unit = gauge.unit === "" ? "" : ` ${gauge.unit}`;
        const [intact, cut] = race.runners.map(({ scores }) => scores);
        const off = gauge.wanted === undefined ? "" : "off by ";
        this.cut.textContent = `${off}${number(cut.number(k))}${unit}`;
        this.intact.textContent = `intact ${number(intact.number(k))}${this.usual}`;
        this.put(this.marks.intact, intact.series[k].at(-1));
        this.put(this.marks.cut, cut.series[k].at(-1));
        const wanted = gauge.wanted === undefined ? undefined : race.cut.robot.signals[gauge.wanted]?.[0];
        this.put(this.marks.wanted, wanted);
        this.plot(intact.series[k], cut.series[k], horizon, inks);
    }

    /**
     * @param {number[]} intact
     * @param {number[]} cut
     * @param {number} horizon
     * @param {Inks} inks
     */
    plot(intact, cut, horizon, inks) {
        const width = this.bar.clientWidth, ratio = devicePixelRatio;
        if (this.canvas.width !== Math.round(width * ratio)) {
            this.canvas.width = Math.round(width * ratio);
            this.canvas.height = Math.round(HEIGHT * ratio);
        }
        const pen = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
        pen.setTransform(ratio, 0, 0, ratio, 0, 0);
        pen.clearRect(0, 0, width, HEIGHT);
        const y = (/** @type {number} */ value) => HEIGHT - 2 - this.share(value) * (HEIGHT - 4);
        if (this.gauge.low < 0 && this.gauge.high > 0) {
            pen.fillStyle = inks.line;
            pen.fillRect(0, y(0), width, 1);
        }
        const steps = Math.max(intact.length, cut.length), first = Math.max(0, steps - horizon);
        const every = Math.max(1, Math.floor((2 * horizon) / Math.max(width, 1) / 2));
        for (const [series, colour, thick] of /** @type {const} */ ([[intact, inks.intact, 1.25], [cut, inks.cut, 1.75]])) {
            pen.beginPath();
            for (let k = first; k < series.length; k += every) {
                pen.lineTo(((k - first) / horizon) * width, y(series[k]));
            }
            pen.strokeStyle = colour;
            pen.lineWidth = thick;
            pen.stroke();
        }
    }
}

export class Gauges {
    /**
     * @param {HTMLElement} element
     * @param {PageData} data
     */
    constructor(element, data) {
        this.data = data;
        this.cards = data.scene.gauges.map((gauge) => new Card(gauge));
        element.append(...this.cards.map((card) => card.element));
        for (const card of this.cards) {
            card.cut.setAttribute("aria-label", `${card.gauge.label}, cut robot, ${TAKES[card.gauge.take]}`);
        }
        const seconds = 15;
        this.horizon = Math.min(data.scene.horizon ?? Infinity, Math.round(seconds / data.scene.dt));
    }

    /** @param {string} condition */
    expect(condition) {
        const usual = this.data.intact[condition] ?? [];
        this.cards.forEach((card, k) => card.expect(usual[k] ?? null));
    }

    /**
     * @param {Race} race
     * @param {Inks} inks
     */
    draw(race, inks) {
        this.cards.forEach((card, k) => card.draw(k, race, this.horizon, inks));
    }
}
