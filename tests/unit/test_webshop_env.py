"""The shop as an environment: pages, actions, task sets, quirks kept and crashes answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rlem.core.errors import EnvironmentFaultError, UnknownNameError, UsageError
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


@pytest.fixture(scope="module")
def shops(shop: Shop) -> dict[bool, Shop]:
    """The shop, by whether it is faithful to the original."""
    return {False: shop, True: Shop(shop.catalogue, ranking=shop.ranking, faithful=True)}


def customer(shop: Shop) -> Session:
    """A customer with goal 0."""
    session = Session(shop)
    session.reset(0)
    return session


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
    info = env.step("click[blue [new]]").info
    assert info["valid"] is False
    assert "there is no such element" in str(info["error"])


def test_value_in_two_options_belongs_to_the_last(session: Session) -> None:
    """A value that two options offer is listed once and sets the last of them."""
    session.step("search[number3]")
    session.step("click[b000000003]")
    assert session.clickables.count("red") == 1
    session.step("click[red]")
    assert session.options == {"size": "red"}


@pytest.mark.parametrize("faithful", [False, True])
def test_quoted_values_show_as_chosen(shops: dict[bool, Shop], faithful: bool) -> None:
    """A chosen value with quotes shows as chosen; in the original it never does (behaviour 22)."""
    session = customer(shops[faithful])
    session.step("search[number3]")
    session.step("click[b000000003]")
    session.step('click[the "big" one]')
    assert session.options == {"color": 'the "big" one'}
    assert ("You have clicked" in session.observation()) is not faithful
    assert ('[[the "big" one]]' in session.observation()) is not faithful


def test_a_chosen_name_does_not_mark_a_value(shops: dict[bool, Shop]) -> None:
    """The original marks whatever stands in quotes in the address, keywords included (behaviour 22)."""
    for faithful, shop in shops.items():
        session = customer(shop)
        session.step('search["red" number3]')
        session.step("click[b000000003]")
        assert ("[[red]]" in session.observation()) is faithful


@pytest.mark.parametrize(("faithful", "page"), [(False, 1), (True, 0)])
def test_keywords_can_confuse_the_page(shops: dict[bool, Shop], faithful: bool, page: int) -> None:
    """A page name among the keywords misleads the original's ``< prev`` on an item to page 0, which lists
    nothing (behaviour 17)."""
    session = customer(shops[faithful])
    session.step("search[search_results number3]")
    session.step("click[b000000003]")
    session.step("click[< prev]")
    assert session.page == page
    assert (session.clickables == ("back to search", "next >")) is faithful


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("<a> easy clean", "TypeError"),
        ("<c>", "IndexError"),
        (" ".join(f"w{i}x" for i in range(1025)), "JavaException"),
        (",".join(f"w{i}x" for i in range(1025)), "JavaException"),
    ],
)
def test_crashes_of_the_original(shops: dict[bool, Shop], words: str, error: str) -> None:
    """Searches that crash the original raise in a faithful shop and are answered in ours (behaviour 20)."""
    with pytest.raises(EnvironmentFaultError, match=f"^{error}: "):
        customer(shops[True]).step(f"search[{words}]")
    assert customer(shops[False]).step(f"search[{words}]") == (0.0, False, True)


@pytest.mark.parametrize("faithful", [False, True])
def test_random_products_of_the_next_page(shops: dict[bool, Shop], faithful: bool) -> None:
    """The original draws random products anew for every page; ours stay until the next search."""
    session = customer(shops[faithful])
    session.step("search[<r>]")
    first = session.page_results
    session.step("click[next >]")
    second = session.page_results
    session.step("click[< prev]")
    assert (session.page_results != first) is faithful
    assert len({*first, *second}) == 20 or faithful


def test_as_many_terms_as_the_original_takes(shops: dict[bool, Shop]) -> None:
    """1024 distinct terms are no crash, however often they are repeated."""
    words = " ".join(f"w{i}x" for i in range(1024))
    assert customer(shops[True]).step(f"search[{words} {words}]")[2]


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


@pytest.mark.parametrize("faithful", [False, True])
def test_search_works_on_every_page(shops: dict[bool, Shop], faithful: bool) -> None:
    """A search is accepted on results, items and sub pages; the original takes it after buying, too
    (behaviour 13)."""
    session = customer(shops[faithful])
    for action in ("search[number3]", "click[b000000003]", "click[description]"):
        session.step(action)
        probe = session.step("search[number4]")
        assert probe[2]
        assert session.clickables[2] == "b000000004"
        session.step("search[number3]")
        session.step("click[b000000003]")
    assert session.step("click[buy now]")[1]
    assert session.step("click[description]") == (0.0, False, False)
    assert session.step("search[number4]") == (0.0, False, faithful)


@pytest.mark.parametrize(
    ("action", "word"),
    [
        ("buy it", "reads search"),
        ("", "reads search"),
        ("look[kettle]", "two actions"),
        ("click[kettle]", "no such element"),
    ],
)
def test_invalid_actions_are_explained(env: WebShop, action: str, word: str) -> None:
    """What is not understood leaves the page as it is, costs nothing and says why."""
    before = env.reset("webshop:0")
    step = env.step(action)
    assert (step.observation, step.reward, step.done) == (before.observation, 0.0, False)
    assert word in str(step.info["error"])


def test_react_form(shop: Shop) -> None:
    """ReAct's form: instruction on the first page only, short answers, no second page, thoughts."""
    env = WebShop(shop, observation_mode="react")
    start = env.reset("webshop:0")
    assert start.observation.startswith("\nWebShop \nInstruction:  \nFind me a kettle")
    results = env.step("search[kettle]")
    assert "Instruction" not in results.observation
    assert "[Next >]" in results.observation
    assert [action for action in results.actions if "b0" not in action] == ["click[back to search]"]
    assert env.step("click[next >]").observation == "Invalid action!"
    assert env.step("search[kettle]").observation == "Invalid action!"
    assert env.step("think[the first will do]").observation == "OK."
    env.step(results.actions[1])
    assert env.step("click[red]").observation == "You have clicked red."
    last = env.step("click[buy now]")
    assert last.observation == f"Your score (min 0.0, max 1.0): {last.reward!r}"
    assert last.terminated


def test_attributes_page(shop: Shop) -> None:
    """Shown only when asked for; lists attributes, category, query and product category."""
    session = Session(shop, show_attributes=True)
    session.reset(0)
    for action in ("search[number3]", "click[b000000003]", "click[attributes]"):
        assert session.step(action)[2]
    assert session.observation("text").endswith(
        "easy clean [SEP] garden [SEP] kettles [SEP] Home › Kitchen › Kettles"
    )
    assert "attributes" not in customer(shop).clickables


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
        ("react", 3, "[Next >] "),
        ("html", 10, "<form"),
        ("url", 10, "/search_results/0/kettle/1"),
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
        WebShop(shop, observation_mode="htm")  # type: ignore[arg-type]


def test_task_sets() -> None:
    """The published sets are goals 0-99, 500-509 and 510-519 of the bundled shop, under both names."""
    env = WebShop.bundled()
    assert [task.id for task in env.tasks("small/S0")] == [f"webshop:{i}" for i in range(500, 510)]
    assert list(env.tasks("S1")) == list(env.tasks("510:520")) == list(env.tasks("small/S1"))
    assert len(env.tasks("test")) == 100
    names = {"test", "S0", "S1", "small/test", "small/S0", "small/S1"}
    assert set(env.task_sets()) == names | {"baseline/test", "baseline/eval", "baseline/train"}
    assert [len(env.tasks(f"baseline/{name}")) for name in ("test", "eval")] == [500, 1000]
    assert len(env.tasks("baseline/train")) == len(env.catalogue.goals) - 1500
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


def human_shop(count: int) -> Shop:
    """A shop with so many human goals, in shuffled order."""
    human = {
        f"B{number:09d}": [
            {
                "instruction": f"kettle no. {number}",
                "instruction_attributes": ["x"],
                "instruction_options": [],
            }
        ]
        for number in range(count)
    }
    return Shop(build_catalogue([entry(number) for number in range(count)], {}, human, goals="human"))


def test_official_order_of_human_goals() -> None:
    """Human goals follow the official order where its list is there, and need it otherwise."""
    shop = human_shop(600)
    order = tuple(range(599, -1, -1))
    env = WebShop(shop, official_order=order)
    assert [task.id for task in env.tasks("S0")] == [f"webshop:{599 - i}" for i in range(500, 510)]
    assert list(env.tasks("official:500:510")) == list(env.tasks("S0"))
    assert env.spawn().tasks("S0") == env.tasks("S0")
    assert WebShop(shop).tasks("small/S0")[0].id == "webshop:500"
    with pytest.raises(UsageError, match=r"pub-to-mine\.list"):
        WebShop(shop).tasks("S0")
    with pytest.raises(UsageError, match="0 <= A < B <= 600"):
        env.tasks("official:599:601")
    with pytest.raises(UsageError, match="official:0:100"):
        env.tasks("official:abc")


def test_official_goals_are_found_by_their_words() -> None:
    """With a part of the data the list does not fit; the official texts do, punctuation apart."""
    shop = human_shop(30)
    texts = ["not here", *(f"kettle no {number}" for number in range(30))]
    env = WebShop(shop, official_order=[0, 7000], official_texts=texts)
    found = env.tasks("official:1:31")
    assert [task.instruction.partition(",")[0] for task in found] == [f"kettle no. {i}" for i in range(30)]
    assert len({task.id for task in found}) == 30
    with pytest.raises(UsageError, match="has 9 of them among its 30 human goals"):
        env.tasks("official:0:10")


def test_official_goals_beyond_the_list() -> None:
    """The list reaches to the 600th official goal; later ones are found by their words."""
    shop = human_shop(3)
    env = WebShop(shop, official_order=[2, 0], official_texts=["x", "y", shop.catalogue.goals[1].instruction])
    assert [task.id for task in env.tasks("official:0:3")] == ["webshop:2", "webshop:0", "webshop:1"]


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

    with pytest.raises(DataError, match="does not exist"):
        WebShop.open(tmp_path / "none")
