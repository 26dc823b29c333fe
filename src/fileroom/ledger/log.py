"""The local log: appended to by one thread, durable before anybody is told.

A batch is whatever waits when the thread is free: one write, one fdatasync. Rules and crash
cases: docs/format/ledger.md §4.
"""

import asyncio
import os
import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fileroom.clock import Clock
from fileroom.disk import Disk
from fileroom.errors import FileroomError
from fileroom.ledger import segment as files
from fileroom.ledger.merkle import leaf_hash
from fileroom.ledger.record import (
    NONCE_BYTES,
    SALT_BYTES,
    SITE,
    Record,
    Stored,
    encode_body,
    seal,
    unseal,
)
from fileroom.ledger.recover import Active, find_segments, recover
from fileroom.ledger.segment import Segment, SegmentError
from fileroom.ledger.tiles import TileTree
from fileroom.ledger.waiting import SIZE_BYTES_MAX, LedgerWriteError, WaitingLine

__all__ = ["Ledger", "LedgerWriteError"]

SEGMENT_SIZE_BYTES = 1 << 24


class Ledger:
    """One site's log. Append from any event loop; read from any thread.

    Invariant: `size`, `root`, `records` and all else that reads speak of durable records only.
    """

    def __init__(
        self,
        folder: Path,
        *,
        site: str,
        body_key: bytes,
        disk: Disk,
        clock: Clock,
        segment_size_bytes: int,
    ) -> None:
        self.site = site
        self._folder = folder
        self._cipher = AESGCM(body_key)
        self._disk = disk
        self._clock = clock
        self._segment_size_bytes = segment_size_bytes
        self._segments: list[Segment] = []
        self._last_number = 0
        self._active: Active | None = None
        self._tree = TileTree()
        self._tree_lock = threading.Lock()  # guards _tree and _segments
        self._line = WaitingLine()
        self._thread = threading.Thread(target=self._run, name=f"ledger-{site}", daemon=True)

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        site: str,
        body_key: bytes,
        disk: Disk,
        clock: Clock,
        size_min: int = 0,
        segment_size_bytes: int = SEGMENT_SIZE_BYTES,
    ) -> Self:
        """Open the log of `site` below `directory`, or begin it.

        Args:
            size_min: entries that something else proves were durable: the catalog's applied
                index, a signed checkpoint.

        Raises:
            IntegrityError: a durable record is damaged or missing, or the key is another one.
            SyncError, OSError: the disk failed; nothing was changed that the next start needs.
        """
        if not SITE.fullmatch(site):
            raise ValueError(f"a site's name of {len(site)} characters cannot be used")
        folder = directory / site
        disk.make_directory(folder)
        ledger = cls(
            folder,
            site=site,
            body_key=body_key,
            disk=disk,
            clock=clock,
            segment_size_bytes=segment_size_bytes,
        )
        try:
            ledger._recover(size_min)
        except BaseException:
            ledger._close_active()
            raise
        ledger._thread.start()
        return ledger

    @property
    def size(self) -> int:
        """Number of durable entries; the next one's index."""
        return self._tree.size

    async def append(self, kind: str, body: object) -> int:
        """Append one event and return its index once it is durable.

        Args:
            kind: what happened; public, so never anything of a patient.
            body: a mapping or a msgspec struct, of JSON types; encrypted.

        Raises:
            LedgerWriteError: it is not durable.
            EventSizeError: the body is too large.
        """
        return await self.append_nowait(kind, body)

    def append_nowait(self, kind: str, body: object) -> asyncio.Future[int]:
        """Append one event in the order of calls; the future gives what `append` returns or
        raises, but for EventSizeError, which is raised here."""
        random = os.urandom(SALT_BYTES + NONCE_BYTES)
        stored = seal(
            kind,
            encode_body(body),
            time_ns=self._clock.wall_ns(),
            cipher=self._cipher,
            salt=random[:SALT_BYTES],
            nonce=random[SALT_BYTES:],
        )
        return self._line.put(stored)

    async def adopt(self, records: Sequence[Stored]) -> None:
        """Append records as another copy of this log holds them, checked to open.

        Raises:
            RecordError: one does not open; none of `records` was appended.
            LedgerWriteError: some of them are not durable.
        """
        for each in records:
            unseal(each, index=self.size, cipher=self._cipher)
        waiting: list[asyncio.Future[int]] = []
        for each in records:
            waiting.append(self._line.put(each))
            if self._line.size_bytes > SIZE_BYTES_MAX // 2:
                await asyncio.gather(*waiting)
                waiting.clear()
        await asyncio.gather(*waiting)

    def tree(self, size: int | None = None) -> TileTree:
        """The tree of the first `size` entries, of all durable ones by default; a copy.

        Reads up to one segment where `size` is not the present one.
        """
        with self._tree_lock:
            if size is None or size == self._tree.size:
                return self._tree.copy()
            segments = list(self._segments)
        if size == 0:
            return TileTree()
        _require_range(0, size, self.size)
        tree = segments[_holder(segments, size)].tree()
        for each in self.stored(tree.size, size):
            tree.append(leaf_hash(each.entry))
        return tree

    def root(self, size: int | None = None) -> bytes:
        """Root of the tree of the first `size` entries, of all durable ones by default."""
        return self.tree(size).root()

    def stored(self, start: int, end: int) -> Iterator[Stored]:
        """Records [start, end) as they are kept. Reading begins at their segment's start.

        Raises:
            SegmentError: one of them is damaged or missing.
        """
        _require_range(start, end, self.size)
        with self._tree_lock:
            segments = list(self._segments)
        index = start
        while index < end:
            at = _holder(segments, index)
            # A segment ends where the next begins; what lies behind that was never acknowledged.
            stop = min([end, *(each.first_index for each in segments[at + 1 : at + 2])])
            for batch in segments[at].batches(from_index=index):
                skipped = max(index - batch.first_index, 0)
                for record in batch.records[skipped : stop - batch.first_index]:
                    yield record
                    index += 1
                if index == stop:
                    break
            else:
                raise SegmentError(
                    f"ledger segment {segments[at].number} is damaged at entry {index}"
                )

    def records(self, start: int, end: int | None = None) -> Iterator[Record]:
        """Records [start, end) in order, decrypted; to the last durable one by default.

        Raises:
            IntegrityError: one of them is damaged, missing, or not what its entry says.
        """
        end = self.size if end is None else end
        for index, each in enumerate(self.stored(start, end), start):
            yield unseal(each, index=index, cipher=self._cipher)

    def verify(self) -> bytes:
        """Read the whole log again and return the root of what was read.

        Raises:
            IntegrityError: at the first record or header that is not what it was.
        """
        tree = TileTree()
        with self._tree_lock:
            size, segments = self._tree.size, list(self._segments)
        for at, segment in enumerate(segments):
            later = [each.first_index for each in segments[at + 1 : at + 2]]
            if segment.first_index in (size, *later):
                continue  # nothing in it was acknowledged
            if segment.first_index != tree.size or segment.tree().edge() != tree.edge():
                raise SegmentError(f"ledger segment {segment.number} begins with another tree")
            for index, each in enumerate(self.stored(tree.size, min([size, *later])), tree.size):
                unseal(each, index=index, cipher=self._cipher)
                tree.append(leaf_hash(each.entry))
        return tree.root()

    async def close(self) -> None:
        """Write what waits, then stop. Later appends fail."""
        self._line.close()
        await asyncio.to_thread(self._thread.join)

    def _recover(self, size_min: int) -> None:
        self._segments = find_segments(self._folder, site=self.site, disk=self._disk)
        if self._segments:
            last = self._segments[-1]
            self._last_number = last.number
            recovered = recover(last, disk=self._disk, size_bytes=self._segment_size_bytes)
            self._active, self._tree = recovered.active, recovered.tree
            if recovered.last is not None:  # the key is the right one, or we stop here
                unseal(recovered.last, index=self.size - 1, cipher=self._cipher)
        if self.size < size_min:
            raise SegmentError(f"the ledger holds {self.size} entries, and {size_min} were durable")

    def _run(self) -> None:
        """The writer thread."""
        try:
            while batch := self._line.take():
                first_index = self._tree.size
                try:
                    self._write([each.stored for each in batch])
                except (OSError, FileroomError) as error:
                    self._give_up()
                    cause = f"errno {error.errno}" if isinstance(error, OSError) else str(error)
                    self._line.fail(f"the event is not durable: {cause}")
                else:
                    self._line.succeed(first_index)
        finally:
            # After a mistake of ours, too: nobody may wait for a thread that is gone.
            self._line.close()
            self._line.fail("the ledger is closed")
            self._close_active()

    def _write(self, records: Sequence[Stored]) -> None:
        data = files.batch_bytes(self._tree.size, records)
        active = self._active
        if active is None or active.offset + len(data) > active.size_bytes:
            active = self._begin_segment(len(data))
        buffers = [data]
        if active.offset == 0:
            buffers.insert(0, files.header_bytes(active.segment.number, self.site, self._tree))
        size_bytes = sum(len(each) for each in buffers)
        self._disk.write(active.descriptor, buffers, active.offset)
        # Commit point. A crash before this line leaves a torn tail that the next start passes over;
        # after it the events happened, and whoever waits for them may be told.
        self._disk.sync(active.descriptor)
        leaves = [leaf_hash(each.entry) for each in records]
        end = active.offset + size_bytes
        active.segment.note(self._tree.size, end - len(data))
        self._active = active._replace(offset=end)
        with self._tree_lock:
            for leaf in leaves:
                self._tree.append(leaf)

    def _begin_segment(self, batch_size_bytes: int) -> Active:
        """Make the file that the next batch goes to; its header goes with that batch."""
        if self._active is not None:
            self._active.segment.forget()
        self._close_active()
        self._last_number += 1
        path = self._folder / files.file_name(self._last_number)
        segment = Segment(path, self._last_number, site=self.site, first_index=self._tree.size)
        size_bytes = max(self._segment_size_bytes, segment.header_size_bytes + batch_size_bytes)
        self._active = Active(segment, self._disk.create(path), 0, size_bytes)
        with self._tree_lock:
            self._segments.append(segment)
        self._disk.allocate(self._active.descriptor, size_bytes)
        self._disk.sync_directory(self._folder)
        return self._active

    def _give_up(self) -> None:
        """Leave the file whose write or sync failed; the next batch begins another."""
        active = self._active
        self._close_active()
        if active is not None and active.segment.first_index == self._tree.size:
            with self._tree_lock:
                self._segments.remove(active.segment)
            # Nothing acknowledged lies in it. If it stays, the next segment begins at the same
            # index and so leaves it no entries.
            with suppress(OSError, FileroomError):
                self._disk.unlink(active.segment.path)

    def _close_active(self) -> None:
        if self._active is not None:
            with suppress(OSError):
                self._disk.close(self._active.descriptor)
            self._active = None


def _holder(segments: Sequence[Segment], index: int) -> int:
    """Position of the segment that holds entry `index`."""
    return bisect_right(segments, index, key=lambda each: each.first_index) - 1


def _require_range(start: int, end: int, size: int) -> None:
    if not 0 <= start <= end <= size:
        raise ValueError(f"entries {start} to {end} do not lie in a log of {size}")
