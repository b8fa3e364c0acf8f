"""The shop as an environment: pages, actions, task sets, quirks kept and crashes answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rlem.core.errors import UnknownNameError, UsageError
from rlem.environments.webshop.data import build_catalogue
from rlem.environments.webshop.env import SEARCH_ACTION, WebShop
from rlem.environments.webshop.session import Session, Shop, parse_action


def entry(number: int, **changes: Any) -> dict[str, Any]:
    """A kettle in the original's form."""
    return {
        "asin": f"B{number:09d}",
        "name": f"Kettle number{number}",
        "full_description": f"Description {number}",
        "small_description": ["", "whistles"],
        "pricing": "$20.00",
        "customization_options": {
            "color": [{"value": "red"}, {"value": 'the "big" one'}, {"value": "blue [new]"}],
            "size": [{"value": "7"}, {"value": "red"}],
        },
        "category": "garden" if number % 2 else "kitchen",
        "query": "kettles",
        "product_category": "Home › Kitchen › Kettles",
        **changes,
    }


ABOUT = {
    "attributes": ["easy clean"],
    "instruction": "Find me a kettle",
    "instruction_attributes": ["easy clean"],
}


@pytest.fixture(scope="module")
def shop() -> Shop:
    """A shop with 25 kettles."""
    entries = [entry(number) for number in range(24)] + [entry(24, name="", customization_options="")]
    return Shop(build_catalogue(entries, {e["asin"]: ABOUT for e in entries}))


@pytest.fixture
def session(shop: Shop) -> Session:
    """A customer with goal 0."""
    session = Session(shop)
    session.reset(0)
    return session


@pytest.fixture
def env(shop: Shop) -> WebShop:
    """The environment over the small shop."""
    return WebShop(shop)


@pytest.mark.parametrize(
    ("action", "parsed"),
    [
        ("click[Buy Now]", ("click", "buy now")),
        ("click[x] now", ("click", "x")),
        ("search[cool [t-shirt]]", ("search[cool ", "t-shirt]")),
        ("  click[x]", ("  click", "x")),
        ("search[a\nb]", None),
        ("search[]", None),
        ("[x]", None),
        ("click[x", None),
        ("", None),
        ("a[]]", ("a", "]")),
    ],
)
def test_parse_action(action: str, parsed: tuple[str, str] | None) -> None:
    """An action is split at the last bracket that leaves an argument, on its first line."""
    assert parse_action(action) == parsed


def test_pages_in_turn(env: WebShop) -> None:
    """Search page, results, item, option, sub page, back, buy: the listed actions lead through the shop."""
    step = env.reset("webshop:0")
    assert step.actions == (SEARCH_ACTION,)
    assert step.observation.startswith("\nWebShop \nInstruction:  \nFind me a kettle")
    step = env.step("search[Kettle number3]")
    assert step.actions[:3] == ("click[back to search]", "click[next >]", "click[b000000003]")
    assert len(step.actions) == 5
    step = env.step("click[b000000003]")
    assert "click[buy now]" in step.actions
    step = env.step("click[7]")
    assert step.observation.startswith("\nYou have clicked 7.")
    assert "size [[7]][red]" in step.observation
    step = env.step("click[features]")
    assert step.actions == ("click[back to search]", "click[< prev]")
    assert step.observation.endswith("\n whistles ")
    step = env.step("click[< prev]")
    assert "[[7]]" in step.observation
    step = env.step("click[buy now]")
    assert step.terminated
    assert 0 < step.reward < 1
    assert step.info["r_price"] is True
    assert 'options \n{"size": "7"} ' in step.observation


def test_options_that_cannot_be_sent_are_not_listed(env: WebShop, session: Session) -> None:
    """A value with a bracket stands on the page and among the clickables, but no action can carry it."""
    env.reset("webshop:0")
    env.step("search[Kettle number3]")
    step = env.step("click[b000000003]")
    assert "[blue [new]]" in step.observation
    assert not any("blue" in action for action in step.actions)
    assert env.step("click[blue [new]]").info == {"valid": False}


def test_value_in_two_options_belongs_to_the_last(session: Session) -> None:
    """A value that two options offer is listed once and sets the last of them."""
    session.step("search[number3]")
    session.step("click[b000000003]")
    assert session.clickables.count("red") == 1
    session.step("click[red]")
    assert session.options == {"size": "red"}


def test_quoted_values_never_show_as_chosen(session: Session) -> None:
    """A value with quotes is chosen but not shown as such, as in the original."""
    session.step("search[number3]")
    session.step("click[b000000003]")
    session.step('click[the "big" one]')
    assert session.options == {"color": 'the "big" one'}
    assert "You have clicked" not in session.observation()


def test_keywords_can_confuse_the_page(session: Session) -> None:
    """A page name among the keywords misleads ``< prev`` on an item to page 0, which lists nothing."""
    session.step("search[search_results number3]")
    session.step("click[b000000003]")
    session.step("click[< prev]")
    assert session.page == 0
    assert session.clickables == ("back to search", "next >")


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ("<r>", 25),
        ("<c> garden", 12),
        ("<c>", 0),
        ("<q> kettles", 25),
        ("<q>", 0),
        ("<a> easy clean", 25),
        ("<a>", 0),
    ],
)
def test_special_searches(session: Session, words: str, count: int) -> None:
    """Searches by field list all exact matches; what crashes the original lists what fits, or nothing."""
    assert session.step(f"search[{words}]") == (0.0, False, True)
    assert f"(Total results: {count})" in session.observation()


def test_random_search_follows_the_seed(shop: Shop) -> None:
    """``<r>`` draws by the seed of reset, keeps its draw while paging, and draws anew when searched again."""
    one, two = Session(shop), Session(shop)
    for session in (one, two):
        session.reset(0, seed=7)
        session.step("search[<r>]")
    first = one.clickables
    assert two.clickables == first
    one.step("click[next >]")
    one.step("click[< prev]")
    assert one.clickables == first
    one.step("search[<r>]")
    assert one.clickables != first


def test_many_query_terms(session: Session) -> None:
    """A search of thousands of words, which the original's engine refuses, is answered."""
    assert session.step(f"search[number3 {' '.join(f'w{i}x' for i in range(3000))}]")[2]
    assert "b000000003" in session.clickables


def test_search_works_on_every_page(session: Session) -> None:
    """A search is accepted on results, items, sub pages and even after buying."""
    for action in ("search[number3]", "click[b000000003]", "click[description]"):
        session.step(action)
        probe = session.step("search[number4]")
        assert probe[2]
        assert session.clickables[2] == "b000000004"
        session.step("search[number3]")
        session.step("click[b000000003]")
    assert session.step("click[buy now]")[1]
    assert session.step("click[description]") == (0.0, False, False)
    assert session.step("search[number4]") == (0.0, False, True)


def test_empty_texts(session: Session) -> None:
    """An empty title makes no line; an empty bullet makes an empty segment of the plain text."""
    session.step("search[description 24]")
    session.step("click[b000000024]")
    assert "\n[< Prev]\nPrice: $20.0 " in session.observation()
    session.step("click[features]")
    assert session.observation("text").endswith("< Prev [SEP]  [SEP] whistles")


def test_session_before_reset(shop: Shop) -> None:
    """A session without a goal, or with one that does not exist, says so."""
    with pytest.raises(UsageError, match="reset"):
        Session(shop).observation()
    with pytest.raises(UsageError, match="allowed: 0 to"):
        Session(shop).reset(10_000)


@pytest.mark.parametrize(
    ("mode", "shown", "line"),
    [
        ("text_rich", 3, "[Next >]"),
        ("text_rich_upstream", 10, "[button] Next > [button_]"),
        ("text", 10, "Next >"),
    ],
)
def test_observation_modes(shop: Shop, mode: Any, shown: int, line: str) -> None:
    """The mode decides the form and how many products of a page can be clicked."""
    env = WebShop(shop, observation_mode=mode)
    env.reset("webshop:0")
    step = env.step("search[kettle]")
    assert line in step.observation
    assert len([action for action in step.actions if "[b0" in action]) == shown


def test_unknown_mode(shop: Shop) -> None:
    """An unknown observation mode is named with the known ones."""
    with pytest.raises(UnknownNameError, match="text_rich_upstream"):
        WebShop(shop, observation_mode="html")  # type: ignore[arg-type]


def test_task_sets() -> None:
    """The published sets are goals 0-99, 500-509 and 510-519 of the bundled shop, under both names."""
    env = WebShop.bundled()
    assert [task.id for task in env.tasks("small/S0")] == [f"webshop:{i}" for i in range(500, 510)]
    assert list(env.tasks("S1")) == list(env.tasks("510:520")) == list(env.tasks("small/S1"))
    assert len(env.tasks("test")) == 100
    assert set(env.task_sets()) == {"test", "S0", "S1", "small/test", "small/S0", "small/S1"}
    task = env.tasks("test")[0]
    assert not task.instruction.startswith("Instruction")
    assert task.kind == env.catalogue.goals[0].product.category


def test_small_catalogue_lacks_sets(env: WebShop) -> None:
    """A set that needs more goals than there are is a UsageError that tells how many there are."""
    count = len(env.catalogue.goals)
    with pytest.raises(UsageError, match=f"has {count} synthetic goals"):
        env.tasks("S0")
    with pytest.raises(UnknownNameError, match="did you mean"):
        env.tasks("tset")


def test_official_order_of_human_goals() -> None:
    """Human goals follow the official order where its list is there, and need it otherwise."""
    human = {
        f"B{number:09d}": [
            {"instruction": f"kettle {number}", "instruction_attributes": ["x"], "instruction_options": []}
        ]
        for number in range(600)
    }
    catalogue = build_catalogue([entry(number) for number in range(600)], {}, human, goals="human")
    shop = Shop(catalogue)
    order = tuple(range(599, -1, -1))
    tasks = WebShop(shop, official_order=order).tasks("S0")
    assert [task.id for task in tasks] == [f"webshop:{599 - i}" for i in range(500, 510)]
    assert WebShop(shop).tasks("small/S0")[0].id == "webshop:500"
    with pytest.raises(UsageError, match=r"pub-to-mine\.list"):
        WebShop(shop).tasks("S0")


def test_oracle_on_the_bundled_shop() -> None:
    """Every goal of the bundled shop's published sets can be met by the oracle within the step limit."""
    env = WebShop.bundled()
    for task in (*env.tasks("test"), *env.tasks("S0"), *env.tasks("S1")):
        env.reset(task)
        actions = env.oracle(task)
        last = [env.step(action) for action in actions][-1]
        assert env.succeeded(last.reward, last), (task.id, last.reward)
        assert len(actions) <= env.max_steps


def test_spawn_shares_the_shop(env: WebShop) -> None:
    """A spawned environment uses the same catalogue and index."""
    assert env.spawn().shop is env.shop


def test_loading_does_not_import_the_generator(tmp_path: Path) -> None:
    """Opening a folder needs no bundled catalogue; a missing folder is named."""
    from rlem.core.errors import DataError

    with pytest.raises(DataError, match="not a folder"):
        WebShop.from_folder(tmp_path / "none")
