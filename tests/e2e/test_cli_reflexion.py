"""``rlem eval --agent reflexion``: trials of a task, against a server that speaks OpenAI's protocol."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.command import complaint, rlem

from rlem.testing.openai_server import OpenAIServer

KEY = {"OPENAI_API_KEY": "x"}


def answer(messages: list[dict[str, str]]) -> str:
    """A model that opens the iron door once it has written so."""
    user = messages[-1]["content"]
    if user.endswith("Write your reflection now."):
        return "Take the iron door."
    door = "iron" if "reflections on earlier trials" in user else "glass"
    return f"Encouraged:\nopen[{door} door] -> 1.0"


def test_trials_of_one_task_are_played_told_and_counted(tmp_path: Path) -> None:
    """Lines by trial; later trials keep what was solved; run again, nothing is asked."""
    with OpenAIServer(answer) as server:
        words = [
            *("eval", "corridor", "--agent", "reflexion", "--trials", "2", "--test", "0:8", "--out", "run"),
            *("--model", "openai:m", "--base-url", server.base_url),
        ]
        done = rlem(*words, cwd=tmp_path, env=KEY)
        assert done.returncode == 0, done.stderr
        asked = len(server.requests)
        again = rlem(*words, cwd=tmp_path, env=KEY)
        assert again.returncode == 0, again.stderr
        assert len(server.requests) == asked
    assert "trial 1" in done.stderr
    assert "trial 2" in done.stderr
    records = [json.loads(line) for line in (tmp_path / "run/episodes.jsonl").read_text().splitlines()]
    assert sum(record["usage"]["calls"] for record in records) == asked
    solved = [{r["task_id"] for r in records if r["epoch"] == trial and r["success"]} for trial in (0, 1)]
    assert solved[0] <= solved[1]
    assert any(record.get("reflection") == "Take the iron door." for record in records)


def test_what_trials_are_not_for(tmp_path: Path) -> None:
    """Other agents try once; the embedded reader cannot reflect; nothing is left behind."""
    done = rlem("eval", "corridor", "--agent", "random", "--trials", "2", cwd=tmp_path)
    assert "--trials is for --agent reflexion" in complaint(done, 2)
    done = rlem("eval", "corridor", "--agent", "reflexion", cwd=tmp_path)
    assert "embedded reader" in complaint(done, 2)
    assert not list(tmp_path.iterdir())
