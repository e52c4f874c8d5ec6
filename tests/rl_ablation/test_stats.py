"""Statistics on plain numbers."""

import ast
from pathlib import Path

import rl_ablation
from rl_ablation import stats


def test_one_name_one_meaning():
    """LEVEL once was 0.95 in one file and 0.05 in another."""
    assert stats.LEVEL == 0.05
    assert stats.COVERAGE == 0.95
    package = Path(rl_ablation.__file__).parent
    for path in [*package.rglob("*.py"), *(package.parent / "experiments").rglob("*.py")]:
        for node in ast.parse(path.read_text()).body:
            for target in getattr(node, "targets", []):
                name = getattr(target, "id", "")
                assert name not in ("LEVEL", "COVERAGE") or path.name == "stats.py", path
