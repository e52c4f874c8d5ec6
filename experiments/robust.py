"""Do robots that memorise lose their behaviour faster than robots that generalise?"""

from __future__ import annotations

from agents.recipes import RECIPES

STEPS = 393_216
OWN_TRACK = {"tracks": ["ring"], "fixed_start": True}
KINDS = {
    "memoriser": RECIPES["lap"].model_copy(
        update={"steps": STEPS, "name": "lap-memoriser", "env_kwargs": OWN_TRACK}
    ),
    "generalist": RECIPES["lap"].model_copy(update={"steps": STEPS, "name": "lap-generalist"}),
}
