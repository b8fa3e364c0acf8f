"""distillation.md and the plots: what was counted, and what was learned on the grid."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from rlem.distillation.counting import CONTEXTS, Count, episodes_that_fit, rows
from rlem.distillation.grid import ACTIONS
from rlem.distillation.results import DISTILLED, Results
from rlem.reports import wording
from rlem.reports.curve import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def count_markdown(counts: Sequence[Count]) -> str:
    """The tables and, in a sentence each, where the history stops fitting."""
    lines = ["# The learning history as context, and what Rememberer sends", ""]
    for count in counts:
        seeds = f"{len(count.histories)} seed" + "s" * (len(count.histories) > 1)
        lines += [
            f"## {count.environment} ({count.run}): {count.decisions:,} training decisions, {seeds}",
            "",
            f"History counted by {count.counter}; prompts as the run recorded them (model: {count.model}).",
            "",
            "| epoch | training episodes | full history | observations only "
            f"| {count.agent}: mean a decision | max | ratio |",
            "|---|---|---|---|---|---|---|",
        ]
        for row in rows(count):
            sent = (f"{row.sent.mean:,.0f}", f"{row.sent.most:,.0f}") if row.sent else ("", "")
            ratio = f"{row.ratio:,.0f}x" if row.ratio else ""
            lines.append(
                f"| {row.epoch} | {row.episodes:,.0f} | {row.full:,.0f} | {row.observations:,.0f} "
                f"| {sent[0]} | {sent[1]} | {ratio} |"
            )
        lines += ["", fits_sentence(count), ""]
    lines += [
        "History: all training episodes so far, mean over seeds. Full: each decision's observation, "
        "available actions, action and reward, and the task once an episode. "
        "Max: the largest mean of one episode.",
        "",
    ]
    return "\n".join(lines)


def fits_sentence(count: Count) -> str:
    """Where the full history of the first seed stops fitting known contexts."""
    parts = []
    for name, context in CONTEXTS.items():
        episodes, seen = episodes_that_fit(count.histories[0].full, context)
        pace = "" if seen else " (reckoned at this run's pace)"
        parts.append(f"{name} tokens hold {wording.count(episodes, 'training episode')}{pace}")
    return f"Where the full history stops fitting: {'; '.join(parts)}."


def count_plot(counts: Sequence[Count], path: Path) -> None:
    """Tokens over training, log scale: histories of the first seed, prompts, and lengths of contexts."""
    figure, axes = _figure()
    for index, count in enumerate(counts):
        colour, history = PALETTE[index % len(PALETTE)], count.histories[0]
        episodes = range(1, len(history.full) + 1)
        axes.plot(episodes, history.full, "-", color=colour, label=f"{count.environment}: full history")
        axes.plot(
            episodes,
            history.observations,
            "--",
            color=colour,
            label=f"{count.environment}: observations only",
        )
        sent = [(history.ends[one.epoch], one.mean) for one in count.sent if one.epoch in history.ends]
        if sent:
            places, means = zip(*sent, strict=True)
            axes.plot(
                places, means, "o:", color=colour, label=f"{count.environment}: prompt of {count.agent}"
            )
    for name, context in CONTEXTS.items():
        axes.axhline(context, color="#9aa1a9", linewidth=0.8)
        axes.annotate(
            f"{name} context",
            (1, context),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            xytext=(-2, 3),
            fontsize=9,
            ha="right",
        )
    axes.set_yscale("log")
    axes.set_xlabel("Training episodes")
    axes.set_ylabel("Tokens")
    axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))
    _save(figure, path)


def grid_markdown(results: Results) -> str:
    """Returns by episode with intervals, and what made them."""
    picked = [e for e in (1, 2, 5, 10, 15, 20, 30, 40, 60, 80, 100) if e <= results.episodes]
    trained = results.trained
    lines = [
        "# Algorithm Distillation on a grid world",
        "",
        f"Dark room of {results.size} x {results.size} cells, {results.steps} steps an episode; "
        f"{results.goals} goals that no training history had, {results.seeds} seed(s); a walker who knows "
        f"the goal gets {results.best:.2f}. {trained.weights:,} weights, {results.context} steps of context, "
        f"{trained.steps:,} training steps, loss {fmean(trained.losses):.3f} (even chance: "
        f"{log(len(ACTIONS)):.3f}); training took {fmean(trained.wall_s):,.0f} s a seed "
        f"({fmean(trained.cpu_s):,.0f} s of processor time).",
        "",
        "Return of an episode, mean over goals (and seeds) with 95 % bootstrap interval:",
        "",
        f"| learner | {' | '.join(f'episode {e}' for e in picked)} |",
        "|---" * (len(picked) + 1) + "|",
    ]
    for learner in results.learners:
        cells = [
            f"{e.estimate:.1f} ({e.low:.1f} to {e.high:.1f})" for e in (learner.curve[n - 1] for n in picked)
        ]
        lines.append(f"| {learner.name} | {' | '.join(cells)} |")
    lines += ["", f"{DISTILLED}: differences of the mean return, paired by goal and seed:", ""]
    lines += [
        f"- {name}: {gain.estimate:+.2f} ({gain.low:+.2f} to {gain.high:+.2f})"
        for name, gain in results.differences.items()
        if gain
    ]
    return "\n".join([*lines, ""])


def grid_plot(results: Results, path: Path) -> None:
    """Return by episode, with bands."""
    figure, axes = _figure()
    for index, learner in enumerate(results.learners):
        colour, places = PALETTE[index % len(PALETTE)], range(1, len(learner.curve) + 1)
        axes.plot(places, [e.estimate for e in learner.curve], color=colour, label=learner.name)
        low, high = [e.low for e in learner.curve], [e.high for e in learner.curve]
        axes.fill_between(places, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.axhline(results.best, color="#9aa1a9", linewidth=0.8, linestyle="--")
    axes.annotate(
        "who knows the goal", (1, results.best), textcoords="offset points", xytext=(2, 3), fontsize=9
    )
    axes.set_ylim(0, results.best * 1.1)
    axes.set_xlabel("Episode on a goal never trained on")
    axes.set_ylabel("Return")
    axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))
    _save(figure, path)


def _figure() -> tuple[Any, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 4.6), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, format="png", dpi=150, metadata={"Software": None})
