"""What people read for a lesion: of one sensor or actuator its name, of anything else its own.

So too of who tells and who hears in a connection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rl_ablation.files import digest, file_name
from rl_ablation.lesions.lesion import ARROW, VARIANT, Lesion, Plan
from rl_ablation.mapping.map import Map
from rl_ablation.mapping.run import Run


def label(lesion: Lesion, names: Mapping[str, Sequence[str]]) -> str:
    """``"left wheel"`` for ``action/0``; a site without names of its units keeps its numbers."""
    cut, mark, how = lesion.name.partition(VARIANT)
    sender, arrow, receiver = cut.partition(ARROW)
    if lesion.to and arrow:
        ends = part_label(sender, names, lesion.cut), part_label(receiver, names, lesion.to)
        return f" {ARROW} ".join(ends) + mark + how
    return part_label(cut, names, lesion.cut) + mark + how


def part_label(
    part: str, names: Mapping[str, Sequence[str]], units: Mapping[str, Sequence[int]]
) -> str:
    """What people read for a part of a network of that name, which is these units of its sites."""
    for site, known in names.items():
        for unit in units.get(site, ()):
            if part == f"{site}/{unit}" and unit < len(known):
                return known[unit]
    return part


def part_name(part: str, names: Mapping[str, Sequence[str]], units: Sequence[int]) -> str:
    """What a figure of the layer of a part calls it: what follows the layer's name; of sensors and
    motors their own, of several the first: ``cluster-0: yaw rate +5``."""
    site, _, own = part.partition("/")
    told, known = part_label(part, names, {site: units}), names.get(site, ())
    if told != part or not own or max(units, default=0) >= len(known):
        return own if told == part and own else told
    return f"{own}: {known[units[0]]}" + (f" +{len(units) - 1}" if len(units) > 1 else "")


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
    """The lesion of a run by its name or its label; ``->`` may stand for the arrow.

    Raises:
        LabError: There is none.
    """
    told, plan = {_plain(v): k for k, v in labels(run).items()}, _cuts(run)
    return plan[text if text in plan.names else told.get(_plain(text), _plain(text))]


def _plain(text: str) -> str:
    return text.replace("->", ARROW).replace(f" {ARROW} ", ARROW)


def _cuts(run: Run) -> Plan:
    """The lesions of a run, and the further kinds of the confirmed ones."""
    sure = run.confirmation if isinstance(run, Map) else None
    return run.plan if sure is None else run.plan + sure.plan
