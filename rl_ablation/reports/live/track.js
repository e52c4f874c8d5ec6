/** A walled track: where a robot is along it, and what its lidar sees of the walls. */

/** @typedef {import("./types").TrackData} TrackData */
/** @typedef {{cosines: number[], sines: number[], range: number}} Rays fixed to the robot */

const SEARCH = 8; // centreline points to look ahead and behind for the nearest one
const REACH = 20; // corners before and behind the robot that its rays can meet

/** One robot's place on a track, followed from step to step. */
export class Place {
    /**
     * @param {TrackData} track
     * @param {number} nearest centreline point beside the robot
     * @param {number} lateral metres left of the centreline
     */
    constructor(track, nearest, lateral) {
        this.track = track;
        this.nearest = nearest;
        this.left = lateral;
        this.driven = 0; // metres along the centreline since the start
        this.beyond = 0; // metres from the nearest point, along the track
    }

    /** Metres along the centreline since the start. */
    along() {
        return this.driven;
    }

    /** The same in laps. */
    progress() {
        return this.driven / this.track.length;
    }

    /** Metres left of the centreline. */
    lateral() {
        return this.left;
    }

    /** Metres from the centreline. */
    off_centre() {
        return Math.abs(this.left);
    }

    /**
     * Follow the robot to where it is now.
     * @param {number} x
     * @param {number} y
     */
    follow(x, y) {
        const { points, heading, length } = this.track;
        const count = heading.length, spacing = length / count;
        let best = 0, least = Infinity;
        for (let k = -SEARCH; k <= SEARCH; k++) {
            const at = (this.nearest + k + count) % count;
            const gap = (x - points[2 * at]) ** 2 + (y - points[2 * at + 1]) ** 2;
            if (gap < least) [best, least] = [k, gap];
        }
        const nearest = (this.nearest + best + count) % count;
        const [cos, sin] = [Math.cos(heading[nearest]), Math.sin(heading[nearest])];
        const [dx, dy] = [x - points[2 * nearest], y - points[2 * nearest + 1]];
        const passed = Math.round((this.driven - this.beyond) / spacing) + best;
        this.nearest = nearest;
        this.beyond = dx * cos + dy * sin;
        this.driven = passed * spacing + this.beyond;
        this.left = dy * cos - dx * sin;
    }

    /**
     * The signed curvature so many metres ahead, 1/m; positive bends to the left as driven.
     * @param {number} [ahead]
     */
    bend(ahead = 0) {
        const { curvature, length } = this.track;
        const points = Math.round(ahead / (length / curvature.length));
        return curvature[(this.nearest + points) % curvature.length];
    }

    /**
     * Distances that rays from the robot see, at most `range`: `envs/lidar.py` for one robot.
     * @param {number} x
     * @param {number} y
     * @param {number} yaw
     * @param {Rays} rays
     * @returns {Float64Array}
     */
    lidar(x, y, yaw, { cosines, sines, range }) {
        const { walls, heading } = this.track;
        const corners = walls.length / 4; // of a side
        const at = Math.floor((this.nearest * corners) / heading.length);
        const [cos, sin] = [Math.cos(yaw), Math.sin(yaw)];
        const nearness = new Float64Array(cosines.length).fill(1 / range);
        for (let side = 0; side < 2; side++) {
            let ahead0 = 0, left0 = 0;
            for (let k = -REACH; k <= REACH; k++) {
                const corner = 2 * (side * corners + ((at + k + corners) % corners));
                const [dx, dy] = [walls[corner] - x, walls[corner + 1] - y];
                const [ahead, left] = [dx * cos + dy * sin, dy * cos - dx * sin];
                const area = ahead0 * left - left0 * ahead;
                if (k > -REACH && Math.abs(area) >= 1e-12) {
                    for (let ray = 0; ray < cosines.length; ray++) {
                        const a = cosines[ray] * left0 - sines[ray] * ahead0;
                        const b = cosines[ray] * left - sines[ray] * ahead;
                        if (a * b <= 0) nearness[ray] = Math.max(nearness[ray], (b - a) / area);
                    }
                }
                [ahead0, left0] = [ahead, left];
            }
        }
        return nearness.map((near) => 1 / near);
    }
}
