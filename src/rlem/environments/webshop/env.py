"""WebShop as an rlem environment."""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from rlem.core.errors import ClosedError, UnknownNameError, UsageError
from rlem.core.types import JSON, Step, Task, termination
from rlem.environments.lazy import LazySequence
from rlem.environments.webshop import pages
from rlem.environments.webshop.data import Catalogue, GoalKind, build_catalogue
from rlem.environments.webshop.files import load_catalogue, load_official_order, load_official_texts
from rlem.environments.webshop.nouns import rule_nouns
from rlem.environments.webshop.oracle import plan
from rlem.environments.webshop.pages import SEARCH_ACTION, ObservationMode
from rlem.environments.webshop.reward import Nouns
from rlem.environments.webshop.session import Session, Shop, parse_action
from rlem.environments.webshop.splits import TaskSets

_VALID: Mapping[str, JSON] = MappingProxyType({"valid": True})
_SHORT_MODES = ("text_rich", "react")
"""Modes that show, and let click, three products of a result page."""


class WebShop:
    """A shop with a search box, result pages, products with options, and one purchase.

    A task is an instruction to buy something; the reward in [0, 1] comes with the purchase, which ends
    the episode. Source: Yao et al. 2022; observations and protocol as in Zhang et al. 2023 (RLEM):
    15 steps, success is reward 1. Build it with :meth:`bundled` or :meth:`open`.
    """

    name = "webshop"
    reward_range = (0.0, 1.0)
    max_steps = 15

    def __init__(
        self,
        shop: Shop,
        *,
        observation_mode: ObservationMode = "text_rich",
        official_order: Sequence[int] | None = None,
        official_texts: Sequence[str] | None = None,
    ) -> None:
        if observation_mode not in pages.MODES:
            raise UnknownNameError("observation mode", observation_mode, pages.MODES)
        self.shop = shop
        self.observation_mode = observation_mode
        self._sets = TaskSets(shop.catalogue, order=official_order, official=official_texts)
        self._shown = pages.SHOWN if observation_mode in _SHORT_MODES else pages.PER_PAGE
        self._session: Session | None = None
        self._closed = False

    @classmethod
    def bundled(
        cls,
        *,
        seed: int = 0,
        n_products: int = 1000,
        price_seed: int = 0,
        observation_mode: ObservationMode = "text_rich",
        nouns: Nouns = rule_nouns,
        faithful: bool = False,
    ) -> WebShop:
        """The shop that comes with rlem: invented products, generated from ``seed``."""
        from rlem.environments.webshop.catalogue import generate

        catalogue = build_catalogue(*generate(seed=seed, n_products=n_products), price_seed=price_seed)
        return cls(Shop(catalogue, nouns=nouns, faithful=faithful), observation_mode=observation_mode)

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        goals: GoalKind = "synthetic",
        price_seed: int | random.Random = 0,
        observation_mode: ObservationMode = "text_rich",
        nouns: Nouns = rule_nouns,
        faithful: bool = False,
    ) -> WebShop:
        """A shop over the original's data: a folder with its files, or a store made of them by
        ``rlem data webshop import``.

        ``price_seed``: of prices and price limits; see :func:`build_catalogue`. ``faithful``: with the
        original's crashes and slips. Errors: DataError names what is missing or broken.
        """
        if Path(path).is_file():
            from rlem.environments.webshop.store.catalogue import StoredCatalogue

            stored = StoredCatalogue(path, goals=goals, price_seed=price_seed)
            shop = Shop(stored, nouns=nouns, ranking=stored.ranking, faithful=faithful)
            order, texts = stored.official_order, stored.official_texts
        else:
            catalogue = load_catalogue(path, goals=goals, price_seed=price_seed)
            shop = Shop(catalogue, nouns=nouns, faithful=faithful)
            order = load_official_order(path) if goals == "human" else None
            texts = load_official_texts(path) if goals == "human" else None
        return cls(shop, observation_mode=observation_mode, official_order=order, official_texts=texts)

    @property
    def catalogue(self) -> Catalogue:
        """Its products and goals."""
        return self.shop.catalogue

    def task_sets(self) -> Mapping[str, str]:
        """The named sets: places in our goal order, and the same or, with human goals, the official ones."""
        return self._sets.describe()

    def tasks(self, spec: str) -> Sequence[Task]:
        """Tasks of a named set, or the goals A up to (not including) B of a range ``A:B``.

        Errors: UnknownNameError for an unknown name; UsageError for a range or set with goals that this
        catalogue does not have.
        """
        numbers = self._sets.numbers(spec)
        return LazySequence(len(numbers), lambda place: self._task(numbers[place]))

    def reset(self, task: Task | str, *, seed: int = 0) -> Step:
        """Begins an episode of a task. ``seed`` only matters for random searches (``search[<r>]``)."""
        self._check_open()
        session = self._session or self._enter()
        session.reset(self._goal_index(task), seed=seed)
        self._session = session
        return self._see(_VALID)

    def step(self, action: str) -> Step:
        """Sends one action. One that is not understood leaves the page; ``info["valid"]`` says so."""
        self._check_open()
        session = self._session
        if session is None:
            raise UsageError("step before reset; call reset(task) first")
        if session.kind == "done":
            raise UsageError("step after the end of the episode; call reset(task) first")
        reward, bought, valid = session.step(action)
        if not bought:
            return self._see(_VALID if valid else self._complaint(action))
        verdict = session.last_verdict.as_info() if session.last_verdict else {}
        observation = session.observation(self.observation_mode)
        return termination(observation, reward, info={"valid": True, **verdict})

    def succeeded(self, total_reward: float, last: Step) -> bool:
        """Whether the purchase met the whole instruction: reward 1."""
        return total_reward == 1.0

    def oracle(self, task: Task | str) -> list[str]:
        """Actions that earn 1.0. Looks at the goal: for tests and the oracle agent, and for nobody else."""
        return plan(self.shop, self._goal_index(task), shown=self._shown)

    def spawn(self) -> WebShop:
        """Another customer in the same shop; catalogue and index are shared."""
        other = copy.copy(self)
        other._session, other._closed = None, False
        return other

    def close(self) -> None:
        """Ends the episode. May be called twice."""
        self._session, self._closed = None, True

    def _enter(self) -> Session:
        return Session(self.shop, shown=self._shown, react=self.observation_mode == "react")

    def _complaint(self, action: str) -> dict[str, JSON]:
        """Why an action was not understood, for the caller: the page does not change."""
        parsed = parse_action(action)
        if parsed is None:
            why = "an action reads search[words] or click[element]"
        elif parsed[0].startswith("click"):
            why = "there is no such element on this page; the step's actions list what there is"
        elif parsed[0] == "search":
            why = "there is no search from this page"
        else:
            why = "there are two actions, in small letters, without blanks: search[words], click[element]"
        return {"valid": False, "error": why}

    def _see(self, info: Mapping[str, JSON]) -> Step:
        session = self._session
        assert session is not None
        return Step(
            observation=session.observation(self.observation_mode), actions=_listed(session), info=info
        )

    def _task(self, index: int) -> Task:
        goal = self.catalogue.goals[index]
        return Task(id=f"webshop:{index}", instruction=goal.instruction, kind=goal.product.category)

    def _goal_index(self, task: Task | str) -> int:
        name = task if isinstance(task, str) else task.id
        count = len(self.catalogue.goals)
        match = re.fullmatch(r"webshop:(\d{1,9})", name, re.ASCII)
        if match is None or int(match[1]) >= count:
            raise UsageError(f"unknown task {name!r:.80}; allowed: webshop:0 to webshop:{count - 1}")
        return int(match[1])

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("this environment is closed; make a new one or spawn it before closing")


def _listed(session: Session) -> tuple[str, ...]:
    """The actions that a page offers; what the action form cannot carry is left out."""
    if session.has_search_bar:
        return (SEARCH_ACTION,)
    return tuple([f"click[{text}]" for text in session.sendable])
