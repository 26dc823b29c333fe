"""The bytes of a segment file: docs/format/spool.md §2 and §3 as code. Pure."""

import struct
import sys
import zlib
from array import array
from itertools import chain, pairwise
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fileroom.spool.failure import DamagedSegmentError, NewerFormatError, WrongKeyError

Buffer = bytes | bytearray | memoryview

MAGIC = b"FRSPOOL\0"
MAJOR, MINOR = 1, 0
WRAP_CONTEXT = b"fileroom-spool-v1"
BLOCK_BYTES = 4096
SEGMENT_HEADER_BYTES = BLOCK_BYTES
DATA, COMMIT, END = b"FRSD", b"FRSC", b"FRSE"
KINDS = frozenset((DATA, COMMIT, END))
FRAME_HEADER_BYTES = 32
TAG_BYTES = 16
FRAME_OVERHEAD_BYTES = FRAME_HEADER_BYTES + TAG_BYTES
DATA_FRAME_BYTES = 64 * BLOCK_BYTES
CHUNK_BYTES = DATA_FRAME_BYTES - FRAME_OVERHEAD_BYTES  # of a data set, in one data frame
DATA_FRAMES_MAX = 1 << 20
DESCRIPTION_BYTES_MAX = 1 << 20
COMMIT_FIXED_BYTES = 56
COMMIT_PLAINTEXT_BYTES_MAX = COMMIT_FIXED_BYTES + 8 * DATA_FRAMES_MAX + DESCRIPTION_BYTES_MAX
END_PLAINTEXT_BYTES = 8
END_FRAME_BYTES = FRAME_OVERHEAD_BYTES + END_PLAINTEXT_BYTES

_SEGMENT = struct.Struct(">8sHHIQ12s48s")
_FRAME = struct.Struct(">4sIQQI")
_COMMIT = struct.Struct(">Q32sQII")
_ZERO = memoryview(bytes(BLOCK_BYTES))
_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")
_ASSOCIATED_BYTES = 24  # of the segment header


def segment_name(number: int) -> str:
    """File name of segment `number`."""
    return f"{number:08d}.seg"


def segment_number(name: str) -> int | None:
    """Number of the segment file `name`; None if it is not one."""
    stem, dot, suffix = name.partition(".")
    if suffix != "seg" or not dot or not (stem.isascii() and stem.isdigit()):
        return None
    return int(stem) if segment_name(int(stem)) == name else None


def block_end(offset: int) -> int:
    """The next block boundary at or after `offset`."""
    return (offset + BLOCK_BYTES - 1) // BLOCK_BYTES * BLOCK_BYTES


def seal_segment_header(
    number: int, *, spool_key: bytes, segment_key: bytes, nonce: bytes, created_at_ns: int
) -> bytes:
    """The header block of a new segment. `nonce` (12) and `segment_key` (32) must be random."""
    start = _SEGMENT.pack(MAGIC, MAJOR, MINOR, number, created_at_ns, nonce, bytes(48))
    associated = WRAP_CONTEXT + start[:_ASSOCIATED_BYTES]
    wrapped = AESGCM(spool_key).encrypt(nonce, segment_key, associated)
    fields = start[:-48] + wrapped
    return (fields + _U32.pack(zlib.crc32(fields))).ljust(SEGMENT_HEADER_BYTES, b"\0")


def open_segment_header(data: Buffer, number: int, *, spool_key: bytes) -> bytes:
    """The segment key of segment `number`, whose first block is `data`.

    Raises:
        DamagedSegmentError: not a header, another segment's, or (WrongKeyError) of another
            spool key.
        NewerFormatError: its major version is higher than ours.
    """
    fields = bytes(data[: _SEGMENT.size])
    if len(data) < SEGMENT_HEADER_BYTES or not is_segment_header(data):
        raise DamagedSegmentError("no valid segment header", segment=number, offset=0)
    _, major, _, told_number, _, nonce, wrapped = _SEGMENT.unpack(fields)
    if major > MAJOR:
        raise NewerFormatError(f"segment {number} has format {major}, we read up to {MAJOR}")
    if told_number != number:
        message = f"the segment header is that of segment {told_number}"
        raise DamagedSegmentError(message, segment=number, offset=0)
    try:
        return AESGCM(spool_key).decrypt(nonce, wrapped, WRAP_CONTEXT + fields[:_ASSOCIATED_BYTES])
    except InvalidTag:
        message = "the segment key does not open with the spool key"
        raise WrongKeyError(message, segment=number, offset=0) from None


def is_segment_header(data: Buffer) -> bool:
    """Whether `data` begins with the fields of a segment header whose CRC is right."""
    fields = bytes(data[: _SEGMENT.size])
    crc = bytes(data[_SEGMENT.size : _SEGMENT.size + 4])
    return fields.startswith(MAGIC) and crc == _U32.pack(zlib.crc32(fields))


class FrameHeader(NamedTuple):
    """The readable part of a frame.

    Attributes:
        length_bytes: of the plaintext.
        offset: where in the file the frame begins.
        landing: number of the landing in its segment.
        ordinal: see docs/format/spool.md §3.
    """

    kind: bytes
    length_bytes: int
    offset: int
    landing: int
    ordinal: int

    @property
    def frame_bytes(self) -> int:
        """Size of the whole frame in the file."""
        return FRAME_OVERHEAD_BYTES + self.length_bytes

    @property
    def next_offset(self) -> int:
        """Where the frame after this one begins."""
        return block_end(self.offset + self.frame_bytes)


LENGTH_BYTES_MAX = {
    DATA: CHUNK_BYTES,
    COMMIT: COMMIT_PLAINTEXT_BYTES_MAX,
    END: END_PLAINTEXT_BYTES,
}


def parse_frame_header(data: Buffer, offset: int) -> FrameHeader | None:
    """The frame header at the start of `data`, read at `offset` of the file.

    Returns:
        None where no frame begins: no header, a broken one, or one that belongs elsewhere.
    """
    if len(data) < FRAME_HEADER_BYTES:
        return None
    header = FrameHeader._make(_FRAME.unpack_from(data))
    if header.kind not in KINDS or header.offset != offset:
        return None
    if _U32.unpack_from(data, _FRAME.size)[0] != zlib.crc32(data[: _FRAME.size]):
        return None
    return header if header.length_bytes <= LENGTH_BYTES_MAX[header.kind] else None


class FrameCipher:
    """Seals and opens the frames of one segment. Seal each offset once only."""

    def __init__(self, segment_key: bytes, *, segment: int) -> None:
        self.segment = segment
        self._aead = AESGCM(segment_key)

    def seal_into(self, out: memoryview, plaintext: Buffer, header: FrameHeader) -> None:
        """Write the frame to `out`, which is as long as the frame with its padding."""
        _FRAME.pack_into(out, 0, *header)
        _U32.pack_into(out, _FRAME.size, zlib.crc32(out[: _FRAME.size]))
        self._aead.encrypt_into(
            header.offset.to_bytes(12, "big"),
            plaintext,
            out[:FRAME_HEADER_BYTES],
            out[FRAME_HEADER_BYTES : header.frame_bytes],
        )
        if padding_bytes := len(out) - header.frame_bytes:
            out[header.frame_bytes :] = _ZERO[:padding_bytes]

    def open(self, frame: Buffer, header: FrameHeader) -> bytes:
        """The plaintext of `frame`, which must be the very frame that `header` tells.

        Raises:
            DamagedSegmentError: it is not.
        """
        view = memoryview(frame)
        if parse_frame_header(view, header.offset) == header and len(view) == header.frame_bytes:
            try:
                return self._aead.decrypt(
                    header.offset.to_bytes(12, "big"),
                    view[FRAME_HEADER_BYTES:],
                    view[:FRAME_HEADER_BYTES],
                )
            except InvalidTag:
                pass
        what = header.kind.decode("ascii")
        message = f"{what} frame of {header.length_bytes} B is damaged"
        raise DamagedSegmentError(message, segment=self.segment, offset=header.offset)


class Commit(NamedTuple):
    """The plaintext of a commit frame.

    Attributes:
        mark: everything before this offset was durable when the frame was made.
        offsets: of the data frames, in order of the data set.
        description: MessagePack.
    """

    size_bytes: int
    sha256: bytes
    mark: int
    offsets: "array[int]"
    description: bytes

    def data_header(self, ordinal: int, landing: int) -> FrameHeader:
        """What the header of data frame `ordinal` must say."""
        start = ordinal * CHUNK_BYTES
        length_bytes = min(CHUNK_BYTES, self.size_bytes - start)
        return FrameHeader(DATA, length_bytes, self.offsets[ordinal], landing, ordinal)


def encode_commit(commit: Commit) -> bytes:
    """The plaintext of a commit frame."""
    fixed = _COMMIT.pack(
        commit.size_bytes,
        commit.sha256,
        commit.mark,
        len(commit.offsets),
        len(commit.description),
    )
    return fixed + _big_endian(commit.offsets).tobytes() + commit.description


def decode_commit(data: bytes, header: FrameHeader, *, segment: int) -> Commit:
    """The commit of the plaintext `data` of the frame `header`.

    Raises:
        DamagedSegmentError: its parts contradict one another.
    """
    fixed = data[:COMMIT_FIXED_BYTES].ljust(COMMIT_FIXED_BYTES, b"\0")
    size_bytes, sha256, mark, count, description_bytes = _COMMIT.unpack(fixed)
    offsets_end = COMMIT_FIXED_BYTES + 8 * count
    if offsets_end + description_bytes != len(data):
        raise DamagedSegmentError(
            "commit frame has a wrong length", segment=segment, offset=header.offset
        )
    offsets = array("Q", data[COMMIT_FIXED_BYTES:offsets_end])
    commit = Commit(size_bytes, sha256, mark, _big_endian(offsets), data[offsets_end:])
    chunks = -(-size_bytes // CHUNK_BYTES)
    places = chain((0,), commit.offsets, (header.offset,))
    rising = all(before < after for before, after in pairwise(places))
    if not (count == chunks == header.ordinal and rising and mark <= header.offset):
        raise DamagedSegmentError(
            "commit frame contradicts itself", segment=segment, offset=header.offset
        )
    return commit


def encode_end(commits: int) -> bytes:
    """The plaintext of an end frame."""
    return _U64.pack(commits)


def decode_end(data: bytes) -> int:
    """How many commit frames an end frame tells."""
    return int.from_bytes(data, "big")


def _big_endian(offsets: "array[int]") -> "array[int]":
    """`offsets` with their bytes swapped where the machine is little-endian; a copy."""
    swapped = offsets[:]
    if sys.byteorder == "little":
        swapped.byteswap()
    return swapped
