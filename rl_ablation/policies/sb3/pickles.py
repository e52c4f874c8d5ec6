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
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, BinaryIO, Literal

import numpy as np

from rl_ablation.errors import LabError

MAX_OPS = 50_000
"""Opcodes per pickle. A statistics file has about 500, a policy of 100 tensors 3,000; 50,000 take
a fifth of a second."""
MAX_INT_BYTES = 64
"""Bytes of a pickled integer; the longest ones in real files are the 16 of a generator's state."""
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
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_SKIPPED = frozenset({"PROTO", "FRAME"})

_SAFE_CALL = re.compile(
    r"""(gym|gymnasium)\.spaces\.[\w.]+ | (gym|gymnasium)\.utils\.seeding\.[\w.]+
    | stable_baselines3\.common\.(running_mean_std|vec_env)\.[\w.]+
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


@dataclass(slots=True, eq=False)
class Persistent:
    """A reference to something stored outside of the pickle (torch: a tensor's storage)."""

    key: object


def is_data(dotted: str) -> bool:
    """Whether a call of this name only makes data (arrays, spaces, running means)."""
    return _SAFE_CALL.fullmatch(dotted) is not None


def is_not_evil(dotted: str) -> bool:
    """Whether a name is not one that runs commands; for parts of a file that are not used."""
    return _EVIL.fullmatch(dotted) is None


def printable(text: object, length: int = 80) -> str:
    """Third-party text, fit for one line: printable, at most ``length`` characters."""
    shown = "".join(c if c.isprintable() else "?" for c in str(text)[: length + 1])
    return shown if len(shown) <= length else shown[: length - 1] + "…"


def read_pickle(
    content: bytes | BinaryIO,
    *,
    may_call: Callable[[str], bool] = is_data,
    storages: list[Persistent] | None = None,
) -> Any:
    """Turn a pickle into a tree of plain values, `Name`, `Call` and `Persistent`.

    Args:
        content: The pickle, or a stream that stands at its start and is left at its end.
        may_call: Says of a dotted name whether a pickle that calls it is accepted.
        storages: Receives each `Persistent`; None refuses them.

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
        push, stack = self.stack.append, self.stack
        arg: Any
        for count, (opcode, arg, _) in enumerate(pickletools.genops(stream)):
            if count >= MAX_OPS:
                raise LabError(f"the pickle has more than {MAX_OPS:,} opcodes, no policy's has")
            name = opcode.name
            if name in _PUSHED:
                if isinstance(arg, int) and arg.bit_length() > 8 * MAX_INT_BYTES:
                    raise LabError(
                        f"the pickle holds an integer of more than {MAX_INT_BYTES} bytes"
                    )
                push(arg)
            elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
                self.memo[int(arg)] = stack[-1]
            elif name == "MEMOIZE":
                self.memo[len(self.memo)] = stack[-1]
            elif name in ("BINGET", "LONG_BINGET", "GET"):
                push(self.memo[int(arg)])
            elif name == "MARK":
                self.marks.append(len(stack))
            elif name in _CONSTANTS:
                push(_CONSTANTS[name])
            elif name in _TUPLES:
                push(self.pop(_TUPLES[name]))
            elif name == "STOP":
                return stack.pop()
            elif name not in _SKIPPED:
                self.step(name, arg)
        raise LabError("damaged pickle (it has no end)")

    def step(self, name: str, arg: Any) -> None:
        """Opcodes that make and fill lists, dicts, tuples and sets."""
        push = self.stack.append
        match name:
            case "TUPLE":
                push(tuple(self.pop_mark()))
            case "EMPTY_LIST":
                push([])
            case "LIST":
                push(self.pop_mark())
            case "EMPTY_DICT":
                push({})
            case "DICT":
                push(self.pairs(self.pop_mark()))
            case "EMPTY_SET":
                push(Call(Name("builtins", "set"), ()))
            case "FROZENSET":
                push(Call(Name("builtins", "frozenset"), (), items=self.pop_mark()))
            case "BYTEARRAY8":
                push(bytes(arg))
            case "APPEND":
                self.extend([self.stack.pop()])
            case "APPENDS" | "ADDITEMS":
                self.extend(self.pop_mark())
            case "SETITEM":
                self.update(list(self.pop(2)))
            case "SETITEMS":
                self.update(self.pop_mark())
            case _:
                self.build(name, arg)

    def build(self, name: str, arg: Any) -> None:
        """Opcodes that name, call and fill objects, and that move the stack."""
        stack, push = self.stack, self.stack.append
        match name:
            case "GLOBAL":
                push(Name(*arg.split(" ", 1)))
            case "STACK_GLOBAL":
                push(Name(*map(str, self.pop(2))))
            case "REDUCE" | "NEWOBJ":
                self.call(*self.pop(2))
            case "NEWOBJ_EX":
                function, args, _ = self.pop(3)
                self.call(function, args)
            case "OBJ":
                function, *args = self.pop_mark()
                self.call(function, tuple(args))
            case "INST":
                self.call(Name(*arg.split(" ", 1)), tuple(self.pop_mark()))
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
            case "DUP":
                push(stack[-1])
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
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

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

    def extend(self, values: list[Any]) -> None:
        target = self.stack[-1]
        (target.items if isinstance(target, Call) else target).extend(values)

    def update(self, values: list[Any]) -> None:
        target = self.stack[-1]
        (target.pairs if isinstance(target, Call) else target).update(self.pairs(values))

    @staticmethod
    def pairs(values: list[Any]) -> dict[Any, Any]:
        keys = values[::2]
        # Only scalars: hashing a tuple nested 100,000 deep overflows the C stack, a hard crash.
        if not all(key is None or isinstance(key, str | bytes | int | float) for key in keys):
            raise LabError("the pickle holds a dict whose keys are no plain values")
        return dict(zip(keys, values[1::2], strict=True))


def attributes(node: object) -> Mapping[Any, Any]:
    """The attributes that an object in the tree would have; empty if it is none."""
    state = node.state if isinstance(node, Call) else node
    if isinstance(state, tuple) and state:
        state = state[0]
    return state if isinstance(state, dict) else {}


def as_dtype(node: object) -> np.dtype[Any]:
    """Decode a pickled dtype of plain numbers.

    Raises:
        LabError: It is another dtype (object arrays, structures) or no dtype.
    """
    order: Literal["=", "<", ">"] = "="
    if isinstance(node, Call) and node.dotted == "numpy.dtype" and node.args:
        code, state = node.args[0], node.state
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">"):
            order = "<" if state[1] == "<" else ">"
    elif isinstance(node, Name) and node.module == "numpy":
        code = node.name
    else:
        raise LabError("an array has no dtype that could be read")
    if not isinstance(code, str) or not re.fullmatch(
        r"[<>=|]?(f[248]|[iu][1248]|b1|\?)|float(16|32|64)|u?int(8|16|32|64)|bool_?", code
    ):
        raise LabError(f"an array has the dtype {printable(code, 20)!r}, not plain numbers")
    return np.dtype(code).newbyteorder(order) if order != "=" else np.dtype(code)


def as_array(node: object, what: str = "an array") -> np.ndarray:
    """Decode a pickled numeric array, as float64.

    Raises:
        LabError: It is none, or its shape does not fit its bytes.
    """
    fortran: object
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
    if not isinstance(shape, tuple) or len(shape) > 8 or not all(type(n) is int for n in shape):
        raise LabError(f"{what} has a damaged shape")
    if min(shape, default=0) < 0 or math.prod(shape) * kind.itemsize != len(content):
        raise LabError(f"{what} claims the shape {printable(shape)} but has {len(content)} bytes")
    values = np.frombuffer(content, kind).reshape(shape, order="F" if fortran else "C")
    return values.astype(np.float64)


def as_number(node: object, what: str = "a number") -> float:
    """Decode a pickled number, plain or of NumPy.

    Raises:
        LabError: It is none.
    """
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
