"""From the steps of a file to a policy: its normaliser, its network with sites, its squashing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rl_ablation.errors import LabError
from rl_ablation.policies.exports.program import Program, Row, tensors
from rl_ablation.policies.graph import OBS, RECURRENT, Graph, Step
from rl_ablation.policies.network import ACTIVATIONS
from rl_ablation.policies.policy import Card, Policy
from rl_ablation.policies.steps import MAX_STEPS
from rl_ablation.policies.storage import make_graph, make_mlp

FUNCTIONS = {*ACTIVATIONS, "softplus", "softsign", "selu", "mish"}
"""The activation functions: after each there is a site."""
_USUAL: dict[str, dict[str, Any]] = {
    "elu": {"alpha": 1.0}, "gelu": {"approximate": "none"}, "leaky_relu": {"negative_slope": 0.01},
}  # fmt: skip
_ROOT = 2.0**0.5
_NEAR = 1e-6  # of numbers that a file has as float32


@dataclass
class _Work:
    """Steps by what they make, in order, on the way to a policy."""

    steps: dict[str, Step]
    constants: Mapping[str, np.ndarray]
    output: str

    def uses(self) -> Counter[str]:
        """How often each value is taken; the output once more."""
        return Counter([name for step in self.steps.values() for name in step.of] + [self.output])

    def maker(self, name: str, *does: str) -> Step | None:
        """The step that makes a value, if it is one of these."""
        step = self.steps.get(name)
        return step if step is not None and step.do in does else None

    def number(self, name: str) -> float | None:
        """A constant that is one number."""
        values = self.constants.get(name)
        return None if values is None or values.size != 1 else float(values.reshape(()))

    def sweep(self) -> None:
        """Leave out steps that the output does not need."""
        needed, kept = {self.output}, []
        for step in reversed(self.steps.values()):
            if step.to in needed:
                needed.update(step.of)
                kept.append(step)
        self.steps = {step.to: step for step in reversed(kept)}


def settle(program: Program, action: Row, card: Card) -> Policy:
    """The policy of a program whose action is that row; the card's squash is found here.

    A chain of linear layers with one activation function between them becomes an `MLP`, anything
    else a `Graph`.

    Raises:
        LabError: What is in it does not fit.
    """
    work = _Work({s.to: s for s in program.steps}, program.constants, program.named(action))
    work.sweep()
    if len(work.steps) > MAX_STEPS:
        raise LabError(f"comes to {len(work.steps):,} steps; at most {MAX_STEPS:,} are read")
    _spelled_out(work)
    work.sweep()
    arrays: dict[str, Any] = {}
    arrays["obs_mean"], arrays["obs_std"], clip = _normaliser(work, program.obs_size)
    squash, arrays["low"], arrays["high"] = _squashing(work, action.size)
    work.sweep()
    if not work.steps:
        raise LabError("holds no network")
    names = {step.do for step in work.steps.values() if step.do in FUNCTIONS}
    activation = ", ".join(sorted(names)) or "identity"
    card = card.model_copy(update={"squash": squash, "obs_clip": clip, "activation": activation})
    if (layers := _chain(work)) is not None:
        return make_mlp(layers, card, **arrays)
    used = {name for step in work.steps.values() for name in step.of}
    constants = {name: values for name, values in work.constants.items() if name in used}
    graph = Graph(_with_sites(work, program), tensors(constants), work.output)
    return make_graph(graph, card, obs_size=program.obs_size, **arrays)


def _with_sites(work: _Work, program: Program) -> tuple[Step, ...]:
    """The steps, with a site ``h0``, ``h1``, … after each activation function and memory."""
    made, count = [], 0
    for step in work.steps.values():
        if step.do in (*FUNCTIONS, *RECURRENT) and step.do != "identity":
            about = {**step.about, "units": program.sizes[step.to]}
            step, count = replace(step, about=about, site=f"h{count}"), count + 1
        made.append(step)
    return tuple(made)


def _spelled_out(work: _Work) -> None:
    """Make one step of what files say in several: x·σ(x), GELU, mish, and a bias added."""
    for step in list(work.steps.values()):
        uses = work.uses() if step.do in ("mul", "add") else Counter()
        for first, second in (step.of, step.of[::-1]) if len(step.of) == 2 else ():
            if step.do == "mul" and (found := _product(work, first, second, uses)):
                do, of = found
                work.steps[step.to] = Step(do, (of,), step.to)
                break
            if step.do == "add" and (linear := work.maker(first, "linear")):
                bias = work.constants.get(second)
                fits = bias is not None and bias.shape == work.constants[linear.of[1]].shape[:1]
                if fits and len(linear.of) == 2 and uses[first] == 1:
                    work.steps[step.to] = Step("linear", (*linear.of, second), step.to)
                    break
        usual = _USUAL.get(step.do, {})
        near = {k: v for k, v in step.about.items() if k in usual and _same(v, usual[k])}
        if near:
            about = {k: v for k, v in step.about.items() if k not in near}
            work.steps[step.to] = replace(step, about=about)


def _same(value: Any, usual: Any) -> bool:
    if isinstance(usual, str) or isinstance(value, str):
        return bool(value == usual)
    return abs(value - usual) <= _NEAR * abs(usual)


def _product(work: _Work, x: str, gate: str, uses: Counter[str]) -> tuple[str, str] | None:
    """(activation function, its input) that a product of two values is; None for any product."""
    sigmoid, tanh = work.maker(gate, "sigmoid"), work.maker(gate, "tanh")
    if sigmoid and sigmoid.of == (x,) and uses[gate] == 1:
        return "silu", x
    if tanh and uses[gate] == 1:
        softplus = work.maker(tanh.of[0], "softplus")
        if softplus and softplus.of == (x,) and uses[softplus.to] == 1:
            return "mish", x
    half = work.number(gate)
    if half is not None and abs(half - 0.5) < _NEAR and (inner := work.maker(x, "mul")):
        for first, second in (inner.of, inner.of[::-1]):  # x · (1 + erf(x / √2)) · 0.5
            if uses[x] == 1 and _is_erf(work, first, second):
                return "gelu", first
    if inner := work.maker(x, "mul"):
        for first, second in (inner.of, inner.of[::-1]):  # (x · 0.5) · (1 + erf(x / √2))
            half = work.number(second)
            if half is not None and abs(half - 0.5) < _NEAR and _is_erf(work, first, gate):
                return "gelu", first
    return None


def _is_erf(work: _Work, x: str, name: str) -> bool:
    """Whether a value is 1 + erf(x / √2)."""
    plus = work.maker(name, "add")
    for first, second in (plus.of, plus.of[::-1]) if plus else ():
        erf, one = work.maker(first, "erf"), work.number(second)
        if erf is None or one is None or abs(one - 1) > _NEAR:
            continue
        scaled = work.maker(erf.of[0], "div", "mul")
        by = work.number(scaled.of[1]) if scaled and scaled.of[0] == x else None
        if scaled and by is not None:
            return abs(by - (_ROOT if scaled.do == "div" else 1 / _ROOT)) < _NEAR
    return False


def _normaliser(
    work: _Work, size: int
) -> tuple[np.ndarray | None, np.ndarray | None, float | None]:
    """Mean, standard deviation and clip that stand before everything else; their steps are gone."""
    mean, std, clip, at, done = np.zeros(size), np.ones(size), None, OBS, 0
    while (step := _only_taker(work, at)) is not None:
        values = [work.constants[name] for name in step.of if name in work.constants]
        value = values[0].astype(np.float64) if values else np.zeros(())
        first = step.of[0] == at
        if value.size not in (1, size):
            break
        if (
            step.do in ("sub", "add")
            and done < 1
            and len(values) == 1
            and (first or step.do[0] == "a")
        ):
            mean, done = mean + (value if step.do == "sub" else -value), 1
        elif step.do in ("div", "mul") and done < 2 and len(values) == 1 and (value > 0).all():
            if not first and step.do == "div":
                break
            std, done = std * (value if step.do == "div" else 1 / value), 2
        elif step.do == "clip" and _symmetric(step.about):
            clip, done = float(step.about["high"]), 3
        else:
            break
        _bypass(work, step, at)
        if done == 3:
            break
    return (mean, std, clip) if done else (None, None, None)


def _symmetric(about: Mapping[str, Any]) -> bool:
    high = about["high"] or 0
    return bool(high > 0 and about["low"] == -high)


def _only_taker(work: _Work, name: str) -> Step | None:
    """The step that takes a value, if there is only one, which takes it once."""
    if work.uses()[name] != 1 or work.output == name:
        return None
    return next(step for step in work.steps.values() if name in step.of)


def _bypass(work: _Work, step: Step, source: str) -> None:
    """Take a step out: who takes its result takes what it took."""
    del work.steps[step.to]
    for name, other in work.steps.items():
        of = tuple(source if part == step.to else part for part in other.of)
        work.steps[name] = replace(other, of=of)
    if work.output == step.to:
        work.output = source


def _squashing(work: _Work, size: int) -> tuple[str, np.ndarray | None, np.ndarray | None]:
    """How the file makes actions of raw ones, with the bounds; these steps are gone."""
    _parts_first(work)
    clipped = work.maker(work.output, "clip")
    if clipped and None not in (clipped.about["low"], clipped.about["high"]):
        _bypass(work, clipped, clipped.of[0])
        _parts_first(work)
        ends = (clipped.about["low"], clipped.about["high"])
        low, high = (np.full(size, end, np.float32) for end in ends)
        return "clip", low, high
    scale, shift, at = np.ones(size), np.zeros(size), work.output
    outer: list[tuple[Step, str]] = []
    for do in ("add", "mul"):  # tanh(raw) · scale + shift
        if step := work.maker(at, do):
            inner = [name for name in step.of if name not in work.constants]
            values = [work.constants[name] for name in step.of if name in work.constants]
            if len(inner) == 1 and (values[0] > 0).all() | (do == "add"):
                scale, shift = (scale * values[0], shift) if do == "mul" else (scale, values[0])
                outer.append((step, inner[0]))
                at = inner[0]
    if (tanh := work.maker(at, "tanh")) and work.uses()[at] == 1:
        for step, source in (*outer, (tanh, tanh.of[0])):
            _bypass(work, step, source)
        _parts_first(work)
        return "tanh", shift - scale, shift + scale
    return "none", None, None


def _parts_first(work: _Work) -> None:
    """Have the output's parts taken before functions of each number, and out of the weights."""
    while (part := work.maker(work.output, "slice", "take")) and work.uses()[part.of[0]] == 1:
        source = work.steps.get(part.of[0])
        if source is None:
            return
        if source.do in ("tanh", "clip"):
            work.steps = {k: s for k, s in work.steps.items() if s not in (part, source)}
            work.steps[source.to] = replace(part, of=source.of, to=source.to)
            work.steps[part.to] = replace(source, of=(source.to,), to=part.to)
            return _below(work, part.to)
        if source.do != "linear":
            return
        _narrow(work, part, source)


def _below(work: _Work, name: str) -> None:
    """The same below a function of each number."""
    outer, work.output = work.output, work.steps[name].of[0]
    kept = work.steps.pop(name)
    _parts_first(work)
    work.steps[name] = replace(kept, of=(work.output,))
    work.output = outer


def _narrow(work: _Work, part: Step, linear: Step) -> None:
    """Only the outputs of a linear layer that are used."""
    about = part.about
    places = about["at"] if part.do == "take" else range(about["start"], about["stop"])
    kept = {f"{name}.{part.to}": work.constants[name][list(places)] for name in linear.of[1:]}
    work.constants = {**work.constants, **kept}
    del work.steps[linear.to], work.steps[part.to]
    work.steps[part.to] = Step("linear", (linear.of[0], *kept), part.to)


def _chain(work: _Work) -> list[tuple[np.ndarray, np.ndarray]] | None:
    """Layers of a network that is a plain chain, with one activation function; else None."""
    layers, at, functions = [], OBS, set()
    steps = list(work.steps.values())
    for k, step in enumerate(steps):
        if step.of[0] != at or (step.do != "linear" and (step.do not in ACTIVATIONS or step.about)):
            return None
        if (step.do == "linear") != (k % 2 == 0):
            return None
        if step.do == "linear":
            weight = work.constants[step.of[1]]
            none = np.zeros(len(weight), np.float32)
            layers.append((weight, work.constants[step.of[2]] if len(step.of) > 2 else none))
        else:
            functions.add(step.do)
        at = step.to
    chain = at == work.output and len(steps) % 2 == 1 and len(functions) <= 1
    return layers if chain else None
