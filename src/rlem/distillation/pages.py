"""The tables and plots: what was counted, and what was learned on the grid."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from math import log
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from rlem.distillation.counting import CONTEXTS, Count, fitting, rows
from rlem.distillation.grid import ACTIONS
from rlem.distillation.results import DISTILLED, Results
from rlem.reports.curve import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FAINT = "#9aa1a9"
_BESIDE = {"frameon": False, "fontsize": 9}


def count_markdown(counts: Sequence[Count]) -> str:
    """The table: a line for each task set, as things stand after its last epoch."""
    lines = ["# The learning history as context, and what Rememberer sends", ""]
    head = ["environment", "training tasks", "epochs", "histories", "episodes", "full history"]
    head += ["observations only", "prompt: mean", "max", "history / mean"]
    head += [f"episodes in {name}" for name in CONTEXTS]
    lines += [_line(head), "|---" * 2 + "|---:" * (len(head) - 2) + "|"]
    for count in counts:
        last = rows(count)[-1]
        sent = [f"{last.sent.mean:,.0f}", f"{last.sent.most:,.0f}"] if last.sent else ["", ""]
        fits = [fitting(count, context) for context in CONTEXTS.values()]
        lines.append(
            _line(
                [
                    *(count.environment, count.tasks, str(last.epoch), str(len(count.histories))),
                    *(f"{value:,.0f}" for value in (last.episodes, last.full, last.observations)),
                    *sent,
                    f"{last.ratio:,.0f}" if last.ratio else "",
                    *(f"{'' if seen else '~'}{episodes:,.0f}" for episodes, seen in fits),
                ]
            )
        )
    counted = {f"{count.counter} (model: {count.model})" for count in counts}
    limits = sorted({count.limit for count in counts})
    return "\n".join([*lines, "", *_notes(counted, limits), ""])


def _notes(counted: Iterable[str], limits: Iterable[int]) -> list[str]:
    return [
        f"Tokens of the history: {'; '.join(sorted(counted))}. Prompts: as the run recorded them.",
        "History: all training episodes up to the end of the last epoch, mean over histories. Full: each "
        "decision's observation, available actions, action and reward, and the task once an episode.",
        "Prompt: tokens a decision in the last epoch. Max is the largest mean of one episode; new input and "
        f"exemplars together are cut at {' or '.join(f'{limit:,}' for limit in limits)} tokens.",
        "Episodes in a context: so many first training episodes fit; ~: at the run's pace, beyond its end.",
    ]


def count_csv(counts: Sequence[Count]) -> str:
    """A line for each task set and epoch, numbers plain."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    head = "environment,tasks,agent,model,histories,epoch,episodes,history_tokens,observation_tokens"
    writer.writerow([*head.split(","), "prompt_mean", "prompt_max", "history_by_prompt"])
    for count in counts:
        about = count.environment, count.tasks, count.agent, count.model, len(count.histories)
        for row in rows(count):
            numbers = [row.episodes, row.full, row.observations]
            if row.sent and row.ratio:
                numbers += [row.sent.mean, row.sent.most, row.ratio]
            writer.writerow(
                [*about, row.epoch, *(f"{number:.1f}" for number in numbers), *[""] * (6 - len(numbers))]
            )
    return stream.getvalue()


def count_plot(counts: Sequence[Count], path: Path) -> None:
    """Tokens over training, log scale, an environment a panel: a first history and the prompts of each task
    set, and lengths of contexts."""
    names = sorted({count.environment for count in counts})
    figure = _figure(4.3 * len(names) + 1.0, 4.8)
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, names, strict=True):
        for count in (count for count in counts if count.environment == name):
            _draw_count(axes, count)
        _draw_contexts(axes)
        axes.set_title(name)
        axes.set_xlabel("Training episodes")
    panels[0].set_ylabel("Tokens in the context of one decision")
    drawn = {label: line for line, label in zip(*panels[0].get_legend_handles_labels(), strict=True)}
    figure.legend(drawn.values(), drawn.keys(), loc="outside lower center", ncols=len(drawn), **_BESIDE)
    _save(figure, path)


def _draw_count(axes: Axes, count: Count) -> None:
    history = count.histories[0]
    episodes = range(1, len(history.full) + 1)
    axes.plot(episodes, history.full, color=PALETTE[0], linewidth=1.2, label="full history")
    axes.plot(
        *(episodes, history.observations, "--"),
        color=PALETTE[5],
        linewidth=1.2,
        label="observations only",
    )
    sent = [(history.ends[one.epoch], one) for one in count.sent if one.epoch in history.ends]
    means, most = [one.mean for _, one in sent], [one.most for _, one in sent]
    for form, colour, label, tokens in (("o-", 1, "prompt, mean", means), ("^:", 4, "prompt, max", most)):
        axes.plot(
            *([end for end, _ in sent], tokens, form),
            color=PALETTE[colour],
            markersize=3.5,
            markevery=[-1] if sent else None,  # seen even where there is one epoch only
            label=label,
        )


def _draw_contexts(axes: Axes) -> None:
    axes.set_yscale("log")
    for name, context in CONTEXTS.items():
        axes.axhline(context, color=_FAINT, linewidth=0.8)
        axes.annotate(
            f"{name}\ncontext",
            (1, context),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            xytext=(3, 0),
            fontsize=9,
            va="center",
        )


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
        f"{log(len(ACTIONS)):.3f}); training took {fmean(trained.wall_s):,.0f} s a seed, "
        f"{sum(trained.wall_s):,.0f} s in all ({sum(trained.cpu_s):,.0f} s of processor time).",
        "",
        "Return of an episode, mean over goals (and seeds) with 95 % bootstrap interval:",
        "",
        _line(["learner", *(f"episode {e}" for e in picked)]),
        "|---" * (len(picked) + 1) + "|",
    ]
    for learner in results.learners:
        cells = [
            f"{e.estimate:.1f} ({e.low:.1f} to {e.high:.1f})" for e in (learner.curve[n - 1] for n in picked)
        ]
        lines.append(_line([learner.name, *cells]))
    lines += ["", f"{DISTILLED}: differences of the mean return, paired by goal and seed:", ""]
    lines += [
        f"- {name}: {gain.estimate:+.2f} ({gain.low:+.2f} to {gain.high:+.2f})"
        for name, gain in results.differences.items()
        if gain
    ]
    return "\n".join([*lines, ""])


def grid_plot(results: Results, path: Path) -> None:
    """Return by episode, with bands."""
    figure = _figure(9.5, 4.6)
    axes = figure.subplots()
    for index, learner in enumerate(results.learners):
        colour, places = PALETTE[index % len(PALETTE)], range(1, len(learner.curve) + 1)
        axes.plot(places, [e.estimate for e in learner.curve], color=colour, label=learner.name)
        low, high = [e.low for e in learner.curve], [e.high for e in learner.curve]
        axes.fill_between(places, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.axhline(results.best, color=_FAINT, linewidth=0.8, linestyle="--")
    axes.annotate(
        "who knows the goal", (1, results.best), textcoords="offset points", xytext=(2, 3), fontsize=9
    )
    axes.set_ylim(0, results.best * 1.1)
    axes.set_xlabel("Episode on a goal never trained on")
    axes.set_ylabel("Return")
    figure.legend(loc="outside right upper", **_BESIDE)
    _save(figure, path)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: Figure, path: Path) -> None:
    """As SVG: text stays text, the same numbers give the same bytes, no more of them than are seen."""
    from matplotlib import rc_context

    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    stream = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "rlem"}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    text = re.sub(r"(\.\d\d)\d+", r"\1", stream.getvalue())
    path.write_text(text.replace(" \nL ", "L"), encoding="utf-8")
