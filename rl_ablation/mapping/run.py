"""The run folder: its spec, its shards, its tables."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from functools import cached_property, lru_cache
from itertools import accumulate
from pathlib import Path
from typing import TypeVar

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from rl_ablation.errors import LabError
from rl_ablation.files import one_line, sha256
from rl_ablation.lesions.lesion import Plan
from rl_ablation.mapping.behaviour import Behaviour, fold
from rl_ablation.mapping.effects import effects
from rl_ablation.mapping.manifest import (
    DESIGN,
    FINISH,
    MANIFEST,
    MEND,
    MORE,
    SPEC,
    VERSIONS,
    damaged,
    listed,
    manifest_of,
    read,
    root,
)
from rl_ablation.mapping.shards import shard_table
from rl_ablation.mapping.spec import read_spec
from rl_ablation.markup import shown
from rl_ablation.measures.registry import Measure, in_condition
from rl_ablation.policies.policy import Policy
from rl_ablation.policies.storage import load_folder
from rl_ablation.rollouts.activity import ACTIVITY, Activity, activity_of
from rl_ablation.rollouts.episodes import Episodes
from rl_ablation.versions import of_text

log = logging.getLogger(__name__)

RUNS = Path("runs")
NAMES = "names.json"
"""Site → names of its units, for people; beside the spec, since no number depends on them."""

OWN = "own_measures.json"
"""Condition → the measure by which the world judges it; beside the spec for the same reason."""

WORDS = "condition_words.json"
"""Condition → how a sentence tells it, where the world says so; likewise."""

BESIDE = (NAMES, OWN, WORDS)
POLICY = ("policy/card.json", "policy/policy.safetensors")

_VERSION = re.compile(r"[A-Za-z][\w.-]* [\w.+!-]+", re.ASCII)

Kept = TypeVar("Kept")
_NAMES = TypeAdapter(dict[str, list[str]])
_OWN = TypeAdapter(dict[str, str])


@lru_cache(maxsize=256)
def _tell_unsealed(folder: Path) -> None:
    log.warning(
        "%s has no %s, as runs of earlier versions, so damage to it cannot be seen; "
        "the same map command again writes one", folder, MANIFEST,
    )  # fmt: skip


class Run:
    """A run folder: the sweep's spec and results.

    What is read of it is held against its manifest. With ``begun`` it may be unfinished: stages
    that are not finished do not count. Otherwise they are told of, and so is a missing manifest of
    a finished run.

    Raises:
        LabError: It is none, or its spec or its manifest is damaged.
    """

    def __init__(self, folder: str | Path, *, begun: bool = False) -> None:
        self.folder, self.begun = Path(folder), begun
        try:
            content = read(self.folder, SPEC)
        except (FileNotFoundError, NotADirectoryError):
            raise LabError(f"{folder} is no run folder: it has no {SPEC}") from None
        try:
            self.spec = read_spec(content)
        except LabError as error:
            raise LabError(f"{self.folder / SPEC}: {error}") from None
        outer = root(self.folder)
        if not begun and manifest_of(outer) is None and self.finished:
            _tell_unsealed(outer)
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
        for name in POLICY:
            if listed(self.folder, name):
                read(self.folder, name)
        found = load_folder(self.folder / "policy")
        if found.sha256 != self.spec.policy_sha256:
            raise LabError(f"{self.folder / 'policy'}: not the policy of this run; {MEND}")
        return found

    @property
    def activity(self) -> Activity:
        """The intact activity that the lesions were made with.

        Raises:
            LabError: Its file is damaged or missing.
        """
        path = self.folder / ACTIVITY
        try:
            content = read(self.folder, ACTIVITY)
        except FileNotFoundError:
            raise LabError(f"{path}: missing; {MEND}") from None
        try:
            return activity_of(content)
        except LabError as error:
            raise LabError(f"{path}: damaged ({error}); {MEND}") from None

    @property
    def versions(self) -> dict[str, str]:
        """What it was begun with: package → version; see `rl_ablation.versions`.

        Raises:
            LabError: Their file is damaged or missing.
        """
        path = self.folder / VERSIONS
        try:
            text = read(self.folder, VERSIONS).decode(errors="replace")
        except FileNotFoundError:
            raise LabError(f"{path}: missing; {MEND}") from None
        if not text or not all(map(_VERSION.fullmatch, text.splitlines())):
            raise LabError(f"{path}: damaged; delete it")
        return of_text(text)

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
        if not self._has(name):  # of a world that has none, or a run from before they were kept
            return {}
        try:
            return kind.validate_json(read(self.folder, name))
        except ValidationError as error:
            path = self.folder / name
            raise LabError(f"{path}: damaged: {one_line(error)}; delete it") from None

    def _has(self, name: str) -> bool:
        """Whether a file is a part of this run: what its manifest does not list is none."""
        known = listed(self.folder, name)
        return os.path.lexists(self.folder / name) if known is None else known

    def shard_path(self, index: int) -> Path:
        """The file of a shard."""
        return self.folder / "shards" / f"{index:05d}.parquet"

    def read_shard(self, index: int) -> pd.DataFrame:
        """Read a shard.

        Raises:
            LabError: It is missing, damaged, or of another run.
        """
        return self._shard(index)[1]

    def _shard(self, index: int) -> tuple[bytes, pd.DataFrame]:
        """A shard's bytes and what they hold."""
        path, spec = self.shard_path(index), self.spec
        try:
            content = read(self.folder, f"shards/{path.name}")
        except FileNotFoundError:
            raise LabError(f"{self.folder}: shard {path.name} is missing; {MEND}") from None
        pairs = [(spec.lesions[x].name, k) for x, k in spec.pairs(index)]
        try:
            return content, shard_table(content, self.digest, pairs)
        except LabError as error:
            raise LabError(f"{path}: {error}; {MEND}") from None

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
        """Whether all was made; what was broken off is finished by the same command."""
        if listed(self.folder, SPEC):
            return True
        shards = (self.shard_path(k) for k in range(self.spec.shards))
        return not (self.folder / DESIGN).exists() and all(path.exists() for path in shards)

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
        return self.parts(MORE)

    def part(self, name: str) -> Run | None:
        """The run in a folder inside this one; None if there is none.

        Raises:
            LabError: It is not finished, or damaged.
        """
        folder = self.folder / name
        if not self._has(f"{name}/{SPEC}"):
            if listed(self.folder, name) is None and not self.begun and folder.exists():
                raise LabError(f"{folder} is not finished; {FINISH}")
            return None
        run = Run(folder, begun=self.begun)
        if run.finished:
            return run
        if self.begun:
            return None
        raise LabError(f"{folder} is not finished; {FINISH}")

    def parts(self, name: str) -> list[Run]:
        """The runs ``name-1``, ``name-2``, … inside this one; see `part`."""
        found: list[Run] = []
        while (run := self.part(f"{name}-{len(found) + 1}")) is not None:
            found.append(run)
        return found

    def check(self) -> None:
        """See that the run is finished, and nothing of it damaged, whether it is read or not.

        Raises:
            LabError: It is not finished, or something is damaged or missing.
        """
        outer = root(self.folder)
        if not self.finished:
            raise LabError(f"{outer} is not finished; {FINISH}")
        if bad := damaged(outer):
            more = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
            raise LabError(f"{outer / bad[0]}: damaged or missing{more}; {MEND}")

    def listing(self) -> dict[str, str]:
        """File → sha256 of all that this run's result depends on, stages aside; each is checked.

        Raises:
            LabError: One is missing or damaged.
        """
        names = [SPEC, VERSIONS, ACTIVITY, *(n for n in (*BESIDE, *POLICY) if self._has(n))]
        found = {name: sha256(read(self.folder, name)) for name in names}
        for index in range(self.spec.shards):
            name = self.shard_path(index).relative_to(self.folder).as_posix()
            found[name] = sha256(self._shard(index)[0])
        return found

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
