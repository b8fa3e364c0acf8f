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
    """Algorithm Distillation: what its context would cost on text, and a small one that runs."""


@distill.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the results (the first RUN).")
@click.option(
    "--tokenizer",
    type=click.Path(path_type=Path),
    help="tokenizer.json to count the history with (an estimate; for the embedded reader, its own).",
)
def count(runs: tuple[Path, ...], out: Path | None, tokenizer: Path | None) -> None:
    """Count the tokens of the learning history of each RUN against the prompts that were sent.

    Leaves distillation.json, distillation.md and distillation.png.

    Example: rlem distill count runs/shop runs/phone --out counted
    """
    from rlem.distillation.counting import count_run
    from rlem.distillation.pages import count_markdown, count_plot
    from rlem.reports.reading import read_config

    counts = []
    for folder in runs:
        tokens, counter = _counter(tokenizer, read_config(folder).model)
        counts.append(count_run(folder, tokens, counter=counter))
    where = out or runs[0]
    where.mkdir(parents=True, exist_ok=True)
    page = count_markdown(counts)
    _write(where, "distillation", json.dumps([asdict(one) for one in counts], indent=2), page)
    count_plot(counts, where / "distillation.png")
    click.echo(where / "distillation.png")


@distill.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("distilled"), show_default=True)
@click.option("--size", default=9, show_default=True, help="Cells a side of the room, odd.")
@click.option("--steps", type=click.IntRange(1), help="Training steps (1000).")
@click.option("--episodes", type=click.IntRange(10), help="Episodes played on each held-out goal (60).")
@click.option(
    "--seeds", type=click.IntRange(1), help="Transformers trained, each on histories of its own (3)."
)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Of torch.")
def train(
    out: Path, size: int, steps: int | None, episodes: int | None, seeds: int | None, threads: int
) -> None:
    """Distil Q-learning in a dark room into a transformer and play goals that it never saw.

    Compares its return by episode, no weight changing, with the same transformer without its context, with
    Q-learning, with RLEM and with chance. Histories and weights are kept in the folder and not made again.
    Leaves results.json, results.md and curve.png. Extra: distillation.

    Example: rlem distill train --seeds 1
    """
    from rlem.distillation.model import use_threads  # first: it says what is missing without torch

    use_threads(threads)
    from rlem.distillation.experiment import Settings, run
    from rlem.distillation.pages import grid_markdown, grid_plot

    base = Settings()
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
    _write(out, "results", json.dumps(asdict(results), indent=2), grid_markdown(results))
    grid_plot(results, out / "curve.png")
    click.echo(out / "curve.png")


def _counter(tokenizer: Path | None, model: str) -> tuple[TokenCounter, str]:
    """What counts the tokens of a history, and its name. Embedded runs are counted as their prompts were."""
    from rlem.llm.embedded import EmbeddedReader
    from rlem.llm.tokens import EstimatedTokens, FileTokens

    if tokenizer is not None:
        return FileTokens(tokenizer), f"the tokenizer {tokenizer.name}"
    if model == "embedded":
        return EmbeddedReader().count_tokens, "the embedded reader's rule, a third of the characters"
    return EstimatedTokens(), "rlem's estimate, which errs upwards (2.6 characters a token)"


def _write(folder: Path, name: str, data: str, page: str) -> None:
    (folder / f"{name}.json").write_text(data + "\n", encoding="utf-8")
    (folder / f"{name}.md").write_text(page, encoding="utf-8")
    click.echo(page)
    click.echo(folder / f"{name}.json")
    click.echo(folder / f"{name}.md")
