"""Arrays, numbers and tensors out of the tree of a pickle, value by value."""

import io
import pickle
import re
import zipfile

import numpy as np
import pytest
import torch

from rl_ablation.errors import LabError
from rl_ablation.policies.sb3 import tensors
from rl_ablation.policies.sb3.archive import Archive
from rl_ablation.policies.sb3.pickles import (
    MAX_AXES,
    MAX_INT_BYTES,
    MAX_KEY,
    MAX_NAME,
    MAX_OPS,
    MAX_SIZE,
    Call,
    Name,
    Persistent,
    as_array,
    as_dtype,
    as_number,
    as_shape,
    attributes,
    read_pickle,
)
from rl_ablation.policies.sb3.tensors import MAX_MEMBERS, Tensor, TensorFile

VALUES = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


def dtype(code, order=None):
    return Call(Name("numpy", "dtype"), (code,), state=None if order is None else (3, order))


def call(dotted, *args, state=None):
    module, _, name = dotted.rpartition(".")
    return Call(Name(module, name), args, state=state)


def rebuilt(*state):
    return call("numpy._core.multiarray._reconstruct", state=state)


@pytest.mark.parametrize("code", ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u8", "b1", "?"])
@pytest.mark.parametrize("order", [None, "<", ">"])
def test_dtypes(code, order):
    assert as_dtype(dtype(code, order)) == np.dtype(code).newbyteorder(order or "|")


@pytest.mark.parametrize("name", ["float32", "float64", "int8", "uint16", "bool_", "bool"])
def test_dtypes_by_name(name):
    assert as_dtype(Name("numpy", name)) == np.dtype(name.removesuffix("_"))


@pytest.mark.parametrize(
    "node",
    [
        Name("numpy", "object_"), Name("torch", "float32"), dtype("O8"), dtype("V8"), dtype("f16"),
        dtype(8), dtype("f4,f4"), dtype("U3"), call("numpy.dtype"), call("torch.dtype", "f4"), 5,
        "f4", None,
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_dtype(node):
    with pytest.raises(LabError, match="dtype"):
        as_dtype(node)


def test_shapes():
    longest = (0, 1, MAX_SIZE) + (1,) * (MAX_AXES - 3)
    assert as_shape((), "x") == ()
    assert as_shape(longest, "x") == longest
    for wrong in ([1], 3, None, (*longest, 1)):
        with pytest.raises(LabError, match="x has a damaged shape"):
            as_shape(wrong, "x")
    for wrong in ((-1,), (MAX_SIZE + 1,), (1.0,), (True,), ("1",), (1, None)):
        with pytest.raises(LabError, match="x claims the shape"):
            as_shape(wrong, "x")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("code", ["<f8", ">f4", "<i2"])
def test_arrays(order, code):
    content = VALUES.astype(code).tobytes(order)
    kind = dtype(code[1:], code[0])
    for node in (
        rebuilt(1, (2, 3), kind, order == "F", content),
        call("numpy._core.numeric._frombuffer", content, kind, (2, 3), order),
    ):
        np.testing.assert_array_equal(as_array(node), VALUES)
        assert as_array(node).dtype == np.float64


@pytest.mark.parametrize(
    ("node", "line"),
    [
        (5, "missing or no array"),
        (call("numpy.ndarray"), "x is no array"),
        (rebuilt(1, (2,), dtype("f8"), False), "x is damaged"),
        (call("numpy._core.multiarray._reconstruct", state=[1]), "x is no array"),
        (call("numpy._core.numeric._frombuffer", b"", dtype("f8"), (0,)), "x is no array"),
        (rebuilt(1, (3,), dtype("f8"), False, bytes(16)), re.escape("(3,) but has 16 bytes")),
        (rebuilt(1, (1,), dtype("f8"), False, bytes(16)), re.escape("(1,) but has 16 bytes")),
        (rebuilt(1, (2,), dtype("f8"), False, [1]), "bytes are missing"),
        (rebuilt(1, (1,), dtype("b1"), False, call("_codecs.encode", "a", "utf-8")), "missing"),
        (rebuilt(1, (1,), dtype("b1"), False, call("_codecs.encode", 1)), "bytes are missing"),
    ],
)
def test_what_is_no_array(node, line):
    with pytest.raises(LabError, match=line):
        as_array(node, "x")


def test_bytes_of_old_protocols_are_text():
    for coding in ((), ("latin1",), ("latin-1",)):
        node = rebuilt(1, (2,), dtype("u1"), False, call("_codecs.encode", "\x01\xff", *coding))
        assert as_array(node).tolist() == [1, 255]


def test_numbers():
    scalar = "numpy._core.multiarray.scalar"
    assert as_number(True) == 1.0
    assert as_number(-3) == -3.0
    assert as_number(2.5) == 2.5
    assert as_number(call(scalar, dtype("f4", ">"), np.array(2.5, ">f4").tobytes())) == 2.5
    assert as_number(rebuilt(1, (1, 1), dtype("f8"), False, np.array(7.0).tobytes())) == 7.0
    two = rebuilt(1, (2,), dtype("f8"), False, bytes(16))
    for node in ("1", None, two, call(scalar, dtype("f4"), bytes(8)), [1.0]):
        with pytest.raises(LabError, match="x is missing or no number"):
            as_number(node, "x")


def test_an_array_of_one_number_is_a_number_and_of_two_is_none():
    one = rebuilt(1, (1,), dtype("f8", "<"), False, np.array([2.5]).tobytes())
    assert as_number(one, "x") == 2.5
    two = rebuilt(1, (2,), dtype("f8", "<"), False, np.array([2.5, 1.0]).tobytes())
    with pytest.raises(LabError, match="no number"):
        as_number(two, "x")


def test_damaged_tensors_of_a_file():
    storage = Persistent(("storage", Name("torch", "FloatStorage"), "0", "cpu", 4))
    for args in ((storage, 0, (2,)), ("no storage", 0, (2,), (1,)), ()):
        file = TensorFile.__new__(TensorFile)
        file._tensors = {"w": call("torch._utils._rebuild_tensor_v2", *args)}
        with pytest.raises(LabError, match="w is a damaged tensor"):
            file.arrays(["w"])


def test_weights_of_just_as_much_as_is_allowed(monkeypatch):
    content = io.BytesIO()
    torch.save({"w": torch.ones(8)}, content)
    monkeypatch.setattr(tensors, "MAX_WEIGHTS", 32)
    assert TensorFile(content.getvalue()).arrays(["w"])["w"].size == 8
    monkeypatch.setattr(tensors, "MAX_WEIGHTS", 31)
    with pytest.raises(LabError, match="weights of more"):
        TensorFile(content.getvalue()).arrays(["w"])


def test_encrypted_members_and_ratios():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as zipped:
        zipped.writestr("a", b"x" * 50)
    content = bytearray(stream.getvalue())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(LabError, match="is encrypted; save it without a password"):
        Archive(bytes(content), 10).read("a", 100)
    with pytest.raises(LabError, match="has more than 0 MiB"):
        Archive(stream.getvalue(), 10).read("a", 49)
    assert Archive(stream.getvalue(), 10).read("a", 50) == b"x" * 50


def test_attributes_of_objects():
    assert attributes(call("a.B", state={"x": 1})) == {"x": 1}
    assert attributes(call("a.B", state=({"x": 1}, {"y": 2}))) == {"x": 1}
    assert attributes({"x": 1}) == {"x": 1}
    for node in (call("a.B"), call("a.B", state=()), call("a.B", state=[1]), 5, None):
        assert attributes(node) == {}


def test_names_have_a_length():
    for length, fits in ((MAX_NAME - 1, True), (MAX_NAME, False)):
        content = b"cm\n" + b"x" * length + b"\n."
        if fits:
            assert read_pickle(content, may_call=lambda _: False) == Name("m", "x" * length)
        else:
            with pytest.raises(LabError, match=f"name of more than {MAX_NAME} characters"):
                read_pickle(content, may_call=lambda _: False)


@pytest.mark.parametrize(
    ("offset", "size", "stride", "values", "fits"),
    [
        (0, (2, 3), (3, 1), 6, True), (1, (2, 3), (3, 1), 7, True), (1, (2, 3), (3, 1), 6, False),
        (0, (2, 3), (3, 1), 5, False), (0, (3, 2), (1, 3), 6, True), (0, (3,), (0,), 2, False),
        (0, (3,), (2,), 5, True), (0, (3,), (2,), 4, False), (0, (), (), 1, True),
        (1, (), (), 1, False), (9, (0, 4), (4, 1), 0, True), (0, (4,), (1,), 0, False),
    ],
)  # fmt: skip
def test_tensors_lie_within_their_storages(offset, size, stride, values, fits):
    tensor = Tensor("FloatStorage", "0", offset, size, stride)
    storage = np.arange(values, dtype="<f4")
    if not fits:
        with pytest.raises(LabError, match=f"w claims the shape .* but has {values} values"):
            tensor.check(storage.nbytes, "w")
        return
    tensor.check(storage.nbytes, "w")
    tensor.check(storage.nbytes + 3, "w")
    found = tensor.of(storage.tobytes() + b"xyz", "<")
    wanted = np.array([
        offset + sum(k * step for k, step in zip(index, stride, strict=True))
        for index in np.ndindex(size)
    ])  # fmt: skip
    np.testing.assert_array_equal(found.reshape(-1), wanted)
    assert found.dtype == np.float32
    assert found.shape == size


@pytest.mark.parametrize(
    ("kind", "code"), [("FloatStorage", "f4"), ("DoubleStorage", "f8"), ("HalfStorage", "f2")]
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_tensors_of_every_kind_and_order(kind, code, order):
    tensor = Tensor(kind, "0", 1, (2,), (1,))
    content = np.array([9.0, 1.5, -2.0], order + code).tobytes()
    assert tensor.of(content, order).tolist() == [1.5, -2.0]


def test_the_short_floats_of_torch():
    content = (np.array([1.5, -2.0], "<f4").view("<u4") >> 16).astype("<u2").tobytes()
    assert Tensor("BFloat16Storage", "0", 0, (2,), (1,)).of(content, "<").tolist() == [1.5, -2.0]


def read(content):
    return read_pickle(content, may_call=lambda _: False)


def test_how_much_a_pickle_may_hold():
    program = b"N0" * (MAX_OPS // 2 - 1) + b"N."
    assert read(program) is None
    with pytest.raises(LabError):
        read(b"\x80\x02" + program)
    longest = (1 << 8 * MAX_INT_BYTES) - 1
    assert read(pickle.dumps(longest, 2)) == longest
    with pytest.raises(LabError):
        read(pickle.dumps(1 << 8 * MAX_INT_BYTES, 2))
    for key in (MAX_KEY, -MAX_KEY):
        assert read(pickle.dumps({key: 1}, 2)) == {key: 1}
        with pytest.raises(LabError, match="key of more than 8 bytes"):
            read(pickle.dumps({key * 2: 1}, 2))
    for module, name in ((b"K\1", b"\x8c\1a"), (b"\x8c\1a", b"K\1")):
        with pytest.raises(LabError, match="a name is no text"):
            read(b"\x80\4" + module + name + b"\x93.")


TORCH = {
    "bool": torch.tensor([True, False, True]),
    "char": torch.arange(5, dtype=torch.int8),
    "int": torch.arange(5, dtype=torch.int32),
    "long": torch.arange(5),
    "byte": torch.arange(5, dtype=torch.uint8),
    "short": torch.arange(5, dtype=torch.int16),
    "float": torch.linspace(-1, 1, 6).reshape(2, 3),
    "turned": torch.linspace(-1, 1, 6).reshape(2, 3).T,
    "double": torch.linspace(-2, 2, 4, dtype=torch.float64),
    "half": torch.tensor([0.5, -1.5], dtype=torch.float16),
    "short float": torch.tensor([0.5, -1.5], dtype=torch.bfloat16),
    "one": torch.tensor(3.0),
    "none": torch.zeros(0, 4),
}
FLOATS = ("float", "turned", "double", "half", "short float", "one", "none")


@pytest.mark.parametrize("zipped", [True, False])
def test_files_of_torch(zipped):
    made = io.BytesIO()
    torch.save(TORCH, made, _use_new_zipfile_serialization=zipped)
    file = TensorFile(made.getvalue())
    assert file.names == list(TORCH)
    assert "half" in file
    assert "whole" not in file
    for name, found in file.arrays(FLOATS).items():
        np.testing.assert_array_equal(found, TORCH[name].float().numpy())
    for name in TORCH.keys() - set(FLOATS):
        with pytest.raises(LabError, match=f"{name} is a .*Storage, not of floats"):
            file.arrays([name])
    with pytest.raises(LabError, match="whole is missing or no tensor"):
        file.arrays(["whole"])


def rezipped(**changes):
    """A file of torch with some members changed, under the root that is given."""
    made, again = io.BytesIO(), io.BytesIO()
    torch.save({"a": torch.tensor([1.0, 2.0])}, made)
    root = changes.pop("root", "archive")
    with zipfile.ZipFile(made) as old, zipfile.ZipFile(again, "w") as new:
        for name in old.namelist():
            inside = name.partition("/")[2]
            new.writestr(f"{root}/{inside}", changes.get(inside.rpartition("/")[2], old.read(name)))
    return again.getvalue()


def test_the_order_of_bytes_and_the_root_of_a_file_of_torch():
    large = np.array([1.0, 2.0], ">f4").tobytes()
    file = TensorFile(rezipped(**{"byteorder": b"big", "0": large}))
    assert file.arrays(["a"])["a"].tolist() == [1.0, 2.0]
    assert TensorFile(rezipped(root="x")).arrays(["a"])["a"].tolist() == [1.0, 2.0]
    with pytest.raises(LabError, match="not one of torch"):
        TensorFile(rezipped(root="a/b"))


@pytest.mark.parametrize("keys", [("0",), {"0": 1}, ["0"] * (MAX_MEMBERS + 1)], ids=len)
def test_lists_of_tensors_in_old_files_of_torch(keys):
    parts = (0x1950A86A20F9469CFC6C, 1001, {}, {}, keys)
    with pytest.raises(LabError, match="a damaged list of tensors"):
        TensorFile(b"".join(pickle.dumps(part, 2) for part in parts))


def test_objects_of_every_protocol():
    many = b"\x80\4cA\nB\n(K\1t}\x92."  # NEWOBJ_EX: a class, arguments, and others by name
    for program in (
        b"cA\nB\n(K\1tR.",
        b"\x80\2cA\nB\n(K\1t\x81.",
        b"(cA\nB\nK\1o.",
        b"(K\1iA\nB\n.",
        many,
    ):
        found = read_pickle(program, may_call="A.B".__eq__)
        assert (found.dotted, found.args) == ("A.B", (1,))
    assert read_pickle(b"(iA\nB C\n.", may_call="A.B C".__eq__).dotted == "A.B C"
