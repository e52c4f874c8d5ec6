/**
 * Counter-based random numbers, the same to the bit as `rl_ablation/lesions/streams.py`
 * (SplitMix64's finaliser). A key is a pair of unsigned 32-bit halves, high first: JavaScript has
 * no fast 64-bit integers.
 */

import { digest } from "./digest.js";

/** @typedef {readonly [number, number]} Key */

/**
 * @param {Key} a
 * @param {Key} b
 * @returns {Key}
 */
export const xor = (a, b) => [(a[0] ^ b[0]) >>> 0, (a[1] ^ b[1]) >>> 0];

/**
 * @param {Key} a
 * @param {number} by below 32
 * @returns {Key}
 */
const right = ([high, low], by) => [high >>> by, ((low >>> by) | (high << (32 - by))) >>> 0];

/**
 * @param {Key} a
 * @param {Key} b
 * @returns {Key}
 */
function plus(a, b) {
    const low = a[1] + b[1];
    return [(a[0] + b[0] + (low > 0xffffffff ? 1 : 0)) >>> 0, low >>> 0];
}

/**
 * The high half of a product of two unsigned 32-bit numbers.
 * @param {number} a
 * @param {number} b
 */
function high(a, b) {
    const [a1, a0, b1, b0] = [a >>> 16, a & 0xffff, b >>> 16, b & 0xffff];
    const middle = a1 * b0 + ((a0 * b0) >>> 16);
    return a1 * b1 + Math.floor(middle / 0x10000) + ((a0 * b1 + (middle & 0xffff)) / 0x10000 | 0);
}

/**
 * @param {Key} a
 * @param {Key} b
 * @returns {Key}
 */
function times(a, b) {
    const upper = high(a[1], b[1]) + Math.imul(a[0], b[1]) + Math.imul(a[1], b[0]);
    return [upper >>> 0, Math.imul(a[1], b[1]) >>> 0];
}

/**
 * Scramble a key.
 * @param {Key} key
 * @returns {Key}
 */
export function mix(key) {
    let x = plus(key, [0x9e3779b9, 0x7f4a7c15]);
    x = times(xor(x, right(x, 30)), [0xbf58476d, 0x1ce4e5b9]);
    x = times(xor(x, right(x, 27)), [0x94d049bb, 0x133111eb]);
    return xor(x, right(x, 31));
}

/**
 * A uniform number in (0, 1).
 * @param {Key} key
 */
export function uniform(key) {
    const [upper, lower] = mix(key);
    return (upper * 2 ** 21 + (lower >>> 11) + 0.5) * 2 ** -53;
}

/**
 * A standard normal number (Box & Muller 1958).
 * @param {Key} key
 */
export function normal(key) {
    const angle = uniform(xor(mix(key), [0xd1b54a32, 0xd192ed03]));
    return Math.sqrt(-2 * Math.log(uniform(key))) * Math.cos(2 * Math.PI * angle);
}

/**
 * The key of a whole number from 0 to 2⁵³.
 * @param {number} value
 * @returns {Key}
 */
export const whole = (value) => [Math.floor(value / 2 ** 32) >>> 0, value >>> 0];

/**
 * The key of the first 16 hexadecimal digits of a digest.
 * @param {unknown} value
 * @returns {Key}
 */
export function digestKey(value) {
    const hex = digest(value);
    return [parseInt(hex.slice(0, 8), 16), parseInt(hex.slice(8, 16), 16)];
}

/**
 * The key of a unit of a site, from that of the step.
 * @param {Key} key
 * @param {Key} place digest key of the site's name
 * @param {number} unit
 */
export const unitKey = (key, place, unit) => mix(xor(key, mix(xor(whole(unit), place))));
