"""Networks as straight-line programs: what other people's files hold besides plain MLPs.

A `Graph` is a list of steps, each a known operation on named values. Nothing of a file is run: a
reader makes steps of what it recognises, and what it does not know it refuses.

A recurrent step, ``lstm`` or ``gru``, has a site of its own kind. Say it has the site ``h0``:

- ``h0`` is what goes on to the next layer. A cut there leaves the memory as it is.
- ``h0.hidden`` is what the same units will hear of it in the next step. A cut there takes that.
- ``h0.cell`` (LSTM only) is the cell state, before the output is made of it. A cut there takes the
  memory and, in the same step, what the output says of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rl_ablation.errors import LabError
from rl_ablation.files import array_digest, digest
from rl_ablation.policies.network import ACTIVATIONS, Edit, Memory, linear

OBS = "obs"
HIDDEN, CELL = ".hidden", ".cell"
STATES = {HIDDEN: "hidden state", CELL: "cell state"}
"""How a site's name ends → what it is in words."""
RECURRENT = ("lstm", "gru")


@dataclass(frozen=True)
class Step:
    """One operation of a `Graph`.

    Attributes:
        do: A name in `OPERATIONS`, in `rl_ablation.policies.network.ACTIVATIONS`, or in
            `RECURRENT`.
        of: Names of its inputs: of other steps, of constants, or ``obs``.
        to: Name of its output.
        about: What else the operation needs, fit for JSON.
        site: Name of the site that its output is; "" for none.
    """

    do: str
    of: tuple[str, ...]
    to: str
    about: Mapping[str, Any] = field(default_factory=dict)
    site: str = ""


def _slice(x: Tensor, axis: int, start: int, stop: int) -> Tensor:
    return x.narrow(axis, start, stop - start)


def _take(x: Tensor, at: Sequence[int]) -> Tensor:
    return x[:, list(at)]


def _clip(x: Tensor, low: float | None = None, high: float | None = None) -> Tensor:
    return x if low is None and high is None else x.clamp(low, high)


def _mean(x: Tensor) -> Tensor:
    return x.mean(1, keepdim=True)


def _layer_norm(x: Tensor, scale: Tensor, shift: Tensor, eps: float) -> Tensor:
    """(x − mean) / √(variance + eps) · scale + shift, each row by itself: Ba et al. 2016."""
    from_mean = x - _mean(x)
    return from_mean / torch.sqrt(_mean(from_mean * from_mean) + eps) * scale + shift


OPERATIONS: dict[str, Callable[..., Tensor]] = {
    "linear": linear,
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "concat": lambda *parts, axis: torch.cat(parts, axis),
    "slice": _slice,
    "take": _take,
    "clip": _clip,
    "mean": _mean,
    "pow": torch.pow,
    "sqrt": torch.sqrt,
    "erf": torch.erf,
    "layer_norm": _layer_norm,
    "softplus": F.softplus,
    "softsign": F.softsign,
    "selu": F.selu,
    "mish": F.mish,
}
"""Name → function of the step's inputs, with what it is ``about`` by name. All values are rows
(BLOCK, W), or constants (W,) or (), and no operation mixes rows.
`rl_ablation.policies.steps.check_steps` holds that."""


@dataclass(frozen=True, eq=False)
class Graph:
    """A network of steps in order; it computes in double precision, as `MLP` does, and why.

    ``constants`` are name → float32; ``output`` names the value that is the raw action (BLOCK, A).
    """

    steps: tuple[Step, ...]
    constants: Mapping[str, Tensor]
    output: str

    @cached_property
    def _wide(self) -> dict[str, Tensor]:
        with torch.inference_mode(False):  # else nobody could take gradients through them later
            return {name: values.double() for name, values in self.constants.items()}

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Units of each hidden site, in the order in which the signal passes them."""
        found: dict[str, int] = {}
        for step in self.steps:
            if step.site:
                size = int(step.about["units"])
                found |= dict.fromkeys((*reversed(_states(step)), step.site), size)
        return found

    @cached_property
    def memory(self) -> dict[str, int]:
        """Units of each state that a recurrent step keeps."""
        return {name: int(step.about["units"]) for step in self.steps for name in _states(step)}

    @cached_property
    def digest(self) -> str:
        """Of steps and constants."""
        steps = [[s.do, s.of, s.to, dict(s.about), s.site] for s in self.steps]
        arrays = {name: array_digest(values.numpy()) for name, values in self.constants.items()}
        return digest([json.dumps(steps, sort_keys=True), self.output, sorted(arrays.items())])

    def __call__(self, obs: Tensor, edit: Edit, memory: Memory | None = None) -> Tensor:
        """Run the steps; see `rl_ablation.policies.network.Network`. No memory is an empty one."""
        values: dict[str, Tensor] = {**self._wide, OBS: obs.double()}
        memory = {} if memory is None else memory
        for step in self.steps:
            given = [values[name] for name in step.of]
            if step.do in RECURRENT:
                made = _RECURRENT[step.do](step, given, edit, memory)
            else:
                function = OPERATIONS.get(step.do) or ACTIVATIONS[step.do]
                made = function(*given, **_named(step.about))
            values[step.to] = edit(step.site, made) if step.site else made
        return values[self.output]


def _named(about: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in about.items() if key != "units"}


def _states(step: Step) -> tuple[str, ...]:
    """Names of what a step keeps from one step of the robot to the next."""
    if step.do not in RECURRENT:
        return ()
    hidden = f"{step.site}{HIDDEN}"
    return (hidden, f"{step.site}{CELL}") if step.do == "lstm" else (hidden,)


def _kept(memory: Memory, name: str, like: Tensor, units: int) -> Tensor:
    """A state of the step before; zeros at the start."""
    if name in memory:
        return memory[name].double()
    return torch.zeros(len(like), units, dtype=torch.float64)


def _lstm(step: Step, given: Sequence[Tensor], edit: Edit, memory: Memory) -> Tensor:
    """An LSTM's step. Inputs: x (n, D), weights (4H, D) and (4H, H), bias (4H,), as in torch.

    The gates' order is input, forget, cell, output; c' = f·c + i·g and h = o·tanh(c').
    Source: Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000.
    """
    x, into, around, bias = given
    hidden, cell = _states(step)
    units = int(step.about["units"])
    before = _kept(memory, hidden, x, units)
    gates = linear(x, into, bias) + linear(before, around)
    i, f, g, o = gates.chunk(4, 1)
    c = torch.sigmoid(f) * _kept(memory, cell, x, units) + torch.sigmoid(i) * torch.tanh(g)
    c = edit(cell, c)
    h = torch.sigmoid(o) * torch.tanh(c)
    memory[cell] = c.float()
    memory[hidden] = edit(hidden, h.clone()).float()
    return h


def _gru(step: Step, given: Sequence[Tensor], edit: Edit, memory: Memory) -> Tensor:
    """A GRU's step. Inputs: x (n, D), weights (3H, D) and (3H, H), biases (3H,) twice, as in torch.

    The gates' order is reset, update, new: n = tanh(Wx + b + r·(Uh + b')), h' = (1−z)·n + z·h.
    Source: Cho et al. 2014, with the reset after the product as cuDNN and torch have it.
    """
    x, into, around, bias, bias_around = given
    (hidden,) = _states(step)
    before = _kept(memory, hidden, x, int(step.about["units"]))
    r, z, n = linear(x, into, bias).chunk(3, 1)
    r_around, z_around, n_around = linear(before, around, bias_around).chunk(3, 1)
    r, z = torch.sigmoid(r + r_around), torch.sigmoid(z + z_around)
    h = (1 - z) * torch.tanh(n + r * n_around) + z * before
    memory[hidden] = edit(hidden, h.clone()).float()
    return h


_RECURRENT = {"lstm": _lstm, "gru": _gru}


Arrays = Sequence[np.ndarray]


def remembering(
    kind: str, memory: Sequence[Arrays], layers: Sequence[tuple[np.ndarray, np.ndarray]], act: str
) -> Graph:
    """A network of recurrent layers and an MLP behind them, as most that remember are.

    Args:
        kind: ``lstm`` or ``gru``.
        memory: Of each recurrent layer the weights (gates·H, D) and (gates·H, H) and both biases
            (gates·H,), in the order that torch has them.
        layers: Weight (out, in) and bias (out,) of each layer behind, the last one's the action's.
        act: Activation function of the hidden ones among them.

    Raises:
        LabError: Shapes that do not fit, or an unknown activation function.
    """
    if act not in ACTIVATIONS:
        raise LabError(f"unknown activation {act!r}; choose from {', '.join(ACTIVATIONS)}")
    constants: dict[str, np.ndarray] = {}
    steps: list[Step] = []
    last, size, site = OBS, memory[0][0].shape[-1], 0
    for arrays in memory:
        units = arrays[1].shape[-1]
        gates = {"lstm": 4, "gru": 3}[kind] * units
        if [x.shape for x in arrays] != [(gates, size), (gates, units), (gates,), (gates,)]:
            raise LabError(f"recurrent layer {site} has weights of shapes that do not fit")
        into, around, one, other = arrays
        given = (into, around, one + other) if kind == "lstm" else (into, around, one, other)
        names = [f"h{site}.{k}" for k in range(len(given))]
        constants |= dict(zip(names, given, strict=True))
        steps.append(Step(kind, (last, *names), f"m{site}", {"units": units}, f"h{site}"))
        last, size, site = f"m{site}", units, site + 1
    for k, (weight, bias) in enumerate(layers):
        if weight.shape != (len(bias), size):
            raise LabError(f"layer {k} takes {weight.shape[1:]} inputs of {size}")
        constants |= {f"l{k}.weight": weight, f"l{k}.bias": bias}
        steps.append(Step("linear", (last, f"l{k}.weight", f"l{k}.bias"), f"l{k}"))
        last, size = f"l{k}", len(bias)
        if k < len(layers) - 1:
            steps.append(Step(act, (last,), f"a{k}", {"units": size}, f"h{site}"))
            last, site = f"a{k}", site + 1
    return Graph(tuple(steps), {name: _kept_as(name, x) for name, x in constants.items()}, last)


def _kept_as(name: str, values: np.ndarray) -> Tensor:
    if not np.isfinite(values).all():
        raise LabError(f"{name} holds values that are not finite (NaN or infinity)")
    return torch.from_numpy(np.array(values, np.float32, order="C"))
