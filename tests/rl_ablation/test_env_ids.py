"""A file cannot have a module run: its environment is ours, Gymnasium's, or the user's word."""

import json
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import pytest
import torch
from conftest import random_mlp

import rl_ablation as rl
from experiments.cli.main import main
from rl_ablation.errors import LabError
from rl_ablation.policies.storage import save
from rl_ablation.reports.report import report
from rl_ablation.rollouts.world import World
from tests.rl_ablation.policies import sb3_files as files

PAYLOAD = """
from pathlib import Path
import gymnasium
Path(__file__).with_name("was-run").touch()
if "Payload-v0" not in gymnasium.registry:
    gymnasium.register(
        "Payload-v0", "gymnasium.envs.classic_control.pendulum:PendulumEnv", max_episode_steps=20
    )
"""
PENDULUM = (3, 12, 10, 1)
SHORT = ("--groups", "layers", "--episodes", "2", "--discovery", "2", "--controls", "0",
         "--films", "0")  # fmt: skip
OLD = "rl_ablation.time_feature:rl_ablation/TimeFeature-v0"
INNER = "payload:Payload-v0"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A downloaded folder: a policy whose card names the module that lies beside it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("rl_ablation.env_ids._named", set())
    monkeypatch.setattr("rl_ablation.env_ids._from_files", set())
    (tmp_path / "payload.py").write_text(PAYLOAD)
    yield tmp_path
    sys.modules.pop("payload", None)
    gym.registry.pop("Payload-v0", None)


def written(folder, env_id, sizes=PENDULUM, **env_kwargs):
    save(random_mlp(sizes, "Pendulum-v1", bound=2.0, squash="tanh"), folder / "agent")
    path = folder / "agent" / "card.json"
    card = {**json.loads(path.read_text()), "env_id": env_id, "env_kwargs": env_kwargs}
    path.write_text(json.dumps({**card, "card_sha256": None}))
    return folder / "agent"


@pytest.mark.parametrize(
    ("env_id", "kwargs"),
    [
        (INNER, {}),
        (OLD, {"inner_id": INNER}),
        ("rl_ablation/TimeFeature-v0", {"inner_id": OLD, "inner_kwargs": {"inner_id": INNER}}),
    ],
)
def test_a_cards_module_is_not_run(folder, capsys, env_id, kwargs):
    agent = written(folder, env_id, **kwargs)
    policy = rl.load(agent, env_kwargs=kwargs)
    for ask in (rl.record_activity, lambda p: rl.sweep(p, rl.layers(p), folder=folder / "run")):
        with pytest.raises(LabError, match=rf"'{INNER}'.*--env {INNER}"):
            ask(policy)
    assert main(["show", str(agent)]) == 0
    assert main(["map", str(agent), *SHORT]) == 2
    told = capsys.readouterr().err
    assert f"--env {INNER}" in told
    assert told.count("\n") == 1
    assert not (folder / "was-run").exists()
    assert "payload" not in sys.modules


def test_with_the_users_word_it_runs(folder, capsys):
    agent, out = written(folder, INNER), folder / "run"
    command = ["map", str(agent), "--env", INNER, *SHORT, "--out", str(out)]
    assert main(command) == 0
    assert (folder / "was-run").exists()
    assert main(command) == 0, "the same command again"


def test_a_run_folder_does_not_run_its_module_either(folder, capsys, monkeypatch):
    assert main(["map", str(written(folder, "Pendulum-v1")), *SHORT, "--max-steps", "20",
                 "--out", "run"]) == 0  # fmt: skip
    path = folder / "run" / "spec.json"
    spec = json.loads(path.read_text())
    path.write_text(json.dumps({**spec, "env_id": INNER}))
    for name in ("manifest.json", "design.json"):  # they would tell of the change
        (folder / "run" / name).unlink()
    run = rl.Run("run")
    with pytest.raises(LabError, match=f"--env {INNER}"):
        rl.film(run, "h0", episode=0)
    assert main(["video", "run", "--lesion", "h0", "--episode", "0"]) == 2
    assert f"--env {INNER}" in capsys.readouterr().err
    assert not (folder / "was-run").exists()
    monkeypatch.setattr("rl_ablation.reports.film._picture", lambda env: 1 / 0)
    with pytest.raises(LabError, match="cannot draw"):
        rl.film(run, "h0", episode=0, env=INNER)
    assert (folder / "was-run").exists()


def test_a_report_needs_no_world(folder):
    assert main(["map", str(written(folder, "Pendulum-v1")), *SHORT, "--max-steps", "20",
                 "--out", "run"]) == 0  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rl_ablation.rollouts.world._make", lambda *a: 1 / 0)
        assert report(rl.Run("run")).exists()


def test_an_id_that_somebody_else_registered_needs_the_word_too(folder):
    __import__("payload")
    gym.register("Other-v0", entry_point="payload:Other")
    try:
        for env_id in ("Other-v0", "envs:Other-v0"):
            policy = rl.load(written(folder, env_id))
            with pytest.raises(LabError, match=f"--env {env_id}"):
                rl.record_activity(policy)
    finally:
        del gym.registry["Other-v0"]


def test_a_policy_made_in_memory_is_the_users_word(folder):
    policy = random_mlp(PENDULUM, INNER, bound=2.0, squash="tanh")
    run = rl.sweep(policy, rl.layers(policy), episodes=2, folder=folder / "run", progress=False)
    assert len(run.table()) == 6
    rl.load(written(folder, INNER))
    World(INNER, 1).close()  # it has run in this process already


def test_the_users_word_for_a_zip_counts_inside_its_wrapper_too(folder):
    rl.load(written(folder, OLD, inner_id=INNER))  # a file named it first
    state = files.on_policy_state()
    state["mlp_extractor.policy_net.0.weight"] = torch.ones(8, 4)
    state["action_net.weight"], state["action_net.bias"] = torch.ones(1, 8), torch.zeros(1)
    spaces = {"observation_space": files.box(4, 8.0), "action_space": files.box(1, 2.0)}
    path = files.write(folder / "x.zip", files.members(state, **spaces))
    policy = rl.load(path, env=INNER, env_wrapper="time-feature")
    assert policy.card.env_kwargs["inner_id"] == INNER
    World(policy.card.env_id, 1, policy.card.env_kwargs).close()


@pytest.mark.parametrize("env_id", [OLD, "rl_ablation:rl_ablation/TimeFeature-v0",
                                    "rl_ablation.policies.sb3.time_feature:"
                                    "rl_ablation/TimeFeature-v0"])  # fmt: skip
def test_time_features_load_and_run_in_a_fresh_process(folder, env_id):
    agent = written(folder, env_id, (4, 12, 10, 1), inner_id="Pendulum-v1", inner_kwargs={})
    code = (
        "import rl_ablation as rl, gymnasium, sys\n"
        "p = rl.load(sys.argv[1])\n"
        "r = rl.sweep(p, rl.layers(p), episodes=1, horizon=5, folder=sys.argv[2], progress=False)\n"
        "print(len(rl.Run(r.folder).table()), gymnasium.make(sys.argv[3], inner_id='Hopper-v5'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(agent), str(folder / "run"), env_id],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("3 ")
