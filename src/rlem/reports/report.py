"""One call from a run folder to everything that is read of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rlem.reports import curve, html
from rlem.reports.reading import EPISODES, EpisodeFile, read_config, read_versions
from rlem.reports.schema import Summary
from rlem.reports.story import pick_story
from rlem.reports.summary import read_facts, summarise_facts, write_summary
from rlem.reports.tasks import task_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportPaths:
    """Where the report's files are, and the summary they were made from."""

    summary_json: Path
    report_html: Path
    learning_curve_png: Path
    summary: Summary


def write_report(run_folder: Path) -> ReportPaths:
    """Writes summary.json, report.html and learning_curve.png into a run folder.

    Reads config.json, episodes.jsonl (as a stream, a torn last line tolerated) and versions.json where
    present. The same folder gives the same bytes. May be called again, also while a run is in progress.
    Raises: RunError where the folder is no run, DataError where a file in it is damaged.
    """
    config = read_config(run_folder)
    run = read_facts(run_folder)
    summary = summarise_facts(run, config)
    chapters = pick_story(run, summary.agent)
    records = EpisodeFile(run_folder / EPISODES).at(chapter.position for chapter in chapters)
    paths = ReportPaths(
        summary_json=run_folder / "summary.json",
        report_html=run_folder / "report.html",
        learning_curve_png=run_folder / "learning_curve.png",
        summary=summary,
    )
    data = html.ReportData(
        summary=summary,
        config=config,
        versions=read_versions(run_folder),
        tasks=task_rows(run, summary.agent),
        chapters=list(zip(chapters, records, strict=True)),
    )
    write_summary(summary, paths.summary_json)
    curve.write_png(summary, paths.learning_curve_png)
    html.write_html(data, paths.report_html)
    return paths
