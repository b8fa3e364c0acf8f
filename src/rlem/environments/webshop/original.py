"""The gym face of the original (``WebAgentTextEnv``), for programs that were written against it.

``reset`` and ``step`` answer with the original's tuples, sessions stick to their goals, and observations
can carry earlier ones. It is the shop's engine underneath: no server, no HTML parsing.
"""

from __future__ import annotations

import random
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from rlem.core.errors import UnknownNameError, UsageError
from rlem.environments.webshop import pages
from rlem.environments.webshop.data import SHUFFLE_SEED, Goal, GoalDraws, GoalKind
from rlem.environments.webshop.env import WebShop
from rlem.environments.webshop.pages import ObservationMode
from rlem.environments.webshop.session import Session, Shop, parse_action

Variant = Literal["upstream", "fork"]
SEPARATOR = " [SEP] "
_ALL = -1
_NAME_LETTERS = 10
_MODES: Mapping[Variant, tuple[dict[str, ObservationMode], int]] = {
    "upstream": (
        {"text": "text", "text_rich": "text_rich_upstream", "url": "url", "html": "html"},
        pages.PER_PAGE,
    ),
    "fork": ({"text": "text", "text_rich": "text_rich", "url": "url", "html": "html"}, pages.SHOWN),
}


def goal_as_dict(goal: Goal, kind: GoalKind) -> dict[str, Any]:
    """A goal under the original's names, as its filters take it."""
    product, options = goal.product, goal.options
    wanted: Any = list(options) if kind == "human" else dict(options)  # type: ignore[arg-type]
    return {
        "asin": product.asin,
        "category": product.category,
        "query": product.query,
        "name": product.title,
        "product_category": product.product_category,
        "instruction_text": goal.instruction,
        "attributes": list(goal.attributes),
        "price_upper": goal.price_upper,
        "goal_options": wanted,
        "weight": goal.weight,
    }


def _check_action(action: object) -> None:
    if not isinstance(action, str):
        raise UsageError(f"step({action!r:.60}): an action is a text, search[words] or click[element]")


class TextEnv:
    """The original's text environment over our engine.

    ``shop``: a shop, or where its data is (a folder with the original's files, or an imported store);
    ``human_goals`` then says which goals. ``variant``: "upstream" (ten products of a result page can be
    clicked) or "fork", the Rememberer authors' (three, and their shorter ``text_rich``). ``filter_goals``
    takes a goal's number and the goal as the original's dict. ``limit_goals`` draws so many by weight.
    ``num_prev_obs``, ``num_prev_actions``: so many earlier ones stand before each observation; both can be
    changed later. ``num_products``: None, or how many products the shop has, which is checked.

    >>> env = TextEnv(WebShop.bundled(n_products=20).shop, observation_mode="text_rich")
    >>> observation, _ = env.reset(3)
    >>> observation, reward, done, _ = env.step("search[steel]")
    >>> env.get_available_actions()["clickables"][:2], reward, done
    (['back to search', 'next >'], 0.0, False)
    >>> env.close()

    Otherwise than in the original: ``file_path`` and ``server`` are ``shop``, the one argument without a
    name, and ``env.server`` is ``env.shop`` (its goals ``env.goal_numbers``, its ``user_sessions`` the
    :attr:`session_state`); ``observation_mode`` is "text" if not given; ``session`` (overwritten by the
    first reset there) and ``get_image`` are absent, and so are other keywords, which it ignores.

    Randomness is ``rng``, or a generator made of ``seed``. With ``faithful`` it stands for the
    original's global generator: used for prices, seeded with 233 for the shuffle, and used on for names,
    goals and random searches; goals are then drawn with the original's slip. Else draws are by weight.
    Source: Yao et al. 2022 (WebShop), web_agent_site.envs.
    """

    def __init__(
        self,
        shop: Shop | str | Path,
        *,
        observation_mode: Literal["text", "text_rich", "url", "html"] = "text",
        variant: Variant = "upstream",
        human_goals: bool = False,
        filter_goals: Callable[[int, dict[str, Any]], bool] | None = None,
        limit_goals: int = _ALL,
        num_products: int | None = None,
        num_prev_obs: int = 0,
        num_prev_actions: int = 0,
        show_attrs: bool = False,
        session_prefix: str | None = None,
        assigned_instruction_text: str | None = None,
        faithful: bool = False,
        rng: random.Random | None = None,
        seed: int = 0,
    ) -> None:
        if variant not in _MODES:
            raise UnknownNameError("variant", variant, _MODES)
        modes, shown = _MODES[variant]
        if observation_mode not in modes:
            raise UnknownNameError("observation mode", observation_mode, modes)
        self.rng = rng or random.Random(seed)
        if isinstance(shop, Shop):
            self.shop = self._enter(shop, faithful, own_rng=rng is None)
        else:
            kind: GoalKind = "human" if human_goals else "synthetic"
            self.shop = WebShop.open(shop, goals=kind, price_seed=self.rng, faithful=faithful).shop
            if not faithful and rng is None:
                self.rng.seed(seed)
        self._check_count(num_products)
        self.faithful = self.shop.faithful
        self.observation_mode = observation_mode
        self.assigned_instruction_text = assigned_instruction_text
        self.instruction_text = ""
        self.session = ""
        """Name of the session that is open."""
        self._mode = modes[observation_mode]
        self._prefix = session_prefix or ""
        self.num_prev_obs, self.num_prev_actions = num_prev_obs, num_prev_actions
        self.prev_obs: list[str] = []
        """Observations of the session so far, without earlier ones before them."""
        self.prev_actions: list[str] = []
        """What was sent in the session so far."""
        self._goal_of: dict[str, int] = {}
        self._bought: set[str] = set()
        self._assigned: dict[int, Goal] = {}
        self._customer = Session(self.shop, shown=shown, show_attributes=show_attrs)
        self._actions: Counter[str] = Counter()
        self.goal_numbers = self._choose_goals(filter_goals, limit_goals)
        """Places in the catalogue of the goals that are played, in order."""
        self._draws = GoalDraws(self._weights(self.goal_numbers), faithful=self.faithful)
        self.reset()

    def _enter(self, shop: Shop, faithful: bool, *, own_rng: bool) -> Shop:
        """The shop, faithful if asked for; our generator then as the original's when its goals are loaded."""
        if faithful and not shop.faithful:
            shop = Shop(shop.catalogue, nouns=shop.nouns, ranking=shop.ranking, faithful=True)
        if shop.faithful and own_rng:
            self.rng.seed(SHUFFLE_SEED)
            self.rng.shuffle(list(range(len(shop.catalogue.goals))))
        return shop

    def reset(
        self, session: int | str | None = None, instruction_text: str | None = None
    ) -> tuple[str, None]:
        """Opens a session: (observation, None).

        An int is a goal's number, a text a session with a goal drawn by weight, None one with a name of
        ten random letters. A name that was open before keeps its goal; 3 and "3" are one name.
        ``instruction_text`` replaces what :attr:`instruction_text` says, not what the page shows.
        Errors: UsageError for a goal that does not exist.
        """
        if session is None:
            name = "".join(self.rng.choices(string.ascii_lowercase, k=_NAME_LETTERS))
        else:
            name = str(session)
        self.session = self._prefix + name
        number = self._goal_of.get(self.session)
        if number is None:
            number = self._draws.one(self.rng) if not isinstance(session, int) else self._checked(session)
            self._goal_of[self.session] = number
        self._customer.reset(self._goal(number), session_id=self.session, rng=self.rng)
        self._actions.clear()
        self.instruction_text = self.get_instruction_text() if instruction_text is None else instruction_text
        observation = self.observation
        self.prev_obs, self.prev_actions = [observation], []
        return observation, None

    def step(self, action: str) -> tuple[str, float, bool, None]:
        """Sends an action: (observation with the earlier ones asked for, reward, whether it bought, None).

        What is not understood changes nothing and earns 0. After a purchase nothing is understood: call
        reset. In a faithful shop, as in the original, a search is, and the session goes on.
        Errors: UsageError for an action that is no text; EnvironmentFaultError in a faithful shop where
        the original fails.
        """
        _check_action(action)
        page = self._customer.kind
        reward, bought, valid = self._customer.step(action)
        if valid:
            self._count(action, page)
        if bought:
            self._bought.add(self.session)
        observation = self.observation
        self.prev_actions.append(action)
        answer = self._with_earlier(observation)
        self.prev_obs.append(observation)
        return answer, reward, bought, None

    def render(self, mode: str = "human") -> str:
        """The current page as text, whatever the mode; prints nothing."""
        return self._customer.observation("text")

    def close(self) -> None:
        """Does nothing, as in the original: there is no server to end. May be called twice."""

    @property
    def observation(self) -> str:
        """The current page in the environment's mode, without earlier ones."""
        return self._customer.observation(self._mode)

    @property
    def state(self) -> dict[str, str]:
        """Address, HTML (our own) and instruction of the current page."""
        seen = self._customer
        return {
            "url": seen.url,
            "html": seen.observation("html"),
            "instruction_text": self.instruction_text,
        }

    @property
    def session_state(self) -> dict[str, Any]:
        """The open session as the original's server keeps it: keywords, page, asin, asins, options,
        actions (how often each sort was done since the search page), done (ever bought)."""
        seen = self._customer
        return {
            "keywords": seen.keywords,
            "page": seen.page,
            "asin": seen.asin,
            "asins": sorted(seen.visited),
            "options": dict(seen.options),
            "actions": dict(self._actions),
            "done": self.session in self._bought,
        }

    @property
    def goal(self) -> Goal:
        """The goal of the open session."""
        assert self._customer.goal is not None
        return self._customer.goal

    @property
    def goal_index(self) -> int:
        """Number of that goal among the played ones."""
        return self._goal_of[self.session]

    @property
    def customer(self) -> Session:
        """The engine's session: every observation mode, the last verdict, the results."""
        return self._customer

    def get_available_actions(self) -> dict[str, Any]:
        """Whether there is a search bar, and what can be clicked (lower case)."""
        return {
            "has_search_bar": self._customer.has_search_bar,
            "clickables": list(self._customer.clickables),
        }

    @property
    def text_to_clickable(self) -> dict[str, str]:
        """What can be clicked, in page order, each with the action that does."""
        return {text: f"click[{text}]" for text in self._customer.clickables}

    def get_instruction_text(self) -> str:
        """The instruction as the page shows it."""
        return f"Instruction: {self.goal.instruction}"

    def _check_count(self, wanted: int | None) -> None:
        """The original cuts its data to so many; a shop's goals and index are made of all of its own."""
        there = len(self.shop.catalogue.products)
        if wanted is not None and (wanted < 1 or wanted < there):
            raise UsageError(
                f"num_products={wanted}: this shop has {there} products and is not cut; leave it out, or "
                "open a smaller shop: WebShop.bundled(n_products=...).shop, or rlem data webshop import of a "
                "file with the first products"
            )

    def _choose_goals(self, keep: Callable[[int, dict[str, Any]], bool] | None, limit: int) -> Sequence[int]:
        goals, kind = self.shop.catalogue.goals, self.shop.catalogue.goal_kind
        numbers: Sequence[int] = range(len(goals))
        if keep is not None:
            numbers = [number for number in numbers if keep(number, goal_as_dict(goals[number], kind))]
        if limit == _ALL or limit >= len(numbers):
            return numbers
        draws = GoalDraws(self._weights(numbers), faithful=self.faithful)
        return [numbers[place] for place in draws.different(limit, self.rng)]

    def _weights(self, numbers: Sequence[int]) -> Sequence[float]:
        weights = self.shop.catalogue.weights
        if len(numbers) == len(weights):
            return weights
        return [weights[number] for number in numbers]

    def _checked(self, number: int) -> int:
        if not 0 <= number < len(self.goal_numbers):
            last = len(self.goal_numbers) - 1
            raise UsageError(f"session {number}: that goal does not exist; allowed: 0 to {last}, or a text")
        return number

    def _goal(self, number: int) -> Goal:
        """A played goal; an assigned instruction is written over its own, and stays, as in the original."""
        if self.assigned_instruction_text is not None:
            goal = self.shop.catalogue.goals[self.goal_numbers[number]]
            self._assigned[number] = replace(goal, instruction=self.assigned_instruction_text)
        return self._assigned.get(number) or self.shop.catalogue.goals[self.goal_numbers[number]]

    def _count(self, action: str, before: str) -> None:
        """Counts what was done, under the original's names."""
        name, target = parse_action(action) or ("", "")
        page = self._customer.kind
        if page == "start":
            self._actions.clear()
        elif page == "search_results":
            self._actions["search"] += 1
        elif page == "item_sub_page":
            self._actions[self._customer.sub_page] += 1
        elif page == "done":
            self._actions["purchase"] += 1
        elif before == "search_results":
            self._actions["asin"] += 1
        elif name == "click" and target != pages.PREV.lower():
            self._actions["options"] += 1

    def _with_earlier(self, observation: str) -> str:
        """The observation after the earlier observations and actions that were asked for, oldest first."""
        observations, actions = self.num_prev_obs, self.num_prev_actions
        parts = [observation]
        for back in range(1, max(observations, actions) + 1):
            if back <= min(actions, len(self.prev_actions)):
                parts.append(self.prev_actions[-back])
            if back <= min(observations, len(self.prev_obs)):
                parts.append(self.prev_obs[-back])
        return SEPARATOR.join(reversed(parts))
