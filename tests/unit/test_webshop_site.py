"""The shop as a web site: flows, bad input, visits that do not touch each other."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from typing import Any

import pytest
from tests.support.shop_visits import act, begin, see

from rlem.core.errors import MissingExtraError, UsageError
from rlem.core.types import Task
from rlem.environments.webshop import html, pages, site
from rlem.environments.webshop.env import WebShop
from rlem.environments.webshop.session import Session

pytest.importorskip("flask", reason="the site needs Flask: pip install 'rlem[web]'")


@pytest.fixture(scope="module")
def world() -> WebShop:
    """A small bundled shop."""
    return WebShop.bundled(n_products=60)


@pytest.fixture
def client(world: WebShop) -> Iterator[Any]:
    """A browser of the shop with its first 120 tasks, which keeps no cookies."""
    with site.create_app(world, world.tasks("0:120")).test_client(use_cookies=False) as client:
        yield client


def score(page: str) -> float | None:
    """The reward on a page, if there is one."""
    found = re.search(r'<data value="([^"]+)"', page)
    return float(found[1]) if found else None


def test_the_tasks_are_listed_sheet_by_sheet(client: Any, world: WebShop) -> None:
    """Each sheet has fifty tasks with their instructions; the last the rest; odd page numbers the nearest."""
    tasks = world.tasks("0:120")
    first, last = see(client, "/"), see(client, "/?page=3")
    assert first.count('action="/tasks/') == 50
    assert last.count('action="/tasks/') == 20
    assert all(task.instruction in unescape(first) for task in tasks[:50])
    assert tasks[119].instruction in unescape(last)
    assert "Page 1 of 3" in first
    for odd, sheet in (("999", 3), ("-5", 1), ("0", 1), ("x", 1), ("9" * 400, 3)):
        assert f"Page {sheet} of 3" in see(client, f"/?page={odd}"), odd


@pytest.mark.parametrize("number", [1, 2, 17])
def test_a_purchase_earns_what_the_session_gives(client: Any, world: WebShop, number: int) -> None:
    """The oracle's way by forms ends with the reward of a session that takes the same actions; half of
    the way as well."""
    for skip in (False, True):
        actions = world.oracle(f"webshop:{number - 1}")
        if skip:
            actions = [a for a in actions if a.startswith(("search[", "click[b0")) or "buy" in a]
        session = Session(world.shop, shown=pages.PER_PAGE)
        session.reset(number - 1)
        rewards = [session.step(action)[0] for action in actions]
        address = begin(client, number)
        for action in actions:
            assert score(see(client, address)) is None
            address = act(client, address, action)
        page = see(client, address)
        assert score(page) == rewards[-1]
        assert f'action="/tasks/{number + 1}"' in page
        assert skip or rewards[-1] == 1.0


def test_the_last_task_has_no_next_one(client: Any, world: WebShop) -> None:
    """After the last task of the set, the list and the same task again remain."""
    address = begin(client, 120)
    for action in world.oracle("webshop:119"):
        address = act(client, address, action)
    page = see(client, address)
    assert 'action="/tasks/120"' in page
    assert 'action="/tasks/121"' not in page


def test_reload_and_back_show_the_same_pages(client: Any, world: WebShop) -> None:
    """Each page has its own address, which shows the same whenever it is asked for."""
    addresses = [begin(client)]
    seen = [see(client, addresses[0])]
    for action in world.oracle("webshop:0")[:-1]:
        addresses.append(act(client, addresses[-1], action))
        seen.append(see(client, addresses[-1]))
    assert len(set(addresses)) == len(addresses)
    for address, page in [*zip(addresses, seen, strict=True)][::-1] * 2:
        assert see(client, address) == page


def test_going_on_from_an_earlier_page(client: Any, world: WebShop) -> None:
    """What is done on an earlier page goes on from there, and sending a form twice is sending it once."""
    start = begin(client)
    results = act(client, start, "search[steel]")
    other = act(client, start, "search[cotton]")
    assert results != other
    assert 'value="steel"' in see(client, results)
    assert 'value="cotton"' in see(client, other)
    assert act(client, start, "search[steel]") == results
    product = re.search(r'value="(click\[b0[^"]+)"', see(client, results))
    assert product is not None
    item = act(client, results, product[1])
    assert "Actions so far: 2" in see(client, item)
    assert "Visited" in see(client, act(client, item, "click[< prev]"))
    assert "Visited" not in see(client, other)


def test_a_purchase_ends_the_visit(client: Any, world: WebShop) -> None:
    """After buying, nothing more can be done, from no page of the visit; all lead to the end."""
    addresses = [begin(client)]
    for action in world.oracle("webshop:0"):
        addresses.append(act(client, addresses[-1], action))
    for address in addresses:
        end = act(client, address, "click[back to search]")
        assert end.split("?")[0] == addresses[-1]
        assert "You have already bought something" in see(client, end)
        assert score(see(client, end)) == 1.0
    assert "a task that has ended" in see(client, addresses[0])


@pytest.mark.parametrize(
    "action",
    [
        "",
        "click[buy now]",
        "click[nothing]",
        "buy",
        "search",
        "click[<script>]",
        "search[<words",
        "a" * 10_000,
    ],
)
def test_what_cannot_be_done_stays_on_the_page(client: Any, action: str) -> None:
    """A form that does not fit the page changes nothing and says so."""
    start = begin(client)
    answer = client.post(start, data={"action": action, "words": "x"})
    assert answer.status_code == 303
    assert answer.headers["Location"] == f"{start}?note=unknown"
    page = see(client, answer.headers["Location"])
    assert "That cannot be done on this page" in page
    assert "Actions so far" not in page


@pytest.mark.parametrize("words", ["", "   ", "[]", "\x00\x01", "\r\n"])
def test_a_search_for_nothing_says_so(client: Any, words: str) -> None:
    """Blanks, brackets and control characters alone are no words."""
    start = begin(client)
    answer = client.post(start, data={"action": html.SEARCH, "words": words})
    assert answer.headers["Location"] == f"{start}?note=empty"
    assert "Type what you are looking for" in see(client, answer.headers["Location"])


@pytest.mark.parametrize(
    "words",
    [
        "x" * 10_240,
        "w " * 5_000,
        "🙂👩‍👩‍👧 größe ﷽",
        "'; DROP TABLE products; --",
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "a\x00b\x1b[31m\x7f\tc\r\nd",
        "[[brackets]] search[x]",
        "{{ 7 * 7 }}{% raw %}",
        "+title:(a AND b)~^2 \\",
        "<r>", "<c>", "<q> x", "<a> x",
    ],
)  # fmt: skip
def test_any_search_words_are_fine(client: Any, words: str) -> None:
    """They lead to a page of results that shows them escaped."""
    answer = client.post(begin(client), data={"action": html.SEARCH, "words": words})
    assert "note" not in answer.headers["Location"]
    page = see(client, answer.headers["Location"])
    assert "Total results: " in page
    assert "<script" not in page
    assert "<img" not in page
    shown = re.search(r'name="words" value="([^"]*)"', page)
    assert shown is not None
    assert unescape(shown[1]) == " ".join(re.sub(r"[\[\]\x00-\x1f\x7f]", " ", words).lower().split())


def test_what_is_too_long_is_refused(client: Any) -> None:
    """A form of a megabyte gets a page that says so, and the visit goes on."""
    start = begin(client)
    answer = client.post(start, data={"action": html.SEARCH, "words": "x" * 1_000_000})
    assert answer.status_code == 413
    assert "fewer words" in answer.text
    assert see(client, start)


@pytest.mark.parametrize(
    "address",
    ["/visits/nobody/0", "/visits/nobody/-1", "/tasks/x", "/nothing", "/visits/<script>/0", "/static/x"],
)
def test_unknown_addresses_say_what_to_do(client: Any, address: str) -> None:
    """A visit or page that is not there is a 404 page with the way to the list."""
    answer = client.get(address)
    assert answer.status_code == 404
    assert 'href="/"' in answer.text
    assert "choose the task from the list again" in answer.text
    assert "<script" not in answer.text


def test_unknown_tasks_pages_and_methods(client: Any) -> None:
    """Tasks 0 and 121 of 120, the page that a visit does not have yet, a form's address typed in."""
    for number in ("0", "121", "9" * 30):
        assert client.post(f"/tasks/{number}").status_code == 404
    start = begin(client)
    assert client.get(start[:-1] + "1").status_code == 404
    assert client.post(start[:-1] + "99999999999999999999", data={"action": "x"}).status_code == 404
    typed = client.get("/tasks/1")
    assert typed.status_code == 405
    assert "Go on from the list" in typed.text
    assert "Set-Cookie" not in typed.headers


def test_notes_are_our_own_words(client: Any) -> None:
    """An address cannot make the shop say what we have not written."""
    start = begin(client)
    assert see(client, f"{start}?note=<b>hello</b>") == see(client, start)


def test_every_answer_is_hardened(client: Any) -> None:
    """No script may run, nothing is loaded but the one style sheet by its hash, nothing is kept."""
    for answer in (client.get("/"), client.get("/no"), client.post("/tasks/1"), client.get("/healthz")):
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
        assert "unsafe" not in policy
        assert html.style_hash() in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert answer.headers["Cache-Control"] == "no-store"


HERE = "http://localhost"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 303),
        ({"Sec-Fetch-Site": "none"}, 303),
        ({"Sec-Fetch-Site": "same-origin", "Origin": HERE}, 303),
        ({"Origin": HERE.upper()}, 303),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Origin": HERE}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://evil.example"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://localhost:9000"}, 403),
        ({"Origin": "http://localhost.evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": "http://[x"}, 403),
    ],
)
def test_other_sites_cannot_shop(client: Any, headers: dict[str, str], status: int) -> None:
    """A form of another site, port or secret origin is refused, also where only Origin tells; the shop's
    own and those of plain programs are not. Looking is free."""
    assert client.post("/tasks/1", headers=headers).status_code == status
    assert client.get("/", headers=headers).status_code == 200
    assert client.get("/healthz").get_json()["visits"] == (status == 303)


@pytest.mark.parametrize(
    ("served_at", "known", "unknown"),
    [
        ("127.0.0.1", ["127.0.0.1:8000", "localhost", "LocalHost:1", "[::1]:8000"], ["192.0.2.7"]),
        ("192.0.2.7", ["192.0.2.7:8000", "localhost:8000"], ["192.0.2.8:8000"]),
        ("Shop.Example", ["shop.example:8000", "127.0.0.1:8000"], ["my.shop.example"]),
        ("2001:DB8:0:0::7", ["[2001:db8::7]:8000", "[::1]"], ["[2001:db8::8]:8000", "2001:db8::7"]),
        ("0.0.0.0", ["192.0.2.7", "any.example:80"], []),
        ("::", ["192.0.2.7", "any.example:80"], []),
    ],
)
def test_only_known_hosts_are_served(
    world: WebShop, served_at: str, known: list[str], unknown: list[str]
) -> None:
    """A name that somebody else has given this machine's address sees and changes nothing; what the site
    is served at, and this machine's own names, are served, on every port."""
    client = site.create_app(world, world.tasks("0:1"), host=served_at).test_client()
    for host in known:
        for answer in (
            client.get("/", headers={"Host": host}),
            client.post("/tasks/1", headers={"Host": host}),
        ):
            assert answer.status_code in (200, 303), host
    if served_at in ("0.0.0.0", "::"):
        return
    for host in [*unknown, "evil.example", "localhost.evil.example:80", "user@localhost", "[::1", "a b", ""]:
        for send, address in ((client.get, "/"), (client.post, "/tasks/1"), (client.get, "/healthz")):
            answer = send(address, headers={"Host": host})
            assert answer.status_code == 421, host
            assert "not served under this name" in answer.text
            assert world.tasks("0:1")[0].instruction not in unescape(answer.text)


def test_health(client: Any) -> None:
    """Programs that wait for the server learn that it is up, and how many tasks and visits it has."""
    begin(client)
    assert client.get("/healthz").get_json() == {"status": "ok", "tasks": 120, "visits": 1}


def test_the_oldest_visit_is_dropped(world: WebShop) -> None:
    """There are never more visits than allowed; the one that was not used for longest goes."""
    client = site.create_app(world, world.tasks("0:5"), most_visits=3).test_client()
    first, second, third = begin(client), begin(client), begin(client)
    see(client, first)
    fourth = begin(client)
    assert client.get(second).status_code == 404
    assert all(see(client, address) for address in (first, third, fourth))
    assert client.get("/healthz").get_json()["visits"] == 3


def test_a_visit_does_not_grow_without_end(world: WebShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """At its limit a visit takes no further page, says so, and still lets buy."""
    monkeypatch.setattr(site, "MOST_PAGES", 6)
    client = site.create_app(world, world.tasks("0:5")).test_client()
    address = begin(client)
    actions = world.oracle("webshop:0")
    for action in actions[:2]:
        address = act(client, address, action)
    for number in range(3):
        act(client, address, f"search[steel {number}]")
    assert act(client, address, "search[cotton]") == f"{address}?note=full"
    assert "has at most" in see(client, f"{address}?note=full")
    assert score(see(client, act(client, address, "click[buy now]"))) is not None


def test_visits_do_not_touch_each_other(client: Any, world: WebShop) -> None:
    """Many people at once, some at the same task: everybody gets the reward of what they did."""
    app, gate = client.application, threading.Barrier(8)

    def shop(person: int) -> tuple[float | None, float]:
        number = 1 + person % 4
        actions = world.oracle(f"webshop:{number - 1}")
        if person >= 4:  # buys the same product without its options
            actions = [a for a in actions if a.startswith(("search[", "click[b0")) or "buy" in a]
        session = Session(world.shop, shown=pages.PER_PAGE)
        session.reset(number - 1)
        reward = [session.step(action)[0] for action in actions][-1]
        with app.test_client() as browser:
            gate.wait(timeout=30)
            address = begin(browser, number)
            for action in actions:
                address = act(browser, address, action)
                see(browser, address)
            return score(see(browser, address)), reward

    with ThreadPoolExecutor(8) as people:
        results = list(people.map(shop, range(8)))
    assert [found for found, _ in results] == [expected for _, expected in results]
    assert {found for found, _ in results[:4]} == {1.0}
    assert min(found or 0.0 for found, _ in results[4:]) < 1.0


def test_one_visit_in_many_threads(client: Any) -> None:
    """Impatient clicking in several tabs leaves a visit whole: each address shows its own words."""
    start = begin(client)

    def search(number: int) -> tuple[str, str]:
        with client.application.test_client() as browser:
            address = act(browser, start, f"search[steel {number % 5}]")
            return address, see(browser, address)

    with ThreadPoolExecutor(8) as tabs:
        results = list(tabs.map(search, range(40)))
    assert len({address for address, _ in results}) == 5
    assert all(f'value="steel {number % 5}"' in page for number, (_, page) in enumerate(results))


def test_a_faithful_shop_fails_with_a_word(world: WebShop) -> None:
    """Where the original crashes, the page stays and says so; the visit goes on."""
    shop = WebShop.bundled(n_products=60, faithful=True)
    client = site.create_app(shop, shop.tasks("0:1")).test_client()
    start = begin(client)
    assert act(client, start, "search[<a> x]") == f"{start}?note=failed"
    assert "The original shop fails here" in see(client, f"{start}?note=failed")
    assert "Total results" in see(client, act(client, start, "search[steel]"))


def test_a_broken_shop_is_a_page_too(world: WebShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of ours is a page with a way out, without its text."""
    app = site.create_app(world, world.tasks("0:1"))
    monkeypatch.setattr(html, "render", lambda *_: 1 / 0)
    answer = app.test_client().get(begin(app.test_client()))
    assert answer.status_code == 500
    assert "division" not in answer.text
    assert 'href="/"' in answer.text


def test_wrong_tasks_are_refused(world: WebShop) -> None:
    """No tasks, or tasks of another environment."""
    with pytest.raises(UsageError, match="at least one task"):
        site.create_app(world, [])
    with pytest.raises(UsageError, match="not of this shop"):
        site.create_app(world, [Task(id="corridor:1", instruction="go")])
    assert site.create_app(world.shop, world.tasks("0:1")) is not None


def test_a_foreign_task_further_on_is_a_page(world: WebShop, caplog: pytest.LogCaptureFixture) -> None:
    """Tasks may be too many to look at each: one that the shop cannot play says so when it is begun, the
    terminal says why, and the others go on."""
    tasks = [
        *world.tasks("0:1"),
        Task(id="corridor:1", instruction="go"),
        Task(id="webshop:99999", instruction="x"),
    ]
    client = site.create_app(world, tasks).test_client()
    for number in (2, 3):
        answer = client.post(f"/tasks/{number}")
        assert answer.status_code == 404
        assert "The shop cannot play this task" in answer.text
        assert 'href="/"' in answer.text
        assert f"{tasks[number - 1].id!r} is not of this shop" in caplog.text
    assert see(client, begin(client, 1))


def test_tasks_are_not_walked_through(world: WebShop) -> None:
    """Making a site and showing a sheet looks at the tasks of that sheet only."""
    looked: set[int] = set()

    class Many(Sequence[Task]):
        """Millions of tasks that are made when they are looked at."""

        def __len__(self) -> int:
            return 5_000_000

        def __getitem__(self, place: Any) -> Any:
            if isinstance(place, slice):
                return [self[at] for at in range(*place.indices(len(self)))]
            looked.add(place)
            return Task(id=f"webshop:{place % 50}", instruction=f"find number {place}")

    client = site.create_app(world, Many()).test_client()
    assert "find number 4999950" in see(client, "/?page=100000")
    assert see(client, begin(client, 2_000_000))
    assert len(looked) <= 1 + site.TASKS_A_SHEET + 1


def test_without_flask_the_extra_is_named(world: WebShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to install."""
    monkeypatch.setitem(sys.modules, "flask", None)
    with pytest.raises(MissingExtraError, match=r"rlem\[web\]"):
        site.create_app(world, world.tasks("0:1"))


def test_an_address_that_cannot_be_had(world: WebShop) -> None:
    """A port in use, a host that is not ours: the message says what to change."""
    app = site.create_app(world, world.tasks("0:1"))
    server = site.open_server(app, "127.0.0.1", 0)
    try:
        assert server.port > 0
        with pytest.raises(UsageError, match=rf"127.0.0.1:{server.port}: .*in use.* --port"):
            site.open_server(app, "127.0.0.1", server.port)
    finally:
        server.server_close()
    for host in ("203.0.113.1", "no such host.invalid", "x" * 300):
        with pytest.raises(UsageError, match="cannot serve at"):
            site.open_server(app, host, 0)
