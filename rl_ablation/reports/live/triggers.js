/**
 * Conditions such as "bend > 0.15" on what the world said last: the grammar and the meaning of
 * `rl_ablation/lesions/triggers.py`.
 */

import { floatText } from "./digest.js";

/** @typedef {{signal: string, index: number | null, sign: string, bound: number}} Comparison */
/** @typedef {Record<string, ArrayLike<number>>} Signals a signal's values; a number is one */

const TERM =
    /^\s*([A-Za-z]\w*)(?:\[(\d{1,6})\])?\s*(<=|>=|<|>)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?)\s*$/;
const MOST = 2;

/** @type {Record<string, (value: number, bound: number) => boolean>} */
const OPERATORS = {
    "<": (value, bound) => value < bound,
    "<=": (value, bound) => value <= bound,
    ">": (value, bound) => value > bound,
    ">=": (value, bound) => value >= bound,
};

/**
 * The comparisons of a condition; throws an error that says how to write one.
 * @param {string} text
 * @returns {Comparison[]}
 */
export function parse(text) {
    const parts = text.split(/\sand\s/);
    const terms = parts.map((part) => TERM.exec(part));
    if (parts.length > MOST || terms.some((term) => term === null)) {
        throw new Error(
            "write SIGNAL OPERATOR NUMBER, as in “bend > 0.15”, once or twice joined by “and”",
        );
    }
    return terms.map((term) => {
        const [, signal, index, sign, bound] = /** @type {RegExpExecArray} */ (term);
        const at = index === undefined ? null : Number(index);
        return { signal, index: at, sign, bound: Number(bound) };
    });
}

/**
 * The one spelling of a condition.
 * @param {string} text
 */
export function canonical(text) {
    const told = parse(text).map(({ signal, index, sign, bound }) => {
        const entry = index === null ? "" : `[${index}]`;
        return `${signal}${entry} ${sign} ${floatText(bound).replace(/\.0$/, "")}`;
    });
    return told.join(" and ");
}

/**
 * Why a condition cannot be read in a world with these signals; "" if it can.
 * @param {Comparison[]} terms
 * @param {Signals} signals
 */
export function problem(terms, signals) {
    for (const { signal, index } of terms) {
        if (!Object.hasOwn(signals, signal)) {
            return `no signal “${signal}”; this world gives ${Object.keys(signals).join(", ")}`;
        }
        const length = signals[signal].length;
        if (length === 1 && index !== null) return `write “${signal}” without an index`;
        if (length > 1 && (index === null || index >= length)) {
            return `write “${signal}” with an index from 0 to ${length - 1}`;
        }
    }
    return "";
}

/**
 * Whether a condition holds; what is not a number triggers nothing.
 * @param {Comparison[]} terms
 * @param {Signals} signals
 */
export function met(terms, signals) {
    return terms.every(({ signal, index, sign, bound }) => {
        const values = signals[signal];
        return values !== undefined && OPERATORS[sign](values[index ?? 0], bound);
    });
}
