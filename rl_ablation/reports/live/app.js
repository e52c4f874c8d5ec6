/** The page at work: what is played, at what pace, and what is shown of it. */

import { any, button, calm, colour, darkness, input, say, select } from "./dom.js";
import { Gauges } from "./gauges.js";
import { NetworkPanel } from "./network.js";
import { address, copied, readAddress, sizeOf, startOf } from "./state.js";
import { aboutMarks, aboutUnit, countsOf, cutName, endText, python } from "./words.js";

/** @typedef {import("./types").PageData} PageData */
/** @typedef {import("./state.js").State} State */
/** @typedef {import("./race.js").Race} Race */
/** @typedef {import("./view.js").Stage} Stage */
/** @typedef {import("./network.js").Place} Place */
/** @typedef {import("./view.js").Camera} Camera */

const PAUSE = 1.2; // s between an end and the next start, at speed 1
const BUDGET = 30; // ms of a picture that may go into steps
const GLIMPSE = 250; // ms between two pictures when robots run as fast as it goes
const WRITE = 120; // ms between two writings of numbers
const ADDRESS = 400; // ms between two changes of the address, of which browsers allow few
const MOST = 1000; // "as fast as it goes"

export class App {
    /**
     * @param {PageData} data
     * @param {Race} race
     * @param {Stage | null} stage
     */
    constructor(data, race, stage) {
        this.data = data;
        this.race = race;
        this.stage = stage;
        /** @type {State} */
        this.state = readAddress(location.hash, data);
        this.playing = !calm();
        this.speed = 1;
        this.due = 0; // s of robot time that have passed since the last step
        this.rest = 0; // s to go before the next start
        this.last = 0; // ms, time of the last picture
        this.cost = 0; // ms that a picture takes
        this.drawn = 0; // ms, when the robots were last drawn
        this.written = 0; // ms, when numbers were last written
        this.addressed = -Infinity; // ms, when the address was last changed
        this.rushing = false; // whether `rush` runs
        this.stepped = 0; // steps made since the page began
        this.since = { at: 0, steps: 0, text: "" };
        /** @type {Place | null} */
        this.looked = null;
        /** Told when the state has changed. @type {(() => void)[]} */
        this.listeners = [];
        this.panel = new NetworkPanel(any("sites"), data, (change) => this.cut(change), (place) => {
            this.looked = place ?? this.looked;
            this.written = 0;
        });
        this.gauges = new Gauges(any("gauges"), data);
        this.inks = { ink: "", soft: "", line: "", intact: "", cut: "" };
    }

    /** Begin. */
    start() {
        const theme = () => this.theme();
        darkness.addEventListener("change", theme);
        addEventListener("hashchange", () => {
            if (location.hash !== address(this.state, this.data)) this.change(readAddress(location.hash, this.data));
        });
        new ResizeObserver(() => this.resize()).observe(any("pictures"));
        theme();
        this.change(this.state);
        requestAnimationFrame((now) => this.frame(now));
    }

    /** Take the colours of the page's style. */
    theme() {
        for (const name of /** @type {const} */ (["ink", "soft", "line", "intact", "cut"])) {
            this.inks[name] = colour(name);
        }
        this.panel.theme(darkness.matches);
        this.stage?.paint({
            sky: colour("sky"), floor: colour("floor"), tile: colour("tile"), wall: colour("wall"),
            intact: colour("intact"), cut: colour("cut"), ray: colour("ray"), lost: colour("cut"),
        });
    }

    resize() {
        this.stage?.resize(any("pictures").clientWidth, this.state.overlay);
        any("pictures").classList.toggle("stacked", this.stage?.size.stacked ?? false);
        any("pictures").classList.toggle("overlay", this.state.overlay);
    }

    /**
     * Change which units are cut, while the robots run on. Directions and connections are healed.
     * @param {(cut: Record<string, Set<number>>) => void} edit
     */
    cut(edit) {
        if (this.state.more !== null) Object.assign(this.state, copied());
        edit(this.state.cut);
        this.tell();
    }

    /**
     * Take another state, and start anew if the start or the condition is another.
     * @param {Partial<State>} changed
     */
    change(changed) {
        Object.assign(this.state, changed);
        if (startOf(this.state.condition, this.state.seed, this.data) === undefined) {
            this.state.seed = this.data.scene.conditions[this.state.condition].starts[0].seed;
        }
        if ("seed" in changed || "condition" in changed) this.restart();
        this.tell();
    }

    /** Carry the state out, and say it everywhere. */
    tell() {
        this.race.cut.robot.lesion(this.lesion());
        this.race.forget();
        this.show();
        for (const listener of this.listeners) listener();
    }

    /** The present lesion. Nothing is shared with the state: a robot keeps what it was given. */
    lesion() {
        const { cut, more, kind, strength, onset, when } = this.state;
        return { cut: { ...cut }, more, kind, strength, onset, when };
    }

    /** Show the state, without a change of it. */
    show() {
        const { state, data } = this, size = sizeOf(state);
        this.panel.mark(state);
        this.gauges.expect(state.condition);
        this.resize();
        const strength = state.strength === null ? "" : ` ${state.strength}`.replace("-", "−");
        say(any("cut-name"), size === 0 ? "nothing cut yet" : `without ${cutName(state, data)} (${state.kind}${strength})`);
        say(any("command"), python(state, data));
        if (performance.now() - this.addressed > ADDRESS) this.writeAddress();
        this.written = 0;
    }

    /** Write the state into the page's address. */
    writeAddress() {
        const hash = address(this.state, this.data);
        if (location.hash === hash) return;
        this.addressed = performance.now();
        history.replaceState(null, "", hash);
    }

    /** Start the episode anew. */
    restart() {
        const { state, data, race } = this;
        const start = startOf(state.condition, state.seed, data);
        if (start === undefined) return;
        race.reset(start, this.lesion());
        this.due = this.rest = 0;
        this.written = 0;
    }

    /** Go on with the next start, or the same one. */
    onward() {
        const { starts } = this.data.scene.conditions[this.state.condition];
        if (input("onward").checked) {
            const here = starts.findIndex(({ seed }) => seed === this.state.seed);
            this.state.seed = starts[(here + 1) % starts.length].seed;
            select("seed").value = String(this.state.seed);
        }
        this.restart();
        this.show();
    }

    /** One step by hand. */
    step() {
        this.play(false);
        if (this.race.over) this.onward();
        else this.advance();
        this.due = 0;
        this.written = 0;
    }

    /** @param {boolean} on */
    play(on) {
        this.playing = on;
        say(button("play"), on ? "Pause" : "Play");
    }

    advance() {
        this.race.step();
        this.stepped += 1;
    }

    /**
     * Let robot time pass.
     * @param {number} seconds of robot time
     */
    pass(seconds) {
        const { race } = this, { dt } = this.data.scene, began = performance.now();
        this.due += seconds;
        while (this.due >= dt && performance.now() - began < BUDGET) {
            this.due -= dt;
            if (!race.over) {
                this.advance();
                this.rest = this.speed === MOST ? 0 : PAUSE * Math.min(this.speed, 2);
            } else if (this.rest > 0) this.rest -= dt;
            else this.onward();
        }
        if (this.due >= dt) this.due = 0; // slower than asked for
    }

    /** Whether the robots run as fast as it goes. */
    get hurry() {
        return this.playing && this.speed === MOST;
    }

    /** Run as fast as it goes, apart from the pictures. */
    rush() {
        this.rushing = this.hurry;
        if (!this.rushing) return;
        this.pass(Infinity);
        setTimeout(() => this.rush(), 0);
    }

    /** @param {number} now ms */
    frame(now) {
        requestAnimationFrame((next) => this.frame(next));
        const gap = now - this.last;
        if (this.drawn === this.last) this.cost = gap; // the last picture's, as it came late
        this.last = now;
        this.stage?.tune(this.cost);
        if (this.hurry) {
            if (!this.rushing) this.rush();
            if (now - this.drawn < Math.max(GLIMPSE, 9 * this.cost)) return;
        } else if (this.playing) this.pass(Math.min(gap / 1000, 0.1) * this.speed);
        const share = this.speed > 4 ? 1 : this.playing ? this.due / this.data.scene.dt : 1;
        this.drawn = now;
        this.stage?.draw(share, {
            overlay: this.state.overlay, lidar: input("lidar").checked, trails: input("trails").checked,
            camera: /** @type {Camera} */ (select("camera").value),
        });
        const { intact, cut } = this.race;
        this.panel.paint(cut.robot.policy.activity, intact.robot.policy.activity, select("whose").value);
        if (now - this.written > WRITE) {
            this.written = now;
            this.write();
        }
    }

    /** How fast the robots run, where that is not the speed asked for; measured over a second. */
    pace() {
        const now = performance.now(), seconds = (now - this.since.at) / 1000;
        if (seconds > 1) {
            const pace = ((this.stepped - this.since.steps) * this.data.scene.dt) / seconds;
            const asked = this.playing && !this.race.over && Math.abs(pace / this.speed - 1) > 0.2;
            this.since = { at: now, steps: this.stepped, text: asked ? ` · ×${pace.toPrecision(2)}` : "" };
        }
        return this.since.text;
    }

    /** Write what changes with every step. */
    write() {
        const { race, data } = this;
        if (performance.now() - this.addressed > ADDRESS) this.writeAddress();
        this.gauges.draw(race, this.inks);
        const waits = sizeOf(this.state) > 0 && !race.cut.robot.cut && race.cut.robot.ended === "";
        for (const { name, robot } of race.runners) {
            const end = endText(robot.ended, robot.steps * data.scene.dt);
            say(any(`end-${name}`), name === "cut" && waits ? "not at this moment" : end);
            any(`plate-${name}`).classList.toggle("ended", robot.ended !== "" && robot.ended !== "time");
        }
        any("sites").classList.toggle("waits", waits);
        say(any("clock"), `${(race.steps * data.scene.dt).toFixed(1)} s${this.pace()}`);
        say(any("counts"), countsOf(race));
        say(any("marks"), aboutMarks(this.state, data, race));
        if (this.looked !== null) {
            any("detail").replaceChildren(...aboutUnit(this.looked.site, this.looked.unit, data, race).map((line) => {
                const part = document.createElement("span");
                part.textContent = line;
                return part;
            }));
        }
    }
}

export { MOST };
