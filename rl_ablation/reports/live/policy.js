/**
 * The policy with its named sites: what `rl_ablation.policies.policy.Policy.act` does for one row.
 * Sums are made in 64 bits; at the sites values have the lab's 32.
 */

/** @typedef {import("./types").PolicyData} PolicyData */
/** @typedef {(site: string, values: Float32Array) => void} Edit changes the values in place */
/** @typedef {{to: Record<string, number[]>, apply: Edit}} Cuts what is cut, and for whom alone */

/**
 * The error function, to 1.5e-7 (Abramowitz & Stegun 7.1.26).
 * @param {number} x
 */
function erf(x) {
    const t = 1 / (1 + 0.3275911 * Math.abs(x));
    const sum =
        t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    return Math.sign(x) * (1 - sum * Math.exp(-x * x));
}

/** @type {Record<string, (x: number) => number>} */
export const ACTIVATIONS = {
    tanh: Math.tanh,
    relu: (x) => Math.max(x, 0),
    elu: (x) => (x > 0 ? x : Math.expm1(x)),
    leaky_relu: (x) => (x > 0 ? x : 0.01 * x),
    silu: (x) => x / (1 + Math.exp(-x)),
    gelu: (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
    sigmoid: (x) => 1 / (1 + Math.exp(-x)),
    identity: (x) => x,
};

export class Policy {
    /** @param {PolicyData} data */
    constructor(data) {
        this.data = data;
        this.activation = ACTIVATIONS[data.activation];
        /** What every site did at the last step, after the cut. @type {Record<string, Float32Array>} */
        this.activity = {};
        for (const [site, units] of Object.entries(data.sites)) {
            this.activity[site] = new Float32Array(units);
        }
    }

    /**
     * The network's input for a raw observation, into the activity of `obs`.
     * @param {ArrayLike<number>} obs
     */
    normalise(obs) {
        const { obs_mean: mean, obs_std: std, obs_clip: limit } = this.data;
        const seen = this.activity.obs;
        for (let k = 0; k < seen.length; k++) {
            let value = obs[k];
            if (mean !== null && std !== null) {
                value = (value - mean[k]) / std[k];
                if (limit !== null) value = Math.min(Math.max(value, -limit), limit);
            }
            seen[k] = value;
        }
        return seen;
    }

    /**
     * Choose an action. For discrete actions the answer is a single number, the chosen one.
     * @param {ArrayLike<number>} obs raw
     * @param {Cuts | null} cuts
     * @returns {Float32Array}
     */
    act(obs, cuts) {
        this.normalise(obs);
        if (cuts === null || Object.keys(cuts.to).length === 0) {
            return this.forward(this.activity, (site, values) => cuts?.apply(site, values));
        }
        // What the receivers hear is worked out in a pass of its own; all others hear nothing of it.
        const heard = Object.fromEntries(Object.entries(this.activity).map(([site, x]) => [site, x.slice()]));
        this.forward(heard, (site, values) => cuts.apply(site, values));
        return this.forward(this.activity, (site, values) => {
            for (const unit of cuts.to[site] ?? []) values[unit] = heard[site][unit];
        });
    }

    /**
     * Pass through the network; `edit` may change the values of each site on the way.
     * @param {Record<string, Float32Array>} sites what every site does; that of `obs` is given
     * @param {Edit} edit
     * @returns {Float32Array} the action
     */
    forward(sites, edit) {
        const { layers, squash, low, high } = this.data;
        let values = sites.obs;
        edit("obs", values);
        layers.forEach(({ weight, bias }, k) => {
            const last = k === layers.length - 1;
            const out = last ? sites.action : sites[`h${k}`];
            const width = values.length;
            for (let row = 0; row < out.length; row++) {
                let sum = bias[row];
                for (let column = 0, at = row * width; column < width; column++, at++) {
                    sum += weight[at] * values[column];
                }
                out[row] = last ? sum : this.activation(sum);
            }
            if (!last) edit(`h${k}`, out);
            values = out;
        });
        if (low !== null && high !== null && squash !== "argmax") {
            for (let k = 0; k < values.length; k++) {
                if (squash === "tanh") {
                    values[k] = low[k] + 0.5 * (Math.tanh(values[k]) + 1) * (high[k] - low[k]);
                }
                values[k] = Math.min(Math.max(values[k], low[k]), high[k]);
            }
        }
        edit("action", values);
        if (squash === "argmax") return Float32Array.of(values.indexOf(Math.max(...values)));
        if (low === null || high === null) return values.slice();
        const [least, most] = [low, high];
        return values.map((value, k) => Math.min(Math.max(value, least[k]), most[k]));
    }
}
