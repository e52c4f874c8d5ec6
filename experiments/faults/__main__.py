"""``python -m experiments.faults``: ``make faults``."""

import sys

import tyro

from experiments.faults.table import main
from rl_ablation.errors import LabError

if __name__ == "__main__":
    try:
        sys.exit(tyro.cli(main, config=(tyro.conf.FlagCreatePairsOff,)))
    except LabError as error:
        sys.exit(f"faults: {error}")
