/**
 * Runs the live page's modules in Node.js, for test_live_numbers.py: takes a task as JSON from
 * standard input, and gives its answer as JSON, arrays packed as in a page.
 */

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const folder = process.argv[2];
const load = (name) => import(pathToFileURL(`${folder}/${name}.js`));
const { unpacked } = await load("data");
const task = unpacked(JSON.parse(readFileSync(0, "utf8")));

/** Pack an array as a page does. */
function packed(values, code = "f32") {
    const array = code === "f32" ? Float32Array.from(values) : Float64Array.from(values);
    return { [code]: Buffer.from(array.buffer).toString("base64"), shape: [array.length] };
}

/** A lesion of the lab as the page keeps it. */
const lesionOf = ({ cut, more, kind, strength, onset, when }) => ({
    cut: Object.fromEntries(Object.entries(cut).map(([site, units]) => [site, new Set(units)])),
    more: more ?? null, kind, strength, onset, when: when ?? null,
});

const byName = (kinds) => Object.fromEntries(kinds.map((kind) => [kind.name, kind]));

const TASKS = {
    /** Activity and actions for observations, row k in the episode of seed k, at a step. */
    async policy({ page, lesions, obs, rows, step }) {
        const { Policy } = await load("policy"), { Masks } = await load("lesions");
        const { Activity } = await load("activity");
        const policy = new Policy(page.policy), activity = new Activity(page.activity);
        const width = obs.length / rows, kinds = byName(page.kinds);
        return lesions.map((told) => {
            const sites = Object.fromEntries(Object.keys(page.policy.sites).map((s) => [s, []]));
            const actions = [];
            for (let row = 0; row < rows; row++) {
                const masks = new Masks(lesionOf(told), row, kinds, activity);
                const seen = obs.subarray(row * width, (row + 1) * width);
                masks.begin(step, policy.normalise(seen));
                actions.push(...policy.act(seen, masks));
                for (const [site, all] of Object.entries(sites)) all.push(...policy.activity[site]);
            }
            const values = Object.entries(sites).map(([site, all]) => [site, packed(all)]);
            return { sites: Object.fromEntries(values), actions: packed(actions) };
        });
    },

    /** Numbers of the streams, and keys of lesions. */
    async streams({ lesions, words, keys }) {
        const { mix, normal, uniform, digestKey, unitKey } = await load("streams");
        const { lesionKey } = await load("lesions"), { floatText } = await load("digest");
        const hex = ([high, low]) => [high, low].map((x) => x.toString(16).padStart(8, "0")).join("");
        const pairs = keys.map((key) => [parseInt(key.slice(0, 8), 16), parseInt(key.slice(8), 16)]);
        return {
            lesions: lesions.map((told) => hex(lesionKey(lesionOf(told)))),
            words: words.map((word) => hex(digestKey(word))),
            mixed: pairs.map((key) => hex(mix(key))),
            units: pairs.map((key, unit) => hex(unitKey(key, digestKey("h1"), unit))),
            uniforms: packed(pairs.map(uniform), "f64"),
            normals: packed(pairs.map(normal), "f64"),
            floats: task.floats.map(floatText),
        };
    },

    /** Conditions in their one spelling, or "" where they cannot be read; and where they hold. */
    async triggers({ texts, signals }) {
        const { canonical, parse, met } = await load("triggers");
        return texts.map((text) => {
            try {
                return [canonical(text), signals.map((said) => met(parse(text), said))];
            } catch {
                return ["", []];
            }
        });
    },

    /** The coordinates after every control step with given controls. */
    async controls({ scene, qpos, qvel, ctrl, steps }) {
        const { Physics, compile, startEngine } = await load("physics");
        const engine = await startEngine(), model = compile(engine, scene.model);
        const physics = new Physics(engine, model), found = [];
        physics.reset(qpos, qvel);
        const motors = ctrl.length / steps;
        for (let step = 0; step < steps; step++) {
            physics.field("ctrl").set(ctrl.subarray(step * motors, (step + 1) * motors));
            physics.step(scene.substeps);
            found.push(...physics.field("qpos"));
        }
        return packed(found, "f64");
    },

    /** Whole episodes: observations and signals of the first steps, and how they end. */
    async episodes({ page, jobs, signals }) {
        const { Physics, compile, startEngine } = await load("physics");
        const { Policy } = await load("policy"), { Activity } = await load("activity");
        const { Robot } = await load("robot");
        const engine = await startEngine(), model = compile(engine, page.scene.model);
        const robot = new Robot(
            page.scene, new Physics(engine, model), new Policy(page.policy), byName(page.kinds),
            new Activity(page.activity),
        );
        return jobs.map(({ condition, seed, lesion, steps }) => {
            const { starts } = page.scene.conditions[condition];
            robot.reset(starts.find((start) => start.seed === seed), lesionOf(lesion));
            const obs = [], said = Object.fromEntries(signals.map((name) => [name, []]));
            while (robot.ended === "" && robot.steps < steps) {
                obs.push(...robot.obs);
                robot.step();
                for (const name of signals) said[name].push(...Array.from(robot.signals[name]));
            }
            const values = Object.entries(said).map(([name, all]) => [name, packed(all, "f64")]);
            return {
                ended: robot.ended, steps: robot.steps, obs: packed(obs, "f64"),
                signals: Object.fromEntries(values),
            };
        });
    },
};

process.stdout.write(JSON.stringify(await TASKS[task.task](task)));
