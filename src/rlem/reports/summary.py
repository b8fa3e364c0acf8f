"""From episodes to summary.json: scores with intervals, and what memory changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from rlem.core.errors import UsageError
from rlem.evidence import intervals as statistics
from rlem.reports import live, wording
from rlem.reports.facts import WITHOUT_MEMORY, Cell, EpisodeFacts, RunFacts, gather, total, total_usage
from rlem.reports.reading import EPISODES, EpisodeFile, read_config
from rlem.reports.schema import Count, Difference, Metric, Outcomes, Score, Summary, Training
from rlem.runner.records import Arm, EpisodeRecord, RunConfig

MOST_CAUSES = 12


def summarise(
    run: Path | Iterable[EpisodeRecord], config: RunConfig | None = None, *, seed: int = 0
) -> Summary:
    """Summary of a run folder, or of episode records with the config they were played under.

    Raises: RunError and DataError for a folder that cannot be read, UsageError for records without config.
    """
    if isinstance(run, Path):
        return summarise_facts(read_facts(run), config or read_config(run), seed=seed)
    if config is None:
        raise UsageError("episode records were given without their config: pass config=RunConfig(...)")
    return summarise_facts(gather(enumerate(run)), config, seed=seed)


def read_facts(folder: Path) -> RunFacts:
    """Streams the episodes of a run folder."""
    file = EpisodeFile(folder / EPISODES)
    facts = gather(file)
    facts.torn = file.torn
    return facts


def write_summary(summary: Summary, path: Path) -> None:
    """Writes summary.json (indented, keys in the order of ``Summary``)."""
    path.write_text(summary.model_dump_json(indent=2) + "\n", encoding="utf-8")


def summarise_facts(run: RunFacts, config: RunConfig, *, seed: int = 0) -> Summary:
    """Summary of facts already gathered."""
    series = run.evaluations()
    scores = {key: [_score(cell, seed) for cell in cells] for key, cells in series.items()}
    agent = main_agent(series, config)
    last = {key: cells[-1] for key, cells in series.items()}
    rows = [points[-1] for points in scores.values()]
    memory, control = last.get((agent, "memory")), last.get((agent, "no-memory"))
    success = _difference("success", memory, control, seed)
    outcomes = _outcomes(memory, control)
    own_rows = [row for row in rows if row.agent.removesuffix(WITHOUT_MEMORY) == agent]
    first = series.get((agent, "memory"), [None])[0]
    shown = memory or control
    return Summary(
        headline=wording.headline(success),
        detail=wording.detail(success, own_rows, outcomes),
        environment=config.environment,
        data=wording.data_name(config),
        agent=agent,
        model=config.model,
        model_is=wording.model_sentence(config),
        comparison=wording.comparison_sentence(config),
        tasks=len({key[0] for key in shown.episodes}) if shown else 0,
        seeds=sorted({key[1] for key in shown.episodes}) if shown else [],
        evaluation_epoch=max((row.epoch for row in rows), default=None),
        rows=rows,
        paired_difference=success,
        paired_difference_reward=_difference("reward", memory, control, seed),
        paired_difference_training=_since_start(memory, first, seed),
        live=live.effect(run.episodes, config),
        outcomes=outcomes,
        curve=[point for points in scores.values() for point in points],
        training=_training(run.episodes),
        episodes=len(run.episodes),
        broken_episodes=sum(facts.broken for facts in run.episodes),
        broken_causes=_causes((f.cause or "no cause noted", 1, f) for f in run.episodes if f.broken),
        format_failures=sum(sum(facts.failures.values()) for facts in run.episodes),
        format_failure_causes=_causes(
            (what, number, facts) for facts in run.episodes for what, number in facts.failures.items()
        ),
        repairs=total(facts.repairs for facts in run.episodes),
        usage=total_usage(run.episodes),
        method=statistics.METHOD,
        notes=_notes(run, series, agent, success),
    )


def main_agent(series: Iterable[tuple[str, Arm]], config: RunConfig) -> str:
    """The agent the headline is about: the config's, else the first with memory, else the first."""
    keys = list(series)
    agents = [agent for agent, _ in keys]
    if config.agent in agents or not agents:
        return config.agent
    return next((agent for agent, arm in keys if arm == "memory"), agents[0])


def _score(cell: Cell, seed: int) -> Score:
    success = statistics.mean_interval(cell.success, seed=seed)
    reward = statistics.mean_interval(cell.reward, seed=seed)
    episodes = list(cell.episodes.values())
    usage = total_usage(episodes)
    return Score(
        agent=wording.agent_label(cell.agent, cell.arm),
        arm=cell.arm,
        epoch=cell.epoch,
        success=success.estimate,
        success_low=success.low,
        success_high=success.high,
        reward=reward.estimate,
        reward_low=reward.low,
        reward_high=reward.high,
        tasks=success.tasks,
        seeds=success.seeds,
        episodes=len(episodes),
        broken=sum(facts.broken for facts in episodes),
        truncated=sum(facts.status == "truncated" for facts in episodes),
        steps=sum(facts.steps for facts in episodes) / len(episodes),
        format_failures=sum(sum(facts.failures.values()) for facts in episodes),
        repairs=sum(sum(facts.repairs.values()) for facts in episodes),
        memory_size=_memory_size(episodes),
        calls=usage.calls,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cost_usd=usage.cost_usd,
    )


def _memory_size(episodes: Sequence[EpisodeFacts]) -> float:
    """Largest memory each seed had, averaged over seeds."""
    sizes: dict[int, int] = {}
    for facts in episodes:
        sizes[facts.seed] = max(sizes.get(facts.seed, 0), facts.memory_size)
    return sum(sizes.values()) / len(sizes)


def _difference(metric: Metric, first: Cell | None, second: Cell | None, seed: int) -> Difference:
    """First minus second; says why where there is none."""
    if first is None and second is None:
        return Difference(metric=metric, note="No evaluation was played.")
    if first is None or second is None:
        missing = "with" if first is None else "without"
        note = f"No evaluation {missing} memory was played, so there is nothing to compare."
        return Difference(metric=metric, note=note)
    values = [cell.success if metric == "success" else cell.reward for cell in (first, second)]
    paired = statistics.paired_difference(*values, seed=seed)
    unpaired = paired.only_first + paired.only_second
    if paired.interval is None:
        note = f"None of the {unpaired} episodes share task and seed, so nothing can be paired."
        return Difference(metric=metric, note=note, unpaired=unpaired)
    interval = paired.interval
    return Difference(
        metric=metric,
        mean=interval.estimate,
        low=interval.low,
        high=interval.high,
        tasks=interval.tasks,
        seeds=interval.seeds,
        pairs=interval.values,
        unpaired=unpaired,
        excludes_zero=interval.excludes_zero if interval.tasks >= statistics.LEAST_TASKS else None,
        by_seed=_by_seed(*values),
        note=interval.note,
    )


def _by_seed(first: statistics.Values, second: statistics.Values) -> dict[int, float]:
    """Mean difference of each seed, that is of each training run."""
    found: dict[int, list[float]] = {}
    for task, seed in sorted(first.keys() & second.keys()):
        found.setdefault(seed, []).append(first[task, seed] - second[task, seed])
    return {seed: sum(values) / len(values) for seed, values in sorted(found.items())}


def _since_start(last: Cell | None, first: Cell | None, seed: int) -> Difference:
    """What training changed: with memory at the last evaluation minus with memory at the first."""
    if last is None or first is None or last.epoch == first.epoch:
        note = "Memory was evaluated fewer than two times, so the change by training is not known."
        return Difference(metric="success", note=note)
    return _difference("success", last, first, seed)


def _outcomes(memory: Cell | None, control: Cell | None) -> Outcomes:
    if memory is None or control is None:
        return Outcomes()
    pairs = Counter(
        (memory.episodes[key].success, control.episodes[key].success)
        for key in memory.episodes.keys() & control.episodes.keys()
    )
    return Outcomes(
        both=pairs[True, True],
        memory_only=pairs[True, False],
        without_only=pairs[False, True],
        neither=pairs[False, False],
    )


def _training(episodes: Sequence[EpisodeFacts]) -> list[Training]:
    epochs: dict[int, list[EpisodeFacts]] = {}
    for facts in episodes:
        if facts.phase == "train":
            epochs.setdefault(facts.epoch, []).append(facts)
    return [
        Training(
            epoch=epoch,
            episodes=len(played),
            solved=sum(facts.success for facts in played),
            broken=sum(facts.broken for facts in played),
            reward=sum(facts.reward for facts in played) / len(played),
            memory_size=_memory_size(played),
        )
        for epoch, played in sorted(epochs.items())
    ]


def _causes(events: Iterable[tuple[str, int, EpisodeFacts]]) -> list[Count]:
    """Events by what happened, most frequent first, the rare ones in one last line."""
    counts: Counter[str] = Counter()
    first: dict[str, str] = {}
    for what, number, facts in events:
        name = " ".join(what.split())[:200]
        counts[name] += number
        place = f"{facts.phase} epoch {facts.epoch}, {facts.arm}, seed {facts.seed}, task {facts.task_id}"
        first.setdefault(name, place)
    ranked = [Count(what=what, count=number, first=first[what]) for what, number in counts.most_common()]
    if len(ranked) <= MOST_CAUSES:
        return ranked
    rest = ranked[MOST_CAUSES - 1 :]
    others = Count(what=f"{len(rest)} other causes", count=sum(item.count for item in rest))
    return [*ranked[: MOST_CAUSES - 1], others]


def _notes(
    run: RunFacts, series: dict[tuple[str, Arm], list[Cell]], agent: str, difference: Difference
) -> list[str]:
    """Everything that a reader of the numbers should know and would not see."""
    notes = []
    if run.torn:
        notes.append("The last line of episodes.jsonl is cut short (the run was interrupted) and left out.")
    if run.duplicates:
        twice = wording.count(run.duplicates, "episode")
        notes.append(f"{twice} stood twice in the log; the later one counts.")
    for (name, arm), cells in series.items():
        last, label = cells[-1], wording.agent_label(name, arm)
        most = max(len(cell.episodes) for cell in cells)
        if len(last.episodes) < most:
            notes.append(
                f"The last evaluation of {label} (epoch {last.epoch}) is incomplete: "
                f"{len(last.episodes)} of {most} episodes."
            )
        if broken := sum(facts.broken for facts in last.episodes.values()):
            notes.append(
                f"{label}: {wording.count(broken, 'broken episode')} of {len(last.episodes)} in the last "
                "evaluation; each counts as a failure with reward 0."
            )
    memory, control = series.get((agent, "memory")), series.get((agent, "no-memory"))
    if memory and control and memory[-1].epoch != control[-1].epoch:
        notes.append(
            f"Memory is taken at epoch {memory[-1].epoch}, the control at epoch {control[-1].epoch}, "
            "the last one it was played at."
        )
    if difference.unpaired and difference.mean is not None:
        left_out = wording.count(difference.unpaired, "episode")
        notes.append(f"{left_out} had no partner of the same task and seed and are not in the difference.")
    if difference.note and difference.mean is not None:
        notes.append(f"The paired difference: {difference.note}.")
    return notes
