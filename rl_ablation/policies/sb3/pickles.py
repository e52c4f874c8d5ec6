"""Read third-party pickles without running them: a pickle is a program, this only reads it.

`read_pickle` walks the opcodes and builds a tree of plain values. Where the program asks for a
class or a function there stands an inert `Name`, where it asks for a call there stands an inert
`Call`; nothing is imported and nothing is called. The few things that are wanted (arrays, numbers,
the attributes of an object) are decoded from that tree by our own code, with every size checked
against the bytes that are really there. The opcodes are those of the Python standard library's
``pickletools`` documentation.
"""

from __future__ import annotations

import math
import pickletools
import re
import reprlib
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from rl_ablation.errors import LabError, escaped
from rl_ablation.files import shortened

MAX_OPS = 50_000
"""Opcodes per pickle. A statistics file has about 500, a policy of 100 tensors 3,000; 50,000 take
a fifth of a second."""
MAX_INT_BYTES = 64
"""Bytes of a pickled integer; the longest ones in real files are the 16 of a generator's state."""
MAX_KEY = 1 << 63
"""Integers as keys stay below: beyond, it is easy to find thousands with the same hash."""
MAX_NAME = 200
"""Characters of the names of a module and of what is in it."""
MAX_AXES, MAX_SIZE = 8, 1 << 31
"""Of a shape: how many numbers, and how large each."""
DAMAGE = (
    ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError,
    MemoryError, EOFError, ArithmeticError, struct.error,
)  # fmt: skip
"""What the standard library and NumPy raise on damaged bytes; LabError is one of ValueError."""

_PLAIN = {"int", "int_or_bool", "float", "bytes_or_str", "bytes", "str"}
_PUSHED = frozenset(
    code.name
    for code in pickletools.opcodes
    if code.arg is not None and any(pushed.name in _PLAIN for pushed in code.stack_after)
)
"""The opcodes that do nothing but push their own argument, a plain value."""

_SAFE_CALL = re.compile(
    r"""(gym|gymnasium)\.spaces\.[\w.]+ | (gym|gymnasium)\.utils\.seeding\.[\w.]+
    | stable_baselines3\.common\.(running_mean_std|vec_env)\.[\w.]+
    | stable_baselines3\.common\.utils\.(Constant|Float|Linear)Schedule
    | torch\.(device|Size|Generator|serialization\._get_layout)
    | torch\.(optim|nn)\.(modules\.)?(\w+\.)?[A-Z]\w*
    | numpy\.(dtype|ndarray|(float|int|uint)\d+|bool_?)
    | numpy\._?core\.(multiarray\.(_reconstruct|scalar)|numeric\._frombuffer)
    | numpy\.random\.[\w.]+ | collections\.(OrderedDict|deque|defaultdict)
    | (builtins|__builtin__)\.(set|frozenset|list|dict|tuple|slice|bytearray|complex|object)
    | _codecs\.encode | copyreg\._reconstructor | copy_reg\._reconstructor | functools\.partial""",
    re.VERBOSE,
)
_EVIL = re.compile(
    r"""(os|posix|nt|posixpath|subprocess|sys|shutil|socket|pty|runpy|importlib|ctypes|code|codeop|
    commands|popen2|webbrowser|urllib|http|requests|pip|multiprocessing|signal|pdb|timeit|platform|
    tempfile|asyncio|threading|_pickle|pickle|marshal)(\.[\w.]+)
    | (builtins|__builtin__)\.(eval|exec|execfile|compile|open|__import__|input|breakpoint)""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Name:
    """A class or function that a pickle names; never imported."""

    module: str
    name: str

    @property
    def dotted(self) -> str:
        """The full name."""
        return f"{self.module}.{self.name}"

    def __repr__(self) -> str:
        return self.dotted


@dataclass(slots=True, eq=False)
class Call:
    """A call that a pickle asks for; never made. ``state`` and ``pairs`` would be set after it."""

    function: object
    args: tuple[Any, ...]
    state: object = None
    items: list[Any] = field(default_factory=list)
    pairs: dict[Any, Any] = field(default_factory=dict)

    @property
    def dotted(self) -> str:
        """The full name of what would be called."""
        return self.function.dotted if isinstance(self.function, Name) else "?"

    def __repr__(self) -> str:
        return f"{self.dotted}(…)"  # what it holds can have 2^60 paths through shared parts


@dataclass(slots=True, eq=False)
class Persistent:
    """A reference to something stored outside of the pickle (torch: a tensor's storage)."""

    key: object

    def __repr__(self) -> str:
        return "a storage"


def is_data(dotted: str) -> bool:
    """Whether a call of this name only makes data (arrays, spaces, running means)."""
    return _SAFE_CALL.fullmatch(dotted) is not None


def is_not_evil(dotted: str) -> bool:
    """Whether a name is not one that runs commands; for parts of a file that are not used."""
    return _EVIL.fullmatch(dotted) is None


_BRIEF = reprlib.Repr()
_BRIEF.maxlevel, _BRIEF.maxother = 2, 80


def printable(value: object, length: int = 80) -> str:
    """Third-party text or value, fit for one line: `escaped`, at most ``length`` characters."""
    told = isinstance(value, str | Path | Exception)
    return shortened(escaped((str if told else _BRIEF.repr)(value)[: length + 1]), length)


def read_pickle(
    content: bytes | BinaryIO,
    *,
    may_call: Callable[[str], bool] = is_data,
    storages: list[Persistent] | None = None,
) -> Any:
    """Turn a pickle into a tree of plain values, `Name`, `Call` and `Persistent`.

    A stream is left at the pickle's end. ``may_call`` says of a dotted name whether a pickle that
    calls it is accepted; ``storages`` receives each `Persistent`, None refuses them.

    Raises:
        LabError: Damaged, too long, or it calls what ``may_call`` does not accept.
    """
    stream = BytesIO(content) if isinstance(content, bytes) else content
    try:
        return _Reader(may_call, storages).run(stream)
    except LabError:
        raise
    except DAMAGE as error:
        raise LabError(f"damaged pickle ({printable(error)})") from None


class _Reader:
    """The stack machine of a pickle, with values only."""

    def __init__(self, may_call: Callable[[str], bool], storages: list[Persistent] | None) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.may_call, self.storages = may_call, storages

    def run(self, stream: BinaryIO) -> Any:
        arg: Any
        for count, (opcode, arg, _) in enumerate(pickletools.genops(stream)):
            if count >= MAX_OPS:
                raise LabError(f"the pickle has more than {MAX_OPS:,} opcodes, no policy's has")
            name = opcode.name
            if name in _PUSHED:
                if isinstance(arg, int) and arg.bit_length() > 8 * MAX_INT_BYTES:
                    most = f"more than {MAX_INT_BYTES} bytes"
                    raise LabError(f"the pickle holds an integer of {most}")
                self.stack.append(arg)
            elif name in _MADE:
                self.stack.append(_MADE[name](self, arg))
            elif name == "STOP":
                return self.stack.pop()
            else:
                self.step(name, arg)
        raise LabError("damaged pickle (it has no end)")

    def step(self, name: str, arg: Any) -> None:
        """Opcodes that remember, fill and call objects, and that move the stack."""
        stack, push = self.stack, self.stack.append
        match name:
            case "PROTO" | "FRAME":
                pass
            case "BINPUT" | "LONG_BINPUT" | "PUT":
                if not 0 <= int(arg) < MAX_KEY:
                    raise LabError("damaged pickle (it numbers what it remembers strangely)")
                self.memo[int(arg)] = stack[-1]
            case "MEMOIZE":
                self.memo[len(self.memo)] = stack[-1]
            case "MARK":
                self.marks.append(len(stack))
            case "APPEND" | "APPENDS" | "ADDITEMS":
                values = [stack.pop()] if name == "APPEND" else self.pop_mark()
                (stack[-1].items if isinstance(stack[-1], Call) else stack[-1]).extend(values)
            case "SETITEM" | "SETITEMS":
                flat = self.pop(2) if name == "SETITEM" else self.pop_mark()
                target = stack[-1].pairs if isinstance(stack[-1], Call) else stack[-1]
                target.update(self.pairs(flat))
            case "REDUCE" | "NEWOBJ":
                self.call(*self.pop(2))
            case "NEWOBJ_EX":
                self.call(*self.pop(3)[:2])
            case "OBJ":
                function, *args = self.pop_mark()
                self.call(function, tuple(args))
            case "INST":
                self.call(_name(*arg.split(" ", 1)), tuple(self.pop_mark()))
            case "BUILD":
                state = stack.pop()
                if not isinstance(stack[-1], Call):
                    raise LabError("damaged pickle (it gives a state to what is no object)")
                stack[-1].state = state
            case "BINPERSID" if self.storages is not None:
                node = Persistent(stack.pop())
                self.storages.append(node)
                push(node)
            case "POP":
                if self.marks and self.marks[-1] == len(stack):
                    self.marks.pop()
                else:
                    stack.pop()
            case "POP_MARK":
                self.pop_mark()
            case _:
                raise LabError(f"the pickle uses {name}, which no policy file needs")

    def pop(self, count: int) -> tuple[Any, ...]:
        if count > len(self.stack):
            raise LabError("damaged pickle (its stack is empty)")
        start = len(self.stack) - count
        values = tuple(self.stack[start:])
        del self.stack[start:]
        return values

    def pop_mark(self) -> list[Any]:
        return list(self.pop(len(self.stack) - self.marks.pop()))

    def call(self, function: Any, args: Any) -> None:
        dotted = function.dotted if isinstance(function, Name) else "something computed"
        if not self.may_call(dotted):
            if is_not_evil(dotted):
                raise LabError(
                    f"its pickle needs a call of {printable(dotted)}, code that is never run here; "
                    "policies with code of their own are not supported"
                )
            raise LabError(
                f"its pickle would call {printable(dotted)} when opened; nothing was run, "
                "do not open it with other tools"
            )
        self.stack.append(Call(function, args if isinstance(args, tuple) else (args,)))

    @staticmethod
    def pairs(values: Sequence[Any]) -> dict[Any, Any]:
        keys = values[::2]
        # Only scalars: hashing a tuple nested 100,000 deep overflows the C stack, a hard crash.
        if not all(key is None or isinstance(key, str | bytes | int | float) for key in keys):
            raise LabError("the pickle holds a dict whose keys are no plain values")
        if any(isinstance(key, int) and abs(key) > MAX_KEY for key in keys):
            raise LabError("the pickle holds a dict with a key of more than 8 bytes")
        return dict(zip(keys, values[1::2], strict=True))


def _name(module: object, name: object) -> Name:
    if not (isinstance(module, str) and isinstance(name, str)):
        raise LabError("damaged pickle (a name is no text)")
    if len(module) + len(name) > MAX_NAME:
        raise LabError(f"the pickle has a name of more than {MAX_NAME} characters")
    return Name(module, name)


_SET, _FROZENSET = Name("builtins", "set"), Name("builtins", "frozenset")
_MADE: dict[str, Callable[[_Reader, Any], Any]] = {
    "NONE": lambda reader, arg: None,
    "NEWTRUE": lambda reader, arg: True,
    "NEWFALSE": lambda reader, arg: False,
    "EMPTY_TUPLE": lambda reader, arg: (),
    "TUPLE1": lambda reader, arg: reader.pop(1),
    "TUPLE2": lambda reader, arg: reader.pop(2),
    "TUPLE3": lambda reader, arg: reader.pop(3),
    "TUPLE": lambda reader, arg: tuple(reader.pop_mark()),
    "EMPTY_LIST": lambda reader, arg: [],
    "LIST": lambda reader, arg: reader.pop_mark(),
    "EMPTY_DICT": lambda reader, arg: {},
    "DICT": lambda reader, arg: reader.pairs(reader.pop_mark()),
    "EMPTY_SET": lambda reader, arg: Call(_SET, ()),
    "FROZENSET": lambda reader, arg: Call(_FROZENSET, (), items=reader.pop_mark()),
    "BYTEARRAY8": lambda reader, arg: bytes(arg),
    "GLOBAL": lambda reader, arg: _name(*arg.split(" ", 1)),
    "STACK_GLOBAL": lambda reader, arg: _name(*reader.pop(2)),
    "DUP": lambda reader, arg: reader.stack[-1],
    **dict.fromkeys(("BINGET", "LONG_BINGET", "GET"), lambda reader, arg: reader.memo[int(arg)]),
}
"""What opcodes push that take it off the stack, or make it of their argument."""


def attributes(node: object) -> Mapping[Any, Any]:
    """The attributes that an object in the tree would have; empty if it is none."""
    state = node.state if isinstance(node, Call) else node
    if isinstance(state, tuple) and state:
        state = state[0]
    return state if isinstance(state, dict) else {}


def as_dtype(node: object) -> np.dtype[Any]:
    """Decode a dtype of plain numbers; a LabError for object arrays, structures and non-dtypes."""
    order: Literal["|", "<", ">"] = "|"  # that of the code
    if isinstance(node, Call) and node.dotted == "numpy.dtype" and node.args:
        code, state = node.args[0], node.state
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">"):
            order = state[1]
    elif isinstance(node, Name) and node.module == "numpy":
        code = node.name
    else:
        raise LabError("an array has no dtype that could be read")
    if not isinstance(code, str) or not re.fullmatch(
        r"[<>=|]?(f[248]|[iu][1248]|b1|\?)|float(16|32|64)|u?int(8|16|32|64)|bool_?", code
    ):
        raise LabError(f"an array has the dtype {printable(code, 20)!r}, not plain numbers")
    return np.dtype(code).newbyteorder(order)


def as_shape(node: object, what: str) -> tuple[int, ...]:
    """Decode a shape; a LabError if it is none, or of more or larger numbers than any array has."""
    if not isinstance(node, tuple) or len(node) > MAX_AXES:
        raise LabError(f"{what} has a damaged shape")
    if not all(type(n) is int and 0 <= n <= MAX_SIZE for n in node):
        raise LabError(f"{what} claims the shape {printable(node)}")
    return node


def as_array(node: object, what: str = "an array") -> np.ndarray:
    """Decode a numeric array as float64; a LabError if it is none or does not fit its bytes."""
    if not isinstance(node, Call):
        raise LabError(f"{what} is missing or no array")
    if node.dotted.endswith("core.multiarray._reconstruct") and isinstance(node.state, tuple):
        if len(node.state) != 5:
            raise LabError(f"{what} is damaged")
        _, shape, dtype, fortran, content = node.state
    elif node.dotted.endswith("core.numeric._frombuffer") and len(node.args) == 4:
        content, dtype, shape, order = node.args
        fortran = order == "F"
    else:
        raise LabError(f"{what} is no array")
    kind, content = as_dtype(dtype), _as_bytes(content)
    if math.prod(shape := as_shape(shape, what)) * kind.itemsize != len(content):
        raise LabError(f"{what} claims the shape {printable(shape)} but has {len(content)} bytes")
    values = np.frombuffer(content, kind).reshape(shape, order="F" if fortran else "C")
    return values.astype(np.float64)


def as_number(node: object, what: str = "a number") -> float:
    """Decode a pickled number, plain or of NumPy; a LabError if it is none."""
    if isinstance(node, bool | int | float):
        return float(node)
    if isinstance(node, Call) and node.dotted.endswith("core.multiarray.scalar"):
        kind, content = as_dtype(node.args[0]), _as_bytes(node.args[1])
        if len(content) == kind.itemsize:
            return float(np.frombuffer(content, kind)[0])
    elif isinstance(node, Call):
        values = as_array(node, what)
        if values.size == 1:
            return float(values.reshape(-1)[0])
    raise LabError(f"{what} is missing or no number")


def _as_bytes(node: object) -> bytes:
    if isinstance(node, bytes):
        return node
    # Protocols 0 to 2 have no bytes: Python 3 writes them as text in Latin-1.
    if isinstance(node, Call) and node.dotted == "_codecs.encode":
        text, *coding = node.args
        if isinstance(text, str) and coding in ([], ["latin1"], ["latin-1"]):
            return text.encode("latin-1")
    raise LabError("an array's bytes are missing")
