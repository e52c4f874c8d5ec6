"""Steps of a `Graph` as text, and what has to hold of them before they are run."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from rl_ablation.errors import LabError, escaped
from rl_ablation.files import MAX_WEIGHTS, shortened
from rl_ablation.policies.graph import OBS, OPERATIONS, RECURRENT, Graph, Step
from rl_ablation.policies.network import ACTIVATIONS

MAX_STEPS = 2_000
MAX_NAME = 200
"""Characters of a step's name; our own have about ten."""
MAX_VALUES = 1 << 17
"""Widths of all steps together: blocks of 256 rows of so many float64 are 256 MiB."""
_SITE = re.compile(r"h\d{1,4}")
_GATES = {"lstm": 4, "gru": 3}
_FORWARD = ("linear", "lstm", "gru")

_Widths = Mapping[str, int]


def check_steps(graph: Graph, obs_size: int) -> int:
    """The width of a graph's output for observations of that length.

    Raises:
        LabError: A step is unknown, asks for what is not there yet, or gets what does not fit it;
            sites that are no ``h0``, ``h1``, … or stand twice; weights that are too large or not
            finite.
    """
    _check_constants(graph.constants)
    if len(graph.steps) > MAX_STEPS:
        raise LabError(f"a network of {len(graph.steps):,} steps; at most {MAX_STEPS:,} are read")
    widths, total, sites = {OBS: obs_size}, 0, set()
    for step in graph.steps:
        where = f"the network's step {_shown(step.to)} ({_shown(step.do)})"
        if step.do not in {*OPERATIONS, *ACTIVATIONS, *RECURRENT}:
            raise LabError(f"the network has the unknown step {_shown(step.do)}")
        if lacking := [n for n in step.of if n not in widths and n not in graph.constants]:
            raise LabError(f"{where} needs {_shown(lacking[0])}, made nowhere before")
        if step.to in widths or step.to in graph.constants:
            raise LabError(f"{where} makes a value that is there already")
        try:
            width = _width(step, widths, graph.constants)
        except LabError as error:
            raise LabError(f"{where}: {error}") from None
        if step.site and (not _SITE.fullmatch(step.site) or step.site in sites):
            raise LabError(f"{where}: {_shown(step.site)} is no site, or there twice")
        if bool(step.site) != ("units" in step.about) or step.about.get("units", width) != width:
            raise LabError(f"{where}: a site has to say its {width} units")
        if step.site and step.do in ("slice", "identity", "clip"):  # it may be its input's memory
            raise LabError(f"{where} can be no site")
        sites.add(step.site)
        widths[step.to] = width
        if (total := total + width) > MAX_VALUES:
            raise LabError(f"a network with more than {MAX_VALUES:,} values between its steps")
    if graph.output not in widths:
        raise LabError(f"the network never makes its output {_shown(graph.output)}")
    return widths[graph.output]


def _shown(name: str) -> str:
    return repr(shortened(escaped(name[: MAX_NAME + 1]), 40))


def _check_constants(constants: Mapping[str, Tensor]) -> None:
    if 4 * sum(values.numel() for values in constants.values()) > MAX_WEIGHTS:
        raise LabError(f"weights of more than the {MAX_WEIGHTS // 10**6} MB allowed")
    for name, values in constants.items():
        if values.dtype != torch.float32:
            raise LabError(f"{_shown(name)} holds {values.dtype} values, not float32")
        if not bool(torch.isfinite(values).all()):
            raise LabError(f"{_shown(name)} holds values that are not finite (NaN or infinity)")


def _width(step: Step, widths: _Widths, constants: Mapping[str, Tensor]) -> int:
    """Values of a row that a step makes; a LabError where its inputs do not fit it."""
    about = {key: value for key, value in step.about.items() if key != "units"}
    allowed = _ABOUT.get(step.do, {})
    if odd := [key for key in about if key not in allowed or not allowed[key](about[key])]:
        raise LabError(f"no such thing can be said of it: {_shown(odd[0])}")
    shapes = [() if n in widths else tuple(constants[n].shape) for n in step.of]
    rows = [widths.get(name) for name in step.of]
    if step.do in (*_FORWARD, "layer_norm"):
        return _layer(step, rows, shapes)
    if step.do in ("add", "sub", "mul", "div", "pow"):
        if len(rows) != 2 or rows == [None, None] or any(len(shape) > 1 for shape in shapes):
            raise LabError("it takes two values, of which one comes from the observations")
        found = [math.prod(s) if r is None else r for r, s in zip(rows, shapes, strict=True)]
        if len({*found} - {1}) > 1 or 0 in found:
            raise LabError(f"values of the widths {found[0]} and {found[1]} do not fit")
        return max(found)
    given = [width for width in rows if width is not None]
    if not given or len(given) != len(rows):
        raise LabError("its inputs do not come from the observations")
    if step.do == "concat":
        return sum(given)
    if len(given) != 1:
        raise LabError(f"it takes one input, not {len(given)}")
    return _narrowed(step.do, about, given[0])


def _narrowed(do: str, about: Mapping[str, Any], width: int) -> int:
    if do == "slice":
        if not 0 <= about.get("start", -1) < about.get("stop", -1) <= width:
            raise LabError(f"it takes a part that its {width} values do not have")
        return int(about["stop"] - about["start"])
    if do == "take":
        if not about.get("at") or not all(0 <= k < width for k in about["at"]):
            raise LabError(f"it takes parts that its {width} values do not have")
        return len(about["at"])
    return 1 if do == "mean" else width


def _layer(step: Step, rows: Sequence[int | None], shapes: Sequence[tuple[int, ...]]) -> int:
    """Width of a layer with weights, if they fit its input and one another."""
    takes = {"linear": (2, 3), "layer_norm": (3,), "lstm": (4,), "gru": (5,)}[step.do]
    if len(rows) not in takes or rows[0] is None or any(row is not None for row in rows[1:]):
        raise LabError("it takes one value from the observations, and then its weights")
    inputs = rows[0]
    if step.do == "layer_norm":
        fits, width = all(shape == (inputs,) for shape in shapes[1:]), inputs
        fits = fits and "eps" in step.about
    elif step.do == "linear":
        width = shapes[1][0] if len(shapes[1]) == 2 else 0
        fits = shapes[1] == (width, inputs) and all(shape == (width,) for shape in shapes[2:])
    else:
        units = step.about.get("units")
        width = units if type(units) is int else 0
        gates = _GATES[step.do] * width
        biases = ((gates,),) * (len(shapes) - 3)
        fits = tuple(shapes[1:]) == ((gates, inputs), (gates, width), *biases)
        fits = fits and bool(step.site)
    if not fits or width <= 0:
        raise LabError(
            f"its weights {shortened(str(list(shapes[1:])), 80)} do not fit {inputs} inputs"
        )
    return int(width)


def _finite(value: object) -> bool:
    return type(value) in (int, float) and abs(value) < 1e30  # type: ignore[arg-type, operator]


def _end(value: object) -> bool:
    return value is None or _finite(value)


def _index(value: object) -> bool:
    return type(value) is int and 0 <= value <= MAX_VALUES


def _indices(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) <= MAX_VALUES and all(map(_index, value))


def _one(value: object) -> bool:
    return type(value) is int and value == 1


_ABOUT: dict[str, dict[str, Callable[[object], bool]]] = {
    "slice": {"axis": _one, "start": _index, "stop": _index},
    "concat": {"axis": _one},
    "take": {"at": _indices},
    "clip": {"low": _end, "high": _end},
    "layer_norm": {"eps": lambda value: _finite(value) and value > 0},  # type: ignore[operator]
    "elu": {"alpha": _finite},
    "leaky_relu": {"negative_slope": _finite},
    "gelu": {"approximate": lambda value: value in ("none", "tanh")},
}
"""Step → what may be said of it, and a test of that."""


def as_text(graph: Graph, obs_size: int) -> str:
    """A graph but for its constants, as JSON; `from_text` reads it."""
    steps = [[s.do, list(s.of), s.to, dict(s.about), s.site] for s in graph.steps]
    return json.dumps({"steps": steps, "output": graph.output, "obs_size": obs_size})


def from_text(text: str, constants: Mapping[str, Tensor]) -> tuple[Graph, int]:
    """The graph, which is not yet checked, and the length of observations of `as_text`'s JSON."""
    try:
        given = json.loads(text)
        if not isinstance(given["steps"], list) or len(given["steps"]) > MAX_STEPS:
            raise LabError(f"its network is no list of at most {MAX_STEPS:,} steps")
        steps = tuple(_step(*parts) for parts in given["steps"])
        output, obs_size = given["output"], given["obs_size"]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        told = str(error) if isinstance(error, LabError) else type(error).__name__
        raise LabError(f"the steps of its network are damaged ({told})") from None
    if not (_index(obs_size) and obs_size and isinstance(output, str)):
        raise LabError("the steps of its network are damaged (no output, or no observations)")
    return Graph(steps, constants, output), obs_size


def _step(do: object, of: object, to: object, about: object, site: object) -> Step:
    if not (isinstance(of, list) and isinstance(about, dict)):
        raise LabError("a step is no list of the right kinds")
    texts = [do, to, site, *of, *about]
    if not all(isinstance(text, str) and len(text) <= MAX_NAME for text in texts):
        raise LabError(f"a name is no text of at most {MAX_NAME} characters")
    return Step(str(do), tuple(map(str, of)), str(to), about, str(site))
