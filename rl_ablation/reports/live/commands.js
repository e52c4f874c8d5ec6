/** A robot that obeys commands: sliders, keys and pushes. */

import { any, button } from "./dom.js";

/** @typedef {import("./app.js").App} App */
/** @typedef {import("./types").Scene} Scene */

/** Which part of the command a key sets, and to which side. @type {Record<string, [number, number]>} */
const KEYS = {
    w: [0, 1], s: [0, -1], arrowup: [0, 1], arrowdown: [0, -1],
    q: [1, 1], e: [1, -1],
    a: [2, 1], d: [2, -1], arrowleft: [2, 1], arrowright: [2, -1],
};

/** @param {App} app */
export function connectCommands(app) {
    const { commands, push, dt } = app.data.scene, { race } = app;
    any("commands").hidden = commands === null && push === null;
    any("pushes").hidden = push === null;
    if (push !== null) {
        const shove = (/** @type {number} */ side) => {
            const steps = Math.max(1, Math.round(push.seconds / dt));
            for (const { robot } of race.runners) {
                robot.shove = { force: [0, (side * push.impulse) / push.seconds], steps };
            }
        };
        button("push-left").addEventListener("click", () => shove(1));
        button("push-right").addEventListener("click", () => shove(-1));
    }
    if (commands === null) return;
    const sliders = commands.names.map((name, k) => slider(name, commands, k));
    any("sliders").append(...sliders.map(({ row }) => row));
    const held = new Set();
    /** @param {number[] | null} wanted */
    const want = (wanted) => {
        for (const { robot } of race.runners) robot.wanted = wanted;
        button("command-back").disabled = wanted === null;
    };
    const read = () => sliders.map(({ input }) => input.valueAsNumber);
    for (const { input } of sliders) input.addEventListener("input", () => want(read()));
    button("command-back").addEventListener("click", () => want(null));
    const byKeys = () => {
        const wanted = commands.names.map((_, k) => {
            const sides = [...held].filter((key) => KEYS[key][0] === k).map((key) => KEYS[key][1]);
            const side = Math.sign(sides.reduce((sum, s) => sum + s, 0));
            return side > 0 ? commands.high[k] : side < 0 ? commands.low[k] : 0;
        });
        want(wanted);
    };
    addEventListener("keydown", (event) => {
        const key = event.key.toLowerCase(), { target } = event;
        if (!Object.hasOwn(KEYS, key) || event.ctrlKey || event.metaKey || event.altKey) return;
        if (target instanceof HTMLInputElement || target instanceof HTMLSelectElement) return;
        event.preventDefault();
        if (held.has(key)) return;
        held.add(key);
        byKeys();
    });
    addEventListener("keyup", (event) => {
        if (held.delete(event.key.toLowerCase())) byKeys();
    });
    addEventListener("blur", () => held.clear());
    /** Show the command that holds. */
    const show = () => {
        const { command } = race.cut.robot;
        sliders.forEach(({ input, output }, k) => {
            if (document.activeElement !== input) input.value = String(command[k]);
            output.textContent = command[k].toFixed(2);
        });
        setTimeout(show, 100);
    };
    show();
}

/**
 * @param {string} name
 * @param {NonNullable<Scene["commands"]>} commands
 * @param {number} k
 */
function slider(name, { units, low, high }, k) {
    const row = document.createElement("label"), input = document.createElement("input");
    const output = document.createElement("output"), unit = document.createElement("span");
    Object.assign(input, { type: "range", min: String(low[k]), max: String(high[k]), step: "0.05", value: "0" });
    unit.textContent = units[k];
    row.append(document.createTextNode(`${name} `), input, output, unit);
    return { row, input, output };
}
