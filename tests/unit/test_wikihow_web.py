"""The phone as a web site: what is drawn, flows by forms, bad input, visits that do not touch each other."""

from __future__ import annotations

import base64
import hashlib
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from typing import Any

import pytest

from rlem.core.errors import MissingExtraError, UsageError
from rlem.core.types import Task
from rlem.environments.wikihow import nodes, site_web
from rlem.environments.wikihow.draw import Drawing, draw
from rlem.environments.wikihow.env import WikiHow
from rlem.environments.wikihow.screen import TOP

pytest.importorskip("flask", reason="the site needs Flask: pip install 'rlem[web]'")

EVIL = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'&{}</style>"


@pytest.fixture(scope="module")
def world() -> WikiHow:
    """The app over a small site."""
    return WikiHow.bundled(n_articles=150)


@pytest.fixture
def client(world: WikiHow) -> Iterator[Any]:
    """A browser of all 110 tasks, which keeps no cookies."""
    with site_web.create_app(world, world.tasks("0:110")).test_client(use_cookies=False) as client:
        yield client


@pytest.fixture(scope="module")
def long(world: WikiHow) -> int:
    """The number of a task, as the site counts, that goes on from its article."""
    return next(number for number, task in enumerate(world.tasks("test"), 1) if task.kind == "about")


class Page(HTMLParser):
    """What a browser would find: elements with their attributes, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """One element."""
        self.elements.append((tag, dict(attrs)))

    handle_startendtag = handle_starttag

    def handle_data(self, data: str) -> None:
        """One text."""
        self.text += data

    @property
    def actions(self) -> list[str | None]:
        """What the buttons send."""
        found = [attrs for tag, attrs in self.elements if tag == "button" and "disabled" not in attrs]
        return [attrs["value"] for attrs in found if attrs.get("name") == "action"]

    @property
    def steps(self) -> int:
        """The number of steps that the forms were made after."""
        found = {attrs["value"] for tag, attrs in self.elements if attrs.get("name") == "steps"}
        assert len(found) == 1
        return int(found.pop() or "")


def begin(client: Any, number: int = 1) -> str:
    """Starts a visit; its address."""
    answer = client.post(f"/tasks/{number}")
    assert answer.status_code == 303
    return str(answer.headers["Location"])


def see(client: Any, address: str) -> Page:
    """The page at an address."""
    answer = client.get(address)
    assert answer.status_code == 200, answer.text
    return Page(answer.text)


def act(client: Any, address: str, action: str, steps: int | None = None) -> Page:
    """Sends an action as the page's forms do; the page after it."""
    page = see(client, address)
    data: dict[str, object] = {"action": action, "steps": page.steps if steps is None else steps}
    if typed := re.fullmatch(r"INPUT\((\d+), (.*)\)", action):
        data |= {"action": f"INPUT({typed[1]}, <text>)", "text": typed[2]}
    if steps is None:
        assert data["action"] in page.actions
    answer = client.post(address, data=data)
    assert answer.status_code == 303, answer.text
    assert answer.headers["Location"] == f"{address}#phone"
    return see(client, address)


def notice(page: Page) -> bool:
    """Whether the page says that something was not done."""
    return any(attrs.get("role") == "status" for _, attrs in page.elements)


@pytest.mark.parametrize("number", [0, 7, 20, 40, 66, 72])
def test_every_leaf_is_drawn_where_it_stands(world: WikiHow, number: int) -> None:
    """On the way of the oracle each leaf has one box of its number and bounds; its text is the leaf's but for
    a name said twice; what is clickable can be tapped; nothing that is cut off lies above the viewport."""
    phone, task = world.spawn(), world.tasks("0:110")[number]
    phone.reset(task)
    for action in [*world.oracle(task), ""]:
        leaves, drawing = phone.app.screen().leaves, draw(phone.app.screen())
        assert [(box.number, box.bounds) for box in drawing.boxes] == [
            (place, leaf.bounds) for place, leaf in enumerate(leaves)
        ]
        for box, leaf in zip(drawing.boxes, leaves, strict=True):
            assert box.tappable or not leaf.clickable
            assert box.look == "logo" or (leaf.text or leaf.alt or leaf.value).endswith(box.text)
            assert box.above == 0 or (box.above > 0 and box.bounds[1] == TOP)
            assert 0 <= box.indent < box.bounds[2] - box.bounds[0]
        assert drawing.css.count("#e") == len(leaves)
        if action:
            phone.step(action)


def test_what_a_tap_does_something_to_can_be_tapped(world: WikiHow) -> None:
    """Also rows of the drawer and the menu, which their lines call not clickable."""
    phone = world.spawn()
    phone.reset(world.tasks("test")[0])
    phone.step("CLICK(0)")
    drawing = draw(phone.app.screen())
    rows = [box for box in drawing.boxes if box.over]
    assert len(rows) == 12
    assert all(box.tappable for box in rows)
    assert drawing.panel == (0, TOP, 735, 1794)
    assert drawing.behind == ()


def test_a_menu_is_drawn_over_the_page(world: WikiHow, long: int) -> None:
    """Its rows lie in the panel, and above what stays to be seen of the page."""
    phone = world.spawn()
    task = world.tasks("test")[long - 1]
    phone.reset(task)
    for action in world.oracle(task)[:2]:
        phone.step(action)
    page = draw(phone.app.screen())
    phone.step("CLICK(2)")
    assert phone.app.overlay == "menu"
    menu = draw(phone.app.screen())
    assert menu.behind == page.boxes
    assert menu.panel is not None
    left, top, right, bottom = menu.panel
    for box in menu.boxes:
        assert box.over
        assert left <= box.bounds[0] < box.bounds[2] <= right
        assert top <= box.bounds[1] < box.bounds[3] <= bottom
    levels = [int(level) for level in re.findall(r"#b\d+{.*z-index:(\d+)", menu.css)]
    assert max(levels) < min(int(level) for level in re.findall(r"#e\d+{.*z-index:(\d+)", menu.css))


def test_the_scroll_bar_shows_how_far(world: WikiHow, long: int) -> None:
    """It moves down with the page, to the end at the end; a page that is seen whole has none."""
    phone = world.spawn()
    task = world.tasks("test")[long - 1]
    phone.reset(task)
    assert draw(phone.app.screen()).thumb is None
    for action in world.oracle(task)[:2]:
        phone.step(action)
    thumbs = []
    for _ in range(12):
        thumbs.append(draw(phone.app.screen()).thumb or (0, 0, 0, 0))
        phone.step("SCROLL(DOWN)")
    assert thumbs[0][1] == TOP
    assert thumbs == sorted(thumbs)
    assert thumbs[0] != thumbs[-1]
    assert thumbs[-1][3] in (1793, 1794)


def test_the_tasks_are_listed(client: Any, world: WikiHow) -> None:
    """Fifty on a sheet, with the lines of their instructions."""
    page = see(client, "/")
    assert sum(attrs.get("action", "") != "" for tag, attrs in page.elements if tag == "form") == 50
    assert all(task.instruction in page.text for task in world.tasks("0:50"))
    assert "150 articles" in page.text
    assert world.tasks("0:110")[109].instruction in see(client, "/?page=3").text


@pytest.mark.parametrize("number", [1, 11, 30, 67, 75])
def test_the_oracles_way_by_forms(client: Any, world: WikiHow, number: int) -> None:
    """Each action is offered by a button or a field; rewards, instructions and the end are the environment's,
    and the page shows them."""
    task, phone = world.tasks("0:110")[number - 1], world.spawn()
    phone.reset(task)
    address = begin(client, number)
    total = 0.0
    for count, action in enumerate(world.oracle(task), 1):
        page = act(client, address, action)
        step = phone.step(action)
        total += step.reward
        facts = f"Reward{total:g}Last reward{step.reward:g}Steps{count} of 15"
        assert facts in page.text.replace("\n", "")
        assert step.observation in page.text
        assert step.terminated or step.subtask in page.text
    assert "Done: you have reached the last goal" in page.text
    assert f"It earned {total:g} in {count} steps." in page.text
    assert page.text.strip().startswith("Done: you have reached the last goal · WikiHow")
    assert not any(attrs.get("class") == "tag" for _, attrs in page.elements)
    forms = {attrs.get("action") for tag, attrs in page.elements if tag == "form"}
    assert {f"/tasks/{number}", f"/tasks/{number + 1}"} <= forms
    assert page.actions == []


def test_after_the_end_nothing_is_done(client: Any, world: WikiHow) -> None:
    """A form of an earlier screen changes nothing then, and the page says so."""
    address = begin(client)
    for action in world.oracle(world.tasks("test")[0]):
        page = act(client, address, action)
    after = act(client, address, "GOBACK", steps=0)
    assert notice(after)
    assert "The task is over" in after.text
    assert "Done: you have reached the last goal" in after.text
    assert len(after.elements) == len(page.elements) + 1


def test_the_limit_ends_a_task(client: Any) -> None:
    """After fifteen steps that earn nothing the page says that they are used up."""
    address = begin(client)
    for _ in range(15):
        page = act(client, address, "GOBACK")
    assert "The steps are used up" in page.text
    assert "It earned 0 in 15 steps." in page.text


def test_leaving_the_app_is_no_success(client: Any, world: WikiHow, long: int) -> None:
    """Sharing to another app ends the task, and the page says how."""
    address = begin(client, long)
    for action in world.oracle(world.tasks("test")[long - 1])[:2]:
        act(client, address, action)
    act(client, address, "CLICK(2)")
    act(client, address, "CLICK(2)")
    page = act(client, address, "CLICK(2)")
    assert "You have left the app" in page.text
    assert "Done" not in page.text


def test_reload_sends_nothing_and_a_stale_form_is_refused(client: Any) -> None:
    """Looking again shows the same; a form of an earlier screen, of a tab or by the back button, changes
    nothing but a note, which goes with the next action."""
    address = begin(client)
    first = act(client, address, "CLICK(0)")
    assert see(client, address).elements == first.elements
    for steps in (0, 2, -1):
        stale = act(client, address, "SCROLL(DOWN)", steps=steps)
        assert notice(stale)
        assert "made for an earlier screen" in stale.text
        assert stale.steps == 1
    assert not notice(act(client, address, "CLICK(0)"))


@pytest.mark.parametrize(
    "action",
    [
        "",
        "CLICK(99)",
        "CLICK",
        "click(0)",
        "INPUT(2)",
        "SCROLL(AROUND)",
        "BUY",
        "CLICK(<script>)",
        "x" * 5000,
    ],
)
def test_what_is_no_action_costs_nothing(client: Any, action: str) -> None:
    """The page stays, says why, and counts no step."""
    address = begin(client)
    page = act(client, address, action, steps=0)
    assert notice(page)
    assert "Nothing was done: " in page.text
    assert page.steps == 0
    assert "<script" not in client.get(address).text


def test_a_form_without_its_steps_is_stale(client: Any) -> None:
    """What no page of ours sends does nothing."""
    address = begin(client)
    for data in ({}, {"action": "GOBACK"}, {"action": "GOBACK", "steps": "x"}):
        assert client.post(address, data=data).status_code == 303
        assert see(client, address).steps == 0


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("Red  Kites", "red kites"),
        (" a\tb\r\nc ", "a b c"),
        ("Café (new)", "cafe ( new )"),
        (EVIL, None),
        ("🙂", None),
        ("x, y) z", "x , y ) z"),
        ("<text>", "< text >"),
    ],
)
def test_any_text_can_be_typed(client: Any, text: str, query: str | None) -> None:
    """It is typed as the app types it, shown escaped, and makes no element."""
    address = begin(client)
    before = {tag for tag, _ in see(client, address).elements}
    data = {"action": "INPUT(2, <text>)", "steps": 0, "text": text}
    assert client.post(address, data=data).status_code == 303
    page = see(client, address)
    assert page.steps == 1
    assert {tag for tag, _ in page.elements} - before <= {"ol", "li", "b", "code"}
    assert not any(name.startswith("on") for _, attrs in page.elements for name in attrs)
    fields = [attrs["value"] for tag, attrs in page.elements if attrs.get("form") == "type-1"]
    assert query is None or fields == [query]


def test_an_empty_field_is_a_tap(client: Any) -> None:
    """Enter without words clicks what the field belongs to."""
    address = begin(client)
    client.post(address, data={"action": "INPUT(2, <text>)", "steps": 0, "text": "  "})
    page = see(client, address)
    assert "CLICK(2)" in page.text
    assert "INPUT(1, <text>)" in page.actions


def test_too_long_a_text_is_refused(client: Any) -> None:
    """A thousand letters are no action; a megabyte is no form."""
    address = begin(client)
    for length, status in ((2_000, 303), (1_000_000, 413)):
        data = {"action": "INPUT(2, <text>)", "steps": 0, "text": "x" * length}
        assert client.post(address, data=data).status_code == status
    assert see(client, address).steps == 0


def test_the_numbers_can_be_hidden(client: Any) -> None:
    """The labels go and come back, without a step, and stay as they are while playing."""
    address = begin(client)

    def labels(page: Page) -> int:
        return sum(attrs.get("class") == "tag" for _, attrs in page.elements)

    assert labels(see(client, address)) == 5
    assert labels(act(client, address, site_web.NUMBERS)) == 0
    page = act(client, address, "CLICK(0)")
    assert (labels(page), page.steps) == (0, 1)
    assert labels(act(client, address, site_web.NUMBERS)) > 10


def test_every_control_has_a_name(client: Any, world: WikiHow) -> None:
    """Pages are for those who cannot see them, too: no button or field without a text or label; ids once."""
    address = begin(client)
    for action in [*world.oracle(world.tasks("test")[0]), ""]:
        text = client.get(address).text
        assert not re.search(r"<button(?![^>]*aria-label)[^>]*>\s*</button>", text)
        for tag, attrs in Page(text).elements:
            assert tag != "input" or attrs.get("type") == "hidden" or attrs.get("aria-label")
            assert attrs.get("aria-label") != ""
        ids = re.findall(r' id="([^"]+)"', text)
        assert len(ids) == len(set(ids))
        if action:
            act(client, address, action)


def test_every_page_is_hardened(client: Any) -> None:
    """The policy names the hash of just the style sheet that the page has; no script, nothing loaded."""
    address = begin(client)
    for at in (address, "/", "/nothing"):
        answer = client.get(at)
        style = re.search("<style>(.*?)</style>", answer.text, re.DOTALL)
        assert style is not None
        digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
        policy = answer.headers["Content-Security-Policy"]
        assert f"style-src 'sha256-{digest}'" in policy
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "url(" not in style[1]
        assert not re.search(r"<(script|iframe|object|link(?! rel=\"icon\"))| style=| src=", answer.text)


def test_other_sites_cannot_play(client: Any, world: WikiHow) -> None:
    """A form of another site is refused; another name for this machine is not served."""
    address = begin(client)
    form = {"action": "GOBACK", "steps": 0}
    assert client.post(address, data=form, headers={"Origin": "http://evil.example"}).status_code == 403
    assert client.get(address, headers={"Host": "evil.example"}).status_code == 421
    assert see(client, address).steps == 0
    assert client.get("/visits/nobody").status_code == 404
    assert client.post("/visits/nobody", data=form).status_code == 404


def test_visits_do_not_touch_each_other(world: WikiHow) -> None:
    """Eight people at three tasks at once: each ends with the reward of its own way."""
    app = site_web.create_app(world, world.tasks("0:3"))

    def play(person: int) -> bool:
        number = 1 + person % 3
        with app.test_client() as browser:
            address = begin(browser, number)
            for action in world.oracle(world.tasks("0:3")[number - 1]):
                page = act(browser, address, action)
            return "Done: you have reached the last goal" in page.text

    with ThreadPoolExecutor(8) as people:
        assert list(people.map(play, range(8))) == [True] * 8


def test_impatient_tabs_take_one_step(client: Any) -> None:
    """Of many forms of the same screen sent at once, one is taken."""
    address = begin(client)

    def send(_: int) -> int:
        with client.application.test_client() as tab:
            return int(tab.post(address, data={"action": "CLICK(0)", "steps": 0}).status_code)

    with ThreadPoolExecutor(8) as tabs:
        assert set(tabs.map(send, range(24))) == {303}
    assert see(client, address).steps == 1


def test_old_visits_are_forgotten(world: WikiHow) -> None:
    """The one that was looked at longest ago goes first."""
    client = site_web.create_app(world, world.tasks("0:3"), most_visits=2).test_client()
    first, second = begin(client, 1), begin(client, 2)
    see(client, first)
    begin(client, 3)
    assert client.get(second).status_code == 404
    assert see(client, first)


def test_tasks_that_are_not_its_own(world: WikiHow) -> None:
    """None, or a foreign one first, is an error at once; a foreign one further on is a page."""
    with pytest.raises(UsageError, match="at least one task"):
        site_web.create_app(world, [])
    foreign = Task(id="webshop:1", instruction="buy")
    with pytest.raises(UsageError, match="unknown task"):
        site_web.create_app(world, [foreign])
    client = site_web.create_app(world, [*world.tasks("0:1"), foreign]).test_client()
    answer = client.post("/tasks/2")
    assert answer.status_code == 404
    assert "cannot play that task" in answer.text


def test_without_flask_the_extra_is_named(world: WikiHow, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to install."""
    monkeypatch.setitem(sys.modules, "flask", None)
    with pytest.raises(MissingExtraError, match=r"rlem\[web\]"):
        site_web.create_app(world, world.tasks("0:1"))


def test_the_first_screen_says_how_to_begin(client: Any) -> None:
    """The home page is blank; the hint goes with the first action."""
    address = begin(client)
    assert "To begin, type what to look up" in see(client, address).text
    assert "To begin" not in act(client, address, "CLICK(0)").text


def test_cards_of_a_category_look_alike(world: WikiHow) -> None:
    """Titles of two lines and of three are links in one small type, which has room for both."""
    phone = world.spawn()
    phone.reset(world.tasks("test")[0])
    titles = set()
    for category in world.site.categories:
        phone.app.open(nodes.Page("category", category.slug))
        for box in draw(phone.app.screen()).boxes:
            titles |= {box.text} if box.look == "card" else set()
    assert titles & {article.title for article in world.site.articles if len(article.title) > 42}
    assert titles & {article.title for article in world.site.articles if len(article.title) < 20}


def test_an_empty_drawing_has_no_rules() -> None:
    """No boxes, no places."""
    assert Drawing(boxes=()).css == ""
