"""What a file may ask of an environment: known arguments within their ranges, and nothing else."""

import inspect
import json
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import pytest
from conftest import LAP, random_mlp
from hypothesis import given, settings
from hypothesis import strategies as st

import envs
import rl_ablation as rl
from experiments.cli.main import main
from rl_ablation import env_ids
from rl_ablation.env_kwargs import RULES, check, is_plain
from rl_ablation.errors import LabError
from rl_ablation.policies.storage import save
from rl_ablation.rollouts.world import World

ANT = "envs:Ant-v5"
TIME = "rl_ablation.time_feature:rl_ablation/TimeFeature-v0"
PENDULUM = (3, 12, 10, 1)


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    """No other test's files or words."""
    monkeypatch.setattr(env_ids, "_named", set())
    monkeypatch.setattr(env_ids, "_from_files", set())


def written(folder, env_id, env_kwargs, sizes=PENDULUM):
    """A policy folder of somebody else."""
    save(random_mlp(sizes, "Pendulum-v1", bound=2.0, squash="tanh"), folder)
    path = folder / "card.json"
    card = {**json.loads(path.read_text()), "env_id": env_id, "env_kwargs": env_kwargs}
    path.write_text(json.dumps({**card, "card_sha256": None}))
    return folder


HOSTILE = [
    *({"frame_skip": n} for n in (0, -1, 10**9, 1.5, True, "4", None, float("nan"), 10**400)),
    *({"max_episode_steps": n} for n in (0, -1, 10**9, None)),
    *({name: 10**6} for name in ("num_envs", "nthread", "width", "height", "max_geom")),
    {"nthread": -1},
    {"xml_file": "/etc/passwd"},
    {"xml_file": "humanoid.xml"},
    {"wrappers": ["TimeLimit"]},
    {"vectorization_mode": "async"},
    {"vector_kwargs": {"context": "fork"}},
    {"additional_wrappers": []},
    {"render_mode": "human"},
    {"autoreset_mode": "SameStep"},
    {"persistent": True},
    {"id": "Pendulum-v1"},
    {"default_camera_config": {}},
    {"reset_noise_scale": 1e308},
    {"healthy_z_range": [2, 1]},
    {"healthy_z_range": 3},
    {"ctrl_cost_weight": float("inf")},
    {"a" * 10**5: 1},
    {f"a{k}": 1 for k in range(100)},
    {"\x1b[2J": 1},
]


@pytest.mark.parametrize("env_kwargs", HOSTILE, ids=lambda x: str(x)[:40])
@pytest.mark.parametrize("env_id", [ANT, "Ant-v5"])
def test_what_a_card_may_not_ask_for(env_id, env_kwargs, tmp_path):
    policy = rl.load(written(tmp_path / "agent", env_id, env_kwargs))
    with pytest.raises(LabError, match="a file sets") as caught:
        World(policy.card.env_id, 1, policy.card.env_kwargs)
    told = str(caught.value)
    assert told.isprintable()
    assert len(told) < 400


def test_a_card_of_an_ordinary_task_is_as_good_as_ever(tmp_path):
    asked = {"frame_skip": 4, "healthy_z_range": [0.3, 0.9], "terminate_when_unhealthy": False,
             "max_episode_steps": 7, "ctrl_cost_weight": 0}  # fmt: skip
    policy = rl.load(written(tmp_path / "agent", ANT, asked))
    world = World(policy.card.env_id, 2, policy.card.env_kwargs)
    assert world.horizon == 7
    assert world.parts[0].env.frame_skip == 4
    world.close()
    asked = {"tracks": ["ring"], "fixed_start": True}
    policy = rl.load(written(tmp_path / "lap", LAP, asked, (18, 8, 2)))
    World(policy.card.env_id, 1, policy.card.env_kwargs).close()


def test_the_users_word_counts_for_arguments_too(tmp_path):
    mine = {"xml_file": "ant.xml"}
    agent = written(tmp_path / "agent", "Ant-v5", mine)
    World("Ant-v5", 1, {**mine, "width": 64}).close()  # no file said so
    with pytest.raises(LabError, match="'xml_file'"):
        World("Ant-v5", 1, rl.load(agent).card.env_kwargs)
    for policy in (rl.load(agent, env_kwargs=mine), rl.load(agent, "Ant-v5", mine)):
        World(policy.card.env_id, 1, policy.card.env_kwargs).close()
    World("Ant-v5", 1, rl.load(agent).card.env_kwargs).close()  # it has run in this process


def test_what_was_made_in_memory_goes_on_after_a_restart(tmp_path):
    """The run's own spec names the same arguments; who makes the policy again gives his word."""
    code = """
import sys, torch, rl_ablation as rl
torch.manual_seed(0)
module = torch.nn.Sequential(torch.nn.Linear(105, 8), torch.nn.Tanh())
policy = rl.Policy.from_module(module, sites={"0": "h0"}, obs_size=105, action_size=8,
    env_id="Ant-v5", env_kwargs={"xml_file": "ant.xml"})
run = rl.sweep(policy, rl.layers(policy), episodes=int(sys.argv[2]), horizon=2, folder=sys.argv[1],
    progress=False)
print(len(run.table()))
"""
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "run"), "1"],
            capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        (tmp_path / "run" / "shards" / "00000.parquet").unlink()


@pytest.mark.parametrize(
    ("inner", "line"),
    [
        ({}, "inner_id has to be"),
        ({"inner_id": None}, "inner_id has to be"),
        ({"inner_id": 5}, "inner_id has to be"),
        ({"inner_id": ["Pendulum-v1"]}, "inner_id has to be"),
        ({"inner_id": {"id": "Pendulum-v1"}}, "inner_id has to be"),
        ({"inner_id": "Pendulum-v1", "inner_kwargs": [1]}, "inner_kwargs a dict"),
        ({"inner_id": "Ant-v5", "inner_kwargs": {"frame_skip": 0}}, "'frame_skip'"),
        ({"inner_id": "Ant-v5", "inner_kwargs": {"xml_file": "x"}}, "'xml_file'"),
        ({"inner_id": "Ant-v5", "xml_file": "x"}, "'xml_file'"),
        ({"inner_id": "no-such-module:Pendulum-v1"}, "give your word"),
        ({"inner_id": TIME, "inner_kwargs": {"inner_id": "payload:X-v0"}}, "--env payload:X-v0"),
        ({"inner_id": "../x:Pendulum-v1"}, "give your word"),
    ],
)
def test_what_is_inside_a_time_feature_obeys_the_same_rules(inner, line, tmp_path):
    policy = rl.load(written(tmp_path / "agent", TIME, inner))
    with pytest.raises(LabError, match=line):
        World(policy.card.env_id, 1, policy.card.env_kwargs)


def test_no_file_gets_an_id_trusted_by_hiding_it_in_arguments(tmp_path):
    inside = rl.load(written(tmp_path / "a", "Pendulum-v1", {"inner_id": "payload:X-v0"}))
    with pytest.raises(LabError, match="'inner_id'"):
        World(inside.card.env_id, 1, inside.card.env_kwargs)
    outside = rl.load(written(tmp_path / "b", "payload:X-v0", {}))
    with pytest.raises(LabError, match="--env payload:X-v0"):
        World(outside.card.env_id, 1)


def test_the_command_line_tells_it_in_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    agent = written(tmp_path / "agent", "Pendulum-v1", {"g": 1e9})
    assert main(["map", str(agent), "--groups", "layers", "--episodes", "2"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "'g' of its environment to 1000000000.0; it has to be a number from -100 to 100" in told


HOW = {"self", "num_envs", "kwargs", "render_mode", "width", "height", "camera", "xml_file",
       "default_camera_config", "main_body", "nthread", "persistent", "autoreset_mode"}  # fmt: skip


@pytest.mark.parametrize(
    "env_id",
    # A robot is a file of the user's, which no other file may name.
    [e for e in gym.registry if e.startswith("rl_ablation/") and e != "rl_ablation/Robot-v0"]
    + ["Ant-v5", "Humanoid-v5", "Hopper-v5", "Pusher-v5", "Pendulum-v1"],
)
def test_every_argument_of_a_world_is_known(env_id):
    """A new one has to be put into the rules, or here, if it says how and not what."""
    spec = gym.spec(env_id)
    assert envs
    for entry in filter(None, (spec.entry_point, spec.vector_entry_point)):
        made = gym.envs.registration.load_env_creator(entry) if isinstance(entry, str) else entry
        names = set(inspect.signature(made).parameters) - HOW - {"inner_id", "inner_kwargs"}
        assert names <= RULES.keys(), names - RULES.keys()
        for name in names:  # what the world itself takes is within the range
            default = inspect.signature(made).parameters[name].default
            assert default is None or RULES[name].holds(default), (name, default)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=70),
    lambda inside: st.lists(inside, max_size=70) | st.dictionaries(st.text(), inside),
    max_leaves=80,
)


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from([*RULES, *HOW, "x", ""]) | st.text(), json_values))
def test_any_arguments_are_checked_in_one_line(env_kwargs):
    for known in (True, False):
        refusal = ""
        try:
            check(env_kwargs, known)
        except LabError as error:
            refusal = str(error)
        assert refusal.isprintable()
        assert len(refusal) < 600
        if not refusal:
            assert all(map(is_plain, env_kwargs.values())) or env_kwargs.keys() & RULES.keys()
            assert not known or env_kwargs.keys() <= RULES.keys()


@settings(max_examples=60)
@given(json_values)
def test_nothing_plain_can_be_a_path(value):
    if is_plain(value):
        text = json.dumps(value, ensure_ascii=False)
        assert not any(sign in text.replace(", ", "").replace(": ", "") for sign in "/\\~")
        found = [value]
        for part in found:
            if isinstance(part, str):
                assert "." not in part
            elif isinstance(part, dict):
                found += [*part.keys(), *part.values()]
            elif isinstance(part, list):
                found += part
