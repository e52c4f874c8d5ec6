/** Visited moments of the intact robot, and which of them are like the present one. */

/** @typedef {import("./types").ActivityData} ActivityData */

const DEAD_STD = 1e-6;

export class Activity {
    /** @param {ActivityData} data */
    constructor(data) {
        this.sites = data.sites;
        this.moments = data.moments;
        this.neighbours = data.neighbours;
        this.alikeCount = data.neighbours.length / data.moments;
        const { std, samples } = data.sites.obs;
        this.unit = Float32Array.from(data.spread, (s) => (s > DEAD_STD ? s : 1));
        this.scaled = samples.map((value, k) => value / this.unit[k % std.length]);
    }

    /**
     * What a unit did at a moment.
     * @param {string} site
     * @param {number} moment
     * @param {number} unit
     */
    value(site, moment, unit) {
        const { mean, samples } = this.sites[site];
        return samples[moment * mean.length + unit];
    }

    /**
     * The moments most like what the robot sees: those like the nearest one, under its condition.
     * @param {Float32Array} seen normalised
     */
    alike(seen) {
        const size = seen.length;
        let best = 0, least = Infinity;
        for (let moment = 0; moment < this.moments; moment++) {
            let distance = 0;
            for (let k = 0, at = moment * size; k < size; k++, at++) {
                const gap = this.scaled[at] - seen[k] / this.unit[k];
                distance += gap * gap;
            }
            if (distance < least) [best, least] = [moment, distance];
        }
        return this.neighbours.subarray(best * this.alikeCount, (best + 1) * this.alikeCount);
    }
}
