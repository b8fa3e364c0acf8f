"""The shop's pages as HTML: every action is on them, every text is escaped, nothing is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from typing import Any

import pytest

from rlem.core.errors import UsageError
from rlem.environments.webshop import html, pages
from rlem.environments.webshop.data import build_catalogue
from rlem.environments.webshop.env import WebShop
from rlem.environments.webshop.html import Around, render
from rlem.environments.webshop.session import Session, Shop

EVIL = "<script>alert(1)</script>\"'&{{ 7 * 7 }}"
VOID = {"meta", "link", "input", "meter"}


class Reader(HTMLParser):
    """What a browser makes of a page: elements, buttons that can be pressed, visible text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.actions: list[str] = []
        self.pressed: list[str] = []
        self.disabled: list[dict[str, str]] = []
        self._texts: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        assert len(found) == len(attrs), "no attribute stands twice"
        self.elements.append((tag, found))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "button" and "disabled" in found:
            self.disabled.append(found)
        elif tag == "button" and found.get("name") == "action":
            self.actions.append(found["value"])
            if found.get("aria-pressed") == "true":
                self.pressed.append(found["value"])

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag, "elements are nested"

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self._texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self._texts).split())


def product(asin: str = "B000000001", **changes: Any) -> dict[str, Any]:
    """A product in the original's form."""
    return {
        "asin": asin,
        "name": "red cable",
        "full_description": "a cable",
        "small_description": ["red", "long"],
        "pricing": "$9.5",
        "category": "electronics",
        "query": "cable",
        "product_category": "Electronics › Cables",
        "customization_options": {"Size": [{"value": "1 m"}, {"value": "2 m"}]},
        **changes,
    }


def session(*products: Mapping[str, Any], shown: int = pages.PER_PAGE) -> Session:
    """A customer with a goal, in a shop of these products."""
    wishes = {
        str(entry["asin"]): {
            "attributes": ["red"],
            "instruction": f"i want a red cable {EVIL}",
            "instruction_attributes": ["red"],
        }
        for entry in products
    }
    found = Session(Shop(build_catalogue(products, wishes)), shown=shown)
    found.reset(0)
    return found


def go(customer: Session, *actions: str) -> Reader:
    """Takes actions that must be understood; the page after them."""
    for action in actions:
        assert customer.step(action)[2], action
    return Reader(render(customer))


def values(*texts: str) -> Sequence[Mapping[str, str]]:
    return [{"value": text} for text in texts]


@pytest.fixture(scope="module")
def bundled() -> WebShop:
    """A small bundled shop."""
    return WebShop.bundled(n_products=60)


def test_every_page_offers_what_the_session_takes(bundled: WebShop) -> None:
    """On the way of the oracle, the buttons of a page are the clickables of the session, and search."""
    customer = Session(bundled.shop, shown=pages.PER_PAGE)
    kinds = set()
    for goal in range(4):
        customer.reset(goal)
        for action in ["", *bundled.oracle(f"webshop:{goal}"), ""]:
            if action:
                customer.step(action)
            kinds.add(customer.kind)
            found = Reader(render(customer))
            clicks = {a for a in found.actions if a != html.SEARCH}
            assert clicks == {f"click[{text}]" for text in customer.clickables if text != "search"}
            assert (html.SEARCH in found.actions) == (customer.kind in ("start", "search_results"))
            assert customer.goal is not None
            assert " ".join(customer.goal.instruction.split()) in found.text
    assert kinds == {"start", "search_results", "item_page", "done"}


def test_a_page_loads_and_runs_nothing() -> None:
    """No scripts, no addresses, one style sheet in the page; the title is the page's own."""
    for page in (
        render(session(product())),
        go_text("search[cable]"),
        go_text("search[cable]", "click[b000000001]"),
    ):
        found = Reader(page)
        names = [name for name, _ in found.elements]
        assert names.count("style") == 1
        assert not {"script", "img", "iframe", "object", "embed"} & set(names)
        assert not [a for _, attrs in found.elements for a in attrs if a.startswith("on") or a == "src"]
        assert [attrs["href"] for _, attrs in found.elements if "href" in attrs] == ["data:,"]
        assert "url(" not in html.style_sheet()
        assert "@import" not in html.style_sheet()
        assert names.count("title") == names.count("h1") == names.count("main") == 1


def go_text(*actions: str) -> str:
    """The page after actions, as text."""
    customer = session(product())
    for action in actions:
        customer.step(action)
    return render(customer)


def test_without_its_style_the_page_is_the_same() -> None:
    """For readers without eyes the style sheet is left out, and nothing else."""
    customer = session(product())
    plain = render(customer, styled=False)
    assert "<style" not in plain
    assert len(plain) < 2000
    assert Reader(plain).text == Reader(render(customer)).text
    assert Reader(plain).actions == Reader(render(customer)).actions


@pytest.mark.parametrize("actions", [[], ["click[description]"], ["click[features]"], ["click[buy now]"]])
def test_texts_of_products_and_people_are_escaped(actions: list[str]) -> None:
    """Markup in any text of the shop, the instruction or the search words is shown, never obeyed."""
    evil = product(
        name=EVIL, full_description=EVIL, small_description=[EVIL], query=EVIL, category=EVIL,
        product_category=EVIL, customization_options={EVIL: values(EVIL.replace("[", ""))},
    )  # fmt: skip
    customer = session(evil)
    results = go(customer, f"search[{EVIL} cable]")
    field = next(attrs for name, attrs in results.elements if name == "input")
    assert field["value"] == f"{EVIL} cable".lower()
    found = go(customer, "click[b000000001]", *actions)
    assert "script" not in [name for name, _ in found.elements]
    assert EVIL in found.text or EVIL.lower() in found.text
    assert "49" not in found.text


def test_results_show_title_price_id_and_visits() -> None:
    """Ids, prices and the count are there; a product that was opened is marked, the others are not."""
    customer = session(product(), product("B000000002", name="blue cable", pricing="$5"))
    first = go(customer, "search[cable]")
    assert "Page 1 (Total results: 2)" in first.text
    for text in ("red cable", "blue cable", "$9.5", "$5.0", "B000000001", "B000000002"):
        assert text in first.text
    assert "Visited" not in first.text
    again = go(customer, "click[b000000002]", "click[< prev]")
    assert again.text.count("Visited") == 1
    assert "B000000002 Visited" in again.text


def test_pages_before_the_first_and_past_the_last_are_empty_pages() -> None:
    """Turning on for ever is allowed and says that nothing is there; finding nothing says so, too."""
    customer = session(product())
    assert "There is nothing on this page." in go(customer, "search[cable]", "click[next >]").text
    assert "click[< prev]" in go(customer).actions
    assert "Nothing was found. Try other words." in go(customer, "search[zebra]").text


def test_only_products_that_can_be_clicked_are_listed() -> None:
    """A customer who sees three products of ten has three on the page."""
    many = [product(f"B00000000{number}") for number in range(9)]
    found = go(session(*many, shown=3), "search[cable]")
    assert len([a for a in found.actions if a.startswith("click[b0")]) == 3


def test_chosen_options_are_pressed() -> None:
    """aria-pressed tells what is chosen, also when another value of the option takes its place."""
    customer = session(product())
    assert go(customer, "search[cable]", "click[b000000001]").pressed == []
    assert go(customer, "click[1 m]").pressed == ["click[1 m]"]
    assert go(customer, "click[2 m]").pressed == ["click[2 m]"]


def test_odd_option_values_work_as_far_as_the_action_form_goes() -> None:
    """Quotes, closing brackets and other letters can be clicked; what no action can say is disabled and
    says why."""
    odd = ['27" wide', "a]b", "größe ü", "x & y <z>", "½ | {}", "🙂"]
    never = ["[s", "cool [t-shirt]", "two\nlines", "nul\x00", "half \ud83d"]
    customer = session(product(customization_options={"size": values(*odd, *never, "")}))
    found = go(customer, "search[cable]", "click[b000000001]")
    assert [f"click[{value}]" for value in odd] == [a for a in found.actions if a[6:-1] in odd]
    assert len(found.disabled) == len(never) + 1
    assert all("click[...]" in attrs["title"] and "value" not in attrs for attrs in found.disabled)
    for value in odd:
        assert go(customer, f"click[{value}]").pressed == [f"click[{value}]"]


def test_sub_pages_show_their_texts() -> None:
    """Description, features and the reviews that the shop does not have."""
    customer = session(product())
    assert "a cable" in go(customer, "search[cable]", "click[b000000001]", "click[description]").text
    assert "red long" in go(customer, "click[< prev]", "click[features]").text
    assert "This product has no reviews." in go(customer, "click[< prev]", "click[reviews]").text


def test_other_customers_see_their_own_pages() -> None:
    """With the attributes page there is a fourth tab; by ReAct's rules, no search and no turning of pages."""
    shop = session(product()).shop
    customer = Session(shop, show_attributes=True)
    customer.reset(0)
    go(customer, "search[cable]", "click[b000000001]")
    assert "Electronics › Cables" in go(customer, "click[attributes]").text
    customer = Session(shop, react=True)
    customer.reset(0)
    assert go(customer, "search[cable]").actions == ["click[back to search]", "click[b000000001]"]


def test_a_price_without_limit() -> None:
    """Goals of dear products have no price limit; the table says so."""
    found = go(session(product(pricing="$1200")), "search[cable]", "click[b000000001]", "click[buy now]")
    assert "Price $1,200.00, no limit 1 of 1" in found.text


def test_the_end_shows_the_score_and_its_parts() -> None:
    """The exact reward as data, its parts as a table whose last row is the score."""
    customer = session(product(), product("B000000002", name="blue rope", query="rope", pricing="$500"))
    for asin, option in (("b000000001", "1 m"), ("b000000002", "2 m")):
        customer.reset(0)
        found = go(customer, "search[cable rope]", f"click[{asin}]", f"click[{option}]", "click[buy now]")
        verdict = customer.last_verdict
        assert verdict is not None
        data = next(attrs for name, attrs in found.elements if name == "data")
        assert float(data["value"]) == verdict.total
        info = verdict.as_info()
        assert f"Attributes {verdict.attribute_matches} of 1" in found.text
        assert f"Options {verdict.option_matches} of 1" in found.text
        assert f"{int(bool(info['r_price']))} of 1" in found.text
        assert f"{asin.upper()}" in found.text
        assert found.actions == []


def test_what_a_site_puts_around_is_shown() -> None:
    """Notice, trail, label and addresses of a site are on the page; texts among them are escaped."""
    around = Around(home="/", label="Task 1 of 2", post_to="/here", notice=EVIL, trail=(f"search[{EVIL}]",))
    found = Reader(render(session(product()), around))
    assert f"search[{EVIL}]" in found.text
    assert "Task 1 of 2" in found.text
    assert {attrs["action"] for name, attrs in found.elements if name == "form"} == {"/here"}
    assert [attrs.get("role") for name, attrs in found.elements if attrs.get("class") == "notice"] == [
        "status"
    ]


def test_long_words_do_not_make_a_long_title() -> None:
    """Ten thousand letters of search words stand in the search field, not in the title."""
    customer = session(product())
    customer.step(f"search[{'x' * 10_000}]")
    page = render(customer)
    assert page.count("x" * 10_000) == 1
    assert len(page.split("<title>")[1].split("</title>")[0]) < 120


def test_a_session_without_a_goal_has_no_page() -> None:
    """Rendering before reset is refused with what to do."""
    with pytest.raises(UsageError, match="call reset first"):
        render(Session(session(product()).shop))
