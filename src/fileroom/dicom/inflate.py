"""Deflated data sets, PS3.5 §A.5: pushed when received, by range when read. Pure."""

import zlib
from collections.abc import Callable, Iterator
from typing import Final

from fileroom.dicom.encoding import Buffer
from fileroom.dicom.instance_error import InstanceError

PIECE_BYTES: Final = 64 * 1024
COMPRESSED_PIECE_BYTES: Final = 16 * 1024
INFLATED_BYTES_MAX: Final = 4 << 30
SNAPSHOT_EVERY_BYTES: Final = 32 << 20

Read = Callable[[int, int], Buffer]


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
    """A deflated data set as if it were not: `read` and `size_bytes` of the inflated bytes.

    Opening inflates it once, to learn its size, and keeps a snapshot of the decompressor
    every `SNAPSHOT_EVERY_BYTES`; a read begins at the snapshot before it, or goes on where
    the last one ended. Where the stream is damaged, cut off or over `INFLATED_BYTES_MAX`, the
    data set ends (`whole` is false).

    Invariant: memory is one piece, the bytes asked for, and 64 KiB a snapshot.
    """

    def __init__(self, read: Read, size_bytes: int) -> None:
        self._read = read
        self._compressed_bytes = size_bytes
        self._snapshots: list[tuple[int, int, _Stream]] = []
        self._restart(0, 0, _Stream(zlib.decompressobj(-zlib.MAX_WBITS)))
        next_snapshot = 0
        while self._position < INFLATED_BYTES_MAX:
            position = self._position + len(self._piece)
            if position >= next_snapshot:
                # A snapshot copies the window and the compressed bytes not used yet.
                self._snapshots.append((position, self._consumed, self._stream.copy()))
                next_snapshot = position + SNAPSHOT_EVERY_BYTES
            if not self._step():
                break
        self.whole = self._stream.ended
        self.size_bytes = self._position + len(self._piece)

    def _restart(self, position: int, consumed: int, stream: _Stream) -> None:
        self._position = position  # of the piece, in the inflated bytes
        self._consumed = consumed  # compressed bytes handed to the stream
        self._stream = stream
        self._piece = b""

    def _step(self) -> bool:
        """Replace the piece by the one behind it. False, and the piece stays, at the end."""
        piece = b""
        while not piece:
            if self._stream.ended or self._stream.damaged:
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
        self._position += len(self._piece)
        self._piece = piece
        return True

    def read(self, start: int, end: int) -> bytes:
        """Inflated bytes [start, end), fewer at the end of the data set."""
        at, consumed, stream = next(s for s in reversed(self._snapshots) if s[0] <= start)
        if start < self._position or at > self._position + len(self._piece):
            self._restart(at, consumed, stream.copy())
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
