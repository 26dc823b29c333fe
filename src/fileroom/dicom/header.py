"""Who is this instance: the attributes that identify it, read while its bytes arrive. Pure."""

from struct import Struct
from struct import error as StructError
from typing import Final

from msgspec import Struct as Record

from fileroom.dicom.encoding import (
    ITEM_DELIMITATION,
    LITTLE,
    LONG_VRS,
    SHORT_VRS,
    UNDEFINED,
    Buffer,
    element_header,
    encoding_of,
    looks_implicit,
)
from fileroom.dicom.header_attributes import (
    ATTRIBUTES,
    KEYWORDS,
    REQUEST_ATTRIBUTES_SEQUENCE,
    SCANNED,
    VALUE_BYTES_MAX,
    attributes_of,
    header_character_set,
    number_text,
    request_attributes,
)
from fileroom.dicom.inflate import Inflater
from fileroom.dicom.instance_error import IdentityError, InstanceError
from fileroom.dicom.uid import is_safe
from fileroom.dicom.undefined_length import UndefinedLength

__all__ = ["KEYWORDS", "Header", "HeaderScanner", "InstanceError"]

LAST_GROUP: Final = 0x0040
BLOCK_BYTES: Final = 16 * 1024
# Before the identification is known. Real headers have a tenth of the first; what is stepped
# over does not count.
WALKED_BYTES_MAX: Final = 8 << 20
INFLATED_BYTES_MAX: Final = 64 << 20

IDENTIFICATION: Final = {
    0x00080016: "SOPClassUID",
    0x00080018: "SOPInstanceUID",
    0x0020000D: "StudyInstanceUID",
    0x0020000E: "SeriesInstanceUID",
}
NUMBERS: Final = frozenset(tag for tag, attribute in ATTRIBUTES.items() if attribute.vr == "US")

# Tables of the fast loops, which read a little-endian tag as one number: element, then group.
# Those that need a closer look (binary numbers, the sequence) are negative there.
_CLOSER: Final = NUMBERS | {REQUEST_ATTRIBUTES_SEQUENCE}
_WANTED: Final = {
    (tag & 0xFFFF) << 16 | tag >> 16: -tag if tag in _CLOSER else tag
    for tag in (*SCANNED, REQUEST_ATTRIBUTES_SEQUENCE)
}
_IDENTIFIED: Final = frozenset(IDENTIFICATION)
_US: Final = int.from_bytes(b"US", "little")
_HEADER_BYTES: Final = bytearray(1 << 16)  # by VR as a number; zero for what is no VR
for _vrs, _size in ((SHORT_VRS, 8), (LONG_VRS, 12)):
    for _vr in _vrs:
        _HEADER_BYTES[int.from_bytes(_vr, "little")] = _size
_unpack_explicit: Final = Struct("<IHH").unpack_from
_unpack_implicit: Final = Struct("<II").unpack_from
_unpack_length: Final = Struct("<8xI").unpack_from


class Header(Record, frozen=True):
    """What identifies and describes an instance.

    Attributes:
        attributes: keyword to text in Unicode, several values joined by backslash as in the
            data set, padding stripped; an attribute that is absent or empty is not there. See
            `KEYWORDS`.
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    attributes: dict[str, str]


class HeaderScanner:
    """Reads a header out of a data set that arrives in pieces of any size.

    Feed until `feed` returns True or the data set ends, then `finish`. Elements behind group
    0040H are not looked at unless the UIDs are still missing. Where one element occurs twice
    the later one counts, as in pydicom.

    Invariant: at most `VALUE_BYTES_MAX` and `BLOCK_BYTES` are held besides the wanted values,
    of which longer ones are dropped. Any split of the bytes gives the same header or error (where
    `WALKED_BYTES_MAX` falls depends on it by a block).
    """

    def __init__(self, transfer_syntax_uid: str) -> None:
        encoding = encoding_of(transfer_syntax_uid)
        self._implicit = encoding.implicit
        self._order = encoding.order
        self._inflater = Inflater() if encoding.deflated else None
        self._inflated_bytes = 0
        self._found: dict[int, bytes] = {}
        self._request = b""  # the value of the Request Attributes Sequence
        self._done = False
        self._error: InstanceError | None = None
        self._begun = False
        self._position = 0  # of the next byte to walk, in the (inflated) data set
        self._pending = bytearray()  # bytes from there on
        self._need = 8  # how many must be there to go on
        self._skip = 0  # or: how many to step over first
        self._walked_bytes = 0
        self._inside: UndefinedLength | None = None  # the value of undefined length being walked
        self._inside_tag = 0
        self._capture: bytearray | None = None  # its bytes, if they are wanted

    def feed(self, data: Buffer) -> bool:
        """Take the next bytes of the data set. True: all that is wanted has been seen.

        Raises:
            InstanceError: malformed, or too much of it; again on every later call.
        """
        if self._error:
            raise self._error
        try:
            if self._inflater is None:
                self._take(memoryview(data))
            elif not self._done:
                for piece in self._inflater.inflate(data):
                    self._take(memoryview(piece))
                    self._inflated_bytes += len(piece)
                    if self._done:
                        break
                    if self._inflated_bytes > INFLATED_BYTES_MAX:
                        raise InstanceError(f"over {INFLATED_BYTES_MAX} B inflated without an end")
        except InstanceError as error:
            self._error = error
            raise
        return self._done

    def finish(self) -> Header:
        """The header, once `feed` returned True or the data set has ended.

        Raises:
            InstanceError: the data set ends inside an element.
            IdentityError: a UID is missing or unsafe.
        """
        if self._error:
            raise self._error
        # Some writers pad a file with zeros; anything else at the end is a torn element.
        torn = self._skip or self._inside or any(self._pending)
        if self._inflater and not self._inflater.ended:
            torn = True
        if torn and not self._done:
            raise InstanceError("the data set ends inside an element", offset=self._position)
        found = self._found
        attributes = attributes_of(found)
        for tag, keyword in IDENTIFICATION.items():
            uid = attributes.get(keyword)
            if uid is None:
                raise IdentityError(f"{keyword} is missing or empty", tag=tag)
            if not is_safe(uid):
                raise IdentityError(f"{keyword} of {len(uid)} characters is not a UID", tag=tag)
        if self._request:
            attributes |= request_attributes(
                self._request, self._implicit, self._order, header_character_set(found)
            )
        return Header(
            attributes["SOPClassUID"],
            attributes["SOPInstanceUID"],
            attributes["StudyInstanceUID"],
            attributes["SeriesInstanceUID"],
            attributes,
        )

    def _take(self, data: memoryview) -> None:
        """Cut `data` into blocks and walk them."""
        size = len(data)
        at = 0
        while at < size and not self._done:
            if self._skip:
                step = min(self._skip, size - at)
                self._keep(data[at : at + step])
                self._skip -= step
                at += step
                continue
            missing = self._need - len(self._pending)
            if missing > size - at:
                self._pending += data[at:]
                return
            step = min(max(missing, BLOCK_BYTES), size - at)
            block = bytes(data[at : at + step])
            if self._pending:
                block = bytes(self._pending) + block
                self._pending.clear()
            at += step
            self._need = 8
            position = self._walk(block)
            self._position += position
            self._walked_bytes += min(position, len(block))
            if self._walked_bytes > WALKED_BYTES_MAX:
                raise InstanceError(f"over {WALKED_BYTES_MAX} B of elements without an end")
            if position > len(block):
                self._skip = position - len(block)
            elif position < len(block):
                self._pending += block[position:]

    def _keep(self, data: Buffer) -> None:
        """Collect bytes of a wanted value of undefined length, unless they become too many."""
        if self._capture is not None:
            self._capture += data
            if len(self._capture) > VALUE_BYTES_MAX:
                self._capture = None

    def _walk(self, block: bytes) -> int:
        """Walk `block` from its start, where an element or a header inside a value of undefined
        length begins. Returns where to go on; sets `_need` if that lies in the block."""
        position = 0
        while not self._done:
            start = position
            if self._inside:
                position = self._inside.advance(block, position)
                self._keep(block[start:position])
                if not self._inside.done:
                    self._need = self._inside.need
                    return position
                if self._capture is not None:
                    self._set(self._inside_tag, bytes(self._capture))
                self._inside = self._capture = None
            elif len(block) < position + 8:
                return position
            elif not self._begun:
                position = self._begin(block, position)
            else:
                if self._order is LITTLE:
                    position = (self._fast_implicit if self._implicit else self._fast_explicit)(
                        block, position
                    )
                    if self._done or len(block) < position + 8:
                        return position
                start = position
                position = self._step(block, position)
                if position == start and not self._inside:
                    return position
        return position

    def _begin(self, block: bytes, position: int) -> int:
        """Find out how the first elements are really encoded."""
        group, _, length = LITTLE.implicit(block, position)
        if group == 0:
            # A command set (PS3.7 §6.3.1) got into the data set. It is implicit little endian.
            return position + 8 + length
        self._implicit = looks_implicit(block, position)
        self._begun = True
        return position

    def _fast_explicit(self, block: bytes, position: int) -> int:
        """Walk explicit little-endian elements until one needs a closer look."""
        found, wanted, header_bytes, unpack = self._found, _WANTED, _HEADER_BYTES, _unpack_explicit
        try:
            while True:
                tag, vr, length = unpack(block, position)
                if header_bytes[vr] == 8:
                    value = position + 8
                    if tag in wanted:
                        key = wanted[tag]
                        if len(block) < value + length or (key < 0 and (vr != _US or length != 2)):
                            return position
                        if key < 0:
                            self._set(-key, b"%d" % (block[value] | block[value + 1] << 8))
                        else:
                            found[key] = block[value : value + length]
                    position = value + length
                elif header_bytes[vr]:
                    (length,) = _unpack_length(block, position)
                    if tag & 0xFFFF > LAST_GROUP:
                        self._done = found.keys() >= _IDENTIFIED
                        return position
                    if length == UNDEFINED or tag in wanted:
                        return position
                    position += 12 + length
                else:
                    return position
        except StructError:  # at the end of the block, or behind it
            return position

    def _fast_implicit(self, block: bytes, position: int) -> int:
        """Walk implicit little-endian elements until one needs a closer look."""
        found, wanted, unpack = self._found, _WANTED, _unpack_implicit
        try:
            while True:
                tag, length = unpack(block, position)
                if tag & 0xFFFF > LAST_GROUP:
                    self._done = found.keys() >= _IDENTIFIED
                    return position
                if length == UNDEFINED:
                    return position
                end = position + 8 + length
                if tag in wanted:
                    key = wanted[tag]
                    if key < 0 or length > VALUE_BYTES_MAX or len(block) < end:
                        return position
                    found[key] = block[position + 8 : end]
                position = end
        except StructError:  # at the end of the block, or behind it
            return position

    def _step(self, block: bytes, position: int) -> int:
        """Take the one element at `position`, of which eight bytes are there. Returns the
        position behind it; the same position if more bytes are needed or its value, of
        undefined length, begins a walk of its own."""
        header = element_header(block, position, self._implicit, self._order)
        if header is None:
            self._need = 12
            return position
        tag, vr, header_bytes, length = header
        if tag == ITEM_DELIMITATION:  # outside any item: nothing behind it is this data set's
            self._done = True
            return position
        if tag >> 16 > LAST_GROUP and vr not in SHORT_VRS:
            self._done = self._found.keys() >= _IDENTIFIED
            if self._done:
                return position
        wanted = tag in SCANNED or tag == REQUEST_ATTRIBUTES_SEQUENCE
        if length == UNDEFINED:
            self._inside = UndefinedLength(tag, vr, implicit=self._implicit, order=self._order)
            self._inside_tag = tag
            self._capture = bytearray() if wanted else None
            return position + header_bytes
        end = position + header_bytes + length
        if not wanted or length > VALUE_BYTES_MAX:
            return end
        if end > len(block):
            self._need = header_bytes + length
            return position
        value = block[position + header_bytes : end]
        self._set(tag, number_text(value, vr, self._order) if tag in NUMBERS else value)
        return end

    def _set(self, tag: int, value: bytes) -> None:
        if tag == REQUEST_ATTRIBUTES_SEQUENCE:
            self._request = value
        else:
            self._found[tag] = value
