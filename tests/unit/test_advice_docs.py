"""docs/advice.md says what the code does: its example is rendered anew, its lists are complete."""

from __future__ import annotations

import random
from pathlib import Path

from rlem.advice import REPAIR_KINDS, PromptInput, advise, build_prompt, prompt_style
from rlem.core.types import Situation
from rlem.memory.experience import ActionValue, Experience, Recalled

TASK = "i need a red kettle, and price lower than 40.00 dollars"


def tried(action: str, n: int, q: float, reason: str = "", m2: float = 0.0) -> ActionValue:
    """Verified statistics of one action."""
    return ActionValue(
        action=action,
        visits=n,
        q_value=q,
        m2=m2,
        reward_mean=0.0,
        verified_visits=n,
        verified_q_value=q,
        reason=reason,
    )


def example() -> str:
    """The user part of the prompt that the page shows."""
    item = Experience(
        situation=Situation(
            task=TASK.replace("red kettle", "blue mug"),
            observation="Instruction:\ni need a blue mug, and price lower than 40.00 dollars\n"
            "[Back to Search]\n[< Prev]\ncolor [red][blue]\nMug of the Deep\nPrice: $9.0\n[Buy Now]",
            actions=("click[back to search]", "click[< prev]", "click[red]", "click[blue]", "click[buy now]"),
        ),
        actions=(
            tried("click[blue]", 3, 0.93, "the request names blue", 0.01),
            tried("click[buy now]", 2, 0.33, "cheap enough"),
            tried("click[back to search]", 1, 0.0),
        ),
        history=("search[blue mug]", "click[b0blue]"),
    )
    start = Experience(
        situation=Situation(
            task="i need a lamp",
            observation="WebShop\nInstruction:\ni need a lamp\n[Search]",
            actions=("search[<words>]",),
        ),
        actions=(tried("search[i need]", 1, 0.0),),
    )
    page = (
        f"Instruction:\n{TASK}\n[Back to Search]\n[< Prev]\ncolor [red][blue]\nKettle of Fire\n"
        "Encouraged:\nPrice: $22.9\n[Buy Now]"
    )
    shown = [
        advise(Recalled(experience=e, similarity=0.9), rng=random.Random(0), bounds=(0.0, 1.0), explore=True)
        for e in (item, start)
    ]
    new = PromptInput(
        task=TASK,
        observation=page,
        actions=item.situation.actions,
        history=("search[red kettle]",),
        reasons=("find kettles",),
    )
    return build_prompt(
        prompt_style("webshop"), new, shown, count_tokens=len, max_input_tokens=9999
    ).prompt.user


def test_the_example_is_what_the_code_renders(project: Path) -> None:
    """The prompt on the page is letter for letter what build_prompt gives."""
    assert f"```text\n{example()}\n```" in (project / "docs" / "advice.md").read_text(encoding="utf-8")


def test_all_repairs_are_listed(project: Path) -> None:
    """Every kind of repair stands on the page with its meaning."""
    page = (project / "docs" / "advice.md").read_text(encoding="utf-8")
    assert [kind for kind, meaning in REPAIR_KINDS.items() if f"| `{kind}` | {meaning} |" not in page] == []
