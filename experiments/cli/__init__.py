"""The command line."""

from experiments.cli.main import main

__all__ = ["main"]
