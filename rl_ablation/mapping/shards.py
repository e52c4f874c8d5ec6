"""How the shards of a sweep get done: here, or by the workers of a cluster. The bytes are the same.

A shard is some of a sweep's lesion × episode pairs, and a file. What it takes to make one is plain
data: the spec, the policy and the intact activity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from rl_ablation.cluster import scattered
from rl_ablation.env_ids import trust
from rl_ablation.errors import LabError
from rl_ablation.files import MIB, array_digest, digest, one_line
from rl_ablation.lesions.methods import SiteStats
from rl_ablation.mapping.manifest import MAX_SHARD
from rl_ablation.mapping.spec import Spec
from rl_ablation.measures.registry import Measure, evaluate
from rl_ablation.policies.policy import Policy
from rl_ablation.policies.storage import KEPT, policy_of, weight_bytes
from rl_ablation.rollouts.activity import Activity
from rl_ablation.rollouts.rollout import Rollout, Trace, rollout
from rl_ablation.rollouts.world import World

Advance = Callable[[float], None]
"""Told how many robot steps have been made."""


@dataclass(frozen=True, eq=False)
class Work:
    """All that determines the shards of a sweep."""

    spec: Spec
    agent: Policy
    activity: Activity

    @cached_property
    def digest(self) -> str:
        """The spec's."""
        return self.spec.digest

    def world(self, rows: int, threads: int | None = None) -> World:
        """The sweep's world with so many robots."""
        return World(self.spec.env_id, rows, self.spec.env_kwargs, threads)

    def shard(self, index: int, world: World, advance: Advance) -> bytes:
        """Run a shard in a world with a row for each of its pairs; returns its file."""
        spec, pairs = self.spec, self.spec.pairs(index)
        lesions = [spec.lesions[x] for x, _ in pairs]
        jobs = [spec.asked.job(x, k) for x, (_, k) in zip(lesions, pairs, strict=True)]
        share, due = len(jobs) / len(world.parts), float(len(jobs) * spec.horizon)

        def on_step(step: int, running: int) -> None:
            nonlocal due
            due -= share
            advance(share)

        measures = spec.taken
        rolls = Rollout(
            self.agent, world, activity=self.activity, horizon=spec.horizon, on_step=on_step,
            signals=list(dict.fromkeys(s for m in measures for s in m.signals)),
        )  # fmt: skip
        outcomes = rolls.of(jobs, lambda trace: _outcome(measures, trace))
        advance(due)  # steps left when everyone had ended
        told = {
            "lesion": [x.name for x in lesions],
            "group": [x.group for x in lesions],
            "kind": [x.kind for x in lesions],
            "units": [x.size for x in lesions],
            "episode": [k for _, k in pairs],
            "seed": [job.seed for job in jobs],
            "condition": [job.condition for job in jobs],
        }
        outcome = pd.concat(outcomes, ignore_index=True)
        return shard_bytes(self.digest, pd.concat([pd.DataFrame(told), outcome], axis=1))


def _outcome(measures: Sequence[Measure], trace: Trace) -> pd.DataFrame:
    """How each episode went and what the measures say of it."""
    values = evaluate(measures, trace)
    for column in values.values():
        column[trace.unstable] = np.nan  # numbers of diverged physics mean nothing
    ends = {"steps": trace.steps, "terminated": trace.terminated, "unstable": trace.unstable}
    return pd.DataFrame({**ends, **values})


def here(
    work: Work, todo: Sequence[int], threads: int | None, advance: Advance
) -> Iterator[tuple[int, bytes]]:
    """Make shards one after the other on this machine; gives (index, file)."""
    worlds: dict[int, World] = {}
    try:
        for index in todo:
            rows = len(work.spec.pairs(index))
            if rows not in worlds:
                worlds[rows] = work.world(rows, threads)
            yield index, work.shard(index, worlds[rows], advance)
    finally:
        for world in worlds.values():
            world.close()


# On a cluster.


@dataclass(frozen=True)
class _Job:
    """`Work` as plain data, to be sent."""

    spec: str
    card: str
    weights: bytes
    activity: bytes


def on_cluster(
    work: Work, todo: Sequence[int], scheduler: str, advance: Advance
) -> Iterator[tuple[int, bytes]]:
    """Have the workers of a scheduler make shards; gives (index, file) as they get done.

    Raises:
        LabError: A policy with a torch module inside, which cannot be sent as plain data; or see
            `scattered`.
    """
    if not isinstance(work.agent.network, KEPT):
        raise LabError(
            f"policy {work.agent.name!r} is a torch module in this process, which cannot be sent "
            "to workers; leave out the scheduler"
        )
    job = _Job(
        work.spec.model_dump_json(),
        work.agent.card.model_copy(update={"sha256": None}).model_dump_json(),
        weight_bytes(work.agent),
        save_tensors({site: stats.samples for site, stats in work.activity.items()}),
    )
    for index, content in scattered(_shard, job, todo, scheduler, _arithmetic):
        advance(len(work.spec.pairs(index)) * work.spec.horizon)
        yield index, content


@lru_cache(maxsize=2)
def _work(job: _Job) -> Work:
    spec = Spec.model_validate_json(job.spec)
    # Whoever sent this had the user's word, or needed none.
    trust(spec.env_id, spec.env_kwargs)
    agent = policy_of(job.card, job.weights)
    stats = {site: SiteStats(values) for site, values in load_tensors(job.activity).items()}
    return Work(spec, agent, stats)


def _shard(job: _Job, index: int) -> bytes:
    """A shard, on a worker: one thread, since each of its threads takes a task."""
    work = _work(job)
    with closing(work.world(len(work.spec.pairs(index)), 1)) as world:
        return work.shard(index, world, lambda steps: None)


@lru_cache(maxsize=2)
def _arithmetic(job: _Job) -> str:
    """Digest of a little of the sweep: other processors may round otherwise."""
    work = _work(job)
    jobs = [work.spec.asked.job(x, 0) for x in (work.spec.lesions[0], work.spec.lesions[-1])]
    with closing(work.world(len(jobs), 1)) as world:
        trace = rollout(
            work.agent, world, jobs, signals=("obs", "action", "reward"),
            activity=work.activity, horizon=min(20, work.spec.horizon),
        )  # fmt: skip
    return digest([array_digest(values) for values in trace.signals.values()])


# The file of a shard.


def shard_bytes(spec: str, frame: pd.DataFrame) -> bytes:
    """The file of a shard with the digest of its spec, and its own: see `shard_table`."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    about = {b"spec": spec, b"content": _content(table.to_pandas())}
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, **about}), sink)
    return sink.getvalue().to_pybytes()


def shard_table(stored: bytes, spec: str, pairs: Sequence[tuple[str, int]]) -> pd.DataFrame:
    """What the file of a shard holds: a row for each (lesion, episode) of these.

    Raises:
        LabError: It is damaged, of another spec, or another shard.
    """
    try:
        table = _bounded(stored, len(pairs))
        frame = table.to_pandas()
        found = _content(frame)
    except Exception as error:  # pyarrow raises whatever a flipped bit leads it to
        raise LabError(f"damaged shard ({one_line(error)})") from None
    meta = table.schema.metadata or {}
    if meta.get(b"spec") != spec.encode():
        raise LabError("not a shard of this run")
    if meta.get(b"content") != found.encode():
        raise LabError("damaged shard (its numbers have changed)")
    if list(zip(frame["lesion"], frame["episode"], strict=True)) != list(pairs):
        raise LabError("another shard of this run")
    return frame


def owner(stored: bytes) -> str:
    """The digest of the spec that a shard's file says it was made for.

    Raises:
        LabError: It is damaged.
    """
    try:
        _footer(stored)  # pyarrow ends the process where some of them are damaged
        meta = pq.read_schema(pa.BufferReader(stored)).metadata or {}
    except Exception as error:  # as in `shard_table`
        raise LabError(f"damaged shard ({one_line(error)})") from None
    return meta.get(b"spec", b"").decode(errors="replace")


def _bounded(stored: bytes, rows: int) -> pa.Table:
    """The table of a shard; what its file says it has is held against what it may have, first."""
    about = _footer(stored)
    groups, leaves = about[_GROUPS], about[_LEAVES][1:]  # the first one is the table
    columns = [chunk[_COLUMN] for group in groups for chunk in group[_CHUNKS]]
    if any(leaf.get(_CHILDREN) or leaf.get(_REPETITION) == _REPEATED for leaf in leaves):
        raise LabError("it has lists in its rows")  # a list of a million zeros has ten bytes
    if any(c[_CODEC] not in (0, 1) for c in columns):  # none, Snappy: they cannot swell much
        raise LabError("it is compressed in an unusual way")
    if any(leaf.get(_TYPE) == _FIXED for leaf in leaves):
        raise LabError("it has texts of a fixed length")  # written out before they are looked at
    if any(group[_ROWS] < 0 for group in groups) or sum(g[_ROWS] for g in groups) != rows:
        raise LabError(f"it has not the {rows} rows of the spec")
    if sum(_unpacked(stored, column) for column in columns) > MAX_SHARD:
        raise LabError("it has more than a shard may have")
    schema = pq.read_schema(pa.BufferReader(stored))
    texts = [field.name for field in schema if not pa.types.is_primitive(field.type)]
    # As a dictionary each text is there once, however many rows say it.
    file = pq.ParquetFile(pa.BufferReader(stored), read_dictionary=texts)
    if file.metadata.num_rows != rows:
        raise LabError(f"it has not the {rows} rows of the spec")
    table = file.read()
    for name in texts:
        column = table[name]
        said = [text for part in column.chunks for text in part.dictionary.to_pylist()]
        if any(len(text) > MAX_TEXT for text in said):
            raise LabError(f"a text of more than {MAX_TEXT:,} characters")
        whole = column.cast(schema.field(name).type)
        table = table.set_column(table.schema.get_field_index(name), schema.field(name), whole)
    return table


MAX_TEXT = 1_000  # characters of a name in a shard
# Fields, from parquet.thrift: of a file, a leaf of its schema, a group of rows, a column, a page.
_LEAVES, _GROUPS = 2, 4
_TYPE, _FIXED, _REPETITION, _REPEATED, _CHILDREN = 1, 7, 3, 2, 5
_CHUNKS, _ROWS, _COLUMN = 1, 3, 3
_CODEC, _PACKED, _DATA, _DICTIONARY = 4, 7, 9, 11
_SWELLS, _TAKES = 2, 3
_FOOTER = MIB // 4  # bytes of the end of the file, which tells of the rest; 10 KiB are usual
_PAGES = 1_000  # of a column; one or two are usual


def _footer(stored: bytes) -> dict[int, Any]:
    """What the end of a Parquet file says of it: number of field → value.

    It is read here, since pyarrow ends the whole process where it is asked of a damaged one.
    """
    size = int.from_bytes(stored[-8:-4], "little")
    if size > _FOOTER:
        raise LabError("what it says of itself is too long")
    return _struct(stored[-8 - size : -8], 0)[0]


def _unpacked(stored: bytes, column: dict[int, Any]) -> int:
    """Bytes that a column's pages unpack to: what each page says, for which pyarrow makes room."""
    at = column[_DATA]
    if 0 < column.get(_DICTIONARY, 0) < at:
        at = column[_DICTIONARY]
    end, total, pages = at + column[_PACKED], 0, 0
    while at < end:
        page, at = _struct(stored, at)
        pages += 1
        if page[_SWELLS] < 0 or page[_TAKES] < 0 or pages > _PAGES:
            raise LabError("its pages make no sense")
        at, total = at + page[_TAKES], total + page[_SWELLS]
    return total


def _struct(data: bytes, at: int) -> tuple[dict[int, Any], int]:
    """A struct in Thrift's compact protocol, and where it ends."""
    fields: dict[int, Any] = {}
    number = 0
    while kind := data[at]:
        step, kind, at = kind >> 4, kind & 15, at + 1
        if step:
            number += step
        else:
            number, at = _whole(data, at)
        if kind in (1, 2):
            fields[number] = kind == 1
        else:
            fields[number], at = _value(data, at, kind)
    return fields, at + 1


def _value(data: bytes, at: int, kind: int) -> tuple[Any, int]:
    if kind in (1, 2, 3):  # an element of a list of truths, or a byte
        return data[at], at + 1
    if kind in (4, 5, 6):
        return _whole(data, at)
    if kind == 7:  # a real number
        return data[at : at + 8], at + 8
    if kind == 8:
        length, at = _varint(data, at)
        return data[at : at + length], at + length
    if kind == 9:
        length, of = data[at] >> 4, data[at] & 15
        at += 1
        if length == 15:
            length, at = _varint(data, at)
        found = []
        for _ in range(length):
            value, at = _value(data, at, of)
            found.append(value)
        return found, at
    if kind == 12:
        return _struct(data, at)
    raise LabError(f"it has a field of kind {kind}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at
        if shift > 63:  # more than 64 bits
            raise LabError("it has a number without end")


def _whole(data: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    return (value >> 1) ^ -(value & 1), at


def _content(frame: pd.DataFrame) -> str:
    """Digest of a shard's columns and values: parquet itself does not notice a flipped bit."""
    rows = pd.util.hash_pandas_object(frame, index=False)
    return digest([list(frame.columns), [str(t) for t in frame.dtypes], rows.tolist()])
