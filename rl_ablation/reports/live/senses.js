/**
 * What a robot senses, and what its world says of it: terms, plain data of the scene that
 * `envs/terms.py` reads over a batch. Here a term is compiled once to a function of one robot.
 */

/** @typedef {import("./types").Term} Term */
/** @typedef {import("./types").Scene} Scene */
/** @typedef {import("./robot.js").Robot} Robot */
/** @typedef {(robot: Robot) => ArrayLike<number>} Read */

/** The root's heading, by how it moves. @type {Record<string, (qpos: Float64Array) => number>} */
export const HEADINGS = {
    free: ([, , , w, x, y, z]) => Math.atan2(2 * (x * y + w * z), w * w + x * x - y * y - z * z),
    twist: ([, , , w, , , z]) => 2 * Math.atan2(z, w),
    hinge: (qpos) => qpos[2],
};

/**
 * A vector's first two entries as [along, left of] a heading.
 * @param {number} x
 * @param {number} y
 * @param {number} heading
 * @returns {[number, number]}
 */
function turned(x, y, heading) {
    const [cos, sin] = [Math.cos(heading), Math.sin(heading)];
    return [x * cos + y * sin, y * cos - x * sin];
}

/**
 * Direction of gravity in the root's axes.
 * @param {Robot} robot
 * @param {boolean} unit
 * @returns {[number, number, number]}
 */
function gravity(robot, unit) {
    let [, , , w, x, y, z] = robot.physics.field("qpos");
    if (unit) {
        const length = Math.sqrt(w * w + x * x + y * y + z * z);
        [w, x, y, z] = [w / length, x / length, y / length, z / length];
    }
    return [-2 * (x * z - w * y), -2 * (y * z + w * x), -(w * w - x * x - y * y + z * z)];
}

/**
 * A place whose motion is wanted: entries of an array of the state, or the centre of mass.
 * @param {{field: string, at?: number[]}} of
 * @returns {Read}
 */
function place({ field, at }) {
    if (field === "com") return (robot) => robot.physics.centreOfMass();
    return (robot) => {
        const values = robot.physics.field(field);
        return at === undefined ? values.slice() : at.map((k) => values[k]);
    };
}

/**
 * Velocity over the control step.
 * @param {Term} term
 * @param {Scene} scene
 * @returns {Read}
 */
function moved(term, scene) {
    const of = /** @type {{field: string, at?: number[]}} */ (term.of);
    const now = place(of), key = JSON.stringify(of);
    return (robot) => {
        const before = robot.before.get(key), after = now(robot);
        const speed = Array.from(after, (v, k) => (before ? (v - before[k]) / scene.dt : 0));
        if (term.heading === undefined) return speed;
        const heading = HEADINGS[term.heading](robot.physics.field("qpos"));
        return [...turned(speed[0], speed[1], heading), ...speed.slice(2)];
    };
}

/** A source's maker of reading functions. @type {Record<string, (term: Term, scene: Scene) => Read>} */
const SOURCES = {
    action: () => (robot) => robot.action,
    command: () => (robot) => robot.command,
    pushed: () => (robot) => [robot.pushed ? 1 : 0],
    gravity: ({ unit }) => (robot) => gravity(robot, unit === true),
    yaw_rate: ({ unit }) => (robot) => {
        const down = gravity(robot, unit === true), qvel = robot.physics.field("qvel");
        return [-(down[0] * qvel[3] + down[1] * qvel[4] + down[2] * qvel[5])];
    },
    cos: ({ of, entry }) => (robot) =>
        [Math.cos(robot.physics.field(/** @type {string} */ (of))[entry ?? 0])],
    phase: ({ period, offset }, { dt }) => (robot) => {
        const angle = (2 * Math.PI * robot.steps * dt) / (period ?? 1) + (offset ?? 0);
        return [Math.cos(angle), Math.sin(angle)];
    },
    velocity: ({ heading }) => (robot) => {
        const [vx, vy] = robot.physics.field("qvel");
        return turned(vx, vy, HEADINGS[heading ?? "free"](robot.physics.field("qpos")));
    },
    moved,
    speed: (term, scene) => {
        const read = moved(term, scene);
        return (robot) => {
            const velocity = read(robot);
            return [Math.hypot(velocity[0], velocity.length > 1 ? velocity[1] : 0)];
        };
    },
    power: ({ dofs }) => (robot) => {
        if (robot.steps === 0) return [0];
        const torque = robot.physics.field("qfrc_actuator"), qvel = robot.physics.field("qvel");
        const power = dofs === undefined
            ? qvel.reduce((sum, v, k) => sum + Math.abs(torque[k] * v), 0)
            : dofs.reduce((sum, k) => sum + Math.abs(torque[k] * qvel[k]), 0);
        return [power];
    },
    feet: ({ geoms, half, reach }) => (robot) => {
        const at = robot.physics.field("geom_xpos"), turn = robot.physics.field("geom_xmat");
        return /** @type {string[]} */ (geoms).map((name, k) => {
            const geom = robot.physics.geom(name);
            const sizes = /** @type {number[][]} */ (half)[k];
            const below = sizes.reduce((sum, s, j) => sum + Math.abs(turn[9 * geom + 6 + j]) * s, 0);
            return at[3 * geom + 2] - below < /** @type {number[]} */ (reach)[k] ? 1 : 0;
        });
    },
    lidar: ({ angles, range }) => {
        const ways = /** @type {number[]} */ (angles);
        const rays = {
            cosines: ways.map(Math.cos), sines: ways.map(Math.sin),
            range: /** @type {number} */ (range),
        };
        return (robot) => {
            const [x, y, , w, , , z] = robot.physics.field("qpos");
            return robot.place?.lidar(x, y, 2 * Math.atan2(z, w), rays) ?? [];
        };
    },
    track: ({ of, ahead }) => (robot) => [robot.place?.[/** @type {"bend"} */ (of)](ahead) ?? 0],
};

/**
 * A term as a function of the robot.
 * @param {Term} term
 * @param {Scene} scene
 * @returns {Read}
 */
export function compileTerm(term, scene) {
    const { source, at, minus, scale, over, clip, history } = term;
    const read = SOURCES[source]?.(term, scene) ?? ((robot) => robot.physics.field(source));
    /** @type {(values: number | number[] | undefined, k: number, none: number) => number} */
    const of = (values, k, none) => (Array.isArray(values) ? values[k] : (values ?? none));
    /** @type {Read} */
    const now = (robot) => {
        const values = read(robot);
        const out = new Float64Array(at === undefined ? values.length : at.length);
        for (let k = 0; k < out.length; k++) {
            const value = values[at === undefined ? k : at[k]];
            out[k] = ((value - of(minus, k, 0)) * of(scale, k, 1)) / of(over, k, 1);
            if (clip !== undefined) out[k] = Math.min(Math.max(out[k], clip[0]), clip[1]);
        }
        return out;
    };
    return history === undefined ? now : (robot) => robot.remember(term, history, now(robot));
}

/**
 * The places that must be known from before a step, by the name under which they are kept.
 * @param {Scene} scene
 * @returns {Map<string, Read>}
 */
export function placesBefore(scene) {
    const terms = [...scene.observation.terms, ...Object.values(scene.signals)];
    const motions = terms.filter(({ source }) => source === "moved" || source === "speed");
    return new Map(motions.map(({ of }) => {
        const where = /** @type {{field: string, at?: number[]}} */ (of);
        return [JSON.stringify(where), place(where)];
    }));
}

/**
 * Whether a scene's terms read contact forces, which MuJoCo works out only on demand.
 * @param {Scene} scene
 */
export const feelsForces = (scene) =>
    [...scene.observation.terms, ...Object.values(scene.signals)].some(
        ({ source }) => source === "cfrc_ext",
    );
