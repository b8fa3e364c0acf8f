"""``rlem distill``: Algorithm Distillation, counted on a run of text and trained on a grid world."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from rlem.cli.groups import HelpfulGroup

if TYPE_CHECKING:
    from rlem.llm.tokens import TokenCounter


@click.group(cls=HelpfulGroup)
def distill() -> None:
    """Algorithm Distillation: what its context would cost on text, and a small one that runs.

    Example: rlem distill train --short
    """


@distill.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("counted"),
    show_default=True,
    help="Folder of the results.",
)
@click.option(
    "--tokenizer",
    type=click.Path(path_type=Path),
    help="tokenizer.json to count the history with (an estimate; for the embedded reader, its own).",
)
def count(runs: tuple[Path, ...], out: Path, tokenizer: Path | None) -> None:
    """Count the tokens of the learning history of each RUN against the prompts that were sent.

    RUN is a run's folder, or the folder of an experiment: of that, the runs of the whole method on each
    task set. Runs that differ in seed or initial experience only are one line of the table. Leaves
    distillation.json, .md, .csv and .svg.

    \b
    Examples:
      rlem distill count runs/shop runs/phone
      rlem distill count experiments/webshop experiments/wikihow --out counted
    """
    from rlem.distillation.counting import alike, count_runs
    from rlem.distillation.pages import count_csv, count_markdown, count_plot
    from rlem.reports.reading import read_config

    counts = []
    for folders in alike(runs):
        tokens, counter = _counter(tokenizer, read_config(folders[0]).model)
        counts.append(count_runs(folders, tokens, counter=counter))
    found = json.dumps([asdict(one) for one in counts])
    out.mkdir(parents=True, exist_ok=True)
    count_plot(counts, out / "distillation.svg")
    click.echo(out / "distillation.svg")
    _write(out, "distillation", json=found + "\n", csv=count_csv(counts), md=count_markdown(counts))


@distill.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("distilled"),
    show_default=True,
    help="Folder of what is kept and of the results.",
)
@click.option("--short", is_flag=True, help="A small room and one seed: shows in a minute that it runs.")
@click.option(
    "--size",
    type=int,
    help="Cells a side of the room, odd (9; short: 5). An episode has 2 x size + 2 steps, 20 (12) at least.",
)
@click.option(
    "--steps",
    type=click.IntRange(1),
    help="Steps of training the transformer, not of an episode (1000; short: 800).",
)
@click.option("--episodes", type=click.IntRange(10), help="Episodes on each held-out goal (60; short: 30).")
@click.option(
    "--seeds",
    type=click.IntRange(1),
    help="Transformers trained, each on histories of its own (3; short: 1).",
)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Of torch.")
def train(
    out: Path,
    short: bool,
    size: int | None,
    steps: int | None,
    episodes: int | None,
    seeds: int | None,
    threads: int,
) -> None:
    """Distil Q-learning in a dark room into a transformer and play goals that it never saw.

    Compares its return by episode, no weight changing, with the same transformer without its context or
    with a context that tells nothing, with Q-learning, with RLEM and with chance. Histories and weights are
    kept in the folder and not made again. Leaves results.json, results.md and curve.svg. Extra: distillation.

    \b
    Examples:
      rlem distill train --short --out tried
      rlem distill train
    """
    from rlem.distillation.model import use_threads  # first: it says what is missing without torch

    use_threads(threads)
    from rlem.distillation.experiment import SHORT, Settings, run
    from rlem.distillation.pages import grid_markdown, grid_plot

    base = SHORT if short else Settings()
    size = base.room.size if size is None else size
    settings = replace(
        base,
        room=replace(base.room, size=size, steps=max(base.room.steps, 2 * size + 2)),
        training=replace(base.training, steps=steps or base.training.steps),
        episodes=episodes or base.episodes,
        seeds=seeds or base.seeds,
    )
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        shown = bar.add_task("", total=1.0)
        results = run(out, settings, lambda what, done: bar.update(shown, completed=done, description=what))
    grid_plot(results, out / "curve.svg")
    click.echo(out / "curve.svg")
    _write(out, "results", json=json.dumps(asdict(results)) + "\n", md=grid_markdown(results))


def _counter(tokenizer: Path | None, model: str) -> tuple[TokenCounter, str]:
    """What counts the tokens of a history, and its name. Embedded runs are counted as their prompts were."""
    from rlem.llm.embedded import EmbeddedReader
    from rlem.llm.tokens import EstimatedTokens, FileTokens

    if tokenizer is not None:
        return FileTokens(tokenizer), f"the tokenizer {tokenizer.name}"
    if model == "embedded":
        return EmbeddedReader().count_tokens, "the embedded reader's rule, a third of the characters"
    return EstimatedTokens(), "rlem's estimate, which errs upwards (2.6 characters a token)"


def _write(folder: Path, name: str, **texts: str) -> None:
    """Writes the texts by the ends of their files' names, prints the page, and says what was written."""
    click.echo(texts["md"])
    for end, text in texts.items():
        (folder / f"{name}.{end}").write_text(text, encoding="utf-8")
        click.echo(folder / f"{name}.{end}")
