"""Films: the intact robot beside the damaged one, same start, with the live activity under each."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import imageio_ffmpeg
import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw

from rl_ablation.analysis.layout import grid_shape
from rl_ablation.env_ids import find_spec, trust
from rl_ablation.errors import LabError
from rl_ablation.files import check_target, one_line, replacing
from rl_ablation.lesions.lesion import ARROW, INTACT, VARIANT, Lesion
from rl_ablation.lesions.masks import Masks
from rl_ablation.lesions.triggers import Triggers
from rl_ablation.mapping.claims import typical_episode
from rl_ablation.mapping.map import Map
from rl_ablation.measures.registry import MEASURES
from rl_ablation.policies.policy import Policy
from rl_ablation.progress import bar
from rl_ablation.reports.labels import film_name, labels, named
from rl_ablation.reports.style import DIVERGING
from rl_ablation.rollouts.world import quiet

SECONDS = 15.0
WIDTH, HEIGHT = 480, 360  # of one robot's picture, pixels
_BAND, _HEAD, _GAP = 132, 34, 12
_SIGNED = 56  # bytes of the box at the end of a film that says that it is ours and whole
_MARK = _SIGNED.to_bytes(4, "big") + b"uuid" + b"rl-ablation film"  # a box of MP4: ISO 14496-12
_POSTER = 0.5  # where in a film its poster is taken, as a share of its length
_INK, _SOFT, _PAPER, _CUT = (25, 25, 25), (110, 110, 110), (255, 255, 255), (200, 20, 20)


@dataclass
class _Side:
    """One of the two robots."""

    title: str
    lesion: Lesion
    masks: Masks
    triggers: Triggers
    env: gym.Env
    obs: np.ndarray
    info: dict[str, Any]
    picture: Image.Image
    activity: dict[str, np.ndarray]
    memory: dict[str, np.ndarray]
    off: bool = False  # the lesion's condition does not hold: nothing is crossed out
    ended: str = ""


def film(
    run: Map,
    lesion: str,
    *,
    episode: int | None = None,
    path: str | Path | None = None,
    seconds: float = SECONDS,
    fps: int = 10,
    progress: bool = True,
    env: str | None = None,
) -> Path:
    """Film the intact policy beside a lesioned one in the same episode of a run.

    The run must keep its policy; a lesion is asked for by its name or its label (``"left wheel"``).
    Without an episode it is a typical one, without a path ``films/<lesion>.mp4`` in the run folder.
    A path is that of a new file, or of a film of this lab, which is replaced.
    Seconds, at most, and frames per second are of robot time: steps between frames are run but not
    drawn. ``env`` is an id that the run names, as your word for it: where the environment is
    neither Gymnasium's nor this lab's, a file alone does not get it run.

    Raises:
        LabError: No such lesion or episode, an environment without your word, a path at which
            something else is, a film that does not fit on the disk, nothing can be drawn on this
            machine, or the run is damaged or not finished.
    """
    if env is not None:
        trust(env)
    run.check()
    spec, policy = run.spec, run.policy
    chosen = named(run, lesion)
    lesion = chosen.name
    episode = typical_episode(run, lesion) if episode is None else episode
    _check_episode(run, episode)
    if not 0 < seconds < np.inf:
        raise LabError(f"a film needs more than 0 seconds, and an end; got {seconds:g}")
    standard = standard_path(run, lesion)
    path = standard if path is None else Path(path)
    ours = path.absolute() == standard.absolute()
    check_target(path, ".mp4", lambda there: ours or is_signed(there))
    path.parent.mkdir(parents=True, exist_ok=True)
    sides: list[_Side] = []
    try:
        how = "" if VARIANT in lesion else f" ({chosen.manner})"
        # The font of films has no arrow.
        without = f"without {labels(run)[lesion].replace(ARROW, 'to')}{how}"
        for title, what in ((INTACT, run.plan[INTACT]), (without, chosen)):
            sides.append(_start(title, what, run, episode))
        dt = 1.0 / float(sides[0].env.metadata.get("render_fps") or 1.0)
        every = max(1, round(1.0 / (dt * fps)))
        total = max(1, round(min(seconds / dt, spec.horizon)))
        peak = {s: np.abs(x.samples).max() for s, x in run.activity.items()}
        condition = run.episodes.job(chosen, episode).condition
        head, size = condition or spec.env_id.rpartition(":")[2], _page_size(len(sides))
        with (
            replacing(path) as temporary,
            film_writer(path, temporary, size, max(1, round(1 / (dt * every)))) as write,
            bar("filming", total, "steps", show=progress) as advance,
        ):
            for step in range(total):
                drawn = step % every == 0
                for side in sides:
                    if not side.ended:
                        _step(side, policy, step, dt, drawn)
                if drawn:
                    write(_compose(sides, f"{head}   {step * dt:4.1f} s", peak))
                advance(1)
                if all(side.ended for side in sides):
                    break
            for _ in range(fps):  # dwell on the last picture for a second
                write(_compose(sides, f"{head}   {step * dt:4.1f} s", peak))
    finally:
        for side in sides:
            side.env.close()
    return path


def _check_episode(run: Map, episode: int) -> None:
    if not 0 <= episode < run.spec.episodes:
        raise LabError(f"this run has episodes 0–{run.spec.episodes - 1}, not {episode}")


def standard_path(run: Map, lesion: str) -> Path:
    """Where the film of a lesion is in its run's folder."""
    return run.folder / "films" / f"{film_name(lesion)}.mp4"


def is_whole(path: Path) -> bool:
    """Whether a file is a film of this lab, and undamaged."""
    if not path.is_file():
        return False
    content = path.read_bytes()
    return content[-_SIGNED:] == _signature(content[:-_SIGNED])


def is_signed(path: Path) -> bool:
    """Whether a file is a film of this lab, damaged or not."""
    return path.is_file() and path.read_bytes()[-_SIGNED:].startswith(_MARK)


def _signature(film: bytes) -> bytes:
    """A last box of an MP4 file, which players pass over: our mark, and the film's sha256."""
    return _MARK + hashlib.sha256(film).digest()


@contextmanager
def film_writer(
    path: Path, temporary: Path, size: tuple[int, int], fps: int
) -> Iterator[Callable[[np.ndarray], None]]:
    """Write an H.264 film that any browser plays; yields a function that takes a page.

    Pages are (height, width, 3) bytes for a ``size`` of (width, height), both even. They are
    written to a temporary file; afterwards all are in it, and it is signed.
    """
    lost, written = LabError(f"{path}: the film could not be written; is the disk full?"), 0
    writer = imageio_ffmpeg.write_frames(
        str(temporary), size, fps=fps, codec="libx264", quality=5,
        macro_block_size=2, ffmpeg_log_level="fatal", output_params=["-f", "mp4"],
    )  # fmt: skip
    writer.send(None)

    def write(page: np.ndarray) -> None:
        nonlocal written
        try:
            writer.send(np.ascontiguousarray(page))
        except OSError:  # the encoder is gone
            raise lost from None
        written += 1

    try:
        yield write
    finally:
        writer.close()
    try:
        count, _ = imageio_ffmpeg.count_frames_and_secs(str(temporary))
    except RuntimeError:
        raise lost from None
    if count != written:
        raise lost
    content = temporary.read_bytes()
    temporary.write_bytes(content + _signature(content))


def _page_size(sides: int) -> tuple[int, int]:
    return sides * WIDTH + (sides - 1) * _GAP, _HEAD + HEIGHT + _BAND


def _start(title: str, lesion: Lesion, run: Map, episode: int) -> _Side:
    spec, policy, job = run.spec, run.policy, run.episodes.job(lesion, episode)
    size: dict[str, Any] = {"width": WIDTH, "height": HEIGHT}
    made = find_spec(spec.env_id, spec.env_kwargs)
    try:
        with quiet():
            try:
                env = gym.make(made, render_mode="rgb_array", **size, **spec.env_kwargs)
            except TypeError:  # an environment with a picture size of its own
                env = gym.make(made, render_mode="rgb_array", **spec.env_kwargs)
            options = {"condition": job.condition} if job.condition else None
            obs, info = env.reset(seed=job.seed, options=options)
            picture = _picture(env)
    except LabError:
        raise
    except Exception as error:  # MuJoCo raises whatever its graphics library does
        raise LabError(
            f"cannot draw {spec.env_id}: {one_line(error)}; "
            "`rl-ablation doctor` says what is missing"
        ) from None
    masks = Masks([lesion], [job.seed], policy.sites, run.activity)
    units = {site: np.zeros((1, n), np.float32) for site, n in policy.sites.items()}
    start = (obs, info, picture)
    memory = policy.at_rest(1)
    return _Side(title, lesion, masks, Triggers([lesion.when]), env, *start, units, memory)


def _picture(env: gym.Env) -> Image.Image:
    frame = env.render()
    if not isinstance(frame, np.ndarray):
        raise LabError("the environment gave no picture")
    picture = Image.fromarray(frame.astype(np.uint8))
    return picture if picture.size == (WIDTH, HEIGHT) else picture.resize((WIDTH, HEIGHT))


def _step(side: _Side, policy: Policy, step: int, dt: float, draw: bool) -> None:
    row, seen = np.zeros(1, int), np.asarray(side.obs).reshape(1, -1)
    said = {k: np.asarray(v)[None] for k, v in side.info.items()}
    off = side.triggers.unmet({**said, "obs": seen}, row, started=step > 0)
    side.off = off is not None and bool(off[0])
    inside = policy.normalise(seen) if side.masks.looks else None
    masks = side.masks.at(step, row, off, inside)
    action = policy.act(seen, masks, side.activity, side.memory)[0]
    space = side.env.action_space
    if isinstance(space, gym.spaces.Box):
        action = action.reshape(space.shape).astype(space.dtype)
    side.obs, _, terminated, truncated, side.info = side.env.step(action)
    if terminated or truncated:
        ends = (m for m in MEASURES.values() if m.ending and np.any(side.info.get(m.signals[0])))
        how = next((m.ending for m in ends), "ended")
        side.ended = f"{how if terminated else 'time is up'} at {(step + 1) * dt:.1f} s"
    if draw or side.ended:
        side.picture = _picture(side.env)


def _compose(sides: list[_Side], head: str, peak: Mapping[str, float]) -> np.ndarray:
    page = Image.new("RGB", _page_size(len(sides)), _PAPER)
    draw = ImageDraw.Draw(page)
    for k, side in enumerate(sides):
        left = k * (WIDTH + _GAP)
        picture = side.picture
        if side.ended:
            picture = Image.blend(picture, Image.new("RGB", picture.size, _PAPER), 0.45)
        page.paste(picture, (left, _HEAD))
        room = WIDTH - 24 - (draw.textlength(head, font_size=15) if side is sides[-1] else 0)
        size = min(18, int(18 * room / max(1.0, draw.textlength(side.title, font_size=18))))
        ink = _INK if k == 0 else _CUT
        draw.text((left + 8, 18), side.title, fill=ink, font_size=max(9, size), anchor="lm")
        middle = (left + WIDTH / 2, _HEAD + 20)
        draw.text(middle, side.ended, fill=_INK, font_size=22, anchor="ma")
        _draw_activity(draw, side, left, _HEAD + HEIGHT + 4, peak)
    draw.text((page.width - 8, 9), head, fill=_SOFT, font_size=15, anchor="ra")
    return np.asarray(page)


def _draw_activity(
    draw: ImageDraw.ImageDraw, side: _Side, left: int, top: int, peak: Mapping[str, float]
) -> None:
    """Each site as a grid of units: orange positive, purple negative, cut units crossed out; of a
    connection, who tells and who hears is framed."""
    shapes = {site: grid_shape(values.size) for site, values in side.activity.items()}
    labels = {site: int(draw.textlength(site, font_size=13)) for site in shapes}
    gap = 14
    for cell in range(20, 1, -1):  # the largest that fits, labels and all
        sizes = {
            site: min(cell, max(2, (_BAND - 30) // rows)) for site, (rows, _) in shapes.items()
        }
        wanted = sum(max(labels[s], sizes[s] * wide) for s, (_, wide) in shapes.items())
        if wanted + gap * (len(shapes) - 1) <= WIDTH - 16:
            break
    colours, x = mpl.colormaps[DIVERGING + "_r"], left + 8
    for site, values in side.activity.items():
        size, wide = sizes[site], shapes[site][1]
        draw.text((x, top), site, fill=_SOFT, font_size=13)
        cut = () if side.off else side.lesion.cut.get(site, ())
        heard = () if side.off else side.lesion.to.get(site, ())
        path = any(side.lesion.to.values())
        shade = colours(0.5 + 0.5 * np.clip(values[0] / max(peak.get(site, 1.0), 1e-9), -1, 1))
        for unit in range(values.size):
            cx, cy = x + unit % wide * size, top + 20 + unit // wide * size
            box = (cx, cy, cx + size - 2, cy + size - 2)
            draw.rectangle(box, fill=tuple(int(255 * c) for c in shade[unit][:3]))
            if unit in heard or (path and unit in cut):
                draw.rectangle(box, outline=_CUT if unit in cut else _INK, width=max(1, size // 6))
            elif unit in cut:
                draw.rectangle(box, fill=(225, 225, 225))
                draw.line(box, fill=_CUT, width=1)
                draw.line((box[0], box[3], box[2], box[1]), fill=_CUT, width=1)
        x += max(labels[site], wide * size) + gap


def poster(path: Path) -> bytes | None:
    """A JPEG out of a film, to stand in its place until it plays; None if there is none."""
    try:
        about = next(imageio_ffmpeg.read_frames(str(path)))
        at = ["-ss", f"{_POSTER * about['duration']:.2f}"]
        frames = imageio_ffmpeg.read_frames(str(path), input_params=at)
        size = next(frames)["size"]
        pixels = np.frombuffer(next(frames), np.uint8).reshape(size[1], size[0], 3)
        frames.close()
    except (OSError, RuntimeError, StopIteration):
        return None
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=70)
    return buffer.getvalue()
