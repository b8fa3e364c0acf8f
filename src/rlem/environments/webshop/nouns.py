"""Nouns of a product name, by a rule instead of a language model.

The original tags names with a spaCy model. Here every word is a noun unless it is punctuation, number-like,
an address, shorter than two letters, or a closed-class word: NOUN_RULE_V1 of the recorded rewards. Words
are cut as spaCy's rules for English cut them, as far as product names need it.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_CLOSED_WORD_LIST = """
    a an the this that these those each every either neither some any no all both such i me my mine
    myself you your yours yourself he him his himself she her hers herself it its itself we us our ours
    ourselves they them their theirs themselves who whom whose which what about above across after against
    along among around as at before behind below beneath beside besides between beyond by despite during
    except for from in inside into like near of off on onto out outside over per since than through
    throughout till to toward towards under underneath until up upon via with within without and or but nor
    so yet if because although though while whereas unless am is are was were be been being do does did have
    has had having can could may might must shall should will would not too very also just only then there
    here when where why how more most less least much many few own same other another again further once now
    ever never always"""
CLOSED_WORDS = frozenset(_CLOSED_WORD_LIST.split())

_NUMBER_WORD_LIST = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million
    billion trillion quadrillion quintillion sextillion septillion octillion nonillion decillion gajillion
    bazillion first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth
    fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth thirtieth fortieth fiftieth
    sixtieth seventieth eightieth ninetieth hundredth thousandth millionth billionth trillionth quadrillionth
    quintillionth sextillionth septillionth octillionth nonillionth decillionth gajillionth
    bazillionth"""
_NUMBER_WORDS = frozenset(_NUMBER_WORD_LIST.split())

_QUOTES = "'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉〈〉⟦⟧"
_OPENING = "§%=—–([{<*#&$£€¥฿" + "!?,;:：" + "…。，、；！？·।،۔؛٪" + _QUOTES
_UNITS = (
    "km km² km³ m m² m³ dm dm² dm³ cm cm² cm³ mm mm² mm³ ha µm nm yd in ft kg g mg µg t lb oz m/s km/h mph "
    "hPa Pa mbar mb MB kb KB gb GB tb TB T G M K %"
)
_UNIT = "|".join(sorted(_UNITS.split(), key=len, reverse=True))
_HYPHENS = r"-|–|—|--|---|——|~"
_LETTER = r"[^\W\d_]"


def _is_icon(char: str) -> bool:
    """Symbols that are cut off on their own (emoji, stars, trademark signs)."""
    return unicodedata.category(char) == "So"


_PREFIX = re.compile(rf"\.\.+|…|''|\+(?![0-9])|[{re.escape(_OPENING)}\])}}>_]")
_SUFFIX = re.compile(
    rf"(?:\.\.+|…|''|[{re.escape(_QUOTES)}]|['’][sS]|[—–!?,;:：。，、；！？·()\[\]{{}}<>_#&*]"
    rf"|(?<=[0-9])\+|(?<=[0-9])[$£€¥฿]|(?<=[0-9])(?:{_UNIT})"
    rf"|(?<=[0-9a-zß-öø-ÿ%²\-+'\"”“`‘´’,])\.|(?<=[A-Z][A-Z])\.)$"
)
_INFIX = re.compile(
    r"\.\.+|…|[°©®™★☆✓✔●■◆▲♥♡]"
    r"|(?<=[0-9])[+\-*^](?=[0-9-])"
    r"|(?<=[a-zß-öø-ÿ'\"”“`‘´’,])\.(?=[A-ZÀ-ÖØ-Þ'\"”“`‘´’,])"
    rf"|(?<={_LETTER}),(?={_LETTER})"
    rf"|(?<=(?:{_LETTER}|[0-9]))(?:{_HYPHENS})(?={_LETTER})"
    rf"|(?<=(?:{_LETTER}|[0-9]))[:<>=/](?={_LETTER})"
)
_ADDRESS = re.compile(
    r"(?:https?://|www\.)\S+|\S+@\S+\.\S+|(?:[\w-]+\.)+(?:com|org|net|edu|gov|io|co)|(?:[a-z]{2,}\.)+[a-z]{2,}"
)
_CONTRACTION = re.compile(r"^(.+?)(n['’]t|['’](?:ll|re|ve|d|m))$", re.I)
_WHOLE_LIST = (
    "mr. mrs. ms. dr. st. vs. inc. co. ltd. jr. sr. a.m. p.m. u.s. u.k. i.e. e.g. c++ w/o o.o incl'd "
    ":) :( :d :p ;) <3 xd jan. feb. mar. apr. jun. jul. aug. sep. sept. oct. nov. dec."
)
_WHOLE = frozenset(_WHOLE_LIST.split())


def tokens(name: str) -> list[str]:
    """Words and signs of a name.

    >>> tokens('Men\\'s T-Shirt, 16ft (Pack of 2)')
    ['Men', "'s", 'T', '-', 'Shirt', ',', '16', 'ft', '(', 'Pack', 'of', '2', ')']
    """
    found: list[str] = []
    for chunk in name.split():
        found += _cut(chunk)
    return found


def _cut(chunk: str) -> list[str]:
    """One blank-free piece: signs off both ends, then cut at signs inside."""
    before: list[str] = []
    after: list[str] = []
    while chunk and chunk.lower() not in _WHOLE and not _ADDRESS.fullmatch(chunk):
        if (prefix := _PREFIX.match(chunk)) or _is_icon(chunk[0]):
            size = prefix.end() if prefix else 1
            before.append(chunk[:size])
            chunk = chunk[size:]
        elif (suffix := _SUFFIX.search(chunk)) or _is_icon(chunk[-1]):
            size = len(suffix.group()) if suffix else 1
            after.append(chunk[-size:])
            chunk = chunk[:-size]
        else:
            break
    return before + _cut_inside(chunk) + after[::-1]


def _cut_inside(chunk: str) -> list[str]:
    if not chunk:
        return []
    if chunk.lower() in _WHOLE or _ADDRESS.fullmatch(chunk):
        return [chunk]
    if contraction := _CONTRACTION.match(chunk):
        return list(contraction.groups())
    parts: list[str] = []
    start = 0
    for match in _INFIX.finditer(chunk):
        parts += [chunk[start : match.start()], match.group()]
        start = match.end()
    return [part for part in (*parts, chunk[start:]) if part]


def is_noun(token: str) -> bool:
    """Whether a token counts as a noun by NOUN_RULE_V1."""
    if all(unicodedata.category(char)[0] == "P" for char in token):
        return False
    if _like_number(token) or _ADDRESS.fullmatch(token):
        return False
    return sum(char.isalpha() for char in token) >= 2 and token.lower() not in CLOSED_WORDS


def _like_number(token: str) -> bool:
    bare = token.lstrip("+-±~").replace(",", "").replace(".", "")
    if bare.isdigit() or token.lower() in _NUMBER_WORDS:
        return True
    over, slash, under = bare.partition("/")
    if slash and over.isdigit() and under.isdigit():
        return True
    return bool(re.fullmatch(r"\d+(?:st|nd|rd|th)", token.lower()))


@lru_cache(maxsize=1 << 16)
def rule_nouns(name: str) -> tuple[str, ...]:
    """Lower-case nouns of a product name in order, repeats kept.

    >>> rule_nouns("Pack of 2 Tables for Kids")
    ('pack', 'tables', 'kids')
    """
    return tuple(token.lower() for token in tokens(name) if is_noun(token))
