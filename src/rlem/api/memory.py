"""``rlem.open``: an experience memory for an agent of one's own.

memory = rlem.open("shop.rlem")
with memory.episode(task="buy a red kettle under 40 dollars") as episode:
    advice = episode.advise(observation, actions)      # advice.text goes into the prompt
    episode.record(action, reward=0.0)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from copy import copy
from datetime import datetime
from itertools import islice
from pathlib import Path

from rlem.advice import advise, prompt_style
from rlem.advice.choice import CHOICES, Choose, Explore, exploration
from rlem.api.control import LogEvidence, MemoryEffect, Muted, control_of
from rlem.api.episode import NOTHING, AdviceForStep, AdviceLine, ControlledPlay, OpenEpisode, lines_of
from rlem.api.stores import open_store
from rlem.core.errors import UnknownNameError, UsageError
from rlem.core.seeds import generator
from rlem.core.types import Episode, Situation, Trust
from rlem.evidence import MEMORY
from rlem.memory import history
from rlem.memory.codec import finite
from rlem.memory.config import MemoryConfig
from rlem.memory.copies import Copy
from rlem.memory.copying import Copied, copy_memory
from rlem.memory.everywhere import all_copies, forget_everywhere, raise_problems
from rlem.memory.experience import Experience, Recalled
from rlem.memory.history import Difference
from rlem.memory.legacy import LegacyPool, load_pool
from rlem.memory.memory import Contribution, ExperienceMemory, Progress, new_episode_id
from rlem.memory.merging import merge
from rlem.memory.ranking import Rank, candidates
from rlem.memory.store import Change
from rlem.memory.transfer import ImportTrust, export_episodes, import_episodes


class Memory:
    """An experience memory with advice. Thread-safe; several processes may open one file."""

    def __init__(
        self,
        memory: ExperienceMemory,
        *,
        style: str = "generic",
        k: int = 2,
        reward_range: tuple[float, float] | None = None,
        seed: int = 0,
        rank: Rank = "similarity",
        choose: Choose = "value",
        explore: Explore = "none",
        control: float = 0.0,
        guard: bool = False,
    ) -> None:
        _check_count(k)
        if reward_range is not None and not _is_range(reward_range):
            raise UsageError(f"reward_range={reward_range!r} is not possible: give (least, greatest) return")
        candidates(k, rank)  # refuses an unknown name now rather than at the first recall
        if choose not in CHOICES:
            raise UnknownNameError("rule of choice", choose, CHOICES)
        self.experience_memory = memory
        self._rank, self._choose, self._explore = rank, choose, exploration(explore)
        self._style = prompt_style(style)
        self._k = k
        self._bounds = reward_range
        self._seed = seed
        self._control = control_of(control, guard, reward_range)
        self._evidence = LogEvidence(memory, self._control)

    # -- the five lines ------------------------------------------------------------------------------

    def episode(
        self,
        task: str,
        id: str | None = None,
        source: str | None = None,
        split: str | None = None,
        *,
        task_id: str = "",
        model: str = "",
        trust: Trust = "verified",
    ) -> OpenEpisode:
        """Begins an episode: a context manager that commits when its block ends.

        Left by an exception, the episode is stored as broken, with the cause, and teaches nothing.
        ``id`` must be unique in the memory; None makes a random one. ``trust="unverified"``: the rewards
        come from somebody else; such episodes inform but never encourage.
        """
        head = Episode(
            id=new_episode_id() if id is None else id,
            task=task,
            transitions=(),
            task_id=task_id,
            source=source or "",
            split=split or "",
            model=model,
            trust=trust,
        )
        return OpenEpisode(self, head)

    def recall(
        self,
        situation: Situation | None = None,
        k: int | None = None,
        *,
        task: str = "",
        observation: str = "",
        actions: Sequence[str] = (),
        subtask: str = "",
    ) -> tuple[Recalled, ...]:
        """The k experiences that rank first for a situation (or for these parts of one), best first."""
        query = situation or Situation(
            task=task, observation=observation, actions=tuple(actions), subtask=subtask
        )
        wanted = self._k if k is None else k
        _check_count(wanted)
        return self.experience_memory.recall(query, wanted, rank=self._rank, bounds=self._bounds)

    def advise(
        self,
        situation: Situation,
        k: int | None = None,
        *,
        explore: Explore | None = None,
        hides: Callable[[str], bool] | None = None,
    ) -> AdviceForStep:
        """Advice on a situation; changes nothing in the memory. ``explore`` None: as it was opened.

        ``hides`` says by key which experiences must not be shown: others stand in for them. None: what the
        guard muted.
        """
        if hides is None and self._guarded:
            hides = (muted := self._evidence.muted_keys()).__contains__
            if MEMORY in muted:
                return NOTHING
        recalled = self.recall(situation, k) if hides is None else self._visible(situation, k, hides)
        exemplars = [
            advise(
                r,
                rng=generator(self._seed, situation.key, r.experience.key, r.experience.samples),
                bounds=self._bounds,
                choose=self._choose,
                explore=self._explore if explore is None else explore,
            )
            for r in recalled
        ]
        pairs = [
            (r, e)
            for r, e in zip(recalled, exemplars, strict=True)
            if e.encouraged or e.discouraged or e.untried
        ]
        blocks = [self._style.exemplar(rank, e) for rank, (_, e) in enumerate(pairs, 1)]
        return AdviceForStep(
            text="\n\n".join(reversed(blocks)),
            encouraged=tuple(line for r, e in pairs for line in lines_of(r, e, "encouraged")),
            discouraged=tuple(line for r, e in pairs for line in lines_of(r, e, "discouraged")),
            untried=tuple(dict.fromkeys(action for _, e in pairs for action in e.untried)),
            recalled=recalled,
        )

    @property
    def _guarded(self) -> bool:
        return self._control is not None and self._control.guard

    def _visible(
        self, situation: Situation, k: int | None, hides: Callable[[str], bool]
    ) -> tuple[Recalled, ...]:
        """As ``recall``, with the next ones in place of those that are hidden."""
        wanted = self._k if k is None else k
        _check_count(wanted)
        fetched = wanted
        while True:
            found = self.experience_memory.recall(
                situation, fetched, rank=self._rank, bounds=self._bounds, exemplars=wanted
            )
            seen = tuple(islice((item for item in found if not hides(item.experience.key)), wanted))
            if len(seen) == wanted or len(found) < fetched:
                return seen
            fetched = 2 * fetched

    # -- control -------------------------------------------------------------------------------------

    def controlled(self, episode_id: str) -> ControlledPlay | None:
        """What an episode of that id is shown; None without control. For ``OpenEpisode``."""
        if self._control is None:
            return None
        muted = self._evidence.muted_keys() if self._guarded else ()
        return ControlledPlay(self._control, muted, self._seed, episode_id)

    def effect(self) -> MemoryEffect:
        """The effect of showing memory on the outcome, with an interval that holds whenever one looks.

        Of the episodes under this handle's control, or under the last one that the log knows. UsageError
        where there is neither. Docs: docs/control.md.
        """
        found = self._evidence.effect()
        if found is None:
            raise UsageError(
                f"the effect of {self.experience_memory.location} is not known: no episode was played under "
                "a control; open it with control=0.2, say"
            )
        return found

    def muted(self) -> list[Muted]:
        """What the guard muted, with the evidence of harm; the whole memory has the key ""."""
        return self._evidence.muted()

    # -- looking and managing ------------------------------------------------------------------------

    def __len__(self) -> int:
        """Number of experiences."""
        return len(self.experience_memory)

    def hash(self) -> str:
        """Canonical hash over the content of the log in canonical order and the derived values."""
        return self.experience_memory.hash()

    def episodes(self) -> Iterator[Episode]:
        """The log, in canonical order."""
        return self.experience_memory.episodes()

    def experiences(self) -> list[Experience]:
        """All experiences, ordered by key."""
        return self.experience_memory.experiences()

    def explain(self, key: str | AdviceLine, action: str | None = None) -> list[Contribution]:
        """Where a line of advice, or the value of an action of the experience of a key, comes from.

        Every visit that was learned: episode, step, reward, target, return, n.
        """
        if isinstance(key, AdviceLine):
            return self.explain(key.key, key.action)
        if action is None:
            raise UsageError("explain takes a line of advice, or a key and an action")
        return self.experience_memory.contributions(key, action)

    def forget(
        self,
        *,
        episode: str | None = None,
        task: str | None = None,
        source: str | None = None,
        before: datetime | float | None = None,
        everywhere: bool = False,
    ) -> int:
        """Takes episodes out as if they had never been, bytes included; returns how many went.

        By id, by task (text or id), by source, or all recorded before a time (seconds since the epoch, or a
        datetime; local if it names no zone). ``everywhere``: out of the copies that ``copies`` names, too;
        ExperienceMemoryError at the end if some of them could not be reached.
        """
        before_s = before.timestamp() if isinstance(before, datetime) else before
        for name, value in (("episode", episode), ("task", task), ("source", source)):
            if not isinstance(value, str | None):
                raise UsageError(f"forget({name}={value!r}) is not possible: it must be a text")
        if before_s is not None and finite(before_s) is None:
            raise UsageError(f"forget(before={before!r}) is not possible: give a datetime, or seconds")
        if not everywhere:
            return self.experience_memory.forget(episode=episode, task=task, source=source, before_s=before_s)
        outcomes = forget_everywhere(
            self.experience_memory, open_store, episode=episode, task=task, source=source, before_s=before_s
        )
        raise_problems(outcomes)
        return outcomes[-1].episodes

    def copies(self) -> list[Copy]:
        """Branches, exports, runs and other memories that hold episodes of this one, as far as it knows."""
        return all_copies(self.experience_memory.store, open_store)

    def correct(self, episode: str, rewards: Mapping[int, float], reason: str = "") -> Episode:
        """Puts rewards of an episode right, by step (from 0); all values that follow are learned anew."""
        return self.experience_memory.correct(episode, rewards, reason)

    def log(self) -> list[Change]:
        """What was done to the memory, oldest first."""
        return history.log(self.experience_memory)

    def at(self, revision: int) -> Memory:
        """The memory as it was at a revision, in this process; what was forgotten since stays forgotten."""
        if not isinstance(revision, int):
            raise UsageError(f"at({revision!r}) is not possible: a revision is a whole number (see log)")
        past = copy(self)
        past.experience_memory = history.at(self.experience_memory, revision)
        past._evidence = LogEvidence(past.experience_memory, self._control)
        return past

    def diff(self, other: Memory) -> Difference:
        """Which experiences and values differ from this memory to another, and the episodes behind that."""
        return history.diff(self.experience_memory, other.experience_memory)

    def branch(
        self, location: str | Path, *, revision: int | None = None, progress: Progress | None = None
    ) -> Copied:
        """Makes a memory of its own with this one's log and settings, as of now or of a revision."""
        if str(location) == ":memory:":
            raise UsageError(
                "a branch in this process alone would be gone at once: give a path or a URL, or use at()"
            )
        with closing(open_store(location)) as target:
            source = self.experience_memory.store
            return copy_memory(source, target, progress, kind="branch", revision=revision)

    def merge(
        self, *others: Memory, settings_of: Memory | None = None, progress: Progress | None = None
    ) -> tuple[int, int]:
        """Takes the logs of others in, all or none; returns (added, already there).

        The result does not depend on who is merged into whom. Settings must be equal, or one memory's be
        chosen. Two different episodes of one id are an EpisodeConflictError.
        """
        given = [other.experience_memory for other in others]
        config = settings_of.experience_memory.config if settings_of else None
        return merge(self.experience_memory, given, config=config, progress=progress)

    def rebuild(self, config: MemoryConfig | None = None, progress: Progress | None = None) -> None:
        """Derives all values anew from the log, under other settings if given."""
        self.experience_memory.rebuild(config, progress)

    def export(self, path: str | Path, progress: Progress | None = None) -> int:
        """Writes the log as JSON lines; returns the number of episodes."""
        return export_episodes(self.experience_memory, Path(path), progress)

    def import_(
        self, path: str | Path, *, trust: ImportTrust = "unverified", progress: Progress | None = None
    ) -> tuple[int, int]:
        """Takes an export in, all or nothing; returns (added, already there).

        What is imported informs but never encourages, unless ``trust`` says otherwise.
        """
        return import_episodes(self.experience_memory, Path(path), trust=trust, progress=progress)

    def import_pool(self, path: str | Path, *, trust: Trust = "unverified") -> LegacyPool:
        """Takes a YAML pool of the reference implementation in; returns what it held and what was skipped."""
        pool = load_pool(Path(path), trust=trust)
        new = [e for e in pool.episodes if self.experience_memory.find_episode(e.id) is None]
        self.experience_memory.record_many(new)
        return pool

    def close(self) -> None:
        """Closes the file. May be called twice."""
        self.experience_memory.close()

    def __enter__(self) -> Memory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _check_count(k: object) -> None:
    if not isinstance(k, int) or isinstance(k, bool) or k < 1:
        raise UsageError(f"k={k!r} is not possible: a number of exemplars, at least 1, must be asked for")


def _is_range(value: object) -> bool:
    """Whether it is a least and a greatest number."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        return False
    low, high = map(finite, value)
    return low is not None and high is not None and low < high
