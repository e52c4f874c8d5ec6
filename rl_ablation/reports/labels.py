"""What people read for a lesion: of one sensor or actuator its name, of anything else its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rl_ablation.files import digest, file_name
from rl_ablation.lesions.lesion import VARIANT, Lesion, Plan
from rl_ablation.mapping.map import Map
from rl_ablation.mapping.run import Run


def label(lesion: Lesion, names: Mapping[str, Sequence[str]]) -> str:
    """``"left wheel"`` for ``action/0``; a site without names of its units keeps its numbers."""
    cut, mark, how = lesion.name.partition(VARIANT)
    for site, known in names.items():
        for unit in lesion.cut.get(site, ()):
            if cut == f"{site}/{unit}" and unit < len(known):
                return known[unit] + mark + how
    return lesion.name


def labels(run: Run) -> dict[str, str]:
    """Lesion → label, for all lesions of a run, in all kinds that were confirmed; what two would
    share has the lesion behind it."""
    told = {x.name: label(x, run.names) for x in _cuts(run)}
    often = Counter(told.values())
    return {k: v if often[v] == 1 else f"{v} ({k})" for k, v in told.items()}


def film_name(lesion: str) -> str:
    """The name of a lesion's film, without its ending; no two lesions share one."""
    site, _, rest = lesion.partition("/")
    alike = "-" in site or "/" in rest  # "a-b" would be the name of "a/b", too
    return file_name(lesion) + (f"-{digest(lesion)[:8]}" if alike else "")


def named(run: Run, text: str) -> Lesion:
    """The lesion of a run by its name or its label.

    Raises:
        LabError: There is none.
    """
    told, plan = {v: k for k, v in labels(run).items()}, _cuts(run)
    return plan[text if text in plan.names else told.get(text, text)]


def _cuts(run: Run) -> Plan:
    """The lesions of a run, and the further kinds of the confirmed ones."""
    sure = run.confirmation if isinstance(run, Map) else None
    return run.plan if sure is None else run.plan + sure.plan
