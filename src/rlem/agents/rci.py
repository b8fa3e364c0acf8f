"""RCI: recursively criticises and improves, first a plan for the task, then each action before it is sent."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from rlem.advice.prompts import CLOSING, prompt_text
from rlem.advice.text import fence, one_line
from rlem.agents.base import Decision, View
from rlem.agents.prompted import (
    Answer,
    ExemplarSource,
    PromptedAgent,
    PromptOptions,
    need_reasoner,
    no_exemplars,
)
from rlem.llm.base import LanguageModel, Prompt, Usage

_PLAN = "\nPlan:\n"


class RCIAgent:
    """Plans, criticises, improves.

    Plan: at an episode's first decision the model writes a plan, looks for its faults, and writes it anew.
    The plan goes with that decision's reason and comes back with the view: the agent keeps nothing.
    Action: proposed under the plan, criticised, proposed anew; a criticism that says OK spares this call.
    Correction: an action that is not available is answered with the error and asked for again.

    Source: Kim et al. 2023, "Language Models can Solve Computer Tasks".
    """

    def __init__(self, asker: PromptedAgent) -> None:
        self._asker = asker
        names = ("plan", "criticise-plan", "improve-plan", "criticise")
        self._questions = {name: prompt_text(f"rci/{name}") for name in names}

    @property
    def name(self) -> str:
        """How reports call it."""
        return self._asker.name

    def act(self, view: View) -> Decision:
        """One decision, of two or three calls; three more for the plan. Raises only ModelError."""
        view, plan = _split(view)
        planning = Usage()
        if not plan:
            plan, planning = self._plan(view)
        prompt, advice = self._asker.prompt(view, "\n".join(["Your plan:", *fence(plan)]))
        answer = self._criticised(prompt, view, self._asker.ask(prompt, view))
        decision = self._asker.decision(view, answer, advice)
        made = f"{_PLAN}{plan}" if planning.calls else ""
        return replace(decision, reason=decision.reason + made, usage=planning + decision.usage)

    def _plan(self, view: View) -> tuple[str, Usage]:
        """A plan, improved once if its criticism finds fault."""
        ask = self._questions
        prompt, _ = self._asker.prompt(view, closing=ask["plan"])
        first = self._asker.say(prompt, view, "plan")
        prompt = _with(prompt, "Your plan:", first.text, ask["criticise-plan"])
        faults = self._asker.say(prompt, view, "criticise plan")
        usage = first.usage + faults.usage
        if _fine(faults.text):
            return first.text.strip(), usage
        prompt = _with(prompt, "Your criticism:", faults.text, ask["improve-plan"])
        better = self._asker.say(prompt, view, "improve plan")
        return better.text.strip() or first.text.strip(), usage + better.usage

    def _criticised(self, prompt: Prompt, view: View, proposed: Answer) -> Answer:
        """The action after its criticism; the proposed one where the improvement cannot be used."""
        action = proposed.parsed.action
        if action is None:
            return proposed
        said = f"{one_line(action)} {one_line(proposed.parsed.reason)}"
        prompt = _with(prompt, "Your proposed action:", said, self._questions["criticise"])
        faults = self._asker.say(prompt, view, "criticise")
        texts, usage, repairs = [proposed.text, faults.text], proposed.usage + faults.usage, proposed.repairs
        chosen = proposed.parsed
        if not _fine(faults.text):
            better = self._asker.ask(_with(prompt, "Your criticism:", faults.text, CLOSING), view, "improve")
            texts.append(better.text)
            usage += better.usage
            repairs = Counter(repairs) + Counter(better.repairs)
            chosen = better.parsed if better.parsed.action is not None else chosen
        return Answer(text="\n\n".join(texts), parsed=chosen, usage=usage, repairs=dict(repairs))


def rci(
    model: LanguageModel,
    style: str,
    options: PromptOptions | None = None,
    *,
    source: ExemplarSource = no_exemplars,
    name: str = "rci",
) -> RCIAgent:
    """RCI over any source of exemplars. Errors: UsageError with the embedded reader."""
    need_reasoner(name, model)
    return RCIAgent(PromptedAgent(name, model, style, source, options))


def _split(view: View) -> tuple[View, str]:
    """The view as the model is shown it, and the plan that one of its reasons carries."""
    parts = [reason.partition(_PLAN) for reason in view.reasons]
    plan = next((plan for _, _, plan in parts if plan), "")
    return replace(view, reasons=tuple(reason for reason, _, _ in parts)), plan


def _with(prompt: Prompt, header: str, text: str, question: str) -> Prompt:
    """The prompt gone on with: what was answered, and the next question."""
    answer = "\n".join([header, *fence(text.strip())])
    return Prompt(system=prompt.system, user=f"{prompt.user}\n\n{answer}\n\n{question}")


def _fine(criticism: str) -> bool:
    """Whether a criticism found nothing: it is empty, or begins with the word OK."""
    words = criticism.split(maxsplit=1)
    return not words or words[0].strip(".,:;!*\"'`").upper() == "OK"
