/** MuJoCo in the browser: a compiled model, and the state of one robot in it. */

import loadMujoco from "@mujoco/mujoco";

/** @typedef {import("@mujoco/mujoco").MainModule} Engine */
/** @typedef {import("@mujoco/mujoco").MjModel} Model */
/** @typedef {import("@mujoco/mujoco").MjData} Data */
/** @typedef {Record<string, Float64Array>} Fields */

/**
 * Start the engine.
 * @param {Uint8Array} [wasm] its code; without it the engine reads the file beside it (Node.js)
 * @returns {Promise<Engine>}
 */
export const startEngine = (wasm) =>
    loadMujoco(wasm === undefined ? {} : { wasmBinary: wasm.buffer });

/**
 * @param {Engine} engine
 * @param {string} xml
 * @returns {Model}
 */
export const compile = (engine, xml) => engine.MjModel.from_xml_string(xml);

/** The state of one robot. */
export class Physics {
    /**
     * @param {Engine} engine
     * @param {Model} model
     */
    constructor(engine, model) {
        this.engine = engine;
        this.model = model;
        this.data = new engine.MjData(model);
        /** @type {Fields} */
        this.views = {};
        /** @type {Map<string, number>} */
        this.geoms = new Map();
    }

    /**
     * An array of the state by name, as `mjData` has it. It is a view into the engine's memory:
     * one is made when it is first asked for, and again when that memory has grown.
     * @param {string} name
     * @returns {Float64Array}
     */
    field(name) {
        let view = this.views[name];
        if (view === undefined || view.byteLength === 0) {
            view = this.views[name] = /** @type {Record<string, any>} */ (this.data)[name];
        }
        return view;
    }

    /**
     * The number of a geom.
     * @param {string} name
     */
    geom(name) {
        let id = this.geoms.get(name);
        if (id === undefined) {
            id = this.engine.mj_name2id(this.model, this.engine.mjtObj.mjOBJ_GEOM.value, name);
            this.geoms.set(name, id);
        }
        return id;
    }

    /**
     * The number of a body.
     * @param {string} name
     */
    body(name) {
        return this.engine.mj_name2id(this.model, this.engine.mjtObj.mjOBJ_BODY.value, name);
    }

    /** The centre of mass, x and y, m. */
    centreOfMass() {
        const at = this.field("xipos"), /** @type {Float64Array} */ mass = this.model.body_mass;
        let [x, y, total] = [0, 0, 0];
        mass.forEach((m, k) => {
            [x, y, total] = [x + m * at[3 * k], y + m * at[3 * k + 1], total + m];
        });
        return [x / total, y / total];
    }

    /**
     * Start from a state.
     * @param {ArrayLike<number>} qpos
     * @param {ArrayLike<number>} qvel
     */
    reset(qpos, qvel) {
        this.engine.mj_resetData(this.model, this.data);
        this.field("qpos").set(qpos);
        this.field("qvel").set(qvel);
        this.engine.mj_forward(this.model, this.data);
    }

    /**
     * Step with the present controls.
     * @param {number} substeps
     */
    step(substeps) {
        for (let k = 0; k < substeps; k++) this.engine.mj_step(this.model, this.data);
    }

    /** Work out the contact forces on bodies, `cfrc_ext`. */
    feel() {
        this.engine.mj_rnePostConstraint(this.model, this.data);
    }

    /** Whether the numbers have diverged. */
    get unstable() {
        return !this.field("qpos").every(Number.isFinite);
    }

    /** Make places of bodies and geoms those of the present `qpos`: after a step they are older. */
    place() {
        this.engine.mj_kinematics(this.model, this.data);
    }
}
