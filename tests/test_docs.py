"""What the README and the pages promise; that the site builds is `make docs`."""

import json
import re
from pathlib import Path

import pytest

from experiments.cli import main

HOUSE = Path(__file__).parent.parent
PAGES = [HOUSE / "README.md", *sorted((HOUSE / "docs").rglob("*.md"))]


def test_the_readme_is_short():
    assert len((HOUSE / "README.md").read_text().splitlines()) <= 200


@pytest.mark.parametrize("page", PAGES, ids=[str(p.relative_to(HOUSE)) for p in PAGES])
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        made = target.endswith("api/index.rst")  # by the build
        assert made or "://" in target or (page.parent / target).exists(), target


def test_every_study_has_a_page_with_its_question(capsys):
    assert main(["list", "studies", "--json"]) == 0
    for name, question in json.loads(capsys.readouterr().out).items():
        page = (HOUSE / "docs" / "studies" / f"{name}.md").read_text()
        assert page.startswith("# ")
        assert f"**{question}**" in page
