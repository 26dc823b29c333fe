"""One segment that this process writes: who gets which offset, and what is durable.

Offsets, frames and landings are counted on the event loop's thread, the file is written on the
writer's. Each attribute below says whose it is; the other thread may read it.
"""

import secrets
from pathlib import Path

import msgspec

from fileroom.errors import FileroomError
from fileroom.spool.format import (
    SEGMENT_HEADER_BYTES,
    FrameCipher,
    FrameHeader,
    seal_segment_header,
    segment_name,
)


class SegmentStats(msgspec.Struct, frozen=True):
    """One segment file.

    Attributes:
        active: it takes landings, is being closed, or is the newest, whose number must not be
            used again; `unlink_spooled` refuses it.
        given_up: a write or sync failed.
        landings: how many are open in it.
        commits: how many instances were committed in it; 0 in a segment of a process that died
            until `recovered` has gone through it.
        size_bytes: of the file; while it is written, room for frames to come is in it.
    """

    number: int
    active: bool
    given_up: bool
    landings: int
    commits: int
    size_bytes: int


class LiveSegment:
    """A segment from its first offset to its end frame, or until it is given up.

    Attributes:
        next_offset: of the next frame (loop).
        landings_open: landings that may still add frames, or wait for their commit (loop).
        retired: takes no new landing (loop).
        closing: its end frame is queued; nothing more is (loop).
        written_offset: everything before it was handed to the kernel (writer).
        durable_offset: everything before it survives a loss of power (writer).
        commits: commit frames queued (loop).
        failure: why it was given up (writer); it is never written or synced again.
        finished: its end frame is durable (writer).
    """

    def __init__(
        self,
        number: int,
        *,
        directory: Path,
        spool_key: bytes,
        created_at_ns: int,
        allocated_bytes: int,
    ) -> None:
        self.number = number
        self.path = directory / segment_name(number)
        segment_key = secrets.token_bytes(32)
        self.header_block = seal_segment_header(
            number,
            spool_key=spool_key,
            segment_key=segment_key,
            nonce=secrets.token_bytes(12),
            created_at_ns=created_at_ns,
        )
        self.cipher = FrameCipher(segment_key, segment=number)
        self.allocated_bytes = allocated_bytes
        self.next_offset = SEGMENT_HEADER_BYTES
        self.landings_begun = 0
        self.landings_open = 0
        self.retired = False
        self.closing = False
        self.commits = 0
        self.descriptor: int | None = None
        self.written_offset = SEGMENT_HEADER_BYTES
        self.durable_offset = SEGMENT_HEADER_BYTES
        self.failure: FileroomError | None = None
        self.finished = False

    @property
    def being_written(self) -> bool:
        """Whether there may be more to write to it."""
        return self.failure is None and not self.finished

    @property
    def takes_landings(self) -> bool:
        """Whether a new landing may go into it."""
        return not self.retired and self.failure is None and self.next_offset < self.allocated_bytes

    def begin_landing(self) -> int:
        """The number of a new landing."""
        self.landings_open += 1
        self.landings_begun += 1
        return self.landings_begun - 1

    def next_frame(
        self, kind: bytes, length_bytes: int, *, landing: int, ordinal: int
    ) -> FrameHeader:
        """Give out the next offset, once and for all: the frame must be sealed and queued."""
        assert not self.closing, "nothing comes behind an end frame"
        header = FrameHeader(kind, length_bytes, self.next_offset, landing, ordinal)
        self.next_offset = header.next_offset
        return header
