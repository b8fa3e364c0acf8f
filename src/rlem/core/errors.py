"""Every error that rlem raises, in one tree.

RlemError
├── UsageError                the caller asked for something that does not exist or does not fit
│   ├── UnknownNameError      a name is not known; the message proposes the nearest one
│   └── ClosedError           a closed memory, episode or environment was used
├── DataError                 a file of the user's is missing, broken or of the wrong kind
├── ExperienceMemoryError     the experience memory cannot do what was asked
│   ├── MemoryVersionError    written by a newer rlem, or not a memory at all
│   ├── MemoryReadOnlyError   the file or its folder cannot be written
│   ├── MemoryCorruptError    the log itself is damaged
│   ├── TryAgainError         a lost connection cost the work begun, nothing of it is stored
│   └── EpisodeConflictError  two different episodes claim one id
├── EnvironmentFaultError     an environment broke (not: an action without effect)
├── ModelError                a language model gave no usable completion
│   ├── ModelUnavailableError no answer within the deadline: network, server, overload
│   ├── ModelRejectedError    the endpoint refused for good: key, quota, bad request
│   ├── ModelResponseError    the endpoint answered something that is not a completion
│   └── BudgetExceededError   the token or money budget is spent
├── MissingExtraError         an optional dependency is absent; names the install command
└── RunError                  a run folder cannot be used or continued

A message says what failed, the value, what was allowed and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RlemError(Exception):
    """Root of all errors raised by rlem. ``exit_status`` is what the CLI returns for it."""

    exit_status = 1


class UsageError(RlemError):
    """The caller asked for something that does not exist or does not fit."""

    exit_status = 2


class UnknownNameError(UsageError):
    """A name is not known. The message lists what is known and proposes the nearest name.

    >>> print(UnknownNameError("environment", "webshp", ["webshop", "toy"]))
    unknown environment 'webshp'; did you mean 'webshop'? Known: toy, webshop
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        super().__init__(f"unknown {kind} {name!r}{hint} Known: {', '.join(names) or 'none'}")
        self.kind, self.name, self.known = kind, name, names

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.kind, self.name, self.known)


class ClosedError(UsageError):
    """A closed memory, episode or environment was used."""


class DataError(RlemError):
    """A file of the user's is missing, broken or of the wrong kind."""


class ExperienceMemoryError(RlemError):
    """The experience memory cannot do what was asked."""


class MemoryVersionError(ExperienceMemoryError):
    """The memory was written by a newer rlem, or the file is not a memory at all."""


class MemoryReadOnlyError(ExperienceMemoryError):
    """The memory's file or folder cannot be written (permissions, read-only disk, full disk)."""


class MemoryCorruptError(ExperienceMemoryError):
    """The log itself is damaged. What is derived from it is rebuilt silently, the log never is."""


class TryAgainError(ExperienceMemoryError):
    """The connection was lost and others wrote meanwhile: nothing of what was begun is stored."""


class EpisodeConflictError(ExperienceMemoryError):
    """Two different episodes claim one id."""


class EnvironmentFaultError(RlemError):
    """An environment broke. An action without effect is not an error: it is an observation."""


class ModelError(RlemError):
    """A language model gave no usable completion."""

    exit_status = 3


class ModelUnavailableError(ModelError):
    """No answer within the deadline: network, server down, overload. Worth another try later."""


class ModelRejectedError(ModelError):
    """The endpoint refused for good: wrong key, no quota, unknown model, bad request."""


class ModelResponseError(ModelError):
    """The endpoint answered, but not with a completion."""


class BudgetExceededError(ModelError):
    """The token or money budget of the run is spent."""


class MissingExtraError(RlemError):
    """An optional dependency is absent. The message names the command that installs it."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an optional part: pip install 'rlem[{extra}]'")
        self.what, self.extra = what, extra

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.what, self.extra)


class RunError(RlemError):
    """A run folder cannot be used or continued."""
