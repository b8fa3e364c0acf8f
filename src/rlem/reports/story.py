"""Picks three episodes that show what memory did: a failure, what was learned from it, a later success.

They are chosen by a fixed rule to explain, not to prove: the numbers prove, the story illustrates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rlem.reports.facts import EpisodeFacts, RunFacts

RULE = (
    "Rule: of the failed training episodes in order of play, the first whose task was solved in later "
    "training and then cited as an exemplar in a held-out success, at the last evaluation and under the same "
    "seed, that the agent without memory did not have. Where no such chain exists, the failure with the "
    "longest part of it is taken, and the first episodes that fit fill the rest."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """One episode of the story: ``position`` finds its record, ``why`` says why it was chosen."""

    title: str
    why: str
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chain:
    failure: EpisodeFacts
    later: EpisodeFacts | None
    cited: EpisodeFacts | None

    @property
    def length(self) -> int:
        return (self.later is not None and self.later.success) * 2 + (self.cited is not None)


def pick_story(run: RunFacts, agent: str) -> list[Chapter]:
    """Up to three chapters, in order of play; fewer where the run has no such episodes."""
    training = [
        facts
        for facts in run.episodes
        if facts.phase == "train" and facts.agent == agent and facts.arm == "memory" and not facts.broken
    ]
    held, lost = _held_out(run, agent)
    chains = [_chain(facts, training, held, lost) for facts in training if not facts.success]
    best = max(chains, key=lambda chain: chain.length, default=None)  # max keeps the first of equals
    chapters = _training_chapters(best, training)
    if success := best.cited if best and best.cited else _first_success(held, lost):
        chapters.append(_held_out_chapter(success, best, lost))
    return chapters


def _held_out(run: RunFacts, agent: str) -> tuple[list[EpisodeFacts], set[tuple[str, int]]]:
    """Held-out successes with memory at the last evaluation, and what the control failed there (unbroken)."""
    series = run.evaluations()
    memory, control = series.get((agent, "memory")), series.get((agent, "no-memory"))
    held = [facts for facts in memory[-1].episodes.values() if facts.success] if memory else []
    played = control[-1].episodes if control else {}
    return held, {key for key, facts in played.items() if not (facts.success or facts.broken)}


def _chain(
    failure: EpisodeFacts,
    training: Sequence[EpisodeFacts],
    held: Sequence[EpisodeFacts],
    lost: set[tuple[str, int]],
) -> _Chain:
    attempts = [f for f in training if f.key == failure.key and f.position > failure.position]
    later = next((f for f in attempts if f.success), attempts[-1] if attempts else None)
    cited = next(
        (f for f in held if f.key in lost and f.seed == failure.seed and failure.instruction in f.advised),
        None,
    )
    return _Chain(failure=failure, later=later, cited=cited)


def _training_chapters(chain: _Chain | None, training: Sequence[EpisodeFacts]) -> list[Chapter]:
    if chain is None:
        if not training:
            return []
        why = "No training episode failed, so this is simply the first one."
        return [Chapter(title="First training episode", why=why, position=training[0].position)]
    chapters = [
        Chapter(
            title="A failure in training",
            why=f"Training epoch {chain.failure.epoch}: the episode failed and was committed to memory.",
            position=chain.failure.position,
        )
    ]
    if chain.later is not None:
        how = "solved" if chain.later.success else "still not solved"
        chapters.append(
            Chapter(
                title="What was learned",
                why=f"The same task again in training epoch {chain.later.epoch}: {how}. "
                "The exemplars show what memory then held.",
                position=chain.later.position,
            )
        )
    return chapters


def _first_success(held: Sequence[EpisodeFacts], lost: set[tuple[str, int]]) -> EpisodeFacts | None:
    """The first held-out success that was advised and that the control lacks, else what comes nearest."""
    return max(held, key=lambda facts: 2 * (facts.key in lost) + bool(facts.advised), default=None)


def _held_out_chapter(success: EpisodeFacts, chain: _Chain | None, lost: set[tuple[str, int]]) -> Chapter:
    why = f"Evaluation after epoch {success.epoch}, memory frozen: solved."
    if success.key in lost:
        why += " The same agent without memory failed this task under the same seed."
    if chain is not None and success is chain.cited:
        why += " Its exemplars cite the training task above."
    elif success.advised:
        why += " Its exemplars come from other training tasks."
    else:
        why += " No exemplar was shown, so this success is not memory's doing."
    return Chapter(title="A success on a held-out task", why=why, position=success.position)
