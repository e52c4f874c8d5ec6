"""The command line: train, map, plan, video, live, report, show, list, study, doctor, demo."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

import tyro

from experiments.cli.inspection import doctor, list_, show
from experiments.cli.mapping import map_, plan, report, video
from experiments.cli.options import BadOption
from experiments.cli.playing import live
from experiments.cli.studying import study
from experiments.cli.training import demo, train
from rl_ablation.errors import LabError

# Heavy imports (torch, mujoco) wait inside the commands, so that --help answers at once.
BAD_INPUT, INTERRUPTED = 2, 130

FUNCTIONS = (train, map_, plan, video, live, report, show, list_, study, doctor, demo)
COMMANDS: dict[str, Callable[..., None]] = {f.__name__.rstrip("_"): f for f in FUNCTIONS}


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit code: 0 done, 1 lacking, 2 bad input, 130 interrupted."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        tyro.extras.subcommand_cli_from_dict(
            COMMANDS,
            prog="rl-ablation",
            description="Cut units out of a robot's policy network and map what they control.",
            args=arguments,
            config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes),
        )
    except KeyboardInterrupt:
        print("rl-ablation: interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        return 0
    except (LabError, BadOption, OSError) as error:  # the last: files, and the disk
        print(f"rl-ablation: {error}", file=sys.stderr)
        return BAD_INPUT
    return 0
