"""The study of development: what it says of trainings whose course is known, how it is drawn."""

import imageio_ffmpeg
import numpy as np
import pandas as pd
import pytest
import torch

import rl_ablation as rl
from experiments.studies.development import figures, film, study, words
from experiments.studies.development.measuring import (
    ACTION,
    BEHAVIOURS,
    LOSS,
    SIGNS,
    Size,
    Training,
    follow,
    full_size_of,
    moved,
    signs,
)
from experiments.studies.seeds.study import TINY
from rl_ablation.reports.film import is_whole
from rl_ablation.rollouts.activity import activity_at
from rl_ablation.rollouts.recording import record

STEPS = np.array([0, 64, 128, 256, 512])
UNITS = 16
REGIONS = tuple(
    rl.Lesion(name=f"{site}/cluster-{k}", cut={site: tuple(range(4 * k, 4 * k + 4))}, group="x")
    for site in ("h0", "h1")
    for k in range(4)
)


def course(seed, learned=True):
    """A training in which one region a layer is needed for laps from the third moment on."""
    rng = np.random.default_rng(seed)
    change = rng.normal(0.0, 0.05, (len(STEPS), 2, 3, 12, len(REGIONS), len(BEHAVIOURS)))
    if learned:
        change[2:, :, 0, :, [0, 4], 0] -= 1.0
        change[2:, :, 1:, :, :, 0] -= 0.1  # random parts hold a bit of it each
    intact = np.linspace(0.0, 1.0, len(STEPS))[:, None, None] + np.zeros((1, 12, 1))
    intact = intact + rng.normal(0.0, 0.05, (len(STEPS), 12, len(BEHAVIOURS)))
    lost = {s: rng.random((1, UNITS)) + rng.normal(0, 0.05, (2, UNITS)) for s in ("h0", "h1")}
    told = {site: rng.random((len(STEPS), len(SIGNS), UNITS)) for site in lost}
    if learned:
        for site in lost:
            told[site][3:, 0] = lost[site][0] + rng.normal(0.0, 0.1, UNITS)
    size, lost = full_size_of(change, intact), {LOSS: lost, ACTION: lost}
    return Training(f"toy-{seed}", STEPS, REGIONS, change, intact, size, lost, told)


@pytest.fixture(scope="module", autouse=True)
def few_draws():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "BOOT", 200)
        yield


@pytest.fixture(scope="module")
def found():
    return [course(k) for k in range(4)]


@pytest.fixture(scope="module")
def tables(found):
    need, first = study.needs(found, 0)
    return need, first, study.localities(found, 0), study.foretelling(found, 0)


def value(table, **keys):
    for key, wanted in keys.items():
        table = table[table[key] == wanted]
    (row,) = table.to_dict("records")
    return row


def test_regions_are_dated_and_random_parts_are_not(tables) -> None:
    need, first, *_ = tables
    assert set(first["moment"]) == {"0.2500", "never"}
    assert (first["moment"] == "0.2500").mean() == pytest.approx(0.25)
    assert set(" ".join(first["random"]).split()) == {"never"}
    assert set(first["behaviours"]) == {"progress", ""}
    last = value(need, what=words.OWN, moment="1.0000")
    assert last["value"] == pytest.approx(0.25)
    assert value(need, what=words.OWN, moment="0.0000")["value"] == 0
    assert value(need, what=words.GAP, moment=words.ALL)["low"] > 0
    assert value(need, what=words.RANDOM, moment=words.MISSED)["value"] == 1
    assert value(need, what=words.OWN, moment=words.RISE)["value"] > 0.2


def test_locality_is_beyond_random_parts(tables) -> None:
    gap = value(tables[2], kind="mean", what=words.GAP, moment="1.0000")
    assert gap["value"] > 0.4
    assert gap["low"] > 0
    assert np.isnan(value(tables[2], kind="mean", what=words.GAP, moment="0.0000")["value"])


def test_only_what_foretells_is_said_to(tables) -> None:
    fore = tables[3]
    one = {"lost": LOSS, "kind": "mean", "moment": "1.0000"}
    late = value(fore, site="h0", sign=SIGNS[0], **one)
    assert late["value"] > 0.7
    assert late["p"] < 0.05
    assert value(fore, site="h0", sign=SIGNS[1], **one)["p"] > 0.05
    assert value(fore, site="h1", sign=words.AGREE, **one)["value"] > 0.7
    text = words.tell_foretold(fore)
    assert f"h0, {SIGNS[0]}: from 1/2 on; at 1/2 0." in text
    assert SIGNS[1] not in text


def test_the_findings_follow_the_numbers(tables, found) -> None:
    text = words.tell(*tables, found)
    assert "Of 32 regions in 4 trainings" in text
    assert "in the untrained network 0 % (0 to 0) of them" in text
    assert "More regions are needed than random parts" in text
    assert "at 1/4 25 % and never 75 % (" in text
    assert "by behaviour: progress 8" in text
    assert "With 40 tests a single loss is clear only where at least 11 of 12 episodes" in text
    assert "No cut in the last networks costs a fifth without being clear" in text


def test_nothing_is_told_of_chance() -> None:
    nothing = [course(k, learned=False) for k in range(4)]
    need, first = study.needs(nothing, 0)
    local, fore = study.localities(nothing, 0), study.foretelling(nothing, 0)
    text = words.tell(need, first, local, fore, nothing)
    assert "Against random parts nothing is shown" in text
    assert text.count("none of 50 correlations holds") == 2
    assert "last network needs, by behaviour: none of them" in text


def test_figures_and_film_are_drawn(tables, found, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(film, "HOLD", 2)
    need, _, local, fore = tables
    drawn = figures.over_training(need, local, fore)
    assert [axes.get_title(loc="left") for axes in drawn.axes][:3] == [
        "Laps of the intact robot", "Regions that are needed", "Locality",
    ]  # fmt: skip
    shown = film.pick(found)
    assert len(figures.maps(shown, BEHAVIOURS).axes) >= len(STEPS)
    path = film.make(shown, tmp_path / "films" / "toy.mp4")
    assert is_whole(path)
    frames, _ = imageio_ffmpeg.count_frames_and_secs(str(path))
    assert frames == (len(STEPS) + 1) * film.HOLD + (len(STEPS) - 1) * (film.BLEND - 1)
    assert film.still(shown, tmp_path / "still.png").stat().st_size > 5000


def test_the_colours_of_a_film_have_one_scale(found) -> None:
    shown = film.pick(found)
    first, last = (np.asarray(film.page(shown, t)) for t in (0.0, len(STEPS) - 1.0))
    spot = (film._TOP + 5, film._LEFT + 5)  # a unit of the region that laps come to need
    assert first[spot].min() > 225, "nothing is lost at first: white"
    red, _, blue = map(int, last[spot])
    assert red > blue + 60, "orange"
    between = np.asarray(film.page(shown, 1.5))[spot]
    assert last[spot][2] < between[2] < first[spot][2]


def test_a_loss_in_half_of_the_episodes_is_told_as_not_clear() -> None:
    half = course(3, learned=False)
    half.change[-1, :, 0, ::2, 6, 0] = -2.0
    _, first = study.needs([half], 0)
    text = words.tell_missed(first, half.change.shape)
    assert "1 cut in the last networks cost a fifth or more without being clear" in text
    assert "h1/cluster-2 of toy-3" in text


def test_what_only_one_kind_shows_is_not_in_the_map(found) -> None:
    shown = course(9)
    shown.change[-1, 0, 0, :, 0, 0] = 1.0  # better under resample, worse under mean
    assert shown.harm()[-1, 0, 0] == 0


def test_signs_of_units_are_those_of_its_own_way() -> None:
    agent = rl.load("lap")
    way = record(agent, ["obs", "bend"], rl.Episodes(2, 0, ("ring/ccw", "ring/cw"), 60)).moments()
    seen = signs(agent, way)
    assert {site: values.shape for site, values in seen.items()} == {
        "h0": (len(SIGNS), 64), "h1": (len(SIGNS), 64),
    }  # fmt: skip
    spread, size, told, outgoing, effect = seen["h1"]
    assert (spread > 0).all()
    assert (size <= 1).all()
    assert ((told >= 0) & (told <= 1)).all()
    weights = agent.network.layers[2][0].numpy()
    assert outgoing == pytest.approx(np.linalg.norm(weights, axis=0), rel=1e-5)
    assert effect == pytest.approx(moved(agent, way["obs"])["h1"].mean(0))


def test_how_far_the_action_moves_without_a_unit() -> None:
    agent = rl.load("lap")
    obs = np.random.default_rng(0).uniform(-1, 1, (50, agent.obs_size))
    means = {s: v.mean(0) for s, v in activity_at(agent, obs).items()}
    found = moved(agent.edited("h1", [5]), obs)
    assert found["h1"][:, 5] == pytest.approx(0.0), "nothing listens to it"
    assert (found["h1"][:, [0, 1, 2]] > 0).all()

    def held(site, values):
        if site == "h0":
            values = values.clone()
            values[:, 3] = float(means["h0"][3])
        return values

    inputs = torch.as_tensor(agent.normalise(obs))
    acted = agent.act(obs)
    there = np.clip(agent.network(inputs, held).numpy(), agent.low, agent.high)
    wanted = np.sqrt((((there - acted) / acted.std(0)) ** 2).mean())
    assert moved(agent, obs)["h0"][1, 3] == pytest.approx(wanted, rel=1e-3)


def test_a_training_is_followed(tmp_path) -> None:
    recipe = TINY.model_copy(update={"steps": 4096})
    size = Size((3,), (0, 1), 2, 1, 6, 6, 30)
    one = follow(recipe, 3, tmp_path, size, 0)
    assert one.steps.tolist() == [0, 4096]
    regions, measures = len(one.regions), len(BEHAVIOURS)
    assert one.change.shape == (2, 2, 2, 6, regions, measures)
    assert one.intact.shape == (2, 6, measures)
    assert set(one.sites) == {"h0", "h1"}
    assert (one.size > 0).all()
    assert {site: lost.shape for site, lost in one.lost[LOSS].items()} == {
        "h0": (2, 16), "h1": (2, 16),
    }  # fmt: skip
    assert sorted(p.name for p in (tmp_path / "trainings" / one.name).glob("at-*")) == [
        "at-0", "at-4096",
    ]  # fmt: skip


def test_moments_are_named_as_people_say_them() -> None:
    names = [figures.moment(f"{share:.4f}") for share in (0, 1 / 24, 1 / 12, 1 / 6, 3 / 4, 1)]
    assert names == ["untrained", "1/24", "1/12", "1/6", "3/4", "end"]


def test_tables_have_no_row_twice(tables) -> None:
    for table, keys in zip(
        (tables[0], tables[2], tables[3]),
        (
            ["what", "moment"],
            ["kind", "what", "moment"],
            ["lost", "kind", "site", "sign", "moment"],
        ),
        strict=True,
    ):
        assert not pd.DataFrame(table).duplicated(keys).any()
