"""Groupings: ways to divide a network into parts to cut. Importing this room registers them.

They import what takes seconds (torch, scikit-learn) when they divide: help only lists them.
"""

from rl_ablation.discovery import import_files

import_files(__name__, __path__)
