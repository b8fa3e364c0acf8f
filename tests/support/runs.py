"""Synthetic run folders: a small shop story in which training teaches, with everything a report must bear."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlem.runner.records import AdviceRecord, EpisodeRecord, RunConfig, StepRecord, UsageRecord

HOSTILE = '<script>alert("page")</script> & "quotes" <img src="https://evil.example/x.png" onerror=alert(1)>'
COLOURS = ("red", "blue", "green", "black", "white")
THINGS = ("kettle", "lamp", "mug", "chair", "shirt", "clock", "scarf")


def episode(
    *,
    phase: str = "eval",
    epoch: int = 0,
    arm: str = "memory",
    seed: int = 0,
    task: str = "t0",
    success: bool = False,
    reward: float | None = None,
    **changes: Any,
) -> EpisodeRecord:
    """One bare episode record; ``reward`` follows ``success`` unless given."""
    fields: dict[str, Any] = {
        "phase": phase,
        "epoch": epoch,
        "arm": arm,
        "seed": seed,
        "agent": "rememberer",
        "task_id": task,
        "instruction": f"do {task}",
        "status": "terminated",
        "success": success,
        "reward": float(success) if reward is None else reward,
    }
    return EpisodeRecord.model_validate(fields | changes)


def config(**changes: Any) -> RunConfig:
    """The config of the synthetic shop run."""
    return RunConfig.model_validate({"environment": "webshop", "seeds": [0]} | changes)


def shop_run(
    *,
    epochs: int = 3,
    tasks: int = 30,
    seeds: Sequence[int] = (0, 1),
    arms: Sequence[str] = ("memory", "no-memory"),
    training_tasks: int = 5,
    broken_every: int = 0,
    page: str = "Results page\n" + HOSTILE,
) -> list[EpisodeRecord]:
    """Episodes of a whole run in canonical order; success with memory grows with the epochs."""
    records: list[EpisodeRecord] = []
    for epoch in range(epochs + 1):
        for seed in seeds:
            if epoch:
                for index in range(training_tasks):
                    records.append(_shop_episode("train", epoch, "memory", seed, 500 + index, page))
            for arm in arms:
                for index in range(tasks):
                    records.append(_shop_episode("eval", epoch, arm, seed, index, page))
    if broken_every:
        records = [
            record.model_copy(update={"status": "broken", "cause": f"shop fell: {HOSTILE}", "success": False})
            if index % broken_every == 0
            else record
            for index, record in enumerate(records)
        ]
    return records


def write_run(folder: Path, records: Sequence[EpisodeRecord], settings: RunConfig, *, torn: str = "") -> Path:
    """Writes the run folder; ``torn`` is appended without a newline."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(settings.model_dump_json(), encoding="utf-8")
    lines = "".join(record.model_dump_json() + "\n" for record in records)
    (folder / "episodes.jsonl").write_text(lines + torn, encoding="utf-8")
    versions = {"rlem": "0.1.0", "python": "3.11.7", "libraries": {"numpy": "2.4.6"}}
    (folder / "versions.json").write_text(json.dumps(versions), encoding="utf-8")
    return folder


def instruction(index: int) -> str:
    """The text of a shop task."""
    colour, thing = COLOURS[index % len(COLOURS)], THINGS[index % len(THINGS)]
    return f"buy a {colour} {thing} of {index % 9 + 1} pounds, price lower than {20 + index % 50}.00 dollars"


def _shop_episode(phase: str, epoch: int, arm: str, seed: int, index: int, page: str) -> EpisodeRecord:
    # The task is as hard in every epoch and arm (so that pairs agree); memory and epochs make it easier.
    draw = random.Random(f"{seed}-{index}").random()
    ease = 0.25 + (0.12 * epoch if arm == "memory" else 0.0) + (0.1 if phase == "train" else 0.0)
    lucky = random.Random(f"{phase}-{epoch}-{arm}-{seed}-{index}").random() < 0.06
    success = (draw < ease) != lucky
    advised = arm == "memory" and epoch > 0
    steps = [
        _shop_step(number, index, page, advised=advised and (phase == "eval" or epoch > 1), last=number == 3)
        for number in range(4)
    ]
    if lucky:
        steps[1] = steps[1].model_copy(update={"action": None, "failure": "no action line"})
    reward = 1.0 if success else round(0.5 * draw, 2)
    steps[-1] = steps[-1].model_copy(update={"reward": reward})
    return EpisodeRecord(
        phase="train" if phase == "train" else "eval",
        epoch=epoch,
        arm="memory" if arm == "memory" else "no-memory",
        seed=seed,
        agent="rememberer",
        task_id=f"goal-{index}",
        instruction=instruction(index),
        kind=THINGS[index % len(THINGS)],
        status="terminated" if draw < 0.8 else "truncated",
        success=success,
        reward=reward,
        memory_size=epoch * 17 + seed if arm == "memory" else 0,
        usage=UsageRecord(calls=4, prompt_tokens=3100, completion_tokens=95, cost_usd=0.0),
        steps=steps,
    )


def _shop_step(number: int, index: int, page: str, *, advised: bool, last: bool) -> StepRecord:
    thing = THINGS[index % len(THINGS)]
    actions = ["click[buy now]", "click[< prev]"] if last else [f"search[{thing}]", f"click[B0{number:08d}]"]
    advice = [
        AdviceRecord(
            key=f"{number:032x}",
            similarity=0.91 - 0.2 * rank,
            parts={"task": 0.82 - 0.2 * rank, "page": 1.0 - 0.2 * rank},
            task=instruction(500 + (index + rank) % 5),
            encouraged=[(actions[0], 0.75, 4)],
            discouraged=[(actions[1], 0.0, 2)] if rank else [],
            untried=["click[description]"] if rank else [],
        )
        for rank in range(2 * advised)
    ]
    return StepRecord(
        observation=f"Step {number} of {instruction(index)}\n{page}",
        actions=actions,
        action=actions[0],
        reason="the page names the colour that was asked for",
        answer=f"Encouraged:\n{actions[0]} -> 1.0 the colour fits\n{HOSTILE if number == 2 else ''}",
        repairs={"missing header": 1} if number == 2 and index % 7 == 0 else {},
        advice=advice,
    )
