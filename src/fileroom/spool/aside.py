"""What one request has set aside until its place in a data set is known.

Values of an instance may come before what they belong to, in any order and of any size. They lie
in a file without a name that is gone when it is closed or the process ends, encrypted under a
key that only this process's memory has. Nothing here is durable, and nothing is acknowledged.

Memory: one chunk of plaintext. A request that sets less aside touches no disk.
"""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from struct import Struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fileroom.disk import Buffer, Disk
from fileroom.spool.failure import SpaceError, SpoolError
from fileroom.spool.space import Space
from fileroom.spool.writer import FULL_ERRNOS

CHUNK_BYTES = 256 * 1024
TAG_BYTES = 16
_SEALED_BYTES = CHUNK_BYTES + TAG_BYTES
_NONCE = Struct(">4xQ")


class Aside:
    """Bytes that are appended, and read again by range. Blocks: call it in threads, one at a time.

    Whoever gives up waiting for such a thread may close it all the same: a call that is under way
    then ends first, and a later one fails, so that none meets a descriptor that is another file's.

    Chunk n is sealed with nonce n, once: the key is never used for another file, and where a chunk
    could not be written no more is taken. What was taken before can be read.
    """

    def __init__(self, directory: Path, *, disk: Disk, space: Space) -> None:
        self._directory = directory
        self._disk = disk
        self._space = space
        self._cipher = AESGCM(AESGCM.generate_key(256))
        self._descriptor: int | None = None
        self._sealed = 0  # chunks in the file
        self._tail = bytearray()
        self._failure: SpaceError | SpoolError | None = None
        self._is_closed = False
        self._lock = threading.Lock()

    @property
    def size_bytes(self) -> int:
        """How much was appended so far; where the next bytes will lie."""
        return self._sealed * CHUNK_BYTES + len(self._tail)

    def append(self, data: Buffer) -> None:
        """Take `data`, which may be reused afterwards.

        Raises:
            SpaceError: the disk is under its reserve.
            SpoolError: it fails. Whatever is raised, every later call raises it again.
        """
        with self._lock:
            self._refuse_closed()
            if self._failure is not None:
                raise type(self._failure)(str(self._failure))
            taken_bytes = self.size_bytes
            self._tail += data
            while len(self._tail) >= CHUNK_BYTES:
                try:
                    self._seal(bytes(self._tail[:CHUNK_BYTES]))
                except (SpaceError, SpoolError) as error:
                    self._failure = error
                    del self._tail[max(0, taken_bytes - self._sealed * CHUNK_BYTES) :]
                    raise
                del self._tail[:CHUNK_BYTES]

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """Bytes [start, end) in pieces of at most CHUNK_BYTES; end <= size_bytes.

        Raises:
            SpoolError: the disk fails, or gives other bytes than it was given.
        """
        while start < end:
            number, offset = divmod(start, CHUNK_BYTES)
            with self._lock:
                self._refuse_closed()
                chunk = self._open(number) if number < self._sealed else bytes(self._tail)
            piece = chunk[offset : offset + end - start]
            yield piece
            start += len(piece)

    def close(self) -> None:
        """Give up all of it."""
        with self._lock:
            self._is_closed = True
            self._tail.clear()
            if self._descriptor is not None:
                self._disk.close(self._descriptor)
                self._descriptor = None

    def _refuse_closed(self) -> None:
        if self._is_closed:
            raise SpoolError("what was set aside is given up")

    def _seal(self, chunk: bytes) -> None:
        self._space.refuse_under_reserve(_SEALED_BYTES)
        sealed = self._cipher.encrypt(_NONCE.pack(self._sealed), chunk, None)
        try:
            if self._descriptor is None:
                self._descriptor = self._disk.create_unnamed(self._directory)
            self._disk.write(self._descriptor, [sealed], self._sealed * _SEALED_BYTES)
        except OSError as error:
            if error.errno in FULL_ERRNOS:
                raise SpaceError("the disk is full (setting values aside)") from error
            raise SpoolError(f"setting values aside failed with errno {error.errno}") from error
        self._sealed += 1

    def _open(self, number: int) -> bytes:
        assert self._descriptor is not None
        try:
            sealed = os.pread(self._descriptor, _SEALED_BYTES, number * _SEALED_BYTES)
            return self._cipher.decrypt(_NONCE.pack(number), sealed, None)
        except (OSError, InvalidTag) as error:
            raise SpoolError(f"chunk {number} of what was set aside does not open") from error
