"""``rlem memory rebuild`` and ``views``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rlem.cli.memory.common import (
    FILE,
    Place,
    bar,
    count,
    is_new,
    learning,
    new_or_whole,
    open_place,
    open_source,
)
from rlem.cli.options import NearChoice, Number
from rlem.core.errors import DataError, UsageError

if TYPE_CHECKING:
    from rlem.memory.config import MemoryConfig
    from rlem.memory.memory import ExperienceMemory

_LEVELS = ("verified", "unverified", "quarantined")

_SETTINGS: tuple[Callable[[Callable[..., Any]], Callable[..., Any]], ...] = (
    click.option("-n", "--n", "n", type=click.IntRange(1), help="n-step Q-learning."),
    click.option("--monte-carlo", is_flag=True, help="Monte-Carlo returns (no bootstrapping)."),
    click.option("--trace-decay", type=Number(0, 1), help="TD(lambda)."),
    click.option("--discount", type=Number(0, 1), help="Gamma."),
    click.option("--double/--no-double", default=None, help="Double Q-learning."),
    click.option("--estimate", type=NearChoice(["mean", "constant"]), help="Running mean, or constant step."),
    click.option("--learning-rate", type=Number(0, 1, min_open=True), help="Of --estimate constant."),
    click.option("--similarity", help="Preset: default, webshop, webshop-paper, webshop-text, wikihow."),
    click.option(
        "--task-weight", type=Number(0, 1), help="Of the task in the similarity; the page has the rest."
    ),
    click.option(
        "--embedding", metavar="FOLDER", help="Compare tasks by the model in there, or package:NAME."
    ),
    click.option("--max-experiences", type=click.IntRange(0), help="Capacity; 0: unbounded."),
    click.option("--max-actions", type=click.IntRange(0), help="Of one experience; 0: unbounded."),
    click.option("--max-bytes", type=click.IntRange(0), help="Capacity in bytes; 0: unbounded."),
    click.option("--trust", "trusts", multiple=True, metavar="SOURCE=LEVEL", help=f"{', '.join(_LEVELS)}."),
    click.option(
        "--max-influence",
        type=Number(0, 1, min_open=True),
        help="Share of one advice that one source can make; 1: all of it.",
    ),
)


def _settings(function: Callable[..., Any]) -> Callable[..., Any]:
    return reduce(lambda made, option: option(made), reversed(_SETTINGS), function)


@click.command()
@FILE
@_settings
@click.option("--view", default="main", show_default=True, help="Of this view, which is made if it is new.")
@click.option("--out", type=Place(), metavar="NEW", help="Write a new memory and leave FILE as it is.")
def rebuild(file: Path | str, view: str, out: Path | str | None, **given: Any) -> None:
    """Derive all values anew from the log, under other settings if given.

    The main view is what agents use. Another one learns otherwise from the same log, beside it. Broken off
    while features of another similarity are made, the same command goes on where it was.

    Example: rlem memory rebuild shop.rlem -n 1 --discount 0.9 --view one-step
    """
    from rlem.memory.settings import change

    if out is not None and view != "main":
        raise UsageError("--view and --out exclude each other: a new memory begins with its main view")
    settings = _wanted(**given)
    if out is not None:
        _write(file, out, settings)
        return
    with open_place(file, write=True) as store:
        changing = bool(settings["similarity"] or settings["embedding"])
        with bar(*(["making features"] if changing else []), "learning values") as progress:
            memory = change(store, view, settings, progress)
        _report(memory)
        _name_unknown(memory, settings["trust"])


def _write(file: Path | str, out: Path | str, settings: dict[str, Any]) -> None:
    from rlem.api.stores import open_store
    from rlem.memory.copies import note_copy, place_of
    from rlem.memory.memory import ExperienceMemory
    from rlem.memory.settings import changed

    if not is_new(out):
        raise DataError(f"{out} exists already: choose another name")
    with open_source(file) as opened, new_or_whole(out), closing(open_store(out)) as store:
        config = changed(opened.config.to_json(), **settings)
        note_copy(opened.store, "rebuilt", out)
        target = ExperienceMemory(store, config)
        with bar("learning values") as progress:
            target.insert(opened.episodes(), progress, origin={"from": place_of(opened.location)})
        _report(target)
        _name_unknown(target, settings["trust"])


def _name_unknown(memory: ExperienceMemory, trust: Mapping[str, str]) -> None:
    """Trust may be settled before the first episode of a source comes; more often it is a slip."""
    unknown = [source for source in trust if not memory.store.find(source=source)]
    if unknown:
        here = ", ".join(sorted({episode.source for episode in memory.episodes()})) or "none"
        for source in unknown:
            click.echo(f"no episode of source {source!r} yet (sources here: {here})", err=True)


def _report(memory: ExperienceMemory) -> None:
    beside = "" if memory.view == "main" else f", view {memory.view}"
    click.echo(
        f"{memory.location}{beside}: {count(len(memory), 'experience')} from "
        f"{count(memory.episode_count(), 'episode')}; "
        f"{learning(memory.config)}"
    )


def _wanted(
    n: int | None,
    monte_carlo: bool,
    trace_decay: float | None,
    learning_rate: float | None,
    estimate: str | None,
    trusts: tuple[str, ...],
    discount: float | None,
    double: bool | None,
    **others: Any,
) -> dict[str, Any]:
    """What ``rlem.memory.settings.changed`` takes."""
    if sum([n is not None, monte_carlo, trace_decay is not None]) > 1:
        raise UsageError("-n, --monte-carlo and --trace-decay exclude each other: give one of them")
    values: dict[str, Any] = {
        "discount": discount,
        "double": double,
        "estimate": estimate,
        "learning_rate": learning_rate,
    }
    values = {name: value for name, value in values.items() if value is not None}
    if n is not None or monte_carlo or trace_decay is not None:
        values |= {"n": n, "trace_decay": trace_decay}
    trust = {}
    for text in trusts:
        source, given, level = text.rpartition("=")
        if not given or level not in _LEVELS:
            raise UsageError(f"--trust {text!r} is not SOURCE=LEVEL with a level of {', '.join(_LEVELS)}")
        trust[source] = level
    return {**others, "values": values, "trust": trust}


@click.command()
@FILE
@click.option("--drop", metavar="NAME", help="Take this view away; the log stays.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def views(file: Path | str, drop: str | None, as_json: bool) -> None:
    """The views of a memory: ways to learn from its one log, each with settings and values of its own.

    `rlem memory rebuild --view NAME` makes or changes one.

    Example: rlem memory views shop.rlem
    """
    from rlem.memory.settings import drop_view
    from rlem.memory.settings import views as views_of

    with open_place(file, write=drop is not None) as store:
        if drop is not None:
            drop_view(store, drop)
        found, total = views_of(store), store.count()
    if as_json:
        facts = {
            item.name: {
                "settings": item.config.to_json() if item.config else None,
                "problem": item.problem,
                "experiences": item.experiences,
                "episodes": item.episodes,
            }
            for item in found
        }
        click.echo(json.dumps({"episodes": total, "views": facts}, indent=2))
        return
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("view", "experiences", "derived", "settings"):
        table.add_column(name, overflow="fold")
    usual = next((_said(item.config) for item in found if item.name == "main" and item.config), {})
    for item in found:
        derived = f"{item.episodes} of {count(total, 'episode')}" if item.episodes else "when it is opened"
        said = f"cannot be used here: {item.problem}"
        if item.config is not None:
            known = _said(item.config)
            if item.name != "main":  # what differs from it
                known = {name: text for name, text in known.items() if text != usual.get(name)} | {
                    name: f"no {name}" for name in usual if name not in known
                }
            said = "; ".join(known.values()) or "as main"
        table.add_row(Text(item.name), str(item.experiences), derived, Text(said))
    Console().print(table)


def _said(config: MemoryConfig) -> dict[str, str]:
    """What is to be said of settings, by what it is about."""
    parts = {"learning": learning(config), "similarity": config.similarity.fingerprint}
    for name in ("max_experiences", "max_actions", "max_bytes", "max_influence"):
        value = getattr(config, name)
        if value is not None:
            words = name.replace("_", " ")
            parts[words] = f"{words} {value:g}"
    parts |= {f"trust of {source}": f"{source} {level}" for source, level in config.sources.items()}
    return parts
