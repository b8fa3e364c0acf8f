"""Options that several commands share, and their way into a run's config."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import click

from rlem.advice.choice import CHOICES, EXPLORATIONS
from rlem.core.errors import UnknownNameError, UsageError
from rlem.llm.base import LanguageModel, Usage
from rlem.memory.ranking import RANKS
from rlem.runner.records import RunConfig

Function = TypeVar("Function", bound=Callable[..., Any])

if TYPE_CHECKING:
    _Choice = click.Choice[str]
else:  # generic from click 8.2 on only
    _Choice = click.Choice


class NearChoice(_Choice):
    """A choice that proposes the nearest name for an unknown one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            near = difflib.get_close_matches(str(value), list(self.choices), n=1)
            self.fail(error.message + (f" Did you mean {near[0]!r}?" if near else ""), param, ctx)


class Number(click.FloatRange):
    """A number of the range, if it has one; nan and inf, which no range of click's refuses, are none."""

    name = "number"

    def _describe_range(self) -> str:
        return "" if (self.min, self.max) == (None, None) else super()._describe_range()

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


def environment_options(function: Function) -> Function:
    """What is played: the shop's data and form, the step limit."""
    for option in reversed(
        [
            click.option(
                "--data",
                type=click.Path(path_type=Path),
                help="The original's data. webshop: a folder, or a store made by rlem data webshop import; "
                "wikihow: task files (a folder, or one), or a site made by rlem data wikihow site; "
                "mobile-env: a folder of task files.",
            ),
            click.option("--goals", type=NearChoice(["synthetic", "human"]), help="Goals of --data."),
            click.option("--price-seed", type=int, help="Of prices and price limits (0)."),
            click.option("--products", type=int, help="Products of the bundled shop (1000)."),
            click.option(
                "--observation-mode",
                help="Form of the shop's pages (text_rich, the paper's). See docs/webshop.md.",
            ),
            click.option("--nouns", help="Nouns of product names: rule, spacy or spacy:MODEL (rule)."),
            click.option("--articles", type=click.IntRange(1), help="Articles of the bundled wikihow (300)."),
            click.option("--site-seed", type=int, help="Of the bundled shop or wikihow (0)."),
            click.option(
                "--repeatability",
                type=NearChoice(["file", "none", "unlimited"]),
                help="Whether a sub-goal of wikihow is paid again (file: as the task file says).",
            ),
            click.option(
                "--reward-lag", type=Number(0, 1), help="Chance that wikihow pays one action later (0)."
            ),
            click.option("--faithful", is_flag=True, help="With the slips of the original shop or app."),
            click.option("--avd", help="mobile-env: name of the virtual device (Pixel_2_API_30_x64)."),
            click.option(
                "--avd-home", type=click.Path(), help="mobile-env: where devices lie (~/.android/avd)."
            ),
            click.option(
                "--sdk", type=click.Path(), help="mobile-env: folder of the Android SDK (~/Android/Sdk)."
            ),
            click.option("--window", is_flag=True, help="mobile-env: show the emulator's window."),
            click.option(
                "--proxy",
                type=NearChoice(["syscert", "frida", "packpatch", "none"]),
                help="mobile-env: how the app is made to trust the replaying proxy (syscert).",
            ),
            click.option(
                "--vocabulary",
                type=click.Path(),
                help="mobile-env: file with the words that can be typed (those of the tasks).",
            ),
            click.option("--max-steps", type=click.IntRange(1), help="Step limit (the environment's own)."),
        ]
    ):
        function = option(function)
    return function


def model_options(function: Function) -> Function:
    """Which model answers, what it may cost, and where its answers are kept."""
    record = click.option(
        "--record", type=click.Path(path_type=Path), help="Record all answers to this file."
    )
    return call_options(record(function))


def call_options(function: Function) -> Function:
    """Which model answers, and what it may cost."""
    for option in reversed(
        [
            click.option(
                "--model",
                default="embedded",
                show_default=True,
                help="embedded (a program that reads the prompt, not an LLM), openai:NAME, recorded:FILE "
                "or human.",
            ),
            click.option("--base-url", help="Address of an OpenAI-compatible endpoint."),
            click.option("--prices", type=click.Path(path_type=Path), help="File with prices per model."),
            click.option("--max-cost-usd", type=Number(0), help="Stop cleanly before spending more."),
            click.option(
                "--max-total-tokens", type=click.IntRange(0), help="Stop cleanly before using more tokens."
            ),
            click.option("--requests-per-minute", type=click.IntRange(1), help="Rate limit."),
            click.option(
                "--deadline",
                type=Number(0, min_open=True),
                default=120.0,
                show_default=True,
                help="Seconds a call.",
            ),
        ]
    ):
        function = option(function)
    return function


def agent_options(function: Function) -> Function:
    """How the agent asks."""
    for option in reversed(
        [
            click.option(
                "-k",
                "--exemplars",
                "k",
                type=click.IntRange(1),
                default=3,
                show_default=True,
                help="Exemplars a prompt. The paper's are 2.",
            ),
            click.option("--temperature", type=Number(0), help="Of the model (0.1)."),
            click.option("--max-tokens", type=click.IntRange(1), help="Length of an answer (200)."),
            click.option("--max-input-tokens", type=click.IntRange(1), help="Prompt budget (3700)."),
            click.option("--advice", type=NearChoice(["recorded", "reference"]), help="See docs/advice.md."),
            click.option("--no-discouraged", is_flag=True, help="Show no discouraged actions."),
            click.option("--rank", type=NearChoice(RANKS), help="Of experiences (similarity)."),
            click.option(
                "--choose", type=NearChoice(CHOICES), help="What is encouraged and discouraged by (value)."
            ),
            click.option(
                "--explore",
                type=NearChoice(EXPLORATIONS),
                is_flag=False,
                flag_value="untried",
                help="untried (or --explore alone): name untried actions at every exemplar; upper, thompson: "
                "suggest what to try, in training only.",
            ),
        ]
    ):
        function = option(function)
    return function


def take(options: dict[str, Any], *names: str) -> dict[str, Any]:
    """Takes the named options out; those that were given (not None, not False) are returned."""
    found = {name: options.pop(name) for name in names}
    return {name: value for name, value in found.items() if value is not None and value is not False}


_RENAMED = {"products": "n_products", "articles": "n_articles", "site_seed": "seed", "window": "headless"}
_NAMES = {
    option: _RENAMED.get(option, option)
    for option in (
        *("data", "goals", "price_seed", "products", "observation_mode", "nouns", "faithful"),
        *("articles", "site_seed", "repeatability", "reward_lag"),
        *("avd", "avd_home", "sdk", "window", "proxy", "vocabulary"),
    )
}
"""Options of environments at the command line, and what they are called in a config."""


def environment_flags(environment: str) -> list[str]:
    """The options that an environment takes at the command line. Errors: UnknownNameError."""
    from rlem.environments.registry import option_names

    known = option_names(environment)
    return [_flag(option) for option, name in _NAMES.items() if name in known]


def environment_config(options: dict[str, Any], environment: str | None = None) -> dict[str, Any]:
    """Environment options as a run's config keeps them.

    Errors: UnknownNameError for an option that the ``environment`` does not take.
    """
    given = take(options, *_NAMES)
    known = environment_flags(environment) if environment else []
    for option in given:
        if environment and _flag(option) not in known:
            raise UnknownNameError(f"option of environment {environment!r}:", _flag(option), known)
    config = {_NAMES[option]: value for option, value in given.items()}
    if "headless" in config:
        config["headless"] = False
    if "data" in config:
        config["data"] = str(config["data"])
    return config


def _flag(option: str) -> str:
    return "--" + option.replace("_", "-")


def agent_config(options: dict[str, Any]) -> dict[str, Any]:
    """Agent options as a run's config keeps them."""
    given = take(
        options, "k", "temperature", "max_tokens", "max_input_tokens", "advice", "rank", "choose", "explore"
    )
    if options.pop("no_discouraged"):
        given["discouraged"] = False
    return given


def model_config(options: dict[str, Any]) -> dict[str, Any]:
    """What a run's config remembers of the model: not the key, the limits or the pace.

    Errors: UsageError for a password in the address, which would be kept.
    """
    base_url = options["base_url"]
    if base_url and urlsplit(base_url).password:
        raise UsageError(
            "--base-url would be kept with its password in config.json and in reports: leave it out; a key "
            "is given by OPENAI_API_KEY"
        )
    return {"model": options["model"], "model_options": {"base_url": base_url} if base_url else {}}


def open_model(options: dict[str, Any], run: Path) -> LanguageModel:
    """Makes the model that the options name. What the run folder has spent already counts for the limits."""
    from rlem.llm.budget import Budget
    from rlem.llm.policy import RateLimiter, RetryPolicy
    from rlem.llm.prices import PriceBook
    from rlem.llm.registry import make_model

    spec, base_url = options.pop("model"), options.pop("base_url")
    given = take(options, "record", "prices", "max_cost_usd", "max_total_tokens", "requests_per_minute")
    deadline = options.pop("deadline")
    limits = "max_cost_usd" in given or "max_total_tokens" in given
    return make_model(
        spec,
        base_url=base_url,
        api_key=os.environ.get("OPENAI_API_KEY"),
        policy=RetryPolicy(deadline_s=deadline),
        limiter=RateLimiter(requests_per_minute=given.get("requests_per_minute")),
        budget=Budget(
            max_tokens=given.get("max_total_tokens"),
            max_cost_usd=given.get("max_cost_usd"),
            spent=_spent(run),
        )
        if limits
        else None,
        prices=PriceBook.from_file(given["prices"]) if "prices" in given else None,
        record_to=given.get("record"),
    )


def _spent(run: Path) -> Usage:
    """Tokens and money of the episodes that a run folder holds; nothing where there is none."""
    from rlem.reports.reading import EpisodeFile

    spent = Usage()
    if (run / "episodes.jsonl").is_file():
        for _, record in EpisodeFile(run / "episodes.jsonl"):
            spent += Usage(**record.usage.model_dump())
    return spent


def memory_address(url: str) -> str:
    """The address of a memory on a server, as a config keeps it. UsageError for another, or a password."""
    from rlem.memory.postgres_url import SECRETS, parse_address

    if parse_address(url).parameters.keys() & set(SECRETS):
        raise UsageError(
            "the memory's address would be kept with its password in config.json: leave the password out; "
            "~/.pgpass or PGPASSWORD can hold it"
        )
    return url


def parse_seeds(text: str) -> list[int]:
    """Seeds as a count ("3" is 0, 1, 2) or a list ("0,7").

    >>> parse_seeds("3"), parse_seeds("0,7")
    ([0, 1, 2], [0, 7])
    """
    try:
        numbers = [int(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise UsageError(f"--seeds {text!r}: give a count (3) or a list (0,7)") from error
    seeds = list(range(numbers[0])) if "," not in text and len(numbers) == 1 else numbers
    if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0:
        raise UsageError(f"--seeds {text!r}: give a count of at least 1 (3) or different seeds (0,7)")
    return seeds


def make_config(**values: Any) -> RunConfig:
    """The config of these values; those that are None keep their default."""
    return RunConfig(**{name: value for name, value in values.items() if value is not None})
