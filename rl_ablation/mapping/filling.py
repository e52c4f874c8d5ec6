"""To fill a run folder: whose it is, one process at a time, and what is damaged is made again.

What a run is asked for is its spec, and of a map its *design* too: ``design.json``, a text that
holds all that determines the stages after the discovery. A folder that was begun for anything else,
or under other versions, is refused. Nothing here rolls out.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rl_ablation.errors import LabError
from rl_ablation.files import (
    LOCK,
    MIB,
    TEMPORARY,
    file_name,
    locked,
    sha256,
    sweep_temporaries,
    write_atomically,
)
from rl_ablation.lesions.methods import DRAWS, KINDS
from rl_ablation.mapping.manifest import (
    DESIGN,
    MANIFEST,
    MAX_SPEC,
    SPEC,
    VERSIONS,
    damaged,
    manifest_of,
    read_bounded,
)
from rl_ablation.mapping.run import BESIDE, RUNS, Run
from rl_ablation.mapping.shards import owner
from rl_ablation.mapping.spec import Spec, read_spec
from rl_ablation.policies.policy import Policy
from rl_ablation.policies.storage import KEPT, load_folder, save
from rl_ablation.rollouts.activity import ACTIVITY
from rl_ablation.versions import as_text, changed, of_code, told, versions

log = logging.getLogger(__name__)

_OURS = {"shards", "policy", DESIGN, VERSIONS, ACTIVITY, LOCK, *BESIDE}
"""What may be in a folder whose spec was not written yet, beside temporary files."""


def place(agent: str, identity: str) -> Path:
    """The folder of a run for which none was named."""
    return RUNS / f"{file_name(agent)}-{identity[:8]}"


@contextmanager
def filling(folder: Path, spec: Spec, design: str | None = None) -> Iterator[bool]:
    """Have a run folder to fill; yields whether it is finished, for nothing else, and undamaged.

    What was damaged in a finished run is then gone, and its manifest with it: it is to be made
    again. The folder is there afterwards.

    Raises:
        LabError: It holds something else.
    """
    _check_ours(folder, spec)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        sweep_temporaries(folder)
        texts = {SPEC: _text(spec)} | ({} if design is None else {DESIGN: design})
        if design is not None:
            _check_design(folder, design)
        yield _is_sealed(folder, spec, texts)


def _check_ours(folder: Path, spec: Spec, inside: bool = False) -> None:
    """Refuse a folder of anything else than this run; ``inside`` a map it can only be a stage."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise LabError(f"{folder} is no folder; choose another")
    kept: Spec | LabError | None = None
    if (folder / SPEC).exists():
        try:
            kept = read_spec(read_bounded(folder / SPEC))
        except LabError as error:
            kept = error
    if isinstance(kept, Spec) and kept.digest == spec.digest:
        return
    whose = _owners(folder)
    if spec.digest in whose or _listed(folder, SPEC) == _sha256(_text(spec)):
        log.warning("%s: damaged; it is made again", folder / SPEC)
        return
    if isinstance(kept, Spec):
        one, other = kept.model_dump(), spec.model_dump()
        what = " and ".join(k for k in one if one[k] != other[k]) or "formats"
        raise LabError(
            f"{folder} holds a run of another spec (its {what} differ); "
            "choose another folder, or delete it"
        )
    if kept is not None and not inside:
        raise LabError(f"{folder / SPEC}: {kept}; choose another folder, or delete this one")
    known = all(p.name in _OURS or TEMPORARY.fullmatch(p.name) for p in folder.iterdir())
    if whose or not (known or inside):
        raise LabError(f"{folder} is not empty and holds no run; choose another folder")


def _owners(folder: Path) -> set[str]:
    """The digests of the specs that the shards in a folder were made for."""
    found = set()
    for path in (folder / "shards").glob("*.parquet"):
        with suppress(LabError):
            found.add(owner(read_bounded(path)))
    return found


def _listed(folder: Path, name: str) -> str | None:
    """The sha256 of a file in the manifest of a folder, if it is there and can be read."""
    try:
        found = manifest_of(folder)
    except LabError:
        return None
    return None if found is None else found.files.get(name)


def _check_design(folder: Path, design: str) -> None:
    """Write down a map's design, or hold it against the one that the folder is of."""
    path, wanted = folder / DESIGN, _listed(folder, DESIGN)
    if wanted == _sha256(design):
        return  # whatever the file holds: it is mended with the rest
    if wanted is None and not os.path.lexists(path):
        write_atomically(path, design)
        return
    try:
        one, other = json.loads(read_bounded(path)), json.loads(design)
        what = " and ".join(k for k in {**other, **one} if one.get(k) != other.get(k))
    except (LabError, ValueError, TypeError, AttributeError):
        raise LabError(
            f"{path}: damaged or missing; choose another folder, or delete this one"
        ) from None
    if what or wanted is not None:
        raise LabError(
            f"{folder} holds a map of another design (its {what or 'form'} differ); "
            "choose another folder, or delete it"
        )
    if not holds(path, design):  # the same but for its spaces
        write_atomically(path, design)


def _is_sealed(folder: Path, spec: Spec, texts: Mapping[str, str]) -> bool:
    """Whether the run is finished and undamaged; otherwise its manifest goes, and what is damaged.

    The texts are what some of its files have to hold.
    """
    try:
        found = manifest_of(folder)
    except LabError as error:
        log.warning("%s", str(error).partition(";")[0] + "; it is made again")
        _restore(folder / MANIFEST, None)
        return False
    if found is None:
        return False
    bad = damaged(folder)
    if not bad and all(found.files.get(name) == _sha256(text) for name, text in texts.items()):
        if differ := told(found.versions, _versions(spec)):
            log.warning("%s was made with %s; it is kept as it is", folder, differ)
        return True
    if found.files.get(SPEC) == _sha256(texts[SPEC]):
        known = {**texts, VERSIONS: as_text(found.versions)}
        for name in bad:
            log.warning("%s: damaged or missing; it is made again", folder / name)
            _restore(folder / name, known.get(name))
    (folder / MANIFEST).unlink()
    return False


def _restore(path: Path, text: str | None) -> None:
    """Put a damaged file right if one knows what it held; else take it away, to be made again."""
    if path.is_dir():
        shutil.rmtree(path)
    if text is None:
        path.unlink(missing_ok=True)
    else:
        write_atomically(path, text)


def begin(folder: Path, spec: Spec, agent: Policy) -> Run:
    """Write what a run starts with, as far as it is not there; the spec last: see `filling`.

    Raises:
        LabError: The folder holds something else, or the spec is too large to be read again.
    """
    if (size := len(_text(spec).encode())) > MAX_SPEC:
        told = f"{len(spec.lesions):,} lesions make a {SPEC} of {size / MIB:.1f} MiB"
        raise LabError(f"{told}; at most {MAX_SPEC // MIB} can be read again: map fewer at once")
    _check_ours(folder, spec, inside=(folder.parent / SPEC).exists())
    (folder / "shards").mkdir(parents=True, exist_ok=True)
    if isinstance(agent.network, KEPT):
        _keep_policy(folder, agent)
    if not (folder / VERSIONS).exists():
        if any((folder / "shards").iterdir()):
            log.warning("%s does not say with which versions it was begun", folder)
        write_atomically(folder / VERSIONS, as_text(_versions(spec)))
    # The spec comes last: a folder with a spec is a complete start.
    if not holds(folder / SPEC, _text(spec)):
        write_atomically(folder / SPEC, _text(spec))
    return Run(folder, begun=True)


def _keep_policy(folder: Path, agent: Policy) -> None:
    try:
        if load_folder(folder / "policy").sha256 == agent.sha256:
            return
    except LabError:
        pass
    save(agent, folder / "policy")


def holds(path: Path, text: str) -> bool:
    """Whether a file is there with just this text."""
    try:
        return read_bounded(path) == text.encode()
    except LabError:
        return False


def _sha256(text: str) -> str:
    return sha256(text.encode())


def _text(spec: Spec) -> str:
    return spec.model_dump_json(indent=1) + "\n"


def design_text(design: Mapping[str, Any]) -> str:
    """A map's design as it is kept."""
    return json.dumps(design, indent=1) + "\n"


# Versions.


def _versions(spec: Spec) -> dict[str, str]:
    """What the numbers of a run depend on here, besides its files."""
    kinds = [KINDS[k] for k in dict.fromkeys(x.kind for x in spec.lesions)]
    drawn = [DRAWS[k.draws].function for k in kinds if k.draws is not None]
    code = of_code([*(m.function for m in spec.taken), *(k.make for k in kinds), *drawn])
    return {**versions(), **({"own-code": code} if code else {})}


def check_versions(run: Run, unfinished: bool) -> None:
    """See that what is added to a run would be made as its beginning was; tell what differs.

    Raises:
        LabError: Something that changes numbers has another version, and the run is unfinished.
    """
    then, now, folder = run.versions, _versions(run.spec), run.folder
    if unfinished and (differ := changed(then, now)):
        raise LabError(
            f"{folder} was begun with {differ}: go on with what it was begun with, "
            "or choose another folder"
        )
    if differ := told(then, now):
        log.warning("%s was begun with %s", folder, differ)
