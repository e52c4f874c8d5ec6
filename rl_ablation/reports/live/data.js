/** The page's data: JSON in which arrays are packed as base64 of their bytes. */

/** @typedef {import("./types").PageData} PageData */

const ARRAYS = { f64: Float64Array, f32: Float32Array, u16: Uint16Array };

/**
 * The bytes of a base64 text.
 * @param {string} text
 */
export function bytes(text) {
    const binary = atob(text);
    const out = new Uint8Array(binary.length);
    for (let k = 0; k < binary.length; k++) out[k] = binary.charCodeAt(k);
    return out;
}

/**
 * Unpack every packed array inside a value.
 * @param {any} value
 * @returns {any}
 */
export function unpacked(value) {
    if (value === null || typeof value !== "object") return value;
    for (const [code, array] of Object.entries(ARRAYS)) {
        if (typeof value[code] === "string" && Array.isArray(value.shape)) {
            return new array(bytes(value[code]).buffer);
        }
    }
    if (Array.isArray(value)) return value.map(unpacked);
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, unpacked(v)]));
}

/**
 * The data in a page's script element.
 * @param {string} text
 * @returns {PageData}
 */
export const readData = (text) => unpacked(JSON.parse(text));
