"""What notebooks show: the facts, small, and nothing that a name from a file could inject."""

from html.parser import HTMLParser

import pytest

import rl_ablation as rl
from rl_ablation import markup
from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.mapping.run import Run
from rl_ablation.reports.words import Finding, Findings

EVIL = """<script>alert("x")</script>'"></td></table><img src=x onerror=alert(1)>"""
ALLOWED = {"p", "b", "table", "thead", "tbody", "tr", "th", "td", "ul", "li"}


class Page(HTMLParser):
    """The tags of a page, their attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text, self.open = [], set(), "", []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.open.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data + " "


def page(value):
    """What a notebook shows of it, after checking that it is plain."""
    found = Page(value._repr_html_())
    assert set(found.tags) <= ALLOWED
    assert found.attributes <= {"class", "style"}
    assert found.tags.count("tr") <= 1 + markup.MOST
    return found


@pytest.fixture
def evil(policy):
    """A policy whose file says something else than a name."""
    card = policy.card.model_copy(update={"name": EVIL, "algorithm": EVIL, "seed": 0, "steps": 0})
    return policy.with_card(card.model_copy(update={"scores": {"return": 1.5, "episodes": EVIL}}))


def test_a_policy(policy, evil):
    text = page(policy).text
    assert "small" in text
    assert "h0 h1 action 18 12 10 2" in text
    found = page(evil)
    assert found.text.count(EVIL) == 3, "its name, its algorithm and its episodes"
    assert "0 steps of training, seed 0" in found.text


def test_a_plan(policy):
    text = page(rl.layers(policy)).text
    assert "of 2 cuts" in text
    assert "h0 12 h0: 0, 1, 2, 3, 4, 5, 6, 7, … zero layers" in text
    many = rl.singles(policy)
    assert f"… and {22 - markup.MOST} more." in page(many).text
    named = Plan([Lesion(name=EVIL, cut={"h0": (0,), EVIL: (1,)}, group=EVIL)])
    assert page(named).text.count(EVIL) == 3
    assert "of 0 cuts" in page(Plan()).text


def test_findings():
    found = Findings([Finding("a", 1, "a: 1 → 0", EVIL), Finding("b", 2, "b: 1", "b does nothing")])
    assert page(found).text.split("  ")[0].startswith(EVIL[:8])
    assert page(found[1]).text == "b does nothing b: 1 "
    assert page(found).tags == ["ul", "li", "li"]
    assert "No cut" in page(Findings()).text


def test_a_run_and_a_map(evil, policy, small_sweep, activity, tmp_path):
    plan = rl.layers(policy) + Plan([Lesion(name=EVIL, cut={"h0": tuple(range(12))})])
    run = small_sweep(plan, tmp_path / "run", agent=evil, episodes=8)
    found = page(run)
    assert EVIL in found.text
    assert "3 cuts × 8 episodes, seed 0" in found.text
    assert "candidates" in found.text
    told = run.effects()
    assert (told["q"] < 0.05).any(), "or the table is not tested"
    assert found.tags.count("tr") > 1
    assert Page(Run(run.folder)._repr_html_()).tags == ["p", "b"]
    confirmed = rl.lesion_map(
        policy, rl.layers(policy), episodes=12, controls=0, conditions=("ring/cw",), horizon=60,
        folder=tmp_path / "map", activity=activity, progress=False, threads=1,
    )  # fmt: skip
    assert confirmed.confirmation is not None
    assert "Confirmed on fresh seeds" in page(confirmed).text
    compared = rl.compare(run, small_sweep(rl.layers(policy), tmp_path / "b", episodes=8, seed=5))
    found = page(compared)
    assert found.text.startswith(EVIL)
    assert f"Without a counterpart in {EVIL}: {EVIL}." in found.text
    run.shard_path(0).unlink()
    assert "missing; run the same map command again to mend it" in page(rl.Map(run.folder)).text
    (run.folder / "manifest.json").unlink()
    assert "not finished" in page(rl.Map(run.folder)).text
