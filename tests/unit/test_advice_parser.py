"""The answer parser: a table of answers as models give them, with the action, value and repairs expected."""

from __future__ import annotations

import math
import time

import pytest

from rlem.advice import GENERIC, REPAIR_KINDS, WEBSHOP, WIKIHOW, is_available, parse_answer, retry_message

SHOP = [
    "search[<words>]",
    "click[back to search]",
    "click[< prev]",
    "click[next >]",
    "click[buy now]",
    "click[size [xl]]",
    "click[disc brake]",
    "click[discouraged: never]",
    "click[men's]",
    "click[3 ounce (pack of 1)]",
    "click[红色]",
    "click[a -> b]",
]
PHONE = ["INPUT(2, <text>)", "CLICK(2)", "CLICK(13)", "SCROLL(DOWN)", "SCROLL(UP)", "GOBACK"]
ROOM = ["go north", "go south", "say <words>", "take lamp -> bag", "1. open", "give <thing> to <whom>"]

BUY = "click[buy now]"
NEXT = "click[next >]"

# (answer, action, value, kinds of repair); the shop's grammar.
SHOP_ROWS: list[tuple[str, str, float | None, set[str]]] = [
    ("Encouraged:\nclick[buy now] -> 0.9 it fits\nDiscouraged:\nclick[next >] -> 0.0 no", BUY, 0.9, set()),
    ("Encouraged:\nclick[buy now] -> 1", BUY, 1.0, set()),
    ("Encouraged:\nclick[buy now] -> -0.5 bad", BUY, -0.5, set()),
    ("Encouraged:\nclick[buy now] -> .5", BUY, 0.5, set()),
    ("Encouraged:\nclick[buy now] -> 1e-1 x", BUY, 0.1, set()),
    ("Encouraged:\nclick[buy now]->0.9", BUY, 0.9, set()),
    ("Encouraged:\nclick[next >] -> 0.2\nclick[buy now] -> 0.8", BUY, 0.8, set()),
    ("Encouraged:\nclick[next >] -> 0.8\nclick[buy now] -> 0.8", NEXT, 0.8, set()),
    ("Encouraged:\nclick[buy now] -> 1.0 (n=3, 0.61 to 1.00) as before", BUY, 1.0, set()),
    ("\n\nEncouraged:\nclick[buy now] -> 0.9\n\n", BUY, 0.9, set()),
    # prose, blank lines, fences, thoughts
    ("Let me see.\nEncouraged:\nclick[buy now] -> 0.9", BUY, 0.9, {"prose"}),
    ("Encouraged:\nclick[buy now] -> 0.9\nI hope this helps!", BUY, 0.9, {"prose"}),
    ("Encouraged:\n\nclick[buy now] -> 0.9\n\nDiscouraged:", BUY, 0.9, {"blank-line"}),
    ("Encouraged:\nHere are my ideas:\nclick[buy now] -> 0.9", BUY, 0.9, {"prose"}),
    ("```\nEncouraged:\nclick[buy now] -> 0.9\n```", BUY, 0.9, {"prose", "code-fence"}),
    ("Encouraged:\n```text\nclick[buy now] -> 0.9\n```", BUY, 0.9, {"code-fence"}),
    (
        "<think>Encouraged:\nclick[next >] -> 1</think>\nEncouraged:\nclick[buy now] -> 0.2",
        BUY,
        0.2,
        {"thought"},
    ),
    ("Thought: click[next >] was useless.\nEncouraged:\nclick[buy now] -> 0.2", BUY, 0.2, {"prose"}),
    # headers
    ("click[buy now] -> 0.9", BUY, 0.9, {"missing-header"}),
    ("Encouraged: click[buy now] -> 0.9", BUY, 0.9, {"inline-header"}),
    ("**Encouraged:**\nclick[buy now] -> 0.9", BUY, 0.9, {"header-form"}),
    ("## ENCOURAGED ACTIONS\nclick[buy now] -> 0.9", BUY, 0.9, {"header-form"}),
    ("Encouraged：\nclick[buy now] -> 0.9", BUY, 0.9, {"header-form"}),
    ("Encouraged:\nEncouraged:\nclick[buy now] -> 0.9", BUY, 0.9, {"header-form"}),
    (
        "Discouraged:\nclick[next >] -> 0.9\nEncouraged:\nclick[buy now] -> 0.1",
        BUY,
        0.1,
        {"prose", "section-order"},
    ),
    ("Encouraged:\nclick[buy now] -> 0.5 ok Discouraged: click[next >] -> 0.9", BUY, 0.5, {"inline-header"}),
    ("Encouraged:\nclick[buy now] -> 0.5\nExample 3:\nEncouraged:\nclick[next >] -> 1.0", BUY, 0.5, set()),
    ("Encouraged:\nclick[buy now] -> 0.5\nUntried:\nclick[next >] -> 1.0", BUY, 0.5, set()),
    # bullets, numbers, labels, quotes, punctuation
    ("Encouraged:\n- click[buy now] -> 0.9", BUY, 0.9, {"bullet"}),
    ("Encouraged:\n* click[buy now] -> 0.9", BUY, 0.9, {"bullet"}),
    ("Encouraged:\n• click[buy now] -> 0.9", BUY, 0.9, {"bullet"}),
    ("Encouraged:\n1. click[next >] -> 0.1\n2) click[buy now] -> 0.9", BUY, 0.9, {"bullet"}),
    ("Encouraged:\nAction: click[buy now] -> 0.9", BUY, 0.9, {"label"}),
    ("Encouraged:\n`click[buy now]` -> 0.9", BUY, 0.9, {"quotes"}),
    ('Encouraged:\n"click[buy now]" -> 0.9', BUY, 0.9, {"quotes"}),
    ("Encouraged:\n**click[buy now]** -> 0.9", BUY, 0.9, {"quotes"}),
    ("Encouraged:\nclick['buy now'] -> 0.9", BUY, 0.9, {"quotes"}),
    ("Encouraged:\n`click[buy now] -> 0.9`", BUY, 0.9, {"quotes", "value-form"}),
    ("Encouraged:\nclick[buy now]. -> 0.9", BUY, 0.9, {"trailing-punctuation"}),
    ("Encouraged:\nclick[buy now].", BUY, None, {"trailing-punctuation", "missing-value"}),
    # values
    ("Encouraged:\nclick[buy now]", BUY, None, {"missing-value"}),
    ("Encouraged:\nclick[buy now] -> high, it fits", BUY, None, {"missing-value"}),
    ("Encouraged:\nclick[buy now] ->", BUY, None, {"missing-value"}),
    ("Encouraged:\nclick[next >]\nclick[buy now] -> 0.0", BUY, 0.0, {"missing-value"}),
    ("Encouraged:\nclick[buy now] -> NaN", BUY, None, {"bad-value"}),
    ("Encouraged:\nclick[next >] -> inf\nclick[buy now] -> 0.1", BUY, 0.1, {"bad-value"}),
    ("Encouraged:\nclick[next >] -> 1e999\nclick[buy now] -> 0.1", BUY, 0.1, {"bad-value"}),
    ("Encouraged:\nclick[next >] -> 1/0\nclick[buy now] -> 0.1", BUY, 0.1, {"bad-value"}),
    ("Encouraged:\nclick[buy now] -> 0.9/1 good", BUY, 0.9, {"value-form"}),
    ("Encouraged:\nclick[buy now] -> 8/10 good", BUY, 0.8, {"value-form"}),
    ("Encouraged:\nclick[buy now] -> 1,0 good", BUY, 1.0, {"value-form"}),
    ("Encouraged:\nclick[buy now] -> 90% good", BUY, 0.9, {"value-form"}),
    ("Encouraged:\nclick[buy now] -> (0.9) good", BUY, 0.9, {"value-form"}),
    ("Encouraged:\nclick[buy now] -> value: 0.9", BUY, 0.9, {"value-form"}),
    ("Encouraged:\nclick[buy now] -> −0.5", BUY, -0.5, {"value-form"}),
    ("Encouraged:\nclick[buy now] looks fine -> 0.9", BUY, 0.9, {"value-form"}),
    # arrows and brackets
    ("Encouraged:\nclick[buy now] → 0.9", BUY, 0.9, {"arrow"}),
    ("Encouraged:\nclick[buy now] => 0.9", BUY, 0.9, {"arrow"}),
    ("Encouraged:\nclick[buy now]: 0.9", BUY, 0.9, {"arrow"}),
    ("Encouraged:\nclick[buy now] (0.9)", BUY, 0.9, {"arrow"}),
    ("Encouraged:\nclick[buy now -> 0.9 why", BUY, 0.9, {"bracket"}),
    ("Encouraged:\nclick[buy now -> 0.9 because (x]", BUY, 0.9, {"bracket"}),
    ("Encouraged:\nclick[buy now", BUY, None, {"bracket", "missing-value"}),
    ("Encouraged:\nclick(buy now) -> 0.9", BUY, 0.9, {"bracket"}),
    ("Encouraged:\nclick［buy now］ -> 0.9", BUY, 0.9, {"bracket"}),
    ("Encouraged:\nclick buy now -> 0.9", BUY, 0.9, {"bracket"}),
    ("Encouraged:\nclick[next >] -> 0.9", NEXT, 0.9, set()),
    ("Encouraged:\nclick[next > -> 0.9", NEXT, 0.9, {"bracket"}),
    ("Encouraged:\nclick[a -> b] -> 0.9", "click[a -> b]", 0.9, set()),
    ("Encouraged:\nsearch[a -> b] -> 0.9 x", "search[a -> b]", 0.9, set()),
    ("Encouraged:\nsearch[size -> 9 shoe] -> 0.8", "search[size -> 9 shoe]", 0.8, set()),
    ("Encouraged:\nclick[size [xl]] -> 0.9", "click[size [xl]]", 0.9, set()),
    ("Encouraged:\nclick[size [xl] -> 0.9", "click[size [xl]]", 0.9, {"bracket"}),
    ("Encouraged:\nclick[3 ounce (pack of 1)] -> 0.9", "click[3 ounce (pack of 1)]", 0.9, set()),
    # case, blanks, bare names
    ("Encouraged:\nCLICK[buy now] -> 0.9", BUY, 0.9, {"case"}),
    ("Encouraged:\nclick[Buy Now] -> 0.9", BUY, 0.9, {"case"}),
    ("Encouraged:\nclick [buy now] -> 0.9", BUY, 0.9, {"spacing"}),
    ("Encouraged:\nclick[ buy  now ] -> 0.9", BUY, 0.9, {"spacing"}),
    ("Encouraged:\nclick[mens] -> 0.9", "click[men's]", 0.9, {"quotes"}),
    ("Encouraged:\nSearch[red kettle] -> 0.9", "search[red kettle]", 0.9, {"case"}),
    ("Encouraged:\nbuy now -> 0.9", BUY, 0.9, {"bare-element"}),
    ("Encouraged:\nbuy now", BUY, None, {"bare-element", "missing-value"}),
    # "Disc" inside an action
    ("Encouraged:\nclick[disc brake] -> 0.9", "click[disc brake]", 0.9, set()),
    ("Encouraged:\nsearch[Discouraged people] -> 0.9", "search[Discouraged people]", 0.9, set()),
    ("Encouraged:\nclick[discouraged: never] -> 0.9", "click[discouraged: never]", 0.9, set()),
    ("Encouraged:\nclick[buy now] -> 0.2 discouraged buyers left\nclick[next >] -> 0.9", NEXT, 0.9, set()),
    # several on a line
    ("Encouraged:\nclick[next >] -> 0.1, click[buy now] -> 0.9", BUY, 0.9, {"several-on-line"}),
    ("Encouraged:\nclick[next >] -> 0.1 weak; click[buy now] -> 0.9", BUY, 0.9, {"several-on-line"}),
    ("Encouraged:\nclick[next >] -> 0.1 click[buy now] -> 0.9", BUY, 0.9, {"several-on-line"}),
    ("Encouraged:\nclick[buy now] -> 0.5 better than click[next >]", BUY, 0.5, set()),
    # prose only
    (
        "I think click[buy now] is right.",
        BUY,
        None,
        {"missing-header", "prose", "action-in-prose", "missing-value"},
    ),
    ("The best is click[buy now] -> 0.9", BUY, 0.9, {"missing-header", "prose", "action-in-prose"}),
    # other scripts
    ("Encouraged:\nclick[红色] -> 0.9 颜色正确", "click[红色]", 0.9, set()),
    ("Encouraged:\nsearch[红色 水壶] -> 1.0 搜索", "search[红色 水壶]", 1.0, set()),
    ("我认为应该购买。\nEncouraged:\nclick[buy now] -> 0.9 好", BUY, 0.9, {"prose"}),
    # unknown among known, line ends
    ("Encouraged:\nclick[zzz] -> 0.9\nclick[buy now] -> 0.1", BUY, 0.1, {"unknown-candidate"}),
    ("Encouraged:\r\nclick[buy now] -> 0.9 fits\r\n", BUY, 0.9, set()),
]

PHONE_ROWS: list[tuple[str, str, float | None, set[str]]] = [
    ("Encouraged:\nINPUT(2, bake a cake) -> 1.0 <input id=2>", "INPUT(2, bake a cake)", 1.0, set()),
    ("Encouraged:\nINPUT(2,bake a cake) -> 1.0", "INPUT(2, bake a cake)", 1.0, {"spacing"}),
    ("Encouraged:\nINPUT(2, how (not) to bake) -> 1.0", "INPUT(2, how (not) to bake)", 1.0, set()),
    ("Encouraged:\nCLICK(13) -> 0.9 <p>(x)</p>", "CLICK(13)", 0.9, set()),
    ("Encouraged:\nCLICK[13] -> 0.9", "CLICK(13)", 0.9, {"bracket"}),
    ("Encouraged:\nclick 13 -> 0.9", "CLICK(13)", 0.9, {"case", "bracket"}),
    ("Encouraged:\nscroll(down) -> 0.4", "SCROLL(DOWN)", 0.4, {"case"}),
    ("Encouraged:\nGOBACK -> 0.4 wrong page", "GOBACK", 0.4, set()),
    ("Encouraged:\nGOBACK", "GOBACK", None, {"missing-value"}),
    ("Encouraged:\ngoback() -> 0.4", "GOBACK", 0.4, {"case"}),
]

ROOM_ROWS: list[tuple[str, str, float | None, set[str]]] = [
    ("Encouraged:\ngo north -> 0.9 light", "go north", 0.9, set()),
    ("Encouraged:\nGo North. -> 0.9", "go north", 0.9, {"case", "trailing-punctuation"}),
    ("Encouraged:\ngo north", "go north", None, {"missing-value"}),
    ("Encouraged:\ngo north: 0.9", "go north", 0.9, {"arrow"}),
    ("Encouraged:\n- 'go south' -> 1", "go south", 1.0, {"bullet", "quotes"}),
    ("Encouraged:\n1. open -> 0.7", "1. open", 0.7, set()),
    ("Encouraged:\nsay hello there -> 0.4", "say hello there", 0.4, set()),
    ("Encouraged:\ngive the lamp to Ann -> 0.4", "give the lamp to Ann", 0.4, set()),
    ("Encouraged:\nSay Hello there -> 0.4", "say Hello there", 0.4, {"case"}),
    ("Encouraged:\ntake lamp -> bag -> 0.8 why", "take lamp -> bag", 0.8, set()),
    ("Encouraged:\ntake lamp -> bag", "take lamp -> bag", None, {"missing-value"}),
    ("Encouraged:\ngo north -> 0.1, go south -> 0.9", "go south", 0.9, {"several-on-line"}),
    ("I will go south now.", "go south", None, {"missing-header", "prose", "action-in-prose"}),
]

FAILURES: list[tuple[str, str, str]] = [
    ("", "empty", "no text"),
    (" \n\t\n", "empty", "no text"),
    ("Encouraged:", "no-action", ""),
    ("Encouraged:\nDiscouraged:\nclick[buy now] -> 0.0", "no-action", ""),
    ("Discouraged:\nclick[buy now] -> 0.0", "no-action", ""),
    ("I cannot help with that.", "no-action", ""),
    ("Search results look fine.", "no-action", ""),
    ("<think>click[buy now] -> 1", "no-action", ""),
    ("Encouraged:\nclick[buy later] -> 0.9", "unknown-action", "'click[buy now]'"),
    ("Encouraged:\nclick[b0nosuch] -> 0.9 x", "unknown-action", "nearest available"),
    ("Encouraged:\nsearch[] -> 0.9", "unfilled-action", "words of your own"),
    ("Encouraged:\nsearch[<words>] -> 0.9", "unfilled-action", "words of your own"),
    ("Encouraged:\nsearch -> 0.9", "unfilled-action", "words of your own"),
    ("Either click[buy now] or click[next >].", "ambiguous", "click[next >]"),
]


def _check(row: tuple[str, str, float | None, set[str]], known: list[str], grammar: object) -> None:
    answer, action, value, repairs = row
    parsed = parse_answer(answer, known=known, grammar=grammar)  # type: ignore[arg-type]
    assert (parsed.action, parsed.failure) == (action, "")
    assert parsed.value == (pytest.approx(value) if value is not None else None)
    assert set(parsed.repairs) == repairs
    assert is_available(action, known)


@pytest.mark.parametrize("row", SHOP_ROWS, ids=lambda row: row[0][:60])
def test_answers_in_the_shop(row: tuple[str, str, float | None, set[str]]) -> None:
    """Each answer gives the action and value meant, and exactly the kinds of repair it needed."""
    _check(row, SHOP, WEBSHOP)


@pytest.mark.parametrize("row", PHONE_ROWS, ids=lambda row: row[0][:60])
def test_answers_on_the_phone(row: tuple[str, str, float | None, set[str]]) -> None:
    """The same for verbs with round brackets, ids and a verb without argument."""
    _check(row, PHONE, WIKIHOW)


@pytest.mark.parametrize("row", ROOM_ROWS, ids=lambda row: row[0][:60])
def test_answers_in_free_texts(row: tuple[str, str, float | None, set[str]]) -> None:
    """The same where an action is any listed text."""
    _check(row, ROOM, GENERIC)


@pytest.mark.parametrize(("answer", "kind", "said"), FAILURES, ids=lambda value: str(value)[:40])
def test_unusable_answers_say_why(answer: str, kind: str, said: str) -> None:
    """An answer without a usable action gives no action, the kind of failure and a helpful text."""
    parsed = parse_answer(answer, known=SHOP, grammar=WEBSHOP)
    assert parsed.action is None
    assert parsed.value is None
    assert parsed.failure_kind == kind
    assert said in parsed.failure


def test_every_kind_of_repair_is_listed_and_met() -> None:
    """The table needs each documented kind at least once (``cut`` apart), and no other kind."""
    met = set().union(*(row[3] for row in [*SHOP_ROWS, *PHONE_ROWS, *ROOM_ROWS]))
    assert met | {"cut"} == set(REPAIR_KINDS)
    parsed = parse_answer(BUY + " -> 0.9 " + "x" * 5000, known=SHOP, grammar=WEBSHOP)
    assert parsed.repairs == {"missing-header": 1, "cut": 1}


def test_the_table_is_long_enough() -> None:
    """The promise of at least 60 cases holds."""
    assert len(SHOP_ROWS) + len(PHONE_ROWS) + len(ROOM_ROWS) + len(FAILURES) >= 60


def test_repairs_are_counted_each_time() -> None:
    """Two bullets and three blank lines count two and three."""
    parsed = parse_answer(
        "Encouraged:\n\n- click[buy now] -> 0.9\n\n\n- click[next >] -> 0.1", known=SHOP, grammar=WEBSHOP
    )
    assert parsed.repairs == {"blank-line": 3, "bullet": 2}


def test_candidates_keep_the_order_and_the_reasons() -> None:
    """All usable actions are listed as they came, with values and reasons; the evidence note is no reason."""
    parsed = parse_answer(
        "Encouraged:\nclick[next >] -> 0.1 (n=2) see more\nclick[buy now] -> 0.9 - it fits.",
        known=SHOP,
        grammar=WEBSHOP,
    )
    assert [(c.action, c.value, c.reason) for c in parsed.candidates] == [
        (NEXT, 0.1, "see more"),
        (BUY, 0.9, "it fits."),
    ]
    assert parsed.reason == "it fits."


def test_an_ambiguous_spelling_is_not_guessed() -> None:
    """Two available actions that differ in blanks alone: a third spelling of them is refused."""
    parsed = parse_answer("click[A  B] -> 1", known=["click[a b]", "click[ab]"], grammar=WEBSHOP)
    assert parsed.failure_kind == "unknown-action"


def test_known_may_be_a_test() -> None:
    """A callable decides on availability; the rest works as with a list."""
    parsed = parse_answer(
        "Encouraged:\nclick[x] -> 0.9\nClick[y] -> 0.5", known=lambda a: a == "click[y]", grammar=WEBSHOP
    )
    assert (parsed.action, parsed.repairs) == ("click[y]", {"case": 1, "unknown-candidate": 1})


@pytest.mark.parametrize("known", [None, []])
def test_without_knowledge_the_shape_decides(known: list[str] | None) -> None:
    """Where nothing is known of what is available, a well-formed action passes and a broken one is mended."""
    assert parse_answer("Click[anything -> 0.9", known=known, grammar=WEBSHOP).action == "click[anything]"
    assert parse_answer("search[<words>] -> 0.9", known=known, grammar=WEBSHOP).action is None
    assert parse_answer("dance a bit -> 0.9", known=known).action == "dance a bit"


@pytest.mark.parametrize(
    ("action", "actions", "available"),
    [
        ("search[red]", SHOP, True),
        ("search[]", SHOP, False),
        ("search[  ]", SHOP, False),
        ("search[<words>]", SHOP, False),
        ("INPUT(2, x)", PHONE, True),
        ("INPUT(3, x)", PHONE, False),
        ("INPUT(2, )", PHONE, False),
        ("CLICK(2)", PHONE, True),
        ("click[< prev]", SHOP, True),
        ("give lamp to Ann", ROOM, True),
        ("give to Ann", ROOM, False),
        ("anything", [], True),
    ],
)
def test_availability(action: str, actions: list[str], available: bool) -> None:
    """Listed actions and non-empty fillings of templates are available, a template itself is not."""
    assert is_available(action, actions) is available


HOSTILE = [
    "click[" * 17_000,
    "a" * 100_000,
    "-> " * 33_000,
    "click[x] -> 1, " * 6_700,
    "click[x -> 1\n" * 7_700,
    "x\n" * 50_000,
    "[([" * 33_000,
    "search[x] -> 1 " * 6_700,
    " " * 100_000 + "x",
    "go north -> 1, " * 6_700,
    "<think>" * 14_000,
    "</think>" * 12_000,
    "1. " * 33_000,
    "*" * 100_000,
    "`" * 100_000,
    "1" * 100_000,
    "click[x] -> " + "9" * 99_000,
    "Encouraged:" * 9_000,
    "Encouraged:\n" * 8_000,
    "click" + " " * 99_000 + "[x]",
]


@pytest.mark.parametrize("answer", HOSTILE, ids=lambda text: repr(text[:14]))
@pytest.mark.parametrize("grammar", [WEBSHOP, WIKIHOW, GENERIC], ids=lambda grammar: grammar.name)
def test_hundred_thousand_characters_take_no_time(answer: str, grammar: object) -> None:
    """An answer of 100 kB is read within two seconds of processor time, whatever it repeats."""
    known = SHOP + [f"INPUT({i}, <text>)" for i in range(60)] + ROOM
    start = time.process_time()
    parsed = parse_answer(answer, known=known, grammar=grammar)  # type: ignore[arg-type]
    assert time.process_time() - start < 2.0
    assert parsed.action is None or is_available(parsed.action, known)


def test_a_long_answer_ends_in_its_action() -> None:
    """100 kB of thinking aloud before the header does not hide the answer."""
    parsed = parse_answer(
        "I wonder.\n" * 10_000 + "Encouraged:\n" + BUY + " -> 0.9", known=SHOP, grammar=WEBSHOP
    )
    assert (parsed.action, parsed.repairs) == (BUY, {"prose": 10_000})


@pytest.mark.parametrize("grammar", [WEBSHOP, WIKIHOW, GENERIC], ids=lambda grammar: grammar.name)
def test_the_retry_message_names_the_error(grammar: object) -> None:
    """Asking again repeats what was wrong and the form that is wanted."""
    parsed = parse_answer("Encouraged:\nclick[zzz] -> 1", known=SHOP, grammar=WEBSHOP)
    message = retry_message(parsed, grammar=grammar)  # type: ignore[arg-type]
    assert "unknown-action: 'click[zzz]'" in message
    assert "Encouraged:" in message


def test_values_are_finite() -> None:
    """No candidate ever carries a value that cannot be compared."""
    parsed = parse_answer(
        "Encouraged:\nclick[buy now] -> nan\nclick[next >] -> -inf\nclick[< prev] -> 0.3",
        known=SHOP,
        grammar=WEBSHOP,
    )
    assert [c.value for c in parsed.candidates] == [None, None, 0.3]
    assert all(c.value is None or math.isfinite(c.value) for c in parsed.candidates)
