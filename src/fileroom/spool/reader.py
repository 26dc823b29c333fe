"""Reading instances from the spool, by place and by range; also while others are landing.

Needs the folder and the key only, so that another process can read.
"""

import errno
import os
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import msgspec

from fileroom.spool.failure import DamagedSegmentError, SegmentGoneError
from fileroom.spool.format import (
    BLOCK_BYTES,
    CHUNK_BYTES,
    COMMIT,
    END,
    END_FRAME_BYTES,
    SEGMENT_HEADER_BYTES,
    Commit,
    FrameCipher,
    FrameHeader,
    decode_commit,
    decode_end,
    open_segment_header,
    parse_frame_header,
    segment_name,
)
from fileroom.spool.record import Description, Place, Spooled

_decode_description = msgspec.msgpack.Decoder(Description).decode


class SegmentFile:
    """A segment, open for reading; closed when nobody uses it any more.

    Usable from several threads. Memory: one frame, the last one that was read by range.
    """

    def __init__(self, directory: Path, number: int, *, key: bytes) -> None:
        """Open segment `number`.

        Raises:
            SegmentGoneError: there is no such file.
            DamagedSegmentError: its header is damaged or does not open with `key`.
            NewerFormatError: a newer Fileroom wrote it.
        """
        self.number = number
        try:
            path = directory / segment_name(number)
            self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise SegmentGoneError(f"segment {number} is not in the spool") from None
        weakref.finalize(self, os.close, self.descriptor)
        block = self.read(SEGMENT_HEADER_BYTES, 0)
        segment_key = open_segment_header(block, number, spool_key=key)
        self._cipher = FrameCipher(segment_key, segment=number)
        self._last: tuple[FrameHeader, bytes] | None = None

    @property
    def size_bytes(self) -> int:
        """Of the file, now."""
        return os.fstat(self.descriptor).st_size

    def read(self, size_bytes: int, offset: int) -> bytes:
        """What the disk gives of `size_bytes` from `offset`; nothing from a bad sector."""
        try:
            return os.pread(self.descriptor, size_bytes, offset)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return b""

    def frame_header(self, offset: int) -> FrameHeader | None:
        """The header of the frame at `offset`; None where none begins."""
        return parse_frame_header(self.read(BLOCK_BYTES, offset), offset)

    def open_frame(self, header: FrameHeader) -> bytes:
        """The plaintext of the frame that `header` tells. Raises DamagedSegmentError."""
        return self._cipher.open(self.read(header.frame_bytes, header.offset), header)

    def open_frame_again(self, header: FrameHeader) -> bytes:
        """As open_frame, quick for the frame that was asked for last."""
        last = self._last
        if last is None or last[0] != header:
            last = self._last = header, self.open_frame(header)
        return last[1]

    def commit_at(self, offset: int) -> tuple[FrameHeader, Commit]:
        """The commit frame at `offset`. Raises DamagedSegmentError where there is none."""
        header = self.frame_header(offset)
        if header is None or header.kind != COMMIT:
            raise DamagedSegmentError("no commit frame", segment=self.number, offset=offset)
        return header, decode_commit(self.open_frame(header), header, segment=self.number)

    def spooled(self, header: FrameHeader, commit: Commit) -> Spooled:
        """The instance of a commit frame."""
        try:
            description = _decode_description(commit.description)
        except msgspec.MsgspecError:
            raise DamagedSegmentError(
                "commit frame without a readable description",
                segment=self.number,
                offset=header.offset,
            ) from None
        place = Place(self.number, header.offset)
        return Spooled(place, description, commit.size_bytes, commit.sha256)

    def next_written(self, offset: int) -> int | None:
        """The next offset from `offset` that may hold something else than zero."""
        try:
            return max(offset, os.lseek(self.descriptor, offset, os.SEEK_DATA))
        except OSError as error:
            if error.errno == errno.ENXIO:  # only what was reserved and never written
                return None
            return offset

    def commits_if_clean(self) -> int | None:
        """How many commits the file's end frame tells; None unless the file ends with one."""
        offset = self.size_bytes - END_FRAME_BYTES
        header = self.frame_header(offset) if offset >= SEGMENT_HEADER_BYTES else None
        if header is None or header.kind != END:
            return None
        try:
            return decode_end(self.open_frame(header))
        except DamagedSegmentError:
            return None


class SpooledInstance:
    """An instance in the spool, open for reading; usable from several threads.

    Memory: its description, and 8 bytes for each 256 KiB of the data set.
    """

    def __init__(self, file: SegmentFile, header: FrameHeader, commit: Commit) -> None:
        self._file = file
        self._commit = commit
        self._landing = header.landing
        self.record = file.spooled(header, commit)

    def read(self, start: int, end: int) -> bytes:
        """Bytes [start, end) of the data set as received; 0 <= start <= end <= size_bytes.

        Raises:
            DamagedSegmentError: a frame's tag is wrong.
        """
        assert 0 <= start <= end <= self.record.size_bytes, "the range lies in the data set"
        if start == end:
            return b""
        first, last = start // CHUNK_BYTES, (end - 1) // CHUNK_BYTES
        from_first = self._chunk(first)[start - first * CHUNK_BYTES : end - first * CHUNK_BYTES]
        if first == last:
            return from_first
        parts = [from_first, *map(self._chunk, range(first + 1, last))]
        parts.append(self._chunk(last)[: end - last * CHUNK_BYTES])
        return b"".join(parts)

    def chunks(self) -> Iterator[bytes]:
        """The whole data set, 256 KiB at a time. Raises as `read`."""
        for ordinal in range(len(self._commit.offsets)):
            yield self._file.open_frame(self._commit.data_header(ordinal, self._landing))

    def _chunk(self, ordinal: int) -> bytes:
        header = self._commit.data_header(ordinal, self._landing)
        return self._file.open_frame_again(header)


class SpoolReader:
    """Opens instances by place. One for each process that reads; usable from several threads.

    A segment's file stays open as long as one of its instances is: hold on to neither.
    """

    def __init__(self, directory: Path, *, key: bytes) -> None:
        self._directory = directory
        self._key = key
        self._lock = threading.Lock()
        self._files: weakref.WeakValueDictionary[int, SegmentFile] = weakref.WeakValueDictionary()

    def open(self, place: Place) -> SpooledInstance:
        """The instance whose commit frame lies at `place`.

        Raises:
            SegmentGoneError: its segment was removed; locate the instance again.
            DamagedSegmentError: what lies there is not what was written.
        """
        with self._lock:
            file = self._files.get(place.segment)
            if file is None:
                file = SegmentFile(self._directory, place.segment, key=self._key)
                self._files[place.segment] = file
        return SpooledInstance(file, *file.commit_at(place.offset))
