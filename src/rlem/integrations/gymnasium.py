"""rlem's environments as Gymnasium environments.

Importing this module registers ``rlem/WebShop-v0``. Gymnasium since 1.0 looks for no plug-ins by itself, so
either import it, or let Gymnasium do so: ``gymnasium.make("rlem.integrations.gymnasium:rlem/WebShop-v0")``.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, SupportsInt

from rlem.core.errors import ClosedError, MissingExtraError, UnknownNameError, UsageError
from rlem.core.types import Step, Task
from rlem.environments import registry
from rlem.environments.base import Environment
from rlem.environments.webshop.env import WebShop

try:
    import gymnasium
    import numpy as np
    from gymnasium.vector.utils import (
        create_shared_memory,
        read_from_shared_memory,
        write_to_shared_memory,
    )
except ModuleNotFoundError as error:
    if error.name != "gymnasium":
        raise
    raise MissingExtraError("rlem.integrations.gymnasium", "gymnasium") from None

WEBSHOP_ID = "rlem/WebShop-v0"
MAX_LENGTH = 1 << 18
"""Characters of the longest observation and action of the spaces; 1 MiB for each asynchronous worker."""

_SAMPLED = "abcdefghijklmnopqrstuvwxyz0123456789 []"
_SAMPLED_LENGTH = 40
_RESET_OPTIONS = ("index", "task")


class _Unicode(Set[str], Sequence[str]):
    """Every character there is, as set and as sequence by code point, without holding them."""

    def __contains__(self, char: object) -> bool:
        return isinstance(char, str) and len(char) == 1

    def __len__(self) -> int:
        return 0x110000

    def __iter__(self) -> Iterator[str]:
        return map(chr, range(len(self)))

    def __getitem__(self, index: Any) -> Any:
        return [chr(i) for i in range(*index.indices(len(self)))] if isinstance(index, slice) else chr(index)


_UNICODE = _Unicode()


class UnicodeText(gymnasium.spaces.Text):
    """All texts of at most ``max_length`` characters, whatever the characters.

    Gymnasium's Text wants its characters listed and looks each of them up; this one looks at the length
    only. ``sample`` draws short texts of a small alphabet unless a mask asks for characters.
    """

    def __init__(
        self, max_length: int = MAX_LENGTH, *, seed: int | np.random.Generator | None = None
    ) -> None:
        super().__init__(max_length, min_length=0, charset=_SAMPLED, seed=seed)

    def contains(self, x: Any) -> bool:
        """Whether ``x`` is a text and not too long."""
        return isinstance(x, str) and len(x) <= self.max_length

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """A random text of at most 40 characters, or as a mask of Gymnasium's Text asks."""
        if probability is not None:  # not an argument before Gymnasium 1.1
            return super().sample(mask, probability)
        if mask is not None:
            return super().sample(mask)
        length = self.np_random.integers(0, min(self.max_length, _SAMPLED_LENGTH) + 1)
        return "".join(self.np_random.choice(list(_SAMPLED), size=length))

    @property
    def character_set(self) -> Any:
        """Every Unicode character."""
        return _UNICODE

    @property
    def character_list(self) -> Any:
        """Every Unicode character, by code point."""
        return _UNICODE

    @property
    def characters(self) -> str:
        """Every Unicode character, as one long text."""
        return "".join(_UNICODE)

    def character_index(self, char: str) -> np.int32:
        """Code point of a character."""
        return np.int32(ord(char))

    def __repr__(self) -> str:
        return f"UnicodeText({self.max_length})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UnicodeText) and self.max_length == other.max_length


class _SharedTexts:
    """Texts of asynchronous workers, read from the shared memory when asked for; a copy is a plain tuple.

    Gymnasium reads observations once and takes them for a view that follows the memory; its own reader of
    texts gives strings that do not. A row is the length of a text and then its code points.
    """

    def __init__(self, rows: np.ndarray[Any, np.dtype[np.int32]]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> str:
        row = self._rows[index]
        codes: bytes = row[1 : 1 + row[0]].tobytes()
        return codes.decode("utf-32-le", "surrogatepass")

    def __iter__(self) -> Iterator[str]:
        return (self[index] for index in range(len(self)))

    def __deepcopy__(self, memo: object) -> tuple[str, ...]:
        return tuple(self)


def _rows(space: UnicodeText, memory: Any) -> np.ndarray[Any, np.dtype[np.int32]]:
    return np.frombuffer(memory.get_obj(), dtype="<i4").reshape(-1, 1 + space.max_length)


@create_shared_memory.register(UnicodeText)
def _create_texts(space: UnicodeText, n: int = 1, ctx: Any = None) -> Any:
    return ctx.Array("i", n * (1 + space.max_length))


@read_from_shared_memory.register(UnicodeText)
def _read_texts(space: UnicodeText, shared_memory: Any, n: int = 1) -> Any:
    return _SharedTexts(_rows(space, shared_memory))


@write_to_shared_memory.register(UnicodeText)
def _write_text(space: UnicodeText, index: int, value: str, shared_memory: Any) -> None:
    codes = np.frombuffer(value.encode("utf-32-le", "surrogatepass"), dtype="<i4")
    row = _rows(space, shared_memory)[index]
    row[0], row[1 : 1 + len(codes)] = len(codes), codes


class TextEnvironment(gymnasium.Env[str, str]):
    """Any rlem environment as a Gymnasium one: texts in, texts out. Closes the environment it is given.

    ``tasks``: the task set or range ``A:B`` that ``reset`` draws from. It sets no step limit: that is
    Gymnasium's TimeLimit (``rlem/WebShop-v0`` is registered with one of 15). Observations beyond
    ``max_length`` characters are cut there. Errors: UnknownNameError and UsageError for a task set or
    render mode that there is not.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012 - so read by Gymnasium

    def __init__(
        self,
        environment: Environment,
        *,
        tasks: str = "test",
        render_mode: str | None = None,
        max_length: int = MAX_LENGTH,
    ) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise UnknownNameError("render mode", str(render_mode), self.metadata["render_modes"])
        self._environment: Environment | None = environment
        self.render_mode = render_mode
        self.max_length = max_length
        self.observation_space = UnicodeText(max_length)
        self.action_space = UnicodeText(max_length)
        self._tasks = environment.tasks(tasks)
        self._total_reward = 0.0
        self._last: Step | None = None

    @property
    def environment(self) -> Environment:
        """The environment of rlem. Errors: ClosedError after :meth:`close`."""
        if self._environment is None:
            raise ClosedError("this environment is closed; make a new one")
        return self._environment

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Begins an episode: (observation, info with ``task_id``, ``instruction``, ``available_actions``).

        ``options``: {"task": task or its id} or {"index": place in the task set}; without, a task is drawn.
        Errors: UsageError for a task that does not exist.
        """
        environment = self.environment
        super().reset(seed=seed)
        task = self._choose(options or {})
        self._total_reward = 0.0
        self._last = environment.reset(task, seed=int(self.np_random.integers(1 << 31)))
        info = {"task_id": task.id, "instruction": task.instruction, **_see(self._last)}
        return self._cut(self._last), info

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Sends an action: (observation, reward, terminated, truncated, info).

        ``info``: ``available_actions``, ``valid`` (whether the action was understood), ``is_success``
        (whether the episode, if it ended here, met its task) and what the environment adds at the end.
        """
        if not isinstance(action, str):
            raise UsageError(f"an action is a text; got {type(action).__name__} {action!r:.60}")
        step = self._last = self.environment.step(str(action))
        self._total_reward += step.reward
        info = {
            "valid": True,
            **step.info,
            **_see(step),
            "is_success": self.environment.succeeded(self._total_reward, step),
        }
        return self._cut(step), float(step.reward), step.terminated, step.truncated, info

    def render(self) -> str | None:
        """The current page, with ``render_mode="ansi"``."""
        if self.render_mode is None or self._last is None:
            return None
        return self._last.observation

    def close(self) -> None:
        """Frees the environment, and lets go of all that leads to its data. May be called twice."""
        environment, self._environment = self._environment, None
        self._tasks, self._last = (), None
        if environment is not None:
            environment.close()

    def _cut(self, step: Step) -> str:
        return step.observation[: self.max_length]

    def _choose(self, options: Mapping[str, Any]) -> Task:
        """The task that reset options ask for, or a random one of the set."""
        for name in options:
            if name not in _RESET_OPTIONS:
                raise UnknownNameError("reset option", str(name), _RESET_OPTIONS)
        if len(options) > 1:
            raise UsageError("reset options 'task' and 'index' were both given; give one of them")
        if "task" in options:
            return self._find(options["task"])
        count = len(self._tasks)
        if "index" not in options:
            return self._tasks[int(self.np_random.integers(count))]
        index = options["index"]
        if not isinstance(index, SupportsInt) or not 0 <= int(index) < count:
            raise UsageError(f"reset option 'index' is {index!r:.60}; allowed: 0 to {count - 1}")
        return self._tasks[int(index)]

    def _find(self, wanted: object) -> Task:
        """A task by its id: one of the set, or any other by the number that its id ends with."""
        if isinstance(wanted, Task):
            return wanted
        name = str(wanted)
        number = name.rpartition(":")[2]
        if number.isdecimal() and number.isascii():
            try:
                found = self.environment.tasks(f"{int(number)}:{int(number) + 1}")
            except UsageError:
                found = ()
            if found and found[0].id == name:
                return found[0]
        for task in self._tasks:
            if task.id == name:
                return task
        raise UsageError(f"unknown task {name!r:.80}; task ids look like {self._tasks[0].id!r}")


class WebShopEnvironment(TextEnvironment):
    """WebShop, registered as ``rlem/WebShop-v0``; ``options`` are those of ``rlem env`` (data, goals, ...).

    Environments with equal options in one process share products, goals and search index.
    """

    def __init__(
        self,
        *,
        tasks: str = "test",
        render_mode: str | None = None,
        max_length: int = MAX_LENGTH,
        **options: Any,
    ) -> None:
        environment, release = _borrow("webshop", options)
        # Runs once: at close, or when nobody holds this environment any more.
        self._release = weakref.finalize(self, release)
        try:
            super().__init__(environment, tasks=tasks, render_mode=render_mode, max_length=max_length)
        except BaseException:
            self._environment = environment
            self.close()
            raise

    def close(self) -> None:
        """Frees the environment, and what it shared if it was the last one. May be called twice."""
        super().close()
        self._release()


@dataclass(slots=True)
class _Shared:
    """An opened environment that is never played, and how many play in its spawned ones."""

    environment: Environment
    users: int = 0


_shared: dict[Hashable, _Shared] = {}
_shared_lock = threading.RLock()  # a collected environment may give back while another one is borrowed


def _borrow(name: str, options: Mapping[str, Any]) -> tuple[Environment, Callable[[], None]]:
    """An environment over data shared with all others of equal options, and how to give it back."""
    # A forked worker opens files of its own: what it inherited belongs to its parent.
    key: Hashable = (os.getpid(), name, *sorted(options.items()))
    try:
        hash(key)
    except TypeError:
        return registry.make(name, **options), lambda: None
    with _shared_lock:
        shared = _shared.get(key)
        if shared is None:
            shared = _shared[key] = _Shared(registry.make(name, **options))
        shared.users += 1

    def release() -> None:
        with _shared_lock:
            shared.users -= 1
            if shared.users == 0:
                _shared.pop(key, None)
                shared.environment.close()

    return shared.environment.spawn(), release


def _see(step: Step) -> dict[str, Any]:
    return {"available_actions": list(step.actions), **({"subtask": step.subtask} if step.subtask else {})}


if WEBSHOP_ID not in gymnasium.registry:  # the module may be loaded twice
    gymnasium.register(
        id=WEBSHOP_ID,
        entry_point="rlem.integrations.gymnasium:WebShopEnvironment",
        max_episode_steps=WebShop.max_steps,
    )
