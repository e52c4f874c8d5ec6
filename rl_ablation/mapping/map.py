"""A map: the folder of its stages, and the one table that they make together."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pandas as pd

from rl_ablation.errors import LabError
from rl_ablation.files import one_line
from rl_ablation.formats import Estimate, number, small
from rl_ablation.mapping.evidence import (
    EVIDENCE_COLUMNS,
    NO_CLAIMS,
    REPORTED_EFFECT,
    classify,
    harm,
    merge,
    size_matched,
    with_own,
)
from rl_ablation.mapping.kinds import bases, weakest
from rl_ablation.mapping.manifest import (
    CONFIRMATION,
    CONTROLS,
    DOSES,
    FINISH,
    MEND,
    PROBE,
    read,
)
from rl_ablation.mapping.run import Run
from rl_ablation.markup import shown
from rl_ablation.measures.registry import MEASURES, parted
from rl_ablation.stats import LEVEL

_PROBED = ["lesion", "took", "direct", "off_manifold"]


class Map(Run):
    """A run folder with the stages of a map inside. The run itself is the discovery.

    A plain sweep is a map without further stages.
    """

    _effects: pd.DataFrame | None = None

    @property
    def confirmation(self) -> Run | None:
        """The selected lesions on fresh seeds."""
        return self.part(CONFIRMATION)

    @property
    def controls(self) -> list[Run]:
        """Random cuts on the confirmation's episodes, a run for each round of drawing."""
        return self.parts(CONTROLS)

    @property
    def doses(self) -> Run | None:
        """The cuts that matter most, turned down from 1 to 0."""
        return self.part(DOSES)

    @property
    def probe(self) -> pd.DataFrame:
        """What each cut does at once; no rows where it was not asked. See `probe.COLUMNS`.

        Raises:
            LabError: The file is damaged.
        """
        if not self._has(PROBE):
            return pd.DataFrame(columns=_PROBED)
        content = read(self.folder, PROBE)
        try:
            # Only numbers can be missing: a cut may be named "NA".
            empty = {name: [""] for name in _PROBED[1:]}
            table = pd.read_csv(
                BytesIO(content), dtype={"lesion": str}, keep_default_na=False, na_values=empty
            )
            table = table[_PROBED].astype(dict.fromkeys(empty, np.float64))
            if table["lesion"].duplicated().any():
                raise ValueError("a cut is there twice")
        except (KeyError, ValueError) as error:
            path = self.folder / PROBE
            raise LabError(f"{path}: damaged ({one_line(error)}); {MEND}") from None
        return table

    def effects(self) -> pd.DataFrame:
        """The whole table: effects, confirmed where they are, and all that stands around them.

        A row for each lesion × condition × measure; the columns are `EVIDENCE_COLUMNS`. Where
        there is a confirmation, its numbers are shown for the lesions selected for it.

        Raises:
            LabError: Something is missing or damaged, or the map is not finished.
        """
        if not (self.begun or self.finished):
            raise LabError(f"{self.folder} is not finished; {FINISH}")
        if self._effects is None:
            self._effects = self._assembled()
        return self._effects

    def _repr_html_(self) -> str:
        title, about = f"Map of {self.spec.agent}", self._about()
        if not self.finished or len(self.plan) == 1:
            return shown(title, about)
        try:
            effects = self.effects()
        except LabError as damaged:
            return shown(title, f"{about}; {damaged}")
        rows = with_own(weakest(effects[~effects["group"].isin(NO_CLAIMS)]), self.own)
        rows = rows[rows["condition"] == "all"]
        sums = [m for m in rows["measure"].unique() if MEASURES[m].summary]
        rows = rows.assign(size=harm(rows).abs())[(rows["q"] < LEVEL) & ~rows["measure"].isin(sums)]
        rows = rows[rows["size"] > REPORTED_EFFECT]
        rows = rows.sort_values("size", ascending=False, kind="stable").drop_duplicates("lesion")
        table = [
            {
                "without": row["lesion"],
                "units": row["units"],
                "largest change": MEASURES[row["measure"]].label,
                "unit": row["unit"],
                "intact": number(row["intact"]),
                "then": number(row["lesioned"]),
                "change (95 % CI)": f"{Estimate.of(row, 'delta', 'ci_low', 'ci_high')}",
                "q": small(row["q"]),
            }
            for row in rows.to_dict("records")
        ]
        fresh = "Confirmed on fresh seeds, under every kind of cut within the network's range."
        remark = "Measured once and not confirmed on fresh seeds: candidates."
        return shown(title, about, table, fresh if self.confirmation else remark)

    def _assembled(self) -> pd.DataFrame:
        if len(self.plan) == 1:
            return pd.DataFrame(columns=list(EVIDENCE_COLUMNS))
        sure = self.confirmation
        effects = merge(self.own_effects(), None if sure is None else sure.own_effects())
        rows = with_own(effects, self.own)
        null = self._null(rows[rows["condition"] == "all"])
        places = [parted(name) for name in null["measure"]]
        null["condition"] = [condition or "all" for condition, _ in places]
        null["measure"] = [measure for _, measure in places]
        effects = effects.merge(null, on=["lesion", "condition", "measure"], how="left")
        effects = effects.merge(self.probe, on="lesion", how="left")
        claims = weakest(effects[~effects["group"].isin(NO_CLAIMS)])
        effects["class"] = bases(effects["lesion"]).map(classify(claims))
        return effects[list(EVIDENCE_COLUMNS)]

    def _null(self, effects: pd.DataFrame) -> pd.DataFrame:
        """What random cuts of the same size do; see `size_matched`."""
        own, names = (self.plan, self.behaviour()), [*self.spec.measures, *self.own]
        sure = self.confirmation
        held = own if sure is None else (sure.plan, sure.behaviour())
        controls = [(c.plan, c.behaviour()) for c in self.controls]
        if not controls and any(x.group == "random" for x in self.plan):
            held, controls = own, [own]
        # A single unit is held against the other single units of its layer.
        alone = effects["group"] == "singles"
        groups = size_matched(effects[~alone], held, controls, names)
        units = size_matched(effects[alone], own, [own], names, group="singles")
        return pd.concat([n for n in (groups, units) if len(n)] or [groups])
