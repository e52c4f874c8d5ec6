/** The data of a page: what the Python builder writes into it, unpacked. */

export interface Term {
    source: string;
    at?: number[];
    minus?: number | number[];
    scale?: number | number[];
    over?: number | number[];
    clip?: [number, number];
    history?: number;
    vector?: boolean;
    of?: string | { field: string; at?: number[] };
    entry?: number;
    unit?: boolean;
    heading?: string;
    period?: number;
    offset?: number;
    dofs?: number[];
    geoms?: string[];
    half?: number[][];
    reach?: number[];
    angles?: number[];
    range?: number;
    ahead?: number;
}

export interface End {
    name: string;
    signal: string;
    at_most?: number;
    below?: number;
    outside?: [number | null, number | null];
    beyond?: [number | null, number | null];
    gains_less?: number;
    within?: number;
}

export interface Gauge {
    signal: string;
    label: string;
    unit: string;
    low: number;
    high: number;
    measure: string | null;
    take: "mean" | "mean_abs" | "last";
    sign?: number;
    while?: string;
    wanted?: string;
}

export interface Start {
    seed: number;
    qpos: number[];
    qvel: number[];
    track?: number;
    nearest?: number;
    lateral?: number;
    commands?: [number, number[]][];
    pushes?: [number, number, number[]][];
}

/** Points are x, y, x, y, …; walls the left one's corners, then the right one's. */
export interface TrackData {
    points: Float64Array;
    heading: Float64Array;
    curvature: Float64Array;
    walls: Float64Array;
    length: number;
}

export interface Scene {
    format: number;
    world: string;
    model: string;
    dt: number;
    substeps: number;
    horizon: number | null;
    observation: {
        terms: Term[];
        clip: [number, number] | null;
        dtype: "float32" | "float64";
        names: string[];
    };
    control: {
        clip: [number, number] | null;
        scale: number | number[];
        offset: number | number[];
        names: string[];
    };
    signals: Record<string, Term>;
    at_start: string[];
    ends: End[];
    gauges: Gauge[];
    conditions: Record<string, { label: string; starts: Start[] }>;
    tracks: TrackData[];
    commands: { names: string[]; units: string[]; low: number[]; high: number[] } | null;
    push: { body: string; impulse: number; seconds: number; heading: string } | null;
    camera: { body: string; distance: number };
}

export interface PolicyData {
    sites: Record<string, number>;
    activation: string;
    squash: "clip" | "tanh" | "argmax" | "none";
    layers: { weight: Float32Array; bias: Float32Array }[];
    low: Float32Array | null;
    high: Float32Array | null;
    obs_mean: Float64Array | null;
    obs_std: Float64Array | null;
    obs_clip: number | null;
}

/** A coefficient for each unit, or one for all. */
export type Coefficients = number | Float32Array;

/**
 * scale = scale[0] + scale[1] · strength, shift alike, at every site, and along the directions of
 * every region that has some, as "DIGEST SITE".
 */
export interface KindData {
    name: string;
    doc: string;
    default: number | null;
    draws: "sample" | "alike" | "normal" | null;
    sites: Record<string, { scale: [Coefficients, Coefficients]; shift: [Coefficients, Coefficients] }>;
}

/** Moments × units, row by row; `neighbours`: moments × K; `spread` is the lab's s.d. of obs. */
export interface ActivityData {
    moments: number;
    neighbours: Uint16Array;
    spread: Float32Array;
    sites: Record<string, { mean: Float32Array; std: Float32Array; samples: Float32Array }>;
}

/** Directions of a site, K × units, row by row; what the intact robot does along each. */
export interface Directions {
    axes: Float32Array;
    mean: Float32Array;
    std: Float32Array;
}

/**
 * What a lesion has besides units: directions of sites, and the only units that hear of the cut,
 * with none: all. The digest is its part in the key of the lesion's random stream.
 */
export interface More {
    digest: string;
    directions: Record<string, Directions>;
    to: Record<string, number[]>;
}

export interface Lesion {
    cut: Record<string, Set<number>>;
    more: More | null;
    kind: string;
    strength: number | null;
    onset: number;
    when: string | null;
}

/** What the loss of a region does to a behaviour; the interval is of the change. */
export interface Effect {
    label: string;
    unit: string;
    intact: number;
    lesioned: number;
    low: number | null;
    high: number | null;
    better: -1 | 0 | 1;
    clear: boolean;
}

export interface Region {
    name: string;
    label: string;
    group: string;
    cut: Record<string, number[]>;
    more: More | null;
    effects: Effect[];
}

export interface RunData {
    kinds: string[];
    strength: number | null;
    episodes: number;
    seed: number;
    regions: Region[];
    findings: { region: string; text: string }[];
    /** Python that opens the run's plan. */
    plan: string;
}

export interface PageData {
    format: number;
    agent: string;
    world: string;
    engines: { page: string; lab: string };
    scene: Scene;
    policy: PolicyData;
    kinds: KindData[];
    activity: ActivityData;
    names: Record<string, string[]>;
    /** Condition → for each gauge, the intact robot's mean in the lab, and its spread. */
    intact: Record<string, ({ mean: number; spread: number } | null)[]>;
    run: RunData | null;
    /** Lines of Python that load the agent into `agent`. */
    load: string[];
}
