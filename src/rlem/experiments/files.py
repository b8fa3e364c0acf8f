"""The files that an experiment leaves in its folder."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rlem.experiments.cells import Cell
from rlem.experiments.episodes import tell
from rlem.experiments.forms import to_csv, to_latex, to_markdown
from rlem.experiments.page import render_page
from rlem.experiments.schema import Experiment
from rlem.experiments.table import gather
from rlem.experiments.work import is_done, outcomes
from rlem.reports import wording
from rlem.runner.records import RunConfig

OUTCOMES = "outcomes.csv.gz"
_RUN = ("row", "initial", "train", "unseen", "seed")
_EPISODE = (
    *("kind", "success", "reward", "steps", "calls", "prompt_tokens", "completion_tokens", "tokens"),
    *("cost_usd", "broken", "memory_size"),
)


def write(
    experiment: Experiment,
    cells: Sequence[Cell],
    folder: Path,
    *,
    model: str,
    test: str,
    command: str,
    left_out: Mapping[str, str],
    training: Mapping[str, int],
) -> dict[str, Path]:
    """Writes all of them; what is not played yet is left blank. Returns where each one is."""
    config = RunConfig(
        environment=experiment.environment, environment_options=experiment.environment_options, model=model
    )
    results = gather(
        experiment,
        cells,
        folder,
        model=model,
        model_is=wording.model_sentence(config),
        test=test,
        data=wording.data_name(config),
        command=command,
        left_out=left_out,
        training=training,
    )
    texts = {
        "report.html": render_page(results, story=tell(experiment, cells, folder)),
        "report.md": to_markdown(results),
        "results.json": results.model_dump_json(indent=2) + "\n",
        "results.csv": to_csv(results),
        "results.tex": to_latex(results),
    }
    files = {name: folder / name for name in (*texts, OUTCOMES)}
    for name, text in texts.items():
        files[name].write_text(text, encoding="utf-8", errors="replace")
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(_lines(cells, folder))
    files[OUTCOMES].write_bytes(gzip.compress(stream.getvalue().encode("utf-8", "replace"), mtime=0))
    return files


def _lines(cells: Sequence[Cell], folder: Path) -> Iterator[Sequence[object]]:
    """One line a test episode of every epoch that was tested."""
    yield (*_RUN, "epoch", "task", *_EPISODE)
    for cell in cells:
        if not is_done(folder, cell):
            continue
        run = [getattr(cell, name) for name in _RUN]
        for epoch, tasks in outcomes(folder, cell).items():
            for task, told in tasks.items():
                yield (*run, epoch, task, *(_plain(told.get(name)) for name in _EPISODE))


def _plain(value: object) -> object:
    """Truth as 1 and 0; None becomes an empty field."""
    return int(value) if isinstance(value, bool) else value
