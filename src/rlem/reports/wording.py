"""The sentences and number formats that summary, console and page share."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any

from rlem.evidence.intervals import LEAST_TASKS
from rlem.reports.facts import WITHOUT_MEMORY
from rlem.reports.schema import Difference, Outcomes, Score
from rlem.runner.records import Arm, RunConfig

READER = (
    "The answers come from the embedded reader: a program that reads the prompt and answers by fixed rules. "
    "It is not an LLM."
)
_NO_MODEL = {
    "random": "Actions are drawn at random: no LLM is involved.",
    "oracle": "Actions are the environment's own solution: no LLM is involved.",
    "human": "A person chose the actions: no LLM is involved.",
}
_DATA_OPTIONS = ("data", "dataset", "data_dir", "folder", "path")
_SECRET = re.compile(r"(?i)(api_?key|secret|passw|credential|authorization|headers|^token$|_token$)")
_USER_INFO = re.compile(r"(://)[^/@\s]+@")


def agent_label(agent: str, arm: Arm) -> str:
    """How a row is called: the agent's name, with "without memory" where it had none."""
    return agent if arm == "memory" else agent + WITHOUT_MEMORY


def model_sentence(config: RunConfig) -> str:
    """Whether an LLM answered, or what else did."""
    if other := _instead_of_llm(config):
        return other
    kind, _, name = config.model.partition(":")
    if kind in ("recorded", "replay"):
        return f"The answers are replayed from a recording of a model{f' ({name})' if name else ''}."
    return f"The answers come from an LLM: {config.model}."


def _instead_of_llm(config: RunConfig) -> str:
    """What chose the actions where no LLM did, else ""."""
    kind = config.model.partition(":")[0]
    if config.agent in _NO_MODEL or kind in _NO_MODEL:
        return _NO_MODEL.get(config.agent) or _NO_MODEL[kind]
    if kind in ("embedded", "embedded-reader"):
        return READER
    if kind in ("scripted", "constant"):
        return "The answers come from a script made for tests: no LLM is involved."
    return ""


def data_name(config: RunConfig) -> str:
    """Name of the data: what the options say (a path's last part), else the bundled offline data."""
    return _own_data(config) or f"bundled {config.environment} data (offline)"


def _own_data(config: RunConfig) -> str:
    """Last part of the path of the user's own data, "" for bundled data."""
    for option in _DATA_OPTIONS:
        value = config.environment_options.get(option)
        if isinstance(value, str) and value:
            return PurePath(value).name or value
    return ""


def comparison_sentence(config: RunConfig) -> str:
    """Whether the scores may stand beside published ones."""
    if not _own_data(config):
        return "Played on offline data that ships with rlem: not comparable with published scores."
    if _instead_of_llm(config):
        return "No LLM played: not comparable with published scores."
    return (
        "Comparable with published scores only where data, task order, model, step limit and success rule "
        "are the published ones."
    )


def percent(share: float | None, *, digits: int = 1) -> str:
    """0.374 -> "37.4 %"."""
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def signed(value: float | None, *, digits: int = 1) -> str:
    """Number with its sign (a true minus): -3.0 -> "−3.0"; what rounds to zero has none."""
    if value is None:
        return "–"
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "−")


def points(share: float | None) -> str:
    """Difference of shares in points: 0.12 -> "+12.0"."""
    return signed(None if share is None else 100 * share)


def decimal(value: float | None, *, digits: int = 2) -> str:
    """Number with a true minus."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")


def money(cost_usd: float | None) -> str:
    """Cost, or "unknown"."""
    return "unknown" if cost_usd is None else f"${cost_usd:,.2f}" if cost_usd >= 0.01 else f"${cost_usd:.4g}"


def headline(difference: Difference) -> str:
    """What memory changed, in one plain sentence."""
    if difference.mean is None:
        return "What memory changed is not known"
    size = f"{abs(100 * difference.mean):.1f} points"
    if difference.excludes_zero:
        return f"Memory {'raised' if difference.mean > 0 else 'lowered'} success by {size}"
    if difference.mean == 0:
        return "No difference in success was measured"
    way = "higher" if difference.mean > 0 else "lower"
    return f"Success was {size} {way} with memory, but that may be chance"


def detail(difference: Difference, rows: list[Score], outcomes: Outcomes) -> str:
    """The interval behind the headline, and whether it excludes zero."""
    if difference.mean is None:
        return difference.note
    verdict = {
        True: "The interval excludes zero.",
        False: "The interval includes zero.",
        None: f"With fewer than {LEAST_TASKS} tasks the interval cannot tell it from zero.",
    }[difference.excludes_zero]
    shares = {row.arm: row.success for row in rows}
    return (
        f"On held-out tasks success is {percent(shares.get('memory'))} with memory and "
        f"{percent(shares.get('no-memory'))} without: {points(difference.mean)} points, 95 % interval "
        f"{points(difference.low)} to {points(difference.high)}, over {difference.pairs} pairs of the same "
        f"task and seed ({count(difference.tasks, 'task')}, {count(difference.seeds, 'seed')}). {verdict} "
        f"{outcomes.memory_only} solved only with memory, {outcomes.without_only} only without."
        f"{_by_seed(difference)}"
    )


def _by_seed(difference: Difference) -> str:
    """How far the training runs agree; one run says nothing of others."""
    if difference.seeds < 2:
        return " One seed is one training run: the interval covers tasks, not other runs."
    return f" By seed: {', '.join(points(mean) for mean in difference.by_seed.values())}."


def count(number: int, noun: str) -> str:
    """2, "task" -> "2 tasks"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def command(config: RunConfig, versions: dict[str, str]) -> str:
    """The command as recorded in versions.json ("command"), else put together from the config."""
    if recorded := versions.get("command"):
        return recorded
    parts = ["rlem", "train", config.environment, "--model", config.model]
    if data := _own_data(config):
        parts += ["--data", data]
    return " ".join([*parts, "--train", config.train_tasks, "--test", config.test_tasks])


def settings(config: RunConfig) -> dict[str, str]:
    """The config as name-value pairs for people; keys and passwords are blotted out."""
    shown: dict[str, str] = {}
    for name, value in config.model_dump().items():
        for key, inner in value.items() if isinstance(value, dict) else [("", value)]:
            shown[f"{name}.{key}" if key else name] = _plain(key, inner)
    return shown


def _plain(key: str, value: Any) -> str:
    if value not in (None, "") and _SECRET.search(key):
        return "(hidden)"
    if isinstance(value, dict):
        return ", ".join(f"{name}={_plain(str(name), inner)}" for name, inner in value.items()) or "–"
    if isinstance(value, list | tuple):
        return ", ".join(_plain("", item) for item in value) or "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _USER_INFO.sub(r"\1(hidden)@", str(value)) or "–"
