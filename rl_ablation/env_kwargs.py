"""Arguments of environments: which of them a file may set, and to what.

A card or a spec from somewhere else may say what the task is: the weights of its reward, what ends
it, how long it lasts. It may not say how the task is carried out, so no file to read, no wrapper,
no number of threads or environments: each argument is known here by name and range. For an
environment that the user has named, which is somebody else's code, other names will do too, with
plain values.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rl_ablation.errors import LabError

MOST = 64
"""Arguments, entries of a list, and characters of a word or name."""
DEPTH = 4
"""Values within values."""
_WORD = re.compile(rf"\w[\w -]{{0,{MOST - 1}}}", re.ASCII)  # no dot or slash, so no file
_OTHERWISE = (
    "additional_wrappers", "apply_api_compatibility", "autoreset_mode", "disable_env_checker", "id",
    "num_envs", "nthread", "persistent", "render_mode", "vector_kwargs", "vectorization_mode",
    "wrappers",
)  # fmt: skip
"""Of Gymnasium's ways to make an environment, and of our batches: how, not what."""


@dataclass(frozen=True)
class Rule:
    """What an argument has to be, in words and as a test."""

    words: str
    holds: Callable[[Any], bool]


def _number(low: float, high: float) -> Rule:
    words = f"a number from {low:g} to {high:g}"
    return Rule(words, lambda x: type(x) in (int, float) and low <= x <= high)


def _whole(low: int, high: int) -> Rule:
    words = f"a whole number from {low} to {high}"
    return Rule(words, lambda x: type(x) is int and low <= x <= high)


def _is_range(value: Any) -> bool:
    two = isinstance(value, list | tuple) and len(value) == 2
    return two and all(type(x) in (int, float) for x in value) and value[0] <= value[1]


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and _WORD.fullmatch(value) is not None


def _is_words(value: Any) -> bool:
    return isinstance(value, list | tuple) and 0 < len(value) <= MOST and all(map(_is_word, value))


def is_plain(value: Any, depth: int = DEPTH) -> bool:
    """Whether a value is a number, a word, or a few of them: nothing that could name a file."""
    if isinstance(value, Mapping):
        named = len(value) <= MOST and all(map(_is_word, value))
        return depth > 0 and named and all(is_plain(x, depth - 1) for x in value.values())
    if isinstance(value, list | tuple):
        return depth > 0 and len(value) <= MOST and all(is_plain(x, depth - 1) for x in value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return abs(value) < 1 << 63
    return value is None or _is_word(value)


_SWITCH = Rule("true or false", lambda x: type(x) is bool)
_WEIGHT, _RANGE = _number(-1e6, 1e6), Rule("two numbers, the lower one first", _is_range)
_PLAIN = Rule("a number, a word, or a few of them", is_plain)
_WEIGHTS = (
    "contact_cost_weight", "ctrl_cost_weight", "forward_reward_weight", "healthy_reward",
    "impact_cost_weight", "reward_control_weight", "reward_dist_weight", "reward_near_weight",
    "uph_cost_weight",
)  # fmt: skip
_RANGES = (
    "contact_cost_range", "contact_force_range", "healthy_angle_range", "healthy_state_range",
    "healthy_z_range", "impact_cost_range",
)  # fmt: skip
_SWITCHES = (
    "continuous", "enable_wind", "exclude_current_positions_from_observation", "fixed_start",
    "hardcore", "include_cfrc_ext_in_observation", "include_cinert_in_observation",
    "include_cvel_in_observation", "include_qfrc_actuator_in_observation", "sutton_barto_reward",
    "terminate_when_unhealthy", "use_contact_forces",
)  # fmt: skip

RULES: dict[str, Rule] = {
    **dict.fromkeys(_WEIGHTS, _WEIGHT),
    **dict.fromkeys(_RANGES, _RANGE),
    **dict.fromkeys(_SWITCHES, _SWITCH),
    "beams": _whole(1, 15),
    "frame_skip": _whole(1, 100),
    "g": _number(-100, 100),
    "goal_velocity": _number(-1, 1),
    "gravity": _number(-12, 0),
    "label_seed": _whole(0, (1 << 63) - 1),
    "max_episode_steps": _whole(1, 1_000_000),
    "reset_noise_scale": _number(0, 10),
    "tracks": Rule("names of tracks", _is_words),
    "turbulence_power": _number(0, 2),
    "wind_power": _number(0, 20),
}
"""The arguments of Gymnasium's tasks and of this lab's that a file may set."""


def check(env_kwargs: Mapping[str, Any], known: bool) -> None:
    """Raise a LabError unless a file may set these arguments.

    ``known`` says that the environment is Gymnasium's or this lab's, so that all its arguments are.
    """
    if len(env_kwargs) > MOST:
        raise LabError("a file sets more arguments of an environment than any has")
    for name, value in env_kwargs.items():
        rule = RULES.get(name)
        if rule is None and not known and _is_word(name) and name not in _OTHERWISE:
            rule = _PLAIN
        shown = name[:MOST]
        if rule is None:
            raise LabError(
                f"a file sets {shown!r} of its environment, which files may not; if it is wanted, "
                f"give it yourself, in Python: rl.load(…, env_kwargs={{{shown!r}: …}})"
            )
        if not rule.holds(value):
            raise LabError(
                f"a file sets {shown!r} of its environment to {str(value)[:MOST]}; "
                f"it has to be {rule.words}"
            )
