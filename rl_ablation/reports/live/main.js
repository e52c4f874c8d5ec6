import { startEngine, compile, Physics } from "./physics.js";
const text = document.getElementById("engine")?.textContent ?? "";
const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
const wasm = new Uint8Array(await new Response(stream).arrayBuffer());
const t0 = performance.now();
const engine = await startEngine(wasm);
const t1 = performance.now();
const model = compile(engine, document.getElementById("xml").textContent);
const p = new Physics(engine, model);
p.reset(p.field("qpos").slice(), p.field("qvel").slice());
const t2 = performance.now();
for (let k = 0; k < 5000; k++) p.step(1);
document.title = `ok ${t1-t0} ${t2-t1} ${5000/(performance.now()-t2)*1000} ${p.field("qpos")[2]}`;
const rates = [];
for (let r = 0; r < 6; r++) { const t = performance.now(); for (let k = 0; k < 5000; k++) p.step(1); rates.push(Math.round(5000/(performance.now()-t)*1000)); }
document.title += " " + rates.join(",");
