"""Measures: what a robot's behaviour comes to in numbers, one number an episode.

Importing this room registers all of them; the order of the imports is the order of tables.
"""

from rl_ablation.measures import general, laps, legs

__all__ = ["general", "laps", "legs"]
