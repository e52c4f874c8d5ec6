"""The command line: its commands, its version, and their completion in a shell."""

from __future__ import annotations

import functools
import io
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, suppress
from importlib.metadata import version
from typing import Annotated, Any, Literal

import tyro

from experiments.cli.inspection import doctor, list_, show
from experiments.cli.mapping import compare, map_, open_, plan, report, video
from experiments.cli.options import BadOption
from experiments.cli.playing import live
from experiments.cli.studying import study
from experiments.cli.training import demo, train
from experiments.cli.usage import NUMBERS, usage_error
from rl_ablation.errors import LabError, escaped
from rl_ablation.files import one_line

# Heavy imports (torch, mujoco) wait inside the commands, so that --help answers at once.
BAD_INPUT, INTERRUPTED = 2, 130


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], tyro.conf.arg(metavar="bash|zsh|fish")], /
) -> None:
    """Print what makes a shell complete commands and options at the Tab key.

    Write it to a file. bash reads it by a line "source FILE" in ~/.bashrc, zsh if the file is
    _rl-ablation in a folder of its fpath, fish as ~/.config/fish/completions/rl-ablation.fish.

    Args:
        shell: Which shell.
    """
    with suppress(SystemExit):  # tyro ends the program when it has printed
        _run(["--tyro-write-completion", shell, "-"])


FUNCTIONS = (
    train, map_, plan, video, live, report, open_, compare, show, list_, study, doctor, demo,
    completion,
)  # fmt: skip
COMMANDS: dict[str, Callable[..., None]] = {f.__name__.rstrip("_"): f for f in FUNCTIONS}


def _run(arguments: Sequence[str]) -> None:
    """Read all of the arguments, then run the command."""
    told = io.StringIO()
    try:
        with redirect_stderr(told):
            call = tyro.extras.subcommand_cli_from_dict(
                {name: _later(command) for name, command in COMMANDS.items()},
                prog="rl-ablation",
                description="Cut units out of a robot's policy network and map what they control. "
                "--version tells the version.",
                args=arguments,
                config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes),
                registry=NUMBERS,
            )
    except SystemExit as left:
        if left.code == BAD_INPUT:
            command = "".join(f" {word}" for word in arguments[:1] if word in COMMANDS)
            print(usage_error(told.getvalue(), f"rl-ablation{command} --help"), file=sys.stderr)
        raise
    call()


def _later(command: Callable[..., None]) -> Callable[..., Callable[[], None]]:
    """Takes a command's arguments, and gives what runs it."""

    @functools.wraps(command)
    def read(*args: Any, **kwargs: Any) -> Callable[[], None]:
        return functools.partial(command, *args, **kwargs)

    return read


@contextmanager
def _terminable() -> Iterator[None]:
    """Have SIGTERM do what Ctrl-C does: what stands half is put right, and a line says so."""
    if threading.current_thread() is not threading.main_thread():  # only that one may ask for it
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit code: 0 done, 1 lacking, 2 bad input, 130 interrupted."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments == ["--version"]:
        print("rl-ablation", version("rl-ablation"))
        return 0
    try:
        with _terminable():
            _readable(arguments)
            _run(arguments)
    except KeyboardInterrupt:
        print("rl-ablation: interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        return 0
    except (LabError, BadOption, OSError) as error:  # the last: files, and the disk
        print(f"rl-ablation: {escaped(error)}", file=sys.stderr)
        return BAD_INPUT
    except MemoryError as error:
        mend = "ask for fewer episodes or steps"
        print(f"rl-ablation: not enough memory ({one_line(error)}); {mend}", file=sys.stderr)
        return BAD_INPUT
    return 0


def _readable(arguments: Sequence[str]) -> None:
    """Refuse what could be no name of a file and no word of a table.

    Raises:
        LabError: An argument holds NUL, or bytes that are no text.
    """
    for argument in arguments:
        if "\0" in argument or any("\udc80" <= c <= "\udcff" for c in argument):
            raise LabError(f"{argument!r} is no text: it holds NUL, or bytes that are not UTF-8")
