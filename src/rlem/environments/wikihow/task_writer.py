"""Tasks written as task files of the original's shape, so that Mobile-Env takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rlem.core.errors import UsageError
from rlem.environments.wikihow.selectors import ViewEvent
from rlem.environments.wikihow.tasks import Goal, TaskDefinition
from rlem.environments.wikihow.textproto import Message, Word, parse, write

_HEAD = """
setup_steps { adb_call { install_apk { filesystem { path: "../wikiHow：万事指南_2.9.6_apkcombo.com.apk" }
} } }
setup_steps { adb_call { rotate {} } }
reset_steps { adb_call { force_stop { package_name: "com.wikihow.wikihowapp" } } }
reset_steps { adb_call { clear_cache { package_name: "com.wikihow.wikihowapp" } } }
reset_steps {
  success_condition {
    num_retries: 10
    wait_for_app_screen {
      app_screen { activity: "com.wikihow.wikihowapp/com.wikihow.wikihowapp.MainTabActivity" }
      timeout_sec: 10.0
    }
  }
  adb_call {
    start_activity { full_activity: "com.wikihow.wikihowapp/com.wikihow.wikihowapp.MainTabActivity" }
  }
}
reset_steps {
  adb_call {
    start_screen_pinning { full_activity: "com.wikihow.wikihowapp/com.wikihow.wikihowapp.MainTabActivity" }
  }
}
expected_app_screen { activity: "com.wikihow.wikihowapp/com.wikihow.wikihowapp.MainTabActivity" }
max_num_steps: 500
"""

_RECOGNISED: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "search": (("text_recognize", "", "x0: 0.2439 y0: 0.0354 x1: 0.9085 y1: 0.1171"),),
    "article": (("text_detect", "How to {}", "y0: 0.19 x1: 1.0 y1: 0.3"),),
    "author": (("text_detect", "{}", "y0: 0.5 x1: 1.0 y1: 0.65"),),
    "category": (
        ("text_detect", "{}", "x0: 0.11 y0: 0.19 x1: 1.0 y1: 0.2"),
        ("text_detect", "{}", "y0: 0.165 x1: 1.0 y1: 0.568"),
    ),
    "about": (
        (
            "text_detect",
            "Information You Can Trust|A Guide to our Editorial Process",
            "y0: 0.1 x1: 1.0 y1: 0.6",
        ),
    ),
    "reference": (("text_detect", "References", "x1: 0.33 y1: 1.0"),),
}
"""Text that is recognised, and in which part of the screen; of a search, what its view event looks for."""


def to_textproto(task: TaskDefinition) -> str:
    """The task as a file of the original's shape.

    Errors: UsageError for a sub-goal that our compiler does not make (kind "other").
    """
    message = Message()
    message.add("id", task.id).add("name", task.name).add("description", task.description)
    message.fields += parse(_HEAD).fields
    paying, ids = [], []
    last = 0
    for goal in task.goals:
        sources = _sources(goal)
        for source in sources:
            last += 1
            message.add("event_sources", source.add("id", last))
        named = [Message().add("id", number) for number in range(last - len(sources) + 1, last + 1)]
        last += 1
        ids.append(last)
        event = Message().add("type", Word("OR")).add("id", last).add("events", *named)
        event.add("transformation", "y = 1")
        if goal.repeatability != "unlimited":
            event.add("repeatability", Word(goal.repeatability.upper()))
        paying.append(event)
    message.add("event_slots", _slots(task, paying, ids))
    return write(message.add("command", *task.commands).add("vocabulary", *task.vocabulary))


def _slots(task: TaskDefinition, paying: Sequence[Message], ids: Sequence[int]) -> Message:
    nothing = [Message() for _ in paying]
    instructions = [Message()]
    for number, goal in zip(ids, task.goals[1:], strict=False):
        said = f"y = [{goal.command!r}]"
        if goal.command:
            instructions.append(
                Message().add("events", Message().add("id", number)).add("transformation", said)
            )
        instructions.append(Message())
    end = Message().add("events", Message().add("id", ids[-1])).add("transformation", "y = True")
    return (
        Message()
        .add("score_listener", _any(nothing))
        .add("reward_listener", _any(paying))
        .add("episode_end_listener", end)
        .add("extra_listener", _any(nothing))
        .add("json_extra_listener", _any(nothing))
        .add("instruction_listener", _any(instructions))
    )


def _any(events: Sequence[Message]) -> Message:
    inside = [Message().add("event", event) for event in events]
    return Message().add("type", Word("OR")).add("events", *inside)


def _sources(goal: Goal) -> list[Message]:
    """Event sources of a sub-goal, without their ids, in the original's order."""
    if goal.kind not in _RECOGNISED:
        raise UsageError(f"a sub-goal of kind {goal.kind!r} cannot be written; {', '.join(_RECOGNISED)} can")
    texts = []
    for field, text, rect in _RECOGNISED[goal.kind]:
        seen = [pattern for view in goal.views for name, pattern in view.properties if name == "text"]
        expected = text.format(goal.target) or (seen or [goal.target])[0]
        texts.append(Message().add(field, Message().add("expect", expected).add("rect", parse(rect))))
    logs = [
        Message().add("log_event", Message().add("filters", "jd:D").add("pattern", pattern))
        for pattern in goal.logs
    ]
    views = [_written(view) for view in goal.views]
    return [*texts, *views, *logs] if goal.kind == "search" else [*texts, *logs, *views]


def _written(view: ViewEvent) -> Message:
    inner = Message().add("view_hierarchy_path", *view.path)
    for name, pattern in view.properties:
        inner.add("properties", Message().add("property_name", name).add("pattern", pattern))
    return Message().add("view_hierarchy_event", inner.add("selector", *view.selectors))
