"""The live page in a real browser: opened from a file, played by mouse, by keys and by link."""

import ast
import json
import re

import numpy as np
import pytest
from conftest import turned
from scipy.stats import binomtest

import rl_ablation as rl
from agents.zoo import find_agent
from experiments.browser import FLAGS, IN_3D, WITHOUT_3D, executable, lacking, until
from rl_ablation.errors import LabError
from rl_ablation.lesions.lesion import Lesion, Plan
from rl_ablation.mapping.map import Map
from rl_ablation.reports import live as live_page
from rl_ablation.reports.labels import labels
from rl_ablation.rollouts.episodes import Episode
from rl_ablation.rollouts.recording import run_jobs

LACKS = lacking() or live_page.missing()
browsed = pytest.mark.skipif(bool(LACKS), reason=f"needs a browser and the bundle: {LACKS}")
PATIENCE = 120  # s, for machines that are busy
ALONG = Lesion(name="h1/way", directions={"h1": turned(64, 1)}, kind="mean")
TOLD = Lesion(
    name="h0/few→h1/some", cut={"h0": (0, 2, 4)}, to={"h1": (1, 3)}, kind="mean",
    group="connections",
)  # fmt: skip
SOME = Lesion(name="h1/then", cut={"h1": (0,)}, kind="mean", moments=(0, 5))
LOADS = ('agent = rl.load("lap")',)
CRASHES = Lesion(name="x", cut={"h1": tuple(range(4, 52))}, kind="clamp", strength=-0.7)
CRASHES_LINK = "cut=h1:4-51&kind=clamp&strength=-0.7&condition=bends/cw"


@pytest.fixture(scope="module")
def browsers(browser):
    """Whether it draws in 3D → a browser. Without, all goes faster on machines that only emulate
    a graphics card."""
    path, start = executable(), browser.browser_type.launch  # playwright starts once in a thread
    drawing, plain = (start(executable_path=path, args=[*FLAGS, x]) for x in (IN_3D, WITHOUT_3D))
    yield {True: drawing, False: plain}
    drawing.close()
    plain.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Name → a page's file: of two agents, and of a run."""
    folder = tmp_path_factory.mktemp("pages")
    lap = find_agent("lap")
    some = ["bends/cw", "ring/ccw"]
    cuts = rl.clusters(lap, k=3) + rl.sensors(lap) + Plan([ALONG, TOLD, SOME])
    run = rl.sweep(lap, cuts, episodes=2, horizon=60, conditions=some, folder=folder / "run")
    rl.live(lap, folder / "lap.html", conditions=some, load=LOADS)
    rl.live(find_agent("quadruped"), folder / "quadruped.html", conditions=["forward"])
    rl.live(run, folder / "run.html")
    return {name: folder / f"{name}.html" for name in ("lap", "quadruped", "run")} | {"map": run}


class Opened:
    """A page in the browser, with what it said and asked for."""

    def __init__(self, browser, path, address="", **how):
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **how})
        self.context.set_default_timeout(PATIENCE * 1000)
        self.page = self.context.new_page()
        self.errors, self.requests = [], []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._said)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(f"{path.as_uri()}#{address}")
        self.until("document.documentElement.dataset.ready")

    def _said(self, message):
        if message.type == "error":
            self.errors.append(message.text)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.context.close()

    def ask(self, script):
        return self.page.evaluate(script)

    def until(self, script):
        try:
            return until(self.page, script, PATIENCE)
        except TimeoutError:
            raise AssertionError((script, self.errors)) from None

    def text(self, where):
        return self.page.text_content(where)

    def cut(self):
        return self.ask(
            "Object.fromEntries(Object.entries(lab.state.cut).filter(([, u]) => u.size)"
            ".map(([s, u]) => [s, [...u].sort((a, b) => a - b)]))"
        )

    def unit(self, site, unit):
        return self.page.locator(f'.grid[data-site="{site}"] [data-unit="{unit}"]')

    def address(self):
        """The page's address, which follows the state after a moment."""
        self.ask("lab.writeAddress()")
        return self.ask("location.hash")

    def copied(self, button):
        """What a button copies."""
        self.context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.page.click(button)
        self.until("document.getElementById('copied').textContent.includes('copied')")
        return self.ask("navigator.clipboard.readText()")


@pytest.fixture
def opened(browsers, pages):
    """Open a page by name, drawn in 3D or not; all are closed in the end."""
    made = []

    def open_(name, address="", *, drawn=False, **how):
        made.append(Opened(browsers[drawn], pages[name], address, **how))
        return made[-1]

    yield open_
    for one in made:
        assert one.errors == []
        one.context.close()


# It opens, and asks for nothing.


@browsed
@pytest.mark.parametrize("name", ["lap", "quadruped", "run"])
def test_opens_from_a_file_without_errors_or_requests(opened, pages, name):
    page = opened(name, drawn=True)
    page.until("lab.stepped > 10")
    page.until("lab.stage !== null && lab.stage.renderer.info.render.frame > 4")
    assert len(page.requests) == 1
    assert page.requests[0].startswith("file://")
    assert pages[name].stat().st_size < 5_000_000


@browsed
def test_nothing_can_be_fetched(opened):
    page = opened("lap")
    page.ask(
        "window.refused = []; addEventListener('securitypolicyviolation',"
        " (e) => refused.push(e.effectiveDirective))"
    )
    script = "fetch('http://127.0.0.1:9/x').then(() => 'got', () => 'refused')"
    assert page.ask(script) == "refused"
    page.ask(
        "for (const tag of ['img', 'iframe', 'script']) {"
        " const it = document.createElement(tag); it.src = 'http://127.0.0.1:9/x';"
        " document.body.append(it); }"
    )
    page.until("refused.length >= 4")
    assert {"connect-src", "img-src", "frame-src"} <= set(page.ask("refused"))
    later = "try { eval('1'); say('ran'); } catch { say('refused'); }"
    assert page.ask(f"new Promise((say) => setTimeout(() => {{ {later} }}))") == "refused"
    page.errors.clear()  # the browser tells of what it refused


@browsed
def test_without_3d_all_else_works(opened):
    page = opened("lap")
    assert page.ask("lab.stage") is None
    assert page.page.is_visible("#no-3d")
    page.until("lab.stepped > 10")


# Cuts by mouse.


@browsed
def test_a_click_cuts_and_another_heals(opened):
    page = opened("lap")
    page.unit("h1", 0).click()
    page.unit("h1", 5).click()
    page.page.select_option("#kind", "zero")
    assert page.cut() == {"h1": [0, 5]}
    page.until("location.hash.includes('cut=h1:0,5&kind=zero')")
    assert page.unit("h1", 5).get_attribute("aria-selected") == "true"
    assert page.unit("h1", 0).get_attribute("aria-label") == "h1 unit 0, cut"
    stepped = page.ask("lab.stepped")
    page.until(f"lab.stepped > {stepped} + 3")
    of = "Array.from(lab.race.{}.robot.policy.activity.h1)"
    intact, cut = (np.array(page.ask(of.format(name))) for name in ("intact", "cut"))
    assert (cut[[0, 5]] == 0).all()
    assert (cut != 0).sum() > 50
    assert (intact[[0, 5]] != 0).all()
    page.unit("h1", 0).click()
    assert page.cut() == {"h1": [5]}
    page.page.click("#heal")
    assert page.cut() == {}


@browsed
def test_a_drag_cuts_many_and_a_name_cuts_all(opened):
    page = opened("lap")
    first, last = page.unit("h0", 0).bounding_box(), page.unit("h0", 6).bounding_box()
    page.page.mouse.move(first["x"] + 4, first["y"] + 4)
    page.page.mouse.down()
    page.page.mouse.move(last["x"] + 4, last["y"] + 4, steps=20)
    page.page.mouse.up()
    page.page.mouse.move(last["x"] + 60, last["y"] + 40)
    assert page.cut() == {"h0": list(range(7))}
    page.page.click("text=action, motors (2)")
    assert page.cut() == {"h0": list(range(7)), "action": [0, 1]}
    page.page.click("text=action, motors (2)")
    assert page.cut() == {"h0": list(range(7))}


@browsed
def test_a_region_of_the_run_is_cut(opened, pages):
    page, run = opened("run"), pages["map"]
    region = run.plan["h1/cluster-1"]
    page.page.select_option("#region", region.name)
    assert page.cut() == {"h1": sorted(region.cut["h1"])}
    assert f"region={region.name}" in page.address()
    assert region.name in page.text("#cut-name")
    assert "says the run" in page.text("#loss")
    page.page.select_option("#region", "obs/2")
    assert page.cut() == {"obs": [2]}
    assert page.text("#cut-name").startswith("without lidar")
    page.unit("obs", 2).hover()
    page.until("document.getElementById('detail').textContent.includes('Without it:')")


@browsed
def test_a_direction_of_the_run_is_cut(opened):
    page = opened("run")
    page.page.select_option("#region", ALONG.name)
    assert page.text("#cut-name").startswith("without the direction way of layer h1")
    page.page.select_option("#kind", "mean")
    assert "region=h1/way&kind=mean" in page.address()
    assert page.cut() == {}
    loads = np.array(ALONG.directions["h1"][0])
    shown = page.page.locator('.grid[data-site="h1"] :is(.plus, .minus)').count()
    assert shown == (np.abs(loads) >= 0.04 * np.abs(loads).max()).sum() > 50
    most = int(np.argmax(np.abs(loads)))
    assert "100 % of the largest" in page.unit("h1", most).get_attribute("aria-label")
    assert page.page.locator('.grid[data-site="h0"] :is(.plus, .minus)').count() == 0
    page.until("lab.race.steps > 3 && document.getElementById('marks').textContent !== ''")
    h1 = np.array(page.ask("Array.from(lab.race.cut.robot.policy.activity.h1)"))
    mean = page.ask("lab.state.more.directions.h1.mean[0]")
    assert h1 @ loads == pytest.approx(mean, abs=1e-4)
    page.unit("h1", most).hover()
    page.until("document.getElementById('detail').textContent.includes('Its loading on the dir')")
    page.unit("h1", 5).click()
    assert page.cut() == {"h1": [5]}, "a click begins a cut of units"
    assert page.ask("lab.state.more") is None
    assert page.page.locator(".plus").count() == 0


@browsed
def test_a_connection_of_the_run_is_cut(opened, pages):
    page = opened("run", "region=h0/few%E2%86%92h1/some&kind=mean")
    assert page.text("#cut-name") == "without what 3 units of h0 tell 2 units of h1 (mean)"
    assert page.page.input_value("#region") == TOLD.name
    option = page.text(f'#region option[value="{TOLD.name}"]')
    assert option == f"{labels(pages['map'])[TOLD.name]} (3 units → 2 units)"
    ends = ((".tells", "h0", (0, 2, 4)), (".hears", "h1", (1, 3)))
    for mark, site, units in ends:
        marked = page.page.locator(f'.grid[data-site="{site}"] {mark}')
        assert marked.evaluate_all("x => x.map((e) => +e.dataset.unit)") == list(units)
        assert page.page.locator(mark).count() == len(units)
    assert page.page.locator(".arrows .line").count() == 1
    page.until("lab.race.steps > 3 && document.getElementById('marks').textContent !== ''")
    assert "who tells" in page.text("#marks")
    made = {}
    exec("\n".join(page.text("#command").splitlines()[:4]), made)
    assert made["cut"].key == TOLD.key
    names = page.ask("[...document.querySelectorAll('#region option')].map((o) => o.value)")
    assert SOME.name not in names, "the page has too few moments for it"
    page.page.click("#heal")
    assert page.page.locator(".tells, .hears, .arrows .line").count() == 0
    assert page.text("#cut-name") == "nothing cut yet"


@browsed
def test_a_kind_a_strength_and_a_condition(opened):
    page = opened("lap", "cut=h0:1&condition=bends/cw")
    page.page.select_option("#kind", "gain")
    page.page.fill("#strength", "2.5")
    assert "kind=gain&strength=2.5" in page.address()
    page.page.fill("#when", "bend < -0.1")
    assert page.ask("lab.state.when") == "bend < -0.1"
    page.page.fill("#when", "bent > 1")
    assert "no signal “bent”" in page.text("#when-problem")
    page.page.fill("#when", "bend >")
    assert "write SIGNAL OPERATOR NUMBER" in page.text("#when-problem")
    assert page.ask("lab.state.when") == "bend < -0.1", "what cannot be read changes nothing"
    page.page.fill("#when", "")
    page.page.fill("#onset", "3")
    assert page.ask("lab.state.onset") == 60
    page.page.click("#restart")
    page.page.select_option("#speed", "1000")
    early = "lab.race.steps > 5 && lab.race.steps < 55 && lab.race.cut.robot.cut"
    page.until(f"lab.race.steps > 70 || ({early})")
    assert page.ask("lab.race.cut.robot.cut")


# A link says it all.


@browsed
def test_a_link_makes_the_cut(opened, pages):
    how = "kind=clamp&strength=-0.5&when=bend%20%3E%200.15&onset=40"
    page = opened("lap", f"cut=obs:3,5-7;h1:0&{how}&condition=bends/cw&seed=7")
    assert page.cut() == {"obs": [3, 5, 6, 7], "h1": [0]}
    state = page.ask("({...lab.state, cut: 0})")
    assert state == {
        "cut": 0, "kind": "clamp", "strength": -0.5, "when": "bend > 0.15", "onset": 40,
        "condition": "bends/cw", "seed": 7, "overlay": False, "more": None,
    }  # fmt: skip
    assert page.ask("lab.race.cut.robot.start.seed") == 7
    link = page.copied("#copy-link")
    assert link.startswith("file://")
    told = "#" + link.partition("#")[2]
    page.ask("location.hash = 'cut=h0:2&kind=mean&condition=ring/ccw'")
    page.until("lab.state.kind === 'mean'")
    assert page.cut() == {"h0": [2]}
    assert page.ask("lab.race.cut.robot.start.seed") == page.ask("lab.state.seed")
    page.ask(f"location.hash = {json.dumps(told)}")
    page.until("lab.state.kind === 'clamp'")
    assert page.ask("({...lab.state, cut: 0})") == state
    assert page.cut() == {"obs": [3, 5, 6, 7], "h1": [0]}
    wrong = "cut=h9:1;h1:99,2-1,x&kind=none&strength=x&condition=no&seed=-3&when=%00&region=a"
    page.ask(f"location.hash = {json.dumps(wrong)}")
    page.until("lab.state.kind !== 'clamp'")
    assert page.cut() == {}
    assert page.ask("lab.state.condition") == "bends/cw"
    region = opened("run", "region=h1/cluster-0&kind=resample&seed=3")
    assert region.cut()["h1"] == sorted(pages["map"].plan["h1/cluster-0"].cut["h1"])


@browsed
def test_the_copied_lines_run(opened, tmp_path, monkeypatch, capsys):
    page = opened("lap", "cut=h1:0,5;obs:2&kind=noise&strength=0.5&when=bend%20%3C%200&onset=4")
    lines = page.copied("#copy-command")
    assert lines == page.text("#command")
    assert "episodes=24" in lines
    short = lines.replace("episodes=24", "episodes=2, horizon=40")
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    exec(compile(short, "the page's lines", "exec"), {})
    assert "forward_speed" in capsys.readouterr().out
    (folder,) = (tmp_path / "runs").iterdir()
    lesion = Map(folder).plan.lesions[1]
    assert lesion.cut == {"h1": (0, 5), "obs": (2,)}
    how = lesion.kind, lesion.strength, lesion.onset, lesion.when
    assert how == ("noise", 0.5, 4, "bend < 0")


# What it does to behaviour.


@browsed
def test_gauges_move(opened):
    page = opened("lap")
    numbers = "[...document.querySelectorAll('.cut-number')].map((e) => e.textContent)"
    page.until("lab.race.steps > 5")
    before = page.ask(numbers)
    page.until("lab.race.steps > 40")
    page.until(f"{numbers}.some((text, k) => text !== {json.dumps(before)}[k])")
    assert page.page.locator(".gauge").count() == len(before) >= 3
    drawn = (
        "[...document.querySelectorAll('.gauge canvas')].map((c) =>"
        " c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((x) => x > 0))"
    )
    assert all(page.ask(drawn))
    assert "usually" in page.text(".gauge")


@browsed
def test_the_robot_crashes_as_often_as_in_the_lab(opened):
    seeds = range(20)
    trace = run_jobs(find_agent("lap"), ["crash"], [Episode(CRASHES, s, "bends/cw") for s in seeds])
    crashed = trace["crash"].max(0) > 0
    low, high = binomtest(int(crashed.sum()), len(seeds)).proportion_ci()
    assert 0.2 < crashed.mean() < 0.9, "a cut that crashes sometimes can be told from others"
    page = opened("lap", CRASHES_LINK)
    page.page.uncheck("#lidar")
    page.page.select_option("#speed", "1000")
    page.until("lab.race.cut.episodes >= 20")
    counts = page.ask("lab.race.cut.counts")
    page.page.select_option("#speed", "1")
    assert low <= counts["crash"] / sum(counts.values()) <= high
    assert page.ask("lab.race.intact.counts.crash ?? 0") == 0
    page.until("document.getElementById('counts').textContent.includes('Cut robot: ')")
    page.unit("h0", 0).click()
    assert page.ask("lab.race.cut.episodes") == 0, "another cut is counted anew"


@browsed
def test_starts_change_after_an_end_or_stay(opened):
    page = opened("lap", f"{CRASHES_LINK}&seed=3")
    page.page.select_option("#speed", "1000")
    page.until("lab.state.seed !== 3")
    page.page.uncheck("#onward")
    seed = page.ask("lab.state.seed")
    ended = page.ask("lab.race.cut.episodes")
    page.until(f"lab.race.cut.episodes > {ended} + 1")
    assert page.ask("lab.state.seed") == seed == int(page.page.input_value("#seed"))


# Everything by keys.

FOCUSABLE = "button:not(:disabled), select, input, [tabindex='0'], summary"


@browsed
@pytest.mark.parametrize("name", ["quadruped", "run"])
def test_every_control_is_reached_by_keys_and_shows_its_focus(opened, name):
    page = opened(name, "cut=h1:1")
    page.page.press("body", ".")
    wanted = page.ask(
        f"[...document.querySelectorAll({FOCUSABLE!r})].filter((e) => e.checkVisibility())"
        ".map((e, k) => (e.dataset.key = k)).length"
    )
    seen = set()
    for _ in range(wanted + 3):
        page.page.keyboard.press("Tab")
        told = page.ask(
            "(() => { const e = document.activeElement, s = getComputedStyle(e);"
            " return [e.dataset.key, s.outlineStyle, parseFloat(s.outlineWidth), e.labels?.length"
            " || e.textContent.trim() || e.getAttribute('aria-label')]; })()"
        )
        if told[0] is None:
            continue
        seen.add(told[0])
        assert told[1] != "none", told
        assert told[2] >= 2, told
        assert told[3], f"{told} has no name"
    assert len(seen) == wanted > 20


@browsed
def test_keys_play_step_and_cut(opened):
    page = opened("lap")
    press = page.page.keyboard.press
    assert page.text("#play") == "Pause"
    press("Space")
    assert page.text("#play") == "Play"
    steps = page.ask("lab.race.steps")
    press(".")
    assert page.ask("lab.race.steps") == steps + 1
    press("r")
    assert page.ask("lab.race.steps") == 0
    press("o")
    assert page.ask("lab.state.overlay") is True
    page.unit("h1", 0).focus()
    press("ArrowDown")
    press("ArrowRight")
    press("Space")
    press("Shift+ArrowRight")
    press("Enter")
    press("ArrowLeft")
    press("Enter")
    press("Enter")
    assert page.cut() == {"h1": [9]}
    assert page.ask("lab.playing") is False, "the space bar cut a unit, and did not play"


@browsed
def test_the_camera_turns_by_keys_and_by_mouse(opened):
    page = opened("lap", drawn=True)
    page.ask("lab.play(false)")
    page.page.focus("#canvas")
    page.page.keyboard.press("Tab")
    page.page.keyboard.press("Shift+Tab")
    assert page.ask("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    before = page.ask("[lab.stage.azimuth, lab.stage.elevation, lab.stage.distance]")
    for key in ("ArrowRight", "ArrowUp", "+"):
        page.page.keyboard.press(key)
    turned = page.ask("[lab.stage.azimuth, lab.stage.elevation, lab.stage.distance]")
    assert turned[0] < before[0]
    assert turned[1] > before[1]
    assert turned[2] < before[2]
    box = page.page.locator("#canvas").bounding_box()
    page.page.mouse.move(box["x"] + 200, box["y"] + 150)
    page.page.mouse.down()
    page.page.mouse.move(box["x"] + 300, box["y"] + 150, steps=3)
    page.page.mouse.up()
    assert page.ask("lab.stage.azimuth") < turned[0]


@browsed
def test_the_quadruped_obeys_keys_and_sliders_and_is_pushed(opened):
    page = opened("quadruped")
    page.page.focus("body")
    page.page.keyboard.down("a")
    page.page.keyboard.down("ArrowUp")
    high = page.ask("lab.data.scene.commands.high")
    for robot in ("cut", "intact"):  # a step may have been made between the two keys
        page.until(f"`${{lab.race.{robot}.robot.command}}` === '{high[0]},0,{high[2]}'")
    page.page.keyboard.up("a")
    page.page.keyboard.up("ArrowUp")
    page.until("lab.race.cut.robot.command.every((x) => x === 0)")
    page.page.locator("#sliders input").nth(1).fill("0.2")
    page.until("lab.race.cut.robot.command[1] === 0.2")
    page.page.click("#command-back")
    page.until("lab.race.cut.robot.command[0] > 0.3")
    page.page.click("#play")
    page.page.click("#push-left")
    page.page.click("#step")
    pushed = "lab.race.runners.map(({robot}) => robot.pushed)"
    assert page.ask(pushed) == [True, True]
    assert page.ask("lab.race.cut.robot.physics.field('xfrc_applied').some((f) => f !== 0)")
    for _ in range(5):
        page.page.click("#step")
    assert page.ask(pushed) == [False, False]
    assert page.ask("lab.race.cut.robot.physics.field('xfrc_applied').every((f) => f === 0)")


# For everybody.


@browsed
@pytest.mark.parametrize(
    ("name", "scheme"), [("lap", "light"), ("quadruped", "dark"), ("run", "dark")]
)
def test_a_phone_needs_no_sideways_scrolling(opened, name, scheme):
    size = {"width": 420, "height": 800}
    drawn = name == "lap"
    page = opened(name, "cut=h1:0-20;h0:3-40", drawn=drawn, viewport=size, color_scheme=scheme)
    page.until("lab.stepped > 2")
    assert page.ask("document.documentElement.scrollWidth") <= 420
    assert page.ask("lab.stage?.size.stacked ?? 'no 3D'") == (True if drawn else "no 3D")
    style = page.ask("(({color, backgroundColor}) => [color, backgroundColor])(getComputedStyle"
                     "(document.documentElement))")  # fmt: skip
    light = [sum(map(int, re.findall(r"\d+", c)[:3])) for c in style]
    assert (light[0] < light[1]) == (scheme == "light")


@browsed
def test_less_motion_starts_paused(opened):
    page = opened("lap", reduced_motion="reduce")
    assert page.text("#play") == "Play"
    assert page.ask("lab.stepped") == 0


RUNS = "window.pwned=1"
HOSTILE = f"</script><script>{RUNS}</script><img src=x onerror='{RUNS}'>\"'&amp;\\{{{{ data }}}}"


@browsed
def test_names_of_strangers_inject_nothing(browsers, pages, tmp_path):
    run = pages["map"]
    data = live_page.page_data(run)
    (condition, *_) = data["scene"]["conditions"]
    about = data["scene"]["conditions"].pop(condition)
    data["scene"]["conditions"] = {HOSTILE: {**about, "label": HOSTILE}}
    data["intact"] = {}
    data["agent"] = data["world"] = HOSTILE
    data["names"]["obs"][0] = HOSTILE
    region = data["run"]["regions"][0]
    region["name"] = region["label"] = HOSTILE
    region["effects"] = [
        {"label": HOSTILE, "unit": HOSTILE, "intact": 1.0, "lesioned": 2.0, "low": None,
         "high": None, "better": 1, "clear": True}
    ]  # fmt: skip
    data["run"]["regions"][1] |= {"label": f"b{HOSTILE}", "effects": region["effects"]}
    data["run"]["findings"] = [{"region": HOSTILE, "text": HOSTILE}]
    path = tmp_path / "hostile.html"
    path.write_text(live_page.page(data))
    with Opened(browsers[False], path) as page:
        page.page.locator("#findings button").click()
        page.unit(*next((s, u[0]) for s, u in region["cut"].items())).hover()
        page.until("lab.stepped > 3 && document.getElementById('detail').childElementCount > 1")
        assert page.ask("window.pwned") is None
        assert page.errors == []
        assert len(page.requests) == 1
        assert page.ask("document.title") == f"Live: {HOSTILE}"
        for where in ("#agent", "#cut-name", "#findings", "#detail", "#condition"):
            assert HOSTILE in page.text(where), where
        lines = ast.parse(page.text("#command"))
        told = [n.value for n in ast.walk(lines) if isinstance(n, ast.Constant)]
        assert told.count(HOSTILE) == 2, "the lesion's name and the condition"
        again = page.address().removeprefix("#")
        page.page.select_option("#region", data["run"]["regions"][1]["name"])
        assert page.text("#loss").startswith(f"Without b{HOSTILE}, says the run: {HOSTILE} 1.00")
        assert page.ask("window.pwned") is None
    with Opened(browsers[False], path, again) as page:
        assert page.cut() == {s: sorted(u) for s, u in region["cut"].items()}


# What there is no page of.


def test_what_cannot_be_played_is_said_in_a_line(policy, tmp_path, monkeypatch):
    elsewhere = policy.with_env("CartPole-v1")
    monkeypatch.setattr(live_page, "missing", lambda: "")
    with pytest.raises(LabError, match="CartPole-v1"):
        live_page.live(elsewhere, tmp_path / "x.html")
    monkeypatch.setattr(live_page, "missing", lambda: "the bundle is not built")
    with pytest.raises(LabError, match="make live"):
        live_page.live(policy, tmp_path / "x.html")
    assert list(tmp_path.iterdir()) == []
