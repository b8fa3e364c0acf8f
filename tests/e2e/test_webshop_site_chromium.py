"""The shop in a real browser: a purchase by clicking, at the width of a desk and of a telephone."""

from __future__ import annotations

import os
import signal
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
    start_server,
)

from rlem.environments.webshop import html, pages
from rlem.environments.webshop.env import WebShop
from rlem.environments.webshop.session import Session

pytest.importorskip("flask", reason="the site needs Flask: pip install 'rlem[web]'")

WIDTHS = (1280, 390)
PRODUCTS = 200


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    """One browser for all tests here."""
    with browser() as driver:
        yield driver


@pytest.fixture(scope="module")
def world() -> WebShop:
    """The shop that the server shows, in this process."""
    return WebShop.bundled(n_products=PRODUCTS)


@pytest.fixture(scope="module")
def address(driver: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running server, started only where there is a browser."""
    folder = tmp_path_factory.mktemp("server")
    with shop_server("--products", str(PRODUCTS), "--task", "0:60", cwd=folder) as address:
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
        picture = artefacts / f"webshop-{name}-{width}.png"
        screenshot(driver, picture)
        assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    resize(driver, WIDTHS[0])


def send(driver: Any, action: str) -> None:
    """Does an action as a person does: types and presses Search, or clicks the button."""
    if action.startswith("search["):
        field = driver.find_element("css selector", "input[name=words]")
        field.clear()
        field.send_keys(action[7:-1])
        action = html.SEARCH
    press(driver, f"button[value='{action}']")


def score(driver: Any) -> float:
    """The reward on the page."""
    return float(driver.find_element("css selector", "data").get_attribute("value"))


def text(driver: Any) -> str:
    """What a person can read on the page."""
    return str(driver.find_element("css selector", "body").text)


def reward(world: WebShop, goal: int, actions: list[str]) -> float:
    """What a session gives for the same actions."""
    session = Session(world.shop, shown=pages.PER_PAGE)
    session.reset(goal)
    return [session.step(action)[0] for action in actions][-1]


def test_a_whole_purchase_by_clicking(driver: Any, address: str, world: WebShop, artefacts: Path) -> None:
    """From the list to the reward, which is the session's for the same actions; no page is wider than the
    screen, the browser has nothing to complain about, and the next task begins from the end."""
    goal = next(g for g in range(60) if len(world.catalogue.goals[g].options) > 1)
    actions = [f"search[{world.catalogue.goals[goal].product.query}]", *world.oracle(f"webshop:{goal}")]
    resize(driver, WIDTHS[0])
    driver.get(f"{address}?page={1 + goal // 50}")
    look(driver, "tasks", artefacts)
    press(driver, f"button[aria-label='Shop for task {goal + 1}']")
    look(driver, "search", artefacts)
    shown = set()
    for action in actions:
        send(driver, action)
        kind = driver.find_element("css selector", "h1").text
        if action.startswith("search["):
            assert kind == "Results"
            look(driver, "results", artefacts)
        elif "[b" in action and "buy" not in action:
            for tab in ("Description", "Features", "Reviews"):  # there and back
                send(driver, f"click[{tab.lower()}]")
                assert driver.find_element("css selector", "h1").text == tab
                look(driver, tab.lower(), artefacts)
                send(driver, "click[< prev]")
        elif "buy" not in action:
            pressed = driver.find_elements("css selector", "[aria-pressed=true]")
            assert action in [button.get_attribute("value") for button in pressed]
            look(driver, "item", artefacts)
        shown.add(kind)
    assert len(shown) > 2
    assert score(driver) == reward(world, goal, actions) == 1.0
    assert "Thank you for shopping with us!" in text(driver)
    look(driver, "done", artefacts)
    assert driver.get_log("browser") == []
    press(driver, f"form[action='/tasks/{goal + 2}'] button")
    assert world.catalogue.goals[goal + 1].instruction in text(driver)


def test_back_and_reload(driver: Any, address: str, world: WebShop) -> None:
    """The browser's own buttons work: reload sends nothing twice, back shows the page before, and going on
    from there counts what was done from there."""
    goal = 0
    search, product, *options, buy = world.oracle("webshop:0")
    driver.get(address)
    press(driver, "button[aria-label='Shop for task 1']")
    send(driver, search)
    send(driver, product)
    driver.refresh()
    assert "Actions so far: 2" in text(driver)
    for option in options:
        send(driver, option)
    for _ in options:
        driver.back()
    assert driver.find_elements("css selector", "[aria-pressed=true]") == []
    send(driver, buy)
    assert score(driver) == reward(world, goal, [search, product, buy])
    driver.back()
    send(driver, buy)
    assert "You have already bought something" in text(driver)


def test_two_tabs_are_two_people(driver: Any, address: str, world: WebShop) -> None:
    """Two visits side by side in one browser end with their own rewards."""
    first = driver.current_window_handle
    ways = {1: world.oracle("webshop:1"), 2: world.oracle("webshop:2")}
    tabs = {}
    for number in ways:
        driver.switch_to.new_window("tab")
        tabs[number] = driver.current_window_handle
        driver.get(address)
        press(driver, f"button[aria-label='Shop for task {number + 1}']")
    ways[2] = [a for a in ways[2] if a.startswith(("search[", "click[b"))]  # no options
    for step in range(max(map(len, ways.values()))):
        for number, tab in tabs.items():
            driver.switch_to.window(tab)
            if step < len(ways[number]):
                send(driver, ways[number][step])
    for number, tab in tabs.items():
        driver.switch_to.window(tab)
        assert score(driver) == reward(world, number, ways[number])
        driver.close()
    driver.switch_to.window(first)


def test_hostile_words_are_only_words(driver: Any, address: str) -> None:
    """Markup in the search words makes no element and runs nothing; very long ones do not widen the page."""
    driver.get(address)
    press(driver, "button[aria-label='Shop for task 1']")
    evil = "<img src=x onerror=document.title=1><script>document.title=2</script>"
    send(driver, f"search[{evil}]")
    assert driver.find_elements("css selector", "main img, script") == []
    assert driver.title.startswith("<img src=x")
    assert driver.find_element("css selector", "input[name=words]").get_attribute("value") == evil
    send(driver, f"search[{'x' * 3000}]")
    for width in WIDTHS:
        resize(driver, width)
        assert not scrolls_sideways(driver)
    driver.find_element("css selector", "summary").click()
    assert not scrolls_sideways(driver)


def test_by_keyboard_alone(driver: Any, address: str, world: WebShop) -> None:
    """The search field has the focus, Enter searches, and the first product is a few tabs away."""
    from selenium.webdriver.common.keys import Keys

    driver.get(address)
    press(driver, "button[aria-label='Shop for task 1']")
    field = driver.switch_to.active_element
    assert field.get_attribute("name") == "words"
    with next_page(driver):
        field.send_keys(world.catalogue.products[0].query, Keys.ENTER)
    assert "Total results: " in text(driver)
    for _ in range(12):
        driver.switch_to.active_element.send_keys(Keys.TAB)
        if driver.switch_to.active_element.get_attribute("class") == "go":
            break
    with next_page(driver):
        driver.switch_to.active_element.send_keys(Keys.ENTER)
    assert "Price: " in text(driver)


def test_the_server_stops_with_ctrl_c(tmp_path: Path) -> None:
    """Ctrl-C ends the command with status 0; its first line had the address, the tasks, how to stop."""
    process, line = start_server("--products", "60", "--task", "0:5", cwd=tmp_path)
    with process:
        assert "http://127.0.0.1:" in line
        assert "5 tasks" in line
        assert "Ctrl-C" in line
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out.strip(), err) == (0, "stopped", "")
