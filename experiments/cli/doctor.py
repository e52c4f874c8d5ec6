"""What this machine has and lacks."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

_DRAW = """
import rl_ablation, mujoco
model = mujoco.MjModel.from_xml_string("<mujoco><worldbody><geom size='1'/></worldbody></mujoco>")
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
renderer = mujoco.Renderer(model, 32, 32)
renderer.update_scene(data)
assert renderer.render().max() > 0
renderer.close()
"""
_PACKAGES = ("mujoco", "gymnasium", "stable-baselines3", "torch", "numpy", "seaborn", "pandas")


@dataclass(frozen=True)
class Check:
    """One thing looked at; ``mend`` says what to do when it is not ``ok``."""

    name: str
    ok: bool
    found: str
    mend: str = ""
    needed: bool = True


def checks() -> list[Check]:
    """Look at everything that can be missing."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    new, python = sys.version_info >= (3, 11), ".".join(map(str, sys.version_info[:3]))
    setup = "run `make setup`, or pip install rl-ablation"
    return [
        Check("python", new, python, "use Python 3.11 or newer"),
        *(Check(p, bool(_version(p)), _version(p) or "missing", setup) for p in _PACKAGES),
        _pins(), _batch(), _ffmpeg(), _drawing(), _live(),
        Check("cpu cores", True, str(cores), needed=False),
    ]  # fmt: skip


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _pins() -> Check:
    """Are the installed versions those that were tested? Only known in a checkout."""
    path, mend = Path(__file__).parents[2] / "constraints.txt", "pip install -c constraints.txt …"
    if not path.exists():
        found = "no constraints.txt here to compare with"
        return Check("tested versions", True, found, needed=False)
    pins = re.findall(r"^([^#\n]+?)==(.*)$", path.read_text(), re.MULTILINE)
    other = [
        f"{name} {have} (tested: {version})"
        for name, version in pins
        if (have := _version(name)) is not None and not fnmatch(have, version)
    ]
    return Check("tested versions", not other, ", ".join(other) or "all as tested", mend, False)


def _batch() -> Check:
    try:
        import mujoco.batch

        return Check("mujoco.batch", hasattr(mujoco.batch, "Batch"), "there")
    except ImportError as error:
        return Check("mujoco.batch", False, str(error), "install mujoco 4.0 or newer")


def _ffmpeg() -> Check:
    try:
        import imageio_ffmpeg

        return Check("ffmpeg", True, imageio_ffmpeg.get_ffmpeg_version(), needed=False)
    except (ImportError, RuntimeError) as error:
        return Check("ffmpeg", False, str(error), "pip install imageio-ffmpeg", needed=False)


def _live() -> Check:
    from rl_ablation.reports.live import MEND, engine_version, missing

    gap = missing()
    return Check("live page", not gap, gap or f"plays MuJoCo {engine_version()}", MEND, False)


def _drawing() -> Check:
    """Draw one picture in a process of its own: a broken GL library can take its process along."""
    run = subprocess.run(
        [sys.executable, "-c", _DRAW], capture_output=True, text=True, timeout=120, check=False
    )
    backend = os.environ.get("MUJOCO_GL", "the default")
    if run.returncode == 0:
        return Check("drawing", True, f"works (MUJOCO_GL: {backend})", needed=False)
    last = (run.stderr.strip().splitlines() or ["no message"])[-1]
    mend = (
        "films need it, all else works without; on Debian or Ubuntu: "
        "sudo apt install libegl1 libgl1 libgl1-mesa-dri, then MUJOCO_GL=egl"
    )
    found = f"fails with MUJOCO_GL {backend}: {last[:120]}"
    return Check("drawing", False, found, mend, needed=False)
