"""The page of a small experiment in a real browser, at the width of a desk and of a telephone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.chromium import browser, resize, screenshot, scrolls_sideways
from tests.support.command import rlem

WIDTHS = (1280, 390)

EXPERIMENT = """
name = "corridor"
title = "A small experiment with every kind of row"
environment = "corridor"
baseline = "LLM only"
static = "Static exemplars"
whole = "Rememberer, empty at first"
train = ["0:5", "5:10"]
initial = ["E0", "E1"]

[size]
test = "12:20"
seeds = 2
epochs = 2

[[initials]]
name = "E0"
tasks = "10:11"

[[initials]]
name = "E1"
tasks = "11:12"

[[rows]]
name = "LLM only"
agent = "llm-only"

[[rows]]
name = "Static exemplars"
agent = "static"

[[rows]]
name = "Rememberer"
curve = true

[[rows]]
name = "Rememberer, empty at first"
initial = ["none"]
curve = true

[[rows]]
name = "ReAct"
agent = "react"

[[rows]]
name = "Random actions"
agent = "random"

[[rows]]
name = "A row with a name that is much too long for a telephone"
group = "Retrieval"
initial = ["none"]
agent_options = { k = 1 }
note = "One exemplar at most."

[[rows]]
name = "2 training tasks"
group = "Training"
initial = ["none"]
train = ["0:2"]

[[rows]]
name = "Early tasks"
group = "Training"
initial = ["none"]
train = ["0:5"]
later = ["5:10"]
retest = true
curve = true
"""


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    """One browser for all tests here."""
    with browser() as driver:
        yield driver


@pytest.fixture(scope="module")
def page(driver: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page that the command leaves, made only where there is a browser."""
    folder = tmp_path_factory.mktemp("experiment")
    (folder / "corridor.toml").write_text(EXPERIMENT)
    done = rlem("reproduce", "corridor.toml", "--workers", "1", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "experiments" / "corridor" / "report.html"


@pytest.fixture
def artefacts(tmp_path: Path) -> Path:
    """Where the pictures go: RLEM_ARTIFACTS, else a folder of the test's own."""
    return Path(os.environ.get("RLEM_ARTIFACTS") or tmp_path)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_fits_the_screen(driver: Any, page: Path, artefacts: Path, width: int) -> None:
    """Nothing is wider than the screen, folded or not, every picture is seen, no words of a picture leave it
    or are tiny, and the browser has nothing to complain about."""
    resize(driver, width)
    driver.get(page.as_uri())
    screenshot(driver, artefacts / f"experiment-{width}.png")
    assert not scrolls_sideways(driver)
    driver.execute_script("document.querySelectorAll('details').forEach(e => e.open = true)")
    assert not scrolls_sideways(driver)
    sizes = driver.execute_script(
        "return [...document.querySelectorAll('figure > svg')].map(e => e.getBoundingClientRect())"
        ".map(b => [b.left, b.right, b.height])"
    )
    assert len(sizes) > 6
    for left, right, height in sizes:
        assert 0 <= left < right <= width
        assert right - left > min(280, width / 2)
        assert height > 60
    words = driver.execute_script(
        "return [...document.querySelectorAll('figure > svg text')]"
        ".filter(e => e.getClientRects().length).map(e => {"
        "const b = e.getBoundingClientRect(), f = e.closest('figure').getBoundingClientRect();"
        "return [e.textContent, b.left - f.left, f.right - b.right, b.height]})"
    )
    assert words
    for text, left, right, height in words:
        assert left >= -1, text
        assert right >= -1, text
        assert height >= 12, text
    assert driver.get_log("browser") == []


def test_every_part_is_there_and_can_be_reached(driver: Any, page: Path) -> None:
    """The contents name what such an experiment has, each entry leads to its heading, the file is small."""
    resize(driver, WIDTHS[0])
    driver.get(page.as_uri())
    links = driver.find_elements("css selector", "nav a")
    parts = [link.get_attribute("href").rpartition("#")[2] for link in links]
    assert parts == [
        *("says", "table", "differences", "parts", "stability", "curves", "training", "kept", "memory"),
        *("cost", "episodes", "obtained"),
    ]
    for link, part in zip(links, parts, strict=True):
        link.click()
        top = driver.execute_script(f"return document.getElementById('{part}').getBoundingClientRect().top")
        assert -1 <= top < 900
    body = driver.find_element("css selector", "body").text
    assert "ReAct\nthe embedded reader is a program" in body
    assert "rlem reproduce corridor.toml" in body
    assert page.stat().st_size < 1_500_000


def test_the_page_in_the_dark(driver: Any, page: Path, artefacts: Path) -> None:
    """Where the reader's screen is dark, the page is, and the words in pictures are light."""
    resize(driver, WIDTHS[0])
    media = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    try:
        driver.get(page.as_uri())
        screenshot(driver, artefacts / "experiment-dark.png")
        paper, ink = driver.execute_script(
            "return [getComputedStyle(document.body).backgroundColor,"
            "getComputedStyle(document.querySelector('figure svg text.name')).fill]"
        )
    finally:
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    brightness = [sum(map(int, colour[4:-1].split(","))) / 3 for colour in (paper, ink)]
    assert brightness[0] < 60
    assert brightness[1] > 180
