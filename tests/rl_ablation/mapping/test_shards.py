"""Shards: who makes them, the same bytes; what their files may say of themselves, and may not."""

from __future__ import annotations

import pickle
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from conftest import CONDITIONS, LAP, random_mlp

from rl_ablation import env_ids
from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.mapping import shards as shards_module
from rl_ablation.mapping.shards import Work, here, on_cluster, owner, shard_bytes, shard_table
from rl_ablation.mapping.sweep import make_spec
from rl_ablation.policies.policy import Policy
from rl_ablation.rollouts.episodes import Episodes
from rl_ablation.rollouts.rollout import Trace

CUTS = [Lesion(name=f"unit {k}", cut={"h0": (k,)}, kind="resample") for k in range(3)]


def work_of(policy: Policy, activity, plan: Plan, rows: int = 1024, **changes) -> Work:
    asked = Episodes(**{"count": 2, "seed": 0, "conditions": CONDITIONS, "horizon": 8, **changes})
    spec = make_spec(policy, plan, asked, None).model_copy(update={"rows": rows})
    return Work(spec, policy, activity)


@pytest.fixture
def worlds(monkeypatch) -> list[tuple[int, int | None, bool]]:
    """(robots, threads, whether it has been closed) of each world that shards are made in."""
    told = []

    class Told(shards_module.World):
        def __init__(self, env_id, rows, env_kwargs, threads) -> None:
            super().__init__(env_id, rows, env_kwargs, threads)
            self.place = len(told)
            told.append((rows, threads, False))

        def close(self) -> None:
            super().close()
            told[self.place] = (*told[self.place][:2], True)

    monkeypatch.setattr(shards_module, "World", Told)
    return told


@pytest.fixture
def elsewhere(monkeypatch):
    """Has tasks done as by a worker: with nothing but their bytes, and what a fresh process knows.

    Gives the digests of their arithmetic.
    """
    digests = []

    def scattered(function, job, items, scheduler, alike) -> Iterator:
        for name in ("_named", "_from_files"):
            monkeypatch.setattr(env_ids, name, set())
        shards_module._work.cache_clear()
        function, alike, job = pickle.loads(pickle.dumps((function, alike, job)))
        digests.append(alike(job))
        for item in items:
            yield item, function(job, item)

    monkeypatch.setattr(shards_module, "scattered", scattered)
    return digests


# Who makes them.


def test_here_and_elsewhere_shards_are_the_same(policy, activity, worlds, elsewhere) -> None:
    work = work_of(policy, activity, Plan(CUTS), rows=3)
    todo = [0, 2, 1]
    alone, spread = [], []
    one = dict(here(work, todo, 2, alone.append))
    assert worlds == [(3, 2, True), (2, 2, True)], "a world for each size, closed in the end"
    del worlds[:]
    other = dict(on_cluster(work, todo, "", spread.append))
    assert one == other
    assert list(other) == todo
    assert {threads for _, threads, _ in worlds} == {1}, "a worker has a task for each thread"
    assert all(closed for *_, closed in worlds)
    assert spread == [24, 16, 24]
    assert sum(alone) == pytest.approx(64)


def test_a_world_is_closed_where_a_shard_fails(policy, activity, worlds, monkeypatch) -> None:
    work = work_of(policy, activity, Plan())
    monkeypatch.setattr(Work, "shard", lambda *_: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        list(here(work, [0], 1, lambda steps: None))
    assert worlds == [(2, 1, True)]


def test_progress_goes_on_to_the_end_of_all_robots(policy, activity) -> None:
    """Of a world in two parts, in which all end early."""
    work = work_of(policy, activity, Plan(CUTS[:1]), count=150, horizon=80)
    told: list[float] = []
    ((_, content),) = here(work, [0], 2, told.append)
    pairs = [(("intact", "unit 0")[x], k) for x, k in work.spec.pairs(0)]
    table = shard_table(content, work.digest, pairs)
    assert len(table) == 300
    assert table["steps"].max() < 80
    assert len(told) > 2, "a step of a part at a time"
    assert min(told) >= 0
    assert sum(told) == pytest.approx(300 * 80)


def test_numbers_of_diverged_physics_are_told_as_none(policy, activity, monkeypatch) -> None:
    """Though they may look like numbers; the other rows stay as they are."""
    work = work_of(policy, activity, Plan(CUTS[:1]))
    names = [("intact", 0), ("intact", 1), ("unit 0", 0), ("unit 0", 1)]

    def table() -> pd.DataFrame:
        ((_, content),) = here(work, [0], 1, lambda steps: None)
        return shard_table(content, work.digest, names)

    class Diverging(shards_module.Rollout):
        def of(self, jobs, take):
            def diverged(trace):
                trace.unstable[2] = True
                return take(trace)

            return super().of(jobs, diverged)

    sound = table()
    monkeypatch.setattr(shards_module, "Rollout", Diverging)
    found = table()
    assert found["unstable"].tolist() == [False, False, True, False]
    measures = list(work.spec.measures)
    assert sound[measures].notna().any(axis=None)
    assert found.loc[2, measures].isna().all()
    pd.testing.assert_frame_equal(found.drop(2), sound.drop(2), check_exact=True)
    assert found.loc[2, "steps"] == sound.loc[2, "steps"]


def test_a_module_of_this_process_is_not_sent(policy, activity, elsewhere) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(18, 2))
    agent = Policy.from_module(
        module, sites={"0": "h0"}, obs_size=18, action_size=2, env_id=LAP, squash="none"
    )
    work = work_of(agent, activity, Plan())
    with refused("is a torch module in this process, which cannot be sent"):
        list(on_cluster(work, [0], "", lambda steps: None))
    assert elsewhere == []


def test_a_worker_has_the_word_that_the_user_gave(elsewhere) -> None:
    """For arguments that a file alone may not give an environment."""
    policy = random_mlp((105, 4, 8), "Ant-v5")
    card = policy.card.model_copy(update={"env_kwargs": {"xml_file": "ant.xml"}})
    policy = policy.with_card(card)
    env_ids.trust(card.env_id, card.env_kwargs)
    work = work_of(policy, {}, Plan(), count=1, conditions=None, horizon=2)
    assert len(dict(on_cluster(work, [0], "", lambda steps: None))) == 1


def test_the_arithmetic_of_a_sweep_is_that_of_its_first_and_last_robot(
    policy, activity, elsewhere, monkeypatch
) -> None:
    jobs = []
    real = shards_module.rollout

    def told(agent, world, asked, **how) -> Trace:
        jobs.append([(job.lesion.name, job.seed) for job in asked])
        return real(agent, world, asked, **how)

    monkeypatch.setattr(shards_module, "rollout", told)
    for plan in (CUTS, CUTS[2:], CUTS[:2], []):
        work = work_of(policy, activity, Plan(plan), rows=1)
        assert list(on_cluster(work, [], "", lambda steps: None)) == []
    seed = work.spec.asked.job(work.spec.lesions[0], 0).seed
    last = ["unit 2", "unit 2", "unit 1", "intact"]
    assert jobs == [[("intact", seed), (name, seed)] for name in last]
    assert elsewhere[0] == elsewhere[1]
    assert len(set(elsewhere)) == 3


# What a file may be.


@contextmanager
def refused(line: str) -> Iterator[None]:
    with pytest.raises(LabError, match=line) as caught:
        yield
    assert "\n" not in str(caught.value)


WIDE = pd.DataFrame(
    {
        "lesion": ["intact", "intact", "a unit", "a unit", "α"],
        "episode": [0, 1, 0, 1, 0],
        "steps": np.array([3, 0, 2, 200, 255], "u1"),
        "unstable": [True, False, False, True, False],
        "nowhere": np.nan,
        "return": np.arange(5, dtype="f4") / 3,
        **{f"measure {k}": np.arange(5) * 1e300 for k in range(20)},
    }
)
PAIRS = list(zip(WIDE["lesion"], WIDE["episode"], strict=True))


def rewritten(content: bytes, **how) -> bytes:
    """The same table in a file of another layout."""
    sink = pa.BufferOutputStream()
    pq.write_table(pq.read_table(pa.BufferReader(content)), sink, **how)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"compression": "none"},
        {"compression": "none", "use_dictionary": False},
        {"row_group_size": 2},
        {"data_page_version": "2.0", "version": "2.6"},
        {"write_page_index": True, "write_statistics": False},
        {"sorting_columns": [pq.SortingColumn(1, descending=True)]},
    ],
    ids=str,
)
def test_a_sound_shard_is_read_whatever_its_layout(how) -> None:
    content = shard_bytes("a spec", WIDE)
    assert pq.read_schema(pa.BufferReader(content)).names == list(WIDE.columns)
    stored = rewritten(content, **how)
    pd.testing.assert_frame_equal(shard_table(stored, "a spec", PAIRS), WIDE, check_exact=True)
    assert owner(stored) == "a spec"


def test_whose_a_file_is_can_be_asked_of_anything() -> None:
    content = shard_bytes("a spec", WIDE)
    assert owner(_stored(WIDE)) == ""
    for damaged in (b"", b"rubbish" * 9, content[:-20], content[:100]):
        with refused("damaged shard"):
            owner(damaged)
    with refused("what it says of itself is too long"):
        owner(_with_size(content, 1 << 20))


def test_another_shard_and_changed_numbers_are_told() -> None:
    content = shard_bytes("a spec", WIDE)
    with refused("another shard of this run"):
        shard_table(content, "a spec", PAIRS[::-1])
    with refused("not a shard of this run"):
        shard_table(content, "another spec", PAIRS)
    with refused("it has not the 4 rows of the spec"):
        shard_table(content, "a spec", PAIRS[:4])
    table = pq.read_table(pa.BufferReader(content))
    for column, value in (("measure 3", 7.0), ("unstable", True)):
        other = WIDE.copy()
        other.loc[2, column] = value
        changed = pa.Table.from_pandas(other, schema=table.schema, preserve_index=False)
        sink = pa.BufferOutputStream()
        pq.write_table(changed.replace_schema_metadata(table.schema.metadata), sink)
        with refused("its numbers have changed"):
            shard_table(sink.getvalue().to_pybytes(), "a spec", PAIRS)


def test_shards_of_earlier_versions_stay_sound() -> None:
    """Their digest of the same numbers is the same, or every finished map would be damaged."""
    numbers = {"episode": [0, 1, 2], "return": [0.5, np.nan, -1e300], "fell": [False, True, False]}
    content = shard_bytes("", pd.DataFrame(numbers))
    written = b"27bee8edb7962bec70b06660cb01628b7492db6237cb67b39a4a2e81016e3d16"
    assert pq.read_schema(pa.BufferReader(content)).metadata[b"content"] == written


def test_a_name_may_have_a_thousand_letters() -> None:
    frame = pd.DataFrame({"lesion": ["x" * 1_000], "episode": [0]})
    assert len(shard_table(shard_bytes("", frame), "", [("x" * 1_000, 0)])) == 1
    frame["lesion"] += "x"
    with refused("a text of more than 1,000 characters"):
        shard_table(shard_bytes("", frame), "", [("x" * 1_001, 0)])


def test_the_footer_is_read_by_the_protocol() -> None:
    """Thrift's compact one, with every kind of field that a later writer may add."""
    data = bytes.fromhex(
        "11 12 13ff 147f 158001 16ffffffffffffffffff01"  # truths, a byte, whole numbers
        "17000000000000f03f 18026162 192305ff"  # a real number, a text, a list of bytes
        "1c 1503 157e 00"  # a struct in it
        "05c80101 f500"  # number 100, given in full; 15 further on
        "19e2" + "01" * 14 + "19f10f" + "02" * 15  # lists with a short and a long length
    )
    found = {
        1: True, 2: False, 3: 255, 4: -64, 5: 64, 6: -(2**63), 7: b"\0\0\0\0\0\0\xf0?", 8: b"ab",
        9: [5, 255], 10: {1: -2, 2: 63}, 100: -1, 115: 0, 116: [1] * 14, 117: [2] * 15,
    }  # fmt: skip
    told = shards_module._struct(b"??" + data + b"\0rest", 2)
    assert repr(told) == repr((found, 2 + len(data) + 1))


# What it may not.


def _stored(frame: pd.DataFrame, **how) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), sink, **how)
    return sink.getvalue().to_pybytes()


def test_a_shard_cannot_swell() -> None:
    rows = 2_000
    same = pa.DictionaryArray.from_arrays(pa.array([0] * rows), pa.array(["x" * 500_000]))
    table = pa.table({"lesion": same, "episode": range(rows)})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, store_schema=False)  # so that nothing but its pages says so
    content, pairs = sink.getvalue().to_pybytes(), [("x", k) for k in range(rows)]
    assert pq.read_schema(pa.BufferReader(content)).field("lesion").type == pa.string()
    assert len(content) < 300_000, "one text for all rows: a gigabyte where it is written out"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(LabError, match="a text of more than 1,000 characters"):
        shard_table(content, "", pairs)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB
    few = pd.DataFrame({"lesion": ["x"], "episode": [0]})
    with pytest.raises(LabError, match="compressed in an unusual way"):
        shard_table(_stored(few, compression="gzip"), "", [("x", 0)])
    with pytest.raises(LabError, match="it has not the 2 rows of the spec"):
        shard_table(_stored(few), "", [("x", 0), ("x", 1)])


def _varint(number: int, length: int = 0) -> bytes:
    """A whole number as Parquet's footer has it, with so many bytes at least."""
    value, found = number << 1 if number >= 0 else (-number << 1) - 1, bytearray()
    while value > 127 or len(found) < length - 1:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes(found + bytes([value]))


def _lie(content: bytes, true: int, false: int) -> bytes:
    """A shard whose footer says another number wherever it says this one."""
    at = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    old = _varint(true)
    told = content[at:-8].replace(old, _varint(false, len(old)))
    assert told != content[at:-8]
    return _with_size(content[:at] + told + content[-8:], len(told))


def _with_size(content: bytes, size: int) -> bytes:
    """A shard that says that its footer has so many bytes."""
    return content[:-8] + size.to_bytes(4, "little") + b"PAR1"


def test_what_pages_unpack_to_is_read_from_the_pages(monkeypatch) -> None:
    frame = pd.DataFrame({"lesion": ["x"] * 5_000, "episode": 0})
    content = _stored(frame, use_dictionary=False)
    about = pq.read_metadata(pa.BufferReader(content)).row_group(0)
    size = about.column(1).total_uncompressed_size
    pairs = [("x", 0)] * 5_000
    monkeypatch.setattr(shards_module, "MAX_SHARD", 30_000)
    for stored in (content, _lie(content, size, 9)):
        with pytest.raises(LabError, match="more than a shard may have"):
            shard_table(stored, "", pairs)
    whole = 0
    for column in map(about.column, range(2)):  # a page each, with a head that unpacks to nothing
        at = column.data_page_offset
        whole += column.total_uncompressed_size - (shards_module._struct(content, at)[1] - at)
    assert whole > 5_000 * (5 + 8)
    for most, line in ((whole, "not a shard of this run"), (whole - 1, "than a shard may have")):
        monkeypatch.setattr(shards_module, "MAX_SHARD", most)
        with pytest.raises(LabError, match=line):
            shard_table(content, "x", pairs)
    monkeypatch.setattr(shards_module, "MAX_SHARD", whole)
    for most, line in ((1, "not a shard of this run"), (0, "pages make no sense")):
        monkeypatch.setattr(shards_module, "_PAGES", most)
        with pytest.raises(LabError, match=line):
            shard_table(content, "x", pairs)


@pytest.mark.parametrize("which", [2, 3], ids=["unpacked", "packed"])
def test_a_page_that_says_it_has_less_than_nothing_is_refused(which) -> None:
    content = _stored(pd.DataFrame({"lesion": ["x"] * 5_000, "episode": 0}), use_dictionary=False)
    at = pq.read_metadata(pa.BufferReader(content)).row_group(0).column(1).data_page_offset
    size = _varint(shards_module._struct(content, at)[0][which])
    place = content.index(size, at)
    lie = content[:place] + _varint(-1, len(size)) + content[place + len(size) :]
    with refused("its pages make no sense"):
        shard_table(lie, "", [("x", 0)] * 5_000)


def test_rows_that_are_not_there_are_refused() -> None:
    content = _stored(pd.DataFrame({"lesion": ["x"] * 70_004, "episode": 0}), row_group_size=70_001)
    with refused("it has not the 70004 rows of the spec"):
        shard_table(_lie(content, 70_004, 5), "", [("x", 0)] * 70_004)
    less = _lie(_lie(content, 70_001, -1), 70_004, 2)  # -1 + 3 rows
    with refused("it has not the 2 rows of the spec"):
        shard_table(less, "", [("x", 0)] * 2)


def test_a_row_of_a_shard_cannot_hold_a_million() -> None:
    many = pa.array(np.zeros(1_000_000, "i4"))
    ends = pa.array([0, len(many)], pa.int32())
    for column, line in (
        (pa.ListArray.from_arrays(ends, many), "lists in its rows"),
        (pa.StructArray.from_arrays([many[:1]], ["x"]), "lists in its rows"),
        (pa.array([b"x" * 99], pa.binary(99)), "texts of a fixed length"),
    ):
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"lesion": column}), sink)
        with pytest.raises(LabError, match=line):
            shard_table(sink.getvalue().to_pybytes(), "", [("x", 0)])


def test_a_footer_without_sense_is_refused_soon() -> None:
    content = _stored(pd.DataFrame({"lesion": ["x"], "episode": [0]}))
    rows = _stored(pd.DataFrame({"lesion": ["x"] * 70_001, "episode": 0}))
    with pytest.raises(LabError, match="it has not the 1 rows"):
        shard_table(_lie(rows, 70_001, -1), "", [("x", 0)])
    endless = _with_size(content[:4] + b"\x15" + b"\xff" * 200_000 + content[-8:], 200_001)
    start = time.perf_counter()
    with pytest.raises(LabError, match="a number without end"):
        shard_table(endless, "", [("x", 0)])
    true = int.from_bytes(content[-8:-4], "little")
    for size in (1 << 20, true + (1 << 24)):
        with pytest.raises(LabError, match="what it says of itself is too long"):
            shard_table(_with_size(content, size), "", [("x", 0)])
    with pytest.raises(LabError, match="it has a field of kind 11"):
        shard_table(_with_size(content[:4] + b"\x1b\0" + content[-8:], 2), "", [("x", 0)])
    assert time.perf_counter() - start < 2
