/** The live page begins here: read the data, start the engine, let the robots run. */

import { Activity } from "./activity.js";
import { App } from "./app.js";
import { connectCommands } from "./commands.js";
import { connect } from "./controls.js";
import { bytes, readData } from "./data.js";
import { any, element, say } from "./dom.js";
import { Physics, compile, startEngine } from "./physics.js";
import { Policy } from "./policy.js";
import { Race } from "./race.js";
import { Robot } from "./robot.js";
import { Stage } from "./view.js";

/** The engine's code, from the page itself. */
async function engineCode() {
    const packed = bytes(any("engine").textContent ?? "");
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Whether this browser draws in 3D. */
function draws3d() {
    const context = document.createElement("canvas").getContext("webgl2");
    context?.getExtension("WEBGL_lose_context")?.loseContext();
    return context !== null;
}

async function begin() {
    const data = readData(any("data").textContent ?? "");
    any("engine-note").textContent =
        `MuJoCo ${data.engines.page} plays here, in your browser; the lab computes with ${data.engines.lab}. ` +
        "What you see is one episode after the other, and no evidence: the page makes no claims. Statistics come from the lab.";
    any("agent").textContent = data.agent;
    any("world").textContent = `in ${data.world}.`;
    const engine = await startEngine(await engineCode());
    const model = compile(engine, data.scene.model);
    const kinds = Object.fromEntries(data.kinds.map((kind) => [kind.name, kind]));
    const activity = new Activity(data.activity);
    const robot = () => new Robot(data.scene, new Physics(engine, model), new Policy(data.policy), kinds, activity);
    const race = new Race(robot(), robot());
    any("status").hidden = true;
    any("app").hidden = false;
    const canvas = element("canvas", HTMLCanvasElement);
    const stage = draws3d() ? new Stage(canvas, race, new Physics(engine, model), data.scene) : null;
    const app = new App(data, race, stage);
    connect(app);
    connectCommands(app);
    app.start();
    Object.assign(globalThis, { lab: app });
    document.documentElement.dataset.ready = String(Math.round(performance.now()));
}

begin().catch((error) => {
    say(any("status"), `The page cannot run here: ${error instanceof Error ? error.message : error}`);
    throw error;
});
