"""Memory pools of the reference implementation: what is in them comes in, and nothing is executed."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from rlem.core.errors import DataError
from rlem.memory import legacy
from rlem.memory.config import MemoryConfig
from rlem.memory.legacy import load_pool
from rlem.testing.memory_cases import taught
from rlem.values import ValueConfig

POOLS = {  # situations, recorded actions: counted by eye
    "annotated_pool-auto.q.yaml": (38, 38),
    "init_pool.q.yaml": (2, 2),
    "init_pool2.q.yaml": (2, 2),
    "init_pool3.q.yaml": (2, 2),
    "init_pool.wq.yaml": (4, 5),
    "init_pool2.wq.yaml": (4, 5),
    "init_pool3.wq.yaml": (4, 5),
}


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("n", [None, 1])
def test_a_pool_comes_in_with_its_values_and_counts(
    golden: Callable[[str], Path], name: str, n: int | None
) -> None:
    """Every (value, count) that the YAML text holds is in the memory, whatever n is; nothing is skipped."""
    path = golden(f"pools/{name}")
    text = path.read_text("utf-8")
    written = re.findall(r"^    : number: (\d+)\n      qvalue: (\S+)$", text, re.MULTILINE)
    keys = re.findall(r"^\? !!python/tuple", text, re.MULTILINE)
    pool = load_pool(path)
    assert pool.skipped == ()
    memory = taught(MemoryConfig(values=ValueConfig(n=n)), pool.episodes)
    assert (len(keys), len(written)) == POOLS[name]
    assert len(memory) == len(keys)
    found = Counter((a.visits, a.q_value) for e in memory.experiences() for a in e.actions)
    assert found == Counter((int(number), float(value)) for number, value in written)


@pytest.mark.parametrize("name", POOLS)
def test_a_pool_is_in_the_words_of_our_environments(golden: Callable[[str], Path], name: str) -> None:
    """WebShop situations have actions that can be sent, WikiHow ones a screen and a step; none is trusted."""
    pool = load_pool(golden(f"pools/{name}"))
    assert {e.trust for e in pool.episodes} == {"unverified"}
    assert {e.source for e in pool.episodes} == {f"legacy:{name}"}
    for item in pool.episodes:
        (step,) = item.transitions
        assert step.action
        if name.endswith(".wq.yaml"):
            assert not step.situation.task.startswith("Instruction")
            assert step.situation.actions
            assert all(re.fullmatch(r"search\[<words>\]|click\[.+\]", a) for a in step.situation.actions)
            assert re.fullmatch(r"(search|click)\[.+\]", step.action)
        else:
            assert step.situation.observation.lstrip().startswith("<")
            assert re.match(r"INPUT|CLICK|SCROLL|GOBACK", step.action)


def test_the_way_to_a_situation_comes_along(golden: Callable[[str], Path]) -> None:
    """Actions before it, through the aliases of the file."""
    histories = sorted({e.history for e in load_pool(golden("pools/init_pool.wq.yaml")).episodes}, key=len)
    assert [len(history) for history in histories] == [0, 1, 2, 3]
    assert histories[1] == ("search[3 ounce bottle bright citrus deodorant sensitive skin]",)
    assert all(longer[: len(shorter)] == shorter for shorter, longer in pairwise(histories))


RECORD = """? !!python/tuple [page, task, search]
: action_dict:
    ? !!python/tuple ['search[tea]', why]
    : {number: 2, qvalue: 0.5, reward: 0.0}
%s
  other_info: {action_history: [], last_reward: 0.0, number: 1, total_reward: 0.0}
  id: 0
"""


def pool_of(tmp_path: Path, text: str) -> legacy.LegacyPool:
    """Loads the text as a pool file."""
    path = tmp_path / "pool.yaml"
    path.write_text(text, "utf-8")
    return load_pool(path)


@pytest.mark.parametrize(
    "action",
    [
        "    ? !!python/tuple [null, why]\n    : {number: 1, qvalue: 0.0, reward: 0.0}",
        "    ? !!python/tuple [5, why]\n    : {number: 1, qvalue: 0.0, reward: 0.0}",
        "    ? !!python/tuple [x, why]\n    : {number: 1, qvalue: .nan, reward: 0.0}",
        "    ? !!python/tuple [x, why]\n    : {number: 1, qvalue: .inf, reward: 0.0}",
        "    ? !!python/tuple [x, why]\n    : {number: 0, qvalue: 1.0, reward: 0.0}",
        "    ? !!python/tuple [x, why]\n    : {number: -5, qvalue: 1.0, reward: 0.0}",
    ],
)
def test_an_unusable_action_is_flagged_and_the_rest_comes_in(tmp_path: Path, action: str) -> None:
    """A null action, a value that is no number, a count below one: a line in ``skipped`` each."""
    pool = pool_of(tmp_path, RECORD % action)
    assert len(pool.skipped) == 1
    assert pool.skipped[0].startswith("situation ")
    assert [t.action for e in pool.episodes for t in e.transitions] == ["search[tea]", "search[tea]"]


@pytest.mark.parametrize(
    "record",
    [
        "other: 1",
        "? !!python/tuple [a, b]\n: {}",
        "? !!python/tuple [a, b, c]\n: {}",
        "? !!python/tuple [a, b, c]\n: null",
        "? !!python/tuple [a, !!python/tuple [b], c]\n: {}",
        "KEY\n: {action_dict: [], other_info: {INFO}}",
        "KEY\n: {action_dict: {x: 1}, other_info: {INFO}}",
        "KEY\n: {action_dict: {}, other_info: {action_history: 5, last_reward: 0}}",
        "KEY\n: {action_dict: {}, other_info: {action_history: [], last_reward: .nan}}",
        "KEY\n: {action_dict: {? !!python/tuple [x, y] : {number: .inf, qvalue: 1}}, other_info: {INFO}}",
    ],
)
def test_a_malformed_record_is_skipped_whole(tmp_path: Path, record: str) -> None:
    """It is named, and the good record beside it comes in."""
    key, info = "? !!python/tuple [a, b, c]", "action_history: [], last_reward: 0, total_reward: 0"
    pool = pool_of(tmp_path, RECORD % "" + record.replace("INFO", info).replace("KEY", key) + "\n")
    assert len(pool.skipped) == 1
    assert pool.skipped[0].startswith("record 1: ")
    assert len(pool.episodes) == 2


BOMB = "\n".join(
    ["? &a0 !!python/tuple [x, x]", ": 0"]
    + [f"? &a{i} !!python/tuple [{', '.join([f'*a{i - 1}'] * 10)}]\n: 0" for i in range(1, 25)]
)
TEXT_BOMB = f"a: &t {'x' * 100_000}\nb: [" + ", ".join(["*t"] * 5000) + "]"
DEEP = "\n".join(
    ["k0: &a0 !!python/tuple [x]", *(f"k{i}: &a{i} !!python/tuple [*a{i - 1}]" for i in range(1, 5000))]
)
MERGE = "\n".join(["k0: &a0 {k: 1}", *(f"k{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}" for i in range(1, 4))])


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['touch executed']",
        "? !!python/tuple [a, b, c]\n: !!python/object/apply:os.system ['touch executed']",
        "? !!python/name:os.system\n: 1",
        "!!python/object/new:os.system ['touch executed']",
        "!!python/module:os",
        "!!python/tuple {a: b}",
        "!!python/tuple text",
        "[" * 50 + "]" * 50,
        "[" * 100_000,
        "{a: " * 100_000,
        BOMB,
        TEXT_BOMB,
        DEEP,
        MERGE,
        "&a [*a]",
        "&a !!python/tuple [*a]",
        "a: *nowhere",
        "",
        "text",
        "- a\n- b",
        "a: 1\n--- \nb: 2",
        "\x00",
        "? [a]\n: 1",
        "? {a: 1}\n: 1",
        "? !!python/tuple [[a]]\n: 1",
        "a: 2001-99-99",
        "a: !!int x",
        "%YAML 9.9\n---\na: 1",
        "\tx: 1",
    ],
    ids=lambda text: text[:24],
)
def test_hostile_yaml_is_refused_and_never_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """Foreign tags, bombs, depth, cycles and nonsense end in a DataError that names the file, and soon."""
    monkeypatch.chdir(tmp_path)
    begin = time.perf_counter()
    with pytest.raises(DataError, match=r"pool\.yaml"):
        pool_of(tmp_path, text)
    assert time.perf_counter() - begin < 20
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pool.yaml"]


def test_a_file_too_large_is_not_even_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is one that is no text, or not there."""
    with monkeypatch.context() as patch:
        patch.setattr(legacy, "MAX_BYTES", 1000)
        with pytest.raises(DataError, match="larger than"):
            pool_of(tmp_path, "x" * 1001)
    (tmp_path / "pool.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(DataError, match="cannot be read"):
        load_pool(tmp_path / "pool.yaml")
    with pytest.raises(DataError, match="cannot be read"):
        load_pool(tmp_path / "nowhere.yaml")
    with pytest.raises(DataError, match="cannot be read"):
        load_pool(tmp_path)


def test_a_large_count_is_bounded(tmp_path: Path) -> None:
    """A count of a billion makes a thousand episodes: the value stays."""
    pool = pool_of(tmp_path, (RECORD % "").replace("number: 2,", "number: 1000000000,"))
    assert len(pool.episodes) == legacy.MAX_COPIES
    assert len({e.id for e in pool.episodes}) == legacy.MAX_COPIES
