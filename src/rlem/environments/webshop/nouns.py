"""Nouns of a product name, by a rule instead of a language model.

The original tags names with a spaCy model. Here every word is a noun unless it is punctuation, number-like,
an address, shorter than two letters, or a closed-class word: NOUN_RULE_V1 of the recorded rewards. Words
are cut as spaCy's rules for English cut them, as far as product names need it.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterable
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
_PUNCTUATION = "…,:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪"
_CURRENCY = "$£€¥฿₽﷼₴₹₩₪₫₱₺₿"
_UNITS = (
    "km km² km³ m m² m³ dm dm² dm³ cm cm² cm³ mm mm² mm³ ha µm nm yd in ft kg g mg µg t lb oz m/s km/h "
    "kmh mph hPa Pa mbar mb MB kb KB gb GB tb TB T G M K %"
)
_UNIT = "|".join(sorted(_UNITS.split(), key=len, reverse=True))
_HYPHENS = "-|–|—|--|---|——|~"
# Scripts without capitals, and signs of East Asian text, count as small and as capital letters.
_UNCASED = (
    "\u0591-\u05f4\u0620-\u06ff\u0900-\u0cff\u0d80-\u0dff\u1100-\u137f\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff"
)
_CASED = [*map(chr, (*range(0x41, 0x7B), *range(0xC0, 0x250), *range(0x386, 0x460), *range(0x1E00, 0x1F00)))]
_SMALL = "".join(char for char in _CASED if char.islower()) + _UNCASED
_CAPITAL = "".join(char for char in _CASED if char.isupper()) + _UNCASED
_LETTER = _SMALL + _CAPITAL
_SYMBOL_BLOCKS = (range(0xA0, 0x100), range(0x2100, 0x2C00), range(0x3000, 0x3400), range(0x1F000, 0x1FB00))


def _ranges(chars: Iterable[str]) -> str:
    """A regex class of ascending characters, written as ranges, which compile faster."""
    groups: list[list[str]] = []
    for char in chars:
        if groups and ord(char) == ord(groups[-1][-1]) + 1:
            groups[-1].append(char)
        else:
            groups.append([char])
    return "".join(f"{group[0]}-{group[-1]}" for group in groups)


_ICONS = _ranges(
    char for block in _SYMBOL_BLOCKS for char in map(chr, block) if unicodedata.category(char) == "So"
)
_PREFIX = re.compile(
    rf"\+(?![0-9])|\.\.+|US\$|[CA]\$|"
    rf"[{re.escape('§%=—–' + _PUNCTUATION + _QUOTES + _CURRENCY)}{_ICONS}]"
)
_SUFFIX = re.compile(
    rf"(?:['’][sS]|\.\.+|[{re.escape('—–' + _PUNCTUATION + _QUOTES)}{_ICONS}]"
    rf"|(?<=[0-9])(?:\+|[{re.escape(_CURRENCY)}]|{_UNIT})"
    rf"|(?<=[0-9{_SMALL}%²+\-{re.escape(_PUNCTUATION + _QUOTES)}])\.|(?<=[{_CAPITAL}][{_CAPITAL}])\.)$"
)
_INFIX = re.compile(
    rf"\.\.+|…|[{_ICONS}]|(?<=[0-9])[+\-*^](?=[0-9-])"
    rf"|(?<=[{_SMALL}{re.escape(_QUOTES)}])\.(?=[{_CAPITAL}{re.escape(_QUOTES)}])"
    rf"|(?<=[{_LETTER}]),(?=[{_LETTER}])"
    rf"|(?<=[{_LETTER}0-9])(?:{_HYPHENS}|[:<>=/])(?=[{_LETTER}])"
)
_HOST_CHAR = "A-Za-z0-9\u00a1-\uffff"
_ADDRESS = re.compile(
    rf"(?:[\w+.\-]{{2,}}://)?(?:\S+@)?"
    rf"(?:(?:\d{{1,3}}\.){{3}}\d{{1,3}}"
    rf"|(?:[{_HOST_CHAR}](?:[{_HOST_CHAR}_\-]{{0,62}}[{_HOST_CHAR}])?\.)+[{_SMALL}]{{2,63}})"
    rf"(?::\d{{2,5}})?(?:[/?#]\S*)?"
)
_EMAIL = re.compile(r"[\w.+-]+@[A-Za-z0-9-]+\.[A-Za-z0-9.-]+", re.ASCII)

# Words that spaCy keeps whole though they end in a sign or hold one.
_WHOLE_LIST = (
    "C++ and/or w/o 'em 'nuff 'd 're 'Cause 'cause 'cos 'coz 'cuz 'bout ma'am Ma'am o'clock O'clock lovin' "
    "Lovin' havin' Havin' doin' Doin' goin' Goin' nothin' Nothin' nuthin' somethin' Somethin' ol' Ol' "
    "Mt. Ak. Ala. Apr. Ariz. Ark. Aug. Calif. Colo. Conn. Dec. Del. Feb. Fla. Ga. Ia. Id. Ill. Ind. Jan. "
    "Jul. Jun. Kan. Kans. Ky. La. Mar. Mass. Mich. Minn. Miss. N.C. N.D. N.H. N.J. N.M. N.Y. Neb. Nebr. Nev. "
    "Nov. Oct. Okla. Ore. Pa. S.C. Sep. Sept. Tenn. Va. Wash. Wis. a.m. Adm. Bros. co. Co. Corp. D.C. Dr. "
    "e.g. E.g. E.G. Gen. Gov. i.e. I.e. I.E. Inc. Jr. Ltd. Md. Messrs. Mo. Mont. Mr. Mrs. Ms. p.m. Ph.D. "
    "Prof. Rep. Rev. Sen. St. vs. v.s. ä. ö. ü. "
    "'' :) :-) :( :-( ;) ;-) :D :P :p :O :o :3 :1 :* :/ :| ): 8) <3 o.O"
)
# Words of fixed parts, without apostrophe: the endings come with and without one.
_ENDINGS = (
    ("i", "m ma"),
    ("i you he she it we they who what when where why how there that this these those", "ll llve d dve"),
    ("i you we they who what when where why how there these those", "ve"),
    ("you we they who what when where why how there these those", "re"),
    ("he she it who what when where why how there that this", "s"),
    ("ca could do does did had may might must need ought sha should wo would", "nt ntve"),
    ("could might must should would not", "ve"),
    ("ai are is was were have has dare", "nt"),
)
_SPLIT_ENDING = {"ma": ("m", "a"), "llve": ("ll", "ve"), "dve": ("d", "ve"), "ntve": ("nt", "ve")}
_FIXED_LIST = "can|not gon|na got|ta let|'s c'm|on y|all y'|all how|'d|'y"
_NOT_SPLIT = {"ill", "its", "hell", "shell", "shed", "were", "well"}


def _apostrophe(part: str) -> str:
    return "n't" if part == "nt" else part if part == "a" else f"'{part}"


def _fixed_words() -> dict[str, tuple[str, ...]]:
    """The parts of words that no rule cuts: whole ones, contractions, times of day."""
    found: dict[str, tuple[str, ...]] = {word: (word,) for word in _WHOLE_LIST.split()}
    found.update((f"{letter}.", (f"{letter}.",)) for letter in "abcdefghijklmnopqrstuvwxyz")
    found.update((f"°{unit}.", ("°", unit, ".")) for unit in "cfkCFK")
    found.update(
        (f"{hour}{half}", (str(hour), half)) for hour in range(1, 13) for half in ("am", "pm", "a.m.", "p.m.")
    )
    split: list[tuple[str, ...]] = [tuple(text.split("|")) for text in _FIXED_LIST.split()]
    for words, endings in _ENDINGS:
        for word, ending in itertools.product(words.split(), endings.split()):
            cut = _SPLIT_ENDING.get(ending, (ending,))
            split.append((word, *map(_apostrophe, cut)))
            if word + ending not in _NOT_SPLIT:
                split.append((word, *cut))
    for parts in split:
        found["".join(parts)] = parts
        if parts[0].strip("'") != "y":
            found["".join(parts).capitalize()] = (parts[0].capitalize(), *parts[1:])
    curly = {word.replace("'", "’"): tuple(part.replace("'", "’") for part in found[word]) for word in found}
    return curly | found


_FIXED = _fixed_words()


def tokens(name: str) -> list[str]:
    """Words and signs of a name.

    >>> tokens('Men\\'s T-Shirt, 16ft (Pack of 2)')
    ['Men', "'s", 'T', '-', 'Shirt', ',', '16', 'ft', '(', 'Pack', 'of', '2', ')']
    """
    found: list[str] = []
    for chunk in name.split():
        if chunk.isalpha():
            found += _FIXED.get(chunk, (chunk,))
        else:
            found += _join(_cut(chunk))
    return found


def _cut(chunk: str) -> list[str]:
    """One blank-free piece: signs off both ends at once, then cut at signs inside."""
    before: list[str] = []
    after: list[str] = []
    while chunk and chunk not in _FIXED:
        prefix = _PREFIX.match(chunk)
        start = prefix.end() if prefix else 0
        if start and chunk[start:] in _FIXED:
            before.append(chunk[:start])
            chunk = chunk[start:]
            break
        # No suffix but a run of dots is longer than eight characters: long pieces stay cheap.
        body = chunk[start:]
        suffix = _SUFFIX.search(body, max(min(len(body.rstrip(".")), len(body) - 8), 0))
        end = start + suffix.start() if suffix else len(chunk)
        if suffix and chunk[:end] in _FIXED:
            after.append(chunk[end:])
            chunk = chunk[:end]
            break
        if not start and not suffix:
            break
        before += [chunk[:start]] if start else []
        after += [chunk[end:]] if suffix else []
        chunk = chunk[start:end]
    return before + _cut_inside(chunk) + after[::-1]


def _join(parts: list[str]) -> list[str]:
    """Puts together neighbours that are one whole word, as "St" and "." of "Day/St."."""
    joined: list[str] = []
    for part in parts:
        if joined and len(_FIXED.get(joined[-1] + part, ())) == 1:
            joined[-1] += part
        else:
            joined.append(part)
    return joined


def _cut_inside(chunk: str) -> list[str]:
    if chunk in _FIXED:
        return list(_FIXED[chunk])
    if not chunk or _ADDRESS.fullmatch(chunk):
        return [chunk] if chunk else []
    parts: list[str] = []
    start = 0
    for match in _INFIX.finditer(chunk):
        if match.start() > 0:  # a piece never begins with a sign that stands inside
            parts += [chunk[start : match.start()], match.group()]
            start = match.end()
    return [part for part in (*parts, chunk[start:]) if part]


def is_noun(token: str) -> bool:
    """Whether a token counts as a noun by NOUN_RULE_V1."""
    if all(unicodedata.category(char)[0] == "P" for char in token):
        return False
    if _like_number(token) or _like_address(token):
        return False
    return sum(char.isalpha() for char in token) >= 2 and token.lower() not in CLOSED_WORDS


def _like_number(token: str) -> bool:
    bare = (token[1:] if token[0] in "+-±~" else token).replace(",", "").replace(".", "")
    if bare.isdigit() or bare.lower() in _NUMBER_WORDS:
        return True
    over, _, under = bare.partition("/")
    if over.isdigit() and under.isdigit():
        return True
    return bare[-2:].lower() in ("st", "nd", "rd", "th") and bare[:-2].isdigit()


def _like_address(token: str) -> bool:
    """Whether a token is a web or mail address to spaCy, for which "6.ounce" is one too."""
    if token.startswith(("http://", "https://")) or (token.startswith("www.") and len(token) >= 5):
        return True
    if "@" in token:
        return bool(_EMAIL.match(token))
    if token[0] == "." or "." not in token:
        return False
    return token.rpartition(".")[2].partition(":")[0].endswith("/") or bool(_ADDRESS.fullmatch(token))


@lru_cache(maxsize=1 << 16)
def rule_nouns(name: str) -> tuple[str, ...]:
    """Lower-case nouns of a product name in order, repeats kept.

    >>> rule_nouns("Pack of 2 Tables for Kids")
    ('pack', 'tables', 'kids')
    """
    return tuple(token.lower() for token in tokens(name) if is_noun(token))
