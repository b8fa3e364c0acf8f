"""The original's gym face: sessions, draws, earlier observations, counts."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from rlem.core.errors import EnvironmentFaultError, UnknownNameError, UsageError
from rlem.environments.webshop.catalogue import generate
from rlem.environments.webshop.data import build_catalogue
from rlem.environments.webshop.original import TextEnv, goal_as_dict
from rlem.environments.webshop.session import Shop


@pytest.fixture(scope="module")
def shop() -> Shop:
    """Forty of the bundled products."""
    return Shop(build_catalogue(*generate(n_products=40)))


def bought(env: TextEnv) -> tuple[float, bool]:
    """Buys the first product that a search shows: (reward, done)."""
    env.step("search[steel]")
    product = next(text for text in env.get_available_actions()["clickables"] if text not in BUTTONS)
    env.step(f"click[{product}]")
    _, reward, done, _ = env.step("click[buy now]")
    return reward, done


BUTTONS = ("back to search", "next >", "< prev")


def test_reset_and_step_answer_as_the_original(shop: Shop) -> None:
    """Two values from reset, four from step; the reward comes with the purchase."""
    env = TextEnv(shop)
    observation, nothing = env.reset(3)
    goal = shop.catalogue.goals[3]
    assert nothing is None
    assert observation == f"WebShop [SEP] Instruction: [SEP] {goal.instruction} [SEP] Search"
    assert env.get_available_actions() == {"has_search_bar": True, "clickables": ["search"]}
    assert env.instruction_text == env.get_instruction_text() == f"Instruction: {goal.instruction}"
    assert env.state["url"] == "http://127.0.0.1:3000/3"
    assert env.state["instruction_text"] == env.instruction_text
    assert "<html" in env.state["html"]
    assert env.step("click[the moon]") == (observation, 0.0, False, None)
    reward, done = bought(env)
    assert done
    assert 0 <= reward <= 1


@pytest.mark.parametrize(("variant", "clickable"), [("upstream", 10), ("fork", 3)])
def test_variants_show_ten_or_three(shop: Shop, variant: str, clickable: int) -> None:
    """Upstream lets click ten products in its own rich form, the fork three in the shorter one."""
    env = TextEnv(shop, variant=variant, observation_mode="text_rich")  # type: ignore[arg-type]
    env.reset(0)
    observation = env.step("search[<r>]")[0]
    found = [text for text in env.get_available_actions()["clickables"] if text not in BUTTONS]
    assert len(found) == clickable
    assert ("[button] Next > [button_]" in observation) == (variant == "upstream")


@pytest.mark.parametrize("mode", ["text", "text_rich", "url", "html"])
def test_modes(shop: Shop, mode: str) -> None:
    """Each mode shows the page in its form."""
    env = TextEnv(shop, observation_mode=mode)  # type: ignore[arg-type]
    begin = {"text": "WebShop [SEP]", "text_rich": "WebShop\n", "url": "http://", "html": "<!DOCTYPE html>"}
    assert env.reset(0)[0].lower().startswith(begin[mode].lower())
    assert env.observation == env.reset(0)[0]


def test_a_session_keeps_its_goal(shop: Shop) -> None:
    """A name has one goal for the environment's life; 3 and "3" are one name; others draw anew."""
    env = TextEnv(shop)
    env.reset("anna")
    number = env.goal_index
    for other in range(5):
        env.reset(other)
        assert env.goal_index == other
        env.reset("anna")
        assert env.goal_index == number
    env.reset("7")
    drawn = env.goal_index
    env.reset(7)
    assert env.goal_index == drawn
    assert TextEnv(shop).goal_index == TextEnv(shop).goal_index


def test_a_session_without_name_gets_ten_letters(shop: Shop) -> None:
    """The name is random, of ten lower-case letters, with the prefix before it."""
    env = TextEnv(shop, session_prefix="w0_")
    env.reset()
    name = env.session.removeprefix("w0_")
    assert env.session.startswith("w0_")
    assert len(name) == 10
    assert name.isascii()
    assert name.isalpha()
    assert name.islower()
    first = env.session
    env.reset()
    assert env.session != first
    env.reset(4)
    assert env.session == "w0_4"
    assert env.goal_index == 4


def test_randomness_is_the_callers(shop: Shop) -> None:
    """The same generator gives the same sessions and searches; the module's own is not touched."""
    before = random.getstate()

    def trace(seed: int) -> list[str]:
        env = TextEnv(shop, rng=random.Random(seed), faithful=True)
        env.reset()
        return [env.session, env.get_instruction_text(), env.step("search[<r>]")[0]]

    assert trace(1) == trace(1)
    assert trace(1) != trace(2)
    assert random.getstate() == before


def test_weighted_draws_with_and_without_the_slip(shop: Shop) -> None:
    """The original never draws goal 0; the default draws every goal."""
    few = {"filter_goals": lambda number, goal: number < 4}

    def drawn(faithful: bool) -> Counter[int]:
        env = TextEnv(shop, faithful=faithful, filter_goals=few["filter_goals"])
        found: Counter[int] = Counter()
        for number in range(600):
            env.reset(f"s{number}")
            found[env.goal_index] += 1
        return found

    assert set(drawn(True)) == {1, 2, 3}
    assert set(drawn(False)) == {0, 1, 2, 3}


def test_filter_and_limit(shop: Shop) -> None:
    """A filter sees the goal's number and the original's dict; a limit draws so many different goals."""
    goals = shop.catalogue.goals
    kind = goals[0].product.category
    env = TextEnv(shop, filter_goals=lambda number, goal: goal["category"] == kind and number % 2 == 0)
    assert list(env.goal_numbers) == [
        n for n, goal in enumerate(goals) if goal.product.category == kind and n % 2 == 0
    ]
    env.reset(1)
    assert env.goal is goals[env.goal_numbers[1]]
    limited = TextEnv(shop, limit_goals=5)
    assert len(set(limited.goal_numbers)) == 5
    assert TextEnv(shop, limit_goals=10**6).goal_numbers == range(len(goals))
    alone = TextEnv(shop, limit_goals=1, faithful=True)
    assert alone.goal_index == 0


def test_a_goal_as_the_original_has_it(shop: Shop) -> None:
    """The dict has the original's keys; options are a dict in synthetic goals, a list in human ones."""
    goal = next(goal for goal in shop.catalogue.goals if goal.options)
    found = goal_as_dict(goal, "synthetic")
    assert found["asin"] == goal.product.asin
    assert found["instruction_text"] == goal.instruction
    assert found["goal_options"] == dict(goal.options)  # type: ignore[arg-type]
    assert goal_as_dict(goal, "human")["goal_options"] == list(goal.options)


def test_earlier_observations_and_actions(shop: Shop) -> None:
    """They stand before the observation, oldest first; a new session begins without."""
    plain = TextEnv(shop)
    env = TextEnv(shop, num_prev_obs=1, num_prev_actions=2)
    actions = ["search[steel]", "click[next >]", "click[nothing]"]
    seen = [plain.reset(2)[0], *(plain.step(action)[0] for action in actions)]
    assert env.reset(2)[0] == seen[0]
    answers = [env.step(action)[0] for action in actions]
    assert answers[0] == " [SEP] ".join([seen[0], actions[0], seen[1]])
    assert answers[1] == " [SEP] ".join([actions[0], seen[1], actions[1], seen[2]])
    assert answers[2] == " [SEP] ".join([actions[1], seen[2], actions[2], seen[3]])
    env.reset(2)
    assert env.step(actions[0])[0] == answers[0]


def test_earlier_ones_can_be_asked_for_later(shop: Shop) -> None:
    """The numbers are attributes, as in the original; what was seen and sent can be read."""
    env = TextEnv(shop)
    start, _ = env.reset(2)
    assert (env.num_prev_obs, env.num_prev_actions) == (0, 0)
    found = env.step("search[steel]")[0]
    assert (env.prev_obs, env.prev_actions) == ([start, found], ["search[steel]"])
    env.num_prev_obs, env.num_prev_actions = 1, 1
    same = "click[nothing]"
    assert env.step(same)[0] == " [SEP] ".join([found, same, found])
    env.reset(2)
    assert (env.prev_obs, env.prev_actions) == ([start], [])


def test_after_a_purchase(shop: Shop) -> None:
    """A default session takes nothing more; a faithful one takes a search."""
    for faithful in (False, True):
        env = TextEnv(shop, faithful=faithful)
        env.reset(1)
        assert bought(env)[1]
        end = env.observation
        assert env.step("click[back to search]") == (end, 0.0, False, None)
        observation, reward, done, _ = env.step("search[steel]")
        assert (reward, done) == (0.0, False)
        assert (observation == end) is not faithful


def test_gym_manners(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """render gives the text page and prints nothing; close may be called twice; clickables map to actions."""
    env = TextEnv(shop, observation_mode="html")
    env.reset(0)
    assert env.render() == env.render(mode="human") == TextEnv(shop).reset(0)[0]
    env.step("search[steel]")
    assert list(env.text_to_clickable) == env.get_available_actions()["clickables"]
    page = env.observation
    assert env.step(env.text_to_clickable["next >"])[0] != page
    env.close()
    env.close()
    assert capsys.readouterr().out == ""


def test_a_number_of_products_is_checked(shop: Shop) -> None:
    """All products or more are what the shop has; fewer are refused with what to do."""
    for number in (None, 40, 1000):
        assert len(TextEnv(shop, num_products=number).shop.catalogue.products) == 40
    for number in (39, 0, -1):
        with pytest.raises(UsageError, match=rf"num_products={number}: .*40 products.*smaller shop"):
            TextEnv(shop, num_products=number)


def test_what_a_session_counts(shop: Shop) -> None:
    """Searches, pages, products, options and the purchase are counted until the search page; "done" stays."""
    env = TextEnv(shop, show_attrs=True, faithful=True)
    env.reset(0)
    product = next(product for product in shop.catalogue.products if product.options)
    option = product.options[0][1][0]
    env.step(f"search[<q> {product.query}]")
    while product.asin.lower() not in env.get_available_actions()["clickables"]:
        env.step("click[next >]")
    pages = env.session_state["actions"]["search"]
    for action in (f"click[{product.asin}]", f"click[{option}]", "click[attributes]", "click[< prev]"):
        env.step(action)
    env.step("click[nowhere]")
    state = env.session_state
    assert state["actions"] == {"search": pages, "asin": 1, "options": 1, "Attributes": 1}
    assert state["options"] == {product.options[0][0]: option}
    assert state["asin"] == product.asin
    assert state["asins"] == [product.asin]
    assert not state["done"]
    env.step("click[buy now]")
    assert env.session_state["actions"]["purchase"] == 1
    assert env.session_state["done"]
    env.step("search[steel]")
    env.step("click[back to search]")
    assert env.session_state["actions"] == {}
    assert env.session_state["done"]
    env.reset(1)
    assert not env.session_state["done"]


def test_instruction_texts(shop: Shop) -> None:
    """A text given to reset is only reported; an assigned one is written over the goal and stays there."""
    env = TextEnv(shop)
    observation, _ = env.reset(5, instruction_text="given")
    assert env.instruction_text == "given"
    assert "given" not in observation
    own = env.get_instruction_text()
    assigned = TextEnv(shop, assigned_instruction_text="mine")
    assert assigned.reset(5)[0] == "WebShop [SEP] Instruction: [SEP] mine [SEP] Search"
    assigned.assigned_instruction_text = None
    assigned.reset(5)
    assert assigned.get_instruction_text() == "Instruction: mine"
    env.reset(5)
    assert env.get_instruction_text() == own


def test_a_faithful_shop_fails_where_the_original_fails(shop: Shop) -> None:
    """The default answers a search by attribute, the faithful one raises, and goes on."""
    env = TextEnv(shop, faithful=True)
    env.reset(0)
    with pytest.raises(EnvironmentFaultError, match=r"^TypeError"):
        env.step("search[<a> slim fit]")
    assert env.step("search[steel]")[0].startswith("Instruction:")
    assert "Page 1" in TextEnv(shop).step("search[<a> slim fit]")[0]


def test_data_from_a_folder(tmp_path: Path) -> None:
    """A folder is opened with the caller's generator, which goes on where the original's would."""
    products, attributes = generate(n_products=20)
    (tmp_path / "items_shuffle.json").write_text(json.dumps(products), encoding="utf-8")
    (tmp_path / "items_ins_v2.json").write_text(json.dumps(attributes), encoding="utf-8")
    env = TextEnv(tmp_path, faithful=True, rng=random.Random(4))
    other = TextEnv(tmp_path, faithful=True, rng=random.Random(5))
    assert env.session == other.session  # seeded for the shuffle on the way
    assert len(env.goal_numbers) == len(env.shop.catalogue.goals)
    again = TextEnv(tmp_path, faithful=True, rng=random.Random(4))
    assert [goal.instruction for goal in env.shop.catalogue.goals] == [
        goal.instruction for goal in again.shop.catalogue.goals
    ]


def test_wrong_use(shop: Shop) -> None:
    """A goal, variant or mode that does not exist is refused with what is allowed."""
    env = TextEnv(shop)
    count = len(shop.catalogue.goals)
    with pytest.raises(UsageError, match=f"0 to {count - 1}"):
        env.reset(count)
    with pytest.raises(UsageError, match="does not exist"):
        env.reset(-1)
    for action in (None, 3, ["search[x]"]):
        with pytest.raises(UsageError, match=r"an action is a text, search\[words\] or click\[element\]"):
            env.step(action)  # type: ignore[arg-type]
    assert env.prev_actions == []
    with pytest.raises(UnknownNameError, match="upstream"):
        TextEnv(shop, variant="upstrem")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="text_rich"):
        TextEnv(shop, observation_mode="text_ritch")  # type: ignore[arg-type]
