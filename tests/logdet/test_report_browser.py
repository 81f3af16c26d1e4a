"""A report of the shipped bundle as a browser shows it: complete, alone, and on a phone."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from logdet.cli import main
from tests.browser import Browser

SECTIONS = ("scores", "calibration", "rows", "drift", "facts")
PHONE = 390
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
# Told by the page in a frame to the one around it, which may not look into it.
MEASURE = """<script>addEventListener("load", () => parent.postMessage(
  [document.documentElement.scrollWidth, innerWidth].join(" of "), "*"))</script></body>"""
AROUND = f"""<!doctype html><body style="margin:0"><script>
addEventListener("message", (told) => {{ document.body.dataset.width = told.data }})</script>
<iframe src="FRAMED" width="{PHONE}" height="4000" style="border:0"></iframe></body>"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Browser:
    return Browser.find(tmp_path_factory.mktemp("browser"))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn rows, of which the last hundred are moved."""
    folder = tmp_path_factory.mktemp("report")
    rows, page = folder / "rows.csv", folder / "report.html"
    run("sample", "shuttle", "-n", 1500, "--seed", 3, "-o", rows)
    header, *lines = rows.read_text().splitlines()
    cells = np.array([line.split(",") for line in lines], dtype=float)
    cells[-100:, 0] += 30.0
    rows.write_text("\n".join([header, *(",".join(f"{v:g}" for v in row) for row in cells)]))
    run("report", "shuttle", rows, "-o", page)
    return page


def run(*args: object) -> None:
    result = CliRunner().invoke(main, [str(arg) for arg in args])
    assert result.exit_code == 0, result.stderr


def test_everything_is_there_and_nothing_is_asked_for(browser: Browser, report: Path) -> None:
    dom, complaints = browser.read(report)
    assert complaints == []
    assert re.findall(r'<section id="(\w+)"', dom) == list(SECTIONS)
    assert dom.count('<svg class="chart"') == 3
    assert dom.count('<div class="reason">') >= 10
    assert not re.search(r"<(script|link|img|iframe|object)|url\(|@import|https?://", dom)


def test_a_page_that_asks_for_something_is_found_out(browser: Browser, report: Path) -> None:
    nosy = report.with_name("nosy.html")
    asks = '<img src="http://127.0.0.1:9/a.png"></main>'
    nosy.write_text(report.read_text().replace("</main>", asks))
    _, complaints = browser.read(nosy)
    assert any("Content Security Policy" in line for line in complaints)


def test_there_is_something_to_see_in_light_and_dark(browser: Browser, report: Path) -> None:
    light, dark = (browser.look(report, (1100, 1400), dark=is_dark) for is_dark in (False, True))
    for picture in (light, dark):
        assert len(np.unique(picture.reshape(-1, picture.shape[2]), axis=0)) > 500
        # Neither the histogram nor the plot beside it is empty.
        for side in (slice(40, 530), slice(570, 1060)):
            part = picture[250:600, side, :3]
            assert part.reshape(-1, 3).std(axis=0).min() > 0.02
    assert light[..., :3].mean() > 0.8
    assert dark[..., :3].mean() < 0.3


@pytest.mark.parametrize("too_wide", [False, True])
def test_a_phone_needs_no_scrolling_sideways(
    browser: Browser, report: Path, too_wide: bool
) -> None:
    framed, around = report.with_name("framed.html"), report.with_name("around.html")
    page = POLICY.sub("", report.read_text()).replace("</body>", MEASURE)
    if too_wide:
        page = page.replace("<main>", '<main><div style="width: 500px">wide</div>')
    framed.write_text(page)
    around.write_text(AROUND.replace("FRAMED", framed.name))
    dom, _ = browser.read(around)
    width = re.search(r'data-width="(\d+) of (\d+)"', dom)
    assert width is not None
    assert int(width[2]) == PHONE
    assert (int(width[1]) > PHONE) == too_wide
