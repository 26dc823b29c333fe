"""Values of elements in the DICOM JSON Model, PS3.18 §F.2. Pure.

The values are those of pydicom's `to_json_dict`, with these differences, each of which the
standard or JSON asks for: an empty value among several is null and an empty component group is
left out (§F.2.5, §F.2.2), numbers that JSON cannot hold and decimal or integer strings that are
no numbers keep their text (§F.2.3), the number of entries of a palette is never negative
(PS3.3 §C.7.6.3.1.5), and what cannot be read by its VR is UN with its bytes.
"""

from base64 import b64encode
from collections.abc import Callable
from math import isfinite
from struct import Struct
from typing import Any, Final

from fileroom.dicom.charset import CharacterSet
from fileroom.dicom.dictionary import PALETTE_DESCRIPTORS
from fileroom.dicom.encoding import ByteOrder

BINARY_VRS: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
NAME_GROUPS: Final = ("Alphabetic", "Ideographic", "Phonetic")
_NUMBERS: Final = {
    "FD": ("d", 8),
    "FL": ("f", 4),
    "SL": ("i", 4),
    "SS": ("h", 2),
    "SV": ("q", 8),
    "UL": ("I", 4),
    "US": ("H", 2),
    "UV": ("Q", 8),
}

Element = dict[str, Any]
Values = list[Any]


def empty(vr: str) -> Element:
    """An element without a value, PS3.18 §F.2.5."""
    return {"vr": vr}


def binary(vr: str, value: bytes) -> Element:
    """An element with its bytes in it."""
    return {"vr": vr, "InlineBinary": b64encode(value).decode("ascii")} if value else {"vr": vr}


def bulk(vr: str, path: str) -> Element:
    """An element whose bytes are fetched apart."""
    return {"vr": vr, "BulkDataURI": "bulkdata/" + path}


def element_of(
    tag: int, vr: str, value: bytes, *, charset: CharacterSet, order: ByteOrder, path: str
) -> Element:
    """One element, not a sequence, of settled VR.

    Args:
        path: of the element, for a placeholder where JSON cannot hold its value.
    """
    if vr in BINARY_VRS:
        return binary(vr, value)
    if not value:
        return empty(vr)
    if vr in _NUMBERS:
        return _numbers(tag, vr, value, order, path)
    if vr == "AT":
        if len(value) % 4:
            return binary("UN", value)
        half = order.u16
        return _valued(
            vr,
            [
                f"{half(value, at)[0]:04X}{half(value, at + 2)[0]:04X}"
                for at in range(0, len(value), 4)
            ],
        )
    reader = _TEXTS.get(vr)
    if reader is None:
        return binary("UN", value)
    return _valued(vr, reader(value, charset))


def element_of_text(vr: str, text: str) -> Element:
    """One element from the text of its value or values, joined by backslash where the VR has
    several."""
    if not text:
        return empty(vr)
    if vr in ("LT", "ST", "UT", "UR"):
        return _valued(vr, [text])
    values = text.split("\\")
    if vr == "PN":
        return _valued(vr, [_name(value) for value in values])
    if vr in ("DS", "FD", "FL"):
        return _valued(vr, _decimals(values))
    if vr == "IS" or vr in _NUMBERS:
        return _valued(vr, _integers(values))
    return _valued(vr, [value or None for value in values])


def _valued(vr: str, values: Values) -> Element:
    return {"vr": vr} if values == [None] else {"vr": vr, "Value": values}


def _numbers(tag: int, vr: str, value: bytes, order: ByteOrder, path: str) -> Element:
    code, width = _NUMBERS[vr]
    if len(value) % width:
        return binary("UN", value)
    values = list(Struct(f"{order.mark}{len(value) // width}{code}").unpack(value))
    if vr in ("FD", "FL") and not all(map(isfinite, values)):
        return bulk(vr, path)
    if tag in PALETTE_DESCRIPTORS and values[0] < 0 and len(values) > 1:
        values[0] += 65536  # a count, never negative (PS3.3 §C.7.6.3.1.5)
    return {"vr": vr, "Value": values}


def _ascii_values(value: bytes, _: CharacterSet) -> Values:
    """AS, CS, DA, DT, TM: padding is stripped at the end of the whole only."""
    text = value.decode("latin-1").rstrip(" \0")
    return [each or None for each in text.split("\\")]


def _uids(value: bytes, _: CharacterSet) -> Values:
    text = value.decode("latin-1").rstrip(" \0")
    return [each.strip() or None for each in text.split("\\")]


def _titles(value: bytes, _: CharacterSet) -> Values:
    return [each.strip(" \0") or None for each in value.decode("latin-1").split("\\")]


def _texts(value: bytes, charset: CharacterSet) -> Values:
    """LO, SH, UC."""
    return [each.rstrip(" \0") or None for each in charset.text(value).split("\\")]


def _long_text(value: bytes, charset: CharacterSet) -> Values:
    """LT, ST, UT: one value, backslashes are text."""
    return [charset.text(value).rstrip(" \0") or None]


def _uri(value: bytes, _: CharacterSet) -> Values:
    return [value.decode("latin-1").rstrip(" \0") or None]


def _names(value: bytes, charset: CharacterSet) -> Values:
    return [_name(each) for each in charset.text(value.rstrip(b" \0")).split("\\")]


def _name(text: str) -> dict[str, str] | None:
    """The component groups of one person name; None if all are empty."""
    groups = zip(NAME_GROUPS, text.split("="), strict=False)
    return {name: group for name, group in groups if group} or None


def _decimal_strings(value: bytes, _: CharacterSet) -> Values:
    return _decimals(value.decode("latin-1").strip().rstrip(" \0").split("\\"))


def _integer_strings(value: bytes, _: CharacterSet) -> Values:
    return _integers(value.decode("latin-1").rstrip(" \0").split("\\"))


def _decimals(texts: list[str]) -> Values:
    """Numbers; null for empty ones. If one is none, all of them stay text."""
    try:
        values = [float(text) if text and not text.isspace() else None for text in texts]
    except ValueError:
        return _as_text(texts)
    if not all(value is None or isfinite(value) for value in values):
        return _as_text(texts)
    return list(values)


def _integers(texts: list[str]) -> Values:
    try:
        return [_integer(text) if text and not text.isspace() else None for text in texts]
    except ValueError:
        return _as_text(texts)


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        number = float(text)  # "1.0" is seen in the wild
        if not number.is_integer():
            raise
        return int(number)


def _as_text(texts: list[str]) -> Values:
    return [text.strip(" \0") or None for text in texts]


_TEXTS: Final[dict[str, Callable[[bytes, CharacterSet], Values]]] = {
    "AE": _titles,
    "AS": _ascii_values,
    "CS": _ascii_values,
    "DA": _ascii_values,
    "DS": _decimal_strings,
    "DT": _ascii_values,
    "IS": _integer_strings,
    "LO": _texts,
    "LT": _long_text,
    "PN": _names,
    "SH": _texts,
    "ST": _long_text,
    "TM": _ascii_values,
    "UC": _texts,
    "UI": _uids,
    "UR": _uri,
    "UT": _long_text,
}
