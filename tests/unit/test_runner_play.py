"""One episode: how it ends, what its record holds, and which faults it survives."""

from collections.abc import Sequence

import pytest
from tests.support.stage import ACTIONS, TASK, Stage, Watcher, job

from rlem.agents.prompted import PromptedAgent, PromptOptions, llm_only
from rlem.core.errors import (
    BudgetExceededError,
    ModelError,
    ModelRejectedError,
    ModelResponseError,
    ModelUnavailableError,
)
from rlem.core.types import Step, termination, transition, truncation
from rlem.memory.memory import ExperienceMemory
from rlem.memory.volatile import InMemoryStore
from rlem.runner.play import episode_of, place_of, play
from rlem.testing.scripted_model import ScriptedModel

LEFT = "Encouraged:\ngo left -> 1.0 it is near"
RIGHT = "Encouraged:\ngo right -> 0.5 it is far"
NONSENSE = "I would rather not say."


def asking(answers: Sequence[str | ModelError], *, retries: int = 1) -> tuple[PromptedAgent, ScriptedModel]:
    """An agent without memory over a model that gives these answers."""
    model = ScriptedModel(answers)
    return llm_only(model, "generic", PromptOptions(retries=retries)), model


def test_an_episode_that_the_environment_ends_is_terminated() -> None:
    """Rewards add up, the environment judges success, and every decision is on record."""
    stage = Stage([transition("page 1", ACTIONS, 0.25), termination("the exit", 0.75)])
    agent, model = asking([LEFT, RIGHT])
    record = play(stage, agent, job(), max_steps=10, memory_size=7).record
    assert (record.status, record.success, record.reward, record.cause) == ("terminated", True, 1.0, "")
    assert [(s.observation, s.action, s.reason, s.reward) for s in record.steps] == [
        ("page 0", "go left", "it is near", 0.25),
        ("page 1", "go right", "it is far", 0.75),
    ]
    assert [s.actions for s in record.steps] == [list(ACTIONS)] * 2
    assert record.steps[0].answer == LEFT
    assert (record.memory_size, record.agent, record.kind) == (7, "llm-only", "maze")
    assert place_of(record) == job().place == ("train", 1, "memory", 0, "stage:1")
    assert record.usage.calls == 2
    assert record.usage.prompt_tokens == model.usage.prompt_tokens > 0


def test_the_step_limit_truncates_after_exactly_that_many_decisions() -> None:
    """With a limit of 3 the environment gets 3 actions, and the episode counts as truncated."""
    stage = Stage()
    record = play(stage, Watcher(["go left"]), job(), max_steps=3).record
    assert (record.status, record.success, len(record.steps)) == ("truncated", False, 3)
    assert stage.sent == ["go left"] * 3


def test_the_last_allowed_step_can_still_succeed() -> None:
    """Termination on exactly the last step is termination."""
    stage = Stage([transition("page 1", ACTIONS), termination("the exit", 1.0)])
    record = play(stage, Watcher(["go left"]), job(), max_steps=2).record
    assert (record.status, record.success) == ("terminated", True)


def test_a_limit_of_the_environment_truncates() -> None:
    """A step that says truncated ends the episode as truncated."""
    record = play(Stage([truncation("late", ACTIONS, 0.5)]), Watcher(["go left"]), job(), max_steps=9).record
    assert (record.status, record.reward, len(record.steps)) == ("truncated", 0.5, 1)


def test_views_show_what_was_done_and_earned() -> None:
    """History, reasons, last and total reward, and the step's number are those before the decision."""
    stage = Stage([transition("page 1", ACTIONS, 0.25), transition("page 2", ACTIONS, 0.5)])
    agent = Watcher(["go left", "go right", "go left"])
    play(stage, agent, job(), max_steps=3)
    seen = [(v.history, v.reasons, v.last_reward, v.total_reward, v.step_index) for v in agent.views]
    assert seen == [
        ((), (), 0.0, 0.0, 0),
        (("go left",), ("a reason",), 0.25, 0.25, 1),
        (("go left", "go right"), ("a reason", "a reason"), 0.5, 0.75, 2),
    ]
    assert [v.step.observation for v in agent.views] == ["page 0", "page 1", "page 2"]
    assert {v.task for v in agent.views} == {TASK}
    assert agent.views[1].situation.observation == "page 1"


def test_training_seeds_change_with_the_epoch_and_evaluation_seeds_do_not() -> None:
    """Evaluations of all epochs and arms share their luck; training epochs do not."""

    def seed(**changes: object) -> int:
        agent = Watcher(["go left"])
        play(Stage(), agent, job(**changes), max_steps=1)
        return agent.views[0].seed

    assert seed(phase="train", epoch=1) != seed(phase="train", epoch=2)
    assert seed(phase="eval", epoch=0) == seed(phase="eval", epoch=3) == seed(phase="eval", arm="no-memory")
    assert seed(phase="eval") != seed(phase="train")
    assert seed(phase="eval", seed=0) != seed(phase="eval", seed=1)


def test_a_format_failure_is_recorded_and_does_not_reach_the_environment() -> None:
    """An unusable answer leaves the page, earns nothing, and counts as a step of the limit."""
    stage = Stage([transition("page 1", ACTIONS, 0.5)])
    agent, model = asking([LEFT, NONSENSE, NONSENSE, RIGHT])
    record = play(stage, agent, job(), max_steps=3).record
    assert stage.sent == ["go left", "go right"]
    failed = record.steps[1]
    assert (failed.action, failed.reward, failed.observation) == (None, 0.0, "page 1")
    assert failed.failure.startswith("no-action:")
    assert failed.answer == NONSENSE
    assert record.steps[2].observation == "page 1"
    assert record.status == "truncated"
    assert "- go left" in model.prompts[3].user, "history is kept over a failure"


def test_three_failures_in_a_row_break_an_episode() -> None:
    """It stops at the third and its cause says why; nothing is credited."""
    stage = Stage([transition("page 1", ACTIONS, 0.5)])
    agent, model = asking([LEFT, *[NONSENSE] * 6, LEFT])
    record = play(stage, agent, job(), max_steps=10).record
    assert (record.status, record.success, record.reward) == ("broken", False, 0.0)
    assert record.cause.startswith("3 unusable answers in a row: no-action")
    assert [s.action for s in record.steps] == ["go left", None, None, None]
    assert len(model.prompts) == 7


def test_two_failures_a_good_answer_and_two_failures_do_not_break() -> None:
    """Only failures in a row count."""
    decisions = [None, None, "go left", None, None, "go right"]
    record = play(Stage(), Watcher(decisions), job(), max_steps=6).record
    assert record.status == "truncated"
    assert [s.action for s in record.steps] == decisions


def test_an_unusable_answer_is_asked_for_once_more() -> None:
    """The second prompt is the first with the failure named; a good second answer is used and counted."""
    agent, model = asking([NONSENSE, LEFT])
    record = play(Stage(), agent, job(), max_steps=1).record
    first, second = model.prompts
    assert second.user.startswith(first.user)
    assert second.user != first.user
    assert "could not be used (no-action" in second.user
    assert "click[" not in second.user, "the example in a retry fits the style's own grammar"
    step = record.steps[0]
    assert (step.action, step.failure, step.repairs["asked-again"]) == ("go left", "", 1)
    assert record.usage.calls == 2


def test_retries_can_be_switched_off() -> None:
    """retries=0 asks once, and counts no second question."""
    agent, model = asking([NONSENSE, LEFT], retries=0)
    record = play(Stage(), agent, job(), max_steps=1).record
    assert len(model.prompts) == 1
    assert record.steps[0].action is None
    assert "asked-again" not in record.steps[0].repairs


@pytest.mark.parametrize("error", [ModelUnavailableError("no answer"), ModelResponseError("not JSON")])
def test_a_model_that_gives_nothing_breaks_the_episode_alone(error: ModelError) -> None:
    """What was played is kept in a broken record that names the error; nothing is raised."""
    stage = Stage([transition("page 1", ACTIONS, 1.0)])
    agent, _ = asking([LEFT, error])
    record = play(stage, agent, job(), max_steps=5).record
    assert (record.status, record.success, record.reward) == ("broken", False, 0.0)
    assert record.cause == f"{type(error).__name__}: {error}"
    assert [s.action for s in record.steps] == ["go left"]


@pytest.mark.parametrize("error", [ModelRejectedError("wrong key"), BudgetExceededError("spent")])
def test_faults_that_would_break_every_episode_are_raised(error: ModelError) -> None:
    """A wrong key or a spent budget stops the run."""
    agent, _ = asking([LEFT, error])
    with pytest.raises(type(error)):
        play(Stage(), agent, job(), max_steps=5)


@pytest.mark.parametrize(
    "error", [KeyError("door"), RecursionError(), AssertionError("no"), OSError(5, "io")]
)
def test_a_fault_of_the_environment_breaks_the_episode_alone(error: Exception) -> None:
    """Whatever an environment raises in reset or in step becomes a cause that names it."""
    for stage, steps in (
        (Stage([error]), 0),
        (Stage(first=error), 0),
        (Stage([Step(observation="1"), error]), 1),
    ):
        record = play(stage, Watcher(["go left"]), job(), max_steps=5).record
        assert (record.status, record.success, len(record.steps)) == ("broken", False, steps)
        assert record.cause.startswith(f"{type(error).__name__} in stage")


def test_a_fault_in_judging_success_breaks_the_episode() -> None:
    """An environment that cannot say whether it was solved leaves a broken episode, not a success."""

    class Unjust(Stage):
        def succeeded(self, total_reward: float, last: Step) -> bool:
            raise ValueError("cannot say")

    record = play(Unjust([termination("end", 1.0)]), Watcher(["go left"]), job(), max_steps=5).record
    assert (record.status, record.success, record.reward) == ("broken", False, 0.0)


def test_an_endless_cause_is_cut() -> None:
    """An error with a page in its text does not blow the record up."""
    record = play(Stage([ValueError("x" * 100_000)]), Watcher(["go left"]), job(), max_steps=5).record
    assert len(record.cause) <= 1000


@pytest.mark.parametrize("reward", [float("nan"), float("inf"), -float("inf"), 1e300, None])
def test_a_reward_that_is_no_number_breaks_the_episode(reward: float) -> None:
    """What the memory could not keep never gets as far: the episode is broken, its log entry is taken."""
    stage = Stage([Step(observation="page 1", actions=ACTIONS, reward=reward)])
    record = play(stage, Watcher(["go left"]), job(), max_steps=5).record
    assert record.status == "broken"
    assert "reward" in record.cause
    memory = ExperienceMemory(InMemoryStore())
    memory.record(episode_of(record, index=0, model="m", split="S0"))
    assert len(memory) == 0


def test_the_clock_measures_the_episode() -> None:
    """Seconds are the difference of two readings of the given clock."""
    readings = iter([10.0, 12.5])
    played = play(Stage(), Watcher(["go left"]), job(), max_steps=1, clock=lambda: next(readings))
    assert played.seconds == 2.5


def test_the_log_entry_is_what_the_record_says() -> None:
    """Failures stay in it as steps without action, rewards stand at the step that earned them."""
    stage = Stage([transition("page 1", ACTIONS, 0.5), termination("end", 0.5)])
    record = play(stage, Watcher(["go left", None, "go right"]), job(epoch=2), max_steps=9).record
    episode = episode_of(record, index=3, model="m", split="S0")
    assert episode.id == "train-002-00003-stage:1"
    assert [(t.action, t.reward) for t in episode.transitions] == [
        ("go left", 0.5),
        (None, 0.0),
        ("go right", 0.5),
    ]
    assert [t.situation.observation for t in episode.transitions] == ["page 0", "page 1", "page 1"]
    assert (episode.split, episode.model, episode.source, episode.trust) == (
        "S0",
        "m",
        "run/watcher",
        "verified",
    )
    assert (episode.task, episode.task_id, episode.reward) == ("Find the exit.", "stage:1", 1.0)


def test_an_episode_of_failures_alone_teaches_nothing() -> None:
    """Format failures say nothing about actions."""
    record = play(Stage(), Watcher([None]), job(), max_steps=9).record
    memory = ExperienceMemory(InMemoryStore())
    memory.record(episode_of(record, index=0, model="m", split="S0"))
    assert (memory.episode_count(), len(memory)) == (1, 0)
