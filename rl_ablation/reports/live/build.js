/**
 * Bundle the page's script and style, and compress the engine, into `build/`:
 * what `rl_ablation.reports.live` puts into a page. Run by `make live`.
 */

import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const engine = fileURLToPath(import.meta.resolve("@mujoco/mujoco"));

/**
 * The engine's bindings make functions out of text, which the page's security policy forbids
 * (`unsafe-eval`). Both places are replaced by closures that do the same.
 */
const CLOSURES = [
    [
        "new Function(...args, invokerFnBody)(...closureArgs)",
        `function (...given) {
            checkArgCount(given.length, minArgs, expectedArgCount, humanName, throwBindingError);
            const destructors = needsDestructorStack ? [] : null, wired = [];
            if (isClassMethodFunc) wired.push(argTypes[1].toWireType(destructors, this));
            for (let k = 0; k < expectedArgCount; k++) {
                wired.push(argTypes[k + 2].toWireType(destructors, given[k]));
            }
            const result = cppInvokerFunc(cppTargetFunc, ...wired);
            if (needsDestructorStack) runDestructors(destructors);
            else {
                for (let k = isClassMethodFunc ? 1 : 2, w = 0; k < argTypes.length; k++, w++) {
                    argTypes[k].destructorFunction?.(wired[w]);
                }
            }
            if (returns) return argTypes[0].fromWireType(result);
        }`,
    ],
    [
        "new Function(...params, functionBody)(...args)",
        `function (obj, func, destructorsRef, packed) {
            const given = [];
            let offset = 0;
            for (const type of types) {
                given.push(type.readValueFromPointer(packed + offset));
                offset += type.argPackAdvance;
            }
            const result = kind === 1 ? new func(...given)
                : kind === 0 ? func.call(obj, ...given) : func.call(...given);
            if (!retType.isVoid) return emval_returnValue(retType, destructorsRef, result);
        }`,
    ],
];

/** @type {import("esbuild").Plugin} */
const withoutEval = {
    name: "without-eval",
    setup(building) {
        building.onLoad({ filter: /mujoco\.js$/ }, async ({ path }) => {
            let contents = await readFile(path, "utf8");
            for (const [text, closure] of CLOSURES) {
                if (contents.split(text).length !== 2) {
                    throw new Error(`${path}: “${text}” is not there once; mend CLOSURES`);
                }
                contents = contents.replace(text, () => closure);
            }
            return { contents, loader: "js" };
        });
    },
};

/**
 * A WebAssembly module without its custom sections: names and debugging, half of its size.
 * @param {Uint8Array} code
 */
function stripped(code) {
    const kept = [code.subarray(0, 8)];
    for (let at = 8; at < code.length; ) {
        const first = at, custom = code[at++] === 0;
        let size = 0, shift = 0, byte = 0x80;
        for (; byte & 0x80; shift += 7) {
            byte = code[at++];
            size += (byte & 0x7f) * 2 ** shift;
        }
        at += size;
        if (!custom) kept.push(code.subarray(first, at));
    }
    return Buffer.concat(kept);
}

/** @type {Record<string, string>} */
const LICENCES = { "Apache-2.0": `${here}../../../LICENSE` };

/** What goes into the page, under which licences. */
async function licences() {
    const packages = JSON.parse(await readFile(`${here}package.json`, "utf8")).dependencies;
    const texts = Object.keys(packages).map(async (name) => {
        const folder = `${here}node_modules/${name}`;
        const about = JSON.parse(await readFile(`${folder}/package.json`, "utf8"));
        const file = (await readdir(folder)).find((one) => /^licen[cs]e/i.test(one));
        // MuJoCo's package brings none; it has the licence of this repository.
        const path = file === undefined ? LICENCES[about.license] : `${folder}/${file}`;
        const text = (await readFile(path, "utf8")).trim();
        return `${name} ${about.version}, ${about.homepage}, ${about.license}\n\n${text}`;
    });
    return `${(await Promise.all(texts)).join("\n\n")}\n`;
}

await mkdir(`${here}build`, { recursive: true });
await build({
    entryPoints: [`${here}main.js`, `${here}page.css`],
    outdir: `${here}build`,
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    charset: "utf8",
    legalComments: "none",
    plugins: [withoutEval],
    logLevel: "warning",
    external: ["module", "fs", "path", "node:*", "crypto"],
});
await writeFile(`${here}build/licences.txt`, await licences());
const wasm = await readFile(engine.replace(/\.js$/, ".wasm"));
await writeFile(`${here}build/mujoco.wasm.gz`, gzipSync(stripped(wasm), { level: 9 }));
