"""People read the names of sensors and actuators; files and commands keep those of lesions."""

import json
import re
from types import SimpleNamespace

import pandas as pd
import pytest

import rl_ablation as rl
from experiments.cli.main import main
from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.lesions.variants import variants
from rl_ablation.mapping.sweep import NAMES
from rl_ablation.reports.figures import heatmap, intervals, network
from rl_ablation.reports.labels import label, labels
from rl_ablation.reports.report import report
from rl_ablation.rollouts.world import World

WHEELS = {"action/0": "left wheel", "action/1": "right wheel"}


@pytest.fixture(scope="module")
def run(small_sweep, policy, tmp_path_factory):
    plan = rl.motors(policy) + Plan(x for x in rl.sensors(policy) if x.name in ("obs/0", "obs/17"))
    folder = tmp_path_factory.mktemp("labels") / "run"
    return small_sweep(variants(plan + rl.layers(policy), ["zero", "gain"]), folder, episodes=12)


def test_a_sensor_and_an_actuator_have_their_names(run):
    told = labels(run)
    assert {k: told[k] for k in WHEELS} == WHEELS
    assert told["obs/0"] == "lidar -105°"
    assert told["obs/17"] == "yaw rate"
    assert told["action/0~gain"] == "left wheel~gain"
    assert told["h0"] == "h0"


def test_a_world_without_names_keeps_its_numbers(run):
    world = World("Pendulum-v1", 1)
    assert world.names == {}
    world.close()


def test_only_a_cut_of_that_one_unit_is_called_so():
    names = {"action": ["left wheel", "right wheel"]}
    for lesion in (
        Lesion(name="spin", cut={"action": (0,)}),
        Lesion(name="action/1", cut={"action": (0,)}),
        Lesion(name="action", cut={"action": (0, 1)}),
        Lesion(name="action/2", cut={"action": (2,)}),
        Lesion(name="obs/0", cut={"obs": (0,)}),
    ):
        assert label(lesion, names) == lesion.name


def test_equal_names_are_told_apart(run, monkeypatch):
    twins = {"obs": ["hip"] * 18, "action": ["hip", "knee"]}
    monkeypatch.setattr(type(run), "names", twins)
    told = labels(run)
    assert (told["obs/0"], told["action/0"]) == ("hip (obs/0)", "hip (action/0)")
    assert told["action/1"] == "knee"
    assert len(set(told.values())) == len(run.plan)


def test_figures_findings_and_the_report_show_them(run):
    for draw in (heatmap, intervals):
        rows = [t.get_text() for t in draw(run).axes[0].get_yticklabels()]
        assert any(r.startswith("left wheel") for r in rows)
        assert not any(r.startswith("action/") for r in rows)
    texts = {f.lesion: f.text for f in rl.headlines(run)}
    assert set(texts) & set(WHEELS), "a robot without a wheel must be told of"
    for name in set(texts) & set(WHEELS):
        assert texts[name].startswith(f"{WHEELS[name]} (1 unit): ")
    page = report(run, films=[]).read_text()
    assert "With its motor “left wheel” set to zero or multiplied by 0.5, the robot " in page
    assert re.search(r'<th class="text" scope="row">left wheel <small>\(1\)</small></th>', page)
    assert ">action/0<" not in page
    # What programs read stays as it is.
    assert set(WHEELS) <= set(pd.read_csv(run.folder / "effects.csv")["lesion"])


def test_names_are_kept_beside_the_spec_and_are_not_needed(run, small_sweep, policy, tmp_path):
    path = run.folder / NAMES
    kept = path.read_text()
    assert json.loads(kept)["action"] == ["left wheel", "right wheel"]
    assert "left wheel" not in (run.folder / "spec.json").read_text()
    path.unlink()
    with pytest.raises(LabError, match=r"names.json: missing; run the same map command again"):
        labels(run)
    manifest = (run.folder / "manifest.json").rename(tmp_path / "manifest.json")
    assert labels(run)["action/0"] == "action/0", "a run from before names were kept"
    path.write_text('{"action": 3}')
    with pytest.raises(LabError, match=r"names.json: damaged"):
        labels(run)
    path.write_text(kept)
    manifest.rename(run.folder / "manifest.json")


@pytest.mark.parametrize("asked", ["action/0", "left wheel"])
def test_a_film_is_asked_for_by_either_name(run, monkeypatch, asked):
    titles = []

    def start(title, what, *rest):
        titles.append((title, what.name))
        if len(titles) == 2:
            raise LabError("enough")
        return SimpleNamespace(env=SimpleNamespace(close=lambda: None))

    monkeypatch.setattr("rl_ablation.reports.film._start", start)
    assert main(["video", str(run.folder), "--lesion", asked, "--episode", "0"]) == 2
    assert titles == [("intact", "intact"), ("without left wheel (zero)", "action/0")]
    with pytest.raises(LabError, match="no lesion 'third wheel'"):
        rl.film(run, "third wheel")


def test_the_network_is_coloured_by_cuts_inside_it(policy, small_sweep, tmp_path):
    """A cut motor is one unit, but none of the network's: its regions are groups."""
    run = small_sweep(rl.motors(policy) + rl.tiles(policy, 4), tmp_path / "run")
    title = network(run).get_suptitle()
    assert "the unit's group is cut" in title
