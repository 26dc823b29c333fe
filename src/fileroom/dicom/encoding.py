"""How the elements of a data set are laid out in bytes, PS3.5 §7.1. Pure."""

from collections.abc import Callable
from struct import Struct
from typing import Final, NamedTuple

IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
EXPLICIT_VR_BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1.99"
DEFLATED = frozenset(
    {
        DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
        "1.2.840.10008.1.2.4.95",  # JPIP Referenced Deflate
        "1.2.840.10008.1.2.4.205",  # JPIP HTJ2K Referenced Deflate
    }
)
NATIVE = frozenset(
    {
        IMPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_BIG_ENDIAN,
        DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    }
)
ENCAPSULATED_UNCOMPRESSED = "1.2.840.10008.1.2.1.98"
# Frames of these are bare little-endian pixels, the same bytes in each of them.
BARE_PIXELS = NATIVE - {EXPLICIT_VR_BIG_ENDIAN} | {ENCAPSULATED_UNCOMPRESSED}
_STANDARD = "1.2.840.10008.1.2."

Buffer = bytes | bytearray | memoryview

# Value representations by the width of their explicit length field, PS3.5 §7.1.2.
SHORT_VRS: Final = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split()
)
LONG_VRS: Final = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
OTHER_VRS: Final = frozenset(b"OB OD OF OL OV OW".split())

UNDEFINED: Final = 0xFFFFFFFF
ITEM: Final = 0xFFFEE000
ITEM_DELIMITATION: Final = 0xFFFEE00D
SEQUENCE_DELIMITATION: Final = 0xFFFEE0DD
PIXEL_DATA: Final = 0x7FE00010

Unpacker = Callable[[Buffer, int], tuple[int, ...]]


class ByteOrder(NamedTuple):
    """The readers of one byte order. Each takes a buffer and an offset."""

    mark: str
    explicit: Callable[[Buffer, int], tuple[int, int, bytes, int]]  # group, element, VR, length
    implicit: Callable[[Buffer, int], tuple[int, int, int]]  # group, element, length
    u32: Unpacker
    u16: Unpacker


def _order(mark: str) -> ByteOrder:
    return ByteOrder(
        mark,
        Struct(mark + "HH2sH").unpack_from,
        Struct(mark + "HHI").unpack_from,
        Struct(mark + "I").unpack_from,
        Struct(mark + "H").unpack_from,
    )


LITTLE: Final = _order("<")
BIG: Final = _order(">")


class Encoding(NamedTuple):
    """What a transfer syntax says about the bytes of a data set."""

    implicit: bool
    order: ByteOrder
    deflated: bool


def encoding_of(transfer_syntax_uid: str) -> Encoding:
    """The encoding that `transfer_syntax_uid` names. Every syntax that is not one of the
    native or deflated ones encodes its data set as Explicit VR Little Endian, PS3.5 §A.4."""
    return Encoding(
        transfer_syntax_uid == IMPLICIT_VR_LITTLE_ENDIAN,
        BIG if transfer_syntax_uid == EXPLICIT_VR_BIG_ENDIAN else LITTLE,
        transfer_syntax_uid in DEFLATED,
    )


def encapsulates(transfer_syntax_uid: str) -> bool | None:
    """Whether pixel data of this transfer syntax is encapsulated, PS3.5 §A.4: it is in all of
    the standard's but the native ones. None: the transfer syntax is a private one."""
    if transfer_syntax_uid in NATIVE:
        return False
    return True if transfer_syntax_uid.startswith(_STANDARD) else None


def looks_implicit(data: Buffer, offset: int) -> bool:
    """Whether the element at `offset` (six bytes or more) has no VR: two capital letters.

    Senders exist that announce one encoding and send the other, and an explicit data set may
    hold implicit items (PS3.5 §6.2.2). Two letters as the low half of an implicit length would
    mean a first element of over 16 KiB, so the bytes speak for themselves.
    """
    return not (0x40 < data[offset + 4] < 0x5B and 0x40 < data[offset + 5] < 0x5B)


def element_header(
    data: Buffer, offset: int, implicit: bool, order: ByteOrder
) -> tuple[int, bytes, int, int] | None:
    """The header of the element at `offset`, of which eight bytes are there.

    Returns:
        Tag, VR (empty if the element carries none), size of the header in bytes, length of
        the value or UNDEFINED; None if the header goes on behind the end of `data`.

    A VR that we do not know has a 16-bit length, and an element of an explicit data set
    without a VR is implicit: as pydicom reads them.
    """
    if implicit:
        group, element, length = order.implicit(data, offset)
        return group << 16 | element, b"", 8, length
    group, element, vr, length = order.explicit(data, offset)
    tag = group << 16 | element
    if vr in SHORT_VRS:
        return tag, vr, 8, length
    if vr in LONG_VRS:
        if len(data) < offset + 12:
            return None
        return tag, vr, 12, order.u32(data, offset + 8)[0]
    if b"AA" <= vr <= b"ZZ":
        return tag, vr, 8, length
    return tag, b"", 8, order.u32(data, offset + 4)[0]
