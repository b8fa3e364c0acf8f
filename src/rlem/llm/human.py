"""A person in the model's place: shows the prompt, reads the answer."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from typing import TextIO

from rlem.core.errors import ModelUnavailableError
from rlem.llm.base import Completion, Prompt, Usage
from rlem.llm.text import cut_at_stop, printable
from rlem.llm.tokens import EstimatedTokens

_RULE = "-" * 72


class HumanModel:
    """Asks a person at a terminal. The answer ends with an empty line or the end of the input.

    The constant part of the prompt is shown only when it changes. Streams are standard input and output
    unless given. Thread-safe: one question at a time.
    """

    def __init__(self, source: TextIO | None = None, screen: TextIO | None = None) -> None:
        self._source, self._screen = source, screen
        self._shown = ""
        self._tokens = EstimatedTokens()
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """``human``."""
        return "human"

    def count_tokens(self, text: str) -> int:
        """An upper estimate, so that a person sees what a model would see."""
        return self._tokens(text)

    def close(self) -> None:
        """Nothing to free: the streams are the caller's."""

    def complete(
        self,
        prompt: Prompt,
        *,
        max_tokens: int = 200,
        temperature: float = 0.1,
        stop: Sequence[str] = (),
        seed: int | None = None,
    ) -> Completion:
        """Shows the prompt and returns what was typed. The end of the input: ModelUnavailableError."""
        with self._lock:
            try:
                self._show(prompt)
                text = self._read()
            except (OSError, ValueError) as error:  # closed streams, characters they cannot show
                raise ModelUnavailableError(f"the terminal cannot be used: {error}") from error
        return Completion(text=cut_at_stop(text, stop), usage=Usage(calls=1))

    def _show(self, prompt: Prompt) -> None:
        screen = self._screen or sys.stdout
        if prompt.system and prompt.system != self._shown:
            print(_RULE, printable(prompt.system), sep="\n", file=screen)
            self._shown = prompt.system
        print(_RULE, printable(prompt.user), _RULE, sep="\n", file=screen)
        print("Your answer (end it with an empty line):", file=screen, flush=True)

    def _read(self) -> str:
        source = self._source or sys.stdin
        lines: list[str] = []
        while line := source.readline():
            if line.strip():
                lines.append(line.rstrip("\n"))
            elif lines:
                return "\n".join(lines)
        if lines:
            return "\n".join(lines)
        raise ModelUnavailableError("the input ended before an answer was given; use another model")
