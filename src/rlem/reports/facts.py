"""What a report keeps of each episode while it streams past: numbers, never pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from rlem.evidence.intervals import Values
from rlem.runner.records import Arm, EpisodeRecord, Phase, UsageRecord

WITHOUT_MEMORY = " without memory"


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeFacts:
    """One episode in numbers. A broken episode counts as a failure with reward 0, whatever was noted.

    ``position`` finds the full record again (byte offset in a file, index in a list). ``advised`` holds
    the task texts that exemplars came from.
    """

    position: int
    phase: Phase
    epoch: int
    arm: Arm
    seed: int
    agent: str
    task_id: str
    instruction: str
    kind: str
    status: str
    cause: str
    success: bool
    reward: float
    memory_size: int
    usage: UsageRecord
    steps: int
    failures: Mapping[str, int]
    repairs: Mapping[str, int]
    advised: frozenset[str]
    tried: Mapping[str, bool]

    @property
    def broken(self) -> bool:
        """Whether a fault ended it."""
        return self.status == "broken"

    @property
    def key(self) -> tuple[str, int]:
        """What it is paired by."""
        return self.task_id, self.seed


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One evaluation: an agent with or without memory at one epoch, one episode per (task, seed)."""

    agent: str
    arm: Arm
    epoch: int
    episodes: Mapping[tuple[str, int], EpisodeFacts]

    @property
    def success(self) -> Values:
        """1.0 or 0.0 per (task, seed)."""
        return {key: float(facts.success) for key, facts in self.episodes.items()}

    @property
    def reward(self) -> Values:
        """Sum of rewards per (task, seed)."""
        return {key: facts.reward for key, facts in self.episodes.items()}


@dataclass(slots=True, kw_only=True)
class RunFacts:
    """All episodes of a run, and what was odd about the file they came from."""

    episodes: list[EpisodeFacts] = field(default_factory=list)
    torn: bool = False
    duplicates: int = 0

    def evaluations(self) -> dict[tuple[str, Arm], list[Cell]]:
        """Cells of each (agent, arm) in order of epoch; memory before its control."""
        cells: dict[tuple[str, Arm], dict[int, dict[tuple[str, int], EpisodeFacts]]] = {}
        for facts in self.episodes:
            if facts.phase == "eval":
                epochs = cells.setdefault((facts.agent, facts.arm), {})
                epochs.setdefault(facts.epoch, {})[facts.key] = facts
        agents = list(dict.fromkeys(agent for agent, _ in cells))
        order = sorted(cells, key=lambda key: (agents.index(key[0]), key[1] != "memory"))
        return {
            (agent, arm): [
                Cell(agent=agent, arm=arm, epoch=epoch, episodes=episodes)
                for epoch, episodes in sorted(cells[agent, arm].items())
            ]
            for agent, arm in order
        }


def gather(records: Iterable[tuple[int, EpisodeRecord]]) -> RunFacts:
    """Condenses records as they come. Of two records of the same play the later one counts."""
    seen: dict[tuple[str, int, str, int, str, str], EpisodeFacts] = {}
    duplicates = 0
    texts: dict[str, str] = {}
    for position, record in records:
        facts = _condense(position, record, texts)
        key = (facts.phase, facts.epoch, facts.arm, facts.seed, facts.agent, facts.task_id)
        duplicates += key in seen
        seen[key] = facts
    return RunFacts(episodes=list(seen.values()), duplicates=duplicates)


def _condense(position: int, record: EpisodeRecord, texts: dict[str, str]) -> EpisodeFacts:
    broken = record.status == "broken"
    failures: Counter[str] = Counter()
    repairs: Counter[str] = Counter()
    advised: set[str] = set()
    for step in record.steps:
        if step.action is None:
            failures[step.failure or "no usable answer"] += 1
        repairs.update(step.repairs)
        advised.update(texts.setdefault(advice.task, advice.task) for advice in step.advice if advice.task)
    return EpisodeFacts(
        position=position,
        phase=record.phase,
        epoch=record.epoch,
        arm=record.arm,
        seed=record.seed,
        agent=record.agent.removesuffix(WITHOUT_MEMORY),
        task_id=record.task_id,
        instruction=texts.setdefault(record.instruction, record.instruction),
        kind=record.kind,
        status=record.status,
        cause=record.cause,
        success=record.success and not broken,
        reward=0.0 if broken else record.reward,
        memory_size=record.memory_size,
        usage=record.usage,
        steps=len(record.steps),
        failures=dict(failures),
        repairs=dict(repairs),
        advised=frozenset(advised),
        tried=record.tried,
    )


def total_usage(episodes: Iterable[EpisodeFacts]) -> UsageRecord:
    """Sum of tokens and money; the cost is null as soon as one price is unknown."""
    calls = prompt = cached = completion = 0
    cost: float | None = 0.0
    for facts in episodes:
        usage = facts.usage
        calls += usage.calls
        prompt += usage.prompt_tokens
        cached += usage.cached_tokens
        completion += usage.completion_tokens
        cost = None if cost is None or usage.cost_usd is None else cost + usage.cost_usd
    return UsageRecord(
        calls=calls, prompt_tokens=prompt, cached_tokens=cached, completion_tokens=completion, cost_usd=cost
    )


def total(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Counts added up by name, most frequent first."""
    added: Counter[str] = Counter()
    for count in counts:
        added.update(count)
    return dict(sorted(added.items(), key=lambda item: (-item[1], item[0])))
