"""The prompt under its token budget: which exemplars go in, and what is cut if nothing else helps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rlem.advice.exemplar import Compat, Exemplar
from rlem.advice.prompts import CLOSING, NEW_INPUT, PromptInput, PromptStyle
from rlem.core.errors import UsageError

CountTokens = Callable[[str], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptText:
    """The two parts of a prompt: ``system`` never changes within a run, ``user`` does."""

    system: str
    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltPrompt:
    """A prompt and how it came about.

    ``used`` are the exemplars in it by rank (the first is "Example 1"), ``skipped`` the indices of the
    candidates that did not fit, ``input_tokens`` the tokens of the user part. ``truncated_input``: the
    new input alone was too long and was cut.
    """

    prompt: PromptText
    used: tuple[Exemplar, ...] = ()
    skipped: tuple[int, ...] = ()
    input_tokens: int = 0
    truncated_input: bool = False


def build_prompt(
    style: PromptStyle,
    given: PromptInput,
    exemplars: Sequence[Exemplar] = (),
    *,
    count_tokens: CountTokens,
    max_input_tokens: int = 3700,
    k: int = 2,
    compat: Compat = "default",
) -> BuiltPrompt:
    """The prompt for one decision. The user part never has more than ``max_input_tokens`` tokens.

    ``exemplars`` are candidates, most similar first. They are walked by rank: one that fits is taken,
    one that does not is skipped, the walk stops at ``k``. In the text the most similar stands last.
    If the new input alone is too long, its page is cut in the middle with a visible mark, and if that
    does not do, the list of actions and the task too; if nothing fits: UsageError.
    Source: Zhang et al. 2023, section 3.2 and appendix (budget 3700, k = 2).
    """

    def user(blocks: Sequence[str], new: PromptInput) -> str:
        return "\n\n".join([*reversed(blocks), NEW_INPUT, style.input_block(new), CLOSING])

    new = _fit(given, lambda candidate: count_tokens(user((), candidate)) <= max_input_tokens)
    if new is None:
        needed = count_tokens(user((), _MINIMAL))
        raise UsageError(
            f"max_input_tokens={max_input_tokens} is too small for any input of style {style.name!r}: "
            f"an empty one takes {needed} tokens. Allow more (the paper uses 3700)."
        )
    used: list[Exemplar] = []
    blocks: list[str] = []
    skipped: list[int] = []
    for index, exemplar in enumerate(exemplars):
        if len(used) >= k:
            break
        block = style.exemplar(len(used) + 1, exemplar, compat=compat)
        if count_tokens(user([*blocks, block], new)) <= max_input_tokens:
            used.append(exemplar)
            blocks.append(block)
        else:
            skipped.append(index)
    text = user(blocks, new)
    return BuiltPrompt(
        prompt=PromptText(system=style.system(), user=text),
        used=tuple(used),
        skipped=tuple(skipped),
        input_tokens=count_tokens(text),
        truncated_input=new is not given,
    )


_MINIMAL = PromptInput(task="", observation="")


def _fit(given: PromptInput, fits: Callable[[PromptInput], bool]) -> PromptInput | None:
    """The input itself if it fits, else the longest cut of it that does; None if none does."""
    if fits(given):
        return given
    cuts: tuple[tuple[int, Callable[[PromptInput, int], PromptInput]], ...] = (
        (len(given.observation), lambda i, n: replace(i, observation=cut_middle(given.observation, n))),
        (len(given.reasons), lambda i, n: replace(i, reasons=given.reasons[:n])),
        (len(given.actions), lambda i, n: replace(i, actions=_cut_list(given.actions, n))),
        (len(given.history), lambda i, n: replace(i, history=given.history[-n:] if n else (), reasons=())),
        (len(given.subtask), lambda i, n: replace(i, subtask=cut_middle(given.subtask, n))),
        (len(given.task), lambda i, n: replace(i, task=cut_middle(given.task, n))),
    )
    best = given
    for size, cut in cuts:
        if not size:
            continue
        least = cut(best, 0)
        if not fits(least):
            best = least
            continue
        low, high, found = 0, size, least  # invariant: ``low`` kept units fit, ``high`` do not
        while high - low > 1:
            middle = (low + high) // 2
            tried = cut(best, middle)
            if fits(tried):
                low, found = middle, tried
            else:
                high = middle
        return found
    return None


def cut_middle(text: str, keep: int) -> str:
    """The text with ``keep`` characters of its head and tail, and a mark on a line of its own between.

    Cuts at a line break where one is near.

    >>> cut_middle("abcdefgh", 4)
    'ab\\n[... 4 characters left out ...]\\ngh'
    """
    if keep >= len(text):
        return text
    head, tail = text[: (keep + 1) // 2], text[len(text) - keep // 2 :]
    at = head.rfind("\n")
    if at > len(head) // 2:
        head = head[:at]
    at = tail.find("\n")
    if 0 <= at < len(tail) // 2:
        tail = tail[at + 1 :]
    mark = f"[... {len(text) - len(head) - len(tail)} characters left out ...]"
    return "\n".join(part for part in (head, mark, tail) if part)


def _cut_list(actions: Sequence[str], keep: int) -> tuple[str, ...]:
    left_out = len(actions) - keep
    mark = f"[... {left_out} actions left out ...]"
    return (*actions[: (keep + 1) // 2], mark, *actions[len(actions) - keep // 2 :])
