"""Counter-based random numbers (SplitMix64's finaliser; Steele, Lea, Flood 2014).

One number for each of many keys at once, which numpy's own generators cannot draw: what a robot
receives depends on its key and on nothing that was drawn before or beside it.
"""

from __future__ import annotations

import numpy as np

from rl_ablation.files import digest


def mix(x: np.ndarray) -> np.ndarray:
    """Scramble uint64 values, elementwise."""
    with np.errstate(over="ignore"):
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def uniforms(keys: np.ndarray) -> np.ndarray:
    """Uniform numbers in (0, 1), one for each uint64 key."""
    return ((mix(keys) >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def normals(keys: np.ndarray) -> np.ndarray:
    """Standard normal numbers, one for each uint64 key (Box & Muller 1958)."""
    with np.errstate(over="ignore"):
        angle = uniforms(mix(keys) ^ np.uint64(0xD1B54A32D192ED03))
    return np.sqrt(-2.0 * np.log(uniforms(keys))) * np.cos(2 * np.pi * angle)


def unit_keys(keys: np.ndarray, site: str, units: int) -> np.ndarray:
    """A key for each unit of a site, (n, units), from those of the rows (n,)."""
    unit = np.arange(units, dtype=np.uint64)
    # The site's name keeps equal units of two sites from sharing their noise.
    place = np.uint64(int(digest(site)[:16], 16))
    return mix(keys[:, None] ^ mix(unit ^ place))
