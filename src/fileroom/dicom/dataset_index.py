"""Where the elements of a data set lie, found without reading the large ones. Pure.

Nothing here raises because of what a data set holds: where it cannot be walked further, the
last element is `torn` and reaches to the end. So whatever was received can be described.
"""

from collections.abc import Callable, Iterator
from typing import Final

from msgspec import Struct

from fileroom.dicom.encoding import (
    ITEM,
    ITEM_DELIMITATION,
    LITTLE,
    SEQUENCE_DELIMITATION,
    UNDEFINED,
    Buffer,
    ByteOrder,
    element_header,
    encoding_of,
    looks_implicit,
)
from fileroom.dicom.inflate import InflatedDataSet
from fileroom.dicom.instance_error import InstanceError
from fileroom.dicom.undefined_length import (
    DEPTH_MAX,
    ENDS_MAX,
    HEADERS_MAX,
    UndefinedLength,
)

ELEMENTS_MAX: Final = 100_000  # of one data set or item
WALKED_DEPTH_MAX: Final = 100_000  # only stepped over; who reads what is nested stops at DEPTH_MAX
AHEAD_BYTES: Final = 64 * 1024  # read at once while going on
JUMP_BYTES: Final = 512  # read at once after stepping over a value

Read = Callable[[int, int], Buffer]


class Element(Struct, frozen=True, gc=False):
    """One element of a data set or item. Offsets count from the start of the data set.

    Attributes:
        vr: as stated, as ASCII bytes; empty where the encoding states none.
        start: of its tag.
        value_start, value_end: of its value; the delimiter of an undefined length is not in it.
        end: where the next element begins.
        undefined: whether its length is undefined.
        torn: the data set ends inside it, or it cannot be walked; it reaches to the end.
    """

    tag: int
    vr: bytes
    start: int
    value_start: int
    value_end: int
    end: int
    undefined: bool
    torn: bool


class Window:
    """A data set seen through the stretch of it that was read last.

    Attributes:
        block: that stretch.
        size_bytes: where the data set ends; less than promised if `read` gave less.
        headers_left: how many headers may still be walked; bounds the time.
        ends: of values and items of undefined length that have been walked, so that what is
            nested is not walked again for each level.
    """

    def __init__(self, read: Read, size_bytes: int) -> None:
        self._read = read
        self._origin = 0
        self.size_bytes = size_bytes
        self.headers_left = HEADERS_MAX
        self.ends: dict[int, int] = {}
        self.block = b""

    @classmethod
    def over(cls, data: Buffer) -> "Window":
        """A window over bytes that are all there."""
        view = memoryview(data).cast("B")
        window = cls(lambda start, end: view[start:end], len(view))
        if isinstance(data, bytes):
            window.block = data
        return window

    def at(self, position: int, need_bytes: int) -> int:
        """The index of `position` in `block`, after reading on if fewer than `need_bytes` from
        there are in it. Fewer are there only where the data set ends."""
        index = position - self._origin
        if index >= 0 and index + need_bytes <= len(self.block):
            return index
        going_on = 0 <= index <= len(self.block)
        self._move(position, max(need_bytes, AHEAD_BYTES if going_on else JUMP_BYTES))
        return 0

    def get(self, start: int, end: int) -> bytes:
        """Bytes [start, end), fewer where the data set ends."""
        index = start - self._origin
        if index >= 0 and end - self._origin <= len(self.block):
            return self.block[index : end - self._origin]
        return bytes(self._read(start, min(end, self.size_bytes)))

    def hold(self, start: int, end: int) -> None:
        """Read [start, end) at once, so that going back and forth in it costs no second read."""
        if start < self._origin or end > self._origin + len(self.block):
            self._move(start, end - start)

    def _move(self, position: int, length: int) -> None:
        end = min(position + length, self.size_bytes)
        self.block = bytes(self._read(position, end)) if position < end else b""
        self._origin = position
        if position + len(self.block) < end:
            self.size_bytes = position + len(self.block)


class DataSet(Struct, frozen=True, gc=False):
    """A data set that is ready to be walked.

    Attributes:
        implicit, order: how its elements are really encoded.
        start: where they begin, behind a command set that got into it.
    """

    window: Window
    implicit: bool
    order: ByteOrder
    start: int

    def elements(self, *, until: frozenset[int] = frozenset()) -> Iterator[Element]:
        """Its top-level elements. See `elements` for `until`."""
        end = self.window.size_bytes
        return elements(
            self.window, self.start, end, implicit=self.implicit, order=self.order, until=until
        )


def open_data_set(read: Read, size_bytes: int, transfer_syntax_uid: str) -> DataSet:
    """Get a data set ready: inflate it if it is deflated, look at its first element.

    Args:
        read: gives bytes [start, end) of the data set, as it was received.

    Returns:
        The data set. All offsets are those of the inflated bytes if it was deflated; read them
        through an `InflatedDataSet`.
    """
    encoding = encoding_of(transfer_syntax_uid)
    if encoding.deflated:
        inflated = InflatedDataSet(read, size_bytes)
        window = Window(inflated.read, inflated.size_bytes)
    else:
        window = Window(read, size_bytes)
    return data_set_of(window, implicit=encoding.implicit, order=encoding.order)


def data_set_of(window: Window, *, implicit: bool, order: ByteOrder) -> DataSet:
    """The data set in `window`, of that encoding unless its first element shows another."""
    position = 0
    for _ in range(ELEMENTS_MAX):
        index = window.at(position, 8)
        if len(window.block) < index + 8:
            break
        group, _, length = LITTLE.implicit(window.block, index)
        if group:
            implicit = looks_implicit(window.block, index)
            break
        position += 8 + length  # a command set, implicit little endian (PS3.7 §6.3.1)
    return DataSet(window, implicit, order, position)


def index(read: Read, size_bytes: int, transfer_syntax_uid: str) -> list[Element]:
    """The top-level elements of a data set, in its order. See `open_data_set`.

    At most `ELEMENTS_MAX`; the one after them is torn.
    """
    return list(open_data_set(read, size_bytes, transfer_syntax_uid).elements())


def elements(
    window: Window,
    start: int,
    end: int,
    *,
    implicit: bool,
    order: ByteOrder,
    until: frozenset[int] = frozenset(),
) -> Iterator[Element]:
    """The elements of a data set or item that lies in [start, end). An item delimitation item
    ends it earlier. Fewer than eight bytes at the end are padding.

    Args:
        until: the first of these tags is the last element given; if its length is undefined
            its value is not walked and reaches to the end.
    """
    position = start
    for count in range(ELEMENTS_MAX + 1):
        at = window.at(position, 12)
        end = min(end, window.size_bytes)
        if position + 8 > end:
            return
        header = element_header(window.block, at, implicit, order)
        if header is None:
            group, number, _ = order.implicit(window.block, at)
            yield Element(group << 16 | number, b"", position, end, end, end, False, True)
            return
        tag, vr, header_bytes, length = header
        if tag == ITEM_DELIMITATION:
            return
        value = position + header_bytes
        undefined = length == UNDEFINED
        if undefined and tag in until:
            yield Element(tag, vr, position, value, end, end, undefined, False)
            return
        if undefined:
            behind = _behind_undefined(window, tag, vr, value, end, implicit, order)
        else:
            behind = value + length if value + length <= end else None
        window.headers_left -= 1
        if behind is None or count == ELEMENTS_MAX or window.headers_left < 0:
            yield Element(tag, vr, position, value, end, end, undefined, True)
            return
        value_end = behind - 8 if undefined else behind
        yield Element(tag, vr, position, value, value_end, behind, undefined, False)
        if tag in until:
            return
        position = behind


def _behind_undefined(
    window: Window, tag: int, vr: bytes, value: int, end: int, implicit: bool, order: ByteOrder
) -> int | None:
    """Where the value of undefined length at `value` ends, delimiter included; None if it
    cannot be walked or does not end before `end`."""
    known = window.ends.get(value)
    if known is not None:
        return known if known <= end else None
    if len(window.ends) >= ENDS_MAX:
        window.ends.clear()
    position = value
    try:
        walk = UndefinedLength(
            tag,
            vr,
            implicit=implicit,
            order=order,
            depth_max=WALKED_DEPTH_MAX,
            ends=window.ends,
        )
        while not walk.done:
            at = window.at(position, walk.need)
            step = walk.advance(window.block, at, origin=position - at) - at
            if not step and len(window.block) < at + walk.need:
                return None
            position += step
            if window.headers_left < walk.headers:
                return None
    except InstanceError:
        return None
    window.headers_left -= walk.headers
    return position if position <= end else None


class Item(Struct, frozen=True, gc=False):
    """One item of a sequence: its data set in [start, end), and where what follows begins."""

    start: int
    end: int
    behind: int
    implicit: bool


def items(
    window: Window, start: int, end: int, *, implicit: bool, order: ByteOrder
) -> Iterator[Item]:
    """The items of the sequence whose value is [start, end).

    Raises:
        InstanceError: something else is there, or an item does not end before `end`.
    """
    position = start
    while position < end:
        at = window.at(position, 14)
        block = window.block
        if position + 8 > end or len(block) < at + 8:
            raise InstanceError("a sequence ends inside an item's header", offset=position)
        group, number, length = order.implicit(block, at)
        tag = group << 16 | number
        if tag == SEQUENCE_DELIMITATION:
            return
        if tag != ITEM:
            raise InstanceError("an item was expected", tag=tag, offset=position)
        item_implicit = implicit or (len(block) >= at + 14 and looks_implicit(block, at + 8))
        position += 8
        if length == UNDEFINED:
            behind = window.ends.get(position)
            if behind is None:
                behind = 8 + _end_of_item(
                    elements(window, position, end, implicit=item_implicit, order=order), position
                )
            if behind > end:
                raise InstanceError("an item does not end", offset=position)
            yield Item(position, behind - 8, behind, item_implicit)
            position = behind
        elif position + length > end:
            raise InstanceError("an item is longer than its sequence", offset=position)
        else:
            yield Item(position, position + length, position + length, item_implicit)
            position += length


def _end_of_item(inside: Iterator[Element], start: int) -> int:
    """Where the delimiter of an item of undefined length is to be."""
    end = start
    for element in inside:
        end = element.end
        if element.torn:
            break
    return end


def bulk_range(
    read: Read, size_bytes: int, transfer_syntax_uid: str, tag_path: str
) -> tuple[int, int]:
    """Where the value lies that a bulk data placeholder `bulkdata/<tag path>` stands for.

    Args:
        tag_path: tags of eight hexadecimal digits with the number of an item, from 1, between
            them: "7FE00010", "00880200/1/7FE00010".

    Returns:
        (start, end) in the data set; in the inflated one if it was deflated. Encapsulated pixel
        data is the items, without the sequence delimitation item.

    Raises:
        InstanceError: no path, or there is no such element.
    """
    data_set = open_data_set(read, size_bytes, transfer_syntax_uid)
    window, order = data_set.window, data_set.order
    start, end, implicit = data_set.start, window.size_bytes, data_set.implicit
    parts = tag_path.split("/")
    if len(parts) % 2 == 0 or len(parts) > 2 * DEPTH_MAX + 1:
        raise InstanceError(f"a path of {len(parts)} parts leads to no element")
    for step in range(0, len(parts), 2):
        tag = _number(parts[step], 16)
        found = None
        for element in elements(window, start, end, implicit=implicit, order=order):
            if element.tag == tag:  # where it occurs twice the later one counts
                found = element
        if found is None:
            raise InstanceError("there is no such element", tag=tag)
        if step + 1 == len(parts):
            return found.value_start, found.value_end
        wanted = _number(parts[step + 1], 10)
        inside = items(window, found.value_start, found.value_end, implicit=implicit, order=order)
        item = next((item for count, item in enumerate(inside, 1) if count == wanted), None)
        if item is None:
            raise InstanceError("there is no such item", tag=tag)
        start, end, implicit = item.start, item.end, item.implicit
    raise AssertionError("a path ends at an element")


def _number(text: str, radix: int) -> int:
    if not text.isascii() or not text.isalnum() or len(text) > 8:
        raise InstanceError("a path is tags and numbers of items")
    try:
        return int(text, radix)
    except ValueError as error:
        raise InstanceError("a path is tags and numbers of items") from error
