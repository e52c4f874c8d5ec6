"""Kinds of cut and modes of drawing are open: one registered later works like those of today."""

import numpy as np
import pytest

import rl_ablation as rl
from experiments.cli.listing import entries
from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import Lesion
from rl_ablation.lesions.masks import Masks
from rl_ablation.lesions.methods import DRAWS, KINDS, draw, kind, usages
from rl_ablation.lesions.streams import uniforms, unit_keys


@pytest.fixture
def rattle():
    """A kind with a mode of drawing of its own, of a long name."""
    before = dict(KINDS), dict(DRAWS)

    @draw("evenly-spread", "shift times a number between −1 and 1, one for each unit")
    def spread(keys, site, shift, stats):
        return shift * (2 * uniforms(unit_keys(keys, site, shift.shape[1])) - 1)

    kind("rattle", "up to ± the strength added", default=0.5, draws="evenly-spread")(
        lambda strength, stats: (1.0, strength)
    )
    yield "rattle"
    for registry, kept in zip((KINDS, DRAWS), before, strict=True):
        registry.clear()
        registry.update(kept)


def shifts(lesions, policy, step=0):
    masks = Masks(lesions, [1] * len(lesions), policy.sites)
    return masks.at(step, np.arange(len(lesions)))["h0"][1]


def test_a_new_mode_of_drawing_draws(policy, rattle):
    one = Lesion(name="x", cut={"h0": (0, 4)}, kind=rattle)
    other = Lesion(name="y", cut={"h0": (0, 4)}, kind="clamp", strength=2.0)
    first, second = (shifts([one, other, one], policy, step) for step in (0, 1))
    drawn = first[0, [0, 4]]
    assert (np.abs(drawn) < 0.5).all()
    assert len(set(map(float, [*drawn, *second[0, [0, 4]]]))) == 4
    assert np.array_equal(first[0], first[2])
    assert not np.delete(first[0], [0, 4]).any()
    assert first[1, [0, 4]].tolist() == [2.0, 2.0]


def test_a_new_kind_is_listed_and_runs(policy, rattle, small_sweep, tmp_path):
    assert usages()[rattle] == entries("kinds")[rattle] == "up to ± the strength added"
    run = small_sweep(rl.layers(policy).with_kind(rattle), tmp_path / "run")
    assert run.effects()["delta"].abs().max() > 0


def test_what_is_there_is_not_registered_twice():
    with pytest.raises(LabError, match="a kind named 'zero' exists already"):
        kind("zero", "again")(lambda strength, stats: (0.0, 0.0))
    with pytest.raises(LabError, match="a draw mode named 'normal' exists already"):
        draw("normal", "again")(lambda keys, site, shift, stats: shift)


def test_an_unknown_mode_of_drawing_is_refused_at_once():
    with pytest.raises(
        LabError, match="'x': no draw mode 'uniformly'; choose from sample, alike, normal"
    ):
        kind("x", "a kind that never would draw", draws="uniformly")(lambda s, stats: (1.0, s))
    assert "x" not in KINDS
