"""The report page and the learning curve: safe, self-contained, valid for any run."""

import re
import struct
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import pytest
from tests.support.runs import HOSTILE, config, episode, shop_run, write_run

from rlem.reports import ReportPaths, summarise, write_report
from rlem.reports.curve import inline_svg, write_png
from rlem.reports.html import clip
from rlem.runner.records import AdviceRecord, EpisodeRecord, StepRecord

RUNS: dict[str, list[EpisodeRecord]] = {
    "whole": shop_run(epochs=2, tasks=12),
    "some broken": shop_run(epochs=1, tasks=12, broken_every=5),
    "all broken": shop_run(epochs=1, tasks=8, broken_every=1),
    "one arm": shop_run(epochs=2, tasks=8, arms=["memory"]),
    "control only": shop_run(epochs=0, tasks=8, arms=["no-memory"]),
    "zero training": shop_run(epochs=0, tasks=8, seeds=[0]),
    "training only": [episode(phase="train", epoch=1, task="s0")],
    "one task": [episode(arm=arm) for arm in ("memory", "no-memory")],
    "nothing": [],
}


class Page(HTMLParser):
    """Collects what a browser would load or run, and checks that tags close."""

    void = frozenset({"meta", "link", "img", "br", "hr", "input", "path", "use"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.handlers: list[str] = []
        self.ids: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in self.void:
            self.stack.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "srcset", "action", "data", "xlink:href", "poster"):
                self.loads.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)
            if name == "id":
                self.ids.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.void:
            assert self.stack, f"</{tag}> closes nothing"
            assert self.stack.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.void:
            self.stack.pop()


def report(folder: Path, records: list[EpisodeRecord], **changes: object) -> tuple[ReportPaths, str]:
    """Writes the run and its report."""
    paths = write_report(write_run(folder, records, config(**changes)))
    return paths, paths.report_html.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", RUNS)
def test_any_run_gives_a_well_formed_self_contained_page(name: str, tmp_path: Path) -> None:
    """Tags nest, ids are unique, and nothing outside the file is referred to."""
    paths, text = report(tmp_path, RUNS[name])
    page = Page(text)
    assert page.stack == []
    assert [load for load in page.loads if not load.startswith("#")] == []
    assert len(page.ids) == len(set(page.ids))
    assert not re.search(r"url\((?!#)|@import|xmlns", text.replace("url(&#39;", ""))
    assert {"link", "img", "iframe", "object"}.isdisjoint(page.tags)
    assert page.tags.count("script") == 1
    assert paths.summary.headline in text
    assert paths.learning_curve_png.read_bytes().startswith(b"\x89PNG")


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    """Pages, tasks, actions, answers, causes and names with markup are shown, never run."""
    records = [
        record.model_copy(
            update={
                "instruction": HOSTILE,
                "task_id": record.task_id + HOSTILE,
                "kind": HOSTILE,
                "steps": [
                    step.model_copy(update={"action": HOSTILE, "reason": HOSTILE, "repairs": {HOSTILE: 1}})
                    for step in record.steps
                ],
            }
        )
        for record in shop_run(epochs=2, tasks=8, broken_every=9)
    ]
    _, text = report(tmp_path, records, model=HOSTILE, environment=HOSTILE, agent="rememberer")
    page = Page(text)
    assert page.tags.count("script") == 1
    assert page.handlers == []
    assert "img" not in page.tags
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text


def test_exemplars_say_what_their_actions_were_done_to(tmp_path: Path) -> None:
    """Each advised action with its reason, as text and not as markup, through the run's file and back."""
    advice = AdviceRecord(
        key="k",
        similarity=1,
        encouraged=[("CLICK(3)", 1.0, 1)],
        discouraged=[("GOBACK", 0.0, 1)],
        untried=["CLICK(4)"],
        reasons={"CLICK(3)": '<img id="3">References', "CLICK(4)": '<img id="4">About'},
    )
    steps = [StepRecord(observation="p", action="GOBACK", advice=[advice])]
    _, text = report(tmp_path, [episode(phase="train", epoch=1, task="s0", steps=steps)])
    assert "img" not in Page(text).tags
    for action, reason in (("CLICK(3)", "&lt;img id=&#34;3&#34;&gt;References"), ("CLICK(4)", "About")):
        assert re.search(rf"<code>{re.escape(action)}</code>[^\n]*{re.escape(reason)}</span>", text)
    assert re.search(r"<code>GOBACK</code> → <b>0\.00</b> <span class=\"soft\">\(n = 1\)</span></li>", text)


def test_the_page_forbids_loading_anything(tmp_path: Path) -> None:
    """A content security policy is the second lock."""
    _, text = report(tmp_path, RUNS["zero training"])
    assert "default-src 'none'" in text


def test_the_page_tells_result_method_and_story(tmp_path: Path) -> None:
    """Headline, interval, model, data, versions, rule and three annotated episodes are on the page."""
    paths, text = report(tmp_path, shop_run(tasks=30))
    for said in [
        paths.summary.headline,
        "excludes zero",
        "It is not an LLM",
        "not comparable with published scores",
        "rlem train webshop --model embedded --train S0 --test test",
        "libraries.numpy 2.4.6",
        "A failure in training",
        "What was learned",
        "A success on a held-out task",
        "Rule: of the failed training episodes",
        "similarity 0.91",
        "(n = 4)",
        "Discouraged",
        "Untried",
    ]:
        assert said in text
    assert text.count('<article class="chapter">') == 3


def test_broken_episodes_are_counted_in_sight(tmp_path: Path) -> None:
    """Their number, cause and first place stand on the page."""
    paths, text = report(tmp_path, RUNS["some broken"])
    assert paths.summary.broken_episodes > 0
    assert f"of them {paths.summary.broken_episodes} broken" in text
    assert "shop fell: &lt;script&gt;" in text


def test_a_torn_run_is_reported_with_a_note(tmp_path: Path) -> None:
    """The report of an interrupted run says that a line was left out."""
    folder = write_run(tmp_path, RUNS["zero training"], config(), torn='{"phase": "ev')
    assert "cut short" in write_report(folder).report_html.read_text(encoding="utf-8")


def test_secrets_in_options_do_not_reach_the_page(tmp_path: Path) -> None:
    """An API key in the config is not printed into a file that is passed on."""
    _, text = report(tmp_path, RUNS["zero training"], model_options={"api_key": "sk-very-secret"})
    assert "sk-very-secret" not in text


def test_the_same_folder_gives_the_same_bytes(tmp_path: Path) -> None:
    """Reports hold no clock and no random names: written twice they are equal."""
    folder = write_run(tmp_path, RUNS["whole"], config())
    files = ("summary.json", "report.html", "learning_curve.png")
    write_report(folder)
    first = [(folder / name).read_bytes() for name in files]
    write_report(folder)
    assert [(folder / name).read_bytes() for name in files] == first


def test_a_large_run_with_long_pages_stays_under_two_megabytes(tmp_path: Path) -> None:
    """8 evaluations of 100 tasks with pages of 20,000 characters: the page does not dump the log."""
    long_page = "word " * 4000
    records = (record for record in shop_run(epochs=7, tasks=100, seeds=[0], page="PAGE"))
    grown = [
        record.model_copy(
            update={"steps": [s.model_copy(update={"observation": long_page}) for s in record.steps[:2]]}
        )
        for record in records
    ]
    paths, text = report(tmp_path, grown)
    assert paths.report_html.stat().st_size < 2_000_000
    assert "more characters]" in text


def test_clip_drops_control_characters_and_says_what_is_missing() -> None:
    """NUL, escapes and text-direction overrides do not reach the page; the cut is visible."""
    assert clip("a\x00b\x1b[31m\u202ec\nd\té", 100) == "ab[31mc\nd\té"
    assert clip("abcdef", 4) == "abcd … [2 more characters]"


def test_the_curve_is_a_picture_of_readable_size(tmp_path: Path) -> None:
    """About 1000 pixels wide at 150 dots an inch, and drawing leaves matplotlib's settings alone."""
    before = dict(mpl.rcParams)
    path = tmp_path / "curve.png"
    write_png(summarise(RUNS["whole"], config()), path)
    width, height = struct.unpack(">II", path.read_bytes()[16:24])
    assert 900 <= width <= 1200
    assert 600 <= height <= 900
    assert dict(mpl.rcParams) == before


def test_the_inline_curve_is_small_has_both_arms_and_follows_the_page_colours() -> None:
    """The SVG parses, names both arms as text, uses the page's colours and no address."""
    svg = inline_svg(summarise(RUNS["whole"], config()))
    ElementTree.fromstring(svg)
    assert 12_000 <= len(svg) <= 100_000
    assert ">rememberer<" in svg
    assert ">rememberer without memory<" in svg
    assert "var(--series-1" in svg
    assert "var(--series-2" in svg
    assert "currentColor" in svg
    assert "http" not in svg


def test_an_arm_evaluated_once_is_drawn_across_the_epochs() -> None:
    """A control played before training only is a reference line, and the legend says so."""
    records = [episode(arm="no-memory", task=f"t{i}") for i in range(8)]
    records += [episode(epoch=e, task=f"t{i}", success=i < 4 * e) for e in range(3) for i in range(8)]
    assert "without memory (one evaluation)" in inline_svg(summarise(records, config()))
