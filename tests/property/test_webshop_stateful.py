"""What holds in the shop for any sequence of actions, among products made to break it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any, ClassVar

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from rlem.core.errors import EnvironmentFaultError, UsageError
from rlem.core.types import Step
from rlem.environments.webshop.analysis import terms
from rlem.environments.webshop.data import build_catalogue
from rlem.environments.webshop.env import WebShop
from rlem.environments.webshop.pages import MODES, ObservationMode
from rlem.environments.webshop.session import Shop, parse_action

HTML = "<script>evil(1)</script><xss data-evil='1'>&amp;</article></main></body>\" onclick=\"evil(2)"
SQL = "Robert'); DROP TABLE products; -- \" OR 1=1"
CONTROLS = "a\x00b\x07c\x1b[31md\x7fe\x85f\u2028g\u2029h\ti\r\nj\x0bk"
RIGHT_TO_LEFT = "\u202eقميص קומקום\u202c \u200f\ufeff"
EMOJI = "🫖👩‍👩‍👧‍👦 e\u0301\u0327 ﬃ İı ẞß ΑΣ \U000e0001\uffff"
SIGNS = "back\\slash \"double\" 'single' {curly} [square] (round) `tick` %s {0} $x \\u0041 / | + & ;"

TEXTS = ("", " ", HTML, SQL, CONTROLS, RIGHT_TO_LEFT, EMOJI, SIGNS, "search_results item_page done shoe")
OPTIONS: tuple[Mapping[str, list[str]], ...] = (
    {},
    {"size": ["s", "m", "m", "S "], "fit": ["m", "loose"]},
    {"Buy Now": ["buy now", "< prev", "Next >"], "to": ["back to search", "description", "search"]},
    {"html": [HTML, "<b>"], "sql": [SQL]},
    {"signs": ["a [b]", "c]d", "]", "[", "\\", '"', "e]"], "": ["", "  "]},
    {"controls": [CONTROLS, "x\ny", "\x00"], "item_sub_page": ["search_results", "done"]},
    {"emoji": [EMOJI, RIGHT_TO_LEFT, "İ", "ẞ"], 'na"me': ["size", '"size"']},
    {"color": ["red / blue", "b000000001", "features"], HTML: [HTML, "1"]},
)
BUY, NEXT = "click[buy now]", "click[next >]"
PRICES = ("$9.5", "$10.0 - $20.0", "$979.99", "$980.0", "$12,000.00", "", "$0", "$3.0 to $2.0")


def products() -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """Every nasty text as title, description and bullet; every set of options; every price."""
    entries, about = [], {}
    for place, text in enumerate(TEXTS * 2):
        asin = f"B{place:09}" if place else "b000000001"  # two ids that differ in case only
        options = OPTIONS[place % len(OPTIONS)]
        entries.append(
            {
                "asin": asin,
                "name": text,
                "full_description": TEXTS[(place + 3) % len(TEXTS)] + " shoe" * (place % 2),
                "small_description": [text, "", "shoe", TEXTS[(place + 5) % len(TEXTS)]],
                "pricing": PRICES[place % len(PRICES)],
                "customization_options": {
                    name: [{"value": value} for value in values] for name, values in options.items()
                },
                "category": ("shoes", "<c>", "two words")[place % 3],
                "query": ("red shoe", HTML.lower())[place % 2],
                "product_category": ("a › b › c", HTML, "")[place % 3],
            }
        )
        wanted = ["soft", text.lower() or "plain"]
        about[asin] = {"attributes": wanted, "instruction": f"buy {text}", "instruction_attributes": wanted}
    return entries, about


@cache
def shop(faithful: bool, copy: int = 0) -> Shop:
    """The shop, made once; each ``copy`` is one more that shares nothing with it."""
    entries, about = products()
    return Shop(build_catalogue(entries, about, price_seed=1), faithful=faithful)


@cache
def our_tags() -> frozenset[str]:
    """The sorts of elements that our page templates have."""
    folders = (files("rlem.environments.webshop") / "templates", files("rlem.environments") / "web_templates")
    found = [file for folder in folders for file in folder.iterdir() if file.name.endswith(".j2")]
    sources = [file.read_text(encoding="utf-8") for file in found]
    return frozenset(re.findall(r"<([a-z]\w*)", " ".join(sources)))


class Page(HTMLParser):
    """What a browser would find in a page: elements, attributes, the actions of live buttons."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.sent: set[str] = set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """One element."""
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)
        found = dict(attrs)
        if tag == "button" and found.get("value") and "disabled" not in found:
            self.sent.add(found["value"] or "")

    handle_startendtag = handle_starttag


LONG = {
    "{10 kB}": "x" * 10_240,
    "{shoes}": "shoe " * 2048,
    "{1100 terms}": " ".join(f"w{number}" for number in range(1100)),
}
"""Search words too long for a report, by the names that stand for them in actions."""

WORDS = st.one_of(
    st.sampled_from(["shoe", "red shoe soft", "", " ", "  shoe  ", "search_results shoe", "item_page"]),
    st.sampled_from(["<r>", "<c>", "<c> shoes", "<c> two words", "<q> red shoe", "<q>", "<a>", "<a> soft"]),
    st.sampled_from([HTML, SQL, CONTROLS, RIGHT_TO_LEFT, EMOJI, SIGNS, "\ud800 shoe", *LONG]),
    st.text(max_size=20),
)
KNOWN = st.sampled_from([*TEXTS, "buy now", "< prev", "next >", "back to search", "b000000001", "search"])
ODD_ACTIONS = st.one_of(
    st.text(max_size=20),
    KNOWN.map(lambda text: f"click[{text}]"),
    st.sampled_from(
        ["click[buy now", "click buy now]", "[buy now]", " click[buy now]", "click[]", "search[]"]
    ),
    st.sampled_from(["Click[buy now]", "click[Buy Now] please", "click[[buy now]]", "buy now", "", "\n"]),
    st.sampled_from(["think[hm]", "think[]", "search[cool [t-shirt]]", "click[search]", "click\n[buy now]"]),
)

RUNS = settings(
    max_examples=80,
    stateful_step_count=25,
    phases=(Phase.generate, Phase.shrink),
    report_multiple_bugs=False,
)
"""Without the phase that explains a failure: it takes minutes."""


class Customer(RuleBasedStateMachine):
    """One customer, and a twin in a shop of its own that is sent the same actions.

    ``step``: the last answer; ``understood``: the last to an action that was; ``trace``: those actions.
    """

    mode: ObservationMode = "text_rich"
    faithful = False
    played: ClassVar[list[str]] = []
    """Understood actions of all runs together."""

    def __init__(self) -> None:
        super().__init__()
        self.env, self.twin = (
            WebShop(shop(self.faithful, copy), observation_mode=self.mode) for copy in range(2)
        )

    @initialize(goal=st.integers(0, 999), seed=st.integers(0, 2))
    def begin(self, goal: int, seed: int) -> None:
        """Any goal."""
        goal %= len(self.env.catalogue.goals)
        self.task, self.seed = f"webshop:{goal}", seed
        self.first = self.step = self.understood = self.env.reset(self.task, seed=seed)
        assert self.twin.reset(self.task, seed=seed) == self.step
        self.trace: list[str] = []
        self.bought = False

    @precondition(lambda self: not self.bought)
    @rule(place=st.integers(0, 60), words=WORDS)
    def listed(self, place: int, words: str) -> None:
        """An action of the list, words filled in."""
        action = self.step.actions[place % len(self.step.actions)].replace("<words>", words)
        self.send(action, listed="[" not in words and "\n" not in words and words != "")

    @precondition(lambda self: not self.bought)
    @rule(
        words=st.sampled_from(["<r>", "<r>", "shoe", "<q> red shoe"]),
        place=st.integers(0, 9),
        options=st.lists(st.integers(0, 30), max_size=3),
    )
    def open_product(self, words: str, place: int, options: list[int]) -> None:
        """The way to a product and its options."""
        if "search[<words>]" not in self.step.actions:
            self.send("click[back to search]")
        self.send(f"search[{words}]")
        ids = [action for action in self.step.actions if re.fullmatch(r"click\[b\d{9}]", action)]
        if ids:
            self.send(ids[place % len(ids)], listed=True)
        for number in options:
            actions = self.step.actions
            listed = actions[actions.index(BUY) + 1 :] if BUY in actions else ()
            if listed:
                self.send(listed[number % len(listed)], listed=True)

    @precondition(lambda self: BUY in self.step.actions)
    @rule()
    def buy(self) -> None:
        """A purchase."""
        self.send(BUY, listed=True)
        assert self.bought

    @precondition(lambda self: not self.bought)
    @rule(action=ODD_ACTIONS)
    def odd(self, action: str) -> None:
        """Any text as an action."""
        self.send(action)

    @precondition(lambda self: not self.bought)
    @rule(words=WORDS)
    def search(self, words: str) -> None:
        """A search from any page."""
        self.send(f"search[{words}]")

    @precondition(lambda self: not self.bought and len(self.trace) <= 12)
    @rule()
    def all_listed(self) -> None:
        """Each listed action is valid: another customer who came here the same way sends it."""
        for action in self.step.actions:
            other, _ = self.followed()
            answer = other.step(action.replace("<words>", "shoe"))
            assert answer.info["valid"], action
            assert answer.terminated == (action == BUY)
        assert self.env.step("") == self.twin.step("")
        self.unchanged(self.env.step(""))

    @precondition(lambda self: len(self.trace) <= 12)
    @rule()
    def again(self) -> None:
        """The same seed and the same actions lead to the same step."""
        assert self.followed()[1] == self.understood

    @precondition(lambda self: self.bought)
    @rule(action=st.sampled_from(["search[shoe]", "click[buy now]", "", "click[back to search]"]))
    def after_the_end(self, action: str) -> None:
        """A step after the end is refused and says what to do."""
        for env in (self.env, self.twin):
            with pytest.raises(UsageError, match="reset"):
                env.step(action)

    @rule(task=st.sampled_from(["webshop:999999", "webshop:-1", "webshop:", "", "0", "webshop:0\n", "x:0"]))
    def unknown_task(self, task: str) -> None:
        """A goal that does not exist is refused with what is allowed; the episode goes on."""
        with pytest.raises(UsageError, match="webshop:0 to webshop:"):
            self.env.reset(task)

    @rule(seed=st.integers(0, 2))
    def anew(self, seed: int) -> None:
        """Another beginning of the same task."""
        first = self.env.reset(self.task, seed=seed)
        assert first == self.twin.reset(self.task, seed=seed)
        assert first.observation == self.first.observation
        self.step = self.understood = first
        self.seed, self.trace, self.bought = seed, [], False

    @invariant()
    def page(self) -> None:
        """A page is a text; as HTML it has no element or attribute but ours, and its buttons are listed."""
        assert isinstance(self.step.observation, str)
        assert bool(self.step.actions) != self.bought
        if self.mode == "html":
            found = Page(self.step.observation)
            assert found.tags <= our_tags()
            assert not {name for name in found.attributes if name.startswith("on") or "evil" in name}
            assert {action for action in found.sent if action.startswith("click")} <= set(self.step.actions)

    def send(self, action: str, *, listed: bool = False) -> None:
        """Sends an action and checks what must hold of every answer."""
        for name, words in LONG.items():
            action = action.replace(name, words)
        try:
            step = self.env.step(action)
        except EnvironmentFaultError:
            assert self.faithful
            assert documented(action)
            with pytest.raises(EnvironmentFaultError):
                self.twin.step(action)
            self.unchanged(self.env.step(""))
            self.twin.step("")
            if NEXT in self.step.actions:  # the episode goes on from the page that it was on
                self.send(NEXT, listed=True)
                assert self.followed()[1] == self.understood
            return
        assert step == self.twin.step(action)
        assert not step.truncated
        if listed:
            assert step.info["valid"], action
        if not step.info["valid"]:
            self.unchanged(step)
            return
        if step.terminated:
            assert (parse_action(action) or ("", ""))[1] == "buy now"
            assert BUY in self.step.actions
            assert 0.0 <= step.reward <= 1.0
        else:
            assert step.reward == 0.0
        self.trace.append(action)
        self.played.append(action)
        self.step = self.understood = step
        self.bought = step.terminated

    def unchanged(self, step: Step) -> None:
        """What is not understood changes nothing; ReAct's form says so in place of the page."""
        assert step.actions == self.step.actions
        assert step.observation == ("Invalid action!" if self.mode == "react" else self.step.observation)
        assert (step.reward, step.terminated, step.info["valid"]) == (0.0, False, False)
        assert step.info["error"]
        if self.mode == "react":
            self.step = step

    def followed(self) -> tuple[WebShop, Step]:
        """Another customer in the same shop who came here by the same way, and the last step of it."""
        other = self.env.spawn()
        step = other.reset(self.task, seed=self.seed)
        for action in self.trace:
            step = other.step(action)
        return other, step


def documented(action: str) -> bool:
    """Whether the original crashes on a search (behaviour 20)."""
    words = (parse_action(action) or ("", ""))[1]
    keywords = words.split(" ")
    if keywords[0] in ("<r>", "<q>", "<c>"):
        return keywords == ["<c>"]
    return keywords[0] == "<a>" or len(set(terms(words))) > 1024


@pytest.mark.parametrize("faithful", [False, True], ids=["default", "faithful"])
@pytest.mark.parametrize("mode", MODES)
def test_any_sequence_of_actions(mode: ObservationMode, faithful: bool) -> None:
    """No sequence of actions breaks what the environment promises."""
    played: list[str] = []
    machine = type("Customer", (Customer,), {"mode": mode, "faithful": faithful, "played": played})
    run_state_machine_as_test(machine, settings=RUNS)  # its rules and invariants assert
    assert len(set(played)) > 20  # it did play
