"""Rooms that find their own files: what a new file registers is known without a second place."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable


def import_files(package: str, path: Iterable[str]) -> None:
    """Import every file of a package, in the order of their names."""
    for found in pkgutil.iter_modules(path):
        importlib.import_module(f"{package}.{found.name}")
