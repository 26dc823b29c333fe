"""One data set or item as a DICOM JSON object, element by element. Pure."""

from typing import Final

import msgspec

from fileroom.dicom import json_value
from fileroom.dicom.charset import CharacterSet, character_set
from fileroom.dicom.dataset_index import DataSet, Element, Item, Window, elements, items
from fileroom.dicom.dictionary import (
    AMBIGUOUS,
    LUT_DESCRIPTOR,
    PIXEL_REPRESENTATION,
    WAVEFORM_BITS_ALLOCATED,
    creator_tag,
    needs_creator,
    settled_vr,
    unambiguous_vr,
)
from fileroom.dicom.encoding import PIXEL_DATA, UNDEFINED, ByteOrder
from fileroom.dicom.instance_error import InstanceError
from fileroom.dicom.undefined_length import DEPTH_MAX

BULK_BYTES_MIN: Final = 1025  # of binary values: more than 1 KiB is fetched apart
VALUE_BYTES_MAX: Final = 4 << 20  # of all other values
SEQUENCE_BYTES_MAX: Final = 32 << 20
JSON_BYTES_MAX: Final = 20 << 20  # of an instance, besides what is recalled for it; see Memory
ITEM_HELD_BYTES: Final = 64  # what an item takes beside its elements, counted as JSON
HELD_BYTES_MAX: Final = 4 << 20
MEMO_BYTES_MAX: Final = 8 << 20
MEMO_ELEMENT_BYTES_MAX: Final = 4096
MEMO_ENTRY_BYTES: Final = 200  # what Python adds to the bytes of an entry

CHARACTER_SET: Final = 0x00080005
# Elements that others are read by; they must be seen in every data set.
CONTEXT: Final = frozenset(
    {CHARACTER_SET, PIXEL_REPRESENTATION, LUT_DESCRIPTOR, WAVEFORM_BITS_ALLOCATED}
)
PIXELS: Final = {0x7FE00008: "OF", 0x7FE00009: "OD", PIXEL_DATA: "OW"}
# PS3.18 §F.2.2: the VRs beside the binary ones whose values may be fetched apart.
_FETCHED: Final = frozenset(
    ("DS", "FD", "FL", "IS", "LT", "SL", "SS", "ST", "SV", "UC", "UL", "US", "UT", "UV")
)

_encode: Final = msgspec.json.Encoder().encode

Memo = dict[bytes, bytes]


class Memory:
    """Elements seen before: their bytes to their JSON, for each encoding and character set.

    Invariant: under `MEMO_BYTES_MAX` and one element; when full it forgets everything.
    """

    def __init__(self) -> None:
        self._memos: dict[tuple[object, ...], Memo] = {}
        self._size_bytes = 0

    def of(self, *context: object) -> Memo:
        """What is remembered of elements that are read in that context."""
        return self._memos.setdefault(context, {})

    def remember(self, memo: Memo, raw: bytes, fragment: bytes) -> None:
        """Keep one element's JSON."""
        self._size_bytes += len(raw) + len(fragment) + MEMO_ENTRY_BYTES
        if self._size_bytes > MEMO_BYTES_MAX:
            for each in self._memos.values():
                each.clear()
            self._memos.clear()
            self._size_bytes = 0
        memo[raw] = fragment


class ItemWriter:
    """Collects the elements of one data set or item, and joins them.

    Attributes:
        fragments: tag to `"ggggeeee":{...}`; empty for what is left out or not settled yet.
        memo: what may be recalled instead of written.
    """

    def __init__(
        self,
        data_set: DataSet,
        memory: Memory,
        *,
        implicit: bool,
        charset: CharacterSet,
        parent: "ItemWriter | None" = None,
        path: str = "",
    ) -> None:
        self.fragments: dict[int, bytes] = {}
        self._data_set = data_set
        self._window: Window = data_set.window
        self._order: ByteOrder = data_set.order
        self._implicit = implicit
        self._memory = memory
        self._parent = parent
        self._path = path
        self._depth: int = 0 if parent is None else parent._depth + 1
        self._charset = charset
        self.memo = self._memo()
        self._siblings: dict[int, bytes] = {}
        self._unsettled: list[tuple[Element, str]] = []
        self._inherits = False  # whether anything was read by an element of a parent
        self._top: ItemWriter | None = None if parent is None else parent._top or parent
        self._json_bytes = 0  # counted at the top, of all that is in it

    def add(self, element: Element) -> None:
        """Write one element, or recall it."""
        if element.end - element.start > MEMO_ELEMENT_BYTES_MAX or element.torn:
            self._write(element)
            return
        raw = self._window.get(element.start, element.end)
        fragment = self.memo.get(raw)
        if fragment is not None:
            self.fragments[element.tag] = fragment
            self._count(len(fragment))
        elif self._write(element) and element.tag not in CONTEXT and not self._is_full:
            fragment = self.fragments[element.tag]
            if self._parent is None or b'"BulkDataURI"' not in fragment:  # that holds its place
                self._memory.remember(self.memo, raw, fragment)

    def finish(self) -> bytes:
        """The JSON object of all that was added."""
        for element, vr in self._unsettled:
            settled = unambiguous_vr(
                element.tag,
                vr,
                implicit=self._implicit,
                siblings=self._siblings | self._pixel_representation(),
                order=self._order,
            )
            self._set(element.tag, self._value(element, settled))
        fragments = self.fragments
        tags = list(fragments)
        if tags != sorted(tags):
            fragments = {tag: fragments[tag] for tag in sorted(tags)}
        return b"{" + b",".join(filter(None, fragments.values())) + b"}"

    def _memo(self) -> Memo:
        return self._memory.of(
            self._parent is None, self._implicit, self._order.mark, self._charset
        )

    def _set(self, tag: int, element: json_value.Element) -> None:
        try:
            encoded = _encode(element)
        except ValueError:  # a decoder made half a character, which JSON cannot hold
            encoded = _encode({"vr": element["vr"]})
        self._count(len(encoded))
        if self._is_full and len(element) > 1:
            vr = element["vr"] if element["vr"] in _FETCHED | json_value.BINARY_VRS else "UN"
            encoded = _encode(json_value.bulk(vr, f"{self._path}{tag:08X}"))
        self.fragments[tag] = b'"%08X":%s' % (tag, encoded)

    def _write(self, element: Element) -> bool:
        """Write one element. Returns whether its JSON depends on nothing but its own bytes."""
        tag, vr = element.tag, element.vr
        if tag & 0xFFFF == 0:
            self.fragments[tag] = b""
            return True
        if tag in PIXELS:
            self._set(tag, self._pixels(element))
            return True
        if element.torn:
            self._set(tag, self._raw(element, "UN"))
            return False
        if tag in CONTEXT:
            self._note(element)
        length = UNDEFINED if element.undefined else element.value_end - element.value_start
        apart = needs_creator(tag, vr)
        settled = settled_vr(tag, vr, length, self._creator(tag) if apart else "")
        if settled in AMBIGUOUS:
            self.fragments[tag] = b""
            self._unsettled.append((element, settled))
            return False
        if settled == "SQ" or (element.undefined and settled not in json_value.BINARY_VRS):
            return self._sequence(element) and not apart
        self._set(tag, self._value(element, settled))
        return not apart

    def _value(self, element: Element, vr: str) -> json_value.Element:
        size_bytes = element.value_end - element.value_start
        if vr in json_value.BINARY_VRS:
            return self._raw(element, vr)
        if size_bytes > VALUE_BYTES_MAX or self._is_full:
            return self._raw(element, vr if vr in _FETCHED else "UN")
        return json_value.element_of(
            element.tag,
            vr,
            self._window.get(element.value_start, element.value_end),
            charset=self._charset,
            order=self._order,
            path=f"{self._path}{element.tag:08X}",
        )

    def _raw(self, element: Element, vr: str) -> json_value.Element:
        """An element as its bytes, or as a placeholder for them."""
        if element.value_end - element.value_start >= BULK_BYTES_MIN:
            return json_value.bulk(vr, f"{self._path}{element.tag:08X}")
        return json_value.binary(vr, self._window.get(element.value_start, element.value_end))

    def _pixels(self, element: Element) -> json_value.Element:
        """Pixel data, which is never in the JSON whatever its size."""
        vr = element.vr.decode("latin-1")
        if vr not in json_value.BINARY_VRS - {"UN"}:
            vr = "OB" if element.undefined else PIXELS[element.tag]
        if element.value_end == element.value_start:
            return json_value.empty(vr)
        return json_value.bulk(vr, f"{self._path}{element.tag:08X}")

    def _note(self, element: Element) -> None:
        """Keep the value of an element that others are read by."""
        value = self._window.get(
            element.value_start, min(element.value_end, element.value_start + 256)
        )
        self._siblings[element.tag] = value
        if element.tag == CHARACTER_SET:
            self._charset = character_set(value.decode("latin-1").rstrip(" \0"))
            self.memo = self._memo()

    def _creator(self, tag: int) -> str:
        """The private creator of a private element, as it was written before it."""
        creator = creator_tag(tag)
        fragment = self.fragments.get(creator) if creator is not None else None
        if not fragment:
            return ""
        values = msgspec.json.decode(b"{" + fragment + b"}")[f"{creator:08X}"].get("Value")
        return values[0] if values and isinstance(values[0], str) else ""

    def _pixel_representation(self) -> dict[int, bytes]:
        """The Pixel Representation that holds here: of this item, or of what it lies in."""
        writer: ItemWriter = self
        while PIXEL_REPRESENTATION not in writer._siblings:
            if writer._parent is None:
                # It comes behind most sequences: look ahead.
                for element in self._data_set.elements():
                    if element.tag == PIXEL_REPRESENTATION:
                        writer._note(element)
                        break
                else:
                    return {}
                break
            writer._inherits = True
            writer = writer._parent
        return {PIXEL_REPRESENTATION: writer._siblings[PIXEL_REPRESENTATION]}

    def _sequence(self, element: Element) -> bool:
        """Write a sequence, or its bytes if it cannot be read as one."""
        tag = element.tag
        size_bytes = element.value_end - element.value_start
        pieces: list[bytes] = []
        inherits = False
        try:
            if self._depth >= DEPTH_MAX or size_bytes > SEQUENCE_BYTES_MAX:
                raise InstanceError(f"a sequence of {size_bytes} B at depth {self._depth}", tag=tag)
            if size_bytes <= HELD_BYTES_MAX:
                self._window.hold(element.value_start, element.value_end)
            for number, item in enumerate(
                items(
                    self._window,
                    element.value_start,
                    element.value_end,
                    implicit=self._implicit,
                    order=self._order,
                ),
                1,
            ):
                piece, item_inherits = self._item(item, f"{self._path}{tag:08X}/{number}/")
                inherits |= item_inherits
                pieces.append(piece)
        except InstanceError:
            self._set(tag, self._raw(element, "UN"))
            return False
        value = b',"Value":[%s]' % b",".join(pieces) if pieces else b""
        self.fragments[tag] = b'"%08X":{"vr":"SQ"%s}' % (tag, value)
        self._inherits |= inherits and self._parent is not None
        return not inherits

    def _item(self, item: Item, path: str) -> tuple[bytes, bool]:
        """The JSON object of one item, and whether it was read by an element of a parent."""
        writer = ItemWriter(
            self._data_set,
            self._memory,
            implicit=item.implicit,
            charset=self._charset,
            parent=self,
            path=path,
        )
        for element in elements(
            self._window, item.start, item.end, implicit=item.implicit, order=self._order
        ):
            if element.torn:
                raise InstanceError("an item ends inside an element", tag=element.tag)
            writer.add(element)
        piece = writer.finish()
        self._count(ITEM_HELD_BYTES)
        if self._is_full:
            raise InstanceError(f"sequences give over {JSON_BYTES_MAX} B of JSON")
        return piece, writer._inherits

    def _count(self, json_bytes: int) -> None:
        (self._top or self)._json_bytes += json_bytes

    @property
    def _is_full(self) -> bool:
        """Whether the instance has all the JSON that it may; the rest is placeholders."""
        return (self._top or self)._json_bytes > JSON_BYTES_MAX
