"""Attribute matching, PS3.4 §C.2.2.2: one condition on one attribute. Pure."""

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from fileroom.dicom.header_attributes import ATTRIBUTES, REQUEST_ATTRIBUTES

Kind: TypeAlias = Literal["single", "wildcard", "range", "uid_list", "universal", "fuzzy", "empty"]

# Normalizing costs the square of a run of combining marks, and no name is as long as this.
FOLDED_CHARACTERS_MAX: Final = 1024
FUZZY_WORDS_MAX: Final = 16  # each is compared with each word of a name
_RANGED: Final = frozenset({"DA", "TM", "DT"})
# PS3.4 §C.2.2.2.4: no wildcards in dates, numbers and UIDs.
_NO_WILDCARD: Final = _RANGED | {"AS", "AT", "DS", "FD", "FL", "IS", "SL", "SS", "UI", "UL", "US"}
_NUMERIC: Final = frozenset({"DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"})
_COMPUTED: Final = {
    "InstanceAvailability": "CS",
    "ModalitiesInStudy": "CS",
    "NumberOfPatientRelatedInstances": "IS",
    "NumberOfPatientRelatedSeries": "IS",
    "NumberOfPatientRelatedStudies": "IS",
    "NumberOfSeriesRelatedInstances": "IS",
    "NumberOfStudyRelatedInstances": "IS",
    "NumberOfStudyRelatedSeries": "IS",
    "SOPClassesInStudy": "UI",
    "ContentDate": "DA",
    "ContentTime": "TM",
    "AcquisitionTime": "TM",
    "AcquisitionDateTime": "DT",
}
_VRS: Final = {
    **{attribute.keyword: attribute.vr for attribute in ATTRIBUTES.values()},
    **{attribute.keyword: attribute.vr for attribute in REQUEST_ATTRIBUTES.values()},
    **_COMPUTED,
}
_WORD: Final = re.compile(r"[^\s^.,'’\-]+")
_UMLAUT_WRITTEN_OUT: Final = re.compile(r"([aou])e")
# Letters that are not a base letter with a mark, and how names with them are searched for.
_LETTERS: Final = str.maketrans(
    {"ł": "l", "đ": "d", "ø": "o", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d", "ı": "i", "ħ": "h"}
)
# Combining marks that searches leave out; those of Indic scripts and kana are letters' parts.
_MARKS: Final = (
    (0x0300, 0x036F),  # Latin, Greek, Cyrillic
    (0x0591, 0x05C7),  # Hebrew points
    (0x0610, 0x061A),  # Arabic marks
    (0x064B, 0x065F),
    (0x0670, 0x0670),
    (0x1AB0, 0x1AFF),
    (0x1DC0, 0x1DFF),
    (0x20D0, 0x20FF),
    (0xFE20, 0xFE2F),
)


def vr_of(keyword: str) -> str:
    """The VR that decides how an attribute is matched; LO for attributes we do not keep."""
    return "UI" if keyword.endswith("UID") else _VRS.get(keyword, "LO")


def fold(text: str) -> str:
    """`text` without case, accents and width: "Müller" and "MULLER" are one.

    Folding twice changes nothing. Umlauts become their base letter, not two letters. Of a text
    over `FOLDED_CHARACTERS_MAX` the beginning is folded.
    """
    text = text[:FOLDED_CHARACTERS_MAX]
    if text.isascii():
        return text.lower()
    # Composed forms of other scripts come back in the end: a Hangul syllable stays one.
    folded = unicodedata.normalize("NFKD", text).casefold()
    folded = "".join(each for each in unicodedata.normalize("NFKD", folded) if not _is_mark(each))
    return unicodedata.normalize("NFC", folded.translate(_LETTERS))


def _is_mark(character: str) -> bool:
    code = ord(character)
    return code >= 0x0300 and any(low <= code <= high for low, high in _MARKS)


class Condition(Struct, frozen=True):
    """One key of a query.

    Attributes:
        values: for "single", "wildcard" and "fuzzy" one text, for "uid_list" the UIDs, for
            "range" the two ends, an open one empty, for "universal" and "empty" none. Dates are
            YYYYMMDD and times without colons, at most as precise as they were given.
        vr: what decides how it is matched; empty: `vr_of(keyword)`.
    """

    keyword: str
    kind: Kind
    values: tuple[str, ...]
    vr: str = ""

    def matches(self, value: str | None) -> bool:
        """Whether an attribute with this text matches; None or empty: it is absent or empty.

        Of several values, joined by backslash, one must match.
        """
        if self.kind == "universal":
            return True
        if self.kind == "empty":
            return not (value or "").strip("\\ \0")
        if not value:
            # A pattern of asterisks alone is universal matching (PS3.4 §C.2.2.2.4).
            return self.kind == "wildcard" and not self.values[0].strip("*")
        return any(self._matches_one(each.strip(" \0")) for each in value.split("\\"))

    def _matches_one(self, value: str) -> bool:
        vr = self.vr or vr_of(self.keyword)
        if self.kind == "uid_list":
            return value in self.values
        if self.kind == "range":
            return _in_range(vr, value, *self.values)
        key = self.values[0]
        if vr == "PN":
            return _name_matches(key, value, _COMPARISONS[self.kind])
        if self.kind == "wildcard":
            return wildcard_matches(key, value)
        if vr in _RANGED:
            return _normal(vr, value) == key
        if vr in _NUMERIC:
            return _same_number(key, value)
        return key == value


def parse(keyword: str, text: str, *, vr: str = "") -> Condition:
    """The condition that a query's text for an attribute is. Every text is one.

    Args:
        text: as in a C-FIND identifier: UIDs separated by backslashes, a range by a hyphen.
        vr: of an attribute that headers do not keep.
    """
    stated, vr = vr, vr or vr_of(keyword)
    text = text.strip(" \0")
    if not text:
        return Condition(keyword, "universal", (), stated)
    if vr == "UI":
        uids = tuple(dict.fromkeys(uid.strip(" \0") for uid in text.split("\\")))
        return Condition(keyword, "uid_list", tuple(uid for uid in uids if uid), stated)
    if vr in _RANGED:
        start, hyphen, end = _split_range(vr, text)
        if hyphen:
            if not start and not end:
                return Condition(keyword, "universal", (), stated)
            return Condition(keyword, "range", (_normal(vr, start), _normal(vr, end)), stated)
        return Condition(keyword, "single", (_normal(vr, text),), stated)
    if vr not in _NO_WILDCARD and ("*" in text or "?" in text):
        return Condition(keyword, "wildcard", (text,), stated)
    return Condition(keyword, "single", (text,), stated)


def fuzzy(keyword: str, text: str) -> Condition:
    """The condition that a person's name is under fuzzy semantic matching (PS3.4 §C.2.2.2.1.1).

    Each word of `text` is to be the beginning of a word of the name, in any order, or all of
    them together the beginning of all of its words together; "ae", "oe" and "ue" are the umlauts
    that they stand for. A text with wildcards or over 16 words is matched as ever.
    """
    words = len(_WORD.findall(text))
    if "*" in text or "?" in text or not 0 < words <= FUZZY_WORDS_MAX:
        return parse(keyword, text, vr="PN")
    return Condition(keyword, "fuzzy", (text.strip(" \0"),), "PN")


def empty(keyword: str) -> Condition:
    """The condition that an attribute is absent or has no value (PS3.4 §C.2.2.2.7)."""
    return Condition(keyword, "empty", ())


@lru_cache(maxsize=1024)
def fuzzy_words(folded: str) -> tuple[str, ...]:
    """The words of a folded component group as they are compared under fuzzy matching."""
    return tuple(_UMLAUT_WRITTEN_OUT.sub(r"\1", word) for word in _WORD.findall(folded))


def wildcard_matches(pattern: str, text: str) -> bool:
    """Whether `text` is `pattern`, where * stands for any characters and ? for one.

    Each piece between asterisks is looked for once, from left to right, so that the time is in
    proportion to the length of `text`, whatever the pattern.
    """
    first, *pieces = pattern.split("*")
    if not pieces:
        return len(first) == len(text) and _piece_at(first, text, 0)
    *middle, last = pieces
    end = len(text) - len(last)
    position = len(first)
    if position > end or not _piece_at(first, text, 0) or not _piece_at(last, text, end):
        return False
    for piece in middle:
        position = _find(piece, text, position, end)
        if position < 0:
            return False
        position += len(piece)
    return True


def _find(piece: str, text: str, start: int, end: int) -> int:
    """Where `piece` begins first in text[start:end]; -1 if nowhere."""
    if "?" not in piece:
        return text.find(piece, start, end)
    # Shift-And: bit i of `matched` says that the i + 1 characters up to here are the piece's
    # first ones.
    places, anywhere, whole = _places(piece)
    matched = 0
    for at in range(start, end):
        matched = (matched << 1 | 1) & (places.get(text[at], 0) | anywhere)
        if matched & whole:
            return at - len(piece) + 1
    return -1


@lru_cache(maxsize=64)
def _places(piece: str) -> tuple[dict[str, int], int, int]:
    """For each character the set of its places in `piece`, that of question marks, and the last
    place."""
    places: dict[str, int] = {}
    for at, character in enumerate(piece):
        places[character] = places.get(character, 0) | 1 << at
    return places, places.pop("?", 0), 1 << len(piece) - 1


def _piece_at(piece: str, text: str, at: int) -> bool:
    if "?" not in piece:
        return text.startswith(piece, at)
    there = text[at : at + len(piece)]
    return len(there) == len(piece) and all(map(_same_or_any, piece, there))


def _same_or_any(wanted: str, there: str) -> bool:
    return wanted in ("?", there)


def _fuzzily_matches(key: str, group: str) -> bool:
    wanted, words = fuzzy_words(key), fuzzy_words(group)
    if all(any(word.startswith(each) for word in words) for each in wanted):
        return True
    return "".join(words).startswith("".join(wanted))


_COMPARISONS: Final[dict[str, Callable[[str, str], bool]]] = {
    "single": str.__eq__,
    "wildcard": wildcard_matches,
    "fuzzy": _fuzzily_matches,
}


def _name_matches(key: str, value: str, compare: Callable[[str, str], bool]) -> bool:
    """Person names match without case and accents, in any component group unless the key has
    several (PS3.4 §C.2.2.2.1.1)."""
    if len(key) > FOLDED_CHARACTERS_MAX:
        return False  # cut short it would match more than was asked for
    keys = _folded_groups(key)
    groups = _folded_groups(value[: 3 * FOLDED_CHARACTERS_MAX])
    if len(keys) == 1:
        return any(compare(keys[0], group) for group in groups)
    pairs: Iterator[tuple[str, str]] = zip(
        keys, (*groups, *[""] * max(0, len(keys) - len(groups))), strict=False
    )
    return all(not wanted or compare(wanted, group) for wanted, group in pairs)


@lru_cache(maxsize=256)
def _folded_groups(name: str) -> tuple[str, ...]:
    """The component groups of a name, folded, without empty components at the end."""
    return tuple(fold(group).rstrip("^ ") for group in name.split("="))


def _split_range(vr: str, text: str) -> tuple[str, str, str]:
    """A range's two ends. A hyphen can also begin the offset from UTC of a DT."""
    if vr != "DT":
        return text.partition("-")
    for at, character in enumerate(text):
        if character == "-":
            follows = text[at + 1 : at + 5]
            is_offset = len(follows) == 4 and follows.isdigit() and follows <= "1400"
            ends = text[at + 5 : at + 6] in ("", "-")
            if not (is_offset and ends and at >= 4) or at == 0:
                return text[:at], "-", text[at + 1 :]
    return text, "", ""


def _normal(vr: str, text: str) -> str:
    """A date without dots, a time without colons (the forms before 1993, PS3.5 §6.2)."""
    text = text.strip(" \0")
    if vr == "DA":
        return text.replace(".", "") if len(text) == 10 else text
    if vr == "TM":
        return text.replace(":", "")
    return text


def _in_range(vr: str, value: str, start: str, end: str) -> bool:
    """Whether the value lies between both ends, which count as in. An end that is not precise
    covers all it may mean: 1015 as the later end is 10:15:59.999999."""
    value = _normal(vr, value)
    if not value[:1].isdigit():
        return False
    digits = {"DA": 8, "TM": 12, "DT": 20}[vr]
    earliest, latest = _padded(value, digits, "0"), _padded(value, digits, "9")
    if start and latest < _padded(start, digits, "0"):
        return False
    return not end or earliest <= _padded(end, digits, "9")


def _padded(text: str, digits: int, digit: str) -> str:
    """Digits only, without an offset from UTC, filled up to the full precision."""
    for sign in "+-":
        text = text.partition(sign)[0]
    return text.replace(".", "").ljust(digits, digit)[:digits]


def _same_number(key: str, value: str) -> bool:
    try:
        return float(key) == float(value)
    except ValueError:
        return key == value
