"""The report page: one HTML file that needs nothing beside it, neither network nor fonts nor scripts.

Everything that came from an environment or a model is text to the template (autoescaped) and is cut to
a bounded length; a content security policy in the page forbids all loading besides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from rlem.reports import wording
from rlem.reports.curve import inline_svg
from rlem.reports.live import narrowing_svg
from rlem.reports.schema import Summary
from rlem.reports.story import RULE, Chapter
from rlem.reports.tasks import TaskRow
from rlem.runner.records import EpisodeRecord, RunConfig

MOST_TASKS = 2000
MOST_STEPS = 40
MOST_LISTED = 12
PAGE_CHARS = 6000
ANSWER_CHARS = 2000
LINE_CHARS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    """All that the page shows. ``chapters`` come with their full records, ``tasks`` without."""

    summary: Summary
    config: RunConfig
    versions: Mapping[str, str]
    tasks: Sequence[TaskRow]
    chapters: Sequence[tuple[Chapter, EpisodeRecord]]


def render_html(data: ReportData) -> str:
    """The page as text."""
    environment = Environment(
        loader=PackageLoader("rlem.reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": wording.percent,
        "points": wording.points,
        "signed": wording.signed,
        "decimal": wording.decimal,
        "money": wording.money,
        "page": lambda text: clip(text, PAGE_CHARS),
        "answer": lambda text: clip(text, ANSWER_CHARS),
        "line": lambda text: clip(" ".join(text.split()), LINE_CHARS),
        "count": wording.count,
    }
    versions = dict(data.versions)
    return environment.get_template("report.html.j2").render(
        summary=data.summary,
        command=wording.command(data.config, versions),
        settings=wording.settings(data.config),
        versions={name: value for name, value in versions.items() if name != "command"},
        svg=Markup(inline_svg(data.summary)) if data.summary.curve else "",
        live_svg=Markup(narrowing_svg(data.summary.live)) if data.summary.live else "",
        tasks=data.tasks[:MOST_TASKS],
        tasks_left_out=max(0, len(data.tasks) - MOST_TASKS),
        chapters=data.chapters,
        rule=RULE,
        most_steps=MOST_STEPS,
        most_listed=MOST_LISTED,
    )


def write_html(data: ReportData, path: Path) -> None:
    """Writes the page as UTF-8; a lone surrogate (not writable) becomes a question mark."""
    path.write_bytes(render_html(data).encode("utf-8", "replace"))


def clip(text: str, most: int) -> str:
    """The text without control characters, cut to so many characters; says how many are missing."""
    clean = "".join(char for char in text[:most] if char.isprintable() or char in "\n\t\u00a0\u3000")
    return f"{clean} … [{len(text) - most:,} more characters]" if len(text) > most else clean
