"""Connections whose requests are answered before their bodies are read (RFC 9112 §9.6).

A connection that is closed while its peer still sends is reset, and the peer may lose the answer
that was on its way. So the rest of the body is read and dropped for a while, and no longer.
"""

import asyncio

from uvicorn._types import ASGIReceiveEvent
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from fileroom.http.gathering import GatheringTransport


class LingeringProtocol(HttpToolsProtocol):
    """Drops what comes of a body behind its answer, and closes the connection after `linger_s`.

    uvicorn drops it for ever where the connection is kept, and closes at once where it is not. A
    peer that waits for "100 Continue" and is answered otherwise may send its body or not: nobody
    could say what comes next, so that such a connection is closed (RFC 9110 §10.1.1).
    """

    linger_s = 30.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.transport = GatheringTransport(transport, self.loop)  # type: ignore[assignment]
        self._lingering: asyncio.TimerHandle | None = None
        self._is_last = False

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_lingering()
        super().connection_lost(exc)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self.expect_100_continue and self.cycle.keep_alive:
            _close_unless_read(self.cycle)
        if not self.cycle.keep_alive:
            self.cycle.transport = _Closing(self)  # type: ignore[assignment]

    def on_message_complete(self) -> None:
        super().on_message_complete()
        if self._lingering is not None:
            self._stop_lingering()
            if self._is_last:
                self.transport.close()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete and self.cycle.more_body:
            self.linger()

    def linger(self, *, is_last: bool = False) -> None:
        """Wait for the end of the body, whose answer is sent."""
        self._is_last |= is_last
        if self._lingering is None and not self.transport.is_closing():
            self._lingering = self.loop.call_later(self.linger_s, self.transport.close)

    def _stop_lingering(self) -> None:
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None


def _close_unless_read(cycle: RequestResponseCycle) -> None:
    """Keep the connection only if the body is asked for."""
    receive = cycle.receive

    async def receiving() -> ASGIReceiveEvent:
        cycle.keep_alive = True
        return await receive()

    cycle.keep_alive = False
    cycle.receive = receiving  # type: ignore[method-assign]


class _Closing:
    """A transport to which an answer is written that is the last of its connection."""

    def __init__(self, protocol: LingeringProtocol) -> None:
        self._protocol = protocol
        self.write = protocol.transport.write
        self.is_closing = protocol.transport.is_closing

    def close(self) -> None:
        """Close once the body has come to its end; until then only for writing."""
        protocol = self._protocol
        if not protocol.cycle.more_body:
            protocol.transport.close()
            return
        protocol.flow.resume_reading()
        if protocol.transport.can_write_eof() and not protocol.transport.is_closing():
            protocol.transport.write_eof()
        protocol.linger(is_last=True)
