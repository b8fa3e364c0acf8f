"""Drives the memory of the reference code: python _memory_reference.py CHECKOUT EPISODES QUERIES

bench/memory.py starts this with the Python that may have the checkout's requirements; it knows nothing of
rlem. EPISODES: JSON lines, each a list of [[screen, task, instruction], action, reward]; QUERIES: the same of
situations only. Phone screens need no embedding: where the packages of it are missing, empty modules stand in
for them, and the answer names them. It prints one line of JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
import types
from pathlib import Path
from time import perf_counter
from typing import Any

EMBEDDING_ONLY = ("torch", "sentence_transformers", "sentence_transformers.util")
LOADED_AT_MOST = 100
"""Records that are loaded from a file: the time grows with their square."""


def stand_ins() -> list[str]:
    """Puts a module without content where a package of the embedding is missing; returns their names."""
    missing = []
    for name in EMBEDDING_ONLY:
        try:
            importlib.import_module(name)
        except ImportError:
            module = types.ModuleType(name)
            for needed in ("Tensor", "SentenceTransformer", "dot_score"):
                setattr(module, needed, object)
            sys.modules[name] = module
            missing.append(name)
    return missing


def ms_of(begin: float) -> float:
    """Milliseconds since then."""
    return 1000 * (perf_counter() - begin)


def measure(history: Any, episodes: list[Any], asked: list[Any]) -> dict[str, Any]:
    """Records the episodes, asks, saves and loads."""
    matchers = [history.LCSNodeMatcher, history.InsPatMatcher]
    matcher = history.LambdaMatcherConstructor(matchers, [0.5, 0.5]).get_lambda_matcher
    memory = history.HistoryReplay(None, None, matcher, n_step_flatten=None)
    insert_ms = []
    for episode in episodes:
        begin = perf_counter()
        situations = [tuple(situation) for situation, _, _ in episode]
        memory.update(situations[0], 0.0)
        for number, (_, action, reward) in enumerate(episode):
            last = number == len(episode) - 1
            after = ("<end >", "", "") if last else situations[number + 1]
            memory.update(after, reward, (action, ""), last)
        insert_ms.append(ms_of(begin) / len(episode))
    recall_ms, best = [], []
    for situation in asked:
        begin = perf_counter()
        found = memory[tuple(situation)]
        recall_ms.append(ms_of(begin))
        best.append(found[0][2])
    answer = {"held": len(memory), "insert_ms": insert_ms, "recall_ms": recall_ms, "best": best}
    if len(memory) <= LOADED_AT_MOST:
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "pool.yaml")
            begin = perf_counter()
            memory.save_yaml(path)
            answer["save_ms"] = ms_of(begin)
            begin = perf_counter()
            history.HistoryReplay(None, None, matcher).load_yaml(path)
            answer["load_ms"] = ms_of(begin)
    return answer


def main() -> None:
    """Measures, and prints what came out. What the checkout prints goes to stderr."""
    checkout, episodes, asked = sys.argv[1:4]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    given = [
        [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]
        for path in (episodes, asked)
    ]
    sys.path.insert(0, checkout)
    try:
        missing = stand_ins()
        found = measure(importlib.import_module("history"), *given)
        answer = {**found, "stand_ins": missing}
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
