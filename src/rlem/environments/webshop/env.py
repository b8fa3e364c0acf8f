"""WebShop as an rlem environment."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from rlem.core.errors import ClosedError, UnknownNameError, UsageError
from rlem.core.types import JSON, Step, Task, termination
from rlem.environments.ranges import parse_range
from rlem.environments.webshop import pages
from rlem.environments.webshop.data import Catalogue, GoalKind, build_catalogue
from rlem.environments.webshop.files import load_catalogue, load_official_order
from rlem.environments.webshop.nouns import rule_nouns
from rlem.environments.webshop.oracle import plan
from rlem.environments.webshop.pages import ObservationMode
from rlem.environments.webshop.reward import Nouns
from rlem.environments.webshop.session import Session, Shop

SEARCH_ACTION = "search[<words>]"
_VALID: Mapping[str, JSON] = MappingProxyType({"valid": True})
_INVALID: Mapping[str, JSON] = MappingProxyType({"valid": False})
_SPLITS = {
    "test": (0, 100, "100 test tasks"),
    "S0": (500, 510, "10 training tasks, first set"),
    "S1": (510, 520, "10 training tasks, second set"),
}


class WebShop:
    """A shop with a search box, result pages, products with options, and one purchase.

    A task is an instruction to buy something; the reward in [0, 1] comes with the purchase, which ends
    the episode. Source: Yao et al. 2022; observations and protocol as in Zhang et al. 2023 (RLEM):
    15 steps, success is reward 1. Build it with :meth:`bundled` or :meth:`from_folder`.
    """

    name = "webshop"
    reward_range = (0.0, 1.0)
    max_steps = 15

    def __init__(
        self,
        shop: Shop,
        *,
        observation_mode: ObservationMode = "text_rich",
        official_order: tuple[int, ...] | None = None,
    ) -> None:
        if observation_mode not in pages.RENDERERS:
            raise UnknownNameError("observation mode", observation_mode, pages.RENDERERS)
        self.shop = shop
        self.observation_mode = observation_mode
        self._official_order = official_order
        self._shown = pages.SHOWN if observation_mode == "text_rich" else pages.PER_PAGE
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
    ) -> WebShop:
        """The shop that comes with rlem: invented products, generated from ``seed``."""
        from rlem.environments.webshop.catalogue import generate

        catalogue = build_catalogue(*generate(seed=seed, n_products=n_products), price_seed=price_seed)
        return cls(Shop(catalogue, nouns=nouns), observation_mode=observation_mode)

    @classmethod
    def from_folder(
        cls,
        path: str | Path,
        *,
        goals: GoalKind = "synthetic",
        price_seed: int = 0,
        observation_mode: ObservationMode = "text_rich",
        nouns: Nouns = rule_nouns,
    ) -> WebShop:
        """A shop over the original's files in a folder. Errors: DataError names what is missing or broken."""
        catalogue = load_catalogue(path, goals=goals, price_seed=price_seed)
        order = load_official_order(path) if goals == "human" else None
        return cls(Shop(catalogue, nouns=nouns), observation_mode=observation_mode, official_order=order)

    @property
    def catalogue(self) -> Catalogue:
        """Its products and goals."""
        return self.shop.catalogue

    def task_sets(self) -> Mapping[str, str]:
        """The named sets: places in our goal order, and the same or, with human goals, the official ones."""
        sets = {f"small/{name}": f"{text} (goals {a}:{b})" for name, (a, b, text) in _SPLITS.items()}
        official = self.catalogue.goal_kind == "human"
        for name, (start, stop, _) in _SPLITS.items():
            sets[name] = f"official goals {start}:{stop}" if official else f"the same as small/{name}"
        return sets

    def tasks(self, spec: str) -> Sequence[Task]:
        """Tasks of a named set, or the goals A up to (not including) B of a range ``A:B``.

        Errors: UnknownNameError for an unknown name; UsageError for a range or set with goals that this
        catalogue does not have.
        """
        if (numbers := parse_range(spec, len(self.catalogue.goals))) is not None:
            return [self._task(index) for index in numbers]
        if spec not in self.task_sets():
            raise UnknownNameError("task set", spec, (*self.task_sets(), "A:B"))
        return [self._task(index) for index in self._split(spec)]

    def reset(self, task: Task | str, *, seed: int = 0) -> Step:
        """Begins an episode of a task. ``seed`` only matters for random searches (``search[<r>]``)."""
        self._check_open()
        session = self._session or Session(self.shop, shown=self._shown)
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
            return self._see(_VALID if valid else _INVALID)
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
        return WebShop(self.shop, observation_mode=self.observation_mode, official_order=self._official_order)

    def close(self) -> None:
        """Ends the episode. May be called twice."""
        self._session, self._closed = None, True

    def _see(self, info: Mapping[str, JSON]) -> Step:
        session = self._session
        assert session is not None
        return Step(
            observation=session.observation(self.observation_mode), actions=_sendable(session), info=info
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

    def _split(self, spec: str) -> Sequence[int]:
        """Goal numbers of a named set."""
        start, stop, _ = _SPLITS[spec.removeprefix("small/")]
        if self.catalogue.goal_kind == "synthetic" or spec.startswith("small/"):
            self._require(spec, start, stop, len(self.catalogue.goals))
            return range(start, stop)
        if self._official_order is None:
            raise UsageError(
                f"task set {spec!r} of human goals needs the official order: put pub-to-mine.list into the "
                "data folder, or use a range A:B"
            )
        self._require(spec, start, stop, len(self._official_order))
        numbers = self._official_order[start:stop]
        self._require(spec, 0, max(numbers) + 1, len(self.catalogue.goals))
        return numbers

    def _require(self, spec: str, start: int, stop: int, count: int) -> None:
        if not start < stop <= count:
            raise UsageError(
                f"task set {spec!r} needs goals up to {stop - 1}; this catalogue has {count} "
                f"{self.catalogue.goal_kind} goals: use a range A:B with 0 <= A < B <= {count}"
            )

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("this environment is closed; make a new one or spawn it before closing")


def _sendable(session: Session) -> tuple[str, ...]:
    """The listed actions of a page. What the action form cannot carry is left out: a value with ``[``."""
    if session.has_search_bar:
        return (SEARCH_ACTION,)
    return tuple([f"click[{text}]" for text in session.clickables if text and "[" not in text])
