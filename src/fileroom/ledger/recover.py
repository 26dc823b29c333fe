"""What a start finds: whole segments, a torn tail, a segment that was never used.

Docs: docs/format/ledger.md §4, rules 4 and 6.
"""

import re
from pathlib import Path
from typing import NamedTuple

from fileroom.disk import Disk
from fileroom.ledger.merkle import leaf_hash
from fileroom.ledger.record import Stored
from fileroom.ledger.segment import SUFFIX, Segment, SegmentError, holds_later_batch
from fileroom.ledger.tiles import TileTree

_NAME = re.compile(r"[0-9]{8}" + re.escape(SUFFIX))


class Active(NamedTuple):
    """The segment that is appended to: `offset` is where the next batch goes."""

    segment: Segment
    descriptor: int
    offset: int
    size_bytes: int


class Recovered(NamedTuple):
    """The last segment, open for the next batch, and what it says.

    Attributes:
        last: the log's last record, or None where the segment holds none.
    """

    active: Active
    tree: TileTree
    last: Stored | None


def find_segments(folder: Path, *, site: str, disk: Disk) -> list[Segment]:
    """The segments in order. A last one that was never used is removed durably.

    Raises:
        SegmentError: one is missing or damaged.
    """
    paths = sorted(each for each in folder.iterdir() if _NAME.fullmatch(each.name))
    while paths:
        _forget_cached(paths[-1], disk=disk)
        if not _never_used(paths[-1], site=site):
            break
        disk.unlink(paths.pop())
    segments: list[Segment] = []
    for path in paths:
        number = int(path.name.removesuffix(SUFFIX))
        segment = Segment.find(path, number, site=site)
        if segment is None and _never_used(path, site=site):
            continue  # given up, and could not be removed; it stays for whoever looks into it
        expected_min = segments[-1].first_index if segments else 0
        if segment is None or segment.first_index < expected_min:
            raise SegmentError(f"ledger segment {number} is damaged")
        segments.append(segment)
    if segments and segments[0].first_index != 0:
        raise SegmentError(f"the ledger begins with entry {segments[0].first_index}")
    return segments


def recover(segment: Segment, *, disk: Disk, size_bytes: int) -> Recovered:
    """Read the last segment and open it for the next batch, which overwrites a torn tail.

    Raises:
        SegmentError: a durable record is damaged.
    """
    tree = segment.tree()
    last: Stored | None = None
    end = segment.header_size_bytes
    for batch in segment.batches():
        segment.note(batch.first_index, batch.offset)
        for each in batch.records:
            tree.append(leaf_hash(each.entry))
        end, last = batch.end, batch.records[-1]
    if holds_later_batch(segment.tail_from(end), index=tree.size):
        raise SegmentError(f"ledger segment {segment.number} is damaged at entry {tree.size}")
    # What is left of a torn batch may stay: only one batch is ever on its way, so no whole one
    # lies behind it, and the header of the next replaces its own.
    active = Active(segment, disk.open(segment.path), end, max(size_bytes, end))
    return Recovered(active, tree, last)


def _forget_cached(path: Path, *, disk: Disk) -> None:
    """Make the next read come from the disk.

    After a failed fdatasync the page cache holds bytes that the disk does not, and calls them
    clean. Read from there, a record would count as durable and be gone after a power cut.
    """
    descriptor = disk.open(path)
    try:
        disk.sync(descriptor)
        disk.drop_cached(descriptor)
    finally:
        disk.close(descriptor)


def _never_used(path: Path, *, site: str) -> bool:
    """Whether the first write to a segment, header and batch, did not become durable."""
    number = int(path.name.removesuffix(SUFFIX))
    segment = Segment.find(path, number, site=site)
    if segment is not None and segment.header() is not None:
        return False
    if holds_later_batch(path.read_bytes(), index=-1):
        raise SegmentError(f"the header of ledger segment {number} is damaged")
    return True
