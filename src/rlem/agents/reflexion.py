"""Reflexion: after a failed trial the model writes what to do otherwise, and reads it in the next."""

from __future__ import annotations

from rlem.advice.text import action_items, number
from rlem.agents.base import View
from rlem.agents.prompted import (
    AnswerForm,
    ExemplarSource,
    PromptedAgent,
    PromptOptions,
    need_reasoner,
    no_exemplars,
)
from rlem.core.errors import UsageError
from rlem.core.types import Episode, Step, Task
from rlem.llm.base import Completion, LanguageModel

KEPT = 3
"""Reflections on a task that a prompt shows: the latest ones."""

_HEADER = "Your reflections on earlier trials of this task, the latest first:"
_CLOSING = "The episode is over. Write your reflection now."


class ReflexionAgent(PromptedAgent):
    """Reads its reflections on the task (see ``View.reflections``); without any it is the model alone.

    Source: Shinn et al. 2023, "Reflexion".
    """

    def __init__(
        self, name: str, model: LanguageModel, style: str, source: ExemplarSource, options: PromptOptions
    ) -> None:
        super().__init__(name, model, style, source, options, notes=_reflections)
        self._told = style

    def reflect(self, episode: Episode, *, seed: int = 0) -> Completion:
        """What to do otherwise. Raises only ModelError."""
        return reflect(self._model, self._told, episode, self._options, seed=seed)


def _reflections(view: View) -> str:
    latest = [text for text in view.reflections if text.strip()][-KEPT:]
    return "\n".join([_HEADER, *action_items(reversed(latest))]) if latest else ""


def reflexion(
    model: LanguageModel,
    style: str,
    options: PromptOptions | None = None,
    *,
    source: ExemplarSource = no_exemplars,
    name: str = "reflexion",
) -> ReflexionAgent:
    """The agent of trials. Errors: UsageError with the embedded reader."""
    need_reasoner(name, model)
    return ReflexionAgent(name, model, style, source, options or PromptOptions())


def reflect(
    model: LanguageModel,
    style: str,
    episode: Episode,
    options: PromptOptions | None = None,
    *,
    seed: int = 0,
) -> Completion:
    """What to do otherwise when the task of a finished episode is tried again, in the model's words.

    It is shown all actions with their reasons, the page before the last one, and the reward; the same token
    budget holds. Errors: UsageError for an episode without steps, or with the embedded reader; ModelError.
    """
    need_reasoner("reflexion", model)
    if not episode.transitions:
        raise UsageError(f"episode {episode.id!r} has no steps: there is nothing to reflect on")
    last = episode.transitions[-1]
    done = [(t.action, t.reason) for t in episode.transitions if t.action is not None]
    view = View(
        task=Task(id=episode.task_id or episode.id, instruction=episode.task),
        step=Step(
            observation=last.situation.observation,
            actions=last.situation.actions,
            subtask=last.situation.subtask,
        ),
        history=tuple(action for action, _ in done),
        reasons=tuple(reason for _, reason in done),
        last_reward=last.reward,
        total_reward=episode.reward,
        step_index=len(episode.transitions),
        seed=seed,
    )
    unusable = len(episode.transitions) - len(done)
    notes = (
        f"The page is the one before the last action. Reward of the episode: {number(episode.reward)}. "
        f"Steps: {len(episode.transitions)}. Answers that could not be used: {unusable}."
    )
    asker = PromptedAgent("reflexion", model, style, options=options, form=_REFLECTION)
    prompt, _ = asker.prompt(view, notes)
    return asker.say(prompt, view, "reflect")


_REFLECTION = AnswerForm(text="reflexion/answer", closing=_CLOSING, thoughts=True)
