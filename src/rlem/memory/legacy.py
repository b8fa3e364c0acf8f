"""Memory pools of the reference implementation (YAML) as episodes.

A pool holds values, not episodes: a mapping from (observation, task, available actions | step
instruction) to actions with their Q value and count. Every (situation, action) becomes ``number``
one-step episodes whose reward is the Q value, so that the same value and count come out again whatever
the discount and n (under alpha = 1/N). The pool's own ``reward`` is not read (its last steps are shifted
by one).

The files use YAML tuples. They are read with a safe loader that knows this one tag and refuses every
other, with bounds on size, depth and aliases.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from rlem.core.errors import DataError
from rlem.core.types import Episode, Situation, Transition, Trust
from rlem.memory.codec import finite

MAX_BYTES = 64 * 2**20
MAX_DEPTH = 32
MAX_EXPANDED = 2 * MAX_BYTES
"""Most characters and nodes a pool may have once its aliases are written out."""
MAX_COPIES = 1000
"""Most episodes one recorded action is turned into, however large its count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LegacyPool:
    """What a pool file held: its episodes, and what had to be left out, a line each."""

    episodes: tuple[Episode, ...]
    skipped: tuple[str, ...]


class _PoolLoader(yaml.SafeLoader):
    """Safe YAML plus Python tuples; bounded."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._level = 0
        self._extent: dict[int, tuple[int, int]] = {}  # of every finished node: written out size, height

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        alias = self.check_event(yaml.AliasEvent)
        self._level += 1
        if self._level > MAX_DEPTH:
            raise yaml.YAMLError(f"nested deeper than {MAX_DEPTH} levels")
        node = super().compose_node(parent, index)
        self._level -= 1
        if alias and id(node) not in self._extent:
            raise yaml.YAMLError("an alias inside of what it stands for")
        if not alias and node is not None:
            self._extent[id(node)] = self._measure(node)
        return node

    def _measure(self, node: yaml.Node) -> tuple[int, int]:
        """Aliases make a small text large and deep: what is built of it must stay bounded, too."""
        if isinstance(node, yaml.ScalarNode):
            return 1 + len(node.value), 1
        pairs = isinstance(node, yaml.MappingNode)
        if pairs and any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
            raise yaml.YAMLError("merge keys (<<) have no place in a pool")
        children = [part for pair in node.value for part in pair] if pairs else node.value
        extents = [self._extent[id(child)] for child in children]
        size, height = 1 + sum(e[0] for e in extents), 1 + max((e[1] for e in extents), default=0)
        if size > MAX_EXPANDED or height > MAX_DEPTH:
            raise yaml.YAMLError(
                f"its aliases stand for more than {MAX_EXPANDED} characters or {MAX_DEPTH} levels"
            )
        return size, height


def _tuple(loader: yaml.SafeLoader, node: yaml.Node) -> tuple[Any, ...]:
    if not isinstance(node, yaml.SequenceNode):
        raise yaml.YAMLError("a tuple must be a sequence")
    return tuple(loader.construct_sequence(node, deep=True))


_PoolLoader.add_constructor("tag:yaml.org,2002:python/tuple", _tuple)


def load_pool(path: Path, *, trust: Trust = "unverified") -> LegacyPool:
    """Reads a pool file. DataError where it is not one; nothing in it is ever executed."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path} is larger than {MAX_BYTES // 2**20} MiB: no pool of the reference is")
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    try:
        data = yaml.load(text, Loader=_PoolLoader)
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path} is not a memory pool of the reference: {reason}") from error
    if not isinstance(data, dict):
        raise DataError(f"{path} is not a memory pool of the reference: expected one mapping at the top")
    episodes: list[Episode] = []
    skipped: list[str] = []
    for number, (key, record) in enumerate(data.items()):
        try:
            episodes.extend(list(_episodes(key, record, path.name, trust, skipped)))
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            skipped.append(f"record {number}: {type(error).__name__}: {error}")
    placed = [_placed(episode, index) for index, episode in enumerate(episodes, 1)]
    return LegacyPool(episodes=tuple(placed), skipped=tuple(skipped))


def _placed(episode: Episode, sequence: int) -> Episode:
    return replace(episode, sequence=sequence)


def _episodes(key: Any, record: Any, name: str, trust: Trust, skipped: list[str]) -> Iterable[Episode]:
    observation, task, third = map(_text, key)
    situation = _situation(observation, task, third)
    info = record["other_info"]
    history = tuple(_text(item[0]) for item in info["action_history"] if item and item[0] is not None)
    last_reward, total_reward = _number(info["last_reward"]), _number(info["total_reward"])
    for (action, reason), stats in record["action_dict"].items():
        value, number = finite(stats["qvalue"]), int(stats["number"])
        if not isinstance(action, str) or value is None or number < 1:
            what = f"action {action!r}, value {stats['qvalue']!r}, count {number}"
            skipped.append(f"situation {situation.key[:8]}: {what}")
            continue
        for copy in range(min(number, MAX_COPIES)):
            identity = f"{name}\x1f{situation.key}\x1f{action}\x1f{reason}\x1f{copy}"
            yield Episode(
                id="legacy-" + hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:24],
                task=situation.task,
                transitions=(
                    Transition(situation=situation, action=action, reward=value, reason=_text(reason or "")),
                ),
                source=f"legacy:{name}",
                split="initial",
                trust=trust,
                history=history,
                last_reward=last_reward,
                total_reward=total_reward,
            )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a text was expected, not {type(value).__name__}")
    return value


def _number(value: object) -> float:
    number = finite(value)
    if number is None:
        raise ValueError(f"a finite number was expected, not {value!r}")
    return number


def _situation(observation: str, task: str, third: str) -> Situation:
    """WikiHow pools keep a screen of HTML lines and a step instruction, WebShop pools the page's elements."""
    if observation.lstrip().startswith("<"):
        return Situation(task=task, observation=observation, subtask=third)
    elements = third.splitlines()
    return Situation(
        task=task.removeprefix("Instruction:").strip(),
        observation=observation,
        actions=tuple("search[<words>]" if e == "search" else f"click[{e}]" for e in elements),
    )
