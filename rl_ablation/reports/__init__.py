"""Figures, films, findings in words, and the report.

Importing this room registers all figures; the order of its files is that of the report.
"""

from rl_ablation.discovery import import_files

import_files(__name__, __path__)
