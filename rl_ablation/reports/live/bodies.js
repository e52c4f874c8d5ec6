/** A robot as three.js sees it: the model's geoms, grouped by body. */

import {
    BoxGeometry, BufferGeometry, CapsuleGeometry, Color, CylinderGeometry, Float32BufferAttribute,
    Group, Mesh, MeshStandardMaterial, Quaternion, SphereGeometry, Vector3,
} from "three";

/** @typedef {import("./physics.js").Engine} Engine */
/** @typedef {import("./physics.js").Model} Model */

const SHOWN_GROUPS = 3; // geoms of groups 3 and above are for collisions, not for the eye

/**
 * The shape of a geom, in its own axes; null for what is not drawn.
 * @param {Engine} engine
 * @param {Model} model
 * @param {number} geom
 * @returns {BufferGeometry | null}
 */
function shape(engine, model, geom) {
    const kinds = engine.mjtGeom, kind = model.geom_type[geom];
    const [a, b, c] = model.geom_size.subarray(3 * geom, 3 * geom + 3);
    switch (kind) {
        case kinds.mjGEOM_SPHERE.value: return new SphereGeometry(a, 24, 16);
        case kinds.mjGEOM_ELLIPSOID.value: return new SphereGeometry(1, 24, 16).scale(a, b, c);
        case kinds.mjGEOM_BOX.value: return new BoxGeometry(2 * a, 2 * b, 2 * c);
        // three.js lays these along y, MuJoCo along z
        case kinds.mjGEOM_CAPSULE.value:
            return new CapsuleGeometry(a, 2 * b, 8, 20).rotateX(Math.PI / 2);
        case kinds.mjGEOM_CYLINDER.value:
            return new CylinderGeometry(a, a, 2 * b, 32).rotateX(Math.PI / 2);
        case kinds.mjGEOM_MESH.value: return mesh(model, model.geom_dataid[geom]);
        default: return null;
    }
}

/**
 * @param {Model} model
 * @param {number} id of the mesh
 */
function mesh(model, id) {
    const [vertex, face] = [model.mesh_vertadr[id], model.mesh_faceadr[id]];
    const vertices = model.mesh_vert.slice(3 * vertex, 3 * (vertex + model.mesh_vertnum[id]));
    const faces = model.mesh_face.slice(3 * face, 3 * (face + model.mesh_facenum[id]));
    const geometry = new BufferGeometry();
    geometry.setAttribute("position", new Float32BufferAttribute(vertices, 3));
    geometry.setIndex(Array.from(faces));
    const flat = geometry.toNonIndexed();
    flat.computeVertexNormals();
    return flat;
}

/**
 * Red, green, blue and opacity of a geom: those of its material, if it has one.
 * @param {Model} model
 * @param {number} geom
 * @returns {number[]}
 */
function paint(model, geom) {
    const material = model.geom_matid[geom];
    const [from, at] = material >= 0 ? [model.mat_rgba, material] : [model.geom_rgba, geom];
    return Array.from(from.subarray(4 * at, 4 * at + 4));
}

/** The drawn bodies of one robot; the world's own geoms, such as its floor, are left out. */
export class Bodies {
    /**
     * @param {Engine} engine
     * @param {Model} model
     */
    constructor(engine, model) {
        this.group = new Group();
        /** @type {Group[]} */
        this.bodies = [];
        /** @type {{material: MeshStandardMaterial, opacity: number}[]} */
        this.paints = [];
        for (let body = 0; body < model.nbody; body++) {
            this.bodies.push(new Group());
            this.group.add(this.bodies[body]);
        }
        for (let geom = 0; geom < model.ngeom; geom++) {
            const body = model.geom_bodyid[geom], [r, g, b, opacity] = paint(model, geom);
            if (body === 0 || model.geom_group[geom] >= SHOWN_GROUPS || opacity === 0) continue;
            const geometry = shape(engine, model, geom);
            if (geometry === null) continue;
            const material = new MeshStandardMaterial({
                color: new Color().setRGB(r, g, b, "srgb"), roughness: 0.65, metalness: 0.05,
            });
            const drawn = new Mesh(geometry, material);
            drawn.castShadow = drawn.receiveShadow = true;
            drawn.position.fromArray(model.geom_pos, 3 * geom);
            const [qw, qx, qy, qz] = model.geom_quat.subarray(4 * geom, 4 * geom + 4);
            drawn.quaternion.set(qx, qy, qz, qw);
            this.bodies[body].add(drawn);
            this.paints.push({ material, opacity });
        }
        this.ghost(false);
    }

    /**
     * Draw the robot as a ghost, or solid again.
     * @param {boolean} on
     */
    ghost(on) {
        for (const { material, opacity } of this.paints) {
            material.opacity = on ? 0.3 * opacity : opacity;
            material.transparent = material.opacity < 1;
            material.depthWrite = !on;
            material.needsUpdate = true;
        }
        this.group.traverse((part) => (part.castShadow = !on));
    }

    /**
     * Put every body where it was a step ago, where it is now, or between.
     * @param {Pose} before
     * @param {Pose} now
     * @param {number} share 0 before, 1 now
     */
    place(before, now, share) {
        this.bodies.forEach((body, k) => {
            body.position.fromArray(before.at, 3 * k).lerp(HERE.fromArray(now.at, 3 * k), share);
            body.quaternion.copy(turn(before.turn, k)).slerp(turn(now.turn, k), share);
        });
    }
}

/** Places and orientations of all bodies. @typedef {{at: Float64Array, turn: Float64Array}} Pose */

const HERE = new Vector3(), TURN = new Quaternion();

/**
 * A body's orientation.
 * @param {Float64Array} turns w, x, y, z of every body
 * @param {number} body
 */
function turn(turns, body) {
    const [w, x, y, z] = turns.subarray(4 * body, 4 * body + 4);
    return TURN.set(x, y, z, w);
}
