"""One local file of batches: docs/format/ledger.md §4 as code. Reads files, writes none."""

import os
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from struct import Struct
from typing import BinaryIO, NamedTuple

from fileroom.errors import IntegrityError
from fileroom.ledger.merkle import HASH_BYTES
from fileroom.ledger.record import SEALED_BYTES_MAX, Stored
from fileroom.ledger.tiles import ENTRY_BYTES_MAX, TileTree, edge_bytes

SUFFIX = ".seg"
READ_BYTES = 1 << 20
PAYLOAD_BYTES_MAX = 1 << 21

HEADER_MAGIC = b"FRLEDGR1"
HEADER = Struct(">8sQQH")  # magic, number of the segment, first index, length of the site's name
BATCH_MAGIC = b"FRLB"
BATCH = Struct(">4sIQI")  # magic, payload length, first index, number of records
BATCH_OVERHEAD_BYTES = BATCH.size + HASH_BYTES
ENTRY_LENGTH = Struct(">H")
BODY_LENGTH = Struct(">I")
RECORD_OVERHEAD_BYTES = ENTRY_LENGTH.size + BODY_LENGTH.size


class SegmentError(IntegrityError):
    """A segment file is damaged, missing or another's."""


class Batch(NamedTuple):
    """Records that became durable together, at bytes [offset, end) of their file."""

    first_index: int
    offset: int
    end: int
    records: tuple[Stored, ...]


def file_name(number: int) -> str:
    return f"{number:08d}{SUFFIX}"


def header_bytes(number: int, site: str, tree: TileTree) -> bytes:
    """The header of a segment that goes on where `tree` ends."""
    name = site.encode()
    head = HEADER.pack(HEADER_MAGIC, number, tree.size, len(name)) + name + tree.edge()
    return head + sha256(head).digest()


def batch_bytes(first_index: int, records: Sequence[Stored]) -> bytes:
    """The batch of `records`; the caller keeps it under PAYLOAD_BYTES_MAX."""
    parts: list[bytes] = []
    for entry, body in records:
        parts += ENTRY_LENGTH.pack(len(entry)), entry, BODY_LENGTH.pack(len(body)), body
    payload = b"".join(parts)
    assert len(payload) <= PAYLOAD_BYTES_MAX
    head = BATCH.pack(BATCH_MAGIC, len(payload), first_index, len(records))
    return head + sha256(head + payload).digest() + payload


class Segment:
    """One segment file, read through its own descriptor each time.

    Attributes:
        first_index: as the file says in its first bytes; `tree` checks the whole header.
    """

    def __init__(self, path: Path, number: int, *, site: str, first_index: int) -> None:
        self.path = path
        self.number = number
        self.site = site
        self.first_index = first_index
        self._starts = (array("Q"), array("Q"))  # of batches: first indexes, offsets

    @classmethod
    def find(cls, path: Path, number: int, *, site: str) -> "Segment | None":
        """The segment in the file `path`, or None where it does not begin with a header.

        Raises:
            SegmentError: it begins with the header of another segment or site.
        """
        with path.open("rb") as file:
            head = file.read(HEADER.size)
        if len(head) < HEADER.size or head[: len(HEADER_MAGIC)] != HEADER_MAGIC:
            return None
        _, own_number, first_index, name_bytes = HEADER.unpack(head)
        if own_number != number or name_bytes != len(site.encode()):
            raise SegmentError(f"ledger segment {number} is another's by its header")
        return cls(path, number, site=site, first_index=first_index)

    @property
    def header_size_bytes(self) -> int:
        return HEADER.size + len(self.site.encode()) + edge_bytes(self.first_index) + HASH_BYTES

    def header(self) -> bytes | None:
        """The header without its hash, or None where it is not whole and valid."""
        with self.path.open("rb") as file:
            header = file.read(self.header_size_bytes)
        head, digest = header[:-HASH_BYTES], header[-HASH_BYTES:]
        if len(header) < self.header_size_bytes or sha256(head).digest() != digest:
            return None
        return head

    def tree(self) -> TileTree:
        """The tree where this segment begins.

        Raises:
            SegmentError: the header is damaged, or of another segment or site.
        """
        name = self.site.encode()
        start = HEADER.pack(HEADER_MAGIC, self.number, self.first_index, len(name)) + name
        head = self.header()
        if head is None:
            raise SegmentError(f"the header of ledger segment {self.number} is damaged")
        if not head.startswith(start):
            raise SegmentError(f"ledger segment {self.number} is another's by its header")
        return TileTree.resume(self.first_index, head[len(start) :])

    def batches(self, *, from_index: int | None = None) -> Iterator[Batch]:
        """Whole and valid batches in order, up to the first that is not.

        Args:
            from_index: where the batches have been noted, begin with the one that holds this
                index; otherwise those before it are read too.
        """
        offset, index = self.header_size_bytes, self.first_index
        firsts, offsets = self._starts
        if from_index is not None and len(firsts):
            at = max(bisect_right(firsts, from_index) - 1, 0)
            offset, index = offsets[at], firsts[at]
        with self.path.open("rb", buffering=READ_BYTES) as file:
            size_bytes = os.fstat(file.fileno()).st_size
            file.seek(offset)
            while (batch := _read_batch(file, offset, size_bytes)) is not None:
                if batch.first_index != index:
                    return
                yield batch
                offset, index = batch.end, index + len(batch.records)

    def note(self, batch_first_index: int, offset: int) -> None:
        """Remember where a batch begins; batches are noted in order."""
        firsts, offsets = self._starts
        offsets.append(offset)  # first, so that a reader never finds an index without it
        firsts.append(batch_first_index)

    def forget(self) -> None:
        """Give up the memory of `note`."""
        self._starts = (array("Q"), array("Q"))

    def tail_from(self, offset: int) -> bytes:
        """Everything from byte `offset` on."""
        with self.path.open("rb") as file:
            file.seek(offset)
            return file.read()


def holds_later_batch(tail: bytes, *, index: int) -> bool:
    """Whether a whole valid batch of entries behind `index` lies anywhere in `tail`.

    If so, what precedes it was durable, for a batch is written after the one before is synced.
    """
    at = tail.find(BATCH_MAGIC)
    while at >= 0:
        batch = _parse_batch(tail[at : at + BATCH_OVERHEAD_BYTES + PAYLOAD_BYTES_MAX], 0)
        if batch is not None and batch.first_index > index:
            return True
        at = tail.find(BATCH_MAGIC, at + 1)
    return False


def _read_batch(file: BinaryIO, offset: int, size_bytes: int) -> Batch | None:
    head = file.read(BATCH_OVERHEAD_BYTES)
    if len(head) < BATCH_OVERHEAD_BYTES or head[: len(BATCH_MAGIC)] != BATCH_MAGIC:
        return None
    _, length_bytes, _, _ = BATCH.unpack_from(head)
    if length_bytes > min(PAYLOAD_BYTES_MAX, size_bytes - offset - len(head)):
        return None
    return _parse_batch(head + file.read(length_bytes), offset)


def _parse_batch(data: bytes, offset: int) -> Batch | None:
    """The batch that `data` begins with, or None unless it is whole and valid."""
    if len(data) < BATCH_OVERHEAD_BYTES:
        return None
    _, length_bytes, first_index, count = BATCH.unpack_from(data)
    end = BATCH_OVERHEAD_BYTES + length_bytes
    if length_bytes > PAYLOAD_BYTES_MAX or end > len(data):
        return None
    digest = data[BATCH.size : BATCH_OVERHEAD_BYTES]
    if sha256(data[: BATCH.size] + data[BATCH_OVERHEAD_BYTES:end]).digest() != digest:
        return None
    records = _parse_records(data, BATCH_OVERHEAD_BYTES, end)
    if records is None or len(records) != count or not records:
        return None
    return Batch(first_index, offset, offset + end, records)


def _parse_records(data: bytes, at: int, end: int) -> tuple[Stored, ...] | None:
    records: list[Stored] = []
    while at < end:
        if at + ENTRY_LENGTH.size > end:
            return None
        (entry_bytes,) = ENTRY_LENGTH.unpack_from(data, at)
        entry_at = at + ENTRY_LENGTH.size
        body_at = entry_at + entry_bytes + BODY_LENGTH.size
        if body_at > end:
            return None
        (body_bytes,) = BODY_LENGTH.unpack_from(data, body_at - BODY_LENGTH.size)
        at = body_at + body_bytes
        if at > end:
            return None
        records.append(
            Stored(data[entry_at : entry_at + entry_bytes], data[body_at : body_at + body_bytes])
        )
    return tuple(records)


assert ENTRY_BYTES_MAX + SEALED_BYTES_MAX + RECORD_OVERHEAD_BYTES < PAYLOAD_BYTES_MAX
