"""Groupings: ways to divide a network into parts to cut. Importing this room registers them."""

from rl_ablation.groupings import clusters, factors, units

__all__ = ["clusters", "factors", "units"]
