"""A transport that sends what is small together with what follows it."""

import asyncio
from typing import Any, Final

Buffer = bytes | bytearray | memoryview

SMALL_BYTES: Final = 64 << 10


class GatheringTransport:
    """Gathers what is written in one turn of the loop while it is small, and sends it with the
    first large piece behind it, uncopied, or at the end of the turn.

    The header fields of an answer would else be sent alone, and wake the peer for nothing: with an
    instance of 0.5 MB behind them that cost as much as all the rest.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._small: list[bytes] = []
        self._small_bytes = 0
        self._flushing: asyncio.Handle | None = None

    def write(self, data: Buffer) -> None:
        """Send `data` soon; a piece of SMALL_BYTES or more, and all before it, now."""
        if self._small_bytes + len(data) < SMALL_BYTES:
            self._small.append(bytes(data))
            self._small_bytes += len(data)
            if self._flushing is None:
                self._flushing = self._loop.call_soon(self._flush)
        elif self._small:
            self._transport.writelines([*self._taken(), data])
        else:
            self._transport.write(data)

    def write_eof(self) -> None:
        """Close for writing behind what was written."""
        self._flush()
        self._transport.write_eof()

    def close(self) -> None:
        """Close behind what was written."""
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        """Whatever else a transport can do."""
        return getattr(self._transport, name)

    def _flush(self) -> None:
        small = self._taken()
        if small and not self._transport.is_closing():
            self._transport.write(b"".join(small))

    def _taken(self) -> list[bytes]:
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        small, self._small, self._small_bytes = self._small, [], 0
        return small
