"""Deflated data sets, PS3.5 §A.5: pushed when received, by range when read. Pure."""

import zlib
from collections.abc import Callable, Iterator
from typing import Final

from fileroom.dicom.encoding import Buffer
from fileroom.dicom.instance_error import InstanceError
from fileroom.errors import RefusedError

PIECE_BYTES: Final = 64 * 1024
COMPRESSED_PIECE_BYTES: Final = 16 * 1024
INFLATED_BYTES_MAX: Final = 4 << 30
SNAPSHOT_EVERY_BYTES: Final = 4 << 20  # at first; twice as far apart whenever there are too many
SNAPSHOTS_MAX: Final = 64
SNAPSHOT_BYTES: Final = 64 * 1024  # zlib's window and state, and compressed bytes not used yet

Read = Callable[[int, int], Buffer]


class InflatedTooLargeError(RefusedError):
    """More of a deflated data set would have to be inflated than is of any."""


class _Stream:
    """A deflate stream that gives all that precedes its damage.

    zlib drops what it had inflated of the bytes it is given together with damaged ones. So on
    damage those bytes are given again one by one, and how they were cut makes no difference.
    """

    def __init__(self, stream: "zlib._Decompress") -> None:
        self._stream = stream
        self._one_by_one = False
        self.tail: Buffer = b""  # bytes to be given again
        self.damaged = False

    @property
    def ended(self) -> bool:
        """Whether the last block has been inflated."""
        return self._stream.eof

    def copy(self) -> "_Stream":
        """The stream as it is now, to go on from later."""
        copied = _Stream(self._stream.copy())
        copied._one_by_one, copied.tail, copied.damaged = self._one_by_one, self.tail, self.damaged
        return copied

    def pull(self, data: Buffer) -> bytes:
        """The next piece, of `tail` and `data`; at most `PIECE_BYTES`, empty if there is none."""
        if self.tail:
            data = bytes(self.tail) + bytes(data)
        self.tail = b""
        if not self._one_by_one:
            before = self._stream.copy()
            try:
                piece = self._stream.decompress(data, PIECE_BYTES)
            except zlib.error:
                self._stream = before
                self._one_by_one = True
            else:
                self.tail = self._stream.unconsumed_tail
                return piece
        return self._pull_one_by_one(bytes(data))

    def _pull_one_by_one(self, data: bytes) -> bytes:
        piece = b""
        for at in range(0 if self.damaged else len(data)):
            try:
                piece += self._stream.decompress(data[at : at + 1], PIECE_BYTES)
            except zlib.error:
                self.damaged = True
                break
            while self._stream.unconsumed_tail:  # one byte may stand for many
                piece += self._stream.decompress(self._stream.unconsumed_tail, PIECE_BYTES)
            if len(piece) >= PIECE_BYTES - 4096:  # more than one byte can stand for
                self.tail = data[at + 1 :]
                break
        return piece


class Inflater:
    """Inflates what is fed, piece by piece, so that a bomb never lies in memory whole.

    Invariant: no piece is longer than `PIECE_BYTES`.
    """

    def __init__(self) -> None:
        self._stream = _Stream(zlib.decompressobj(-zlib.MAX_WBITS))

    @property
    def ended(self) -> bool:
        """Whether the stream's last block has been inflated."""
        return self._stream.ended

    def inflate(self, data: Buffer) -> Iterator[bytes]:
        """The pieces that `data` yields. Stop iterating to stop inflating.

        Raises:
            InstanceError: not a deflate stream.
        """
        view = memoryview(data).cast("B")
        for start in range(0, len(view), COMPRESSED_PIECE_BYTES):
            rest: Buffer = view[start : start + COMPRESSED_PIECE_BYTES]
            while piece := self._stream.pull(rest):
                yield piece
                rest = b""
            if self._stream.damaged:
                raise InstanceError("the deflated data set is damaged")


class InflatedDataSet:
    """A deflated data set as if it were not: `read` by range of the inflated bytes.

    It is inflated as far as is asked for and no further. Snapshots of the decompressor are kept
    on the way; a read begins at the snapshot before it, or goes on where the last one ended.
    Where the stream is damaged, cut off or over `INFLATED_BYTES_MAX`, the data set ends.

    Invariant: memory is one piece, the bytes asked for, and `held_bytes`, which are at most
    `SNAPSHOTS_MAX` snapshots.

    Attributes:
        reached_bytes: so many bytes have been inflated, and are there.
    """

    def __init__(self, read: Read, size_bytes: int) -> None:
        self._read = read
        self._compressed_bytes = size_bytes
        self.reached_bytes = 0
        self._whole = False
        self._restart(0, 0, _Stream(zlib.decompressobj(-zlib.MAX_WBITS)))
        self._snapshots = [(0, 0, self._stream.copy())]
        self._spacing_bytes = SNAPSHOT_EVERY_BYTES

    @property
    def size_bytes(self) -> int:
        """Of the inflated bytes. Inflates them all, to know it."""
        self._inflate(INFLATED_BYTES_MAX)
        return self.reached_bytes

    @property
    def whole(self) -> bool:
        """Whether the stream's last block is in it. Inflates all that comes before."""
        self._inflate(INFLATED_BYTES_MAX)
        return self._whole

    @property
    def held_bytes(self) -> int:
        """What the snapshots take in memory, about."""
        return SNAPSHOT_BYTES * len(self._snapshots)

    def read(self, start: int, end: int) -> bytes:
        """Inflated bytes [start, end), fewer at the end of the data set."""
        self._seek(start)
        parts: list[bytes] = []
        while start < end:
            offset = start - self._position
            part = self._piece[offset : offset + end - start]
            if part:
                parts.append(part)
                start += len(part)
            elif not self._step():
                break
        return b"".join(parts)

    def reach(self, end: int) -> None:
        """Make sure that inflated bytes up to `end` are there; none of them is kept.

        Raises:
            InflatedTooLargeError: `end` lies behind `INFLATED_BYTES_MAX`.
            InstanceError: the data set ends before.
        """
        if end > INFLATED_BYTES_MAX:
            raise InflatedTooLargeError(f"{end} B inflated would be over {INFLATED_BYTES_MAX} B")
        self._inflate(end)
        if self.reached_bytes < end:
            raise InstanceError(f"the deflated data set ends after {self.reached_bytes} B")

    def _inflate(self, end: int) -> None:
        """Inflate up to `end`, or to where the data set ends."""
        if self.reached_bytes < end:
            self._seek(self.reached_bytes)
            while self.reached_bytes < end and self._step():
                pass

    def _seek(self, start: int) -> None:
        """Be at `start` or before it, where the way to it is shortest."""
        at, consumed, stream = next(s for s in reversed(self._snapshots) if s[0] <= start)
        if start < self._position or at > self._position + len(self._piece):
            self._restart(at, consumed, stream.copy())

    def _restart(self, position: int, consumed: int, stream: _Stream) -> None:
        self._position = position  # of the piece, in the inflated bytes
        self._consumed = consumed  # compressed bytes handed to the stream
        self._stream = stream
        self._piece = b""

    def _step(self) -> bool:
        """Replace the piece by the one behind it. False, and the piece stays, at the end."""
        position = self._position + len(self._piece)
        if position >= self._snapshots[-1][0] + self._spacing_bytes:
            self._keep_snapshot(position)
        piece = b""
        while not piece:
            if self._stream.ended or self._stream.damaged or position >= INFLATED_BYTES_MAX:
                self._whole = self._stream.ended
                return False
            data: Buffer = b""
            if not self._stream.tail and self._consumed < self._compressed_bytes:
                end = min(self._consumed + COMPRESSED_PIECE_BYTES, self._compressed_bytes)
                data = self._read(self._consumed, end)
                self._consumed = end if data else self._compressed_bytes
            no_more = not data and not self._stream.tail
            piece = self._stream.pull(data)
            if not piece and no_more:
                return False
        self._position = position
        self._piece = piece
        self.reached_bytes = max(self.reached_bytes, position + len(piece))
        return True

    def _keep_snapshot(self, position: int) -> None:
        """Keep the decompressor as it is before the piece at `position`."""
        self._snapshots.append((position, self._consumed, self._stream.copy()))
        if len(self._snapshots) > SNAPSHOTS_MAX:
            del self._snapshots[1::2]
            self._spacing_bytes *= 2
