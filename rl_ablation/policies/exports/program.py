"""What readers of exported networks make: steps for one observation at a time.

A file is read as a robot runs it, with one observation in each call. So the values of a reader have
the shapes that they have then, all sizes are known, and what the file says of a batch axis cannot
mix observations: the rows of a `Graph` stand outside of these shapes, and a step's value in a row
is the reader's value laid flat. What only moves numbers about (reshapes, slices, splits,
transpositions, gathers) comes down to one list of places.

A state, what a recurrent network keeps between calls, comes in as a value whose numbers have
*marks*, from 0 on. The layer that takes it gives a new state, whose marks are those below 0: see
`renewed`. At the end an output of the file with the renewed marks of an input is that state, kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from rl_ablation.errors import LabError
from rl_ablation.files import MAX_WEIGHTS
from rl_ablation.policies.graph import OBS, Step
from rl_ablation.policies.steps import MAX_STEPS, MAX_VALUES

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Row:
    """A value that is made of the observation: the step that makes it, and its shape in the file.

    ``marks``, of that shape, are those of a state. A state that no step makes has the name "".
    """

    name: str
    shape: Shape
    marks: np.ndarray | None = None

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)


Operand = Row | np.ndarray


@dataclass
class Program:
    """Steps and their constants, growing.

    ``left``, ``room`` and ``values`` are how many numbers may still be looked at, be kept as
    constants, and be the values of a row; ``marks`` is how many marks states have, and ``taken``
    those of states that have their layer.
    """

    steps: list[Step] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    left: int = MAX_WEIGHTS // 2
    room: int = MAX_WEIGHTS // 4
    values: int = 4 * MAX_VALUES
    marks: int = 0
    taken: list[int] = field(default_factory=list)
    obs_size: int = 0

    def obs(self, shape: Shape) -> Row:
        """The observation."""
        self.obs_size = self.widen(math.prod(shape))
        return Row(OBS, shape)

    def state(self, shape: Shape) -> Row:
        """A state that comes in."""
        size = self.widen(math.prod(shape))
        marks = np.arange(self.marks, self.marks + size).reshape(shape)
        self.marks += size
        return Row("", shape, marks)

    def widen(self, size: int) -> int:
        """Count the numbers of a value against what a network may have."""
        self.values -= size
        if size <= 0 or self.values < 0:
            raise LabError(f"values of more than {4 * MAX_VALUES:,} numbers in all, or of none")
        return size

    def fold(self, size: int) -> None:
        """Count numbers that are read, moved, or computed of constants, before they are."""
        self.left -= size
        if self.left < 0:
            raise LabError("computes more of its constants than any policy does")

    def constant(self, values: np.ndarray) -> str:
        """Keep a constant as float32, and give its name."""
        with np.errstate(over="ignore"):
            kept = np.asarray(values, np.float32, order="C")
        if not np.isfinite(kept).all():
            raise LabError("computes constants that are not finite (NaN or infinity)")
        self.room -= kept.size
        if self.room < 0:
            raise LabError(f"weights of more than the {MAX_WEIGHTS // 10**6} MB allowed")
        name = f"c{len(self.constants)}"
        self.constants[name] = kept
        return name

    def step(self, do: str, of: Sequence[Row | str], shape: Shape, **about: Any) -> Row:
        """Add a step of rows and of names of constants; gives the row that it makes."""
        names = [self.named(part) if isinstance(part, Row) else part for part in of]
        if len(self.steps) >= 2 * MAX_STEPS:
            raise LabError(f"comes to more than {2 * MAX_STEPS:,} steps")
        name = f"v{len(self.steps)}"
        self.sizes[name] = self.widen(math.prod(shape))
        self.steps.append(Step(do, tuple(names), name, about))
        return Row(name, shape)

    @staticmethod
    def named(row: Row) -> str:
        """The name of a row that is no mere state."""
        if not row.name:
            raise LabError("uses a state, or a second input, otherwise than as a memory")
        return row.name

    def moved(self, row: Row, move: Callable[[np.ndarray], np.ndarray]) -> Row:
        """A row whose numbers a function of arrays moves, leaves out or repeats."""
        self.fold(row.size)
        places = move(np.arange(row.size).reshape(row.shape))
        self.widen(places.size)
        marks = None if row.marks is None else row.marks.reshape(-1)[places]
        flat = places.reshape(-1)
        first, size = int(flat[0]), len(flat)
        whole = np.array_equal(flat, np.arange(first, first + size))
        if not row.name or (whole and size == row.size):
            return Row(row.name, places.shape, marks)
        if whole:
            part = {"axis": 1, "start": first, "stop": first + size}
            made = self.step("slice", [row], places.shape, **part)
        else:
            made = self.step("take", [row], places.shape, at=flat.tolist())
        return Row(made.name, made.shape, marks)

    def joined(self, rows: Sequence[Row], axis: int) -> Row:
        """Rows as one, along an axis of their shapes."""
        places, start = [], 0
        for row in rows:
            places.append(np.arange(start, start + row.size).reshape(row.shape))
            start += row.size
        order = np.concatenate(places, axis)
        marks = [row.marks for row in rows if row.marks is not None]
        flat_marks = [mark.reshape(-1) for mark in marks]
        all_marks = np.concatenate(flat_marks) if len(marks) == len(rows) else None
        if all(not row.name for row in rows):
            whole = Row("", (start,), all_marks)
        else:
            made = self.step("concat", rows, (start,), axis=1)
            whole = Row(made.name, made.shape, all_marks)
        return self.moved(whole, lambda flat: flat[order])

    def unary(self, do: str, row: Row, **about: Any) -> Row:
        """A function of each number."""
        return self.step(do, [row], row.shape, **about)

    def binary(self, do: str, first: Operand, second: Operand) -> Row:
        """A function of two values' numbers, which are spread over one another as in NumPy."""
        try:
            shape = np.broadcast_shapes(first.shape, second.shape)
        except ValueError:
            raise LabError(f"values {first.shape} and {second.shape} do not fit") from None
        return self.step(do, [self.spread(first, shape), self.spread(second, shape)], shape)

    def spread(self, part: Operand, shape: Shape) -> Row | str:
        """An operand in that shape, or one constant number."""
        if isinstance(part, Row):
            if part.size == 1:
                return part
            return self.moved(part, lambda places: np.broadcast_to(places, shape))
        if part.size == 1:
            return self.constant(part.reshape(()))
        self.fold(math.prod(shape))
        return self.constant(np.broadcast_to(part, shape).reshape(-1))

    def linear(self, row: Row, weight: np.ndarray, bias: np.ndarray | None = None) -> Row:
        """Weight (out, in) times a row, whose numbers all lie along its last axis; plus bias."""
        if weight.ndim != 2 or not row.shape or row.shape[-1] != row.size:
            raise LabError(f"weights {weight.shape} times values {row.shape} are not supported")
        if weight.shape[1] != row.size or (bias is not None and bias.shape != weight.shape[:1]):
            raise LabError(f"weights {weight.shape} do not fit values {row.shape}")
        parts = [weight] if bias is None else [weight, bias]
        names = [self.constant(part) for part in parts]
        return self.step("linear", [row, *names], (*row.shape[:-1], len(weight)))

    def recurrent(
        self, do: str, row: Row, weights: Sequence[np.ndarray], states: Mapping[str, Row | None]
    ) -> tuple[Row, dict[str, Row]]:
        """A recurrent layer of torch's weights; gives its output (H,) and its new states.

        ``states`` are those that come in, by name, None for one that the file keeps itself.
        """
        units = weights[1].shape[1] if weights[1].ndim == 2 else 0
        if row.size != row.shape[-1] or weights[0].ndim != 2 or row.size != weights[0].shape[1]:
            raise LabError(f"weights {weights[0].shape} do not fit values {row.shape}")
        new: dict[str, Row] = {}
        for name, state in states.items():
            if state is None:
                state = self.state((units,))
            elif state.size != units or state.name or state.marks is None or state.marks.min() < 0:
                raise LabError("begins from something else than zeros or a state of its own")
            new[name] = state
        flat = Row(row.name, (row.size,), row.marks)
        names = [self.constant(part) for part in weights]
        made = self.step(do, [flat, *names], (units,), units=units)
        for name, state in new.items():
            assert state.marks is not None
            marks = state.marks.reshape(-1)
            self.taken += marks.tolist()
            new[name] = Row(made.name if name == "hidden" else "", (units,), renewed(marks))
        if len(set(self.taken)) != len(self.taken):
            raise LabError("two recurrent layers share a state, which is not supported")
        return made, new


def renewed(marks: np.ndarray) -> np.ndarray:
    """The marks of a state after its layer; these again give the marks before."""
    return -1 - marks


def check_states(ins: Sequence[Row], outs: Sequence[Row]) -> None:
    """Hold that each state that comes in goes out anew.

    Raises:
        LabError: One does not, so the network's memory is not what a `Graph` keeps.
    """
    left = [row.marks.reshape(-1) for row in outs if row.marks is not None]
    for row in ins:
        marks = np.zeros(0) if row.marks is None else renewed(row.marks).reshape(-1)
        found = [k for k, others in enumerate(left) if np.array_equal(others, marks)]
        if not found:
            raise LabError("takes a state, or a second input, that it does not give anew")
        del left[found[0]]


def tensors(constants: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Constants as `Graph` has them."""
    return {name: torch.from_numpy(np.array(values)) for name, values in constants.items()}
