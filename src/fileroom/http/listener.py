"""The socket: uvicorn inside this process's event loop, set up for this door."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import uvicorn

from fileroom.http.app import WebApp
from fileroom.http.lingering import LingeringProtocol

BACKLOG = 256
KEEP_ALIVE_S = 75
DRAIN_S = 30
UNREAD_S = 60.0
HEADER_S = 60.0


class Listener:
    """Serves an application on one address until it is stopped.

    uvicorn's access log stays off, because request lines hold identifiers; its reading of
    X-Forwarded-For stays off, because `Callers` decides whom to believe.

    Args:
        header_s: how long a peer may take for the header fields of a request.
    """

    def __init__(
        self,
        app: WebApp,
        *,
        host: str,
        port: int,
        connections_max: int,
        drain_s: float = DRAIN_S,
        header_s: float = HEADER_S,
    ) -> None:
        self._socket = _bound(host, port)
        config = uvicorn.Config(
            app,
            http=type("ImpatientProtocol", (ImpatientProtocol,), {"header_s": header_s}),
            ws="none",
            lifespan="off",
            interface="asgi3",
            access_log=False,
            log_config=None,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=connections_max,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=round(drain_s),
        )
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port in use, also where 0 was asked for."""
        return int(self._socket.getsockname()[1])

    async def start(self) -> None:
        """Return once connections are accepted."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        await self._server.settled.wait()
        if not self._server.started:
            await self._task

    async def stop(self) -> None:
        """Accept nothing more, let what is under way end within the drain time, and close."""
        if self._task is not None:
            self._server.should_exit = True
            await self._task
        with suppress(OSError):
            self._socket.close()


class _Server(uvicorn.Server):
    """Leaves the process's signals to the node, and tells when it listens or has failed to."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.settled = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        finally:
            self.settled.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class ImpatientProtocol(LingeringProtocol):
    """Gives up a peer that does not come to the end of a request's header fields.

    uvicorn waits for ever there and keeps whatever comes; a few hundred silent connections, or
    one that talks without end, would keep everyone else out.
    """

    header_s = HEADER_S
    header_bytes_max = 512 << 10  # above what one read of the socket brings

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._in_header = True
        self._header_bytes = 0
        self._deadline = self.loop.call_later(self.header_s, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        was_in_header = self._in_header
        super().data_received(data)
        if was_in_header and self._in_header:
            self._header_bytes += len(data)
            if self._header_bytes > self.header_bytes_max:
                self.transport.abort()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._deadline.cancel()
        self._deadline = self.loop.call_later(self.header_s, self.transport.abort)

    def on_headers_complete(self) -> None:
        self._deadline.cancel()
        self._in_header = False
        self._header_bytes = 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_header = True
        super().on_message_complete()


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Connections inherit it. Without it every answer in two writes waits 40 ms for the peer's
    # delayed acknowledgement.
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # Inherited too. A peer that asks and then takes nothing of its answer would keep its
    # connection, one of a few, and all that the answer needs, for ever.
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(UNREAD_S * 1000))
    try:
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound
