"""The report as a page: what stands in it, what it asks of the net, what it does in a browser."""

import base64
import csv
import hashlib
import html
import json
import re
from typing import ClassVar

import gymnasium as gym
import imageio_ffmpeg
import numpy as np
import pytest
from conftest import CONDITIONS
from test_by_condition import COMMANDS, MEASURES, Cart

import rl_ablation as rl
from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.mapping.claims import changes, overall
from rl_ablation.mapping.kinds import in_kinds
from rl_ablation.policies.policy import Card
from rl_ablation.policies.storage import make_mlp
from rl_ablation.reports.figures import draw_all
from rl_ablation.reports.labels import film_name
from rl_ablation.reports.page import LIVE, against_random, live_link, script_json
from rl_ablation.reports.report import report
from rl_ablation.reports.sentences import sentences

KINDS = ["mean", "zero"]
PHONE, DESK = {"width": 420, "height": 900}, {"width": 1280, "height": 900}


def small_film(path):
    """A second of moving stripes, as small as a film can be."""
    path.parent.mkdir(exist_ok=True)
    writer = imageio_ffmpeg.write_frames(str(path), (64, 48), fps=10, macro_block_size=2)
    writer.send(None)
    for k in range(10):
        writer.send(np.roll(np.indices((48, 64, 3))[1] * 4 % 256, 3 * k, 1).astype(np.uint8))
    writer.close()


@pytest.fixture(scope="module")
def run(small_sweep, policy, tmp_path_factory):
    """A run in which much happens, in two kinds of cut, with a film of its first finding."""
    stop = Lesion(name="h1/stop", cut={"action": (0, 1)}, group="g")
    spin = Lesion(name="h1/spin", cut={"action": (0,)}, group="g")
    plan = in_kinds(Plan([stop, spin]) + rl.layers(policy) + rl.tiles(policy, 4), KINDS)
    plan += Plan([Lesion(name="zero action", cut={"action": (0, 1)}, group="baselines")])
    made = small_sweep(plan, tmp_path_factory.mktemp("page") / "run", episodes=12)
    small_film(made.folder / "films" / f"{film_name(rl.headlines(made)[0].lesion)}.mp4")
    small_film(made.folder / "films" / "h0.mp4")
    return made


@pytest.fixture(scope="module")
def page(run):
    return report(run, command="rl-ablation map <small> & co", live=True).read_text()


def read_data(page):
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return json.loads(found[1])


# What stands in it.


def test_findings_come_first_then_what_the_map_cannot_say(run, page):
    plain = [html.escape(f.sentence, quote=False) for f in rl.headlines(run)]
    page = page.replace("\xa0", " ")  # no line ends before a "%"
    places = [page.index(text) for text in plain]
    heads = re.findall(r"<h2>(.*?)</h2>", page)
    assert places == sorted(places)
    assert page.index("<h2>") > places[-1]
    assert heads[:3] == ["What this map cannot say", "The map", "Where in the network"]
    for text in (run.spec.digest, run.spec.policy_sha256, *CONDITIONS, "mujoco 4", "one network"):
        assert text in page
    assert "rl-ablation map &lt;small&gt; &amp; co" in page, "escaped"
    assert "/tmp" not in page


def test_it_is_one_file_that_asks_nothing_of_the_net(run, page):
    resources = re.findall(r"""\s(?:src|action|data-src|poster)\s*=\s*["']([^"']*)""", page)
    assert resources
    assert all(r.startswith("data:") for r in resources)
    assert all(h.startswith(LIVE) for h in re.findall(r'\shref="([^"]*)"', page))
    assert not re.search(r"https?://|@import|url\(|<link|<iframe|fetch\(|XMLHttp", page)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1]
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert len(scripts) == 1
    assert html.unescape(policy) == (
        "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def test_nothing_is_in_it_twice(run, page):
    films = sorted((run.folder / "films").glob("*.mp4"))
    assert page.count("data:video/mp4") == len(films) == 2
    drawn = [n for n in draw_all(run) if n not in ("heatmap", "network", "intervals")]
    assert page.count("data:image/png") == len(drawn)
    assert page.count("data:image/jpeg") == len(films), "a poster each"
    heavy = sum(len(x) for x in re.findall(r"base64,[\w+/=]+", page))
    assert len(page) - heavy < 500_000


def test_its_numbers_are_those_of_the_tables(run, page):
    data, rows = read_data(page), changes(run)
    assert [r["name"] for r in data["regions"]] == list(dict.fromkeys(rows["lesion"]))
    for row in rows.to_dict("records"):
        names = [m["name"] for m in data["measures"]]
        if row["measure"] not in names:  # only sums others up
            continue
        region = [r["name"] for r in data["regions"]].index(row["lesion"])
        cell = dict(zip(data["fields"], data["cells"][region][names.index(row["measure"])],
                        strict=True))  # fmt: skip
        for key in ("intact", "lesioned", "delta", "ci_low", "ci_high", "q"):
            value = np.nan if cell[key] is None else cell[key]
            assert value == pytest.approx(row[key], rel=1e-3, nan_ok=True)
        kinds = [data["kinds"][kind] for kind, _, _ in cell["agree"]]
        assert kinds == KINDS
    every, table = overall(run.effects(), controls=True), data["table"]
    assert len(table["values"]["q"]) == len(every)
    for column in ("delta", "p", "n"):
        here = sorted(x for x in table["values"][column] if x is not None)
        there = every[column][np.isfinite(every[column])]
        assert here == pytest.approx(sorted(there), rel=1e-5)


def test_every_finding_and_every_unit_leads_to_the_live_page_if_there_is_one(run, page):
    links = set(re.findall(r'href="([^"]*)"', page))
    for finding in rl.headlines(run):
        assert any(x.startswith(f"{LIVE}#region={finding.lesion}&amp;kind=mean") for x in links)
    units = {f"{LIVE}#cut={s}:{k}&amp;kind=mean" for s, n in (("h0", 12), ("h1", 10))
             for k in range(n)}  # fmt: skip
    assert units <= links
    assert live_link(region='a&b "c"', kind="", condition="bends/cw") == (
        "live.html#region=a%26b%20%22c%22&condition=bends/cw"
    )
    without = report(run, films=[]).read_text()
    assert LIVE not in without
    (run.folder / LIVE).write_text("there")
    assert LIVE in report(run, films=[]).read_text()
    (run.folder / LIVE).unlink()


@pytest.mark.parametrize(
    ("p", "draws", "beyond", "words"),
    [
        (2 / 101, 100, True, "does more than random cuts of its size (0 of 100 are as strong)"),
        (2 * 11 / 101, 100, False,
         "not shown to do more than random cuts of its size (10 of 100 are as strong)"),
        (1.0, 20, False,
         "not shown to do more than random cuts of its size (half or more of 20 are as strong)"),
        (2 / 21, 20, False, "no random cut of its size is as strong, but 20 are too few to tell"),
        (np.nan, np.nan, False, "not held against random cuts of its size"),
    ],
)  # fmt: skip
def test_a_region_is_held_against_random_cuts_in_words(p, draws, beyond, words):
    row = {"p_random": p, "draws": draws, "measure": "crash"}
    assert against_random([row]) == (beyond, words)
    other = {"p_random": 0.5, "draws": 100, "measure": "progress"}
    assert ("to crash" in against_random([row, other])[1]) is beyond


def test_json_in_a_page_ends_no_element():
    text = script_json({"a": "</script><!-- & \u2028"})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"a": "</script><!-- & \u2028"}
    with pytest.raises(ValueError, match="JSON"):
        script_json(float("nan"))


# In a browser.


@pytest.fixture
def opened(browser, run, page):
    """Open the report, ``opened(**context)``; at the end nothing may have gone wrong."""
    (run.folder / "report.html").write_text(page)
    address, wrong, contexts = (run.folder / "report.html").as_uri(), [], []

    def opening(viewport=DESK, **how):
        contexts.append(browser.new_context(viewport=viewport, **how))
        view = contexts[-1].new_page()
        view.on("console", lambda m: wrong.append(m.text) if m.type != "log" else None)
        view.on("pageerror", lambda e: wrong.append(str(e)))
        view.on("request", lambda r: wrong.append(r.url[:80]))
        view.goto(address)
        return view

    yield opening
    for context in contexts:
        context.close()
    assert [w for w in wrong if w != address and not w.startswith(("data:", "blob:"))] == []


@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_it_opens_wide_and_narrow_light_and_dark(opened, viewport, colours):
    view = opened(viewport, color_scheme=colours)
    view.click("text=Columns")
    view.click("[data-columns=all]")
    view.locator("#board tbody th button").first.click()
    assert view.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    paper = view.evaluate("getComputedStyle(document.body).backgroundColor")
    dark = max(map(int, re.findall(r"\d+", paper))) < 80
    assert dark is (colours == "dark")
    sizes = view.evaluate("[...document.querySelectorAll('.sentence')].map(e => e.clientWidth)")
    assert all(size > 300 for size in sizes)


def cell_of(view, run, measure):
    """The first region that has a claim in a measure, and its cell."""
    data = read_data((run.folder / "report.html").read_text())
    names = [m["name"] for m in data["measures"]]
    rows = changes(run)
    (row, *_) = rows[(rows["measure"] == measure) & (rows["q"] < 0.05)].to_dict("records")
    r = [x["name"] for x in data["regions"]].index(row["lesion"])
    place = f"#board tr[data-r='{r}'] td[data-m='{names.index(measure)}']"
    return row, view.locator(place)


def test_a_cell_tells_its_interval_by_pointer_key_and_finger(opened, run):
    view = opened()
    row, cell = cell_of(view, run, "jerkiness")
    tip = view.locator("#tip")
    assert tip.is_hidden()
    cell.hover()
    text = tip.inner_text()
    for part in (row["lesion"], "jerkiness", f"{row['delta']:.2f}".replace("-", "−"), "95 %",
                 "q = ", "mean: ", "zero: ", "holds under every kind"):  # fmt: skip
        assert part in text
    view.keyboard.press("Escape")
    assert tip.is_hidden()
    # One stop of the tab key; arrows from there.
    view.locator("#board [tabindex='0']").focus()
    first = tip.inner_text()
    view.keyboard.press("ArrowDown")
    second = tip.inner_text()
    view.keyboard.press("ArrowRight")
    assert len({first, second, tip.inner_text()}) == 3
    assert view.locator("#board td[tabindex='0']").count() == 1
    view.keyboard.press("Enter")
    assert view.locator(".detail").count() == 1
    touch = opened(PHONE, has_touch=True, is_mobile=True)
    row, cell = cell_of(touch, run, "jerkiness")
    cell.tap()
    assert row["lesion"] in touch.locator("#tip").inner_text()


def test_a_row_opens_its_film_and_its_link(opened, run):
    view = opened()
    name = rl.headlines(run)[0].lesion
    button = view.locator("#board th button", has_text=name).first
    button.click()
    assert button.get_attribute("aria-expanded") == "true"
    detail = view.locator(".detail")
    assert sentences(run)[name] in detail.inner_text()
    assert detail.locator("a").get_attribute("href").startswith(f"{LIVE}#region={name}&kind=")
    same = "document.querySelector('.detail video').src === document.querySelector('#{}').src"
    film = next(r for r in read_data(view.content())["regions"] if r["name"] == name)["film"]
    assert view.evaluate(same.format(film))
    other = view.locator("#board th button", has_text="h0/tile-0")
    other.click()
    assert view.locator(".detail").count() == 1, "one at a time"
    other.click()
    assert view.locator(".detail").count() == 0


def test_columns_are_few_at_first_and_can_be_chosen_and_ordered(opened, run):
    view = opened()

    def heads():
        return view.evaluate("[...document.querySelectorAll('#board thead th')].slice(1)"
                             ".filter(h => !h.hidden).map(h => +h.dataset.m)")  # fmt: skip

    data = read_data(view.content())
    few = [k for k, m in enumerate(data["measures"]) if m["few"]]
    assert heads() == few
    assert 3 < len(few) < len(data["measures"])
    first = {"forward_speed.alive", "left_turning.alive", "crash", "progress"}
    assert first <= {data["measures"][m]["name"] for m in few}
    view.click("text=Columns")
    view.click("[data-columns=all]")
    assert heads() == list(range(len(data["measures"])))
    view.click("[data-columns=few]")
    view.uncheck(f".choice input[data-m='{few[0]}']")
    assert heads() == few[1:]
    view.select_option("#order", "size")
    assert sorted(heads()) == few[1:]
    assert heads() != few[1:]
    rows = changes(run)
    size = rows["harm"].abs().where(rows["q"] < 0.05, 0.0).groupby(rows["measure"]).sum()
    sizes = [size[data["measures"][m]["name"]] for m in heads()]
    assert sizes == pytest.approx(sorted(sizes, reverse=True), rel=1e-3)
    view.select_option("#order", "given")
    assert heads() == few[1:]


def test_rows_are_sorted_by_a_column(opened, run):
    view = opened()
    order = "[...document.querySelectorAll('#board tbody tr')].map(r => +r.dataset.r)"
    given = view.evaluate(order)
    _, cell = cell_of(view, run, "jerkiness")
    head = view.locator(f"#board thead th[data-m='{cell.get_attribute('data-m')}']")
    data = read_data(view.content())
    harm, q = (data["fields"].index(k) for k in ("harm", "q"))
    line = [row[int(cell.get_attribute("data-m"))] for row in data["cells"]]
    values = {k: c[harm] if c[q] < 0.05 else 0 for k, c in enumerate(line)}
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    worst = view.evaluate(order)
    assert [values[r] for r in worst] == sorted(values[r] for r in given)
    head.locator("button").click()
    best = [values[r] for r in view.evaluate(order)]
    assert best == sorted(best, reverse=True)
    head.locator("button").click()
    assert view.evaluate(order) == given
    assert head.get_attribute("aria-sort") is None


def test_a_unit_tells_of_itself_and_is_linked(opened):
    view = opened()
    unit = view.locator("#network figure").first.locator("[data-site='h1'] [data-u='1']")
    unit.hover()
    text = view.locator("#tip").inner_text()
    assert text.startswith("h1, unit 1\nh1/tile-")
    assert unit.get_attribute("href") == f"{LIVE}#cut=h1:1&kind=mean"
    unit.focus()
    view.keyboard.press("ArrowRight")
    assert "unit 2" in view.locator("#tip").inner_text()
    bar = view.locator(".bars td").first
    bar.hover()
    assert "95 %" in view.locator("#tip").inner_text()


def shown_rows(view):
    return view.evaluate("[...document.querySelectorAll('#effects tbody tr')]"
                         ".map(r => [...r.cells].map(c => c.textContent))")  # fmt: skip


def test_the_table_is_sorted_filtered_and_taken_along(opened, run, tmp_path):
    view = opened()
    every = overall(run.effects(), controls=True)
    assert view.locator("#count").inner_text() == f"{len(every)} of {len(every)} rows"
    assert len(shown_rows(view)) == 100
    view.click("#further")
    assert len(shown_rows(view)) == min(len(every), 1100)
    heads = view.evaluate("[...document.querySelectorAll('#effects thead th')]"
                          ".map(h => [h.textContent, h.title])")  # fmt: skip
    assert all(title for _, title in heads)
    view.click("text=What the columns mean")
    assert view.locator("#legend dt").count() == len(heads)
    view.fill("#filter", "h1/stop forward~ ")
    assert view.locator("#count").inner_text().startswith("0 of")
    view.fill("#filter", "h1/stop forward")
    at = [h for h, _ in heads].index("delta")
    for ascending in (True, False):
        view.click("#effects thead th:has-text('delta') button")
        values = [float(r[at].replace("−", "-")) for r in shown_rows(view)]
        assert len(values) == 4, "two measures in two kinds"
        assert values == sorted(values, reverse=not ascending)
    view.check("#clear")
    clear = every[every["lesion"].str.startswith("h1/stop") & (every["q"] < 0.05)
                  & every["measure"].str.startswith("forward_speed")]  # fmt: skip
    assert len(shown_rows(view)) == len(clear) > 0
    with view.expect_download() as waiting:
        view.click("#csv")
    waiting.value.save_as(tmp_path / "effects.csv")
    with (tmp_path / "effects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(clear)
    kept = clear.set_index(["lesion", "measure"])
    for row in rows:
        wanted = kept.loc[(row["lesion"], row["measure"])]
        assert float(row["delta"]) == pytest.approx(wanted["delta"], rel=1e-5)
        assert row["kind"] == wanted["kind"]


def until(view, expression):
    """Whether it comes true within some seconds; the page's own policy forbids playwright's way."""
    for _ in range(50):
        if view.evaluate(expression):
            return True
        view.wait_for_timeout(100)
    return False


def test_films_play_while_they_are_seen_unless_no_motion_is_wanted(opened):
    view = opened()
    paused = "document.querySelector('video').paused"
    assert until(view, f"!{paused}")
    assert view.evaluate("document.querySelector('video').muted")
    view.evaluate("document.getElementById('all').scrollIntoView({behavior: 'instant'})")
    assert until(view, paused)
    still = opened(reduced_motion="reduce")
    still.wait_for_timeout(300)
    assert still.evaluate("[...document.querySelectorAll('video')].every(v => v.paused)")


def test_without_javascript_findings_figures_and_films_are_there(opened, run):
    view = opened(java_script_enabled=False)
    first = view.locator(".sentence").first.inner_text().replace("\xa0", " ")
    assert first == rl.headlines(run)[0].sentence
    for what in ("video", "#board", "#network svg", ".bars", ".picture video"):
        assert view.locator(what).first.is_visible(), what
    heads = view.locator("#board thead th")
    assert all(heads.nth(k).is_visible() for k in range(heads.count())), "all columns"
    assert not view.locator("#filter").is_visible()
    view.locator("summary").first.click()
    assert view.locator(".numbers").first.is_visible()


def test_it_prints_what_is_folded_and_no_buttons(opened):
    view = opened()
    view.emulate_media(media="print")
    view.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert view.locator(".numbers").first.is_visible()
    assert not view.locator("#filter, .acts, .chooser").first.is_visible()
    view.evaluate("dispatchEvent(new Event('afterprint'))")
    assert not view.locator(".numbers").first.is_visible()


# Names from files.

BAD = (
    "</script><script>window.hit = 1</script>",
    "\"><img src=x onerror='window.hit = 2'>",
    "' onmouseover='window.hit = 3' {{ 7 * 7 }}",
    "</style></title><svg onload='window.hit = 4'>",
    '=1+1,"&amp;',
)
HOSTILE = "tests/Hostile-v0"


class Hostile(Cart):
    """A world whose every name is an attack."""

    metadata: ClassVar = {
        **Cart.metadata,
        "conditions": {
            BAD[0]: {"measure": "vx_error", "words": BAD[1]},
            BAD[2]: {"measure": "vy_error", "words": BAD[3]},
            BAD[4]: {},
        },
        "observation_names": BAD[:2],
        "action_names": BAD[2:4],
    }

    def reset(self, *, seed=None, options=None):
        known = dict(zip(self.metadata["conditions"], COMMANDS, strict=True))
        asked = (options or {}).get("condition")
        return super().reset(seed=seed, options={"condition": known.get(asked)})


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    gym.register(HOSTILE, entry_point=Hostile, max_episode_steps=12)
    layers = [(np.eye(2, dtype=np.float32), np.zeros(2, np.float32))] * 2
    card = Card(name=BAD[0], env_id=HOSTILE, activation="identity", squash="clip")
    agent = make_mlp(layers, card, low=-np.ones(2), high=np.ones(2))
    cuts = [{"h0": (0,)}, {"h0": (1,)}, {"h0": (0, 1)}, {"obs": (0,)}, {"action": (1,)}]
    plan = Plan(Lesion(name=n, cut=c, group="g") for n, c in zip(BAD, cuts, strict=True))
    plan += rl.sensors(agent) + rl.motors(agent)
    folder = tmp_path_factory.mktemp("hostile") / "run"
    run = rl.sweep(agent, plan, folder=folder, episodes=24, seed=1, threads=1, progress=False,
                   measures=MEASURES)  # fmt: skip
    small_film(folder / "films" / "x.mp4")
    for finding in rl.headlines(run):
        small_film(folder / "films" / f"{film_name(finding.lesion)}.mp4")
    yield run
    del gym.registry[HOSTILE]


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_names_from_files_inject_nothing(browser, hostile, scripts):
    path = report(hostile, command=BAD[0], live=True)
    context, wrong = browser.new_context(java_script_enabled=scripts), []
    view = context.new_page()
    view.on("console", lambda m: wrong.append(m.text))
    view.on("pageerror", lambda e: wrong.append(str(e)))
    view.on("request", lambda r: wrong.append(r.url))
    view.goto(path.as_uri())
    text = view.locator("body").text_content()
    for name in BAD:
        assert name in text, "shown as it is"
    assert view.title() == f"{BAD[0]}: lesion map"
    assert view.locator("script").count() == 2
    assert view.locator("body img").count() == view.locator("img[src^='data:image/png']").count()
    for link in view.locator("a").evaluate_all("links => links.map(a => a.getAttribute('href'))"):
        assert re.fullmatch(rf"{LIVE}(#[\w%.,:/=&~-]*)?", link), link
    if scripts:
        buttons = view.locator("#board th button")
        for k in range(view.locator("#board tbody tr").count()):
            view.locator("#board tbody th button").nth(k).click()
            view.locator("#board tbody tr[data-r] td:not([hidden])").nth(k).hover()
        for k in range(view.locator("#network figure").count()):
            view.locator("#network figure").nth(k).locator("[data-u]").first.hover()
        assert buttons.count()
        with view.expect_download() as waiting:
            view.click("#csv")
        taken = waiting.value.path().read_text()
        assert '"\'=1+1,""&amp;' in taken, "no formula"
    assert view.evaluate("window.hit") is None
    assert [w for w in wrong if not w.startswith(("data:", "blob:", path.as_uri()))] == []
    context.close()
