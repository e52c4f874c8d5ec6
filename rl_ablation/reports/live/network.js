/** The network, live: a grid of units for every site, to look at and to cut. */

import { shadeOf, shades } from "./colours.js";
import { Arrows, loadings } from "./marks.js";

/** @typedef {import("./types").PageData} PageData */
/** @typedef {import("./types").Lesion} Lesion */
/** @typedef {Record<string, Set<number>>} Cut */
/** @typedef {{site: string, unit: number}} Place */

/** How a site is called. @type {Record<string, string>} */
const NAMES = { obs: "obs, sensors", action: "action, motors" };
const SMALLEST = 7, LARGEST = 24; // pixels of a unit

/** One site: its name, which is a button for all of it, and its units. */
class Grid {
    /**
     * @param {string} site
     * @param {number} units
     * @param {(unit: number) => string} name
     */
    constructor(site, units, name) {
        this.site = site;
        this.name = name;
        this.columns = Math.ceil(Math.sqrt(units));
        this.element = document.createElement("div");
        this.element.className = "site";
        this.title = document.createElement("button");
        this.title.type = "button";
        this.title.textContent = `${NAMES[site] ?? site} (${units})`;
        this.grid = document.createElement("div");
        this.grid.className = "grid";
        this.grid.dataset.site = site;
        this.grid.setAttribute("role", "listbox");
        this.grid.setAttribute("aria-multiselectable", "true");
        this.grid.setAttribute("aria-label", `units of ${site}; chosen ones are cut`);
        this.grid.style.setProperty("--columns", String(this.columns));
        const size = Math.min(LARGEST, Math.max(SMALLEST, Math.floor(216 / this.columns)));
        this.grid.style.setProperty("--size", `${size}px`);
        this.cells = Array.from({ length: units }, (_, unit) => {
            const cell = document.createElement("div");
            cell.className = "unit";
            cell.setAttribute("role", "option");
            cell.dataset.unit = String(unit);
            cell.tabIndex = unit === 0 ? 0 : -1;
            return cell;
        });
        this.grid.append(...this.cells);
        this.element.append(this.title, this.grid);
        /** @type {number[]} */
        this.shown = Array(units).fill(-1);
        this.mark(new Set());
    }

    /**
     * Mark the units that are cut, or that tell or hear of a cut, and how much of each is in the
     * directions that are cut.
     * @param {Set<number>} cut
     * @param {Iterable<number>} [tells]
     * @param {Iterable<number>} [hears]
     * @param {number[]} [loads]
     */
    mark(cut, tells = [], hears = [], loads = []) {
        const [telling, hearing] = [new Set(tells), new Set(hears)];
        this.grid.classList.toggle("turned", loads.length > 0);
        this.cells.forEach((cell, unit) => {
            const gone = cut.has(unit), load = loads[unit] ?? 0;
            const marks = { "is-cut": gone, tells: telling.has(unit), hears: hearing.has(unit) };
            const told = [gone && "cut", marks.tells && "tells", marks.hears && "hears of the cut"];
            if (loads.length) told.push(`${Math.round(100 * load)} % of the largest loading`);
            for (const [name, on] of Object.entries(marks)) cell.classList.toggle(name, on);
            cell.classList.toggle("plus", load > 0);
            cell.classList.toggle("minus", load < 0);
            cell.style.setProperty("--load", Math.sqrt(Math.abs(load)).toFixed(3));
            cell.setAttribute("aria-selected", String(gone));
            cell.setAttribute("aria-label", [this.name(unit), ...told].filter(Boolean).join(", "));
        });
        this.title.setAttribute("aria-pressed", String(cut.size === this.cells.length));
        this.title.setAttribute("aria-label", `${this.title.textContent}: cut or heal all`);
    }

    /**
     * @param {ArrayLike<number>} values
     * @param {number} peak
     * @param {string[]} colours
     */
    paint(values, peak, colours) {
        for (let unit = 0; unit < this.cells.length; unit++) {
            const shade = shadeOf(values[unit], peak);
            if (shade !== this.shown[unit]) {
                this.shown[unit] = shade;
                this.cells[unit].style.backgroundColor = colours[shade];
            }
        }
    }

    /** @param {number} unit */
    focus(unit) {
        for (const cell of this.cells) cell.tabIndex = -1;
        this.cells[unit].tabIndex = 0;
        this.cells[unit].focus();
    }
}

export class NetworkPanel {
    /**
     * @param {HTMLElement} element
     * @param {PageData} data
     * @param {(change: (cut: Cut) => void) => void} edit asks for a change of the cut
     * @param {(place: Place | null) => void} look tells which unit is looked at
     */
    constructor(element, data, edit, look) {
        this.data = data;
        this.edit = edit;
        this.look = look;
        /** @type {Cut} */
        this.cut = {};
        /** @type {string[]} */
        this.colours = [];
        this.peaks = Object.fromEntries(Object.entries(data.activity.sites).map(
            ([site, { samples }]) => [site, samples.map(Math.abs).sort()[Math.floor(0.98 * samples.length)]],
        ));
        this.grids = Object.entries(data.policy.sites).map(([site, units]) => new Grid(
            site, units, (unit) => data.names[site]?.[unit] ?? `${site} unit ${unit}`,
        ));
        element.append(...this.grids.map((grid) => grid.element));
        this.arrows = new Arrows(element);
        for (const grid of this.grids) this.listen(grid);
    }

    /** @param {Grid} grid */
    listen(grid) {
        const { site, cells } = grid;
        const unitAt = (/** @type {EventTarget | null} */ target) =>
            target instanceof HTMLElement && target.dataset.unit !== undefined ? Number(target.dataset.unit) : null;
        grid.title.addEventListener("click", () => this.edit((cut) => {
            const all = (cut[site]?.size ?? 0) === cells.length;
            cut[site] = new Set(all ? [] : cells.keys());
        }));
        /** What a drag does to the units that it passes: cut them, or heal them. @type {boolean | null} */
        let cutting = null;
        const set = (/** @type {number} */ unit, /** @type {boolean} */ gone) => this.edit((cut) => {
            const units = (cut[site] ??= new Set());
            if (gone) units.add(unit);
            else units.delete(unit);
        });
        grid.grid.addEventListener("pointerdown", (event) => {
            const unit = unitAt(event.target);
            if (unit === null || event.button !== 0) return;
            event.preventDefault();
            cutting = !this.cut[site]?.has(unit);
            grid.focus(unit);
            set(unit, cutting);
        });
        grid.grid.addEventListener("pointermove", (event) => {
            const under = document.elementFromPoint(event.clientX, event.clientY);
            const unit = grid.grid.contains(under) ? unitAt(under) : null;
            if (unit === null) return;
            this.look({ site, unit });
            if (cutting !== null && event.buttons !== 0 && this.cut[site]?.has(unit) !== cutting) set(unit, cutting);
        });
        addEventListener("pointerup", () => (cutting = null));
        addEventListener("pointercancel", () => (cutting = null));
        grid.grid.addEventListener("pointerleave", () => this.look(null));
        grid.grid.addEventListener("focusin", (event) => {
            const unit = unitAt(event.target);
            if (unit !== null) this.look({ site, unit });
        });
        grid.grid.addEventListener("keydown", (event) => {
            const unit = unitAt(event.target);
            if (unit === null) return;
            /** @type {Record<string, number>} */
            const ways = {
                ArrowLeft: -1, ArrowRight: 1, ArrowUp: -grid.columns, ArrowDown: grid.columns,
                Home: -unit, End: cells.length - 1 - unit,
            };
            if (event.key === " " || event.key === "Enter") set(unit, !this.cut[site]?.has(unit));
            else if (Object.hasOwn(ways, event.key)) {
                const next = unit + ways[event.key];
                if (next >= 0 && next < cells.length) {
                    if (event.shiftKey) set(next, this.cut[site]?.has(unit) ?? false);
                    grid.focus(next);
                }
            } else return;
            event.preventDefault();
            event.stopPropagation();
        });
    }

    /**
     * Show what is cut. Of a connection, or of directions, no unit counts as cut: the next one that
     * is clicked begins a cut of units.
     * @param {Lesion} lesion
     */
    mark({ cut, more }) {
        this.cut = more === null ? cut : {};
        const to = Object.entries(more?.to ?? {}), tells = to.length > 0;
        for (const grid of this.grids) {
            const units = cut[grid.site] ?? new Set(), along = more?.directions[grid.site];
            const loads = along === undefined ? [] : loadings(along);
            grid.mark(tells ? new Set() : units, tells ? units : [], more?.to[grid.site], loads);
        }
        const senders = this.grids.map(({ site, cells }) =>
            cells.filter((_, unit) => cut[site]?.has(unit) || more?.directions[site] !== undefined));
        this.arrows.show(to.flatMap(([site, units]) => {
            const hears = this.grids.find((grid) => grid.site === site)?.cells.filter((_, unit) => units.includes(unit));
            return senders.filter((cells) => cells.length > 0).map((cells) =>
                /** @type {[HTMLElement[], HTMLElement[]]} */ ([cells, hears ?? []]));
        }));
    }

    /** @param {boolean} dark */
    theme(dark) {
        this.colours = shades(dark);
        document.documentElement.style.setProperty("--ramp", this.colours.join(","));
        for (const grid of this.grids) grid.shown.fill(-1);
    }

    /**
     * Colour every unit by its activity.
     * @param {Record<string, Float32Array>} cut of the cut robot
     * @param {Record<string, Float32Array>} intact
     * @param {string} whose
     */
    paint(cut, intact, whose) {
        for (const grid of this.grids) {
            const { site } = grid, mine = cut[site], other = intact[site];
            const values = whose === "difference" ? mine.map((v, k) => v - other[k]) : whose === "intact" ? other : mine;
            grid.paint(values, this.peaks[site], this.colours);
        }
    }
}
