/** The controls: buttons, lists, sliders, keys. Each changes the app's state, and shows it. */

import { any, button, choices, input, select } from "./dom.js";
import { MOST } from "./app.js";
import { copied, regionOf, sizeOf, takesStrength } from "./state.js";
import { canonical, parse, problem } from "./triggers.js";
import { listed, loss, regionName } from "./words.js";

/** @typedef {import("./app.js").App} App */
/** @typedef {import("./types").PageData} PageData */

const SPEEDS = [0.25, 0.5, 1, 2, 4, 8];

/** What the lab's own kinds do, in a word or two. @type {Record<string, string>} */
const KINDS = {
    zero: "silent", mean: "held at its mean", resample: "as at another moment",
    conditional: "as at a like moment", noise: "disturbed", clamp: "held at a value",
    gain: "weaker or stronger", stimulate: "pushed up or down",
};

/** The range of strengths of a kind. */
const RANGES = { clamp: [-2, 2], gain: [0, 3], noise: [0, 4], stimulate: [-4, 4] };

/** @param {App} app */
export function connect(app) {
    playing(app);
    looks(app);
    cutting(app);
    regions(app);
    keys(app);
    copying(app);
}

/** @param {App} app */
function playing(app) {
    const { data } = app;
    button("play").addEventListener("click", () => app.play(!app.playing));
    app.play(app.playing);
    button("step").addEventListener("click", () => app.step());
    button("restart").addEventListener("click", () => app.restart());
    /** @type {[string, string][]} */
    const speeds = SPEEDS.map((speed) => [String(speed), `×${{ 0.25: "¼", 0.5: "½" }[speed] ?? speed}`]);
    choices(select("speed"), [...speeds, [String(MOST), "fastest"]]);
    select("speed").value = "1";
    select("speed").addEventListener("change", () => (app.speed = Number(select("speed").value)));
    const conditions = Object.entries(data.scene.conditions);
    choices(select("condition"), conditions.map(([name, { label }]) => [name, label || name]));
    any("condition-label").hidden = conditions.length < 2;
    select("condition").addEventListener("change", () => app.change({ condition: select("condition").value }));
    const seeds = () => choices(select("seed"), data.scene.conditions[app.state.condition].starts
        .map(({ seed }) => [String(seed), `seed ${seed}`]));
    select("seed").addEventListener("change", () => app.change({ seed: Number(select("seed").value) }));
    app.listeners.push(() => {
        select("condition").value = app.state.condition;
        seeds();
        select("seed").value = String(app.state.seed);
    });
}

/** @param {App} app */
function looks(app) {
    const { scene } = app.data, track = scene.tracks.length > 0;
    const free = app.stage?.turns ?? false;
    /** @type {[string, string][]} */
    const cameras = [["follow", "follows"], ["behind", "behind"], ["whole", "whole track"]];
    choices(select("camera"), cameras.filter(([name]) => (name !== "whole" || track) && (name !== "behind" || free)));
    any("lidar-label").hidden = !scene.observation.terms.some(({ source }) => source === "lidar");
    input("overlay").addEventListener("change", () => app.change({ overlay: input("overlay").checked }));
    app.listeners.push(() => (input("overlay").checked = app.state.overlay));
    const canvas = any("canvas"), { stage } = app;
    any("no-3d").hidden = stage !== null;
    canvas.hidden = stage === null;
    if (stage === null) return;
    canvas.addEventListener("pointermove", (event) => {
        if (event.buttons === 0) return;
        stage.orbit(event.movementX * 0.008, event.movementY * 0.008);
    });
    canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
    canvas.addEventListener("wheel", (event) => {
        if (!event.ctrlKey && document.activeElement !== canvas) return; // the page scrolls
        event.preventDefault();
        stage.zoom(Math.exp(event.deltaY * 0.001));
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
        const turn = 0.12;
        /** @type {Record<string, () => void>} */
        const does = {
            ArrowLeft: () => stage.orbit(-turn, 0), ArrowRight: () => stage.orbit(turn, 0),
            ArrowUp: () => stage.orbit(0, turn), ArrowDown: () => stage.orbit(0, -turn),
            "+": () => stage.zoom(0.85), "=": () => stage.zoom(0.85), "-": () => stage.zoom(1 / 0.85),
        };
        if (!Object.hasOwn(does, event.key)) return;
        does[event.key]();
        event.preventDefault();
        event.stopPropagation();
    });
}

/** @param {App} app */
function cutting(app) {
    const { data, state } = app, strength = input("strength");
    choices(select("kind"), data.kinds.map(({ name }) => [name, KINDS[name] ? `${name}: ${KINDS[name]}` : name]));
    select("kind").addEventListener("change", () => app.change({ kind: select("kind").value, strength: null }));
    strength.addEventListener("input", () => app.change({ strength: Number(strength.value) }));
    button("heal").addEventListener("click", () => app.change(copied()));
    input("onset").addEventListener("input", () => {
        const seconds = input("onset").valueAsNumber;
        app.change({ onset: Number.isFinite(seconds) ? Math.max(0, Math.round(seconds / data.scene.dt)) : 0 });
    });
    choicesOfSignals(app);
    const when = input("when");
    when.addEventListener("input", () => {
        const text = when.value.trim();
        let wrong = "";
        try {
            if (text !== "") wrong = problem(parse(text), readable(app));
        } catch (error) {
            wrong = error instanceof Error ? error.message : String(error);
        }
        any("when-problem").textContent = wrong;
        when.setAttribute("aria-invalid", String(wrong !== ""));
        if (wrong === "") app.change({ when: text === "" ? null : canonical(text) });
    });
    app.listeners.push(() => {
        const kind = data.kinds.find(({ name }) => name === state.kind);
        select("kind").value = state.kind;
        any("kind-doc").textContent = kind?.doc ?? "";
        const takes = takesStrength(state.kind, data);
        any("strength-label").hidden = !takes;
        if (takes) {
            const [low, high] = RANGES[/** @type {"gain"} */ (state.kind)] ?? [-3, 3];
            Object.assign(strength, { min: String(low), max: String(high), step: "0.05" });
            const value = state.strength ?? kind?.default ?? 0;
            strength.value = String(value);
            any("strength-value").textContent = String(value);
        }
        if (document.activeElement !== when) when.value = state.when ?? "";
        if (document.activeElement !== input("onset")) input("onset").value = String(state.onset * data.scene.dt);
        button("heal").disabled = sizeOf(state) === 0;
    });
}

/**
 * What conditions can read: the world's signals, and what the robot sees.
 * @param {App} app
 */
function readable(app) {
    const { robot } = app.race.intact;
    const signals = Object.fromEntries(robot.read.signals.map(([name, read]) => [name, read(robot)]));
    return { ...signals, obs: robot.obs };
}

/** @param {App} app */
function choicesOfSignals(app) {
    const options = Object.keys(app.data.scene.signals).map((name) => {
        const option = document.createElement("option");
        option.value = `${name} > 0`;
        return option;
    });
    any("when-list").replaceChildren(...options);
}

/** @param {App} app */
function regions(app) {
    const { data, state } = app, { run } = data;
    if (run === null || run.regions.length === 0) return;
    any("region-label").hidden = false;
    const several = new Set(run.regions.map(({ group }) => group)).size > 1;
    /** @type {[string, string, string][]} */
    const known = run.regions.map((region) => [region.name, listed(region), several ? region.group : ""]);
    choices(select("region"), [["", "none of the run’s"], ...known]);
    const cutRegion = (/** @type {string} */ name) => {
        app.change(copied(run.regions.find((one) => one.name === name)));
    };
    select("region").addEventListener("change", () => cutRegion(select("region").value));
    const buttons = run.findings.map(({ region, text }) => {
        const item = document.createElement("li"), press = document.createElement("button");
        press.type = "button";
        press.textContent = text;
        press.dataset.region = region;
        press.addEventListener("click", () => cutRegion(regionOf(state, data)?.name === region ? "" : region));
        item.append(press);
        any("findings").append(item);
        return press;
    });
    any("found").hidden = false;
    app.listeners.push(() => {
        const here = sizeOf(state) ? (regionOf(state, data)?.name ?? "") : "";
        select("region").value = here;
        const region = run.regions.find(({ name }) => name === here);
        const told = buttons.some((press) => press.dataset.region === here);
        any("loss").textContent = region === undefined || told ? ""
            : `Without ${regionName(region, data)}, says the run: ${loss(region.effects)}.`;
        for (const press of buttons) press.setAttribute("aria-pressed", String(press.dataset.region === here));
    });
}

/** @param {App} app */
function keys(app) {
    addEventListener("keydown", (event) => {
        const { target } = event;
        if (event.ctrlKey || event.metaKey || event.altKey) return;
        if (target instanceof HTMLInputElement || target instanceof HTMLSelectElement) return;
        /** @type {Record<string, () => void>} */
        const does = {
            " ": () => app.play(!app.playing), ".": () => app.step(), r: () => app.restart(),
            o: () => app.change({ overlay: !app.state.overlay }),
        };
        const act = does[event.key.toLowerCase()];
        if (act === undefined || (event.key === " " && target instanceof HTMLButtonElement)) return;
        act();
        event.preventDefault();
    });
}

/** @param {App} app */
function copying(app) {
    /** @type {(id: string, text: () => string, done: string) => void} */
    const offer = (id, text, done) => button(id).addEventListener("click", async () => {
        try {
            await navigator.clipboard.writeText(text());
            any("copied").textContent = done;
        } catch {
            any("copied").textContent = "This browser does not let a page copy; mark the text by hand.";
        }
    });
    offer("copy-link", () => {
        app.writeAddress();
        return location.href;
    }, "The link is copied.");
    offer("copy-command", () => any("command").textContent ?? "", "The lines are copied.");
}
