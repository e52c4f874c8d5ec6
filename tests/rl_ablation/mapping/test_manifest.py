"""The manifest of a run: damage is told in one line, never shown as numbers, and `map` mends it."""

import logging
import shutil

import pytest

import rl_ablation as rl
from experiments.cli.main import main
from experiments.faults.corruptions import answers, ask_map, unlike
from experiments.faults.small import small_map
from rl_ablation.errors import LabError
from rl_ablation.mapping import run as run_module
from rl_ablation.mapping.manifest import MANIFEST, damaged, manifest_of
from rl_ablation.reports.report import report


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A finished map."""
    folder = tmp_path_factory.mktemp("manifest") / "map"
    small_map(folder)
    return folder


@pytest.fixture
def folder(original, tmp_path):
    """A copy of it, with a table of effects that a damaged map must leave alone."""
    copy = shutil.copytree(original, tmp_path / "map")
    (copy / "effects.csv").write_text("of the intact map")
    return copy


def other_digit(path):
    content = bytearray(path.read_bytes())
    place = next(k for k in reversed(range(len(content))) if 48 <= content[k] <= 56)
    content[place] += 1
    path.write_bytes(content)


def flipped_bit(path):
    content = bytearray(path.read_bytes())
    content[-9] ^= 4
    path.write_bytes(content)


def lost(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def link_to_itself(path):
    path.unlink()
    path.symlink_to(path.name)


DAMAGES = [
    ("confirmation/shards/00000.parquet", lost),
    ("shards/00000.parquet", link_to_itself),
    ("doses", lost),
    ("probe.csv", lost),
    ("activity.safetensors", flipped_bit),
    ("spec.json", other_digit),
    ("design.json", other_digit),
    ("versions.txt", other_digit),
    ("policy/card.json", other_digit),
    (MANIFEST, other_digit),
    (MANIFEST, link_to_itself),
]


@pytest.mark.parametrize(("name", "damage"), DAMAGES, ids=lambda x: getattr(x, "__name__", x))
def test_damage_is_told_and_the_same_command_mends_it(original, folder, name, damage):
    damage(folder / name)
    with pytest.raises(LabError) as caught:
        report(rl.Map(folder))
    told = str(caught.value)
    assert told.isprintable()
    assert name in told
    assert told.endswith("run the same map command again to mend it")
    assert (folder / "effects.csv").read_text() == "of the intact map"
    assert not (folder / "report.html").exists()
    small_map(folder)
    assert unlike(folder, original) == ""
    assert not damaged(folder)


def test_what_is_not_damaged_answers_as_before_and_nothing_else_does(original, folder):
    """The numbers of a stage that lost a shard are not those of another stage."""
    truth = answers(ask_map(original))
    assert not any(isinstance(answer, LabError) for answer in truth.values())
    assert answers(ask_map(folder)) == truth
    lost(folder / "confirmation/shards/00000.parquet")
    found = answers(ask_map(folder))
    refused = {name for name, answer in found.items() if isinstance(answer, LabError)}
    assert refused == {"effects", "findings"}
    assert all(found[name] == truth[name] for name in truth if name not in refused)


def test_the_manifest_lists_all_that_a_result_depends_on(original):
    listed = set(manifest_of(original).files)
    there = {p.relative_to(original).as_posix() for p in original.rglob("*") if p.is_file()}
    assert there - listed == {MANIFEST, ".lock"}
    assert listed <= there


def test_what_a_manifest_does_not_list_is_not_of_the_run(original, folder):
    (folder / "controls-2").mkdir()
    shutil.copytree(folder / "controls-1", folder / "controls-2", dirs_exist_ok=True)
    assert len(rl.Map(folder).controls) == len(rl.Map(original).controls) == 1
    assert rl.Map(folder).effects().equals(rl.Map(original).effects())


def test_a_run_of_an_earlier_version_is_read_with_one_warning(original, folder, caplog):
    for name in (MANIFEST, "design.json"):
        (folder / name).unlink()
    run_module._tell_unsealed.cache_clear()
    with caplog.at_level(logging.WARNING):
        found = [rl.Map(folder).effects(), rl.Map(folder).effects()]
    assert all(effects.equals(rl.Map(original).effects()) for effects in found)
    (warning,) = caplog.messages
    assert "has no manifest.json" in warning
    assert "\n" not in warning
    small_map(folder)
    assert unlike(folder, original) == "", "the same command seals it"


@pytest.mark.parametrize("broken_off", ["in its discovery", "at its end"])
def test_commands_say_that_a_run_is_not_finished(
    original, folder, tmp_path, capsys, caplog, monkeypatch, broken_off
):
    (folder / MANIFEST).unlink()
    if broken_off == "in its discovery":
        for name in ("confirmation", "controls-1", "doses", "shards"):
            shutil.rmtree(folder / name)
        (folder / "shards").mkdir()
    monkeypatch.setattr("webbrowser.open", lambda _: pytest.fail("opened"))
    for arguments in (
        ["report", str(folder)],
        ["open", str(folder)],
        ["open", str(folder), "--live"],
        ["video", str(folder), "--lesion", "h0", "--out", str(tmp_path / "x.mp4")],
        ["live", str(folder), "--no-open"],
        ["compare", str(folder), str(original)],
        ["compare", str(original), str(folder)],
    ):
        assert main(arguments) == 2, arguments
        told = capsys.readouterr().err
        assert told == (
            f"rl-ablation: {folder} is not finished; run the same map command again to finish it\n"
        )
    assert (folder / "effects.csv").read_text() == "of the intact map"
    assert not (tmp_path / "x.mp4").exists()
    assert not caplog.messages
