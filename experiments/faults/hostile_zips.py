"""Hostile zips of stable-baselines3: pickles, torch files and settings; see `hostile`."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Mapping
from functools import cache
from itertools import pairwise

import numpy as np

from experiments.faults import makings as m
from experiments.faults.hostile import (
    ODD,
    PAYLOAD,
    RAN,
    Draw,
    Hostile,
    Odd,
    family,
    near,
    odd_value,
    pick,
    word,
)


def _zip(what: str, members: Mapping[str, bytes], **beside: bytes | Odd) -> Hostile:
    parts = {"x.zip": m.zipped(members), **{f"{k}.pkl": v for k, v in beside.items()}}
    return Hostile(what, "x.zip", parts)


PLACES = (
    "policy_class", "policy_kwargs", "observation_space", "action_space", "lr_schedule",
    "policy.pth", "data.pkl", "statistics",
)  # fmt: skip


def _placed(what: str, where: str, code: bytes) -> Hostile:
    """A pickle in one of the `PLACES`; code of one value, or a whole program if it begins so."""
    program = code if code[:1] == b"\x80" else m.pickled(code)
    if where == "statistics":
        return _zip(what, m.members(), vecnormalize=program)
    if where == "policy.pth":
        return _zip(what, m.members(program))
    if where == "data.pkl":
        return _zip(what, m.members(m.zipped({"archive/data.pkl": program})))
    return _zip(what, m.members(**{where: m.coded(program)}))


@family
def command(draw: Draw, run: Mapping[str, bytes]) -> Hostile:
    """A pickle that runs a command when it is opened."""
    touch = f"touch {RAN}"
    ways = {
        "system": m.call("os.system", m.text(touch)),
        "posix": m.call("posix.system", m.text(touch)),
        "popen": m.call("subprocess.Popen", m.text(touch), m.whole(-1), m.NONE),
        "exec": m.call("builtins.exec", m.text(f"open({RAN!r}, 'w')")),
        "eval": m.call("builtins.eval", m.text(f"open({RAN!r}, 'w')")),
        "open": m.call("builtins.open", m.text(RAN), m.text("w")),
        "import": m.call("builtins.__import__", m.text(PAYLOAD)),
        "module": m.call(f"{PAYLOAD}.run"),
        "runpy": m.call("runpy.run_module", m.text(PAYLOAD)),
        "getattr": m.call("builtins.getattr", m.name("os"), m.text("system")),
        "inst": b"(S'" + touch.encode() + b"'\nios\nsystem\n",
        "obj": b"(cos\nsystem\nS'" + touch.encode() + b"'\no",
        "build": m.thing("builtins.object", m.table({"__setstate__": m.name("os.system")})),
        "partial": m.call("functools.partial", m.name("os.system"), m.text(touch)),
        "hidden": m.call("os.system", m.text(touch)) + m.POP + m.box(4),
        "path": m.call("pathlib.Path", m.text(RAN)) + b"q\x00" + m.NONE,
        "loader": m.call("torch.serialization.load", m.text("x.zip")),
        "numpy": m.call("numpy.load", m.text("x.zip"), m.NONE, m.TRUE),
        "gym": m.call("gymnasium.make", m.text(f"{PAYLOAD}:X-v0")),
        "env": m.call("gymnasium.spaces.utils.importlib.import_module", m.text(PAYLOAD)),
    }
    way, where = pick(draw, ways), pick(draw, PLACES)
    return _placed(f"command {way} in {where}", where, ways[way])


def shared(depth: int, first: int = 100) -> bytes:
    """A tuple of twice the tuple before, and so on: 2^depth paths; memos from ``first`` on."""
    memos = [struct.pack("<I", first + k) for k in range(depth + 1)]
    code = m.text("a") + b"r" + memos[0]
    for before, after in pairwise(memos):
        code += m.POP + (b"j" + before) * 2 + b"\x86r" + after
    return code


@family
def much(draw: Draw, run: Mapping[str, bytes]) -> Hostile:
    """A small pickle that holds much: shared parts, in each place that looks at a value."""
    value = shared(int(draw.integers(25, 120)))
    if draw.random() < 0.3:
        value = pick(draw, [m.whole(2**510, 64) * 3000, m.text("a" * 10**6), b"]" * 40_000])
        value = m.row(value)
    state = {"_shape": value}
    ways: dict[str, Hostile] = {
        key: _zip(f"much as {key}", m.members(policy_kwargs=m.table({key: value})))
        for key in ("activation_fn", "features_extractor_class", "squash_output", "clip_mean")
    }
    for where, kind in (("observation_space", "Box"), ("action_space", "Discrete")):
        space = m.thing(f"gymnasium.spaces.{kind}", m.table({**state, "n": value, "low": value}))
        ways[where] = _zip(f"much in the {where}", m.members(**{where: space}))
    for key in ("clip_obs", "epsilon", "norm_obs", "obs_rms"):
        ways[key] = _zip(f"much as {key}", m.members(), vecnormalize=m.statistics(**{key: value}))
    for key, mean in {
        "dtype": m.array(np.zeros(4), kind=m.dtype(value)),
        "kind": m.array(np.zeros(4), kind=value),
        "shape": m.array(np.zeros(4), shape=value),
    }.items():
        moments = m.table({"mean": mean, "var": m.array(np.ones(4))})
        rms = m.thing("stable_baselines3.common.running_mean_std.RunningMeanStd", moments)
        file = m.statistics(obs_rms=rms)
        ways[key] = _zip(f"much as the {key} of a mean", m.members(), vecnormalize=file)
    odd = m.state(**{"action_net.weight": m.tensor(value, (2, 8), (8, 1))})
    ways["key"] = _zip("much as a storage's key", m.members(m.torch_zip(odd, m.storages())))
    old = m.pickled(m.whole(0x1950A86A20F9469CFC6C)) + m.pickled(m.whole(1001)) + m.pickled(b"}")
    listed = m.pickled(b"](" + value + b"e")
    ways["old"] = _zip("much as an old key", m.members(old + m.pickled(m.state()) + listed))
    for place in ("policy_class", "policy_kwargs", "statistics"):
        code = pick(draw, [value, value + m.text("b") + b"\x93", m.row(value) + m.NONE + b"R"])
        ways[place] = _placed(f"much in {place}", place, code)
    return ways[pick(draw, ways)]


@family
def keys(draw: Draw, run: Mapping[str, bytes]) -> Hostile:
    """Thousands of keys or memos with one hash, long names, many opcodes."""
    step, count = (1 << 61) - 1, int(draw.integers(9_000, 24_000))
    ways = {
        "keys": b"}(" + b"".join(m.whole(k * step, 16) + m.NONE for k in range(1, count)) + b"u",
        "memos": m.NONE + b"".join(b"p%d\n" % (k * step) for k in range(1, count)),
        "floats": b"}(" + b"".join(m.number(2.0**k) + m.NONE for k in range(-999, 999)) + b"u",
        "name": m.text("a" * 10**6) + m.text("b") + b"\x93" + b"q\x00" + b"0h\x00)R" * 9_000,
        "nothing": b"N0" * 40_000 + m.NONE,
        "marks": b"(" * 40_000 + m.NONE,
        "calls": m.NONE + b"0cnumpy\ndtype\n)R" * 12_000,
        "tuples": m.NONE + b"\x85" * 45_000,
        "digits": b"L" + b"9" * 10**6 + b"L\n",
        "claim": b"\x8e" + struct.pack("<Q", 2**62),
        "frame": b"\x95" + struct.pack("<Q", 2**62) + m.NONE,
        "escapes": b"S'" + b"\\x41" * 250_000 + b"'\n",
    }
    way, where = pick(draw, ways), pick(draw, PLACES)
    return _placed(f"keys: {way} in {where}", where, ways[way])


_OPS = (
    m.NONE, m.TRUE, b")", b"]", b"}", b"(", b"t", b"l", b"d", b"a", b"e", b"s", b"u", b"R", b"b",
    b"\x81", b"\x85", b"\x86", b"\x87", b"\x93", b"\x94", b"o", b"Q", b"0", b"1", b"2", b"h\x00",
    b"q\x00", b"q\x01", b"h\x01", b"\x8f", b"\x90", b"\x91", b"\x92", b"\x96" + bytes(8),
    b"\x82\x01",
    m.text("a"), m.text("_shape"), m.whole(7), m.whole(2**70), m.number(0.5), m.raw(b"ab"),
    m.name("numpy.dtype"), m.name("numpy.ndarray"), m.name("os.system"), m.name("x.y"),
    m.name("gymnasium.spaces.box.Box"), m.name("numpy.core.multiarray._reconstruct"),
    m.name("torch._utils._rebuild_tensor_v2"), m.name("torch.FloatStorage"),
)  # fmt: skip


@family
def program(draw: Draw, run: Mapping[str, bytes]) -> Hostile:
    """Opcodes in any order."""
    chosen = draw.integers(len(_OPS), size=int(draw.integers(1, 120)))
    where = pick(draw, PLACES)
    return _placed(f"program in {where}", where, b"".join(_OPS[k] for k in chosen))


@cache
def _stored(size: int) -> bytes:
    """Bytes that shrink 150-fold: less than what counts as a bomb."""
    block = np.random.default_rng(0).bytes(256) + bytes(64 << 10)
    return (block * (size // len(block) + 1))[:size]


@family
def claims(draw: Draw, run: Mapping[str, bytes]) -> Hostile:
    """Tensors that claim what is not there, or that come to gigabytes out of one storage."""
    way = pick(draw, ["numbers", "layers", "views", "storages", "kinds"])
    if way in ("numbers", "kinds"):
        axes, kinds = int(draw.integers(0, 6)), ["Float", "Double", "Half", "BFloat16", "Long", "X"]
        size, stride = ([near(draw) for _ in range(axes)] for _ in range(2))
        odd = m.tensor(m.text("4"), size, stride, near(draw), pick(draw, kinds))
        code = m.state(**{pick(draw, m.LAYERS) + pick(draw, [".weight", ".bias"]): odd})
        return _zip(f"claims: {way}", m.members(m.torch_zip(code, m.storages())))
    count = int(pick(draw, [2, 5, 24, 62]))
    wide = int(pick(draw, [8, 4096]))
    own = way == "storages"
    parts = {
        f"mlp_extractor.policy_net.{2 * k}.weight": m.tensor(
            m.text(str(k if own else 0)), (wide, wide), (wide, 1), 0 if wide > 8 else k
        )
        for k in range(count)
    }
    parts["action_net.weight"] = m.tensor(m.text("0"), (2, wide), (wide, 1))
    stored = _stored((12 if own else 64) << 20)
    held = {str(k): stored for k in range(min(count, 24) if own else 1)}
    weights = m.torch_zip(m.table(parts), held, packed=True)
    return _zip(f"claims: {way} of {wide}", m.members(weights, observation_space=m.box(wide)))


@family
def settings(draw: Draw, run: Mapping[str, bytes]) -> Hostile:
    """A zip's ``data`` with odd values, or in odd forms."""
    if draw.random() < 0.3:
        texts = [b"[" * 10**6, b'{"a":' * 10**5, b"9" * 10**6, b"[" + b"1.5," * 10**6 + b"1]"]
        texts += [b'{"a":"' + b"\\u0000" * 10**6 + b'"}', b"\xff\xfe[", b"", b"null", b"[[],[]]"]
        texts += [b"{" + b",".join(b'"%d":1' % k for k in range(300_000)) + b"}"]
        content = pick(draw, texts)
        return _zip(f"data: {content[:8]!r}", {**m.members(), "data": content})
    chosen = draw.choice(list(m.settings()), int(draw.integers(1, 4)), replace=False)
    changes = {str(key): odd_value(draw) for key in chosen}
    members = {**m.members(), "data": json.dumps({**m.settings(), **changes}).encode()}
    if draw.random() < 0.3:
        members["system_info.txt"] = b"- Python: " + word(draw).encode("utf-8", "replace") * 99
    return _zip(f"data: {', '.join(changes)}", members)


@family
def archive(draw: Draw, run: Mapping[str, bytes]) -> Hostile:
    """Zip bombs, names that are doubled or lead elsewhere, links, members without end."""
    good = m.zipped(m.members())
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 65535, 65535, 46 * 10**6, 0, 0)
    last = good.rindex(b"PK\x01\x02")
    names = [
        "../x",
        "/etc/passwd",
        "C:/x",
        "a\\..\\b",
        "data",
        "policy.pth",
        "x" * 65_000,
        "\x1b[2J",
    ]
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as odd:
        for label, content in {**m.members(), pick(draw, names): b"1"}.items():
            odd.writestr(zipfile.ZipInfo(label), content)
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        odd.writestr(link, "/etc/passwd")
    changes = [(8, b"\x01"), (10, b"\x0e"), (10, b"\x63"), (16, b"\0\0"), (20, b"\xff")]
    changes += [(24, b"\xff\xff\xff\x7f"), (28, b"\xff\xff"), (42, b"\xff\xff")]
    place, value = pick(draw, changes)
    ways = {
        "bomb": m.zipped({**m.members(), "policy.pth": bytes(9 << 20)}, packed=True),
        "nested": m.zipped({**m.members(), "policy.pth": m.zipped({"a": bytes(9 << 20)}, True)}),
        "members": m.zipped({f"{k}": b"" for k in range(300)}),
        "entries": b"PK\x01\x02" + bytes(42) + (b"PK\x01\x02" + bytes(42)) * 10**5 + end,
        "names": stream.getvalue(),
        "entry": good[: last + place] + value + good[last + place + len(value) :],
        "comment": good + b"x" * 60_000,
        "before": b"#!/bin/sh\ntouch it-ran\n" + good,
        "twice": good + good,
        "long": m.zipped({**m.members(), "data": b" " * (17 << 20)}),
        "pointer": b"version https://git-lfs.github.com/spec/v1\n",
    }
    way = pick(draw, ways)
    return Hostile(f"archive: {way}", "x.zip", {"x.zip": ways[way]})


def corrupted(draw: Draw, content: bytes) -> bytes:
    """Some bytes changed, cut off, doubled or put in."""
    damaged = bytearray(content)
    for _ in range(int(draw.integers(1, 6))):
        at, size = int(draw.integers(len(damaged) + 1)), int(draw.integers(1, 9))
        way = int(draw.integers(4))
        if way == 0:
            damaged[at : at + 1] = draw.bytes(1)
        elif way == 1:
            damaged[at:at] = pick(draw, [b"\0", b"\xff", b"\x80", b"("]) * size
        elif way == 2:
            damaged[at : at + size] = damaged[at : at + size] * 2
        else:
            del damaged[at : at + (size if draw.random() < 0.9 else len(damaged))]
    return bytes(damaged)


@family
def damage(draw: Draw, run: Mapping[str, bytes]) -> Hostile:
    """A good file with some bytes changed, in each reader: checksums fit what is inside."""
    where = pick(draw, ["x.zip", "data", "policy.pth", "statistics", *PLACES[:5], "data.pkl"])
    if where == "x.zip":
        return Hostile("damage", "x.zip", {"x.zip": corrupted(draw, m.zipped(m.members()))})
    if where == "statistics":
        return _placed("damage", where, corrupted(draw, m.statistics()))
    if where == "data.pkl":
        code = corrupted(draw, m.pickled(m.state()))
        inside = {f"archive/data/{k}": v for k, v in m.storages().items()}
        return _zip("damage in data.pkl", m.members(m.zipped({"archive/data.pkl": code, **inside})))
    if where in ("data", "policy.pth"):
        content = m.members()
        return _zip(f"damage in {where}", {**content, where: corrupted(draw, content[where])})
    space = m.pickled(pick(draw, [m.box(4), m.box(2), m.table({"activation_fn": m.name("a.b")})]))
    return _placed(f"damage in {where}", where, corrupted(draw, space))


@family
def beside(draw: Draw, run: Mapping[str, bytes]) -> Hostile:
    """Something odd where the statistics or the zip should be."""
    odd = pick(draw, ODD)
    if draw.random() < 0.5:
        return _zip(f"statistics: a {odd}", m.members(), **{pick(draw, STATISTICS): odd})
    return Hostile(f"zip: a {odd}", "x.zip", {"x.zip": odd})


STATISTICS = ("vecnormalize", "vec_normalize")
