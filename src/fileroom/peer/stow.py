"""STOW-RS as a client (PS3.18 §10.5): one instance a request, over a connection that is kept.

HTTP/1.1 by h11 on asyncio streams. An answer counts by what it says of the instance, not by its
status alone.
"""

import asyncio
import secrets
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import h11
import msgspec

from fileroom.errors import RefusedError, TransientError
from fileroom.peer.association import BrokenOffError, UnreachableError
from fileroom.wire.multipart import closing, part_header
from fileroom.wire.presentation import Buffer

T = TypeVar("T")

TIMEOUT_S = 60.0
READ_BYTES = 64 * 1024
ANSWER_BYTES_MAX = 1 << 20
JSON = "application/dicom+json"
DICOM = "application/dicom"
HTTPS = "https"
PORTS = {"http": 80, HTTPS: 443}
FAILED, FAILURE_REASON = "00081198", "00081197"
STORED, WARNING = "00081199", "00081196"
SOP_INSTANCE_UID = "00081155"
SPOKEN_OF = frozenset({200, 202, 409})  # whose body says what came of each instance


class WebDestination(NamedTuple):
    """Where instances are sent.

    Attributes:
        url: of the service, without /studies.
        authorization: value of the Authorization field; empty: none is sent.
        ca_file: certificates to trust in place of the system's; empty: these.
    """

    url: str
    authorization: str = ""
    ca_file: str = ""


class StowAnswer(NamedTuple):
    """What the origin server answered to one instance.

    Attributes:
        http_status: of the answer.
        status: what it says of the instance, as a status of C-STORE: 0 where it is stored without
            a word, else its Warning Reason (0008,1196) or Failure Reason (0008,1197); None: it
            does not speak of it.
    """

    http_status: int
    status: int | None


class UntrustedError(TransientError):
    """The certificates to trust cannot be used, or do not vouch for the server."""


class NotHttpError(RefusedError):
    """The server does not speak HTTP/1.1."""


_DataSet = dict[str, dict[str, Any]]
_decode = msgspec.json.Decoder(_DataSet).decode


class StowDelivery:
    """A destination that instances are sent to, one after another.

    Args:
        timeout_s: for each answer, and for each piece to be taken.
    """

    def __init__(self, destination: WebDestination, *, timeout_s: float = TIMEOUT_S) -> None:
        self._destination = destination
        self._url = urlsplit(destination.url)
        self._timeout_s = timeout_s
        self._boundary = secrets.token_hex(16)
        self._http: h11.Connection | None = None
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def connect(self) -> None:
        """Have a connection. Raises UnreachableError, UntrustedError."""
        await self.end()
        url, timeout_s = self._url, self._timeout_s
        context = await self._context() if url.scheme == HTTPS else None
        try:
            async with asyncio.timeout(timeout_s):
                self._reader, self._writer = await asyncio.open_connection(
                    url.hostname, url.port or PORTS[url.scheme], ssl=context
                )
        except TimeoutError as error:
            raise UnreachableError(f"no connection within {timeout_s:g} s") from error
        except ssl.SSLError as error:
            raise UntrustedError(f"TLS: {error.reason or type(error).__name__}") from error
        except OSError as error:
            raise UnreachableError(f"no connection: {error.strerror or error.errno}") from error
        self._http = h11.Connection(h11.CLIENT)

    async def _context(self) -> ssl.SSLContext:
        ca_file = self._destination.ca_file or None
        try:
            return await asyncio.to_thread(ssl.create_default_context, cafile=ca_file)
        except OSError as error:  # an SSLError too
            raise UntrustedError(f"ca_file cannot be used: {type(error).__name__}") from error

    async def store(
        self, sop_instance_uid: str, file: AsyncIterator[Buffer], size_bytes: int
    ) -> StowAnswer:
        """Send an instance and return what the answer says of it.

        Args:
            file: its Part 10 file, of `size_bytes`.
        sop_instance_uid: by which the answer names it.

        Raises:
            UnreachableError, UntrustedError, BrokenOffError, NotHttpError; what `file` raises. The
            connection is gone; the next call opens another one.
        """
        if self._http is None or self._http.our_state is not h11.IDLE:
            await self.connect()
        assert self._http is not None
        try:
            answer = await self._exchange(self._http, sop_instance_uid, file, size_bytes)
        except h11.RemoteProtocolError as error:
            await self.end()
            raise NotHttpError("the server's answer is not HTTP/1.1") from error
        except BaseException:
            await self.end()
            raise
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        else:
            await self.end()
        return answer

    async def _exchange(
        self,
        http: h11.Connection,
        sop_instance_uid: str,
        file: AsyncIterator[Buffer],
        size_bytes: int,
    ) -> StowAnswer:
        head = part_header(self._boundary, [("Content-Type", DICOM)], first=True)
        tail = closing(self._boundary)
        # A server that says no before it has all of it closes: then its answer is what counts.
        with suppress(BrokenOffError):
            await self._send(http, self._request(len(head) + size_bytes + len(tail)))
            await self._send(http, h11.Data(data=head))
            async for piece in file:
                await self._send(http, h11.Data(data=bytes(piece)))
            await self._send(http, h11.Data(data=tail))
            await self._send(http, h11.EndOfMessage())
        status, body = await self._answer(http)
        return StowAnswer(status, said_of(sop_instance_uid, body) if status in SPOKEN_OF else None)

    def _request(self, size_bytes: int) -> h11.Request:
        url = self._url
        fields = [
            ("Host", url.netloc),
            ("Accept", JSON),
            ("Content-Type", f'multipart/related; type="{DICOM}"; boundary={self._boundary}'),
            ("Content-Length", str(size_bytes)),
        ]
        if self._destination.authorization:
            fields.append(("Authorization", self._destination.authorization))
        return h11.Request(method="POST", target=f"{url.path.rstrip('/')}/studies", headers=fields)

    def _answered_early(self, http: h11.Connection) -> bool:
        return self._reader.at_eof() or http.their_state is not h11.SEND_RESPONSE

    async def _send(self, http: h11.Connection, event: h11.Event) -> None:
        data = http.send(event)
        if not data:
            return
        try:
            self._writer.write(data)
            async with asyncio.timeout(self._timeout_s):
                await self._writer.drain()
        except TimeoutError as error:
            raise UnreachableError(f"the server took no data for {self._timeout_s:g} s") from error
        except OSError as error:
            raise BrokenOffError(f"the connection was lost: errno {error.errno}") from error

    async def _answer(self, http: h11.Connection) -> tuple[int, bytes]:
        """Status and body. A body beyond bounds is cut off, and so says nothing."""
        status, body = 0, bytearray()
        try:
            async with asyncio.timeout(self._timeout_s):
                while True:
                    event = http.next_event()
                    if event is h11.NEED_DATA:
                        http.receive_data(await self._reader.read(READ_BYTES))
                    elif isinstance(event, h11.Response):
                        status = event.status_code
                    elif isinstance(event, h11.Data):
                        if len(body) + len(event.data) > ANSWER_BYTES_MAX:
                            return status, b""
                        body += event.data
                    elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
                        break
        except TimeoutError as error:
            raise UnreachableError(
                f"the server did not answer within {self._timeout_s:g} s"
            ) from error
        except OSError as error:
            raise BrokenOffError(f"the connection was lost: errno {error.errno}") from error
        if not status:
            raise BrokenOffError("the server closed the connection")
        return status, bytes(body)

    async def end(self) -> None:
        """Close the connection, if there is one."""
        if self._http is None:
            return
        self._http = None
        self._writer.close()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(min(self._timeout_s, 2.0)):
                await self._writer.wait_closed()
        self._writer.transport.abort()


def said_of(sop_instance_uid: str, body: bytes) -> int | None:
    """What the answer to one instance says of it (PS3.18 Table I.1-1), as `StowAnswer.status`."""
    try:
        found = _decode(body)
        for sequence, reason, unsaid in ((FAILED, FAILURE_REASON, 0x0110), (STORED, WARNING, 0)):
            for item in _values(found, sequence, list[_DataSet]):
                if _values(item, SOP_INSTANCE_UID, list[str]) == [sop_instance_uid]:
                    return next(iter(_values(item, reason, list[int])), unsaid)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    return None


def _values(data_set: _DataSet, tag: str, kind: type[list[T]]) -> list[T]:
    return msgspec.convert(data_set.get(tag, {}).get("Value", []), kind)
