"""The three annotated episodes are found by the rule that the page states."""

from tests.support.runs import episode

from rlem.reports.facts import gather
from rlem.reports.story import pick_story
from rlem.reports.tasks import task_rows
from rlem.runner.records import AdviceRecord, EpisodeRecord, StepRecord


def advised(task: str) -> list[StepRecord]:
    """One step whose exemplar came from that task."""
    return [StepRecord(observation="p", action="a", advice=[AdviceRecord(key="k", similarity=1, task=task)])]


def run() -> list[EpisodeRecord]:
    """s0 fails for good; s1 fails, is solved later and is cited by t2, which the control fails."""
    return [
        episode(phase="train", epoch=1, task="s0"),
        episode(phase="train", epoch=1, task="s1"),
        episode(phase="train", epoch=2, task="s0"),
        episode(phase="train", epoch=2, task="s1", success=True),
        episode(epoch=2, task="t0", success=True, steps=advised("do s0")),
        episode(epoch=2, task="t1", success=True, steps=advised("do s1")),
        episode(epoch=2, task="t2", success=True, steps=advised("do s1")),
        episode(epoch=2, arm="no-memory", task="t0"),
        episode(epoch=2, arm="no-memory", task="t1", success=True),
        episode(epoch=2, arm="no-memory", task="t2"),
    ]


def test_the_story_follows_failure_learning_and_success() -> None:
    """The failure whose task was solved later and helped where the control failed is told."""
    story = pick_story(gather(enumerate(run())), "rememberer")
    assert [chapter.position for chapter in story] == [1, 3, 6]
    assert "solved" in story[1].why
    assert "cite the training task above" in story[2].why


def test_what_is_missing_is_filled_and_said() -> None:
    """Without a citation the first advised held-out success that the control lacks is told as such."""
    other = {"steps": advised("do something else")}
    records = [r.model_copy(update=other) if r.phase == "eval" else r for r in run()]
    story = pick_story(gather(enumerate(records)), "rememberer")
    assert [chapter.position for chapter in story] == [1, 3, 4]
    assert "other training tasks" in story[2].why


def test_a_success_without_exemplars_is_not_credited_to_memory() -> None:
    """A held-out success that saw no exemplar is called that."""
    records = [record.model_copy(update={"steps": []}) for record in run()]
    story = pick_story(gather(enumerate(records)), "rememberer")
    assert "not memory's doing" in story[-1].why


def test_runs_without_such_episodes_have_shorter_stories() -> None:
    """No failure, no training, only broken episodes: what there is, and no error."""
    solved = [episode(phase="train", epoch=1, task="s0", success=True)]
    (only,) = pick_story(gather(enumerate(solved)), "rememberer")
    assert only.title == "First training episode"
    broken = [record.model_copy(update={"status": "broken"}) for record in run()]
    assert pick_story(gather(enumerate(broken)), "rememberer") == []
    assert pick_story(gather([]), "rememberer") == []


def test_task_rows_average_over_seeds_and_keep_the_order_of_play() -> None:
    """Each task shows its shares before, after and without memory; change is after minus without."""
    records = [episode(task="b"), episode(task="a")]
    records += [episode(epoch=1, task=t, seed=s, success=s == 0) for s in (0, 1) for t in ("b", "a")]
    records += [episode(epoch=1, arm="no-memory", task="b", seed=s, success=True) for s in (0, 1)]
    rows = task_rows(gather(enumerate(records)), "rememberer")
    assert [(row.task_id, row.before, row.after, row.without, row.change) for row in rows] == [
        ("b", 0.0, 0.5, 1.0, -0.5),
        ("a", 0.0, 0.5, None, None),
    ]
