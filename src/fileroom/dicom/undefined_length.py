"""Find the end of a sequence or of fragments whose length is not given, PS3.5 §7.5. Pure."""

from typing import Final

from fileroom.dicom.encoding import (
    ITEM,
    ITEM_DELIMITATION,
    OTHER_VRS,
    PIXEL_DATA,
    SEQUENCE_DELIMITATION,
    UNDEFINED,
    Buffer,
    ByteOrder,
    element_header,
    looks_implicit,
)
from fileroom.dicom.instance_error import InstanceError

DEPTH_MAX: Final = 64  # nested sequences; real ones have under ten
HEADERS_MAX: Final = 2_000_000
ENDS_MAX: Final = 300_000

# What is open, innermost last: the bytes of a sequence, an item's data set, or fragments.
_SEQUENCE, _FRAGMENTS, _ITEM_UNKNOWN, _ITEM_EXPLICIT, _ITEM_IMPLICIT = range(5)


class UndefinedLength:
    """Walks one value of undefined length, fed in pieces of any size.

    Only what itself has undefined length is entered: items, and the sequences in them. All
    else is stepped over by its length. Nothing of the input is kept.

    Invariant: at most `depth_max` sequences are open, and at most `HEADERS_MAX` headers were
    read, whatever the bytes.
    """

    def __init__(
        self,
        tag: int,
        vr: bytes,
        *,
        implicit: bool,
        order: ByteOrder,
        depth_max: int = DEPTH_MAX,
        ends: dict[int, int] | None = None,
    ) -> None:
        """Start at the first byte of the value of element `tag`.

        Args:
            ends: takes, for each value and item of undefined length inside, where it begins and
                where what follows it begins, up to `ENDS_MAX`.

        Raises:
            InstanceError: a value of this VR has no undefined length, PS3.5 §7.1.3.
        """
        self._implicit = implicit
        self._order = order
        self._depth_max = depth_max
        self._ends = ends
        self._open: list[int] = []
        self._starts: list[int] = []  # where each of them begins
        self.headers = 0  # read so far
        self.need = 8  # bytes that must lie in the buffer from the position on
        self._begin(tag, vr, -1)

    @property
    def done(self) -> bool:
        """Whether the sequence delimitation item has been passed."""
        return not self._open

    def _begin(self, tag: int, vr: bytes, start: int) -> None:
        if tag == PIXEL_DATA or vr in OTHER_VRS:
            self._open.append(_FRAGMENTS)
        elif vr in (b"", b"SQ", b"UN"):
            if len(self._open) >= 2 * self._depth_max:
                raise InstanceError(f"sequences are nested deeper than {self._depth_max}", tag=tag)
            self._open.append(_SEQUENCE)
        else:
            raise InstanceError("undefined length of a value that must have one", tag=tag)
        self._starts.append(start)

    def _end(self, position: int) -> int:
        """Close what is open innermost. Returns `position`, where what follows begins."""
        self._open.pop()
        start = self._starts.pop()
        if self._ends is not None and len(self._ends) < ENDS_MAX:
            self._ends[start] = position
        return position

    def advance(self, data: Buffer, offset: int, *, origin: int = 0) -> int:
        """Walk on through `data` from `offset`, where the last call left off.

        Args:
            origin: where `data` begins in the data set; counts for `ends` only.

        Returns:
            Where to go on: behind the delimiter if `done`; behind the end of `data` if bytes
            are to be stepped over; else where a header begins of which at least `need` bytes
            must be there for the next call.

        Raises:
            InstanceError: not items, too deep, or too many.
        """
        size = len(data)
        unpack = self._order.implicit
        stack = self._open
        while stack:
            self.need = 8
            if offset + 8 > size:
                return offset
            self.headers += 1
            group, element, length = unpack(data, offset)
            tag = group << 16 | element
            kind = stack[-1]
            if kind > _FRAGMENTS:
                offset = self._element(data, offset, tag, origin)
                if self.need > 8:
                    return offset
            elif tag == ITEM:
                offset += 8
                if length != UNDEFINED:
                    offset += length
                elif kind == _FRAGMENTS:
                    raise InstanceError("a fragment has undefined length")
                else:
                    inside_implicit = self._implicit or stack[-2:-1] == [_ITEM_IMPLICIT]
                    stack.append(_ITEM_IMPLICIT if inside_implicit else _ITEM_UNKNOWN)
                    self._starts.append(origin + offset)
            elif tag == SEQUENCE_DELIMITATION:
                offset = self._end(origin + offset + 8) - origin
            else:
                raise InstanceError("an item was expected", tag=tag)
            if self.headers > HEADERS_MAX:
                raise InstanceError(f"more than {HEADERS_MAX} headers in one sequence")
        return offset

    def _element(self, data: Buffer, offset: int, tag: int, origin: int) -> int:
        """Step over the element of an item, or enter it. Returns as `advance` does."""
        stack = self._open
        if tag == ITEM_DELIMITATION:
            return self._end(origin + offset + 8) - origin
        if stack[-1] == _ITEM_UNKNOWN:
            stack[-1] = _ITEM_IMPLICIT if looks_implicit(data, offset) else _ITEM_EXPLICIT
        implicit = stack[-1] == _ITEM_IMPLICIT
        header = element_header(data, offset, implicit, self._order)
        if header is None:
            self.need = 12
            return offset
        tag, vr, header_bytes, length = header
        offset += header_bytes
        if length != UNDEFINED:
            return offset + length
        self._begin(tag, vr, origin + offset)
        return offset
