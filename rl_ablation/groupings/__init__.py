"""Groupings: ways to divide a network into parts to cut. Importing this room registers them."""

from rl_ablation.discovery import import_files

import_files(__name__, __path__)
