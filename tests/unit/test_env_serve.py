"""``rlem env serve``: the application that the command serves, by its options."""

from __future__ import annotations

from html import unescape
from types import ModuleType
from typing import Any

import click
import pytest
from tests.support.shop_visits import act, begin, see

from rlem.cli.serve import serve
from rlem.core.errors import RlemError, UnknownNameError, UsageError
from rlem.environments.webshop import site
from rlem.environments.wikihow import site_web
from rlem.environments.wikihow.env import WikiHow

pytest.importorskip("flask", reason="the site needs Flask: pip install 'rlem[web]'")

SHOP = ("webshop", "--products", "60", "--task", "0:5")
PHONE = ("wikihow", "--task", "0:5")


def served(monkeypatch: pytest.MonkeyPatch, module: ModuleType, *arguments: str) -> Any:
    """A browser of the application that the command serves; the server itself is left out."""
    apps: list[Any] = []

    class Server:
        port = 8000

        def serve_forever(self) -> None:
            """Ends at once."""

        def server_close(self) -> None:
            """Nothing is open."""

    def open_server(app: Any, host: str, port: int) -> Server:
        apps.append(app)
        return Server()

    monkeypatch.setattr(module, "open_server", open_server)
    serve.main(arguments, standalone_mode=False)
    return apps[0].test_client(use_cookies=False)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["corridor"], click.UsageError),
        (["webshp"], click.UsageError),
        (["webshop", "--port", "70000"], click.UsageError),
        (["webshop", "--products", "60", "--task", "tset"], UnknownNameError),
        (["webshop", "--products", "60", "--task", "5:5"], UsageError),
        (["webshop", "--products", "60", "--host", "203.0.113.1", "--task", "0:5"], UsageError),
    ],
)
def test_the_command_refuses_what_it_cannot_serve(arguments: list[str], error: type[Exception]) -> None:
    """Unknown shops, tasks and addresses are errors before anything is served."""
    with pytest.raises(error):
        serve.main(arguments, standalone_mode=False)


def test_the_commands_faithful_shop_fails_with_a_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --faithful a search that crashes the original comes to a page that says so, and the visit goes
    on from it; without, it finds nothing and nothing fails."""
    client = served(monkeypatch, site, *SHOP, "--faithful")
    start = begin(client)
    noted = act(client, start, "search[<a> x]")
    assert noted == f"{start}?note=failed"
    page = see(client, noted)
    assert "The original shop fails here" in page
    assert "Actions so far" not in page
    assert "Total results" in see(client, act(client, start, "search[steel]"))
    client = served(monkeypatch, site, *SHOP)
    assert "Total results: 0" in see(client, act(client, begin(client), "search[<a> x]"))
    assert "5 tasks of 0:5" in capsys.readouterr().out


def test_the_command_takes_the_options_of_the_shop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Noun rule and prices are those of env play; form of observation and step limit are not offered; the
    host that was given is served, another one is not."""
    client = served(
        monkeypatch, site, *SHOP, "--host", "shop.example", "--nouns", "rule", "--price-seed", "3"
    )
    assert client.get("/", headers={"Host": "shop.example:8000"}).status_code == 200
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 421
    assert begin(client)
    with pytest.raises(UnknownNameError, match="noun"):
        served(monkeypatch, site, *SHOP, "--nouns", "spcy")
    for option in ("--observation-mode", "--max-steps"):
        with pytest.raises(click.NoSuchOption):
            served(monkeypatch, site, *SHOP, option, "3")


def test_the_command_serves_the_phone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Articles, seed and task set are those of the options."""
    client = served(monkeypatch, site_web, *PHONE, "--articles", "150", "--site-seed", "3")
    other = WikiHow.bundled(seed=3, n_articles=150)
    page = unescape(client.get("/").text)
    assert "5 tasks in an app of 150 articles" in page
    assert other.tasks("0:5")[4].instruction in page
    assert "5 tasks of 0:5" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--products", "60"), RlemError),
        (("--task", "tset"), RlemError),
        (("--reward-lag", "2"), click.UsageError),
    ],
)
def test_the_phone_refuses_what_it_cannot_serve(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], error: type[Exception]
) -> None:
    """Options of the shop, unknown sets and impossible values are errors before anything is served."""
    with pytest.raises(error):
        served(monkeypatch, site_web, *PHONE, "--articles", "150", *arguments)
