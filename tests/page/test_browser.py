"""The pages in a real browser: they load alone, and everything on them works by pointer and by key."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clipfiles import with_form
from plotting import ELEVEN, HOSTILE, invoke, make_run, moving, renamed, run_of
from timelines import make_timeline

from skeltools.page import document, timeline
from skeltools.skeletons import Form, load

webdriver = pytest.importorskip("selenium.webdriver", reason="the extra 'browser' is not installed")
from selenium.common.exceptions import WebDriverException  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import Select, WebDriverWait  # noqa: E402

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")

pytestmark = pytest.mark.skipif(
    BROWSER is None or DRIVER is None, reason="chromium or chromedriver is not installed"
)

QUIET = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--disable-default-apps", "--disable-extensions",
)  # fmt: skip
"""A browser that shows nothing and asks nobody anything of its own accord."""


class Page:
    """A page in the browser."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, path: Path, width: int = 1200, height: int = 900) -> Page:
        self.driver.get_log("performance")
        self.driver.get_log("browser")
        self.resize(width, height)
        self.driver.get(path.resolve().as_uri())
        self.wait(lambda: self.js("return document.documentElement.dataset.ready") == "yes")
        return self

    def resize(self, width: int, height: int) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def fits(self, width: int) -> None:
        """Wait until nothing is wider than that many pixels: pictures are drawn anew some time after a change."""
        self.wait(lambda: self.js("return document.documentElement.scrollWidth") <= width)

    def wait(self, condition: Any) -> None:
        WebDriverWait(self.driver, 60, poll_frequency=0.05).until(lambda _: condition())

    def js(self, text: str, *arguments: Any) -> Any:
        return self.driver.execute_script(text, *arguments)

    def one(self, selector: str) -> Any:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[Any]:
        return list(self.driver.find_elements(By.CSS_SELECTOR, selector))

    def texts(self, selector: str) -> list[str]:
        found = self.js(
            "return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent)", selector
        )
        return list(found)

    def button(self, text: str, within: str = "body") -> Any:
        return next(one for one in self.all(f"{within} button") if one.text == text)

    def chooser(self, label: str, within: str) -> Any:
        found = next(one for one in self.all(f"{within} label") if one.text.startswith(label))
        return Select(found.find_element(By.TAG_NAME, "select"))

    def press(self, selector: str, *keys: str) -> None:
        element = self.one(selector)
        self.js("arguments[0].focus()", element)
        element.send_keys(*keys)

    def pixels(self, selector: str) -> str:
        return str(self.js("return document.querySelector(arguments[0]).toDataURL()", selector))

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        self.driver.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, **more})

    def middle(self, selector: str) -> tuple[float, float]:
        box = self.js(
            "const one = document.querySelector(arguments[0]); one.scrollIntoView({block: 'center'});"
            "const box = one.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]",
            selector,
        )
        return box[0], box[1]

    def faults(self) -> list[str]:
        """Return what the console complained about."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Return every address that was asked for since the page was opened."""
        found = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                address = message["params"]["request"]["url"]
                if not address.startswith("data:"):
                    found.append(address)
        return found


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for word in (*QUIET, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    try:
        made = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    except WebDriverException as error:
        pytest.skip(f"chromium does not start here: {' '.join(str(error.msg).split())[:200]}")
    yield made
    made.quit()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of two runs on one file."""
    folder = tmp_path_factory.mktemp("report")
    shutil.copytree(make_run(tmp_path_factory)[1], folder / "first")
    shutil.copytree(make_run(tmp_path_factory)[1], folder / "second")
    result = invoke("page", str(folder), "--out", str(folder / "report.html"))
    assert result.exit_code == 0, result.output
    return folder / "report.html"


@pytest.fixture
def page(driver: Any, report: Path) -> Page:
    return Page(driver).open(report)


CANVAS = "#player canvas"


def test_it_loads_without_a_complaint_or_a_request_and_every_section_is_there(
    page: Page, report: Path
) -> None:
    titles = ["Results", "Run", "Clips", "Confusions", "Features", "Curves", "What was run"]
    assert page.texts("h2") == titles
    assert page.texts("nav a") == titles
    page.wait(lambda: page.js("return document.querySelectorAll('#curves svg path').length") >= 4)
    assert page.faults() == []
    assert page.requests() == [report.resolve().as_uri()]


def test_a_table_sorts_by_its_heading_with_pointer_and_key(page: Page) -> None:
    page.one("#results summary").click()
    table = "#results details table"
    column = page.texts(f"{table} thead th").index("pretrained") + 1
    cells = f"{table} tbody td:nth-child({column})"
    page.all(f"{table} thead button")[column - 1].click()
    down = [float(text) for text in page.texts(cells)]
    assert down == sorted(down, reverse=True)
    assert len(set(down)) > 1
    assert page.one(f"{table} th[aria-sort]").get_attribute("aria-sort") == "descending"
    page.press(f"{table} thead th:nth-child({column}) button", Keys.ENTER)
    assert [float(text) for text in page.texts(cells)] == down[::-1]


def test_the_player_plays_pauses_and_scrubs(page: Page) -> None:
    first = page.pixels(CANVAS)
    page.chooser("speed", "#player").select_by_index(0)  # slow enough to be caught before it starts again
    for _ in range(5):
        page.button("play").click()
        page.wait(lambda: page.one(CANVAS).get_attribute("data-frame") not in ("0", None))
        page.button("pause").click()
        frame = page.one(CANVAS).get_attribute("data-frame")
        if frame != "0":  # where it is again when the last frame was seen and the pause came a frame later
            break
    assert page.pixels(CANVAS) != first
    assert page.one(CANVAS).get_attribute("data-frame") == frame
    scrub = page.one("#player input[type=range]")
    page.js("arguments[0].value = 9; arguments[0].dispatchEvent(new Event('input'))", scrub)
    assert page.one(CANVAS).get_attribute("data-frame") == "9"
    assert page.texts("#player .clock") == ["10 / 16"]
    page.js("arguments[0].value = 0; arguments[0].dispatchEvent(new Event('input'))", scrub)
    assert page.pixels(CANVAS) == first


def test_a_drag_and_the_views_turn_the_skeleton(page: Page) -> None:
    before = page.pixels(CANVAS)
    x, y = page.middle(CANVAS)
    page.mouse("mousePressed", x, y, button="left", clickCount=1)
    page.mouse("mouseMoved", x + 60, y + 10, button="left")
    page.mouse("mouseReleased", x + 60, y + 10, button="left", clickCount=1)
    assert page.one(CANVAS).get_attribute("data-view") == "50.0 13.0"
    assert page.pixels(CANVAS) != before
    page.mouse("mouseMoved", x + 160, y + 10)
    assert page.one(CANVAS).get_attribute("data-view") == "50.0 13.0"  # the button is up
    for name, view in {"front": "0.0 0.0", "side": "90.0 0.0", "top": "0.0 89.0"}.items():
        page.button(name).click()
        assert page.one(CANVAS).get_attribute("data-view") == view


def test_the_keyboard_is_enough_for_the_player(page: Page) -> None:
    first, clip = page.pixels(CANVAS), page.one(CANVAS).get_attribute("data-clip")
    page.press(CANVAS, Keys.ARROW_LEFT, Keys.ARROW_UP)
    assert page.one(CANVAS).get_attribute("data-view") == "12.0 16.0"
    assert page.pixels(CANVAS) != first
    page.press(CANVAS, ".", ".", ".", ",")
    assert page.one(CANVAS).get_attribute("data-frame") == "2"
    page.press(CANVAS, Keys.END)
    assert page.one(CANVAS).get_attribute("data-frame") == "15"
    page.press(CANVAS, "n")
    assert page.one(CANVAS).get_attribute("data-clip") != clip
    page.press(CANVAS, "p")
    assert page.one(CANVAS).get_attribute("data-clip") == clip
    bigger = page.pixels(CANVAS)
    page.press(CANVAS, "+", "+")
    assert page.pixels(CANVAS) != bigger
    page.press(CANVAS, " ")
    page.wait(lambda: page.one(CANVAS).get_attribute("data-frame") != "0")
    page.press(CANVAS, " ")
    assert page.texts("#player .play") == ["play"]
    reached = page.js(
        "return [...document.querySelectorAll('button, select, input, canvas, svg, summary, a')]"
        ".filter((one) => one.tabIndex < 0 && !one.hidden).length"
    )
    assert reached == 0


def test_the_mistake_filter_and_the_others_filter(page: Page) -> None:
    listing = "#player select.list"
    everything = page.texts(f"{listing} option")
    wrong = [text for text in everything if text.startswith("✗")]
    assert 0 < len(wrong) < len(everything) == 12
    page.button("mistakes only").click()
    assert page.texts(f"{listing} option") == wrong
    assert page.texts("#player .about .wrong") == ["wrong: "]
    page.button("mistakes only").click()
    assert page.texts(f"{listing} option") == everything
    page.chooser("class", "#player").select_by_index(1)
    some = page.texts(f"{listing} option")
    assert 0 < len(some) < 12
    page.one("#player input[type=search]").send_keys("R003")
    assert all("R003" in text for text in page.texts(f"{listing} option"))


def test_salience_and_parts_are_two_colourings(page: Page) -> None:
    salience = page.pixels(CANVAS)
    assert page.all("#player .ramp")
    page.button("colour by salience").click()
    assert page.pixels(CANVAS) != salience
    assert "right arm" in "".join(page.texts("#player .legend"))


def test_a_confusion_is_told_on_hover_and_by_key_and_filters_the_player(page: Page) -> None:
    canvas = "#confusion canvas"
    page.press(canvas, Keys.ARROW_DOWN)
    tip = page.texts("#tip")[0]
    assert tip.startswith("true: ")
    assert "predicted: " in tip
    page.press(canvas, Keys.ARROW_RIGHT)
    assert page.texts("#tip")[0] != tip
    x, y = page.middle(canvas)
    page.mouse("mouseMoved", x - 250, y - 20)
    page.wait(lambda: page.js("return document.getElementById('tip').hidden") is False)
    page.press(canvas, Keys.ARROW_LEFT, Keys.ENTER)
    page.wait(lambda: len(page.texts("#player select.list option")) < 12)


def test_the_embedding_tells_a_clip_filters_by_class_and_opens_the_player(page: Page) -> None:
    canvas = "#embedding canvas"
    assert page.one(canvas).get_attribute("data-points") == "12"
    all_pixels = page.pixels(canvas)
    chooser = page.chooser("class", "#embedding")
    chooser.select_by_index(1)
    assert page.pixels(canvas) != all_pixels
    assert page.one(canvas).get_attribute("data-shown") in {"3", "4"}
    chooser.select_by_index(0)
    page.press(canvas, Keys.ARROW_RIGHT)
    told = page.texts("#tip")[0]
    assert "class: " in told
    page.press(canvas, Keys.ENTER)
    clip = page.one(CANVAS).get_attribute("data-clip")
    assert clip in told
    page.button("colour right and wrong").click()
    assert page.pixels(canvas) != all_pixels


def test_a_curve_tells_its_values_and_leaves_lines_out(page: Page) -> None:
    svg = "#curves svg"
    page.wait(lambda: len(page.all(f"{svg} path")) >= 4)
    page.press(svg, Keys.ARROW_RIGHT)
    assert page.texts("#tip")[0].startswith("step 1\ntotal: ")
    x, y = page.middle(svg)
    page.mouse("mouseMoved", x, y)
    page.wait(lambda: "step" in page.texts("#tip")[0])
    first = "#curves > div > div > div"
    before = len(page.all(f"{first} svg path"))
    page.button("salient", "#curves").click()
    assert len(page.all(f"{first} svg path")) == before - 1


def test_what_breaks_an_encoder_is_drawn(driver: Any, report: Path, tmp_path: Path) -> None:
    """Accuracy by severity, both reliability diagrams, and the heat map of missing parts with its correlation."""
    line = {"name": HOSTILE[0], "severities": ["0", "0.01", "0.2"], "values": [70, 65.5, 12]}
    bins = {
        "name": "joint, ECE 9.0",
        "confidence": [20, 60, 96.5],
        "accuracy": [10, 50, 80],
        "clips": [3, 5, 40],
    }
    values = json.loads(report.read_text().split('id="values">')[1].split("</script>")[0]) | {
        "broken": {
            "severities": [{
                "title": "nwucla xview", "families": [
                    {"name": "noise", "lines": [line]},
                    {"name": "turn", "lines": [line | {"severities": ["0", "15", "90"]}]},
                ],
            }],
            "reliability": [{"title": "nwucla xview", "bins": 15, "lines": [
                bins | {"kind": "as it is"}, bins | {"kind": "after temperature"},
            ]}],
            "parts": [{
                "title": "joint", "told": "rank correlation of accuracy lost and salience: +0.50", "clips": [40, 8],
                "classes": ["sit", HOSTILE[1]], "parts": ["trunk", "left arm"], "lost": [[0, 12.5], [-20, 2]],
                "salience": [[0.4, 0.6], [0.5, 0.5]], "colours": ["#0072b2", "#d55e00"],
            }],
        }
    }  # fmt: skip
    document.write(tmp_path / "broken.html", "broken", values)
    page = Page(driver).open(tmp_path / "broken.html")
    page.chooser("corruption", "#broken").select_by_visible_text("turn")
    assert "top-1 under turn, %" in page.texts("#broken h3")
    page.press("#broken svg", Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert page.one("#tip").text == f"severity 15\n{HOSTILE[0]}: 65.5"
    assert [text for text in page.texts("#broken h3") if "confidence" in text] == [
        "as it is: accuracy by confidence, %", "after temperature: accuracy by confidence, %",
    ]  # fmt: skip
    sizes = page.js(
        "return [...document.querySelectorAll('.reliability circle')].map((one) => +one.getAttribute('r'))"
    )
    assert len(sizes) == 6
    assert sizes[0] < sizes[1] < sizes[2]
    assert page.texts("#parts tbody tr:nth-child(2) td") == ["8", "-20", "+2", "0.500", "0.500"]
    shades = page.js(
        "return [...document.querySelectorAll('#parts td.heat')].map((one) => one.style.background)"
    )
    assert shades[0] == "rgb(255, 255, 255)"  # nothing lost
    assert len(set(shades[:2] + shades[4:6])) == 4
    assert page.one("#parts p").text == "rank correlation of accuracy lost and salience: +0.50."
    assert page.js("return window.hacked") is None
    page.resize(390, 900)
    page.fits(390)
    assert page.faults() == []


def test_another_run_can_be_chosen(page: Page) -> None:
    assert page.texts("#settings td")[0].endswith("first")
    page.chooser("run", "#run").select_by_index(1)
    assert page.texts("#settings td")[0].endswith("second")
    assert page.faults() == []


def test_the_player_draws_other_skeletons_more_bodies_and_flat_clips(
    driver: Any, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = make_run(tmp_path_factory)[0]
    seen = []
    for name, bodies, flat in ((ELEVEN, 3, False), ("mediapipe33", 1, False), ("coco17", 2, True)):
        form = Form(load(name), bodies, 16)
        clips = np.stack([moving(form.skeleton, bodies, flat, row) for row in range(32)])
        there = with_form(data, tmp_path / f"{form.skeleton.name}.h5", form, clips.astype(np.float32))
        out = tmp_path / f"{form.skeleton.name}.html"
        assert invoke("view", str(there), "--out", str(out)).exit_code == 0
        page = Page(driver).open(out, 360, 800)
        page.fits(360)
        legend = page.texts("#player .legend > span")
        assert legend[: len(form.skeleton.parts)] == list(form.skeleton.parts)
        told = legend[len(form.skeleton.parts) :]
        third = "third with 1 short dash between long ones"
        assert told == {
            "eleven": [f"second body dashed, {third}, set 1.2 m apart"],
            "coco17": ["second body dashed, set 1.2 m apart", "2-D, seen from the front"],
        }.get(form.skeleton.name, [])
        page.press(CANVAS, Keys.ARROW_LEFT)
        view = page.one(CANVAS).get_attribute("data-view")
        assert view == ("0.0 0.0" if flat else "12.0 8.0")
        assert any(one.text == "side" for one in page.all("#player button")) != flat
        assert page.faults() == []
        seen.append(page.pixels(CANVAS))
    assert len(set(seen)) == 3


@pytest.mark.parametrize("width", [360, 1200])
def test_it_fits_a_phone_and_a_desk_in_light_and_dark(page: Page, width: int) -> None:
    page.resize(width, 800)
    page.fits(width)
    light = page.js("return getComputedStyle(document.body).backgroundColor")
    media = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    assert page.js("return getComputedStyle(document.body).backgroundColor") != light
    page.one("#theme").click()
    assert page.js("return getComputedStyle(document.body).backgroundColor") == light
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_hostile_names_are_shown_as_text(
    driver: Any, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = renamed(make_run(tmp_path_factory)[0], tmp_path / "hostile.h5")
    run = run_of(data, tmp_path / HOSTILE[0].replace("/", "_"), epochs=1)
    shutil.copytree(run / "results", tmp_path / "kept")
    pages = {"report.html": ["page", str(run), "--points", "12"], "view.html": ["view", str(data)]}
    for name, words in pages.items():
        result = invoke(*words, "--out", str(tmp_path / name))
        assert result.exit_code == 0, result.output
        page = Page(driver).open(tmp_path / name)
        assert page.js("return window.hacked") is None
        assert page.all("img, main b b, main script") == []
        assert page.js("return document.documentElement.scrollWidth") <= 1200
        assert page.faults() == []
        assert page.requests() == [(tmp_path / name).resolve().as_uri()]
    listed = "".join(page.texts("#player select.list option"))
    assert HOSTILE[0] in listed
    for name in HOSTILE:
        page.js(
            "const list = document.querySelector('#player select.list');"
            "const values = JSON.parse(document.getElementById('values').textContent);"
            "const at = values.runs[0].player.clips"
            ".findIndex((one) => values.clips[one.clip].name === arguments[0]);"
            "list.value = at; list.dispatchEvent(new Event('change'))",
            name,
        )
        assert page.texts("#player .about bdi")[0] == name
        assert page.one(CANVAS).get_attribute("data-clip") == name
    assert set(HOSTILE[:4]) <= set(page.texts("#classes td bdi"))
    page.resize(360, 800)
    page.fits(360)


def test_the_timeline_and_the_player_follow_each_other(driver: Any, tmp_path: Path) -> None:
    found = make_timeline()
    values = timeline.gather(found, Form(load("kinect2"), 2, 64), Path("runs/joint"))
    document.write(tmp_path / "t.html", "timeline", values)
    page = Page(driver).open(tmp_path / "t.html")
    assert page.texts("h2") == ["Recording", "Frames by class", "The recording"]
    assert page.texts(".about .score bdi") == ["class 0", "class 1", "class 2"]
    strip = "#player canvas.timeline"
    before = page.pixels(strip)
    page.press(strip, Keys.END)
    assert page.one(strip).get_attribute("data-frame") == "199"
    assert page.one("#player canvas").get_attribute("data-frame") == "199"
    assert page.pixels(strip) != before
    _, y = page.middle(strip)
    left, width = page.js(
        "const box = document.querySelector(arguments[0]).getBoundingClientRect(); return [box.x, box.width]",
        strip,
    )
    label = min(190, width * 0.32)
    at = left + label + 0.3525 * (width - label - 2)
    page.mouse("mousePressed", at, y, button="left", clickCount=1)
    page.mouse("mouseReleased", at, y, button="left", clickCount=1)
    assert page.one("#player canvas").get_attribute("data-frame") == "70"
    assert "window of frames 60 to 79: all-zero: nobody" in page.texts(".about p")
    page.press("#player canvas", ".")
    assert page.one(strip).get_attribute("data-frame") == "71"
    assert page.faults() == []
    assert page.requests() == [(tmp_path / "t.html").resolve().as_uri()]


SCROLLED = """
return [...document.querySelectorAll("main *")].filter((one) => {
  const look = getComputedStyle(one);
  const across = /auto|scroll/.test(look.overflowX) && one.scrollWidth > one.clientWidth + 1;
  const down = /auto|scroll/.test(look.overflowY) && one.scrollHeight > one.clientHeight + 1;
  return (across || down) && one.tagName !== "SELECT";
}).map((one) => [one.className, one.tabIndex, one.getAttribute("role"), one.getAttribute("aria-label")]);
"""


def test_a_long_table_is_part_of_the_page_and_its_headings_stay_in_sight(page: Page) -> None:
    page.one("#settings summary").click()
    table = "#settings details table"
    rows = len(page.all(f"{table} tbody tr"))
    assert rows > 60
    assert page.js(SCROLLED) == []
    page.js(f"document.querySelectorAll('{table} tbody tr')[40].scrollIntoView({{block: 'start'}})")
    head = page.js(
        "const box = document.querySelector(arguments[0]).getBoundingClientRect();"
        "return [box.top, document.elementFromPoint(box.left + 5, box.top + 5).closest('thead') !== null]",
        f"{table} thead th",
    )
    assert head == [0, True]


def test_on_a_phone_a_wide_table_is_reached_by_keys(driver: Any, report: Path) -> None:
    """What axe calls scrollable-region-focusable."""
    page = Page(driver).open(report, 390, 800)
    for summary in page.all("summary"):
        summary.click()
    page.wait(lambda: len(page.js(SCROLLED)) > 0)
    boxes = page.js(SCROLLED)
    assert all(
        name == "table wide" and tab == 0 and role == "region" and label for name, tab, role, label in boxes
    )
    page.fits(390)
    page.resize(1200, 900)
    page.wait(lambda: page.js("return document.querySelectorAll('.table[tabindex]').length") <= 1)


def test_the_name_of_a_button_holds_its_text(page: Page) -> None:
    """What axe calls label-content-name-mismatch."""
    names = page.js(
        "return [...document.querySelectorAll('button')].filter((one) => /[a-z]/i.test(one.textContent)).map((one) => "
        "[one.textContent.trim(), one.getAttribute('aria-label')])"
    )
    assert ["light / dark", None] in names
    assert [pair for pair in names if pair[1] is not None and pair[0].lower() not in pair[1].lower()] == []


def test_print_shows_everything_on_white(driver: Any, report: Path) -> None:
    page = Page(driver).open(report)
    page.js("document.documentElement.dataset.theme = 'dark'")
    page.js("dispatchEvent(new Event('beforeprint'))")
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        page.resize(700, 1000)
        assert page.all("details:not([open])") == []
        assert page.js(SCROLLED) == []
        hidden = page.js(
            "return [...document.querySelectorAll('tbody tr')].filter((one) => {"
            " const box = one.getBoundingClientRect(), holder = one.closest('.table').getBoundingClientRect();"
            " return box.height === 0 || box.bottom > holder.bottom + 1 || box.right > innerWidth + 1; }).length"
        )
        assert hidden == 0
        assert page.js("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    finally:
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    page.js("dispatchEvent(new Event('afterprint'))")
    assert page.js("return document.documentElement.dataset.theme") == "dark"
    assert len(page.all("details:not([open])")) >= 2
    pages = driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": False})["data"]
    assert base64.b64decode(pages).count(b"/Type /Page\n") >= 4


def test_titles_are_not_folded_to_their_tables_and_a_phone_cuts_nothing_of_a_run(
    driver: Any, report: Path
) -> None:
    page = Page(driver).open(report, 390, 800)
    assert page.all("caption") == []
    widths = page.js(
        "return [...document.querySelectorAll('p.caption')].map(one => [one.scrollWidth, one.clientWidth, "
        "one.nextElementSibling.querySelector('table').getAttribute('aria-label'), one.textContent])"
    )
    assert widths
    for whole, there, label, text in widths:
        assert whole <= there
        assert label == text.replace("\n", ", ")
    assert (
        page.js(
            "return [...document.querySelectorAll('table.facts')].filter(one => one.offsetWidth > "
            "one.parentElement.clientWidth).length"
        )
        == 0
    )
    matrix = page.js("return document.querySelector('canvas[aria-label^=\"Confusion\"]').clientHeight")
    assert matrix <= 390  # a square as wide as the phone, without an empty half below it


def test_salience_stands_out_from_the_page(page: Page) -> None:
    """Of viridis, purple is nearly the dark page's colour, and yellow nearly the light one's."""
    purple, yellow = "rgb(68, 1, 84)", "rgb(253, 231, 37)"
    for theme, there, lacking in (("light", purple, yellow), ("dark", yellow, purple)):
        page.js(
            f"document.documentElement.dataset.theme = '{theme}'; dispatchEvent(new Event('themechange'))"
        )
        shown = page.js("return document.querySelector('.ramp').style.background")
        assert (there in shown, lacking in shown) == (True, False), shown
