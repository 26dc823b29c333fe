"""What `fileroom import` has stored already, so that a second run goes on where the first ended.

A record is 16 bytes of SHA-256 over path, size and time of a file, appended when the node has
said that the instance is durable. It holds no name and no attribute. A lost or torn journal
costs time only: what is sent twice is stored once.
"""

import os
from pathlib import Path

RECORD_BYTES = 16


class Journal:
    """The journal of one data folder; several imports may append to it at once."""

    def __init__(self, data_directory: Path) -> None:
        folder = data_directory / "import"
        folder.mkdir(mode=0o700, exist_ok=True)
        self._descriptor = os.open(
            folder / "journal", os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        stored = os.fstat(self._descriptor).st_size
        whole = stored - stored % RECORD_BYTES
        os.ftruncate(self._descriptor, whole)  # a torn last record
        data = os.pread(self._descriptor, whole, 0)
        self._known = {data[at : at + RECORD_BYTES] for at in range(0, whole, RECORD_BYTES)}

    def __contains__(self, fingerprint: bytes) -> bool:
        return fingerprint in self._known

    def add(self, fingerprints: list[bytes]) -> None:
        """Note files whose instances are durable now."""
        os.write(self._descriptor, b"".join(fingerprints))
        self._known.update(fingerprints)

    def close(self) -> None:
        os.close(self._descriptor)
