"""Coverage-guided fuzzing of the readers of files: ``make fuzz``.

Atheris, which is libFuzzer for Python, makes inputs out of inputs and keeps those that reach new
code. It starts from the good files of `readers.seeds` and from the corpus beside the tests, in
which each input reached something that no other did. Whatever breaks a reader is written to
``build/fuzz``; put it into the corpus, where a test reads it for ever after.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import tyro

CORPUS = Path("tests/experiments/faults/corpus")
FOLDER = Path("build/fuzz")
MEMORY, LONG = 2048, 10  # MiB, most of it the lab itself; seconds for one input
INPUT = 8192  # bytes

INSTRUMENTED = (
    "rl_ablation.env_ids", "rl_ablation.env_kwargs", "rl_ablation.files", "rl_ablation.lesions",
    "rl_ablation.mapping.run", "rl_ablation.policies", "pickletools", "zipfile",
)  # fmt: skip
"""What coverage is measured of."""


def main(
    seconds: Annotated[int, tyro.conf.arg(help="How long.")] = 600,
    keep: Annotated[
        bool, tyro.conf.arg(help="Put inputs that reach new code into the corpus of the tests.")
    ] = False,
) -> None:
    """Fuzz the readers; exits with an error where one breaks."""
    try:
        import atheris
    except ImportError:
        there = "Linux on x86-64 with Python 3.11 to 3.13"
        sys.exit(f"make fuzz needs atheris, which can be installed on {there}")
    with atheris.instrument_imports(include=list(INSTRUMENTED)):
        from experiments.faults import readers
    from experiments.faults.watch import watched

    def one(content: bytes) -> None:
        with watched() as seen:
            readers.read(content)
        if seen:
            raise AssertionError(f"reading it did this: {seen[0]}")

    found = FOLDER / "found"
    found.mkdir(parents=True, exist_ok=True)
    for k, content in enumerate(readers.seeds()):
        (found / f"seed-{k}").write_bytes(content)
    CORPUS.mkdir(parents=True, exist_ok=True)
    folders = (CORPUS, found) if keep else (found, CORPUS)  # libFuzzer writes into the first
    limits = [f"-max_total_time={seconds}", f"-rss_limit_mb={MEMORY}", f"-timeout={LONG}"]
    shape = [f"-max_len={INPUT}", f"-artifact_prefix={FOLDER}/"]
    atheris.Setup([sys.argv[0], *limits, *shape, *map(str, folders)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    tyro.cli(main)
