"""The run folder: its spec, its shards, its tables."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from rl_ablation.env_ids import EnvId, EnvKwargs
from rl_ablation.errors import LabError
from rl_ablation.files import digest, one_line
from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.mapping.behaviour import Behaviour, fold
from rl_ablation.mapping.effects import effects
from rl_ablation.markup import shown
from rl_ablation.measures.registry import MEASURES, Measure, in_condition
from rl_ablation.policies.policy import Policy
from rl_ablation.policies.storage import load_folder
from rl_ablation.rollouts.activity import EPISODES, Activity, load_activity
from rl_ablation.rollouts.episodes import Episodes

ROWS = 1024
"""Robots at once; enough to keep the C threads busy, few enough for the traces to fit in cache."""

RUNS = Path("runs")
NAMES = "names.json"
"""Site → names of its units, for people; beside the spec, since no number depends on them."""

OWN = "own_measures.json"
"""Condition → the measure by which the world judges it; beside the spec for the same reason."""

WORDS = "condition_words.json"
"""Condition → how a sentence tells it, where the world says so; likewise."""

MORE = "more"
"""Runs inside a run with further episodes for some of its lesions: ``more-1``, ``more-2``, …"""

Kept = TypeVar("Kept")
_NAMES = TypeAdapter(dict[str, list[str]])
_OWN = TypeAdapter(dict[str, str])


class Spec(BaseModel):
    """Everything that determines a run's numbers; lesions in ``once`` get one episode only."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = 4
    agent: str
    policy_sha256: str
    sites: dict[str, int]
    env_id: EnvId
    env_kwargs: EnvKwargs
    conditions: tuple[str, ...]
    episodes: int
    seed: int
    horizon: int
    measures: tuple[str, ...]
    lesions: tuple[Lesion, ...]
    once: tuple[str, ...] = ()
    activity_episodes: int = EPISODES
    rows: int = ROWS

    @property
    def digest(self) -> str:
        """Identity of the run."""
        return digest(self.model_dump(mode="json"))

    @property
    def asked(self) -> Episodes:
        """Its episodes."""
        return Episodes(self.episodes, self.seed, self.conditions, self.horizon)

    @property
    def taken(self) -> list[Measure]:
        """Its measures."""
        return [MEASURES[name] for name in self.measures]

    @cached_property
    def ends(self) -> np.ndarray:
        """Number of lesion × episode pairs up to and with each lesion, (L,)."""
        once = set(self.once)
        return np.cumsum([1 if x.name in once else self.episodes for x in self.lesions])

    @property
    def shards(self) -> int:
        """How many shards the lesion × episode pairs fill."""
        return -(-int(self.ends[-1]) // self.rows)

    def pairs(self, shard: int) -> list[tuple[int, int]]:
        """The (lesion index, episode) pairs of a shard."""
        which = np.arange(shard * self.rows, min((shard + 1) * self.rows, self.ends[-1]))
        lesion = np.searchsorted(self.ends, which, side="right")
        episode = which - np.concatenate([[0], self.ends])[lesion]
        return list(zip(lesion.tolist(), episode.tolist(), strict=True))


class Run:
    """A run folder: the sweep's spec and results.

    Raises:
        LabError: It is none, or its spec is damaged.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        path = self.folder / "spec.json"
        try:
            self.spec = Spec.model_validate_json(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            raise LabError(f"{folder} is no run folder: it has no spec.json") from None
        except (ValidationError, UnicodeDecodeError) as error:
            raise LabError(f"{path}: damaged spec: {one_line(error)}") from None
        self._own: tuple[int, pd.DataFrame] | None = None  # further episodes make it stale

    @property
    def plan(self) -> Plan:
        """The lesions of the run."""
        return Plan(self.spec.lesions)

    @property
    def episodes(self) -> Episodes:
        """The episodes of the run."""
        return self.spec.asked

    @property
    def measures(self) -> list[Measure]:
        """The measures of the run."""
        return self.spec.taken

    @cached_property
    def digest(self) -> str:
        """The spec's digest."""
        return self.spec.digest

    @cached_property
    def policy(self) -> Policy:
        """The policy that was lesioned.

        Raises:
            LabError: The run keeps no policy (it was no MLP), or it is damaged.
        """
        return load_folder(self.folder / "policy")

    @property
    def activity(self) -> Activity:
        """The intact activity that the lesions were made with."""
        return load_activity(self.folder / "activity.safetensors")

    @property
    def names(self) -> dict[str, list[str]]:
        """Names of sensors (``obs``) and actuators (``action``), as far as the world names them.

        Raises:
            LabError: Their file is damaged.
        """
        return self._beside(NAMES, _NAMES)

    @cached_property
    def own(self) -> list[str]:
        """The behaviours that the run's conditions are there for: ``turn_left: yaw_error``.

        None where the world names no measure of a condition's own, or the run took none of them.

        Raises:
            LabError: Their file is damaged.
        """
        found = self._beside(OWN, _OWN)
        has = set(self.spec.measures)
        return [in_condition(c, found[c]) for c in self.spec.conditions if found.get(c) in has]

    def condition_words(self, condition: str) -> str:
        """How a sentence tells a condition: "told to turn left".

        Raises:
            LabError: The file of these words is damaged.
        """
        plain = f"under {condition.replace('_', ' ')}"
        return self._beside(WORDS, _OWN).get(condition, plain)

    def _beside(self, name: str, kind: TypeAdapter[dict[str, Kept]]) -> dict[str, Kept]:
        path = self.folder / name
        if not path.exists():  # of a world that has none, or a run from before they were kept
            return {}
        try:
            return kind.validate_json(path.read_bytes())
        except ValidationError as error:
            raise LabError(f"{path}: damaged: {one_line(error)}; delete it") from None

    def shard_path(self, index: int) -> Path:
        """The file of a shard."""
        return self.folder / "shards" / f"{index:05d}.parquet"

    def read_shard(self, index: int) -> pd.DataFrame:
        """Read a shard.

        Raises:
            LabError: It is missing, damaged, or of another run.
        """
        path = self.shard_path(index)
        mend = "run the same map command again to finish it"
        if not path.exists():
            raise LabError(f"{self.folder}: shard {path.name} is missing; {mend}")
        try:
            table = pq.ParquetFile(path).read()
            frame = table.to_pandas()
            content = _content(frame)
        except Exception as error:  # pyarrow raises whatever a flipped bit leads it to
            raise LabError(f"{path}: damaged shard ({one_line(error)}); {mend}") from None
        meta = table.schema.metadata or {}
        if meta.get(b"spec") != self.digest.encode() or len(frame) != len(self.spec.pairs(index)):
            raise LabError(f"{path}: not a shard of this run; {mend}")
        if meta.get(b"content") != content.encode():
            raise LabError(f"{path}: damaged shard (its numbers have changed); {mend}")
        return frame

    def table(self) -> pd.DataFrame:
        """The behaviour table: a row for each lesion × episode.

        Raises:
            LabError: A shard is missing or damaged.
        """
        return pd.concat(map(self.read_shard, range(self.spec.shards)), ignore_index=True)

    def rows_of(self, lesion: str) -> pd.DataFrame:
        """The behaviour table's rows of one lesion."""
        k, spec = self.plan.names.index(lesion), self.spec
        start = int(spec.ends[k - 1]) if k else 0
        first, last = start // spec.rows, (int(spec.ends[k]) - 1) // spec.rows
        table = pd.concat(map(self.read_shard, range(first, last + 1)), ignore_index=True)
        return table[table["lesion"] == lesion]

    @property
    def finished(self) -> bool:
        """Whether all shards are there; one that was broken off is finished by the same command."""
        return all(self.shard_path(k).exists() for k in range(self.spec.shards))

    def _repr_html_(self) -> str:
        return shown(f"Run of {self.spec.agent}", self._about())

    def _about(self) -> str:
        """What was run, in a line."""
        spec, cuts = self.spec, sum(x.size > 0 for x in self.spec.lesions)
        text = f"in {spec.env_id}: {cuts} cuts × {spec.episodes} episodes, seed {spec.seed}"
        return text + f", in {self.folder}" + "; not finished" * (not self.finished)

    @property
    def looks(self) -> list[Run]:
        """The runs inside with further episodes for some of the lesions."""
        return parts(self.folder, MORE)

    def own_effects(self) -> pd.DataFrame:
        """The effects from this run's own episodes, without other stages."""
        episodes = 1 + len(self.looks)
        if self._own is None or self._own[0] != episodes:
            units = {m.name: m.unit for m in self.measures}
            self._own = episodes, effects(self.behaviour(), units, self.spec.seed)
        return self._own[1]

    def behaviour(self) -> Behaviour:
        """`whole_table` folded, a shard in memory at a time.

        Raises:
            LabError: A shard is missing or damaged.
        """
        about = pd.DataFrame(
            {
                "group": [x.group for x in self.spec.lesions],
                "kind": [x.kind for x in self.spec.lesions],
                "units": [x.size for x in self.spec.lesions],
            },
            index=pd.Index([x.name for x in self.spec.lesions], name="lesion"),
        )
        return fold(self._tables(), about, self._later[-1], self.spec.measures)

    @property
    def _later(self) -> list[int]:
        """Episodes before each look, and in all."""
        return list(accumulate([self.spec.episodes, *(m.spec.episodes for m in self.looks)]))

    def _tables(self) -> Iterator[pd.DataFrame]:
        for index in range(self.spec.shards):
            yield self.read_shard(index)
        for done, more in zip(self._later, self.looks, strict=False):
            for index in range(more.spec.shards):
                table = more.read_shard(index)
                yield table.assign(episode=table["episode"] + done)

    def whole_table(self) -> pd.DataFrame:
        """The behaviour table with the further episodes that only some of the lesions were given.

        Raises:
            LabError: A shard is missing or damaged.
        """
        return pd.concat(self._tables(), ignore_index=True)


def part(folder: Path) -> Run | None:
    """The finished run in a folder; None if there is none."""
    if not (folder / "spec.json").exists():
        return None
    run = Run(folder)
    return run if run.finished else None


def parts(folder: Path, name: str) -> list[Run]:
    """The finished runs ``name-1``, ``name-2``, … in a folder."""
    found: list[Run] = []
    while (run := part(folder / f"{name}-{len(found) + 1}")) is not None:
        found.append(run)
    return found


def _content(frame: pd.DataFrame) -> str:
    """Digest of a shard's columns and values: parquet itself does not notice a flipped bit."""
    rows = pd.util.hash_pandas_object(frame, index=False)
    return digest([list(frame.columns), [str(t) for t in frame.dtypes], rows.tolist()])


def shard_bytes(spec: str, frame: pd.DataFrame) -> bytes:
    """The file of a shard with the digest of its spec, and its own: see `Run.read_shard`."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    about = {b"spec": spec, b"content": _content(table.to_pandas())}
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({**(table.schema.metadata or {}), **about}), sink)
    return sink.getvalue().to_pybytes()
