"""Values of the DICOM JSON Model as the bytes of an element, PS3.5 §6.2 and §7.1. Pure.

The counterpart of json_value.py. What cannot be written so that it reads as it was said, such as
a backslash inside one of several values (PS3.18 §F.2.4), is refused and never mended.
"""

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Sequence
from math import isfinite
from struct import Struct
from struct import error as StructError
from typing import Any, Final

from fileroom.dicom import charset
from fileroom.dicom.instance_error import InstanceError
from fileroom.dicom.json_value import BINARY_VRS, NAME_GROUPS

DECIMAL_CHARACTERS_MAX: Final = 16  # DS, PS3.5 §6.2
_INTEGERS: Final = {
    "IS": None,
    "SL": Struct("<i"),
    "SS": Struct("<h"),
    "SV": Struct("<q"),
    "UL": Struct("<I"),
    "US": Struct("<H"),
    "UV": Struct("<Q"),
}
_FLOATS: Final = {"FD": Struct("<d"), "FL": Struct("<f")}
_TAG: Final = Struct("<HH")
_INTEGER_TEXT: Final = re.compile(r"[ \t\r\n]*[+-]?[0-9]{1,40}[ \t\r\n]*")
_TAG_TEXT: Final = re.compile("[0-9A-Fa-f]{8}")
_IS_MIN, _IS_MAX = -(1 << 31), (1 << 31) - 1
_DS_INTEGERS_END: Final = 10**DECIMAL_CHARACTERS_MAX

_OF_CHARACTER_SET: Final = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_LONG_TEXTS: Final = frozenset({"LT", "ST", "UR", "UT"})  # one value; backslashes are text
_CODES: Final = frozenset({"AE", "AS", "CS", "DA", "DT", "TM", "UI"})
WRITTEN_VRS: Final = (
    _OF_CHARACTER_SET | _LONG_TEXTS | _CODES | BINARY_VRS | {"AT", "DS", "SQ"}
) | {*_INTEGERS, *_FLOATS}


class UnwritableError(InstanceError):
    """A value is not one of its VR, or its character set does not have it."""


class Numeral(str):
    """The text of a number that is no integer, as it stood in JSON."""

    __slots__ = ()


class NotInCharacterSetError(UnwritableError):
    """Text has a character that its character set lacks."""


def padded(value: bytes, vr: str) -> bytes:
    """`value` at an even length, PS3.5 §6.2."""
    return value + padding(len(value), vr)


def padding(size_bytes: int, vr: str) -> bytes:
    """What is to follow a value of that size."""
    if size_bytes % 2 == 0:
        return b""
    return b"\0" if vr == "UI" or vr in BINARY_VRS else b" "


def written_binary(text: object) -> bytes:
    """The bytes of an InlineBinary. Raises UnwritableError where it is not base64."""
    if not isinstance(text, str):
        raise UnwritableError("an InlineBinary that is no text")
    try:
        # RFC 2045 lets encoders break lines, and DCMTK does.
        return b64decode("".join(text.split()), validate=True)
    except (Base64Error, ValueError) as error:
        raise UnwritableError("an InlineBinary that is not base64") from error


def written(vr: str, values: Sequence[Any], character_set: str) -> bytes:
    """The value field of an element, little endian, not padded.

    Args:
        vr: one of WRITTEN_VRS that is neither SQ nor binary.
        values: text, numbers, names by group, or None for one that is empty.
        character_set: value of Specific Character Set that holds here.

    Raises:
        UnwritableError: a value is none of this VR.
        NotInCharacterSetError: nor can that character set hold it.
    """
    if not values or values == [None]:
        return b""
    if vr in _LONG_TEXTS and len(values) > 1:
        raise UnwritableError(f"{len(values)} values where {vr} has one")
    structure = _INTEGERS.get(vr) or _FLOATS.get(vr)
    if structure is not None:
        of_value: Callable[[Any], Any] = _float if vr in _FLOATS else _integer
        return b"".join([_packed(structure, of_value(each), vr) for each in values])
    if vr == "AT":
        return b"".join([_tag(each) for each in values])
    text = "\\".join([_text(vr, each) for each in values])
    if vr in _OF_CHARACTER_SET:
        encoded = charset.encode(text, character_set)
        if encoded is None:
            raise NotInCharacterSetError("text that Specific Character Set cannot hold")
        return encoded
    try:
        return text.encode("latin-1")  # beyond ASCII these VRs have nothing; senders do
    except UnicodeError as error:
        raise UnwritableError(f"a {vr} that is not ASCII") from error


def _text(vr: str, value: Any) -> str:
    """One value as it stands between backslashes."""
    if value is None:
        return ""
    if vr == "PN":
        text = _name(value)
    elif vr == "DS":
        text = _decimal(value)
    elif vr == "IS":
        text = _integer_string(value)
    elif isinstance(value, str):
        text = value
    else:
        raise UnwritableError(f"a {vr} that is no text")
    if "\\" in text and vr not in _LONG_TEXTS:
        raise UnwritableError(f"a backslash inside one value of a {vr}")
    return text


def _name(value: Any) -> str:
    """PS3.18 §F.2.2: the component groups by name. Some senders give the whole as one text."""
    if isinstance(value, str):
        return value
    if not isinstance(value, dict):
        raise UnwritableError("a PN that is no object")
    groups = [value.get(name) or "" for name in NAME_GROUPS]
    if not all(isinstance(group, str) and "=" not in group for group in groups):
        raise UnwritableError("a component group of a PN that is none")
    return "=".join(groups).rstrip("=")


def _decimal(value: Any) -> str:
    """A decimal string. Text stays as it is; a number with too many digits is rounded to those
    that fit, as whoever writes a number into a DS must."""
    if isinstance(value, str) and not isinstance(value, Numeral):
        return value
    number = _float(value)
    if isinstance(value, Numeral) or -_DS_INTEGERS_END < value < _DS_INTEGERS_END:
        text = str(value)
        if len(text) <= DECIMAL_CHARACTERS_MAX:
            return text
    if isfinite(number):
        for digits in range(DECIMAL_CHARACTERS_MAX, 0, -1):
            text = f"{number:.{digits}g}"
            if len(text) <= DECIMAL_CHARACTERS_MAX:
                return text
    raise UnwritableError("a DS that is no decimal number")


def _integer_string(value: Any) -> str:
    if isinstance(value, str) and not isinstance(value, Numeral):
        return value
    number = _integer(value)
    if not _IS_MIN <= number <= _IS_MAX:
        raise UnwritableError("an IS beyond 32 bits")
    return str(number)


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise UnwritableError("a number that is no integer")
    if isinstance(value, Numeral):  # some write 2.0 for 2
        number = _float(value)
        if number.is_integer():
            return int(number)
    if isinstance(value, str) and not _INTEGER_TEXT.fullmatch(value):
        raise UnwritableError("a number that is no integer")
    return int(value)


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise UnwritableError("a number that is none")
    if isinstance(value, str) and (not value.isascii() or "_" in value):
        raise UnwritableError("a number that is none")  # Python reads more than others do
    try:
        return float(value)
    except (ValueError, OverflowError) as error:
        raise UnwritableError("a number that is none") from error


def _packed(structure: Struct, number: float, vr: str) -> bytes:
    try:
        return structure.pack(number)
    except (StructError, OverflowError) as error:
        raise UnwritableError(f"a number that {vr} cannot hold") from error


def _tag(value: Any) -> bytes:
    if not isinstance(value, str) or not _TAG_TEXT.fullmatch(value):
        raise UnwritableError("an AT that is not eight hexadecimal digits")
    return _TAG.pack(int(value[:4], 16), int(value[4:], 16))
