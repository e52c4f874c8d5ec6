/** Digests of plain values, the same as `rl_ablation.files.digest` gives. */

import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";

/** A number that Python holds as a float: 1 is written "1.0". */
export class Float {
    /** @param {number} value */
    constructor(value) {
        this.value = value;
    }
}

/**
 * A float as Python's `repr` writes it.
 * @param {number} value
 */
export function floatText(value) {
    if (Object.is(value, -0)) return "-0.0";
    const size = Math.abs(value);
    if (size !== 0 && (size < 1e-4 || size >= 1e16)) {
        const [digits, power] = value.toExponential().split("e");
        const exponent = Math.abs(Number(power)).toString().padStart(2, "0");
        return `${digits}e${Number(power) < 0 ? "-" : "+"}${exponent}`;
    }
    const text = String(value);
    return /^-?\d+$/.test(text) ? `${text}.0` : text;
}

/**
 * A value as `json.dumps(value, sort_keys=True)` writes it; texts are ASCII here.
 * @param {unknown} value
 * @returns {string}
 */
function canonical(value) {
    if (value instanceof Float) return floatText(value.value);
    if (Array.isArray(value)) return `[${value.map(canonical).join(", ")}]`;
    if (value === null || typeof value !== "object") return JSON.stringify(value);
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${entries.map(([k, v]) => `${JSON.stringify(k)}: ${canonical(v)}`).join(", ")}}`;
}

/**
 * Sha256 of a value in canonical form, in hexadecimal.
 * @param {unknown} value
 */
export const digest = (value) => bytesToHex(sha256(utf8ToBytes(canonical(value))));
