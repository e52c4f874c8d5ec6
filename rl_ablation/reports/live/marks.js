/**
 * What the network shows of directions and connections: how much of each unit is in a direction,
 * who tells, who hears, and arrows between them.
 */

/** @typedef {import("./types").Directions} Directions */
/** @typedef {{x: number, y: number}} Point */

const SVG = "http://www.w3.org/2000/svg";
const LEAST = 0.04; // of the largest loading: below it there is no disc
const SHORT = 5; // pixels that an arrow ends before the middle of those who hear

/**
 * How much of each unit is in some directions, −1 to 1 of the largest; of several the size only.
 * @param {Directions} directions
 * @returns {number[]}
 */
export function loadings({ axes, mean }) {
    const width = axes.length / mean.length;
    const sums = Array.from({ length: width }, (_, unit) => {
        if (mean.length === 1) return axes[unit];
        return Math.hypot(...Array.from(mean, (_, k) => axes[k * width + unit]));
    });
    const most = Math.max(...sums.map(Math.abs));
    return sums.map((sum) => (Math.abs(sum) < LEAST * most ? 0 : sum / most));
}

/** Arrows over the network, from those who tell to those who hear. */
export class Arrows {
    /** @param {HTMLElement} ground that they are drawn over */
    constructor(ground) {
        this.ground = ground;
        this.picture = document.createElementNS(SVG, "svg");
        this.picture.setAttribute("class", "arrows");
        this.picture.setAttribute("aria-hidden", "true");
        ground.append(this.picture);
        /** @type {[HTMLElement[], HTMLElement[]][]} */
        this.pairs = [];
        new ResizeObserver(() => this.draw()).observe(ground);
    }

    /** @param {[HTMLElement[], HTMLElement[]][]} pairs the cells of those who tell, and who hear */
    show(pairs) {
        this.pairs = pairs;
        this.draw();
    }

    draw() {
        this.picture.replaceChildren(...this.pairs.flatMap(([from, to]) => this.arrow(this.middle(from), this.middle(to))));
    }

    /**
     * The middle of some cells.
     * @param {HTMLElement[]} cells
     * @returns {Point}
     */
    middle(cells) {
        const { left, top } = this.ground.getBoundingClientRect();
        const boxes = cells.map((cell) => cell.getBoundingClientRect());
        const mean = (/** @type {number[]} */ values) => values.reduce((sum, v) => sum + v, 0) / values.length;
        return {
            x: mean(boxes.map((box) => box.left + box.width / 2)) - left,
            y: mean(boxes.map((box) => box.top + box.height / 2)) - top,
        };
    }

    /**
     * A line with a head, on a pale ground of its own.
     * @param {Point} from
     * @param {Point} to
     */
    arrow(from, to) {
        const [dx, dy] = [to.x - from.x, to.y - from.y], length = Math.max(Math.hypot(dx, dy), 1);
        const [ux, uy] = [dx / length, dy / length];
        const at = (/** @type {number} */ along, /** @type {number} */ aside) =>
            `${(from.x + along * ux - aside * uy).toFixed(1)} ${(from.y + along * uy + aside * ux).toFixed(1)}`;
        const tip = length - SHORT;
        const shape = `M${at(0, 0)}L${at(tip, 0)}M${at(tip - 9, 5)}L${at(tip, 0)}L${at(tip - 9, -5)}`;
        return ["halo", "line"].map((name) => {
            const path = document.createElementNS(SVG, "path");
            path.setAttribute("class", name);
            path.setAttribute("d", shape);
            return path;
        });
    }
}
