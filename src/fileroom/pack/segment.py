"""Segments: where they lie in a pack, and how one is sealed and opened. Pure."""

from struct import Struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fileroom.pack.format import (
    HEADER_SIZE_BYTES,
    SEGMENT_COUNT_MAX,
    SEGMENT_SIZE_BYTES,
    TAG_SIZE_BYTES,
    DamagedPackError,
    pack_key,
    split_header,
)

Buffer = bytes | bytearray | memoryview

PLAINTEXT_SIZE_BYTES = SEGMENT_SIZE_BYTES - TAG_SIZE_BYTES
FIRST_PLAINTEXT_SIZE_BYTES = PLAINTEXT_SIZE_BYTES - HEADER_SIZE_BYTES
NONCE = Struct(">7sIB")  # nonce prefix, segment number, 1 for the last segment


def ciphertext_size_bytes(plaintext_size_bytes: int) -> int:
    """Size of the pack whose plaintext has this many bytes, at least one."""
    assert plaintext_size_bytes > 0
    count = -(-(plaintext_size_bytes + HEADER_SIZE_BYTES) // PLAINTEXT_SIZE_BYTES)
    return HEADER_SIZE_BYTES + plaintext_size_bytes + TAG_SIZE_BYTES * count


class Segments:
    """The segments of a pack of `size_bytes` bytes, header included.

    Raises:
        DamagedPackError: no pack can have this size.
    """

    __slots__ = ("count", "plaintext_size_bytes", "size_bytes")

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.count = max(1, -(-size_bytes // SEGMENT_SIZE_BYTES))
        self.plaintext_size_bytes = size_bytes - HEADER_SIZE_BYTES - TAG_SIZE_BYTES * self.count
        before_last = (self.count - 1) * SEGMENT_SIZE_BYTES or HEADER_SIZE_BYTES
        if size_bytes - before_last <= TAG_SIZE_BYTES or self.count > SEGMENT_COUNT_MAX:
            raise DamagedPackError(f"no pack is {size_bytes} B long")

    def plan(self, start: int, end: int) -> range:
        """Segments that hold plaintext bytes [start, end) of the pack.

        Args:
            start, end: byte offsets into the plaintext; 0 <= start < end <= plaintext_size_bytes.

        Returns:
            Segment numbers in file order. The first and last may hold more than was asked.

        Source: docs/format/pack.md §2.
        """
        if not 0 <= start < end <= self.plaintext_size_bytes:
            total = self.plaintext_size_bytes
            raise ValueError(f"[{start}, {end}) is not a range of {total} B of plaintext")
        first = (start + HEADER_SIZE_BYTES) // PLAINTEXT_SIZE_BYTES
        last = (end - 1 + HEADER_SIZE_BYTES) // PLAINTEXT_SIZE_BYTES
        return range(first, last + 1)

    def ciphertext_range(self, segments: range) -> tuple[int, int]:
        """The bytes of the pack that hold these segments, as [start, end)."""
        start = segments[0] * SEGMENT_SIZE_BYTES or HEADER_SIZE_BYTES
        return start, min((segments[-1] + 1) * SEGMENT_SIZE_BYTES, self.size_bytes)

    def plaintext_start(self, segment: int) -> int:
        """Offset in the plaintext of a segment's first byte."""
        return max(0, segment * PLAINTEXT_SIZE_BYTES - HEADER_SIZE_BYTES)


class SegmentCipher:
    """Seals and opens the segments of the one pack that `header` belongs to.

    Sealing two different plaintexts as one segment gives both away: a header is used once.
    """

    def __init__(self, key: bytes, header: bytes) -> None:
        salt, self._nonce_prefix = split_header(header)
        self._aes = AESGCM(pack_key(key, salt))

    def seal(self, index: int, last: bool, plaintext: Buffer) -> bytes:
        """The ciphertext and tag of segment `index`."""
        return self._aes.encrypt(NONCE.pack(self._nonce_prefix, index, last), plaintext, None)

    def seal_into(self, index: int, last: bool, plaintext: Buffer, out: memoryview) -> None:
        """As `seal`, into `out`, which must be exactly 16 bytes longer than the plaintext."""
        nonce = NONCE.pack(self._nonce_prefix, index, last)
        self._aes.encrypt_into(nonce, plaintext, None, out)

    def open(self, index: int, last: bool, ciphertext: Buffer) -> bytes:
        """The plaintext of segment `index`.

        Raises:
            DamagedPackError: these are not the bytes that were sealed in this place.
        """
        try:
            return self._aes.decrypt(NONCE.pack(self._nonce_prefix, index, last), ciphertext, None)
        except InvalidTag:
            raise _refusal(index, last) from None

    def open_into(self, index: int, last: bool, ciphertext: Buffer, out: memoryview) -> None:
        """As `open`, into `out`, which must be exactly 16 bytes shorter than the ciphertext."""
        nonce = NONCE.pack(self._nonce_prefix, index, last)
        try:
            self._aes.decrypt_into(nonce, ciphertext, None, out)
        except InvalidTag:
            raise _refusal(index, last) from None


def _refusal(index: int, last: bool) -> DamagedPackError:
    place = f"segment {index}, the last," if last else f"segment {index}"
    return DamagedPackError(
        f"{place} does not open: changed or cut bytes, another pack's, or another key"
    )
