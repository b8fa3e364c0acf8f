"""``rlem memory influence``: which experiences changed decisions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from rlem.cli.memory.common import bar, cut
from rlem.cli.options import NearChoice, model_options, open_model
from rlem.core.errors import RunError, UsageError

if TYPE_CHECKING:
    from rlem.llm.base import LanguageModel
    from rlem.runner.influence import Influence, Recorded, Replayed
    from rlem.runner.records import RunConfig


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--epoch", type=click.IntRange(0), help="Decisions of this epoch (the last one).")
@click.option("--seed", type=click.IntRange(0), help="Decisions of this seed (all).")
@click.option(
    "--phase", type=NearChoice(["eval", "train"]), default="eval", show_default=True, help="Of which phase."
)
@click.option("--limit", type=click.IntRange(1), help="So many decisions, spread evenly over all (all).")
@click.option("--top", type=click.IntRange(1), default=20, show_default=True, help="Experiences printed.")
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path), help="Write everything to this file, too."
)
@click.option("--dry-run", is_flag=True, help="Say how many calls and tokens it takes at most, and stop.")
@click.option("--workers", type=click.IntRange(1), help="Threads (1; 8 for endpoints).")
@model_options
def influence(run: Path, **options: Any) -> None:
    """Which experiences changed decisions: RUN's are asked again without one exemplar at a time.

    RUN is a folder of `rlem train` with an agent that recalls. First each question is asked again as it was:
    decisions that come out otherwise are left out and counted. Writes influence.json and influence.md into
    RUN; answers are kept in influence.jsonl there, so that a stopped command goes on. No memory is changed.
    Limits of cost and tokens hold for this start alone.

    Example: rlem memory influence runs/webshop-1a2b3c4d --limit 200
    """
    from rlem.agents.base import MEMORY_AGENTS
    from rlem.reports.reading import EPISODES, EpisodeFile, read_config
    from rlem.runner.influence import Choice, choose, rank

    config = read_config(run)
    if config.agent not in MEMORY_AGENTS:
        raise UsageError(
            f"{run}: its agent {config.agent!r} recalls nothing; this needs a run of one that does: "
            + ", ".join(MEMORY_AGENTS)
        )
    if config.memory_url:
        raise UsageError(f"{run}: it learned in a memory on a server, which others may have taught as well")
    names = ("phase", "epoch", "seed", "limit")
    chosen = Choice(**{name: options.pop(name) for name in names})
    records = (record for _, record in EpisodeFile(run / EPISODES))
    epoch, decisions = choose(records, chosen, config)
    if options.pop("dry_run"):
        click.echo(_estimate(decisions))
        return
    top, json_file, workers = options.pop("top"), options.pop("json_file"), options.pop("workers")
    if options["model"] is None:
        options["model"] = config.model
        options["base_url"] = options["base_url"] or config.model_options.get("base_url")
    workers = workers or (8 if str(options["model"]).startswith("openai:") else 1)
    model = open_model(options, run / "influence")  # what the run itself has spent does not count
    with closing(model):
        found = rank(_replay(run, config, decisions, model, workers))
    about = {
        "run": str(run),
        "phase": chosen.phase,
        "epoch": epoch,
        "seeds": sorted({decision.record.seed for decision in decisions}),
        "model": model.name,
        "limit": chosen.limit,
    }
    _write(run, found, about, json_file)
    _print(found, top)


for _option in influence.params:
    if isinstance(_option, click.Option) and _option.name == "model":
        _option.default, _option.show_default = None, "the run's own"


def _estimate(decisions: Sequence[Recorded]) -> str:
    """Calls and tokens at most: the same question, one with another seed, one for each exemplar."""
    calls = [2 + len(decision.step.advice) for decision in decisions]
    tokens = sum(
        number * (usage.prompt_tokens + usage.completion_tokens) / max(usage.calls, 1)
        for number, usage in zip(calls, (decision.record.usage for decision in decisions), strict=True)
    )
    return (
        f"{len(decisions)} decisions: at most {sum(calls):,} calls, about {tokens:,.0f} tokens by those of "
        "their episodes (answers that are kept are not asked for again)"
    )


def _replay(
    run: Path, config: RunConfig, decisions: Sequence[Recorded], model: LanguageModel, workers: int
) -> list[Replayed]:
    from rlem.memory.memory import ExperienceMemory
    from rlem.memory.sqlite import SQLiteStore
    from rlem.runner.folder import RunFolder
    from rlem.runner.influence import Answers, replay
    from rlem.runner.setup import make_agent, make_environment

    folder = RunFolder(run)
    for seed in sorted({decision.record.seed for decision in decisions}):
        path = folder.memory_path(seed)
        if not path.is_file():
            raise RunError(
                f"{run} has no {path.name}, the memory that advised seed {seed}: give the folder of a run of "
                "`rlem train`, whole"
            )
    number = 0
    with closing(make_environment(config)) as environment, bar("asking again") as progress:
        progress(0, len(decisions))

        def done() -> None:
            nonlocal number
            number += 1
            progress(number, len(decisions))

        return replay(
            decisions,
            model=model,
            answers=Answers(run / "influence.jsonl"),
            open_memory=lambda seed: ExperienceMemory(SQLiteStore(folder.memory_path(seed), read_only=True)),
            make_agent=lambda memory: make_agent(config, environment, model, memory),
            config=config,
            workers=workers,
            done=done,
        )


def _write(run: Path, found: Influence, about: dict[str, Any], json_file: Path | None) -> None:
    from rlem.runner.influence.ranking import to_json, to_markdown

    text = json.dumps(to_json(found, about), indent=2) + "\n"
    facts = [(name, str(value)) for name, value in about.items() if value is not None]
    texts = {run / "influence.json": text, run / "influence.md": to_markdown(found, facts)}
    if json_file is not None:
        texts[json_file] = text
    for path, content in texts.items():
        try:
            path.write_text(content, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise RunError(
                f"{path} could not be written ({error.strerror or error}): mend that, then run the same "
                "command again; the answers are kept"
            ) from error


def _print(found: Influence, top: int) -> None:
    from rlem.runner.influence.ranking import HEADINGS, cells, lines

    console = Console()
    for line in lines(found):
        console.print(line, highlight=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in HEADINGS:
        table.add_column(name, overflow="fold")
    for row in found.rows[:top]:
        *facts, where = cells(row)
        table.add_row(*facts, cut(where))
    console.print(table)
    if len(found.rows) > top:
        console.print(f"{len(found.rows) - top} more: influence.md", style="dim", highlight=False)
