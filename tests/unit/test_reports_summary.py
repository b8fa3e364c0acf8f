"""summary.json: its shape and its numbers, against an example worked by hand."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from tests.support.runs import config, episode, shop_run, write_run

from rlem.core.errors import UsageError
from rlem.reports import Summary, print_summary, summarise, write_summary
from rlem.reports.wording import money, percent, settings, signed
from rlem.runner.records import EpisodeRecord, StepRecord, UsageRecord

# Ten held-out tasks. With memory 0-6 are solved at epoch 1 (task 9 breaks although it says success);
# without memory 0-2 and 7 are. Both: 0-2; only memory: 3-6; only without: 7; neither: 8, 9.
# Success .7 and .4, difference (4 - 1) / 10 = .3. Rewards: solved 1, failed .25, broken 0:
# (7 + 2 * .25 + 0) / 10 = .75 and (4 + 6 * .25) / 10 = .55, difference .2.
SOLVED = {"memory": {0, 1, 2, 3, 4, 5, 6}, "no-memory": {0, 1, 2, 7}}


def worked_example() -> list[EpisodeRecord]:
    """The example above, with an evaluation before training in which nothing is solved."""
    records = [episode(arm=arm, task=f"t{index}") for arm in SOLVED for index in range(10)]
    for index in range(3):
        records.append(
            episode(phase="train", epoch=1, task=f"s{index}", success=index == 0, memory_size=4 * index)
        )
    for arm, solved in SOLVED.items():
        for index in range(10):
            broken = arm == "memory" and index == 9
            records.append(
                episode(
                    epoch=1,
                    arm=arm,
                    task=f"t{index}",
                    success=index in solved or broken,
                    reward=1.0 if index in solved or broken else 0.25,
                    status="broken" if broken else "truncated" if index == 8 else "terminated",
                    cause="connection lost" if broken else "",
                    memory_size=12 if arm == "memory" else 0,
                    usage=UsageRecord(calls=2, prompt_tokens=100, completion_tokens=10, cost_usd=0.5),
                    steps=[
                        StepRecord(observation="page", action="look", repairs={"no header": 2}),
                        StepRecord(observation="page", action=None, failure="empty answer"),
                    ],
                )
            )
    return records


def test_rows_and_difference_of_the_worked_example() -> None:
    """Every number of the last evaluation is the one worked out above."""
    summary = summarise(worked_example(), config())
    memory, control = summary.rows
    assert (memory.agent, control.agent) == ("rememberer", "rememberer without memory")
    assert (memory.success, control.success) == (0.7, 0.4)
    assert (memory.reward, control.reward) == (0.75, 0.55)
    assert (memory.epoch, memory.episodes, memory.tasks, memory.seeds) == (1, 10, 10, 1)
    assert (memory.broken, control.broken, memory.truncated) == (1, 0, 1)
    assert (memory.format_failures, memory.repairs, memory.steps) == (10, 20, 2.0)
    assert (memory.calls, memory.prompt_tokens, memory.completion_tokens) == (20, 1000, 100)
    assert memory.cost_usd == 5.0
    assert (memory.memory_size, control.memory_size) == (12, 0)
    assert memory.success_low < 0.7 < memory.success_high
    difference = summary.paired_difference
    assert difference.mean == pytest.approx(0.3)
    assert difference.low == pytest.approx(-0.1, abs=0.101)
    assert difference.high == pytest.approx(0.7, abs=0.101)
    assert (difference.tasks, difference.seeds, difference.pairs, difference.unpaired) == (10, 1, 10, 0)
    assert difference.excludes_zero is False
    assert summary.paired_difference_reward.mean == pytest.approx(0.2)
    assert summary.outcomes.model_dump() == {"both": 3, "memory_only": 4, "without_only": 1, "neither": 2}


def test_curve_training_and_totals_of_the_worked_example() -> None:
    """The curve holds both arms at both epochs; totals count every episode of the run."""
    summary = summarise(worked_example(), config())
    curve = [(point.arm, point.epoch, point.success) for point in summary.curve]
    assert curve == [("memory", 0, 0.0), ("memory", 1, 0.7), ("no-memory", 0, 0.0), ("no-memory", 1, 0.4)]
    (training,) = summary.training
    assert (training.epoch, training.episodes, training.solved, training.memory_size) == (1, 3, 1, 8)
    assert summary.paired_difference_training.mean == pytest.approx(0.7)
    assert (summary.episodes, summary.broken_episodes) == (43, 1)
    assert [(cause.what, cause.count) for cause in summary.broken_causes] == [("connection lost", 1)]
    assert [(cause.what, cause.count) for cause in summary.format_failure_causes] == [("empty answer", 20)]
    assert summary.repairs == {"no header": 40}
    assert (summary.usage.calls, summary.usage.cost_usd) == (40, 10.0)
    assert any("1 broken episode of 10" in note for note in summary.notes)


def test_the_file_has_the_agreed_shape(tmp_path: Path) -> None:
    """rows, paired_difference, paired_difference_reward and curve have exactly the keys others rely on."""
    path = tmp_path / "summary.json"
    summary = summarise(worked_example(), config())
    write_summary(summary, path)
    data = json.loads(path.read_text())
    scores = {"agent", "success", "success_low", "success_high", "reward", "reward_low", "reward_high"}
    assert scores <= data["rows"][0].keys()
    assert scores | {"epoch", "arm", "memory_size", "prompt_tokens"} <= data["curve"][0].keys()
    for name, metric in [("paired_difference", "success"), ("paired_difference_reward", "reward")]:
        assert {"metric", "mean", "low", "high", "tasks", "seeds"} <= data[name].keys()
        assert data[name]["metric"] == metric
    assert (data["tasks"], data["seeds"], data["evaluation_epoch"]) == (10, [0], 1)
    assert Summary.model_validate_json(path.read_text()) == summary


def test_a_folder_and_its_records_give_the_same_summary(tmp_path: Path) -> None:
    """Streaming a folder and passing records are the same thing, down to the intervals."""
    records = shop_run(epochs=1, tasks=12)
    assert summarise(write_run(tmp_path, records, config())) == summarise(records, config())


def test_records_without_config_are_refused() -> None:
    """Records alone do not say what was played."""
    with pytest.raises(UsageError, match="config"):
        summarise(worked_example())


def test_an_unknown_price_makes_the_cost_unknown() -> None:
    """One null cost makes the sum null, never too small."""
    free = episode(task="a")
    unknown = episode(task="b", usage=UsageRecord(calls=1, cost_usd=None))
    summary = summarise([free, unknown], config())
    assert summary.usage.cost_usd is None
    assert summary.rows[0].cost_usd is None


def test_a_control_played_only_before_training_still_pairs() -> None:
    """Without memory training changes nothing, so an older control serves; a note says which was taken."""
    records = [episode(arm="no-memory", task=f"t{i}") for i in range(8)]
    records += [episode(epoch=2, task=f"t{i}", success=True) for i in range(8)]
    summary = summarise(records, config())
    assert summary.paired_difference.mean == 1.0
    assert [row.epoch for row in summary.rows] == [2, 0]
    assert any("control at epoch 0" in note for note in summary.notes)


def test_pairs_that_are_missing_are_left_out_and_said() -> None:
    """An interrupted last evaluation is compared on the tasks both arms played."""
    records = [episode(epoch=0, arm=arm, task=f"t{i}") for arm in SOLVED for i in range(9)]
    records += [episode(epoch=1, task=f"t{i}", success=True) for i in range(7)]
    records += [episode(epoch=1, arm="no-memory", task=f"t{i}") for i in range(9)]
    summary = summarise(records, config())
    assert (summary.paired_difference.pairs, summary.paired_difference.unpaired) == (7, 2)
    assert any("incomplete: 7 of 9" in note for note in summary.notes)
    assert any("2 episodes had no partner" in note for note in summary.notes)


def test_of_two_records_of_one_play_the_later_counts() -> None:
    """A play that stands twice in the log is counted once, and the note says so."""
    summary = summarise([episode(task="a"), episode(task="a", success=True)], config())
    assert (summary.rows[0].episodes, summary.rows[0].success) == (1, 1.0)
    assert any("stood twice" in note for note in summary.notes)


def test_one_arm_gives_rows_but_no_difference() -> None:
    """Without a control the difference is null with its reason, not zero."""
    summary = summarise([episode(task=f"t{i}", success=True) for i in range(8)], config())
    assert summary.paired_difference.mean is None
    assert summary.paired_difference.excludes_zero is None
    assert "without memory" in summary.paired_difference.note
    assert summary.headline == "What memory changed is not known"


def test_a_run_without_episodes_has_no_rows() -> None:
    """Nothing played is nothing claimed."""
    summary = summarise([], config())
    assert (summary.rows, summary.curve, summary.evaluation_epoch) == ([], [], None)
    assert "No evaluation" in summary.detail


def test_the_log_of_another_agent_name_still_finds_its_pair() -> None:
    """The headline is about the agent with memory also where the config calls it otherwise."""
    records = [
        episode(arm=arm, task=f"t{i}", success=arm == "memory", agent=name)
        for arm, name in [("no-memory", "Rem without memory"), ("memory", "Rem")]
        for i in range(8)
    ]
    summary = summarise(records, config())
    assert summary.agent == "Rem"
    assert [row.agent for row in summary.rows] == ["Rem", "Rem without memory"]
    assert summary.paired_difference.mean == 1.0


@pytest.mark.parametrize(
    ("memory", "control", "headline", "verdict"),
    [
        (range(30), range(10), "Memory raised success by 66.7 points", "excludes zero"),
        (range(10), range(30), "Memory lowered success by 66.7 points", "excludes zero"),
        (range(11), range(1, 11), "Success was 3.3 points higher with memory, but that may", "includes zero"),
        (range(10), range(10), "No difference in success was measured", "includes zero"),
    ],
)
def test_the_headline_says_what_the_interval_allows(
    memory: range, control: range, headline: str, verdict: str
) -> None:
    """A change is claimed only where the interval excludes zero."""
    records = [
        episode(arm=arm, task=f"t{i}", success=i in solved)
        for arm, solved in [("memory", memory), ("no-memory", control)]
        for i in range(30)
    ]
    summary = summarise(records, config())
    assert summary.headline.startswith(headline)
    assert verdict in summary.detail


@pytest.mark.parametrize(
    ("changes", "model", "comparison"),
    [
        ({}, "It is not an LLM", "not comparable with published scores"),
        ({"model": "openai:gpt-x"}, "an LLM: openai:gpt-x", "not comparable with published scores"),
        (
            {"model": "openai:gpt-x", "environment_options": {"data": "/srv/shop-full"}},
            "an LLM",
            "only where data, task order",
        ),
        ({"environment_options": {"data": "/srv/shop-full"}}, "not an LLM", "No LLM played"),
        ({"agent": "random", "model": "openai:gpt-x"}, "at random", "not comparable"),
    ],
)
def test_the_summary_says_who_answered_and_what_may_be_compared(
    changes: dict[str, object], model: str, comparison: str
) -> None:
    """The embedded reader is never called an LLM; offline data is never comparable."""
    summary = summarise([episode()], config(**changes))
    assert model in summary.model_is
    assert comparison in summary.comparison


def test_settings_hide_keys_and_passwords() -> None:
    """A report can be passed on: what looks like a secret is blotted out, limits are not."""
    shown = settings(
        config(model_options={"api_key": "sk-1", "base_url": "http://me:pw@host/v1", "max_tokens": 200})
    )
    assert shown["model_options.api_key"] == "(hidden)"
    assert shown["model_options.base_url"] == "http://(hidden)@host/v1"
    assert shown["model_options.max_tokens"] == "200"


def test_the_console_shows_the_numbers_of_the_summary_in_80_columns() -> None:
    """The terminal and summary.json cannot disagree, and no line is wider than a terminal."""
    summary = summarise(worked_example(), config())
    out = io.StringIO()
    print_summary(summary, Console(file=out, width=80))
    text = out.getvalue()
    for row in summary.rows:
        low, high = 100 * row.success_low, 100 * row.success_high
        assert f"{100 * row.success:.1f} ({low:.1f} to {high:.1f})" in text
    assert summary.headline in text
    assert "not an LLM" in text
    assert max(map(len, text.splitlines())) <= 80


def test_numbers_are_written_with_true_minus_and_without_signed_zero() -> None:
    """Formats keep the sign readable and never print -0.0."""
    assert [signed(0.04), signed(-0.04), signed(-2.5), signed(3.0)] == ["0.0", "0.0", "−2.5", "+3.0"]
    assert (percent(0.374), percent(None)) == ("37.4 %", "–")
    assert [money(None), money(0.0), money(1234.5)] == ["unknown", "$0", "$1,234.50"]
    assert money(0.00042) == "$0.00042"
