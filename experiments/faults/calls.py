"""Fuzzed calls: command lines that nobody would type on purpose, of all commands and options.

A call has *held* if it ended in time, with an exit code that the command line promises, without a
traceback and without a warning of a library, and told what is wrong with it in at most four lines.

Left out are the words that would write into the source tree (``--to-zoo``, ``--docs``) and whole
studies and demonstrations, which take minutes however they are called.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import re
import shlex
import shutil
import sys
import webbrowser
from collections.abc import Sequence
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from experiments.cli.main import BAD_INPUT, COMMANDS, main
from experiments.faults.forks import Outcome, in_fork
from experiments.faults.small import driver, small_map
from experiments.faults.tally import Tally
from rl_ablation.errors import escaped
from rl_ablation.formats import whole
from rl_ablation.limits import TRAINING
from rl_ablation.policies.storage import save

SECONDS = 60.0
"""Of processor time that a call may take; the usual ones take a few."""
LINES = 4  # of a usage error, at most
SHOWN = 300  # characters of a call and of what it told, in a failure
CODES = (0, 1, BAD_INPUT)

USUAL = {
    "map": "agent --episodes 6 --discovery 6 --controls 0 --max-steps 12 --films 0 --threads 1 "
    "--groups layers --kind zero --conditions ring/cw",
    "plan": "agent --pilot 2 --max-steps 12 --groups layers --conditions ring/cw",
    "train": "lap --steps 0",
    "video": "run --lesion action/0 --seconds 0.2",
    "report": "run",
    "open": "run",
    "compare": "run run",
    "live": "agent --no-open",
    "show": "agent",
    "list": "measures",
    "study": "list",
    "doctor": "",
    "demo": "--steps 0",
    "completion": "bash",
}
"""Command → arguments that are quick; a training or demonstration of no steps is refused."""
OFTEN = ("map", "map", "map", "plan", "plan", "video", "video", "train", "compare", "list")
"""Commands with many options are called more often than the others."""
LEFT_OUT = ("--to-zoo", "--docs", "--help", "--quick")

_READ = (
    "-1", "0", "1", "2", "3", "7", "12", "2147483648", "4294967296", "9223372036854775807", "-2",
    "9223372036854775808", "9" * 500, "+6",
)  # fmt: skip
NUMBERS = (
    *_READ, *_READ, "nan", "inf", "-inf", "1e400", "-1e400", "1e308", "1e-320", "-0", "0.5", "1.5",
    "٣", "١٢", "۲", "1_0", "1_000", " 6", "0x10", "1e1", "6.0", "", "None", "True", "six", "-",
    "--", "½", "𝟞", "1,5",
)  # fmt: skip
PATHS = (
    "", ".", "..", "/", "/dev/null", "/dev/zero", "/dev/full", "/proc/self/mem", "agent", "run",
    "note.txt", "pipe", "loop", "nowhere", "folder", "folder/new", "note.txt/x", "new", "agent/x",
    "run/shards", "run/spec.json", "agent/policy.safetensors", "broken.zip", "x" * 5000,
    "x/" * 3000, "~", "~nobody/x", "$\\bad{$", "a\nb", "\x1b[2J", "\u202ex", "-x", "new.mp4", "*",
    "%s", "\udcff", "a\0b", "new.html", "é本",
)  # fmt: skip
_ODD = ("", ",", " ", "nan", "x" * 5000, "$\\bad{$", "a\0b", "\udcff", "\x1b[31mred", "%n", "a:b:c")
_ENVS = (
    "envs:rl_ablation/Lap-v0", "CartPole-v1", "Pendulum-v1", "os:system", "no_such:X-v0", "X-v0",
    "envs:rl_ablation/Quadruped-v0", "envs:rl_ablation/None-v0", "HalfCheetah-v5",
)  # fmt: skip
WORDS = {
    "--groups": (
        "layers", "layers,layers", "singles", "singles:5", "clusters:2", "clusters:0", "tiles:2",
        "clusters:999", "clusters:-1", "clusters:٣", "clusters:nan", "clusters:", "layers:3", ":6",
        "factors:500", "factors:2", "sensors", "motors", "layers,singles,motors", "nothing",
    ),
    "--measures": (
        "return", "return,return", "forward_speed,crash", "crash,nothing", "steps", "progress",
    ),
    "--conditions": ("ring/cw", "ring/cw,ring/cw", "bends/ccw,ring/cw", "moon", "None", "ring"),
    "--kind": (
        "zero", "zero,mean", "zero,zero", "resample", "noise", "clamp", "gain", "conditional",
        "mean,resample", "permute", "None",
    ),
    "--env": _ENVS,
    "--env-wrapper": ("time-feature", "none", "None"),
    "--activation": ("elu", "relu", "sin", "None"),
    "--robot": ("robot.xml", "unitree_g1", "/dev/null", "None"),
    "--scheduler": ("local:0", "local:nan", "local:-3", "tcp://", "tls:x", "tcp://127.0.0.1:1"),
    "--device": ("cpu", "cuda", "cuda:99", "meta", "hpu", "privateuseone", "mps", "cpu:-1"),
    "--by": ("name", "effects", "None", "both"),
    "first": (
        "lap", "nobody", "bash", "zsh", "fish", "agents", "envs", "measures", "kinds", "groupings",
        "studies", "list", "quadruped",
    ),
    "--lesion": ("h0", "action/0", "action/1", "intact", "h0/cluster-0", "0", "h1"),
}  # fmt: skip
"""Option, or what it is besides, → words that its values may well be, or nearly."""
ANY = (*NUMBERS, *PATHS, *_ODD)
HEAVY = (
    "agents.zoo", "agents.train", "experiments.cli.demo", "experiments.cli.doctor",
    "experiments.cli.listing", "experiments.studies.registry", "rl_ablation.analysis.comparison",
    "rl_ablation.mapping.power", "rl_ablation.reports.comparison", "rl_ablation.reports.film",
    "rl_ablation.reports.live", "rl_ablation.reports.pipeline", "rl_ablation.reports.report",
)  # fmt: skip
"""What commands import late; imported once, since each call runs in a fork of this process."""


@cache
def options(command: str) -> dict[str, str]:
    """The options of a command and what each takes ("" for a flag), as its help names them."""
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.suppress(SystemExit):
        main([command, "--help"])
    line = r"^[│ ]+(?:-\w, )?(--[a-z][a-z-]*)((?: \S+)?)"
    found = re.findall(line, told.getvalue(), re.MULTILINE)
    return {name: takes.strip() for name, takes in found if name not in LEFT_OUT}


def call(draw: np.random.Generator) -> list[str]:
    """A command line by chance: a usual one with one to four things changed, mostly one."""
    command = _pick(draw, _pick(draw, (OFTEN, OFTEN, tuple(COMMANDS))))
    words = [command, *USUAL[command].split()]
    for _ in range(_pick(draw, (1, 1, 1, 1, 2, 2, 3, 4))):
        words = _changed(draw, command, words)
    return words


def _changed(draw: np.random.Generator, command: str, words: list[str]) -> list[str]:
    known = options(command)
    kind = int(draw.integers(20))
    if kind < 14 and known:
        option = _pick(draw, tuple(known))
        value = [_value(draw, option, known[option])] if known[option] else []
        if option in words and value:
            place = words.index(option)
            return [*words[: place + 1], *value, *words[place + 2 :]]
        return [*words, option, *value]
    if kind < 18 and len(words) > 1:  # what the command is about is something else
        place = 2 if kind == 17 and command == "compare" else 1
        return [*words[:place], _pick(draw, (*PATHS, *WORDS["first"])), *words[place + 1 :]]
    if kind == 18 and len(words) > 1:  # any word is lost
        place = int(draw.integers(1, len(words)))
        return [*words[:place], *words[place + 1 :]]
    return [*words, _pick(draw, (*ANY, "--what", "--seeds", "--json=1", "-h0", "--env"))]


def _value(draw: np.random.Generator, option: str, takes: str) -> str:
    """A value that an option may nearly take, or now and then any."""
    if draw.random() < 0.1:
        return _pick(draw, ANY)
    match takes.rpartition("|")[2]:
        case "INT" | "FLOAT":
            return _pick(draw, NUMBERS)
        case "PATH":
            return _pick(draw, PATHS)
    return _pick(draw, (*WORDS.get(option, ()), *WORDS.get(option, ()), *_ODD))


def _pick(draw: np.random.Generator, values: Sequence[Any]) -> Any:
    return values[int(draw.integers(len(values)))]


def endless(words: Sequence[str]) -> bool:
    """Whether a call rightly asks for more than a trial may take: a training, or a whole study."""
    if words[0] not in ("train", "demo"):
        return words[0] == "study" and words[1:2] != ["list"]
    steps = [after for before, after in pairwise(words) if before == "--steps"]
    try:
        asked = whole(steps[-1]) if steps else TRAINING
    except ValueError:
        return False
    return 0 < asked <= TRAINING


def fuzzed_calls(seed: int, count: int) -> Tally:
    """Make so many calls, each in a fork of this process; the same seed makes the same calls."""
    failures = []
    with TemporaryDirectory() as folder:
        place = Path(folder)
        made = in_fork(partial(_originals, place))
        if made.code != 0:
            raise RuntimeError(f"no map to call the commands on: {made.told}")
        for name in HEAVY:
            importlib.import_module(name)
        for k in range(count):
            words = call(np.random.default_rng([seed, k]))
            if endless(words):
                words = [words[0], *USUAL[words[0]].split()]
            case = place / "case"
            _lay_out(place, case)
            done = in_fork(partial(_called, words, case), SECONDS)
            if why := fault(done):
                asked = escaped(shlex.join(["rl-ablation", *words]))
                failures.append(f"{k}: {asked[:SHOWN]}: {why}")
            shutil.rmtree(case)
    return Tally("fuzzed calls", count, tuple(failures))


def fault(done: Outcome) -> str:
    """Why a call has not held; "" if it has."""
    lines = done.told.strip().splitlines()
    starts = [k for k, line in enumerate(lines) if line.startswith("rl-ablation: ")]
    foreign = [x for x in lines if re.search(r"\b[A-Z]\w*Warning: |^LOG (?!rl_ablation)", x)]
    if done.ended:
        return done.ended
    if "Traceback (most recent call last)" in done.told or done.code not in CODES:
        return f"traceback, exit code {done.code}: {done.last[:SHOWN]}"
    if foreign:
        return f"warning of a library: {foreign[0][:SHOWN]}"
    if done.code == BAD_INPUT and (not starts or len(lines) - starts[0] > LINES):
        return f"a usage error of {len(lines)} lines: {done.last[:SHOWN]}"
    if not all(map(str.isprintable, re.sub(r"\x1b\[[0-9;]*[mK]", "", done.told).splitlines())):
        return "control characters are shown"
    return ""


def _originals(place: Path) -> None:
    """A policy and its map, made in a fork so that this process starts no threads."""
    save(driver(), place / "agent")
    small_map(place / "run")


def _lay_out(place: Path, case: Path) -> None:
    """A fresh folder to call from, with what paths lead to."""
    for name in ("agent", "run"):
        shutil.copytree(place / name, case / name)
    (case / "folder").mkdir()
    (case / "note.txt").write_text("no policy\n")
    (case / "broken.zip").write_bytes(b"PK\3\4 and no more")
    os.mkfifo(case / "pipe")
    (case / "loop").symlink_to("loop")
    (case / "nowhere").symlink_to("not-there")


def _called(words: list[str], case: Path) -> int:
    os.chdir(case)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    webbrowser.open = lambda *_, **__: False  # type: ignore[assignment]
    logging.basicConfig(level=logging.WARNING, format="LOG %(name)s %(message)s")
    sys.argv = ["rl-ablation", *words]
    return main(words)
