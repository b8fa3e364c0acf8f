"""How the cells of an experiment ask their model: every answer is kept, and one limit holds for all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from rlem.core.errors import DataError, ModelRejectedError, UsageError
from rlem.experiments.cells import Cell
from rlem.llm.base import Completion, LanguageModel, Prompt, Usage
from rlem.llm.budget import Budget
from rlem.llm.policy import RateLimiter, RetryPolicy
from rlem.llm.prices import PriceBook
from rlem.llm.recorded import RecordedModel, Request
from rlem.llm.registry import make_model
from rlem.runner.records import RunConfig

ANSWERS = "answers"
"""Folder, beside the cells, with a file of answers for each cell that asks an endpoint or a person."""

UNRECORDED = ("none", "embedded")
"""Models whose answers cost nothing and are the same every time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """What a cell needs, beside its config, to make its model. Picklable.

    answers                folder (of a cell: file) where answers are kept; None: nowhere
    replay                 nothing is asked: all answers come from there
    prices                 file with prices
    max_cost_usd, max_total_tokens   for the whole experiment, with what earlier starts spent
    requests_per_minute    pace of all cells together
    deadline_s             of a call
    """

    answers: Path | None = None
    replay: bool = False
    prices: Path | None = None
    max_cost_usd: float | None = None
    max_total_tokens: int | None = None
    requests_per_minute: int | None = None
    deadline_s: float = 120.0

    @property
    def limited(self) -> bool:
        """Whether spending has a limit."""
        return self.max_cost_usd is not None or self.max_total_tokens is not None

    def of(self, cell: Cell) -> Calls:
        """The same with the cell's own file of answers. It is named without the code's version: a changed
        program pays only for what it asks otherwise."""
        return replace(self, answers=self.answers / f"{cell.content}.jsonl") if self.answers else self

    def check(self, cells: Iterable[Cell]) -> None:
        """Errors: DataError where answers of a cell are to be replayed and there are none."""
        for cell in cells if self.replay else ():
            file = self.of(cell).answers
            if asks(cell.config) and not (file and file.is_file()):
                raise DataError(
                    f"row {cell.row!r} ({cell.combination}, seed {cell.seed}) has no recorded answers in "
                    f"{self.answers}: name the same experiment, size, model and --base-url as there, or play "
                    "it there first"
                )


def asks(config: RunConfig) -> bool:
    """Whether a cell asks an endpoint or a person, whose answers are worth keeping."""
    return config.model not in UNRECORDED


class Purse:
    """The budget, the pace and the prices that all cells of a process share. Thread-safe."""

    def __init__(self, calls: Calls, base_url: str | None = None) -> None:
        self.prices = PriceBook.from_file(calls.prices) if calls.prices else PriceBook()
        self.budget = Budget(
            max_tokens=calls.max_total_tokens,
            max_cost_usd=calls.max_cost_usd,
            spent=spent(calls.answers, self.prices, base_url) if calls.limited and calls.answers else None,
        )
        self.limiter = RateLimiter(requests_per_minute=calls.requests_per_minute)

    def stop(self) -> None:
        """No further call is made: what is under way stops as at a spent budget."""
        self.budget.max_tokens = 0


def spent(answers: Path, prices: PriceBook, base_url: str | None = None) -> Usage:
    """What all answers of a folder took, also those of episodes that were never finished. Where no price was
    known then, today's holds.

    Errors: DataError where a file is damaged.
    """
    total = Usage()
    for file in sorted(answers.glob("*.jsonl")):
        model = ""
        with file.open("rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    break  # torn by a kill
                try:
                    told = json.loads(line)
                    model = told.get("model", model)
                    usage = Usage(**told.get("usage", {}))
                except (ValueError, TypeError, AttributeError) as error:
                    raise DataError(f"{file} is damaged ({error}): what was spent is not known") from error
                if usage.cost_usd is None:
                    name = model.removeprefix("openai:")
                    usage = replace(usage, cost_usd=prices.cost_usd(name, usage, base_url=base_url))
                total += usage
    return total


def open_model(config: RunConfig, calls: Calls, purse: Purse | None = None) -> LanguageModel | None:
    """The model of a cell. ``calls`` are the cell's own (:meth:`Calls.of`).

    Without a ``purse`` the cell has one to itself. Errors: UsageError where it would have to share a limit.
    """
    if config.model == "none":
        return None
    file = calls.answers if asks(config) else None
    if file and calls.replay:
        return KeptAnswers(file)
    if purse is None and file and calls.limited:
        raise UsageError("a limit on money or tokens holds for one process: play these cells in its threads")
    purse = purse or Purse(replace(calls, max_cost_usd=None, max_total_tokens=None))
    model = make_model(
        config.model,
        base_url=config.model_options.get("base_url"),
        api_key=os.environ.get("OPENAI_API_KEY"),
        policy=RetryPolicy(deadline_s=calls.deadline_s),
        limiter=purse.limiter,
        budget=purse.budget,
        prices=purse.prices,
    )
    if file is None:
        return model
    try:
        return KeptAnswers(file, model)
    except BaseException:
        model.close()
        raise


class KeptAnswers(RecordedModel):
    """The answers of one cell: what was asked once is never asked again, in this start or a later one.

    Tests after every epoch share their seeds, so a step that memory has nothing new for is the same request
    each time. It gets the same answer, which is paid once and counted each time; so neither results nor
    replays depend on where a recording was interrupted.
    """

    def __init__(self, file: Path, inner: LanguageModel | None = None) -> None:
        self._told: dict[str, Completion] = {}
        super().__init__(file, inner, "replay" if inner is None else "record")

    def complete(
        self,
        prompt: Prompt,
        *,
        max_tokens: int = 200,
        temperature: float = 0.1,
        stop: Sequence[str] = (),
        seed: int | None = None,
    ) -> Completion:
        """The answer that was given to this request, or a new one."""
        request = Request(
            prompt=prompt, max_tokens=max_tokens, temperature=float(temperature), stop=tuple(stop), seed=seed
        )
        with self._lock:
            told = self._told.get(request.key)
        if told is None:
            told = super().complete(
                prompt, max_tokens=max_tokens, temperature=temperature, stop=stop, seed=seed
            )
            with self._lock:
                self._told[request.key] = told
        return told

    def _missing(self, request: Request, occurrence: int) -> NoReturn:
        # Not the ModelUnavailableError that would only break an episode: a replay is whole or none.
        raise ModelRejectedError(super()._missing(request, occurrence))
