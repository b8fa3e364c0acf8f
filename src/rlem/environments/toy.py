"""A tiny environment for tests and documentation, where only experience helps."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from rlem.core.errors import ClosedError, UnknownNameError, UsageError
from rlem.core.seeds import derive_seed
from rlem.core.types import Step, Task, termination
from rlem.environments.ranges import parse_range

DOORS = ("oak door", "iron door", "glass door")
OWNERS = ("baker", "smith", "tailor", "miller")
PARCELS = ("red", "blue", "green", "white", "black")
_SETS = {"train": range(10), "test": range(10, 20)}


class Corridor:
    """Rooms in a row; in each, one of three doors leads on and the others are dead ends.

    A task is a parcel for one of four owners. Which door is right depends on the owner and the room, and
    stands in no text: it is learned by trying. The last right door earns 1, a wrong door ends the episode
    with 0. Twenty tasks: five parcels for each owner; every owner is in both splits, no parcel-owner pair
    is in both.
    """

    name = "corridor"
    reward_range = (0.0, 1.0)
    max_steps = 10

    def __init__(self, *, rooms: int = 2, seed: int = 0) -> None:
        if rooms < 1:
            raise UsageError(f"rooms is {rooms}; allowed: 1 and more")
        self.rooms = rooms
        self.seed = seed
        self._owner = ""
        self._room = 0
        self._playing = False
        self._closed = False

    def task_sets(self) -> Mapping[str, str]:
        """Two splits of ten tasks."""
        return {"train": "10 tasks to learn from", "test": "10 other tasks for the same owners"}

    def tasks(self, spec: str) -> Sequence[Task]:
        """Tasks of a split or of a range ``A:B``."""
        numbers = parse_range(spec, len(OWNERS) * len(PARCELS))
        if numbers is None:
            if spec not in _SETS:
                raise UnknownNameError("task set", spec, (*_SETS, "A:B"))
            numbers = _SETS[spec]
        return [self._task(number) for number in numbers]

    def reset(self, task: Task | str, *, seed: int = 0) -> Step:
        """Puts the messenger into the first room. ``seed`` changes nothing here."""
        if self._closed:
            raise ClosedError("this environment is closed; make a new one")
        self._owner = self._task(_number(task)).kind
        self._room, self._playing = 0, True
        return self._look()

    def step(self, action: str) -> Step:
        """Opens a door; anything else leaves everything as it is."""
        if self._closed:
            raise ClosedError("this environment is closed; make a new one")
        if not self._playing:
            raise UsageError("step before reset or after the end of the episode; call reset(task) first")
        if action not in _ACTIONS:
            return self._look(valid=False)
        if action != self._right():
            self._playing = False
            return termination("The door falls shut behind you. It is a dead end.", 0.0, info={"valid": True})
        self._room += 1
        if self._room < self.rooms:
            return self._look()
        self._playing = False
        return termination("The owner takes the parcel and thanks you.", 1.0, info={"valid": True})

    def succeeded(self, total_reward: float, last: Step) -> bool:
        """Whether the parcel arrived."""
        return total_reward == 1.0

    def oracle(self, task: Task | str) -> list[str]:
        """The right doors of a task."""
        owner = self._task(_number(task)).kind
        return [self._door(owner, room) for room in range(self.rooms)]

    def spawn(self) -> Corridor:
        """Another messenger in an equal corridor."""
        return Corridor(rooms=self.rooms, seed=self.seed)

    def close(self) -> None:
        """Ends the episode. May be called twice."""
        self._playing, self._closed = False, True

    def _look(self, *, valid: bool = True) -> Step:
        doors = ", ".join(DOORS)
        text = f"Room {self._room + 1} of {self.rooms}. There are three doors: {doors}."
        return Step(observation=text, actions=_ACTIONS, info={"valid": valid})

    def _right(self) -> str:
        return self._door(self._owner, self._room)

    def _door(self, owner: str, room: int) -> str:
        return _ACTIONS[derive_seed(self.seed, "corridor", owner, room) % len(DOORS)]

    def _task(self, number: int) -> Task:
        parcel, owner = PARCELS[number // len(OWNERS)], OWNERS[number % len(OWNERS)]
        return Task(
            id=f"corridor:{number}", instruction=f"Bring the {parcel} parcel to the {owner}.", kind=owner
        )


_ACTIONS = tuple(f"open[{door}]" for door in DOORS)


def _number(task: Task | str) -> int:
    name = task if isinstance(task, str) else task.id
    last = len(OWNERS) * len(PARCELS) - 1
    match = re.fullmatch(r"corridor:(\d{1,9})", name, re.ASCII)
    if match is None or int(match[1]) > last:
        raise UsageError(f"unknown task {name!r:.80}; allowed: corridor:0 to corridor:{last}")
    return int(match[1])
