"""The manifest of a run: what its result depends on, file by file, and with which versions.

It is written last, so a run that has one is finished. All that is read of a run goes through
`read`, which holds it against the manifest: a file that is damaged, missing or of another run is
told of and never used. The stages of a map stand in the manifest of the map.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from rl_ablation.errors import LabError
from rl_ablation.files import (
    MAX_TENSORS,
    MIB,
    digest,
    one_line,
    read_file,
    sha256,
    write_atomically,
)

MANIFEST, SPEC, VERSIONS = "manifest.json", "spec.json", "versions.txt"
"""Files of every run folder."""

DESIGN, PROBE = "design.json", "probe.csv"
"""Files of a map: all that determines the later stages, and what each cut does at once."""

MEND = "run the same map command again to mend it"
FINISH = "run the same map command again to finish it"

DISCOVERY, CONFIRMATION, CONTROLS, DOSES = "discovery", "confirmation", "controls", "doses"
"""The stages of a map; the discovery is the run itself, the others are folders inside it."""

MORE = "more"
"""Runs inside a run with further episodes for some of its lesions: ``more-1``, ``more-2``, …"""

MAX_SPEC, MAX_SHARD = 8 * MIB, 64 * MIB
"""Bytes of a spec, or another text of a run, and of a shard; those of the studies have up to 0.1
and 0.3 MiB."""

_LIMITS = {".safetensors": MAX_TENSORS, ".parquet": MAX_SHARD}
_STAGE = re.compile(rf"{CONFIRMATION}|{DOSES}|({CONTROLS}|{MORE})-\d+")


class Manifest(BaseModel):
    """The content of ``manifest.json``.

    Attributes:
        format: 1.
        versions: Of what the numbers were made with; see `rl_ablation.versions`.
        files: File, from the manifest's folder → sha256 of its bytes.
        digest: Of these, so that a change of the manifest itself is known.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    versions: dict[str, str]
    files: dict[str, str]
    digest: str = ""

    @property
    def content(self) -> str:
        """What `digest` has to be."""
        return digest([self.format, self.versions, self.files])


def root(folder: Path) -> Path:
    """The folder of the map that a stage belongs to; of anything else the folder itself."""
    folder = folder.absolute()
    while _STAGE.fullmatch(folder.name) and (folder.parent / SPEC).exists():
        folder = folder.parent
    return folder


def manifest_of(folder: Path) -> Manifest | None:
    """The manifest in a folder; None if there is none.

    Raises:
        LabError: It is damaged.
    """
    path = folder / MANIFEST
    if not os.path.lexists(path):
        return None
    try:
        state = path.stat()
    except OSError:
        raise LabError(f"{path}: damaged (a link to nothing, or to itself); {MEND}") from None
    return _parsed(path, state.st_mtime_ns, state.st_size, state.st_ino)


@lru_cache(maxsize=64)
def _parsed(path: Path, *state: int) -> Manifest:
    """The manifest in a file that is in this state."""
    try:
        found = Manifest.model_validate_json(read_bounded(path))
    except (ValidationError, UnicodeDecodeError) as error:
        raise LabError(f"{path}: damaged ({one_line(error)}); {MEND}") from None
    if found.digest != found.content:
        raise LabError(f"{path}: damaged (it has been changed); {MEND}")
    return found


def listed(folder: Path, name: str) -> bool | None:
    """Whether a run's manifest lists a file of a folder of it; None if it has no manifest."""
    outer = root(folder)
    found = manifest_of(outer)
    return None if found is None else _from(outer, folder, name) in found.files


def read(folder: Path, name: str) -> bytes:
    """A file of a run's folder, as the run's manifest lists it, if there is one.

    Raises:
        LabError: It is damaged, missing, not of this run, or no file of plausible size.
        FileNotFoundError: It is missing, and there is no manifest that should list it.
    """
    outer, path = root(folder), folder / name
    found = manifest_of(outer)
    if found is None:
        if not os.path.lexists(path):
            raise FileNotFoundError(path)
        return read_bounded(path)
    wanted = found.files.get(_from(outer, folder, name))
    if wanted is None:
        raise LabError(f"{path}: not of this run; its {MANIFEST} does not list it")
    if not os.path.lexists(path):
        raise LabError(f"{path}: missing; {MEND}")
    content = read_bounded(path)
    if sha256(content) != wanted:
        raise LabError(f"{path}: damaged (not what {MANIFEST} lists); {MEND}")
    return content


def damaged(folder: Path) -> list[str]:
    """The files that the manifest in a folder lists and that are missing or not as listed."""
    found = manifest_of(folder)
    wanted = {} if found is None else found.files
    contents = ((name, _content(folder / name)) for name in wanted)
    return [n for n, content in contents if content is None or sha256(content) != wanted[n]]


def seal(folder: Path, files: Mapping[str, str], versions: Mapping[str, str]) -> None:
    """Write the manifest in a folder; for files and versions see `Manifest`."""
    bare = Manifest(versions=dict(versions), files=dict(files))
    found = bare.model_copy(update={"digest": bare.content})
    write_atomically(folder / MANIFEST, found.model_dump_json(indent=1) + "\n")


def _from(outer: Path, folder: Path, name: str) -> str:
    return (folder.absolute().relative_to(outer) / name).as_posix()


def read_bounded(path: Path) -> bytes:
    """A file of a run, whatever its manifest says; a LabError if it is none of plausible size."""
    return read_file(path, _LIMITS.get(path.suffix, MAX_SPEC))


def _content(path: Path) -> bytes | None:
    """What a file that may be damaged holds; None for what is no file."""
    try:
        return read_bounded(path)
    except LabError:
        return None
