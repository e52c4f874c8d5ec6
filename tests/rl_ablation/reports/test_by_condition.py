"""Worlds whose conditions have a measure of their own: findings are of these, not of averages."""

import json
from typing import ClassVar

import gymnasium as gym
import numpy as np
import pytest

import rl_ablation as rl
from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.mapping.claims import changes, improvements, own, typical_episode, valued
from rl_ablation.mapping.evidence import TELLING
from rl_ablation.mapping.lesion_map import shown_in_a_condition
from rl_ablation.mapping.run import OWN
from rl_ablation.measures.registry import choose
from rl_ablation.policies.policy import Card
from rl_ablation.policies.storage import make_mlp
from rl_ablation.reports.certainty import certainty
from rl_ablation.reports.figures import by_condition, heatmap
from rl_ablation.rollouts.rollout import world_signals
from rl_ablation.rollouts.world import World

ENV = "tests/Cart-v0"
BOTH = ["ahead: vx_error", "aside: vy_error"]
MEASURES = ["return", "vx_error", "vy_error", "power", "forward_speed"]
COMMANDS = {"ahead": (0.8, 0.0), "aside": (0.0, 0.5), "rest": (0.0, 0.0)}


class Cart(gym.Env):
    """A cart that moves as fast as it is driven, under a commanded velocity."""

    metadata: ClassVar = {
        "render_modes": [],
        "render_fps": 10,
        "conditions": {
            "ahead": {"measure": "vx_error"},
            "aside": {"measure": "vy_error"},
            "rest": {},
        },
    }
    observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.command = np.array(COMMANDS[(options or {}).get("condition") or "rest"])
        return self._look(), self._say(np.zeros(2))

    def _look(self):
        return (self.command + self.np_random.normal(0, 0.02, 2)).astype(np.float32)

    def _say(self, velocity):
        names = ("forward_speed", "lateral_speed", "command_vx", "command_vy")
        said = dict(zip(names, [*velocity, *self.command], strict=True))
        return {**said, "power": float(np.abs(velocity).sum())}

    def step(self, action):
        reward = -float(np.abs(action - self.command).sum())
        return self._look(), reward, False, False, self._say(np.asarray(action, float))


@pytest.fixture(scope="module")
def agent():
    """Units 0 and 1 each drive one way; unit 2 pushes ahead a little all the time."""
    gym.register(ENV, entry_point=Cart, max_episode_steps=12)
    into = (np.array([[1, 0], [0, 1], [0, 0]], np.float32), np.array([0, 0, 0.2], np.float32))
    out = (np.array([[1, 0, 1], [0, 1, 0]], np.float32), np.zeros(2, np.float32))
    card = Card(name="cart", env_id=ENV, activation="identity", squash="clip")
    yield make_mlp([into, out], card, low=-np.ones(2), high=np.ones(2))
    del gym.registry[ENV]


def sweep(agent, folder, episodes=3 * TELLING, **how):
    plan = Plan(Lesion(name=f"h0/{k}", cut={"h0": (k,)}, group="g") for k in range(3))
    plan += Plan([Lesion(name="all", cut={"h0": (0, 1, 2)}, group="g")])
    how = {"measures": MEASURES, "threads": 1, "progress": False, **how}
    return rl.sweep(agent, plan, folder=folder, episodes=episodes, seed=1, **how)


@pytest.fixture(scope="module")
def run(agent, tmp_path_factory):
    return sweep(agent, tmp_path_factory.mktemp("own") / "run")


def test_a_world_says_by_which_measure_it_judges_a_condition(agent):
    cart, lap = World(ENV, 1), World("envs:rl_ablation/Lap-v0", 1)
    assert cart.own_measures == {"ahead": "vx_error", "aside": "vy_error"}
    assert lap.own_measures == {}, "its tracks are all the same task"
    cart.close()
    lap.close()


def test_the_measures_that_our_worlds_name_can_be_taken_in_them():
    for env_id in ("Quadruped-v0", "Lap-v0"):
        world = World(f"envs:rl_ablation/{env_id}", 1, threads=1)
        signals, named = world_signals(world), world.own_measures
        world.close()
        choose(sorted(set(named.values())) or None, signals)
        assert len(named) == 8 * (env_id == "Quadruped-v0")


def test_the_run_keeps_it_as_plain_data(run, agent, tmp_path):
    path = run.folder / OWN
    kept = path.read_text()
    assert json.loads(kept) == {"ahead": "vx_error", "aside": "vy_error"}
    assert rl.Map(run.folder).own == BOTH
    manifest = (run.folder / "manifest.json").rename(tmp_path / "manifest.json")
    path.unlink()
    assert rl.Map(run.folder).own == [], "a run from before they were kept"
    path.write_text("[1]")
    with pytest.raises(LabError, match=r"own_measures.json: damaged"):
        _ = rl.Map(run.folder).own
    path.write_text(kept)
    manifest.rename(run.folder / "manifest.json")
    less = sweep(agent, tmp_path / "less", measures=["return", "vx_error"])
    assert less.own == BOTH[:1], "what the run did not take it does not have"


def test_its_rows_are_those_of_the_condition(run):
    rows = changes(run).set_index(["lesion", "measure"])
    table = run.effects().set_index(["lesion", "condition", "measure"])
    for name in BOTH:
        condition, measure = name.split(": ")
        for key in ("delta", "q", "intact", "ci_low"):
            assert rows.loc[("all", name), key] == table.loc[("all", condition, measure), key]
    assert rows.loc[("all", BOTH[0]), "harm"] == pytest.approx(-1)
    assert rows.loc[("h0/0", BOTH[0]), "harm"] < -0.5
    assert abs(rows.loc[("h0/0", BOTH[1]), "delta"]) < 0.01


def test_findings_are_of_the_commands_and_not_of_averages(run):
    assert own(run) == valued(run) == BOTH
    texts = {f.lesion: f.text for f in rl.headlines(run)}
    assert texts["all"].startswith("all (3 units): ")
    told = [t.split(" (95")[0] for t in texts["all"].partition(": ")[2].split("; ")]
    assert sorted(told) == ["ahead: vx error 0.19 → 0.80 m/s", "aside: vy error 0.02 → 0.50 m/s"]
    assert "forward speed" not in " ".join(texts.values())
    assert any("judged by its own measure" in s for s in certainty(run))
    shown = run.table().query("lesion == 'h0/1'").set_index("episode")["condition"]
    assert shown[typical_episode(run, "h0/1")] == "aside", "films show what is lost"


def test_saving_power_is_no_improvement_for_a_cart_that_stands(run):
    rows = changes(run).set_index(["lesion", "measure"])
    assert rows.loc[("all", "power"), "delta"] < -0.2
    assert rows.loc[("all", "power"), "q"] < 0.05
    assert rows.loc[("all", "power"), "harm"] == 0
    better = improvements(run).set_index("lesion")["measure"]
    assert set(better.index) == {"h0/2"}, "without the push ahead the cart obeys better"
    assert set(better) == {"power", "ahead: vx_error"}


def test_the_heatmap_has_a_column_for_each_command(run):
    axes = by_condition(run).axes[0]
    heads = [t.get_text() for t in axes.get_xticklabels()]
    assert heads == ["ahead: vx error: 0.19 m/s", "aside: vy error: 0.02 m/s"]
    cells = np.array([t.get_text() for t in axes.texts]).reshape(-1, 2)
    assert cells[0].tolist() == ["0.60", "0.02"]
    assert axes.get_yticklabels()[0].get_text() == "h0/0  (1)"
    assert heatmap(run), "the averages stay in a figure of their own"


def test_too_few_episodes_of_a_command_are_no_findings(agent, tmp_path):
    run = sweep(agent, tmp_path / "few", episodes=9)
    assert run.own == BOTH
    assert own(run) == []
    assert "vx_error" in valued(run)
    assert any("ask for 24 episodes" in s for s in certainty(run))
    assert "too few" in by_condition(run).get_supxlabel()


def test_one_episode_of_a_command_selects_what_is_lost_in_it(agent, tmp_path):
    """A discovery of one episode a command has no spread to hold a change against."""
    run = sweep(agent, tmp_path / "first", episodes=3)
    assert {"h0/0", "h0/1", "all"} <= shown_in_a_condition(run)
    idle = Plan([Lesion(name="nothing", cut={"h0": (0,)}, kind="gain", strength=1.0)])
    how = {"measures": MEASURES, "threads": 1, "progress": False, "episodes": 3, "seed": 1}
    assert not shown_in_a_condition(rl.sweep(agent, idle, folder=tmp_path / "idle", **how))


def test_a_run_under_one_condition_has_its_own_measure_too(agent, tmp_path):
    run = sweep(agent, tmp_path / "one", conditions=["ahead"])
    assert own(run) == BOTH[:1]
    assert changes(run).query("measure == @BOTH[0]")["lesion"].tolist() == run.plan.names[1:]


def test_other_worlds_have_no_such_figure(small_sweep, tmp_path):
    run = small_sweep(Plan([Lesion(name="stop", cut={"action": (0, 1)})]), tmp_path / "run")
    assert run.own == own(run) == []
    assert by_condition(run) is None
