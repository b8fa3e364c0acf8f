"""The embedded reader: the default model, so that everything runs without a key. It is not an LLM.

A program that reads the prompt's text, and nothing else, and answers in its grammar. Without examples it
acts on plain lexical evidence: words that an element shares with the task. It knows no shop: that "buy
now" ends a task it can only learn from examples. With examples it carries over what their encouraged and
discouraged lines say *by role* ("an option named in the task, not chosen yet"), weighted by their values.

    score(a) = (1 - c) prior(a) + c * v / (1 + r) + chance / (1 + r)
    v = sum_j w_j q_j / sum_j w_j,    c = sum_j w_j / (sum_j w_j + K)
    w_j = match(role of a, role of the advised action) * alike(pages) * rank weight * n_j / (n_j + 1)
          * (blame if q_j <= 0)
    r = how often that sort of action is among the last five

The whole algorithm stands in docs/embedded-reader.md.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rlem.core.seeds import generator
from rlem.llm.base import Completion, Prompt, Usage
from rlem.llm.reading import Block, Element, Reading, content_words, read_prompt, words

_SUPPORT = 0.35  # K: evidence of this weight counts as much as the prior
_NOISE = 0.06  # roles that no evidence tells apart are decided by seeded chance, up to this much
_FINE_NOISE = 0.005  # and this much between elements of one role
_CURIOSITY = 0.08  # for a role that an example lists as untried
_BLAME = 0.4  # weight of what earned nothing: in a failed episode most actions were not at fault
_LOWER_DOWN = 0.6  # what stands lower in a list of results counts so much less, place by place
_REPEATED = 0.30  # against an action among the last five
_RANK_WEIGHTS = (1.0, 0.7, 0.5)


@dataclass(frozen=True, slots=True)
class _Role:
    """What an action is on its page, in terms that carry over to other pages.

    ``named``: how fully the task names it (0 not, 1 in part, 2 wholly). ``best``: of the entries, the one
    that shares most words with the task; ``first``: the topmost. ``due``: the page still has a wholly named
    option in a group without a choice. ``settled``: the option's own group has its choice.
    """

    kind: str
    name: str = ""
    named: int = 0
    marked: bool = False
    best: bool = False
    first: bool = False
    due: bool = False
    settled: bool = False


@dataclass(slots=True)
class _Choice:
    """An action that could be answered, with its prior and what is said for it."""

    action: str
    role: _Role
    prior: float
    reason: str
    score: float = 0.0


class EmbeddedReader:
    """Reads the prompt, answers in its grammar. Deterministic in (prompt, seed). Thread-safe."""

    name = "embedded-reader"

    def complete(
        self,
        prompt: Prompt,
        *,
        max_tokens: int = 200,
        temperature: float = 0.1,
        stop: Sequence[str] = (),
        seed: int | None = None,
    ) -> Completion:
        """Answers ``Encouraged:`` with up to three lines; the first has the highest value.

        ``temperature`` 0 switches chance off; any other value is the same chance, drawn from the seed and
        the prompt. ``max_tokens`` and ``stop`` are met by the answer's form.
        """
        rng = generator("embedded-reader", 0 if seed is None else seed, prompt.user)
        reading = read_prompt(prompt.system, prompt.user)
        choices = _choices(reading)
        _score(choices, reading, rng, _NOISE if temperature > 0 else 0.0)
        choices.sort(key=lambda choice: -choice.score)
        lines = [f"{c.action} -> {max(c.score, 0.0):.3f} {c.reason}".rstrip() for c in choices[:3]]
        text = "\n".join(["Encouraged:", *lines])
        usage = Usage(
            prompt_tokens=self.count_tokens(prompt.text),
            completion_tokens=self.count_tokens(text),
            calls=1,
            cost_usd=0.0,
        )
        return Completion(text=text, usage=usage)

    def count_tokens(self, text: str) -> int:
        """A third of the characters: it has no tokens of its own."""
        return (len(text) + 2) // 3

    def close(self) -> None:
        """Nothing to close."""


# -- what can be done ------------------------------------------------------------------------------------


def _choices(reading: Reading) -> list[_Choice]:
    """Every action of the new input, with its role and its prior."""
    block = reading.new
    page = _Page(block)
    past = [set(words(line)) for line in block.history]
    choices: list[_Choice] = []
    for item in block.available:
        if item in reading.free:
            for variant, query in _queries(block.task):
                role = _Role(kind="free", name=variant)
                choices.append(_Choice(f"{item}[{query}]", role, 0.25, "words of the task"))
            continue
        element = page.elements[item.casefold()]
        role = page.role(element)
        prior, reason = page.prior(element, role)
        action = f"{reading.press}[{item}]" if reading.press else item
        choices.append(_Choice(action, role, prior, reason))
    for choice in choices:
        if set(words(choice.action)) and any(set(words(choice.action)) <= old for old in past):
            choice.prior -= _REPEATED
    return choices


def _queries(task: str) -> list[tuple[str, str]]:
    """Ways to put a task into a search box: all of it, or its content words."""
    return [("all", " ".join(words(task))), ("content", " ".join(content_words(task)))] if task else []


class _Page:
    """The page of a block, with what its elements share with the task."""

    def __init__(self, block: Block) -> None:
        pressed = {line.partition("[")[2].rpartition("]")[0].casefold() for line in block.history}
        self.elements = {
            name: replace(e, marked=True) if e.kind != "control" and name in pressed else e
            for name, e in block.elements().items()
        }
        self.task = block.task
        self._task_words = words(block.task)
        self._content = content_words(block.task)
        self._joined = f" {' '.join(self._task_words)} "
        options = [e for e in self.elements.values() if e.kind == "option"]
        self._settled = {e.group for e in options if e.marked}
        self.due = any(e.group not in self._settled and self.named(e) == 2 for e in options)
        entries = [e for e in self.elements.values() if e.kind == "entry" and not e.marked]
        self._first = entries[0] if entries else None
        order = [e.name for e in self.elements.values() if e.kind == "entry"]
        self._place = {name: place for place, name in enumerate(order)}
        self._best = max(entries, key=lambda e: self.shared(e.text), default=None)
        self.controls = frozenset(e.name for e in self.elements.values() if e.kind == "control")

    def shared(self, text: str) -> float:
        """Share of the task's content words that a text has."""
        own = set(words(text))
        return sum(w in own for w in self._content) / max(len(self._content), 1)

    def named(self, element: Element) -> int:
        """2: its words stand in the task one after the other; 1: at least half of them do; 0: fewer."""
        own = words(element.name)
        if not own:
            return 0
        if f" {' '.join(own)} " in self._joined:
            return 2
        task = set(self._task_words)
        return 1 if sum(w in task for w in own) * 2 >= len(own) else 0

    def role(self, element: Element) -> _Role:
        """The role of an element on this page."""
        if element.kind == "option":
            return _Role(
                "option",
                named=self.named(element),
                marked=element.marked,
                due=self.due,
                settled=element.group in self._settled,
            )
        if element.kind == "entry":
            return _Role(
                "entry", marked=element.marked, best=element is self._best, first=element is self._first
            )
        return _Role("control", element.name, due=self.due)

    def prior(self, element: Element, role: _Role) -> tuple[float, str]:
        """Plain lexical evidence for pressing an element, in [0, .5], and what it is."""
        if role.kind == "entry":
            share = self.shared(element.text)
            worth = 0.5 * share * _LOWER_DOWN ** self._place.get(element.name, 0)
            return worth * (0.4 if role.marked else 1.0), f"shares {share:.0%} of the task's words"
        if role.kind == "option":
            if role.marked or role.settled:
                return 0.0, "chosen already" if role.marked else "another one is chosen"
            return (0.0, 0.15, 0.5)[role.named], ("", "named in part", "named in the task")[role.named]
        own = set(words(element.name)) & set(self._content)
        return (0.15 if own else 0.0), ("shares words with the task" if own else "")


# -- what the examples say -------------------------------------------------------------------------------


def _score(choices: list[_Choice], reading: Reading, rng: random.Random, noise: float) -> None:
    """Fills in the scores: prior, evidence of the examples by role, and chance.

    What was done among the last actions did not end the task: its sort loses weight and chance by how often.
    """
    new_page = _Page(reading.new)
    past = [_sort(_advised_role(line, new_page, reading)) for line in reading.new.history]
    evidence: list[tuple[_Role, float, float]] = []
    curious: list[_Role] = []
    for rank, example in enumerate(reading.examples):
        page = _Page(example)
        weight = _RANK_WEIGHTS[min(rank, len(_RANK_WEIGHTS) - 1)] * _alike(new_page, page)
        for action, value, visits in example.advice:
            role = _advised_role(action, page, reading)
            blame = 1.0 if value > 0 else _BLAME
            evidence.append((role, value, blame * weight * visits / (visits + 1)))
        curious += [_advised_role(action, page, reading) for action in example.untried]
    chance: dict[_Role, float] = {}
    for choice in choices:
        total = support = 0.0
        for role, value, weight in evidence:
            strength = weight * _match(choice.role, role)
            total += strength * value
            support += strength
        confidence = support / (support + _SUPPORT)
        value = total / support if support else 0.0
        often = past.count(sort) if (sort := _sort(choice.role)) else 0
        if choice.role not in chance:
            chance[choice.role] = noise * rng.random()
        luck = (chance[choice.role] + (_FINE_NOISE * rng.random() if noise else 0.0)) / (1 + often)
        choice.score = (1.0 - confidence) * choice.prior + confidence * value / (1 + often) + luck
        if choice.prior < 0.0:
            choice.score += choice.prior * confidence  # a repetition stays one, whatever examples say
        if not support and any(_match(choice.role, role) > 0.9 for role in curious):
            choice.score += _CURIOSITY
        if support:
            choice.reason = f"examples: {value:.2f}; {choice.reason}".rstrip("; ")


def _advised_role(action: str, page: _Page, reading: Reading) -> _Role:
    """The role that an advised action had on its own page."""
    verb, bracket, rest = action.partition("[")
    argument = rest.rpartition("]")[0] or rest
    if bracket and verb in reading.free:
        whole = len(words(argument)) >= len(words(page.task))
        return _Role("free", "all" if whole else "content")
    name = (argument if bracket and verb == reading.press else action).casefold()
    return page.role(page.elements.get(name) or Element(name, "control"))


def _sort(role: _Role) -> str:
    """What repeats when two actions are of one sort; "" for what may well come several times in a row:
    an option that is due, an entry of a list."""
    if role.kind == "option":
        return "" if role.named == 2 and not role.settled else "option"
    return "" if role.kind == "entry" else f"{role.kind} {role.name}"


def _match(ours: _Role, theirs: _Role) -> float:
    """How far what was learned of one role holds for another, in [0, 1]."""
    if ours.kind != theirs.kind:
        return 0.0
    if ours.kind == "free":
        return 1.0 if ours.name == theirs.name else 0.3
    if ours.kind == "control":
        if ours.name != theirs.name and not _same_words(ours.name, theirs.name):
            return 0.0
        return 1.0 if ours.due == theirs.due else 0.3
    if ours.kind == "entry":
        same = (1.0 if ours.best == theirs.best else 0.3) * (1.0 if ours.first == theirs.first else 0.3)
        return same * (1.0 if ours.marked == theirs.marked else 0.3)
    same = (1.0 if ours.marked == theirs.marked else 0.1) * (1.0 if ours.due == theirs.due else 0.5)
    same *= 1.0 if ours.settled == theirs.settled else 0.2
    return same * (1.0, 0.4, 0.0)[abs(ours.named - theirs.named)]


def _same_words(first: str, second: str) -> bool:
    """Whether most words are the same: "open the red door" and "open the red gate"."""
    a, b = set(words(first)), set(words(second))
    return len(a & b) * 3 >= len(a | b) * 2 > 0


def _alike(ours: _Page, theirs: _Page) -> float:
    """Share of controls that two pages have in common: a page of another sort says little."""
    union = ours.controls | theirs.controls
    return len(ours.controls & theirs.controls) / len(union) if union else 1.0
