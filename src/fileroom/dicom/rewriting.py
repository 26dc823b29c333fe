"""A data set in implicit or explicit VR little endian, made from how it was received. Pure.

What is written is a plan: short pieces as bytes, and the places of long values in the source, to
be copied when their turn comes. Where the encoding stays as it is elements are copied as they
are; else sequences and items are written with undefined length, so that nothing has to be
measured before it is written (PS3.5 §7.5). Group lengths, which are retired and would be wrong,
are left out (PS3.5 §7.2).
"""

from collections.abc import Iterator, Mapping
from struct import Struct
from typing import Final, NamedTuple, TypeAlias

from fileroom.dicom.charset import character_set
from fileroom.dicom.dataset_index import DataSet, Element, Item, elements, items
from fileroom.dicom.dictionary import (
    AMBIGUOUS,
    LUT_DESCRIPTOR,
    PIXEL_REPRESENTATION,
    WAVEFORM_BITS_ALLOCATED,
    creator_tag,
    is_private,
    needs_creator,
    settled_vr,
    unambiguous_vr,
)
from fileroom.dicom.encoding import (
    BIG,
    ITEM,
    ITEM_DELIMITATION,
    LITTLE,
    LONG_VRS,
    PIXEL_DATA,
    SEQUENCE_DELIMITATION,
    UNDEFINED,
)
from fileroom.dicom.instance_error import InstanceError
from fileroom.dicom.undefined_length import DEPTH_MAX

SHORT_BYTES_MAX: Final = 1024  # values up to this are copied into the plan
_SHORT_LENGTH_MAX: Final = 0xFFFF
_FRAGMENTS: Final = "fragments in a data set that is not compressed"
_CREATOR_BYTES_MAX: Final = 64
_DECIDING: Final = frozenset({PIXEL_REPRESENTATION, LUT_DESCRIPTOR, WAVEFORM_BITS_ALLOCATED})
# Bytes that change places between the byte orders (PS3.5 §7.3); text and OB are bytes.
_WIDTHS: Final[Mapping[str, int]] = {
    **dict.fromkeys(("AT", "OW", "SS", "US"), 2),
    **dict.fromkeys(("FL", "OF", "OL", "SL", "UL"), 4),
    **dict.fromkeys(("FD", "OD", "OV", "SV", "UV"), 8),
}

_EXPLICIT_SHORT: Final = Struct("<HH2sH")
_EXPLICIT_LONG: Final = Struct("<HH2sxxI")
_IMPLICIT: Final = Struct("<HHI")


class Span(NamedTuple):
    """Bytes [start, end) of the source, the bytes of each `width` in reverse order."""

    start: int
    end: int
    width: int = 1


Part: TypeAlias = bytes | Span


def swapped(data: bytes, width: int) -> bytes:
    """`data` with the bytes of each `width` in reverse order; what is left over stays."""
    if width == 1:
        return data
    whole = len(data) - len(data) % width
    out = bytearray(data)
    for at in range(width):
        out[at:whole:width] = data[width - 1 - at : whole : width]
    return bytes(out)


class Rewriter:
    """Writes elements of one data set in another encoding.

    Args:
        implicit: whether what is written is implicit VR.
    """

    def __init__(self, data_set: DataSet, *, implicit: bool) -> None:
        self._window = data_set.window
        self._order = data_set.order
        self._source_implicit = data_set.implicit
        self._implicit = implicit
        self._stays = implicit == data_set.implicit and data_set.order is LITTLE
        self._top = _Scope()
        if data_set.implicit and not self._stays:
            # It decides about elements of sequences that stand before it.
            for element in data_set.elements(until=frozenset({PIXEL_REPRESENTATION})):
                if element.tag == PIXEL_REPRESENTATION:
                    self._note(element, self._top)

    def element(self, element: Element) -> Iterator[Part]:
        """One element of the outermost data set; they must be given in order.

        Raises:
            InstanceError: the data set ends inside it, or it cannot be read as what it is.
        """
        if self._stays:
            _whole(element)
            if element.tag == PIXEL_DATA and element.undefined:
                raise InstanceError(_FRAGMENTS, tag=element.tag)
            if element.tag & 0xFFFF:
                yield self._copied(element.start, element.end, 1)
            return
        yield from self._element(element, self._top, implicit=self._source_implicit, depth=0)

    def head(self, tag: int, vr: str, length: int) -> bytes:
        """What stands before a value of `length` bytes, or of UNDEFINED length."""
        group, number = tag >> 16, tag & 0xFFFF
        if self._implicit:
            return _IMPLICIT.pack(group, number, length)
        code = vr.encode("latin-1")
        if code in LONG_VRS:
            return _EXPLICIT_LONG.pack(group, number, code, length)
        if length > _SHORT_LENGTH_MAX:
            return _EXPLICIT_LONG.pack(group, number, b"UN", length)  # PS3.5 §6.2.2
        return _EXPLICIT_SHORT.pack(group, number, code, length)

    def _element(
        self, element: Element, scope: "_Scope", *, implicit: bool, depth: int
    ) -> Iterator[Part]:
        _whole(element)
        tag = element.tag
        if tag & 0xFFFF == 0:
            return
        length = element.value_end - element.value_start
        self._note(element, scope)
        vr = settled_vr(
            tag,
            element.vr,
            UNDEFINED if element.undefined else length,
            scope.creator(tag) if needs_creator(tag, element.vr) else "",
        )
        if vr in AMBIGUOUS:
            vr = unambiguous_vr(
                tag, vr, implicit=implicit, siblings=scope.deciding, order=self._order
            )
        if element.vr == b"UN" and not element.undefined:
            vr = "UN"  # whoever wrote it did not say in which byte order it is
        if vr == "SQ" and self._holds_items(element):
            yield from self._sequence(element, scope, implicit=implicit, depth=depth)
        elif element.undefined:
            raise InstanceError(_FRAGMENTS, tag=tag)
        else:
            yield self.head(tag, "UN" if vr == "SQ" else vr, length)
            width = _WIDTHS.get(vr, 1) if self._order is BIG else 1
            yield self._copied(element.value_start, element.value_end, width)

    def _copied(self, start: int, end: int, width: int) -> Part:
        if end - start > SHORT_BYTES_MAX:
            return Span(start, end, width)
        return swapped(self._window.get(start, end), width)

    def _holds_items(self, element: Element) -> bool:
        """Whether what a dictionary calls a sequence is one; private ones of some senders are
        not, and keep their bytes as UN."""
        if element.undefined or element.vr or not is_private(element.tag):
            return True
        length = element.value_end - element.value_start
        if not length:
            return True
        first = self._window.get(element.value_start, element.value_start + 4)
        return len(first) == 4 and first == _IMPLICIT.pack(ITEM >> 16, ITEM & 0xFFFF, 0)[:4]

    def _sequence(
        self, element: Element, scope: "_Scope", *, implicit: bool, depth: int
    ) -> Iterator[Part]:
        if depth == DEPTH_MAX:
            raise InstanceError(f"sequences are nested deeper than {DEPTH_MAX}", tag=element.tag)
        yield self.head(element.tag, "SQ", UNDEFINED)
        found = items(
            self._window,
            element.value_start,
            element.value_end,
            implicit=implicit,
            order=self._order,
        )
        for item in found:
            yield _mark(ITEM, UNDEFINED)
            yield from self._item(item, scope, depth=depth + 1)
            yield _mark(ITEM_DELIMITATION)
        yield _mark(SEQUENCE_DELIMITATION)

    def _item(self, item: Item, scope: "_Scope", *, depth: int) -> Iterator[Part]:
        within = scope.within()
        for element in elements(
            self._window, item.start, item.end, implicit=item.implicit, order=self._order
        ):
            yield from self._element(element, within, implicit=item.implicit, depth=depth)

    def _note(self, element: Element, scope: "_Scope") -> None:
        """Keep what later elements are read by."""
        tag = element.tag
        if tag in _DECIDING or (is_private(tag) and 0x10 <= tag & 0xFFFF < 0x100):
            start = element.value_start
            end = min(element.value_end, start + _CREATOR_BYTES_MAX)
            scope.noted[tag] = self._window.get(start, end)


class _Scope:
    """What the elements of one data set or item are read by; an item's inherit (PS3.5 §7.5)."""

    __slots__ = ("_outer", "noted")

    def __init__(self, outer: Mapping[int, bytes] | None = None) -> None:
        self._outer = outer or {}
        self.noted: dict[int, bytes] = {}

    @property
    def deciding(self) -> dict[int, bytes]:
        """The raw values that settle an ambiguous VR."""
        here = {tag: value for tag, value in self.noted.items() if tag in _DECIDING}
        return {**self._outer, **here}

    def within(self) -> "_Scope":
        """The scope of an item."""
        return _Scope(self.deciding)

    def creator(self, tag: int) -> str:
        """The private creator of a private element."""
        block = creator_tag(tag)
        value = self.noted.get(block, b"") if block is not None else b""
        return character_set("").text(value).strip(" \0")


def _whole(element: Element) -> None:
    if element.torn:
        raise InstanceError("the data set ends inside an element", tag=element.tag)


def _mark(tag: int, length: int = 0) -> bytes:
    return _IMPLICIT.pack(tag >> 16, tag & 0xFFFF, length)
