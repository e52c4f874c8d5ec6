/** The lab's colours of activity: orange positive, purple negative, the middle quiet. */

/** Colours from −1 to 1: Brewer's PuOr, and the same on dark ground. */
const RAMPS = {
    light: ["#2d004b", "#542788", "#8073ac", "#b2abd2", "#d8daeb", "#f7f7f7", "#fee0b6", "#fdb863", "#e08214", "#b35806", "#7f3b08"],
    dark: ["#d9ccff", "#b49df0", "#8f76cf", "#66529c", "#40366a", "#24242a", "#5a3a17", "#8c561a", "#c2781f", "#ee9f3c", "#ffcf8f"],
};
const SHADES = 101;

/**
 * Shades from −1 to 1 as CSS colours.
 * @param {boolean} dark
 */
export function shades(dark) {
    const ramp = RAMPS[dark ? "dark" : "light"].map((hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16)));
    return Array.from({ length: SHADES }, (_, k) => {
        const at = (k / (SHADES - 1)) * (ramp.length - 1), low = Math.min(Math.floor(at), ramp.length - 2);
        const mixed = ramp[low].map((part, c) => Math.round(part + (at - low) * (ramp[low + 1][c] - part)));
        return `rgb(${mixed.join(" ")})`;
    });
}

/**
 * Which shade a value has.
 * @param {number} value
 * @param {number} peak
 */
export function shadeOf(value, peak) {
    const share = Math.min(Math.max(value / Math.max(peak, 1e-9), -1), 1);
    return Number.isNaN(share) ? (SHADES - 1) / 2 : Math.round(((share + 1) / 2) * (SHADES - 1));
}
