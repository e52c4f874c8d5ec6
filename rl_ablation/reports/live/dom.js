/** The page's elements, and what its parts share of them. */

/**
 * An element of the page.
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} kind
 * @returns {T}
 */
export function element(id, kind) {
    const found = document.getElementById(id);
    if (!(found instanceof kind)) throw new Error(`the page has no ${kind.name} “${id}”`);
    return found;
}

/** @param {string} id */
export const any = (id) => element(id, HTMLElement);
/** @param {string} id */
export const button = (id) => element(id, HTMLButtonElement);
/** @param {string} id */
export const input = (id) => element(id, HTMLInputElement);
/** @param {string} id */
export const select = (id) => element(id, HTMLSelectElement);

/**
 * Fill a list of choices, value → text, each under a heading if it has one.
 * @param {HTMLSelectElement} list
 * @param {[value: string, text: string, heading?: string][]} choices
 */
export function choices(list, choices) {
    list.replaceChildren();
    /** @type {Map<string, HTMLElement>} */
    const places = new Map([["", list]]);
    for (const [value, text, heading = ""] of choices) {
        const option = document.createElement("option");
        [option.value, option.textContent] = [value, text];
        let place = places.get(heading);
        if (place === undefined) {
            const group = document.createElement("optgroup");
            group.label = heading;
            list.append(group);
            places.set(heading, place = group);
        }
        place.append(option);
    }
}

/**
 * Say a text where it is not said already.
 * @param {HTMLElement} where
 * @param {string} text
 */
export function say(where, text) {
    if (where.textContent !== text) where.textContent = text;
}

/** Whether the user asked for less motion. */
export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** The user's colour scheme. */
export const darkness = matchMedia("(prefers-color-scheme: dark)");

/**
 * A colour of the page's style, by its variable.
 * @param {string} name
 */
export const colour = (name) =>
    getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
