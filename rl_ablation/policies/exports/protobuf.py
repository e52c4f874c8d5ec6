"""Read protobuf messages: fields of numbers and bytes, with a bound on how many.

The encoding is that of the public Protocol Buffers documentation: a message is a row of fields,
each a key (number · 8 + kind) and a value. Bytes are given as views of the file, so that nothing is
copied before its size is known.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

from rl_ablation.errors import LabError

MAX_FIELDS = 100_000
"""Of all messages of a file that are looked at; a policy's have about a thousand."""
MAX_WHOLES = 100_000
"""In lists of whole numbers, all of a file together: shapes and places, not weights."""
VARINT, EIGHT, BYTES, FOUR = 0, 1, 2, 5
_LONGEST = 10  # bytes of a whole number
_DAMAGED = "its protobuf is damaged"

Value = int | memoryview


class Reader:
    """Reads messages, all of which together may have `MAX_FIELDS` fields."""

    def __init__(self) -> None:
        self._left, self._wholes = MAX_FIELDS, MAX_WHOLES

    def fields(self, message: memoryview) -> Iterator[tuple[int, int, Value]]:
        """(number, kind, value) of each field; a LabError if they are damaged or too many."""
        at, end = 0, len(message)
        while at < end:
            self._left -= 1
            if self._left < 0:
                raise LabError(f"a file of more than {MAX_FIELDS:,} fields, no policy's has")
            key, at = _varint(message, at)
            number, kind = key >> 3, key & 7
            value: Value
            if kind == VARINT:
                value, at = _varint(message, at)
            elif kind in (EIGHT, BYTES, FOUR):
                size = {EIGHT: 8, FOUR: 4}.get(kind, 0)
                if kind == BYTES:
                    size, at = _varint(message, at)
                if size > end - at:
                    raise LabError(f"{_DAMAGED}: a field of {size:,} bytes where {end - at:,} are")
                value, at = message[at : at + size], at + size
            else:
                raise LabError(f"{_DAMAGED}: a field of the kind {kind}")
            if number == 0:
                raise LabError(f"{_DAMAGED}: a field of the number 0")
            yield number, kind, value

    def wholes(self, kind: int, value: Value) -> list[int]:
        """Signed whole numbers of a repeated field, packed or one by one."""
        if kind == VARINT:
            return [whole(kind, value)]
        content, at, found = octets(kind, value), 0, []
        while at < len(content):
            number, at = _varint(content, at)
            found.append(whole(VARINT, number))
            self._wholes -= 1
            if self._wholes < 0:
                raise LabError(f"a file of more than {MAX_WHOLES:,} whole numbers in lists")
        return found


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A whole number of 64 bits, and where it ends."""
    value = 0
    for k in range(_LONGEST):
        if at + k >= len(message):
            break
        byte = message[at + k]
        value |= (byte & 0x7F) << (7 * k)
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at + k + 1
    raise LabError(f"{_DAMAGED}: a number without an end")


def whole(kind: int, value: Value) -> int:
    """A signed whole number."""
    if kind != VARINT or not isinstance(value, int):
        raise LabError(f"{_DAMAGED}: no number where one has to be")
    return value - (1 << 64) if value >= 1 << 63 else value


def octets(kind: int, value: Value) -> memoryview:
    """The bytes of a text, of bytes, or of a message."""
    if kind != BYTES or isinstance(value, int):
        raise LabError(f"{_DAMAGED}: no bytes where some have to be")
    return value


def text(kind: int, value: Value, longest: int) -> str:
    """A text of at most so many bytes."""
    content = octets(kind, value)
    if len(content) > longest:
        raise LabError(f"a name or text of {len(content):,} bytes; at most {longest:,} are read")
    try:
        return bytes(content).decode()
    except UnicodeDecodeError:
        raise LabError(f"{_DAMAGED}: a name that is no text") from None


def single(kind: int, value: Value) -> float:
    """A float32."""
    if kind != FOUR or isinstance(value, int):
        raise LabError(f"{_DAMAGED}: no float where one has to be")
    return float(struct.unpack("<f", value)[0])


def floats(kind: int, value: Value, code: str) -> np.ndarray:
    """Floats (``code`` ``"<f4"`` or ``"<f8"``) of a repeated field, packed or one by one."""
    size = np.dtype(code).itemsize
    if isinstance(value, int) or kind not in (BYTES, {4: FOUR, 8: EIGHT}[size]):
        raise LabError(f"{_DAMAGED}: no floats where some have to be")
    if len(value) % size:
        raise LabError(f"{_DAMAGED}: {len(value):,} bytes are no row of floats")
    return np.frombuffer(value, code)
