/** What is around the robots: the floor, the walls of a track, trails, lidar rays. */

import {
    Box3, BufferGeometry, CanvasTexture, Color, DoubleSide, Float32BufferAttribute, LineBasicMaterial,
    LineSegments, Mesh, MeshStandardMaterial, PlaneGeometry, RepeatWrapping, SRGBColorSpace, Vector3,
} from "three";
import { Line2 } from "three/addons/lines/Line2.js";
import { LineGeometry } from "three/addons/lines/LineGeometry.js";
import { LineMaterial } from "three/addons/lines/LineMaterial.js";

/** @typedef {import("./types").Term} Term */
/** @typedef {import("./types").TrackData} TrackData */
/** @typedef {import("./robot.js").Robot} Robot */

const FLOOR = 120; // m
const HEIGHT = 0.2, THICK = 0.04; // m, of walls
const EYE = 0.09; // m: the height at which rays are drawn

/** An endless floor of tiles of one metre, to see motion by. */
export class Floor {
    constructor() {
        this.picture = document.createElement("canvas");
        this.picture.width = this.picture.height = 128;
        this.texture = new CanvasTexture(this.picture);
        this.texture.colorSpace = SRGBColorSpace;
        this.texture.wrapS = this.texture.wrapT = RepeatWrapping;
        this.texture.repeat.set(FLOOR / 2, FLOOR / 2);
        this.texture.anisotropy = 8;
        const material = new MeshStandardMaterial({ map: this.texture, roughness: 1 });
        this.mesh = new Mesh(new PlaneGeometry(FLOOR, FLOOR), material);
        this.mesh.receiveShadow = true;
    }

    /**
     * @param {string} one
     * @param {string} other
     */
    paint(one, other) {
        const pen = /** @type {CanvasRenderingContext2D} */ (this.picture.getContext("2d"));
        pen.fillStyle = one;
        pen.fillRect(0, 0, 128, 128);
        pen.fillStyle = other;
        pen.fillRect(0, 0, 64, 64);
        pen.fillRect(64, 64, 64, 64);
        this.texture.needsUpdate = true;
    }

    /**
     * Lie under a point; whole tiles only, so that it seems to stay.
     * @param {Vector3} target
     */
    follow({ x, y }) {
        this.mesh.position.set(2 * Math.round(x / 2), 2 * Math.round(y / 2), 0);
    }
}

/**
 * A track's two walls; `userData` has its centre and radius.
 * @param {TrackData} track
 * @returns {Mesh<BufferGeometry, MeshStandardMaterial>}
 */
export function buildWalls({ walls, points }) {
    /** @type {number[]} */
    const places = [];
    const corners = walls.length / 4;
    for (let side = 0; side < 2; side++) {
        const inner = Array.from({ length: corners }, (_, k) => {
            const at = 2 * (side * corners + k);
            return [walls[at], walls[at + 1]];
        });
        const outer = inner.map(([x, y], k) => {
            const before = inner[(k + corners - 1) % corners], after = inner[(k + 1) % corners];
            const [dx, dy] = [after[0] - before[0], after[1] - before[1]];
            const out = ((side === 0 ? 1 : -1) * THICK) / Math.hypot(dx, dy);
            return [x - out * dy, y + out * dx];
        });
        for (let k = 0; k < corners; k++) {
            const next = (k + 1) % corners;
            const [a, b, c, d] = [inner[k], inner[next], outer[k], outer[next]];
            places.push(...face([...a, 0], [...b, 0], [...b, HEIGHT], [...a, HEIGHT]));
            places.push(...face([...c, 0], [...d, 0], [...d, HEIGHT], [...c, HEIGHT]));
            places.push(...face([...a, HEIGHT], [...b, HEIGHT], [...d, HEIGHT], [...c, HEIGHT]));
        }
    }
    const geometry = new BufferGeometry();
    geometry.setAttribute("position", new Float32BufferAttribute(places, 3));
    geometry.computeVertexNormals();
    const mesh = new Mesh(geometry, new MeshStandardMaterial({ side: DoubleSide, roughness: 0.9 }));
    mesh.castShadow = mesh.receiveShadow = true;
    const line = new Box3().setFromArray(
        Array.from({ length: points.length / 2 }, (_, k) => [points[2 * k], points[2 * k + 1], 0]).flat(),
    );
    mesh.userData = { centre: line.getCenter(new Vector3()), size: line.getSize(new Vector3()) };
    return mesh;
}

/**
 * The two triangles of a face with four corners, one after the other round it.
 * @param {number[]} a
 * @param {number[]} b
 * @param {number[]} c
 * @param {number[]} d
 */
const face = (a, b, c, d) => [...a, ...b, ...c, ...a, ...c, ...d];

/** The way that a robot has come. */
export class Trail {
    constructor() {
        this.line = new Line2(new LineGeometry(), new LineMaterial({ linewidth: 3, transparent: true, opacity: 0.85 }));
        this.line.frustumCulled = false;
        this.length = -1;
    }

    /** @param {number[]} trail x, y, z, … */
    show(trail) {
        if (trail.length === this.length) return;
        this.length = trail.length;
        this.line.geometry.dispose();
        this.line.geometry = new LineGeometry();
        this.line.geometry.setPositions(trail.length >= 6 ? trail : [0, 0, -9, 0, 0, -9]);
    }
}

/** What the robot's lidar sees; rays whose sensor is cut have another colour. */
export class Rays {
    /**
     * @param {Term} term
     * @param {number} first of its sensors, in the observation
     */
    constructor(term, first) {
        this.angles = /** @type {number[]} */ (term.angles);
        this.unit = Number(term.over ?? 1) / Number(term.scale ?? 1);
        this.first = first;
        const geometry = new BufferGeometry(), size = 6 * this.angles.length;
        this.places = new Float32BufferAttribute(new Float32Array(size), 3);
        this.colours = new Float32BufferAttribute(new Float32Array(size), 3);
        geometry.setAttribute("position", this.places);
        geometry.setAttribute("color", this.colours);
        this.lines = new LineSegments(geometry, new LineBasicMaterial({
            vertexColors: true, transparent: true, opacity: 0.55,
        }));
        this.lines.frustumCulled = false;
        this.seen = new Color();
        this.lost = new Color();
    }

    /**
     * @param {string} seen
     * @param {string} lost
     */
    paint(seen, lost) {
        this.seen.set(seen);
        this.lost.set(lost);
    }

    /**
     * @param {Robot} robot
     * @param {Vector3} at where it is drawn
     * @param {number} yaw
     */
    show(robot, { x, y }, yaw) {
        const cut = robot.masks?.parts.get("obs") ?? [];
        this.angles.forEach((angle, k) => {
            const far = robot.obs[this.first + k] * this.unit;
            this.places.setXYZ(2 * k, x, y, EYE);
            this.places.setXYZ(2 * k + 1, x + far * Math.cos(yaw + angle), y + far * Math.sin(yaw + angle), EYE);
            const { r, g, b } = cut.includes(k) ? this.lost : this.seen;
            for (const end of [2 * k, 2 * k + 1]) this.colours.setXYZ(end, r, g, b);
        });
        this.places.needsUpdate = this.colours.needsUpdate = true;
    }
}
