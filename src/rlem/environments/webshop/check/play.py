"""Recorded episodes and flows, and the odds and ends around them, replayed through the original's face."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rlem.core.errors import DataError, EnvironmentFaultError
from rlem.environments.checking import Found, Record, Unreadable, differences, json_content
from rlem.environments.webshop.check.shops import Shops
from rlem.environments.webshop.data import NO_LIMIT, GoalDraws
from rlem.environments.webshop.original import TextEnv, Variant, goal_as_dict

STRING_SESSION_SEED = 5
"""The recorder seeded so before each text session, and so before ``<r>``; found by trying, told nowhere."""
RANDOM_SEARCH_SEED = 1

_LIMIT_TEXT = ", and price lower than "
_MANY_WORDS = re.compile(r"search\[w0x w1x \.\.\. w(\d+)x\]")
_FILTER = re.compile(r'lambda i, ?g: ?g\["category"\] ?== ?"([^"]*)" and i ?% ?(\d+) ?== ?0')
_RANDOM_COUNTS = re.compile(r"random_idx_(\d+)_goals_weights_([\d_]+)_(\d+)_draws_seed(\d+)")


def replay_episode(
    shops: Shops, variant: Variant, row: Record, *, human: bool = False, show_attrs: bool = False
) -> list[Found]:
    """What differs in an episode: every field of the first step that differs, or of its end."""
    env = TextEnv(shops.shop(human), variant=variant, show_attrs=show_attrs)
    env.reset(row["session"])
    start = [
        ("goal_index", env.goal_index, row["goal_index"]),
        ("instruction", env.get_instruction_text(), row["instruction"]),
        ("goal_asin", env.goal.product.asin, row["goal_asin"]),
    ]
    if found := differences(start):
        return found
    for step in row["steps"]:
        if found := step_differences(env, variant, step):
            place = f"step {step['t']} {step['action']!r:.80}"
            return [(f"{place}: {field}", ours, theirs) for field, ours, theirs in found]
    if crash := row.get("exception"):
        return _crash_differences(env, crash)
    verdict = env.customer.last_verdict
    return differences(
        [
            ("final.done", env.session_state["done"], row["final"]["done"]),
            ("final.reward", verdict.total if verdict else None, row["final"]["reward"]),
            ("final.verbose_info", verdict.as_info() if verdict else None, row["final"]["verbose_info"]),
        ]
    )


def step_differences(env: TextEnv, variant: Variant, step: Record) -> list[Found]:
    """Takes a recorded step and says which of its fields differ."""
    reward: float | None = None
    done = False
    if step["action"] is not None:
        if step["action"].startswith("search[<r>"):
            env.rng.seed(RANDOM_SEARCH_SEED)
        try:
            _, reward, done, _ = env.step(step["action"])
        except EnvironmentFaultError as error:
            return [("exception", str(error), None)]
    customer, seen, state, ours = env.customer, step["obs"], step["session_state"], env.session_state
    rich: Any = "text_rich" if variant == "fork" else "text_rich_upstream"
    pairs: list[Found] = [
        ("obs.text", customer.observation("text"), seen["text"]),
        ("obs.text_rich", customer.observation(rich), seen["text_rich"]),
        ("obs.url", customer.observation("url"), seen["url"]),
        ("available", env.get_available_actions(), step["available"]),
        ("reward", reward, step["reward"]),
        ("done", done, step["done"]),
        ("info", None, step["info"]),
    ]
    theirs = {**state, "asins": sorted(state["asins"])}
    fields = dict.fromkeys((*ours, *theirs))
    pairs += [(f"session_state.{field}", ours.get(field), theirs.get(field)) for field in fields]
    return differences(pairs)


def _crash_differences(env: TextEnv, crash: Record) -> list[Found]:
    """Whether we fail as the original did: the same exception by name. Its message is the original's own."""
    action = crash["action"]
    if many := _MANY_WORDS.match(action):  # the recording has this one in words
        action = f"search[{' '.join(f'w{number}x' for number in range(int(many[1]) + 1))}]"
    try:
        env.step(action)
    except EnvironmentFaultError as error:
        return differences([("exception.type", str(error).split(":")[0], crash["type"])])
    return [("exception.type", None, crash["type"])]


class Misc:
    """The sections of a misc file."""

    def __init__(self, shops: Shops, variant: Variant) -> None:
        self.shops = shops
        self.variant = variant
        self._texts: TextEnv | None = None
        self._sections: dict[str, Callable[[Record], list[Found]]] = {
            "pre_seed_sensitivity": self._pre_seed,
            "reset_none_after_random_seed": self._reset_none,
            "string_sessions": self._string_session,
            "limit_filter": self._limit_or_filter,
            "edge_flows": lambda row: replay_episode(shops, variant, row),
            "option_flows": lambda row: replay_episode(shops, variant, row),
            "prev_obs_actions": self._earlier,
            "show_attrs": lambda row: replay_episode(shops, variant, row, show_attrs=True),
            "session_prefix": self._prefix,
            "assigned_instruction_text": self._assigned,
            "reset_with_instruction_text": self._given_text,
        }

    def rows(self, path: Path) -> Iterator[tuple[str, tuple[str, Record] | Unreadable]]:
        """Every entry of every section; a section that is not known is one row that cannot be read."""
        content = json_content(path)
        if not isinstance(content, dict):
            raise DataError(f"{path}: holds a {type(content).__name__}; expected an object of sections")
        for section, entries in content.items():
            if section not in self._sections and not _RANDOM_COUNTS.fullmatch(section):
                known = ", ".join(self._sections)
                yield section, Unreadable(f"unknown section {section!r}; known: {known}")
                continue
            for number, entry in enumerate(entries if isinstance(entries, list) else [entries]):
                name = f"{section}[{number}]" if isinstance(entries, list) else section
                yield name, (section, entry)

    def replay(self, row: tuple[str, Record]) -> list[Found]:
        """What differs in one entry."""
        section, entry = row
        if counts := _RANDOM_COUNTS.fullmatch(section):
            return _count_differences(counts, entry)
        return self._sections[section](entry)

    def _env(self, *, human: bool = False, **options: Any) -> TextEnv:
        return TextEnv(self.shops.shop(human), variant=self.variant, **options)

    def _pre_seed(self, row: Record) -> list[Found]:
        """Goals and first session of a shop built from a seed. Without one the prices are anybody's: then
        only what does not depend on them is compared."""
        human, seed = row["human_goals"], row["pre_seed"]
        unseeded = not isinstance(seed, int)
        rng = random.Random(0 if unseeded else seed)
        catalogue = self.shops.seeded(human, rng)
        env = TextEnv(self.shops.around(catalogue), variant=self.variant, rng=rng)
        goals = [goal_as_dict(goal, catalogue.goal_kind) for goal in catalogue.goals]
        order = [goal["asin"] + json.dumps(goal["goal_options"]) for goal in goals]
        # No limit is an int there, and the recorded hash is one of texts.
        limits = [int(limit) if (limit := goal["price_upper"]) == NO_LIMIT else limit for goal in goals]
        prices = sorted((product.asin, product.price) for product in catalogue.products)
        ours, theirs = env.get_instruction_text(), row["first_instruction"]
        pairs: list[Found] = [
            ("n", len(catalogue.goals), row["n"]),
            ("order_sha256", _sha256("\n".join(order)), row["order_sha256"]),
            ("first_session_after_construction", env.session, row["first_session_after_construction"]),
            ("first_instruction", ours.split(_LIMIT_TEXT)[0], theirs.split(_LIMIT_TEXT)[0]),
        ]
        if not unseeded:
            pairs += [
                ("first_instruction", ours, theirs),
                ("price_upper_first20", limits[:20], row["price_upper_first20"]),
                ("price_upper_sha256", _sha256(json.dumps(limits)), row["price_upper_sha256"]),
                ("prices_sha256", _sha256(json.dumps(prices)), row["prices_sha256"]),
            ]
        return differences(pairs)

    def _reset_none(self, row: Record) -> list[Found]:
        env = self._env(human=row["human_goals"])
        env.rng.seed(row["seed"])
        observation, _ = env.reset()
        return differences(
            [
                ("session", env.session, row["session"]),
                ("goal_index", env.goal_index, row["goal_index"]),
                ("obs", observation, row["obs"]),
            ]
        )

    def _string_session(self, row: Record) -> list[Found]:
        """Sessions of one server, one after the other."""
        if self._texts is None:
            self._texts = self._env()
        env, session = self._texts, row["session"]
        env.rng.seed(STRING_SESSION_SEED)
        env.reset(session)
        number = env.goal_index
        env.reset(session)
        return differences(
            [
                ("type", type(session).__name__, row["type"]),
                ("goal_index", number, row["goal_index"]),
                ("second_reset_same_goal", env.goal_index == number, row.get("second_reset_same_goal", True)),
            ]
        )

    def _limit_or_filter(self, row: Record) -> list[Found]:
        if "limit_goals" in row:
            env = self._env(limit_goals=row["limit_goals"])
        else:
            rule = _FILTER.fullmatch(row["filter"])
            if rule is None:
                raise DataError(f"field 'filter' is {row['filter']!r}, a rule that is not known")
            category, every = rule[1], int(rule[2])
            env = self._env(
                filter_goals=lambda number, goal: goal["category"] == category and number % every == 0
            )
        numbers = list(env.goal_numbers)
        pairs: list[Found] = [("indices_in_full_list", numbers, row["indices_in_full_list"])]
        return differences([*pairs, ("n", len(numbers), row.get("n", len(numbers)))])

    def _earlier(self, row: Record) -> list[Found]:
        env = self._env(num_prev_obs=row["num_prev_obs"], num_prev_actions=row["num_prev_actions"])
        answers = [env.reset(row["session"])[0]]
        answers += [env.step(action)[0] for action in row["actions"]]
        recorded = row["returned_observations"]
        pairs: list[Found] = [("returned_observations", len(answers), len(recorded))]
        pairs += [
            (f"returned_observations[{number}]", *pair)
            for number, pair in enumerate(zip(answers, recorded, strict=False))
        ]
        return differences(pairs)

    def _prefix(self, row: Record) -> list[Found]:
        prefix, _, number = row["session"].rpartition("_")
        env = self._env(session_prefix=f"{prefix}_")
        env.reset(int(number))
        return differences([("session", env.session, row["session"]), ("url", env.state["url"], row["url"])])

    def _assigned(self, row: Record) -> list[Found]:
        """The text is written over the goal's own, and stays when the environment no longer assigns it."""
        text = row["obs"].split(" [SEP] ")[2]
        env = self._env(assigned_instruction_text=text)
        observation, _ = env.reset(0)
        env.assigned_instruction_text = None
        env.reset(0)
        kept = env.goal.instruction == text
        return differences([("obs", observation, row["obs"]), ("mutates_goal", kept, row["mutates_goal"])])

    def _given_text(self, row: Record) -> list[Found]:
        """The recording does not tell which goal it was: the one whose instruction the page shows."""
        shown, given = row["get_instruction_text"], row["env_instruction_text"]
        goals = self.shops.catalogue(False).goals
        number = next((n for n, goal in enumerate(goals) if shown == f"Instruction: {goal.instruction}"), 0)
        env = self._env()
        observation, _ = env.reset(number, instruction_text=given)
        return differences(
            [
                ("obs", observation, row["obs"]),
                ("env_instruction_text", env.instruction_text, given),
                ("get_instruction_text", env.get_instruction_text(), shown),
            ]
        )


def _count_differences(section: re.Match[str], recorded: Record) -> list[Found]:
    """How often each goal came in many draws."""
    weights = [float(weight) for weight in section[2].split("_")]
    draws = GoalDraws(weights, faithful=True)
    rng = random.Random(int(section[4]))
    counts: dict[str, int] = {}
    for _ in range(int(section[3])):
        name = str(draws.one(rng))
        counts[name] = counts.get(name, 0) + 1
    pairs: list[Found] = [("weights", len(weights), int(section[1])), ("counts", counts, dict(recorded))]
    return differences(pairs)


def replay_react(shops: Shops, row: Record) -> list[Found]:
    """ReAct's pages of one session: its own page of a search, of a product, of what belongs to it."""
    number = re.fullmatch(r"fixed_(\d+)", row["session"])
    if number is None:
        raise DataError(f"field 'session' is {row['session']!r}; expected fixed_N")
    # The recording was made page by page on a site; the engine's own way to a product is a search.
    env = TextEnv(shops.shop(True, faithful=False))
    customer = env.customer
    env.reset(int(number[1]))
    pairs: list[Found] = [("init", [customer.observation("react"), {}], row["init"])]
    env.step(f"search[{row['query']}]")
    found = {"asins": list(customer.page_results)}
    pairs.append(("search", [customer.observation("react"), found], row["search"]))
    _find(env, row["asin"])
    product = shops.catalogue(True).by_asin[row["asin"]]
    types = {value: name for name, values in product.options for value in values}
    kinds = {"option_types": types} if types else {}
    pairs.append(("item", [customer.observation("react"), kinds], row["item"]))
    for value in row["options"].values():
        env.step(f"click[{value}]")
        pairs.append(("item_opts", customer.observation("react"), f"You have clicked {value}."))
    for name in ("Description", "Features", "Reviews"):
        env.step(f"click[{name}]")
        pairs.append((name, [customer.observation("react"), {}], row[name]))
        env.step("click[< prev]")
    pairs.append(("item_opts", [customer.observation("react"), kinds], row["item_opts"]))
    pairs.append(("options", customer.options, row["options"]))
    _, reward, _, _ = env.step("click[buy now]")
    pairs.append(("end", [customer.observation("react"), {"reward": reward}], row["end"]))
    return differences(pairs)


def _find(env: TextEnv, asin: str) -> None:
    """Goes to a product's page, by the list of all products of its query."""
    product = env.shop.catalogue.by_asin.get(asin)
    if product is None:
        raise DataError(f"field 'asin' is {asin!r}, which is not among the products")
    env.step(f"search[<q> {product.query}]")
    while asin not in env.customer.page_results and env.customer.page_results:
        env.step("click[next >]")
    env.step(f"click[{asin.lower()}]")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
