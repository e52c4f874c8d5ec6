"""Measures of legs: how well a walking robot obeys, how it holds itself, steps and recovers.

They read signals that worlds with legs give among their infos, in SI units:

* ``forward_speed``, ``lateral_speed`` (left is positive), ``speed`` over the ground, ``yaw_rate``,
  and the wanted ones ``command_vx``, ``command_vy``, ``command_yaw``;
* ``height``, ``uprightness`` (cosine of the tilt), ``fall``;
* ``power`` (W) and ``mass`` (kg);
* ``foot_contact``, (T, N, feet): two feet are a pair (left and right, or front and hind), four
  feet go round the body, so that every second one is diagonally opposite;
* ``pushed``: a push from outside acts in this step.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from rl_ablation.errors import LabError
from rl_ablation.measures.registry import ALIVE, MIN_STEPS, Words, averaged, measure, over
from rl_ablation.rollouts.rollout import Trace

GRAVITY = 9.81  # m/s²
MIN_SWING = 0.04  # s off the ground, or a touchdown is only a bounce of the last one
MIN_WALK = 1.0  # s alive, for a frequency of strides
MIN_TOUCHDOWNS = 3  # of either foot, for a phase between them
LONGEST = 2.0  # a stride of more than so many usual ones is a halt
SLOWEST = 0.05  # m/s; the cost of transport of a slower robot means nothing
RECOVERED_SPEED = 0.25  # m/s off the command, at most, averaged over STEADY
RECOVERED_TILT = 15.0  # degrees, at most
STEADY = 0.3  # s for which a robot must have kept both


# Motion.
averaged(
    "lateral_speed",
    unit="m/s",
    better=0,
    doc="Mean speed to the left of the robot's own heading",
    words=Words(
        "moves sideways at {of} its speed", "hardly moves sideways", "moves to the other side"
    ),
)
averaged(
    "yaw_rate",
    unit="rad/s",
    better=0,
    doc="Mean yaw rate, left is positive,",
    words=Words("turns at {of} its rate", "hardly turns", "turns the other way"),
)


def _register_tracking(name: str, speed: str, command: str, unit: str, what: str) -> None:
    def horizon(trace: Trace) -> np.ndarray:
        done = np.where(trace.alive, trace[speed], 0.0)
        return np.abs(done - trace.held(command)).mean(0, dtype=np.float64)

    def alive(trace: Trace) -> np.ndarray:
        return over(np.abs(trace[speed] - trace[command]), trace.alive)

    doc = f"Mean absolute difference between {what} and its command"
    ended = f"{doc} over the horizon; an ended robot stands still and keeps its last command"
    words = Words(f"misses the {what} asked for by {{now}} instead of {{was}}")
    tracking = partial(
        measure, signals=(speed, command), unit=unit, better=-1, error_of=speed, words=words
    )
    tracking(name=name, doc=ended, task=True)(horizon)
    tracking(name=name + ALIVE, doc=f"{doc} while alive", first=True)(alive)


_register_tracking("vx_error", "forward_speed", "command_vx", "m/s", "forward speed")
_register_tracking("vy_error", "lateral_speed", "command_vy", "m/s", "lateral speed")
_register_tracking("yaw_error", "yaw_rate", "command_yaw", "rad/s", "yaw rate")


_COMMAND = ("command_vx", "command_vy", "command_yaw")


def _standing(trace: Trace) -> np.ndarray:
    """Where the command is to stand still, (T, N); an ended robot keeps its last command."""
    return np.all([trace.held(name) == 0 for name in _COMMAND], axis=0)


_DRIFTS = Words("drifts at {now} instead of {was}")


@measure(signals=("speed", *_COMMAND), unit="m/s", better=-1, words=_DRIFTS)
def drift(trace: Trace) -> np.ndarray:
    """Mean speed over the ground while told to stand; an ended robot keeps its last speed.

    So falling over is no way of standing still.
    """
    return over(trace.held("speed"), _standing(trace))


@measure(signals=("speed", *_COMMAND), unit="m/s", better=-1, name="drift.alive", words=_DRIFTS)
def drift_alive(trace: Trace) -> np.ndarray:
    """Mean speed over the ground while told to stand and alive."""
    return over(trace["speed"], _standing(trace) & trace.alive)


# Posture.
averaged(
    "height",
    unit="m",
    better=0,
    after="hold",
    doc="Mean height of the trunk",
    words=Words("carries its trunk {as} high"),
)
averaged(
    "uprightness",
    better=1,
    unit="",
    after="hold",
    doc="Mean cosine of the trunk's tilt",
    first=True,
)


@measure(
    signals=("fall",), better=-1, ending="fell", first=True,
    words=Words("falls in {count} episodes", "without a fall"),
)  # fmt: skip
def fall(trace: Trace) -> np.ndarray:
    """Share of episodes that end in a fall."""
    return (trace["fall"].max(0) > 0).astype(np.float64)


@measure(signals=("fall",), unit="s", better=1, words=Words("stays up {as} long"))
def time_to_fall(trace: Trace) -> np.ndarray:
    """Time until the robot fell, or the horizon."""
    fell = trace["fall"] > 0
    return np.asarray(np.where(fell.any(0), fell.argmax(0) + 1, len(fell)) * trace.dt)


# Energy.
@measure(
    signals=("power",), unit="J", better=-1, economy=True, words=Words("takes {of} its energy")
)
def energy(trace: Trace) -> np.ndarray:
    """Work of the motors until the end, braking counted as work: Σ |torque × joint velocity| dt."""
    return np.where(trace.alive, trace["power"], 0.0).sum(0, dtype=np.float64) * trace.dt


averaged(
    "power",
    unit="W",
    better=-1,
    doc="Mean mechanical power of the motors",
    economy=True,
    words=Words("takes {of} its power"),
)


@measure(
    signals=("power", "speed", "mass"), better=-1, economy=True, first=True,
    words=Words("takes {as} much energy for its way"),
)  # fmt: skip
def cost_of_transport(trace: Trace) -> np.ndarray:
    """Energy per weight and distance gone, E / (m g d), until the end; NaN below 0.05 m/s.

    The specific resistance of Gabrielli and von Kármán (1950), "What price speed?", Mechanical
    Engineering 72, as Tucker (1975), "The energetic cost of moving about", American Scientist 63,
    puts it for animals; here of mechanical energy at the motors.
    """
    steps = trace.steps
    seconds = steps * trace.dt
    distance = np.where(trace.alive, trace["speed"], 0.0).sum(0, dtype=np.float64) * trace.dt
    weight = trace["mass"][0].astype(np.float64) * GRAVITY
    moved = (steps >= MIN_STEPS) & (distance >= SLOWEST * seconds)
    return np.where(moved, energy(trace) / (weight * np.where(moved, distance, 1.0)), np.nan)


# Steps.
def touchdowns(trace: Trace) -> np.ndarray:
    """Steps in which a foot comes down after `MIN_SWING` in the air, (T, N, feet) bool."""
    contact = trace["foot_contact"] > 0
    swing = max(1, round(MIN_SWING / trace.dt))
    down = np.zeros_like(contact)
    down[swing:] = contact[swing:] & trace.alive[swing:, :, None]
    for back in range(1, swing + 1):
        down[swing:] &= ~contact[swing - back : len(contact) - back]
    return down


def gait_phase(contact: np.ndarray, alive: np.ndarray | None = None) -> np.ndarray:
    """The phase of a gait from the contacts of one foot: 0 where it touches down, 2π at the next.

    In between it rises evenly. A touch-down is a step on the ground after two or more in the air
    and before another one on the ground: a foot that leaves the ground for a single step, or
    touches it for one, has made none.

    Args:
        contact: The foot is on the ground, (T, N).
        alive: The robot made this step, (T, N); None, all.

    Returns:
        Rad in [0, 2π), (T, N); NaN before the first touch-down and after the last one, and in
        strides of more than twice the robot's usual length (their median), in which it stood.
    """
    ground = np.asarray(contact) > 0
    if ground.ndim != 2:
        raise LabError(f"contacts of one foot are (T, N), not of the shape {ground.shape}")
    alive = np.ones(ground.shape, bool) if alive is None else alive
    phase = np.full(ground.shape, np.nan)
    down = ground[2:-1] & ground[3:] & ~ground[1:-2] & ~ground[:-3] & alive[3:]
    for robot in range(ground.shape[1]):
        at = np.flatnonzero(down[:, robot]) + 2
        if at.size < 2:
            continue
        strides = np.diff(at)
        steps = np.arange(at[0], at[-1])
        stride = np.searchsorted(at, steps, side="right") - 1
        turn = (steps - at[stride]) / strides[stride]
        halt = strides[stride] > LONGEST * np.median(strides)
        phase[steps, robot] = np.where(halt, np.nan, 2 * np.pi * turn)
    return phase


def _last_and_next(down: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each step the last touchdown at or before it and the first after it; −1 and T if none."""
    steps = np.arange(len(down)).reshape(-1, *[1] * (down.ndim - 1))
    last = np.maximum.accumulate(np.where(down, steps, -1), axis=0)
    coming = np.minimum.accumulate(np.where(down, steps, len(down))[::-1], axis=0)[::-1]
    after = np.concatenate([coming[1:], np.full_like(coming[:1], len(down))])
    return last, after


def _in_step(down: np.ndarray, pairs: tuple[tuple[int, int], ...]) -> np.ndarray:
    """How far the feet of each pair come down together: mean cosine of the phase lag, (N,).

    Where a foot comes down within the other's stride, as a share of that stride, is its phase
    lag: 0 is together (cosine 1), one half is in alternation (−1).
    """
    total, count = np.zeros(down.shape[1]), np.zeros(down.shape[1])
    last, after = _last_and_next(down)
    for one, other in (*pairs, *((b, a) for a, b in pairs)):
        begun, ends = last[:, :, other], after[:, :, other]
        inside = down[:, :, one] & (begun >= 0) & (ends < len(down))
        steps = np.arange(len(down))[:, None]
        lag = (steps - begun) / np.maximum(ends - begun, 1)
        total += np.where(inside, np.cos(2 * np.pi * lag), 0.0).sum(0)
        count += inside.sum(0)
    seen = count >= MIN_TOUCHDOWNS * len(pairs)
    return np.where(seen, total / np.maximum(count, 1), np.nan)


@measure(
    signals=("foot_contact",), unit="Hz", better=0, words=Words("steps {as} often", "hardly steps")
)
def gait_frequency(trace: Trace) -> np.ndarray:
    """Strides per second while alive, mean over the feet; a foot that does not step counts 0.

    NaN for robots alive for less than 1 s. A stride runs from one touchdown of a foot to its next
    (Alexander 2003, "Principles of Animal Locomotion").
    """
    down = touchdowns(trace)
    first = down.argmax(0)
    final = len(down) - 1 - down[::-1].argmax(0)
    strides = np.maximum(down.sum(0) - 1, 0)
    rate = strides / np.maximum((final - first) * trace.dt, trace.dt)
    return np.where(trace.steps * trace.dt >= MIN_WALK, rate.mean(-1), np.nan)


@measure(signals=("foot_contact",), better=0)
def duty_factor(trace: Trace) -> np.ndarray:
    """Share of the time that a foot is on the ground while alive, mean over the feet.

    Hildebrand (1965), "Symmetrical gaits of horses", Science 150; above one half it is a walk,
    below a run (Alexander 2003).
    """
    return over((trace["foot_contact"] > 0).mean(-1), trace.alive)


@measure(signals=("foot_contact",), better=-1, economy=True)
def duty_imbalance(trace: Trace) -> np.ndarray:
    """Largest less smallest duty factor among the feet, while alive: a limp."""
    contact = trace["foot_contact"] > 0
    on = np.stack([over(contact[..., k], trace.alive) for k in range(contact.shape[-1])])
    return on.max(0) - on.min(0)


@measure(signals=("foot_contact",), better=0)
def phase_symmetry(trace: Trace) -> np.ndarray:
    """How evenly the two feet of a pair alternate: 1 half a stride apart, −1 together (a hop).

    Pairs as in Hildebrand (1965): the fore feet and the hind feet, or the only two. −cos of the
    phase lag, averaged over touchdowns.
    """
    down = touchdowns(trace)
    if down.shape[-1] not in (2, 4):
        return np.full(down.shape[1], np.nan)
    return -_in_step(down, ((0, 1),) if down.shape[-1] == 2 else ((0, 1), (2, 3)))


@measure(signals=("foot_contact",), better=0)
def diagonal_synchrony(trace: Trace) -> np.ndarray:
    """How far diagonally opposite feet step together: 1 a trot, 0 a walk, −1 a pace or bound.

    Cosine of the phase lag (after Hildebrand 1965), averaged over touchdowns; four feet only.
    """
    down = touchdowns(trace)
    if down.shape[-1] != 4:
        return np.full(down.shape[1], np.nan)
    return _in_step(down, ((0, 2), (1, 3)))


# Pushes. Only the first of an episode counts; episodes without one give NaN.
_SPEEDS = ("forward_speed", "lateral_speed", "command_vx", "command_vy")
_RECOVERY = ("pushed", "uprightness", *_SPEEDS)


def _after_push(trace: Trace) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Steps since the first push began, (T, N); that it has been, (T, N); the robots hit, (N,)."""
    pushed = (trace["pushed"] > 0) & trace.alive
    hit = pushed.any(0)
    since = np.arange(len(pushed))[:, None] - pushed.argmax(0)
    return since, hit & (since >= 0), hit


@measure(
    signals=("pushed", "uprightness"), unit="°", better=-1,
    words=Words("tilts by {now} after a push instead of {was}"),
)  # fmt: skip
def push_tilt(trace: Trace) -> np.ndarray:
    """Largest tilt of the trunk from the first push on."""
    _, after, hit = _after_push(trace)
    tilt = np.degrees(np.arccos(np.clip(trace["uprightness"], -1.0, 1.0)))
    return np.where(hit, np.where(after & trace.alive, tilt, 0.0).max(0), np.nan)


def _recovery_steps(trace: Trace) -> tuple[np.ndarray, np.ndarray]:
    """Steps from the onset of the first push to recovery; T where there is none. And who is hit."""
    since, after, hit = _after_push(trace)
    over_steps = max(1, round(STEADY / trace.dt))
    off = np.stack(
        [trace["forward_speed"] - trace["command_vx"], trace["lateral_speed"] - trace["command_vy"]]
    )
    # Means over the last `over_steps`, so that the sway of each stride does not count.
    total = np.cumsum(np.pad(off, ((0, 0), (over_steps, 0), (0, 0))), axis=1, dtype=np.float64)
    mean = (total[:, over_steps:] - total[:, :-over_steps]) / over_steps
    calm = np.hypot(*mean) <= RECOVERED_SPEED
    level = trace["uprightness"] >= np.cos(np.radians(RECOVERED_TILT))
    unlevel = np.cumsum(np.pad(~level, ((over_steps, 0), (0, 0))), axis=0)
    calm &= unlevel[over_steps:] == unlevel[:-over_steps]
    acting = (trace["pushed"] > 0) & (since >= 0)
    recovered = calm & after & trace.alive & ~acting & (since >= over_steps)
    steps = np.where(recovered, since, len(since)).min(0)
    return steps, hit


@measure(
    signals=_RECOVERY, unit="s", better=-1,
    words=Words("takes {now} to recover from a push instead of {was}"),
)  # fmt: skip
def push_recovery(trace: Trace) -> np.ndarray:
    """Time from the first push until the robot is level and at its command; else to the horizon.

    Recovered is who, for 0.3 s after the push began, has been within 15° of upright and on
    average within 0.25 m/s of its commanded velocity.
    """
    steps, hit = _recovery_steps(trace)
    pushed = (trace["pushed"] > 0) & trace.alive
    left = len(pushed) - pushed.argmax(0)
    return np.where(hit, np.minimum(steps, left) * trace.dt, np.nan)


@measure(signals=_RECOVERY, better=1, words=Words("recovers in {count} episodes"))
def push_recovered(trace: Trace) -> np.ndarray:
    """Share of pushed robots that recover before the end; see `push_recovery`."""
    steps, hit = _recovery_steps(trace)
    return np.where(hit, steps < len(trace.alive), np.nan)
