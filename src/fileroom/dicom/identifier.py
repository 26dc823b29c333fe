"""Identifiers of queries: small data sets as values by tag, and back into bytes. Pure.

PS3.4 §C.4.1.1.3, PS3.7 §9.1.2. What a peer sends as an identifier is bounded and never trusted:
what is no data set is refused by `IdentifierError`, and nothing else is raised.
"""

from collections.abc import Iterator, Mapping
from struct import Struct
from struct import error as StructError
from typing import Final, NamedTuple, TypeAlias

from fileroom.dicom import charset
from fileroom.dicom.charset import CharacterSet, character_set
from fileroom.dicom.dataset_index import Element, Window, data_set_of, elements, items
from fileroom.dicom.dictionary import AMBIGUOUS, settled_vr
from fileroom.dicom.encoding import (
    ITEM,
    LONG_VRS,
    SHORT_VRS,
    UNDEFINED,
    ByteOrder,
    encoding_of,
)
from fileroom.dicom.header_attributes import SPECIFIC_CHARACTER_SET, stripped
from fileroom.dicom.instance_error import InstanceError

SIZE_BYTES_MAX: Final = 256 * 1024
DEPTH_MAX: Final = 8  # of sequences in one another; the deepest key of PS3.4 Annex C has two
UNICODE: Final = "ISO_IR 192"

_OF_CHARACTER_SET: Final = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_LONG_TEXTS: Final = frozenset({"LT", "ST", "UR", "UT"})  # one value; backslashes are text
_TEXTS: Final = _OF_CHARACTER_SET | {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"}
_NUMBERS: Final = {
    "FD": "d",
    "FL": "f",
    "SL": "i",
    "SS": "h",
    "SV": "q",
    "UL": "I",
    "US": "H",
    "UV": "Q",
}
_FLOATS: Final = frozenset({"FD", "FL"})
_PADDING: Final = " \0"
_LENGTH_BYTES_MAX: Final = 0xFFFE  # of a value with a 16-bit length field, PS3.5 §7.1.2


class IdentifierError(InstanceError):
    """These bytes are no identifier."""


class Key(NamedTuple):
    """One element.

    Attributes:
        value: text, several values joined by backslash and numbers in decimal, AT as eight
            hexadecimal digits; the items of a sequence; None: there is a value that is not text.
    """

    vr: str
    value: "Value"


Identifier: TypeAlias = dict[int, Key]
Value: TypeAlias = str | tuple[Identifier, ...] | None


def decode(data: bytes, transfer_syntax_uid: str) -> Identifier:
    """The elements of an identifier by tag; group lengths are left out.

    May load the dictionary, half a second once: call it in a thread.

    Args:
        transfer_syntax_uid: one that is not deflated.

    Raises:
        IdentifierError: it is too large, nested too deeply, or ends inside an element.
    """
    if len(data) > SIZE_BYTES_MAX:
        raise IdentifierError(f"an identifier of {len(data)} B is over {SIZE_BYTES_MAX} B")
    encoding = encoding_of(transfer_syntax_uid)
    assert not encoding.deflated
    window = Window.over(data)
    data_set = data_set_of(window, implicit=encoding.implicit, order=encoding.order)
    reader = _Reader(window, encoding.order)
    try:
        return reader.read(
            data_set.start,
            window.size_bytes,
            implicit=data_set.implicit,
            inherited=character_set(""),
            depth=0,
        )
    except IdentifierError:
        raise
    except InstanceError as error:
        raise IdentifierError(str(error)) from error


def encode(identifier: Identifier, transfer_syntax_uid: str, *, character_set: str = "") -> bytes:
    """An identifier as bytes, its elements in ascending order.

    Args:
        character_set: what the text is to be encoded in if all of it can be, and ISO_IR 192 if
            not; the outermost data set then says which. Of `identifier` it is left out.
    """
    encoding = encoding_of(transfer_syntax_uid)
    assert not encoding.deflated
    chosen = _chosen(tuple(_texts(identifier)), character_set)
    told = {tag: key for tag, key in identifier.items() if tag != SPECIFIC_CHARACTER_SET}
    if chosen:
        told[SPECIFIC_CHARACTER_SET] = Key("CS", chosen)
    return _Writer(implicit=encoding.implicit, order=encoding.order, charset=chosen).write(told)


class _Reader:
    def __init__(self, window: Window, order: ByteOrder) -> None:
        self._window = window
        self._order = order

    def read(
        self, start: int, end: int, *, implicit: bool, inherited: CharacterSet, depth: int
    ) -> Identifier:
        """The data set or item that lies in [start, end)."""
        window = self._window
        found: dict[int, Element] = {}
        for element in elements(window, start, end, implicit=implicit, order=self._order):
            if element.torn:
                raise IdentifierError("it ends inside an element", tag=element.tag)
            if element.tag & 0xFFFF:
                found[element.tag] = element
        told = found.get(SPECIFIC_CHARACTER_SET)
        if told is not None:
            value = window.get(told.value_start, told.value_end).decode("latin-1")
            inherited = character_set(stripped(value))
        return {
            tag: self._key(found[tag], implicit=implicit, inherited=inherited, depth=depth)
            for tag in sorted(found)
        }

    def _key(self, element: Element, *, implicit: bool, inherited: CharacterSet, depth: int) -> Key:
        size_bytes = element.value_end - element.value_start
        vr = settled_vr(element.tag, element.vr, UNDEFINED if element.undefined else size_bytes, "")
        if vr == "SQ":
            if depth == DEPTH_MAX:
                raise IdentifierError(f"over {DEPTH_MAX} sequences in one another", tag=element.tag)
            found = items(
                self._window,
                element.value_start,
                element.value_end,
                implicit=implicit,
                order=self._order,
            )
            within = tuple(
                self.read(
                    item.start,
                    item.end,
                    implicit=item.implicit,
                    inherited=inherited,
                    depth=depth + 1,
                )
                for item in found
            )
            return Key(vr, within)
        if vr in AMBIGUOUS:
            vr = "US" if vr.startswith("US") and size_bytes in (0, 2) else "OW"
        if vr.encode("latin-1") not in SHORT_VRS | LONG_VRS:
            vr = "UN"
        value = self._window.get(element.value_start, element.value_end)
        return Key(vr, _text(vr, value, inherited, self._order))


def _text(vr: str, value: bytes, inherited: CharacterSet, order: ByteOrder) -> str | None:
    if not value:
        return ""
    if vr in _TEXTS:
        text = inherited.text(value) if vr in _OF_CHARACTER_SET else value.decode("latin-1")
        return text.rstrip(_PADDING) if vr in _LONG_TEXTS else stripped(text)
    try:
        if vr in _NUMBERS:
            numbers = Struct(order.mark + _NUMBERS[vr])
            return "\\".join(str(number) for (number,) in numbers.iter_unpack(value))
        if vr == "AT":
            pairs = Struct(order.mark + "HH").iter_unpack(value)
            return "\\".join(f"{group:04X}{number:04X}" for group, number in pairs)
    except StructError:
        return None
    return None


def _texts(identifier: Identifier) -> Iterator[str]:
    """All text that depends on the character set."""
    for vr, value in identifier.values():
        if isinstance(value, tuple):
            for item in value:
                yield from _texts(item)
        elif vr in _OF_CHARACTER_SET and value:
            yield value


def _chosen(texts: tuple[str, ...], wanted: str) -> str:
    """The character set to write in; empty: none needs to be named."""
    if not charset.is_defined(wanted):
        wanted = ""
    if all(charset.encode(text, wanted) is not None for text in texts):
        return wanted
    return UNICODE


class _Writer:
    def __init__(self, *, implicit: bool, order: ByteOrder, charset: str) -> None:
        self._implicit = implicit
        self._charset = charset
        self._mark = order.mark
        self._tag = Struct(order.mark + "HH")
        self._short = Struct(order.mark + "H")
        self._long = Struct(order.mark + "I")

    def write(self, identifier: Mapping[int, Key]) -> bytes:
        return b"".join(self._element(tag, identifier[tag]) for tag in sorted(identifier))

    def _element(self, tag: int, key: Key) -> bytes:
        value = self._value(key)
        head = self._tag.pack(tag >> 16, tag & 0xFFFF)
        if self._implicit:
            return head + self._long.pack(len(value)) + value
        vr = key.vr.encode("ascii")
        if vr in LONG_VRS:
            return head + vr + b"\0\0" + self._long.pack(len(value)) + value
        if len(value) > _LENGTH_BYTES_MAX:
            value = b""  # no element can say this; nothing that is meant seriously is so long
        return head + vr + self._short.pack(len(value)) + value

    def _value(self, key: Key) -> bytes:
        vr, value = key
        if isinstance(value, tuple):
            return b"".join(self._item(each) for each in value)
        if not value:
            return b""
        if vr in _OF_CHARACTER_SET:
            # What no set has, half a surrogate pair or an escape character, is worth no failure.
            encoded = charset.encode(value, self._charset) or value.encode("utf-8", "replace")
        elif vr in _TEXTS:
            encoded = value.encode("latin-1", "replace")
        else:
            return self._numbers(vr, value.split("\\"))
        return encoded + (b"\0" if vr == "UI" else b" ") * (len(encoded) % 2)

    def _item(self, item: Identifier) -> bytes:
        content = self.write(item)
        return self._tag.pack(ITEM >> 16, ITEM & 0xFFFF) + self._long.pack(len(content)) + content

    def _numbers(self, vr: str, values: list[str]) -> bytes:
        """Binary numbers; nothing where one of them is none."""
        try:
            if vr == "AT":
                tags = [int(each, 16) for each in values]
                return b"".join(self._tag.pack(tag >> 16, tag & 0xFFFF) for tag in tags)
            if vr in _NUMBERS:
                one = Struct(self._mark + _NUMBERS[vr])
                kind = float if vr in _FLOATS else int
                return b"".join(one.pack(kind(each)) for each in values)
        except (ValueError, OverflowError, StructError):
            return b""
        return b""
