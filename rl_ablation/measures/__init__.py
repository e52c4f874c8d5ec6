"""Measures: what a robot's behaviour comes to in numbers, one number an episode.

Importing this room registers all of them; the order of its files is the order of tables.
"""

from rl_ablation.discovery import import_files

import_files(__name__, __path__)
