"""The command line: help, bad input in one line, JSON, and maps that survive an interruption."""

import importlib
import importlib.metadata
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import rl_ablation as rl
from agents import zoo
from experiments.cli import doctor
from experiments.cli.main import BAD_INPUT, COMMANDS, INTERRUPTED, main
from rl_ablation.mapping.map import Map
from rl_ablation.reports import live as live_page

SMALL = ("--episodes", "6", "--discovery", "6", "--controls", "3", "--max-steps", "40")
SMALL = (*SMALL, "--films", "0")


@pytest.fixture(autouse=True)
def _somewhere_else(tmp_path, monkeypatch):
    """Runs land under the working folder by default."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def agent(policy, tmp_path_factory):
    """The folder of a hand-made policy."""
    folder = tmp_path_factory.mktemp("agent")
    rl.save(policy, folder)
    return folder


@pytest.fixture(scope="module")
def mapped(agent, tmp_path_factory):
    """The folder of a small finished run."""
    folder = tmp_path_factory.mktemp("mapped") / "run"
    assert main(["map", str(agent), *SMALL, "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def run(mapped, tmp_path):
    """A copy of it, to be damaged."""
    return Path(shutil.copytree(mapped, tmp_path / "run"))


def program():
    """The installed command."""
    path = Path(sys.executable).with_name("rl-ablation")
    if not path.exists():
        pytest.skip("rl-ablation is not installed beside this Python")
    return str(path)


def refuse(capsys, text, *arguments):
    """The command must end with code 2 and one line that holds ``text``."""
    capsys.readouterr()
    assert main([str(a) for a in arguments]) == BAD_INPUT
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("rl-ablation: ")
    assert said.err.count("\n") == 1, said.err
    assert text in said.err


def tell(capsys, *arguments):
    capsys.readouterr()
    assert main([str(a) for a in arguments]) == 0
    return capsys.readouterr().out


# Help.


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help(command, capsys):
    with pytest.raises(SystemExit) as left:
        main([*([command] if command else []), "--help"])
    assert left.value.code == 0
    said = capsys.readouterr()
    assert said.err == ""
    for word in COMMANDS if command is None else [command, "--help"]:
        assert word in said.out


def test_help_tells_units_and_defaults(capsys):
    with pytest.raises(SystemExit):
        main(["map", "--help"])
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for part in ("(default: 24)", "layers,clusters:6", "noise", "Control steps", "s.d.", "--json"):
        assert part in text


def test_help_does_not_wait_for_torch_or_mujoco():
    code = (
        "import sys\nfrom experiments.cli.main import main\n"
        "try: main(['map', '--help'])\n"
        "except SystemExit as left: assert left.code == 0\n"
        "assert not {'torch', 'mujoco', 'gymnasium'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["list", "nonsense"], ["map"]])
def test_wrong_usage_ends_with_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == BAD_INPUT
    assert "--help" in capsys.readouterr().err


def test_version(capsys):
    assert tell(capsys, "--version").split() == [
        "rl-ablation",
        importlib.metadata.version("rl-ablation"),
    ]


COMPLETE = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_tyro_rl_ablation
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not there")
def test_bash_completes_commands_and_options(capsys, tmp_path):
    script = tmp_path / "completion"
    script.write_text(tell(capsys, "completion", "bash"))

    def completed(*words):
        call = ["bash", "-c", COMPLETE, "bash", script, "rl-ablation", *words]
        done = subprocess.run(call, capture_output=True, text=True, timeout=60, check=False)
        assert done.stderr == ""
        return set(done.stdout.split())

    assert completed("") == {*COMMANDS, "-h", "--help"}
    assert completed("vi") == {"video"}
    assert {"--groups", "--kind", "--dry-run"} <= completed("map", "lap", "--")
    assert completed("map", "lap", "--epi") == {"--episodes"}


@pytest.mark.parametrize(
    ("shell", "first", "check"),
    [("zsh", "#compdef rl-ablation\n", "-n"), ("fish", "# AUTO", "--no-execute")],
)
def test_other_shells_complete_too(shell, first, check, capsys, tmp_path):
    script = tmp_path / "completion"
    script.write_text(tell(capsys, "completion", shell))
    assert script.read_text().startswith(first)
    assert all(f"'{command}': " in script.read_text() for command in COMMANDS)
    if shutil.which(shell):
        done = subprocess.run([shell, check, script], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


# Bad input.


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("unknown environment 'Nope-v0'", ("--env", "Nope-v0")),
        ("unknown environment 'nowhere:Nope-v0'", ("--env", "nowhere:Nope-v0")),
        ("takes 18 observations, but envs:Hopper-v5 gives 11", ("--env", "envs:Hopper-v5")),
        ("unknown measure 'nope'; choose from return", ("--measures", "crash,nope")),
        ("measure 'fall' needs signals this world lacks: fall", ("--measures", "fall")),
        ("no measures", ("--measures", "")),
        ("unknown grouping 'nope'; choose from singles", ("--groups", "layers,nope")),
        ("after the colon comes a whole number", ("--groups", "clusters:six")),
        ("clusters need k of at least 1", ("--groups", "clusters:0")),
        ("tiles need a size of at least 1", ("--groups", "tiles:0")),
        ("unknown condition 'nowhere'; choose from ring/ccw", ("--conditions", "ring/cw,nowhere")),
        ("unknown kind 'burn'; choose from zero", ("--kind", "burn")),
        ("kind 'zero' takes no strength", ("--strength", "2")),
        ("strength must be finite", ("--kind", "noise", "--strength", "nan")),
        ("strength belongs to one kind", ("--kind", "noise,gain", "--strength", "1")),
        ("one or more different kinds of cut", ("--kind", "zero,zero")),
        ("episodes must be at least 1", ("--episodes", "0")),
        ("discovery must be at least 6: 5 episodes", ("--discovery", "5")),
        ("controls must be at least 0", ("--controls", "-1")),
        ("cannot cover 6 conditions", ("--episodes", "5")),
        ("the horizon in steps must be at least 1, got 0", ("--max-steps", "0")),
        ("seed must be at least 0", ("--seed", "-1")),
        ("threads must be at least 1", ("--threads", "0")),
        ("films must be at least 0", ("--films", "-1")),
    ],
)  # fmt: skip
def test_map_refuses(text, options, agent, capsys, tmp_path):
    refuse(capsys, text, "map", agent, *SMALL, *options)
    assert not list(tmp_path.rglob("spec.json"))


@pytest.mark.parametrize("command", ["map", "show"])
def test_unknown_agent(command, capsys):
    refuse(capsys, "no agent 'nobody'", command, "nobody")
    refuse(capsys, ", ".join(zoo.names()), command, "nobody")


def test_train_refuses(capsys):
    refuse(capsys, "no recipe 'nobody'; choose from lap", "train", "nobody")
    refuse(capsys, "steps must be at least 1", "train", "lap", "--steps", 0)
    refuse(capsys, "seed must be at least 0", "train", "lap", "--seed", -1)
    refuse(capsys, "no device 'warp' here", "train", "lap", "--device", "warp")
    refuse(capsys, "steps must be at least 1", "demo", "--steps", 0)


def test_unknown_lesion_or_run(run, capsys):
    refuse(capsys, "no lesion 'h9'", "video", run, "--lesion", "h9")
    refuse(capsys, "is no run folder", "report", "nowhere")
    refuse(capsys, "is no run folder", "video", "nowhere", "--lesion", "h0")
    refuse(capsys, "unknown environment", "list", "measures", "--env", "Nope-v0")


@pytest.mark.parametrize(
    ("cut", "text"),
    [
        ({"h9": (0,)}, "no site 'h9'; this policy has obs, h0, h1, action"),
        ({"h0": (0, 12)}, "h0 has units 0–11, not 12"),
        ({"action": (2,)}, "action has units 0–1, not 2"),
    ],
)
def test_unknown_site_or_unit(cut, text, policy, tmp_path):
    plan = rl.Plan([rl.Lesion(name="wrong", cut=cut)])
    with pytest.raises(rl.LabError, match=text) as caught:
        rl.sweep(policy, plan, episodes=6, folder=tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def _cut_short(path):
    path.write_bytes(path.read_bytes()[:-40])


def _junk(path):
    path.write_bytes(b"\x00\xffjunk" * 9)


def _other_weights(path):
    tensors = load_file(path)
    tensors["layers.0.bias"] = tensors["layers.0.bias"] + np.float32(1)
    save_file(tensors, path)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("policy.safetensors", _cut_short),
        ("policy.safetensors", _junk),
        ("policy.safetensors", _other_weights),
        ("policy.safetensors", Path.unlink),
        ("card.json", _cut_short),
        ("card.json", _junk),
        ("card.json", Path.unlink),
        ("card.json", lambda path: path.write_text("[]")),
    ],
)
def test_damaged_policy(name, damage, agent, tmp_path, capsys):
    folder = Path(shutil.copytree(agent, tmp_path / "agent"))
    damage(folder / name)
    for command in (["show"], ["map", *SMALL]):
        refuse(capsys, name, command[0], folder, *command[1:])


@pytest.mark.parametrize("damage", [_cut_short, _junk, Path.unlink])
def test_damaged_shard(damage, run, agent, capsys):
    shard = run / "shards/00000.parquet"
    sound = shard.read_bytes()
    damage(shard)
    refuse(capsys, "00000.parquet", "report", run)
    refuse(capsys, "run the same map command again", "report", run)
    assert main(["map", str(agent), *SMALL, "--out", str(run)]) == 0
    assert shard.read_bytes() == sound


def test_shard_of_another_run(run, agent, tmp_path, capsys):
    other = tmp_path / "other"
    assert main(["map", str(agent), *SMALL, "--seed", "1", "--out", str(other)]) == 0
    shutil.copyfile(other / "shards/00000.parquet", run / "shards/00000.parquet")
    refuse(capsys, "00000.parquet: damaged", "report", run)


@pytest.mark.parametrize("damage", [_cut_short, _junk, lambda path: path.write_text("{}")])
def test_damaged_spec(damage, run, agent, capsys):
    sound = (run / "spec.json").read_bytes()
    damage(run / "spec.json")
    refuse(capsys, "spec.json: damaged", "report", run)
    assert main(["map", str(agent), *SMALL, "--out", str(run)]) == 0
    assert (run / "spec.json").read_bytes() == sound
    (run / "manifest.json").unlink()
    shutil.rmtree(run / "shards")  # which say whose they are, too
    damage(run / "spec.json")
    refuse(capsys, "spec.json: damaged spec", "map", agent, *SMALL, "--out", run)


def test_run_folder_of_another_spec(run, agent, capsys, tmp_path):
    command = ("map", agent, *SMALL, "--out", run)
    refuse(capsys, "another spec (its seed ", *command, "--seed", 1)
    refuse(capsys, "another spec (its horizon ", *command, "--max-steps", 20)
    refuse(capsys, "another spec (its lesions ", *command, "--groups", "layers")
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.txt").write_text("mine")
    refuse(capsys, "holds no run", "map", agent, *SMALL, "--out", full)
    refuse(capsys, "Not a directory", "map", agent, *SMALL, "--out", full / "thesis.txt/x")


def test_the_command_itself_refuses_in_one_line():
    done = subprocess.run(
        [program(), "map", "nobody"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == BAD_INPUT
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert "no agent 'nobody'" in done.stderr


# What commands tell.


@pytest.mark.parametrize("what", ["agents", "envs", "measures", "kinds", "groupings"])
def test_list(what, capsys):
    entries = json.loads(tell(capsys, "list", what, "--json"))
    assert entries
    assert all(isinstance(text, str) and text for text in entries.values())
    lines = tell(capsys, "list", what).splitlines()
    assert [line.split()[0] for line in lines] == list(entries)


def test_list_measures_of_an_environment(capsys):
    every = json.loads(tell(capsys, "list", "measures", "--json"))
    lap = json.loads(tell(capsys, "list", "measures", "--env", "envs:rl_ablation/Lap-v0", "--json"))
    assert set(lap) < set(every)
    assert "crash" in lap
    assert "fall" not in lap


def test_listed_envs_can_be_used(capsys):
    for env_id in json.loads(tell(capsys, "list", "envs", "--json")):
        if env_id.endswith("Robot-v0"):
            refuse(capsys, "xml", "list", "measures", "--env", env_id)  # it needs a robot
        else:
            tell(capsys, "list", "measures", "--env", env_id)


@pytest.mark.parametrize("name", zoo.names())
def test_show(name, capsys):
    card = json.loads(tell(capsys, "show", name, "--json"))
    assert card["name"] == name
    assert next(iter(card["sites"])) == "obs"
    assert card["env_id"] in tell(capsys, "show", name)


def test_show_a_folder(agent, capsys):
    assert "h0 (12), h1 (10)" in tell(capsys, "show", agent)


def test_doctor(capsys, monkeypatch):
    drawing = doctor.Check("drawing", False, "no display", "install one", needed=False)
    monkeypatch.setattr(doctor, "_drawing", lambda: drawing)
    found = {c["name"]: c for c in json.loads(tell(capsys, "doctor", "--json"))}
    assert {"python", "mujoco", "mujoco.batch", "ffmpeg", "drawing"} <= set(found)
    assert found["mujoco"]["ok"]
    text = tell(capsys, "doctor")
    assert "lacking drawing" in text
    assert "→ install one" in text
    gone = doctor.Check("mujoco.batch", False, "gone", "install mujoco")
    monkeypatch.setattr(doctor, "_batch", lambda: gone)
    with pytest.raises(SystemExit) as left:
        main(["doctor"])
    assert left.value.code == 1
    assert "MISSING mujoco.batch" in capsys.readouterr().out


def test_doctor_finds_out_about_drawing():
    check = doctor._drawing()
    assert check.ok or check.mend
    assert not check.needed


# Maps.


def test_map_leaves_a_report(mapped, capsys):
    page = (mapped / "report.html").read_text()
    assert "h0/cluster-0" in page
    assert 'src="http' not in page
    assert 'href="http' not in page.replace('href="https://', 'href="http-link ')
    for name in ("spec.json", "effects.csv", "versions.txt", "policy/card.json"):
        assert (mapped / name).stat().st_size
    run = Map(mapped)
    assert len(run.table()) == len(run.spec.lesions) * 6 - 5 * len(run.spec.once)
    assert not list(mapped.glob("films/*"))
    said = json.loads(tell(capsys, "report", mapped, "--json"))
    assert Path(said["report"]) == mapped / "report.html"
    assert isinstance(said["findings"], list)


def test_open_shows_the_pages_of_a_run(run, capsys, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda url: opened.append(url) or True)
    assert tell(capsys, "open", run) == f"opened {run / 'report.html'}\n"
    (run / "live.html").unlink(missing_ok=True)
    refuse(capsys, f"no live.html; make it: rl-ablation live {run}", "open", run, "--live")
    (run / "live.html").write_text("a page")
    tell(capsys, "open", run, "--live")
    assert opened == [(run / name).as_uri() for name in ("report.html", "live.html")]
    (run / "report.html").unlink()
    refuse(capsys, f"no report.html; make it: rl-ablation report {run}", "open", run)
    refuse(capsys, "is no run folder", "open", "nowhere")
    monkeypatch.setattr("webbrowser.open", lambda url: False)
    refuse(capsys, "no browser could be started", "open", run, "--live")
    assert len(opened) == 2


def test_compare_tells_and_writes_what_differs(run, agent, tmp_path, capsys):
    other = tmp_path / "other"
    assert main(["map", str(agent), *SMALL, "--seed", "1", "--out", str(other)]) == 0
    out = tmp_path / "compared"
    text = tell(capsys, "compare", run, other, "--out", out)
    assert text.startswith("# run and other\n")
    assert f"figure and tables: {out}\n" in text
    assert (out / "comparison.md").read_text() in text
    options = ("--by", "effects", "--measures", "crash,progress", "--json")
    said = json.loads(tell(capsys, "compare", run, other, *options))
    assert Path(said["folder"]).parent.name == "runs"
    assert said["paired"] is False
    assert {row["measure"] for row in said["regions"]} <= {"crash", "progress"}
    refuse(capsys, "one and the same run", "compare", run, run)
    refuse(capsys, "is no run folder", "compare", run, "nowhere")
    refuse(capsys, "measure 'fall' was not taken", "compare", run, other, "--measures", "fall")


needs_bundle = pytest.mark.skipif(bool(live_page.missing()), reason=live_page.missing())


@needs_bundle
def test_map_leaves_a_live_page(mapped, capsys):
    assert "<script" in (mapped / "live.html").read_text()
    said = json.loads(tell(capsys, "report", mapped, "--json"))
    assert Path(said["live"]) == mapped / "live.html"


def test_map_goes_on_without_a_live_page(run, agent, monkeypatch, caplog):
    (run / "live.html").unlink(missing_ok=True)
    monkeypatch.setattr(live_page, "missing", lambda: "the bundle is gone")
    assert main(["map", str(agent), *SMALL, "--out", str(run)]) == 0
    assert caplog.messages.count(f"no live page: the bundle is gone; {live_page.MEND}") == 1
    assert not (run / "live.html").exists()


def test_map_again_rolls_nothing_out(run, agent, monkeypatch):
    before = {p: p.stat().st_mtime_ns for p in (run / "shards").iterdir()}

    def never(*args, **kwargs):
        raise AssertionError("it rolled out again")

    monkeypatch.setattr(importlib.import_module("rl_ablation.mapping.sweep"), "here", never)
    assert main(["map", str(agent), *SMALL, "--out", str(run)]) == 0
    assert {p: p.stat().st_mtime_ns for p in (run / "shards").iterdir()} == before


def test_map_without_a_folder_makes_one(agent, capsys):
    options = ("--groups", "layers", "--conditions", "ring/cw", "--measures", "crash,progress")
    said = json.loads(tell(capsys, "map", agent, *SMALL, *options, "--kind", "mean", "--json"))
    run = Map(said["run"])
    assert run.folder.parent.name == "runs"
    assert run.spec.conditions == ("ring/cw",)
    assert run.spec.measures == ("crash", "progress")
    assert run.spec.horizon == 40
    assert {x.name: x.kind for x in run.plan if x.group not in ("checks", "baselines")} == {
        "intact": "zero",
        "h0": "mean",
        "h1": "mean",
    }
    assert Path(said["report"]).exists()


def test_sigterm_is_as_ctrl_c(capsys, monkeypatch):
    def work(arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(sys.modules["experiments.cli.main"], "_run", work)
    assert main(["doctor"]) == INTERRUPTED
    said = capsys.readouterr()
    assert said.err == "rl-ablation: interrupted; the same command goes on from here\n"
    assert signal.getsignal(signal.SIGTERM) is before


def test_interrupted_map_goes_on(agent, tmp_path, capsys):
    folder = tmp_path / "run"
    options = (
        "--groups",
        "singles",
        "--episodes",
        "12",
        "--discovery",
        "120",
        "--max-steps",
        "120",
    )
    options = (*options, "--max-steps", "120", "--films", "0", "--controls", "0")
    options = (*options, "--measures", "crash,return", "--no-adaptive")
    command = ["map", str(agent), *options, "--out", str(folder)]
    process = subprocess.Popen(
        [program(), *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # What a shell starts in the background ignores Ctrl-C, and so would what that starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    first = folder / "shards/00000.parquet"
    deadline = time.monotonic() + 60
    while not first.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED, err
    assert out == ""
    lines = err.splitlines()
    assert lines[0].startswith("27 lesions, at most ")
    assert lines[1:] == ["rl-ablation: interrupted; the same command goes on from here"]
    shards = Map(folder).spec.shards
    kept = {p: p.stat().st_mtime_ns for p in (folder / "shards").glob("[!.]*")}
    assert 1 <= len(kept) < shards
    assert main(command) == 0
    assert len(list((folder / "shards").iterdir())) == shards
    assert all(p.stat().st_mtime_ns == at for p, at in kept.items())
    assert (folder / "report.html").exists()


def test_demo_goes_the_whole_way_and_only_once(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("experiments.cli.demo.CONTROLS", 4)  # what more of them show is tested
    command = ["demo", "--steps", "4096", "--films", "0", "--out", str(tmp_path / "demo")]
    said = tell(capsys, *command).splitlines()
    assert said[-1] == f"report: {tmp_path / 'demo/map/report.html'}"
    assert (tmp_path / "demo/map/report.html").exists()
    assert (tmp_path / "demo/training/curve.csv").exists()
    assert rl.load(tmp_path / "demo/agent").card.steps >= 4096

    def never(*args, **kwargs):
        raise AssertionError("it did it again")

    with monkeypatch.context() as patch:
        patch.setattr("experiments.cli.demo.train_shown", never)
        patch.setattr(importlib.import_module("rl_ablation.mapping.sweep"), "here", never)
        assert tell(capsys, *command).splitlines() == said
    capsys.readouterr()
    assert main([*command, "--seed", "77"]) == BAD_INPUT
    assert "belongs to another recipe or seed" in capsys.readouterr().err


# Live pages.


@needs_bundle
def test_live_of_an_agent_and_of_a_run(agent, run, capsys, monkeypatch, tmp_path):
    shown = []
    monkeypatch.setattr("webbrowser.open", lambda url: shown.append(url) or True)
    assert tell(capsys, "live", agent) == "live page: live.html\n"
    assert shown == [(tmp_path / "live.html").as_uri()]
    assert f"rl.load({str(agent)!r})" in html_data(tmp_path / "live.html")["load"][0]
    (run / "live.html").unlink()
    assert str(run / "live.html") in tell(capsys, "live", run, "--no-open")
    data = html_data(run / "live.html")
    assert {"h0/cluster-0", "h1/cluster-1"} <= {r["name"] for r in data["run"]["regions"]}
    said = json.loads(tell(capsys, "live", "lap", "--out", "there/lap.html", "--json"))
    assert Path(said["page"]).exists()
    assert len(shown) == 1, "neither of these opens it"


def html_data(path):
    """The data in a live page."""
    text = path.read_text().partition('id="data">')[2].partition("</script>")[0]
    return json.loads(text)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("no agent 'nosuch'", ["nosuch"]),
        ("CartPole-v1", ["{agent}", "--env", "CartPole-v1"]),
    ],
)
def test_live_refuses(text, options, agent, capsys, monkeypatch):
    monkeypatch.setattr(live_page, "missing", lambda: "")
    refuse(capsys, text, "live", *(o.format(agent=agent) for o in options))


def test_live_without_its_bundle(agent, capsys, monkeypatch):
    monkeypatch.setattr(live_page, "missing", lambda: "the bundle is gone")
    refuse(capsys, f"the bundle is gone; {live_page.MEND}", "live", agent)
    check = doctor._live()
    assert not check.ok
    assert not check.needed
    assert (check.found, check.mend) == ("the bundle is gone", live_page.MEND)


# Planning, and studies.


def test_plan_says_how_many_episodes(agent, capsys, tmp_path):
    options = ("--groups", "layers", "--max-steps", "40", "--measures", "forward_speed,crash")
    said = json.loads(tell(capsys, "plan", agent, *options, "--effect", "1", "--json"))
    more = json.loads(tell(capsys, "plan", agent, *options, "--effect", "0.3", "--json"))
    assert 2 <= said["episodes"] < more["episodes"]
    assert [m["measure"] for m in said["measures"]] == ["forward_speed", "crash"]
    text = tell(capsys, "plan", agent, *options)
    assert f"enough for all: --episodes {said['episodes']}" in text
    assert not list(tmp_path.rglob("spec.json")), "a pilot is not kept"
    refuse(capsys, "lie between 0 and 1", "plan", agent, *options, "--power", "2")


def test_study_list_asks_questions(capsys):
    said = json.loads(tell(capsys, "study", "list", "--json"))
    assert len(said) >= 10
    assert all(text.endswith("?") for text in said.values()), "a study answers a question"
    refuse(capsys, "no study 'nope'; choose from brain-scan", "study", "nope")
