"""A language model that says what it is told to, for tests of everything above the seam."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from rlem.core.errors import ModelError, ModelUnavailableError
from rlem.llm.base import Completion, Prompt, Usage
from rlem.llm.text import cut_at_stop
from rlem.llm.tokens import EstimatedTokens


class ScriptedModel:
    """Gives the answers of a list one after the other, or of a function of the prompt. Thread-safe.

    A ModelError in the list is raised in its turn. After the last answer: ModelUnavailableError.
    ``prompts`` keeps what was asked, ``usage`` the tokens (estimated) and calls so far.

    >>> model = ScriptedModel(["click[buy]"])
    >>> model.complete(Prompt(system="Choose.", user="a page")).text
    'click[buy]'
    """

    def __init__(
        self, answers: Sequence[str | ModelError] | Callable[[Prompt], str], *, name: str = "scripted"
    ) -> None:
        self._answers = answers if callable(answers) else list(answers)
        self._name = name
        self._tokens = EstimatedTokens()
        self._lock = threading.Lock()
        self.prompts: list[Prompt] = []
        self.usage = Usage()

    @property
    def name(self) -> str:
        """As given; "scripted" by default."""
        return self._name

    def count_tokens(self, text: str) -> int:
        """The plain estimate."""
        return self._tokens(text)

    def close(self) -> None:
        """Nothing to free."""

    def complete(
        self,
        prompt: Prompt,
        *,
        max_tokens: int = 200,
        temperature: float = 0.1,
        stop: Sequence[str] = (),
        seed: int | None = None,
    ) -> Completion:
        """The next answer."""
        with self._lock:
            turn = len(self.prompts)
            self.prompts.append(prompt)
        text = cut_at_stop(self._answer(prompt, turn), stop)
        usage = Usage(prompt_tokens=self._tokens(prompt.text), completion_tokens=self._tokens(text), calls=1)
        with self._lock:
            self.usage += usage
        return Completion(text=text, usage=usage)

    def _answer(self, prompt: Prompt, turn: int) -> str:
        if callable(self._answers):
            return self._answers(prompt)
        if turn >= len(self._answers):
            raise ModelUnavailableError(f"the script has {len(self._answers)} answers; one more was asked")
        answer = self._answers[turn]
        if isinstance(answer, ModelError):
            raise answer
        return answer
