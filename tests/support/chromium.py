"""A real Chromium without a window, driven by selenium, and the server of a site as a process of its own."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_FLAGS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars")


def _missing(what: str) -> None:
    """Skips the test; fails it where RLEM_REQUIRE_CHROMIUM=1 says that the browser must be there."""
    message = f"{what} is not installed (Debian: chromium, chromium-driver; PyPI: selenium)"
    if os.environ.get("RLEM_REQUIRE_CHROMIUM") == "1":
        pytest.fail(message + ", and RLEM_REQUIRE_CHROMIUM=1 asks for it", pytrace=False)
    pytest.skip(message)


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """A selenium driver; the browser is gone when the block ends."""
    try:
        from selenium import webdriver
    except ImportError:
        _missing("selenium")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    chromedriver = shutil.which("chromedriver")
    if chromium is None or chromedriver is None:
        _missing("chromium" if chromium is None else "chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in _FLAGS:
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(chromedriver))
    try:
        yield driver
    finally:
        driver.quit()


def press(driver: Any, selector: str) -> None:
    """Clicks the first element of a CSS selector and waits until another page has come."""
    with next_page(driver):
        driver.find_element("css selector", selector).click()


@contextlib.contextmanager
def next_page(driver: Any) -> Iterator[None]:
    """What is done in the block leads to another page; waits until it is there."""
    from selenium.common.exceptions import WebDriverException
    from selenium.webdriver.support.wait import WebDriverWait

    # A mark on the old page, rather than an element of it: asking for one while its page is being replaced
    # can fail in more ways than "stale".
    driver.execute_script("window.rlemOldPage = true")
    yield
    there = "return !window.rlemOldPage && document.readyState === 'complete'"
    WebDriverWait(driver, 30, ignored_exceptions=[WebDriverException]).until(
        lambda driver: driver.execute_script(there)
    )


def resize(driver: Any, width: int, height: int = 900) -> None:
    """Sets the size of the page exactly; a window cannot be as narrow as a telephone."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def scrolls_sideways(driver: Any) -> bool:
    """Whether the page is wider than the screen."""
    script = "const e = document.documentElement; return e.scrollWidth > e.clientWidth"
    return bool(driver.execute_script(script))


def screenshot(driver: Any, path: Path) -> None:
    """The whole page as a PNG file."""
    shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": True})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(base64.b64decode(shot["data"]))


def start_server(
    *arguments: str, cwd: Path, environment: str = "webshop"
) -> tuple[subprocess.Popen[str], str]:
    """``rlem env serve ENVIRONMENT ARGUMENTS`` on a free port, which heeds Ctrl-C; and its first line."""
    command = [sys.executable, "-u", "-m", "rlem", "env", "serve", environment, "--port", "0"]
    process = subprocess.Popen(
        [*command, *arguments],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if "http://" not in line:
        process.kill()
        raise AssertionError(f"the server did not start: {line!r} {process.communicate()[1]}")
    return process, line


@contextlib.contextmanager
def shop_server(*arguments: str, cwd: Path, environment: str = "webshop") -> Iterator[str]:
    """A running shop, or another environment's site; its address."""
    process, line = start_server(*arguments, cwd=cwd, environment=environment)
    with process:
        try:
            yield line.split()[0]
        finally:
            process.kill()
