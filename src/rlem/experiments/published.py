"""Numbers that others published or recorded, to be set beside ours. None of them is comparable: another model
played, on another environment."""

from __future__ import annotations

from dataclasses import dataclass

from rlem.experiments.results import Results, RowResult

SOURCE = (
    "Headlines: arXiv 2306.07929, as restated. Runs: development runs of its authors. Reference points: the "
    "paper of WebShop itself"
)
CAUTION = (
    "What is published is +4 and +2 points of success over the best before, averaged over initialisations "
    "and training sets; the shares of success beside ours (.36 to .39 in the shop, .89 to .93 on WikiHow) "
    "are a restatement. 95 % intervals with 100 and 70 tasks are about ±9.6 and ±6.0 points: single runs "
    "cannot separate these systems."
)
MARK = "other model, other environment: not comparable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One line. ``what`` it is, where it stands, and the row of ours that is nearest in kind ("": none).

    ``success`` in 0..1; ``score``: mean reward of an episode; None: not known.
    """

    environment: str
    what: str
    where: str
    success: float | None = None
    score: float | None = None
    steps: float | None = None
    ours: str = ""


_HEADLINE = "published headline, as restated"
_RUNS = "authors' runs"
_SHOP = "reference point of WebShop's own paper"

PUBLISHED = (
    Published(environment="webshop", what="Best before it", where=_HEADLINE, success=0.36),
    Published(environment="webshop", what="Rememberer", where=_HEADLINE, success=0.39, ours="Rememberer"),
    Published(
        environment="webshop",
        what="ReAct",
        where=f"{_RUNS}, 100 goals",
        success=0.42,
        score=0.716,
        steps=7.27,
        ours="ReAct",
    ),
    Published(
        environment="webshop",
        what="Rememberer",
        where=f"{_RUNS}, 100 goals",
        success=0.37,
        score=0.663,
        steps=5.3,
        ours="Rememberer",
    ),
    Published(
        environment="webshop",
        what="Rememberer, a later epoch",
        where=f"{_RUNS}, 100 goals",
        success=0.30,
        score=0.634,
        steps=4.59,
        ours="Rememberer",
    ),
    Published(environment="webshop", what="A rule", where=_SHOP, success=0.096),
    Published(environment="webshop", what="The best trained model", where=_SHOP, success=0.29),
    Published(environment="webshop", what="A human expert", where=_SHOP, success=0.59),
    Published(environment="wikihow", what="Best before it", where=_HEADLINE, success=0.89),
    Published(environment="wikihow", what="Rememberer", where=_HEADLINE, success=0.93, ours="Rememberer"),
    Published(
        environment="wikihow",
        what="A fixed prompt",
        where=f"{_RUNS}, 70 tasks",
        success=0.886,
        score=2.50,
        steps=5.27,
        ours="Static exemplars",
    ),
    Published(
        environment="wikihow",
        what="Annotated memory, no training",
        where=f"{_RUNS}, 70 tasks",
        success=0.914,
        score=2.557,
        steps=4.00,
        ours="Rememberer (A)",
    ),
)


def published(environment: str) -> tuple[Published, ...]:
    """What is known of an environment."""
    return tuple(one for one in PUBLISHED if one.environment == environment)


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """A line of the paper's table: a row of ours (None: not played, or there is none) and theirs."""

    name: str
    ours: RowResult | None
    theirs: Published | None

    @property
    def where(self) -> str:
        """Where theirs stands, and what it is where it is called otherwise than the row."""
        if self.theirs is None:
            return ""
        what = self.theirs.what
        return self.theirs.where if what == self.name else f"{what}; {self.theirs.where}"


def beside(results: Results) -> list[Beside]:
    """The agents, each with what is known of others; then what only others have.

    Nothing where nothing is known of the environment.
    """
    known = published(results.environment)
    found: list[Beside] = []
    for row in results.rows if known else ():
        if row.group == results.rows[0].group:
            theirs: list[Published | None] = [one for one in known if one.ours == row.name]
            found += [Beside(name=row.name, ours=row, theirs=one) for one in theirs or [None]]
    told = {line.name for line in found}
    return found + [
        Beside(name=one.ours or one.what, ours=None, theirs=one) for one in known if one.ours not in told
    ]
