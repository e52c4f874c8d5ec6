"""How numbers are written for people."""

from __future__ import annotations

import numpy as np


def number(value: float) -> str:
    """A number at reading precision, with a true minus sign."""
    if not np.isfinite(value):
        return "–"
    text = f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"
    return "0" if float(text) == 0 else text.replace("-", "−")


def small(value: float) -> str:
    """A p value; a dash where there is none."""
    return "–" if value != value else f"{value:.2g}"
