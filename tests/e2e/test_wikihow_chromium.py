"""The phone in a real browser: whole tasks by tapping, at the width of a desk and of a telephone."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.chromium import (
    browser,
    next_page,
    press,
    resize,
    screenshot,
    scrolls_sideways,
    shop_server,
)

from rlem.environments.wikihow.env import WikiHow

pytest.importorskip("flask", reason="the site needs Flask: pip install 'rlem[web]'")

WIDTHS = (1280, 390)


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    """One browser for all tests here."""
    with browser() as driver:
        yield driver


@pytest.fixture(scope="module")
def world() -> WikiHow:
    """The app that the server shows, in this process."""
    return WikiHow.bundled(n_articles=150)


@pytest.fixture(scope="module")
def address(driver: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running server, started only where there is a browser."""
    folder = tmp_path_factory.mktemp("server")
    with shop_server("--articles", "150", cwd=folder, environment="wikihow") as address:
        yield address


@pytest.fixture
def artefacts(tmp_path: Path) -> Path:
    """Where the pictures go: RLEM_ARTIFACTS, else a folder of the test's own."""
    return Path(os.environ.get("RLEM_ARTIFACTS") or tmp_path)


def look(driver: Any, name: str, artefacts: Path) -> None:
    """Checks the page at both widths and takes its pictures."""
    for width in WIDTHS:
        resize(driver, width)
        assert not scrolls_sideways(driver), f"{name} at {width}"
        picture = artefacts / f"wikihow-{name}-{width}.png"
        screenshot(driver, picture)
        assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    resize(driver, WIDTHS[0])


def start(driver: Any, address: str, number: int) -> None:
    """Begins a task, counted from 0."""
    resize(driver, WIDTHS[0])
    driver.get(f"{address}?page={1 + number // 50}")
    press(driver, f"form[action='/tasks/{number + 1}'] button")


def send(driver: Any, action: str) -> None:
    """Does an action as a person does: types and presses Enter, or presses the button."""
    from selenium.webdriver.common.keys import Keys

    if typed := re.fullmatch(r"INPUT\((\d+), (.*)\)", action):
        selector = f"#type-{typed[1]} input[name=text], input[form=type-{typed[1]}]"
        field = driver.find_element("css selector", selector)
        field.clear()
        with next_page(driver):
            field.send_keys(typed[2], Keys.ENTER)
    else:
        press(driver, f"button[value='{action}']")


def text(driver: Any) -> str:
    """What a person can read on the page."""
    return str(driver.find_element("css selector", "body").text)


def kind_of(world: WikiHow, kind: str, goals: int) -> int:
    """The number of the first test task of a kind with so many sub-goals."""
    tasks = world.tasks("test")
    return next(
        number
        for number, task in enumerate(tasks)
        if task.kind == kind and len(world.definition(task).goals) == goals
    )


@pytest.mark.parametrize(("kind", "goals"), [("category", 4), ("author", 4), ("reference", 3), ("about", 3)])
def test_a_whole_task_by_tapping(
    driver: Any, address: str, world: WikiHow, artefacts: Path, kind: str, goals: int
) -> None:
    """The oracle's way is done by what the page offers and ends with its reward; no page is wider than the
    screen, the browser has nothing to complain about, and the next task begins from the end."""
    number = kind_of(world, kind, goals)
    task, phone = world.tasks("test")[number], world.spawn()
    step = phone.reset(task)
    driver.get(address)
    look(driver, "tasks", artefacts)
    start(driver, address, number)
    look(driver, "home", artefacts)
    for action in world.oracle(task):
        send(driver, action)
        step = phone.step(action)
        look(driver, phone.app.page.kind, artefacts)
        assert step.terminated or step.subtask in text(driver)
    assert "Done: you have reached the last goal." in text(driver)
    assert f"It earned {goals} in " in text(driver)
    look(driver, f"{kind}-done", artefacts)
    driver.find_element("css selector", "summary").click()
    assert step.observation.split("\n")[0] in text(driver)
    look(driver, f"{kind}-lines", artefacts)
    assert driver.get_log("browser") == []
    press(driver, f"form[action='/tasks/{number + 2}'] button")
    assert world.tasks("test")[number + 1].instruction.split("\n")[0] in text(driver)


def test_boxes_stand_where_the_leaves_do(driver: Any, address: str, world: WikiHow) -> None:
    """Each box on the page is the leaf's on the phone, scaled down: to a pixel at both widths."""
    phone, task = world.spawn(), world.tasks("test")[0]
    phone.reset(task)
    start(driver, address, 0)
    for action in world.oracle(task)[:2]:
        send(driver, action)
        phone.step(action)
        script = """return [...document.querySelectorAll('.glass, [id^=e]')].map(e => {
            const r = e.getBoundingClientRect(); return [r.left, r.top, r.width, r.height]})"""
        for width in WIDTHS:
            resize(driver, width)
            (left, top, wide, _), *boxes = driver.execute_script(script)
            leaves = phone.app.screen().leaves
            assert len(boxes) == len(leaves)
            for leaf, (x, y, w, h) in zip(leaves, boxes, strict=True):
                x0, y0, x1, y1 = (edge * wide / 1080 for edge in leaf.bounds)
                assert (x - left, y - top, w, h) == pytest.approx((x0, y0, x1 - x0, y1 - y0), abs=1)


def test_drawer_and_menu_are_tapped(driver: Any, address: str, world: WikiHow, artefacts: Path) -> None:
    """They lie over the page: their rows can be hit where they stand, and a tap beside an open drawer
    closes it."""
    number = kind_of(world, "about", 3)
    start(driver, address, number)
    for action in world.oracle(world.tasks("test")[number])[:2]:
        send(driver, action)
    press(driver, "[aria-label='More options']")
    look(driver, "menu", artefacts)
    with next_page(driver):
        driver.find_element("xpath", "//button[contains(., 'Share article')]").click()
    assert "Facebook" in text(driver)
    look(driver, "share", artefacts)
    for _ in range(2):
        press(driver, "button[value=GOBACK]")
    press(driver, "[aria-label='Open navigation drawer']")
    look(driver, "drawer", artefacts)
    with next_page(driver):
        driver.find_element("xpath", "//button[contains(., 'Browse Categories')]").click()
    assert driver.find_elements("css selector", "#panel") == []
    assert "Categories" in text(driver)
    look(driver, "categories", artefacts)


def test_back_reload_and_two_tabs(driver: Any, address: str, world: WikiHow) -> None:
    """The browser's own buttons send nothing twice, and a screen of a moment ago is refused with a note."""
    start(driver, address, 0)
    here = driver.current_url
    first, second = world.oracle(world.tasks("test")[0])[:2]
    send(driver, first)
    driver.refresh()
    assert "1 of 15" in text(driver)
    tab = driver.current_window_handle
    driver.switch_to.new_window("tab")
    driver.get(here)
    send(driver, second)
    assert "2 of 15" in text(driver)
    driver.close()
    driver.switch_to.window(tab)
    send(driver, second)
    assert "made for an earlier screen" in text(driver)
    assert "2 of 15" in text(driver)


def test_by_keyboard_alone_and_without_numbers(driver: Any, address: str, artefacts: Path) -> None:
    """All that can be tapped is reached with Tab; the numbers go and stay away."""
    from selenium.webdriver.common.keys import Keys

    start(driver, address, 1)
    press(driver, "button[value=numbers]")
    assert driver.find_elements("css selector", ".tag") == []
    look(driver, "without-numbers", artefacts)
    driver.find_element("css selector", "body").send_keys(Keys.TAB)
    reached = set()
    for _ in range(20):
        focused = driver.switch_to.active_element
        reached.add(focused.get_attribute("value") or focused.get_attribute("name"))
        focused.send_keys(Keys.TAB)
    assert {"CLICK(0)", "CLICK(2)", "GOBACK", "SCROLL(DOWN)", "text"} <= reached
    send(driver, "CLICK(0)")
    assert driver.find_elements("css selector", ".tag") == []


def test_hostile_words_are_only_words(driver: Any, address: str) -> None:
    """Markup in what is typed makes no element and runs nothing; very long words do not widen the page."""
    start(driver, address, 0)
    evil = "<img src=x onerror=document.title=1><script>document.title=2</script>"
    send(driver, f"INPUT(2, {evil})")
    assert driver.find_elements("css selector", "main img, script") == []
    assert evil in text(driver)
    send(driver, f"INPUT(1, {'x' * 250})")
    for width in WIDTHS:
        resize(driver, width)
        assert not scrolls_sideways(driver)
