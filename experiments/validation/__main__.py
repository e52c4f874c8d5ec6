"""``python -m experiments.validation``."""

import sys

import tyro

from experiments.validation.truth import main
from rl_ablation.errors import LabError

if __name__ == "__main__":
    try:
        sys.exit(tyro.cli(main))
    except LabError as error:
        sys.exit(f"validation: {error}")
