"""The items that association PDUs are made of: a type, a 16-bit length, a value. Pure."""

from collections.abc import Iterator
from enum import IntEnum
from struct import Struct

from fileroom.errors import PeerError

HEADER = Struct(">BxH")  # Item-type, reserved, Item-length: big-endian (PS3.8 §9.3.1)
LENGTH = Struct(">H")


class AbortSource(IntEnum):
    """Who aborts (PS3.8 §9.3.8, Table 9-26)."""

    USER = 0
    PROVIDER = 2


class AbortReason(IntEnum):
    """Reason/Diag. of an A-ABORT by the provider (PS3.8 §9.3.8, Table 9-26)."""

    NOT_SPECIFIED = 0
    UNRECOGNIZED_PDU = 1
    UNEXPECTED_PDU = 2
    UNRECOGNIZED_PARAMETER = 4
    UNEXPECTED_PARAMETER = 5
    INVALID_PARAMETER = 6


class MalformedPduError(PeerError):
    """The bytes cannot be a PDU that we accept; the association is lost.

    Attributes:
        reason: Reason/Diag. for the A-ABORT owed to the peer (PS3.8 §9.3.8).
    """

    def __init__(self, message: str, *, reason: AbortReason) -> None:
        super().__init__(message)
        self.reason = reason


def invalid(message: str) -> MalformedPduError:
    """The error for a field whose value the standard does not allow."""
    return MalformedPduError(message, reason=AbortReason.INVALID_PARAMETER)


def items(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Type, start and end of the value of each item in `data[start:end]`, in order.

    Raises:
        MalformedPduError: an item runs over `end`. Items before it have been given.
    """
    while start < end:
        if end - start < HEADER.size:
            raise invalid(f"{end - start} B left where an item header should stand")
        item_type, length_bytes = HEADER.unpack_from(data, start)
        start += HEADER.size
        if length_bytes > end - start:
            raise invalid(
                f"item {item_type:02X}H of {length_bytes} B runs over the {end - start} B left"
            )
        yield item_type, start, start + length_bytes
        start += length_bytes


def counted(data: bytes, start: int, end: int) -> tuple[bytes, int]:
    """A field that stands behind its own 16-bit length, and where the next field begins."""
    if end - start < LENGTH.size:
        raise invalid(f"{end - start} B left where a field length should stand")
    (length_bytes,) = LENGTH.unpack_from(data, start)
    start += LENGTH.size
    if length_bytes > end - start:
        raise invalid(f"field of {length_bytes} B runs over the {end - start} B left")
    return data[start : start + length_bytes], start + length_bytes


def encode_item(item_type: int, value: bytes) -> bytes:
    return HEADER.pack(item_type, len(value)) + value


def encode_counted(value: bytes) -> bytes:
    return LENGTH.pack(len(value)) + value


def uid_text(value: bytes) -> str:
    """A UID as text (PS3.8 Annex F). A trailing NUL or space, which many peers send, is dropped.

    Bytes that no UID may have stay as they are: such a UID is equal to none that we know, so its
    presentation context is refused and the association lives on.
    """
    return value.rstrip(b"\0 ").decode("latin-1")


def encode_uid(uid: str) -> bytes:
    return uid.encode("ascii")
