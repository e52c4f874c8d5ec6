"""Hostile policy folders and run folders: cards, tensors, specs and tables; see `hostile`."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import save

from experiments.faults import makings as m
from experiments.faults.hostile import (
    ODD,
    PAYLOAD,
    Draw,
    Hostile,
    Odd,
    family,
    odd_value,
    pick,
    word,
)
from experiments.faults.hostile_zips import corrupted
from rl_ablation.mapping.manifest import MANIFEST


def _folder(what: str, parts: Mapping[str, bytes | Odd]) -> Hostile:
    return Hostile(what, "agent", {f"agent/{k}": v for k, v in parts.items()})


def _run(what: str, run: Mapping[str, bytes], changes: Mapping[str, bytes | Odd]) -> Hostile:
    # Without its manifest, which would tell of any change before anything else is read.
    parts: dict[str, bytes | Odd] = {k: v for k, v in run.items() if k != MANIFEST}
    parts |= changes
    return Hostile(what, "run", {f"run/{k}": v for k, v in parts.items()})


@family
def card(draw: Draw, run: Mapping[str, bytes]) -> Hostile:
    """A card with odd values, in odd forms, or with some bytes changed."""
    good = m.folder()
    told = json.loads(good["card.json"])
    way = pick(draw, ["values", "values", "values", "text", "damage", "more"])
    if way == "damage":
        return _folder("card: damage", {**good, "card.json": corrupted(draw, good["card.json"])})
    if way == "text":
        texts = [b"", b"[]", b"null", b"[" * 10**5, b'{"a":' * 10**5, b"9" * 10**6, b"\xff\xfe"]
        texts += [b"{" + b",".join(b'"%d":1' % k for k in range(200_000)) + b"}", b" " * (9 << 20)]
        content = pick(draw, texts)
        return _folder(f"card: {content[:8]!r}", {**good, "card.json": content})
    some = ["hyperparameters", "scores", "versions", "seed", "steps", "command", "algorithm"]
    keys = draw.choice([*told, *some], int(draw.integers(1, 4)), replace=False)
    changes = {str(key): odd_value(draw) for key in keys}
    if way == "more":
        changes = {word(draw): odd_value(draw)}
    content = json.dumps({**told, **changes}).encode()
    return _folder(f"card: {', '.join(changes)}", {**good, "card.json": content})


ASKED = (
    "frame_skip", "max_episode_steps", "num_envs", "nthread", "vectorization_mode", "wrappers",
    "xml_file", "render_mode", "g", "inner_id", "inner_kwargs", "id", "entry_point", "kwargs",
    "vector_kwargs", "additional_wrappers", "reset_noise_scale", "healthy_z_range", "width",
    "autoreset_mode", "ctrl_cost_weight", "default_camera_config", "max_geom", "tracks", "spec",
)  # fmt: skip
TIME = "rl_ablation.time_feature:rl_ablation/TimeFeature-v0"


def asked(draw: Draw) -> tuple[str, dict[str, Any]]:
    """An environment and arguments for it that no file may ask for, or that make no sense."""
    foreign = [
        f"{PAYLOAD}:X-v0",
        f"{PAYLOAD}.x:X-v0",
        "os:X-v0",
        "antigravity:X-v0",
        ":X-v0",
        ".:X",
    ]
    own = [
        "experiments.cli.__main__:X-v0",
        "envs:X-v0",
        "envs.nothing:X-v0",
        "agents.zoo:X",
        "X-v0",
    ]
    known = ["Pendulum-v1", "Ant-v5", "envs:Ant-v5", "envs:rl_ablation/Lap-v0", TIME, "Hopper-v2"]
    env_id = str(pick(draw, [*foreign, *own, *known * 3, word(draw)]))
    numbers = [0, -1, 10**9, 10**400, 1.5, True, float("nan"), "4", None, [1, 2], [2, 1]]
    paths = ["/etc/passwd", "../x.xml", "/dev/zero", f"{PAYLOAD}:X-v0", TIME, "Pendulum-v1"]
    values = [*numbers, *paths, odd_value(draw)]
    keys = draw.choice([*ASKED, word(draw)[:30]], int(draw.integers(1, 4)), replace=False)
    kwargs = {str(key): pick(draw, values) for key in keys}
    if env_id == TIME and draw.random() < 0.7:
        inside = pick(draw, [*foreign, *known, *values])
        kwargs = {"inner_id": inside, "inner_kwargs": pick(draw, [kwargs, None, [1], 5])}
        for _ in range(int(pick(draw, [0, 0, 1, 40]))):
            kwargs = {"inner_id": TIME, "inner_kwargs": kwargs}
    return env_id, kwargs if draw.random() < 0.8 else {}


@family
def environment(draw: Draw, run: Mapping[str, bytes]) -> Hostile:
    """A card or a spec whose environment runs a module, reads a file, or has no end."""
    env_id, kwargs = asked(draw)
    about = f"env: {env_id[:40]} {str(kwargs)[:60]}"
    if draw.random() < 0.5:
        return _folder(about, m.folder(env_id=env_id, env_kwargs=kwargs))
    spec = {**json.loads(run["spec.json"]), "env_id": env_id, "env_kwargs": kwargs}
    return _run(about, run, {"spec.json": json.dumps(spec).encode()})


@family
def arrays(draw: Draw, run: Mapping[str, bytes]) -> Hostile:
    """``policy.safetensors`` with odd numbers, shapes, types or headers."""
    way, found = pick(draw, ["values", "types", "shapes", "names", "header", "damage"]), m.tensors()
    label = pick(draw, found)
    values = found[label]
    if way == "values":
        odd = [np.nan, np.inf, -np.inf, 3e38, -1.0, 0.0, 1e-45]
        found[label] = np.full_like(values, pick(draw, odd))
    elif way == "types":
        kinds = ["c8", "f2", "f8", "i8", "u1", "?"]
        found[label] = values.astype(pick(draw, kinds))
    elif way == "shapes":
        odd_shapes = [(0,), (1,), (3, 1, 1), (1 << 20,), (), (0, 7), (8, 4), (2, 8)]
        found[label] = np.zeros(pick(draw, odd_shapes), "f4")
    elif way == "names":
        found[word(draw)] = found.pop(label)
    content = save(found)
    if way == "damage":
        content = corrupted(draw, content)
    elif way == "header":
        told = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
        told |= {str(pick(draw, told)): odd_value(draw)}
        texts = [
            json.dumps({"layers.0.weight": told}).encode(),
            b"[" * 10**5,
            b" " * (3 << 20),
            b"{}",
        ]
        text = pick(draw, texts)
        size = int(pick(draw, [len(text), len(text), 0, 2**62, 2**64 - 1, 10**8]))
        content = struct.pack("<Q", size) + text + bytes(64)
    return _folder(f"arrays: {way}", m.folder(content))


@family
def spec(draw: Draw, run: Mapping[str, bytes]) -> Hostile:
    """A spec with odd values, or with some bytes changed."""
    good = json.loads(run["spec.json"])
    way = pick(draw, ["values", "values", "lesion", "lesion", "text", "damage", "long"])
    if way == "damage":
        return _run("spec: damage", run, {"spec.json": corrupted(draw, run["spec.json"])})
    if way == "text":
        texts = [b"", b"[" * 10**5, b"null", b" " * (17 << 20), b'{"a":' * 10**5, b"\xff"]
        return _run("spec: text", run, {"spec.json": pick(draw, texts)})
    if way == "long":
        key = pick(draw, ["lesions", "conditions", "measures", "once", "sites"])
        many = [pick(draw, [1, {}, [], "", {"name": "x"}])] * 250_000
        content = json.dumps({**good, key: many}).encode()
        return _run(f"spec: long {key}", run, {"spec.json": content})
    target = good
    if way == "lesion":
        target = pick(draw, good["lesions"])
        target |= {"when": None, "onset": 0}
    key = str(pick(draw, target))
    target[key] = odd_value(draw)
    if way == "lesion" and draw.random() < 0.3:
        key = "lesions"
        most = max(2, (8 << 20) // len(json.dumps(target)))  # an odd value can be long itself
        good[key] = good[key] * min(most, int(pick(draw, [0, 2, 2000])))
    return _run(f"spec: {key}", run, {"spec.json": json.dumps(good).encode()})


@family
def odd(draw: Draw, run: Mapping[str, bytes]) -> Hostile:
    """Something odd where a file of a policy folder or of a run should be."""
    kind = pick(draw, ODD)
    if draw.random() < 0.3:
        good = m.folder()
        where = pick(draw, good)
        return _folder(f"{where}: a {kind}", {**good, where: kind})
    where = pick(draw, run)
    return _run(f"{where}: a {kind}", run, {where: kind})


@family
def tables(draw: Draw, run: Mapping[str, bytes]) -> Hostile:
    """A file of a run with some bytes changed, of another kind, or with odd values."""
    where = pick(draw, run)
    content = corrupted(draw, run[where])
    if draw.random() < 0.4:
        odd_json = json.dumps({word(draw)[:20]: odd_value(draw)}).encode()
        content = pick(draw, [b"", draw.bytes(4000), odd_json, b"PAR1" * 9, b"lesion,took\n" * 9])
    return _run(f"damage in {where}", run, {where: content})


@family
def swelling(draw: Draw, run: Mapping[str, bytes]) -> Hostile:
    """A shard of some kilobytes with gigabytes in it: long texts, lists or rows, said often."""
    where = pick(draw, [name for name in run if name.endswith(".parquet")])
    way = pick(draw, ["texts", "bytes", "lists", "rows"])
    rows = pq.read_metadata(io.BytesIO(run[where])).num_rows
    zeros = pa.array(np.zeros(rows, "i4"))
    if way == "lists":
        many = pa.array(np.zeros(10**7, "i4"))
        column: pa.Array = pa.ListArray.from_arrays(pa.array([0, len(many)], pa.int32()), many)
    elif way == "rows":
        column = pa.array(np.zeros(10**7, "i4"))
    else:
        said = pa.array([b"x" * (4 << 20)], pa.binary(4 << 20) if way == "bytes" else None)
        column = pa.DictionaryArray.from_arrays(zeros, said)
    sink = io.BytesIO()
    pq.write_table(pa.table({"lesion": column}), sink, store_schema=False)
    return _run(f"swelling {way}", run, {where: sink.getvalue()})
