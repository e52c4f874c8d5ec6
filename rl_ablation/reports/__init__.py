"""Figures, films, findings in words, and the report.

Importing this room registers all figures; the order of the imports is that of the report.
"""

from rl_ablation.reports import figures, figures_evidence

__all__ = ["figures", "figures_evidence"]
