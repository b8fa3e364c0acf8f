"""Counterfactual replay: recorded decisions asked again without one experience, to see what it changed."""

from rlem.runner.influence.asking import Answers, Replayed, Without, replay
from rlem.runner.influence.decisions import Choice, Past, Recorded, choose, views_of
from rlem.runner.influence.ranking import Changed, Influence, Row, rank

__all__ = [
    "Answers",
    "Changed",
    "Choice",
    "Influence",
    "Past",
    "Recorded",
    "Replayed",
    "Row",
    "Without",
    "choose",
    "rank",
    "replay",
    "views_of",
]
