"""A data set in Explicit VR Little Endian, written from its DICOM JSON Model (PS3.18 §F.2). Pure.

Values that come apart (BulkDataURI) are left out, and their places noted: a sequence and its items
have undefined length, so that a value can be put in later without anything being measured again.
"""

import re
from collections.abc import Iterator, Mapping
from struct import Struct
from typing import Any, Final, NamedTuple

import msgspec

from fileroom.dicom.encoding import (
    ITEM,
    ITEM_DELIMITATION,
    LONG_VRS,
    SEQUENCE_DELIMITATION,
    UNDEFINED,
)
from fileroom.dicom.frames import PIXELS
from fileroom.dicom.header_attributes import SPECIFIC_CHARACTER_SET
from fileroom.dicom.instance_error import InstanceError
from fileroom.dicom.json_value import BINARY_VRS
from fileroom.dicom.undefined_length import DEPTH_MAX
from fileroom.dicom.value_writing import (
    WRITTEN_VRS,
    NotInCharacterSetError,
    Numeral,
    UnwritableError,
    padded,
    written,
    written_binary,
)

# Each sequence is an element, its object, its array of values, and an item.
JSON_DEPTH_MAX: Final = 3 * DEPTH_MAX + 4
PIECES_MAX: Final = 200_000  # elements and items of one instance
UNICODE: Final = "ISO_IR 192"
_SHORT_LENGTH_MAX: Final = 0xFFFF
_KEY: Final = re.compile("[0-9A-Fa-f]{8}")
_CONTENTS: Final = ("Value", "InlineBinary", "BulkDataURI")
_NO_DATA_SET: Final = frozenset({0x0000, 0x0002})  # groups of commands and of file meta information
_DELIMITERS: Final = 0xFFFE

_SHORT: Final = Struct("<HH2sH")
_LONG: Final = Struct("<HH2sxxI")
_MARK: Final = Struct("<HHI")

Elements = Mapping[str, Mapping[str, Any]]
_decode: Final = msgspec.json.Decoder(dict[str, dict[str, Any]], float_hook=Numeral).decode


class JsonError(InstanceError):
    """The text is no DICOM JSON object."""


class Reference(NamedTuple):
    """A value that comes apart.

    Attributes:
        offset: where its element belongs: before that byte of what is written.
        outermost: whether it is an element of the instance itself, and not of an item.
    """

    offset: int
    tag: int
    vr: str
    uri: str
    outermost: bool


class WrittenDataSet(NamedTuple):
    """A data set but for what comes apart.

    Attributes:
        references: in order of their offsets.
        discarded: how many elements were left out, since no data set has them: file meta
            information, commands and group lengths.
    """

    data: bytes
    references: tuple[Reference, ...]
    discarded: int


def elements_of(text: bytes) -> Elements:
    """The elements of one DICOM JSON object. Raises JsonError where the text is none."""
    try:
        return _decode(text)
    except (ValueError, RecursionError) as error:  # whose texts may repeat a value
        raise JsonError(f"metadata of {len(text)} B is not a DICOM JSON object") from error


def write_data_set(elements: Elements) -> WrittenDataSet:
    """Write a data set.

    Text is encoded in the Specific Character Set that the metadata names. Metadata that names
    none and has more than ASCII becomes ISO_IR 192, and the data set says so.

    Raises:
        InstanceError: an element is none, or its value is not one of its VR.
    """
    try:
        return _Writer().write(elements)
    except NotInCharacterSetError:
        if text_of(elements, SPECIFIC_CHARACTER_SET):
            raise
    named = {"vr": "CS", "Value": [UNICODE]}
    return _Writer().write({**elements, f"{SPECIFIC_CHARACTER_SET:08X}": named})


def element_head(tag: int, vr: str, length: int) -> bytes:
    """What stands before a value of `length` bytes, or of UNDEFINED length (PS3.5 §7.1.2). What is
    too long for the length field of its VR is UN (PS3.5 §6.2.2)."""
    code = vr.encode("ascii")
    if code in LONG_VRS:
        return _LONG.pack(tag >> 16, tag & 0xFFFF, code, length)
    if length > _SHORT_LENGTH_MAX:
        return _LONG.pack(tag >> 16, tag & 0xFFFF, b"UN", length)
    return _SHORT.pack(tag >> 16, tag & 0xFFFF, code, length)


def mark(tag: int, length: int = 0) -> bytes:
    """The header of an item, or a delimitation item (PS3.5 §7.5)."""
    return _MARK.pack(tag >> 16, tag & 0xFFFF, length)


def text_of(elements: Elements, tag: int) -> str:
    """The text of an element, several values joined by backslash; empty where there is none."""
    key = _key_of(elements, tag)
    element = elements[key] if key is not None else None
    values = element.get("Value") if isinstance(element, dict) else None
    if not isinstance(values, list):
        return ""  # whatever else stands there is refused as what is no element
    return "\\".join(each for each in values if isinstance(each, str))


def _key_of(elements: Elements, tag: int) -> str | None:
    upper, lower = f"{tag:08X}", f"{tag:08x}"
    return upper if upper in elements else lower if lower in elements else None


class _Writer:
    def __init__(self) -> None:
        self._out = bytearray()
        self._references: list[Reference] = []
        self._discarded = 0
        self._pieces = 0

    def write(self, elements: Elements) -> WrittenDataSet:
        self._data_set(elements, "", depth=0)
        return WrittenDataSet(bytes(self._out), tuple(self._references), self._discarded)

    def _data_set(self, elements: Elements, inherited: str, *, depth: int) -> None:
        """The elements of the instance or of an item, in ascending order (PS3.5 §7.1)."""
        self._pieces += 1 + len(elements)
        if self._pieces > PIECES_MAX:
            raise InstanceError(f"metadata has over {PIECES_MAX} elements and items")
        own = text_of(elements, SPECIFIC_CHARACTER_SET)
        before = -1
        for tag, element in self._in_order(elements):
            if tag == before:
                raise InstanceError("metadata has an element twice", tag=tag)
            before = tag
            try:
                self._element(tag, element, own or inherited, depth=depth)
            except UnwritableError as error:
                if error.tag is not None:
                    raise
                raise type(error)(str(error), tag=tag) from error

    def _in_order(self, elements: Elements) -> Iterator[tuple[int, Mapping[str, Any]]]:
        found = []
        for key, element in elements.items():
            if not _KEY.fullmatch(key):
                raise InstanceError("metadata has a name that is not eight hexadecimal digits")
            tag = int(key, 16)
            if tag >> 16 in _NO_DATA_SET or tag & 0xFFFF == 0:
                self._discarded += 1
            elif tag >> 16 == _DELIMITERS or not isinstance(element, dict):
                raise InstanceError("metadata has what is no element", tag=tag)
            else:
                found.append((tag, element))
        found.sort(key=_tag_of)
        return iter(found)

    def _element(
        self, tag: int, element: Mapping[str, Any], character_set: str, *, depth: int
    ) -> None:
        vr = element.get("vr")
        if not isinstance(vr, str) or vr not in WRITTEN_VRS:
            raise UnwritableError("an element without a VR")
        if tag in PIXELS and vr not in BINARY_VRS:
            raise UnwritableError("pixel data that is not binary")
        if sum(element.get(each) is not None for each in _CONTENTS) > 1:
            raise UnwritableError("an element with more than one content")
        uri, binary = element.get("BulkDataURI"), element.get("InlineBinary")
        if uri is not None:
            self._refer(tag, vr, uri, depth=depth)
        elif vr == "SQ" and binary is None:
            self._sequence(tag, _values(element), character_set, depth=depth)
        else:
            value = self._value(vr, binary, _values(element), character_set)
            self._out += element_head(tag, vr, len(value)) + value

    def _value(self, vr: str, binary: object, values: list[Any], character_set: str) -> bytes:
        if (binary is not None) != (vr in BINARY_VRS) and (binary is not None or values):
            raise UnwritableError(f"a {vr} whose content is not one of its kind")
        if binary is not None:
            return padded(written_binary(binary), vr)
        return padded(written(vr, values, character_set), vr)

    def _refer(self, tag: int, vr: str, uri: object, *, depth: int) -> None:
        if vr == "SQ" or not isinstance(uri, str) or not uri:
            raise UnwritableError("a BulkDataURI that refers to nothing")
        self._references.append(Reference(len(self._out), tag, vr, uri, depth == 0))

    def _sequence(self, tag: int, items: list[Any], character_set: str, *, depth: int) -> None:
        if depth == DEPTH_MAX:
            raise InstanceError(f"sequences are nested deeper than {DEPTH_MAX}", tag=tag)
        self._out += element_head(tag, "SQ", UNDEFINED)
        for item in items:
            if not isinstance(item, dict):
                raise UnwritableError("an item that is no object")
            self._out += mark(ITEM, UNDEFINED)
            self._data_set(item, character_set, depth=depth + 1)
            self._out += mark(ITEM_DELIMITATION)
        self._out += mark(SEQUENCE_DELIMITATION)


def _values(element: Mapping[str, Any]) -> list[Any]:
    values = element.get("Value")
    if values is None:
        return []
    if not isinstance(values, list):
        raise UnwritableError("a Value that is no array")
    return values


def _tag_of(each: tuple[int, Mapping[str, Any]]) -> int:
    return each[0]
