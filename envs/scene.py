"""A world as plain data, so that something else can play it: a web page, say.

`scene` gathers the model as XML, what the world's `Description` says in terms, and the very starts
that its seeds give. All of it goes into JSON as it stands, numbers exactly.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import mujoco
import numpy as np

from envs.terms import Description, End, Term, limits, plain
from envs.tracks import Track

FORMAT = 1

# What MuJoCo 4 writes as <general input="…">, and 3 does not read: servos by their own name.
_SERVOS = {"pos": "position", "vel": "velocity"}
# The arrays of a model in which the attributes of elements are found: prefix_attribute.
_PREFIXES = {
    "worldbody//body": "body",
    "worldbody//geom": "geom",
    "worldbody//joint": "jnt",
    "worldbody//camera": "cam",
    "worldbody//light": "light",
    "worldbody//site": "site",
    "actuator/*": "actuator",
}

_INERTIAL = {"pos": "ipos", "quat": "iquat", "diaginertia": "inertia"}  # likewise, of an inertial


def portable(spec: mujoco.MjSpec) -> str:
    """The model of a spec as XML that MuJoCo 3.14 and 4.0 both read, and that gives the same model.

    Raises:
        ValueError: What MuJoCo writes gives another model.
    """
    model = spec.compile()
    root = ElementTree.fromstring(spec.to_xml())
    for path, prefix in _PREFIXES.items():
        for number, element in enumerate(root.iterfind(path), prefix == "body"):
            _exact(element, model, prefix, number)
            if prefix == "body" and (inertial := element.find("inertial")) is not None:
                _exact(inertial, model, prefix, number, _INERTIAL)
    for servo in root.iterfind("actuator/general[@input]"):
        _as_servo(servo)
    return _checked(ElementTree.tostring(root, "unicode"), model)


def portable_file(path: str | Path, model: mujoco.MjModel) -> str:
    """The text of an XML file, without comments; ``model`` is what came of it.

    Raises:
        ValueError: It needs other files, or gives another model.
    """
    if others := [name for name in mujoco.mju_getXMLDependencies(str(path)) if name != str(path)]:
        raise ValueError(
            f"{path} needs other files ({', '.join(others)}); only a model of one file can be "
            "played elsewhere"
        )
    root = ElementTree.fromstring(Path(path).read_text())
    return _checked(ElementTree.tostring(root, "unicode"), model)


def _exact(
    element: ElementTree.Element,
    model: mujoco.MjModel,
    prefix: str,
    number: int,
    names: Mapping[str, str] | None = None,
) -> None:
    """Put the model's own numbers into an element, where MuJoCo has written six digits of them."""
    for name, text in element.attrib.items():
        values = getattr(model, f"{prefix}_{(names or {}).get(name, name)}", None)
        if not isinstance(values, np.ndarray) or values.dtype.kind != "f":
            continue
        written = text.split()
        exact = values[number].ravel()[: len(written)].tolist()
        if np.allclose([float(word) for word in written], exact, rtol=1e-5, atol=1e-9):
            element.set(name, " ".join(map(repr, exact)))


def _as_servo(element: ElementTree.Element) -> None:
    """Turn a general actuator that follows a position or velocity into what it was made of."""
    about = element.attrib
    element.tag = _SERVOS[about.pop("input")]
    gain = about.pop("gainprm", "1").split()[0]
    bias = [*about.pop("biasprm", "").split(), "0", "0", "0"]
    about.pop("biastype", None)
    if element.tag == "velocity":
        about["kv"] = gain
    else:
        about |= {"kp": gain, "kv": bias[2].removeprefix("-")}


def _checked(text: str, model: mujoco.MjModel) -> str:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "compiler attribute 'settotalmass'")
        try:
            again = mujoco.MjSpec.from_string(text).compile()  # which prints nothing
        except ValueError as error:
            reason = " ".join(str(error).split())
            raise ValueError(f"MuJoCo cannot read the model's XML again: {reason}") from None
    if differing := differences(model, again):
        raise ValueError(
            "the model's XML, read again, gives another model, so it cannot be played elsewhere: "
            f"{', '.join(differing)} differ"
        )
    return text


def differences(model: mujoco.MjModel, other: mujoco.MjModel) -> list[str]:
    """The names of the fields in which two models differ, however little."""
    differing = []
    for prefix, one, two in (
        ("", model, other), ("opt.", model.opt, other.opt), ("stat.", model.stat, other.stat)
    ):  # fmt: skip
        for name in dir(one):
            values = None if name.startswith("_") else getattr(one, name)
            if isinstance(values, int | float | bytes | np.ndarray) and not np.array_equal(
                values, getattr(two, name)
            ):
                differing.append(prefix + name)
    return differing


def scene(world: Any, seeds: Sequence[int], conditions: Sequence[str]) -> dict[str, Any]:
    """Describe a world and its starts; see `docs/reference/scene.md` for the format.

    Args:
        world: A `BatchEnv` with a description; it is reset.
        seeds: One for each of its rows.
        conditions: To start under; "" for none.
    """
    said: Description = world.description
    signals, ends = _named_ends({**said.signals, **said.step_signals}, said.ends)
    tracks: list[Track] = []
    started = {c: _starts(world, seeds, c, tracks) for c in conditions}
    space = world.single_observation_space
    return plain({
        "format": FORMAT,
        "world": world.spec.id if world.spec else type(world).__name__,
        "model": world.model_xml(),
        "dt": world.dt,
        "substeps": world.frame_skip,
        "horizon": world.max_episode_steps,
        "observation": {
            "terms": said.observation, "size": space.shape[0], "clip": limits(space),
            "dtype": space.dtype.name, "names": world.metadata.get("observation_names", ()),
        },
        "control": {**vars(said.control), "names": world.metadata.get("action_names", ())},
        "signals": signals,
        "at_start": list(said.signals),
        "ends": ends,
        "gauges": said.gauges,
        "conditions": {
            name: {"label": _label(world, name), "starts": starts}
            for name, starts in started.items()
        },
        "tracks": [vars(track) for track in tracks],
        "commands": said.commands,
        "push": said.push,
        "camera": said.camera,
    })  # fmt: skip


def _named_ends(
    signals: Mapping[str, Term], ends: Sequence[End]
) -> tuple[dict[str, Term], list[dict[str, Any]]]:
    """The signals, with those that only ends read, and the ends, with signals for their terms."""
    signals, told = dict(signals), []
    for number, said in enumerate(ends):
        names = [name for name, term in signals.items() if term == said["term"]]
        name = names[0] if names else f"{said['name']}_{number}"
        signals[name] = said["term"]
        test = {key: value for key, value in said.items() if key != "term"}
        told.append({**test, "signal": name})
    return signals, told


def _starts(
    world: Any, seeds: Sequence[int], condition: str, tracks: list[Track]
) -> list[dict[str, Any]]:
    """The starts of a condition, one for each seed; new tracks are added to ``tracks``."""
    world.reset(seed=list(seeds), options={"condition": condition or None})
    starts = []
    for row, seed in enumerate(seeds):
        facts = world.start_facts(row)
        if (track := facts.get("track")) is not None:
            if not any(track is known for known in tracks):
                tracks.append(track)
            facts["track"] = next(i for i, known in enumerate(tracks) if known is track)
        state = {name: world.robots.field(name)[row] for name in ("qpos", "qvel")}
        starts.append(plain({"seed": int(seed), **state, **facts}))
    return starts


def _label(world: Any, condition: str) -> str:
    about = world.metadata["conditions"].get(condition, {})
    return about.get("label", condition.replace("_", " "))
