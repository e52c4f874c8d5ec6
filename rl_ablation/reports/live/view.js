/** The stage: both robots in 3D, side by side or one over the other. Drawn with three.js. */

import {
    Color, DirectionalLight, Fog, HemisphereLight, PCFShadowMap, PerspectiveCamera, Scene, Vector3,
    WebGLRenderer,
} from "three";
import { Bodies } from "./bodies.js";
import { Floor, Rays, Trail, buildWalls } from "./surroundings.js";

/** @typedef {import("./types").Scene} SceneData */
/** @typedef {import("./types").Term} Term */
/** @typedef {import("./physics.js").Physics} Physics */
/** @typedef {import("./race.js").Race} Race */
/** @typedef {import("./race.js").Runner} Runner */
/** @typedef {import("./bodies.js").Pose} Pose */
/** @typedef {"follow" | "behind" | "whole"} Camera */
/** @typedef {{overlay: boolean, camera: Camera, lidar: boolean, trails: boolean}} Looks */
/** @typedef {{sky: string, floor: string, tile: string, wall: string, intact: string, cut: string, ray: string, lost: string}} Colours */

const MARGIN = 1.4; // m left round a track that is seen as a whole
const SLOW = 70, PATIENCE = 12; // ms a picture; above it for so many, pictures become plainer
/** From the finest to the plainest: shadows, and the share of the screen's pixels. */
const LEVELS = [
    { shadows: true, pixels: 1 }, { shadows: false, pixels: 1 }, { shadows: false, pixels: 0.5 },
];
const ASPECT = 0.75, WIDE = 0.6; // height of a picture by its width: two side by side, one alone

/** One robot as it is drawn. */
class Figure {
    /**
     * @param {Runner} runner
     * @param {Scene} scene
     * @param {Physics} drawn
     * @param {Trail} trail
     * @param {Rays | null} rays
     */
    constructor(runner, scene, drawn, trail, rays) {
        this.runner = runner;
        this.bodies = new Bodies(drawn.engine, drawn.model);
        this.trail = trail;
        this.rays = rays;
        this.at = new Vector3();
        this.heading = 0;
        scene.add(this.bodies.group, trail.line);
        if (rays !== null) scene.add(rays.lines);
    }

    /**
     * @param {boolean} on
     * @param {Looks} looks
     */
    show(on, looks) {
        this.bodies.group.visible = this.trail.line.visible = on;
        if (this.rays !== null) this.rays.lines.visible = on && looks.lidar;
    }
}

export class Stage {
    /**
     * @param {HTMLCanvasElement} canvas
     * @param {Race} race
     * @param {Physics} drawn a robot of no race, in which poses are worked out
     * @param {SceneData} data
     */
    constructor(canvas, race, drawn, data) {
        this.canvas = canvas;
        this.drawn = drawn;
        this.data = data;
        this.renderer = new WebGLRenderer({ canvas, antialias: true });
        this.renderer.setScissorTest(true);
        this.renderer.shadowMap.enabled = true;
        this.renderer.shadowMap.type = PCFShadowMap;
        this.scene = new Scene();
        this.camera = new PerspectiveCamera(40, 1, 0.02, 200);
        this.camera.up.set(0, 0, 1);
        this.followed = drawn.body(data.camera.body);
        this.sky = new HemisphereLight(0xffffff, 0x8a8a90, 1.9);
        this.sun = new DirectionalLight(0xffffff, 1.7);
        this.floor = new Floor();
        this.walls = data.tracks.map(buildWalls);
        this.scene.add(this.sky, this.sun, this.sun.target, this.floor.mesh, ...this.walls);
        const lidar = data.observation.terms.find(({ source }) => source === "lidar");
        this.figures = race.runners.map((runner) => new Figure(
            runner, this.scene, drawn, new Trail(), lidar ? new Rays(lidar, firstOf(lidar, data)) : null,
        ));
        this.turns = drawn.model.jnt_type[0] === drawn.engine.mjtJoint.mjJNT_FREE.value;
        this.usual = data.tracks.length
            ? { azimuth: -2.0, elevation: 0.75 } : { azimuth: -1.2, elevation: 0.28 };
        this.azimuth = this.usual.azimuth;
        this.elevation = this.usual.elevation;
        this.distance = data.camera.distance;
        this.level = 0;
        this.slow = 0; // pictures in a row that took too long
        this.tunes = true;
        this.size = { width: 0, height: 0, stacked: false };
        const { camera } = this.sun.shadow, reach = 1.6 * data.camera.distance;
        Object.assign(camera, { left: -reach, right: reach, top: reach, bottom: -reach, far: 40 });
        this.sun.shadow.mapSize.set(1024, 1024);
        this.sun.shadow.normalBias = 0.01;
    }

    /** @param {Colours} colours of the page's theme */
    paint(colours) {
        this.scene.background = new Color(colours.sky);
        this.scene.fog = new Fog(colours.sky, 5 * this.data.camera.distance, 60);
        this.floor.paint(colours.floor, colours.tile);
        for (const wall of this.walls) wall.material.color.set(colours.wall);
        this.figures.forEach((figure, k) => {
            figure.trail.line.material.color.set(k === 0 ? colours.intact : colours.cut);
            figure.rays?.paint(colours.ray, colours.lost);
        });
    }

    /**
     * Turn the cameras.
     * @param {number} across radians
     * @param {number} up radians
     */
    orbit(across, up) {
        this.azimuth -= across;
        this.elevation = Math.min(Math.max(this.elevation + up, 0.02), 1.55);
    }

    /**
     * Go nearer (below 1) or farther.
     * @param {number} factor
     */
    zoom(factor) {
        const usual = this.data.camera.distance;
        this.distance = Math.min(Math.max(this.distance * factor, usual / 4), 8 * usual);
    }

    /**
     * Fit the canvas to the width it is given.
     * @param {number} width CSS pixels
     * @param {boolean} overlay
     */
    resize(width, overlay) {
        const stacked = width < 640 && !overlay;
        const one = overlay || stacked ? width : width / 2;
        const height = Math.round(Math.min(one * (overlay || stacked ? WIDE : ASPECT), 460));
        const total = stacked ? 2 * height : height;
        if (this.size.width === width && this.size.height === total) return;
        this.size = { width, height: total, stacked };
        this.fit();
    }

    /**
     * The pose of all bodies at some coordinates.
     * @param {Float64Array} qpos
     * @returns {Pose}
     */
    pose(qpos) {
        this.drawn.field("qpos").set(qpos);
        this.drawn.place();
        return { at: this.drawn.field("xpos").slice(), turn: this.drawn.field("xquat").slice() };
    }

    /**
     * Draw both robots.
     * @param {number} share of the last step that has passed
     * @param {Looks} looks
     */
    draw(share, looks) {
        for (const figure of this.figures) this.put(figure, share, looks);
        const [intact, cut] = this.figures;
        const { width, height, stacked } = this.size;
        intact.bodies.ghost(looks.overlay);
        if (looks.overlay) this.picture([intact, cut], cut, 0, 0, width, height, looks);
        else if (stacked) {
            this.picture([intact], intact, 0, height / 2, width, height / 2, looks);
            this.picture([cut], cut, 0, 0, width, height / 2, looks);
        } else {
            this.picture([intact], intact, 0, 0, width / 2, height, looks);
            this.picture([cut], cut, width / 2, 0, width / 2, height, looks);
        }
    }

    /**
     * Draw plainer pictures on a machine that is slow at them.
     * @param {number} gap ms between the last two
     */
    tune(gap) {
        this.slow = gap > SLOW ? this.slow + 1 : 0;
        if (!this.tunes || this.slow < PATIENCE || this.level === LEVELS.length - 1) return;
        this.slow = 0;
        this.level += 1;
        this.fit();
    }

    /** Draw at the present level. */
    fit() {
        const { shadows, pixels } = LEVELS[this.level], { width, height } = this.size;
        this.renderer.shadowMap.enabled = shadows;
        this.renderer.setPixelRatio(Math.min(devicePixelRatio, 2) * pixels);
        this.renderer.setSize(width, height);
    }

    /**
     * Put a figure where its robot is.
     * @param {Figure} figure
     * @param {number} share
     * @param {Looks} looks
     */
    put(figure, share, looks) {
        const { robot, qposBefore, trail } = figure.runner;
        const before = this.pose(qposBefore), now = this.pose(robot.physics.field("qpos"));
        figure.bodies.place(before, now, robot.ended === "" ? share : 1);
        const { position, quaternion } = figure.bodies.bodies[this.followed];
        figure.at.copy(position);
        const { w, x, y, z } = quaternion;
        figure.heading = this.turns ? Math.atan2(2 * (x * y + w * z), w * w + x * x - y * y - z * z) : 0;
        figure.trail.show(looks.trails ? trail : []);
        if (looks.lidar) figure.rays?.show(robot, figure.at, figure.heading);
    }

    /**
     * Draw some figures into a part of the canvas, seen by the camera of one of them.
     * @param {Figure[]} shown
     * @param {Figure} followed
     * @param {number} x
     * @param {number} y from below
     * @param {number} width
     * @param {number} height
     * @param {Looks} looks
     */
    picture(shown, followed, x, y, width, height, looks) {
        for (const figure of this.figures) figure.show(shown.includes(figure), looks);
        const track = followed.runner.robot.start?.track;
        this.walls.forEach((wall, k) => (wall.visible = k === track));
        const target = followed.at.clone(), whole = looks.camera === "whole" && track !== undefined;
        let { azimuth, elevation, distance } = this;
        if (looks.camera === "behind") azimuth += followed.heading - this.usual.azimuth + Math.PI;
        if (whole) {
            const { centre, size } = this.walls[track].userData;
            target.copy(centre);
            azimuth += -Math.PI / 2 - this.usual.azimuth;
            elevation = Math.min(elevation + 1.45 - this.usual.elevation, 1.55);
            const most = Math.max(size.y + MARGIN, ((size.x + MARGIN) * height) / width);
            const fits = most / (2 * Math.tan((Math.PI / 360) * this.camera.fov));
            distance *= fits / this.data.camera.distance;
        }
        this.camera.position.set(
            target.x + distance * Math.cos(elevation) * Math.cos(azimuth),
            target.y + distance * Math.cos(elevation) * Math.sin(azimuth),
            Math.max(target.z + distance * Math.sin(elevation), 0.05),
        );
        this.camera.lookAt(target);
        this.camera.aspect = width / height;
        this.camera.updateProjectionMatrix();
        this.floor.follow(target);
        this.sun.position.copy(followed.at).add(SUN);
        this.sun.target.position.copy(followed.at);
        this.sun.castShadow = this.renderer.shadowMap.enabled && !whole;
        this.renderer.setViewport(x, y, width, height);
        this.renderer.setScissor(x, y, width, height);
        this.renderer.render(this.scene, this.camera);
    }
}

const SUN = new Vector3(-4, -6, 12);

/**
 * The first sensor of a term.
 * @param {Term} term
 * @param {SceneData} data
 */
function firstOf(term, data) {
    const before = data.observation.terms.slice(0, data.observation.terms.indexOf(term));
    return before.reduce((sum, { at, angles }) => sum + (at ?? angles ?? []).length, 0);
}
