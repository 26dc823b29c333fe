"""Sending answers: whole ones, and bodies that flow."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import NamedTuple

import msgspec

from fileroom.errors import FileroomError
from fileroom.http.ports import Buffer, ReadRecord
from fileroom.http.refusals import Header, headers_of, reason_of, status_of
from fileroom.http.request import Request, Send

SEND_BYTES = 1 << 20
SMALL_BYTES = 64 << 10  # from here on a piece is sent as it is, not copied together with others

# On every answer, unless it has a field of the same name itself. Images and attributes are for the
# one who asked, so no cache may keep them; a browser must not guess another type, run anything in
# them or show them inside another page.
SECURITY: list[Header] = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; sandbox"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
# Of what is stored a browser draws images, and shows what is written here from it; all else may be
# anything, and is saved (Content-Disposition, RFC 6266 §4.2). Programs take no notice of that.
SHOWN = ("image/", "application/json", "application/dicom+json", "application/dicom+xml")


def secured(headers: Iterable[Header]) -> list[Header]:
    """Header fields of an answer, with those of SECURITY that it does not have itself."""
    own = list(headers)
    named = {name for name, _ in own}
    return [*(each for each in SECURITY if each[0] not in named), *own]


class Answer(NamedTuple):
    """A whole answer, as handlers of injected routes give it."""

    status: int
    media_type: str
    body: bytes
    headers: Sequence[Header] = ()


async def answer(
    request: Request,
    status: int,
    media_type: str,
    body: bytes,
    headers: Sequence[Header] = (),
) -> None:
    """Send a whole answer; to HEAD its header fields only."""
    request.started = True
    await _send_whole(
        request.send, status, media_type, body, [*headers, *request.cors], request.is_head
    )


async def answer_head(request: Request, status: int, headers: Iterable[Header] = ()) -> None:
    """Send an answer of a status that has no body, such as 204 and 304 (RFC 9110 §8.6)."""
    request.started = True
    fields = [*secured(headers), *request.cors]
    await request.send({"type": "http.response.start", "status": status, "headers": fields})
    await request.send({"type": "http.response.body", "body": b""})


async def refuse(
    send: Send, error: FileroomError, *, cors: Sequence[Header] = (), is_head: bool = False
) -> None:
    """Answer with an error's status and with what its text says."""
    await refuse_plainly(
        send, status_of(error), reason_of(error), [*headers_of(error), *cors], is_head
    )


async def refuse_plainly(
    send: Send,
    status: int,
    reason: str,
    headers: Sequence[Header] = (),
    is_head: bool = False,
) -> None:
    """Answer with a status and a reason of our own."""
    body = msgspec.json.encode({"status": status, "reason": reason})
    await _send_whole(send, status, "application/json", body, headers, is_head)


async def _send_whole(
    send: Send,
    status: int,
    media_type: str,
    body: bytes,
    headers: Sequence[Header],
    is_head: bool,
) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", media_type.encode("latin-1")),
                (b"content-length", b"%d" % len(body)),
                *secured(headers),
            ],
        }
    )
    await send({"type": "http.response.body", "body": b"" if is_head else body})


class Outflow:
    """A body that is sent while it is read, and the account of it.

    Small pieces are gathered to sends of up to SEND_BYTES; large ones go out uncopied.

    Args:
        size_bytes: of the whole body, or None where it is not known before.
        record: the access event of this read; told at the end what was sent, whole or broken off.

    Attributes:
        instances, frames: how many were begun. Whoever makes the pieces counts them up.
    """

    def __init__(
        self,
        request: Request,
        status: int,
        media_type: str,
        size_bytes: int | None,
        *,
        record: ReadRecord,
        headers: Sequence[Header] = (),
    ) -> None:
        self._request = request
        self._status = status
        self._record = record
        self._headers = [(b"content-type", media_type.encode("latin-1")), *secured(headers)]
        if not media_type.startswith(SHOWN) and b"content-disposition" not in dict(headers):
            self._headers.append((b"content-disposition", b"attachment"))
        self._headers += request.cors
        if size_bytes is not None:
            self._headers.append((b"content-length", b"%d" % size_bytes))
        self._gathered: list[Buffer] = []
        self._gathered_bytes = 0
        self._sent_bytes = 0
        self._turn_bytes = 0  # since others had theirs
        self.instances = 0
        self.frames = 0

    async def send_head(self) -> None:
        """Answer HEAD with the header fields that GET would have."""
        await self._start()
        await self._request.send({"type": "http.response.body", "body": b""})

    async def send_all(self, pieces: AsyncIterator[Buffer]) -> None:
        """Send the whole body.

        A part's head and its first bytes are read before the header fields go, so that bytes
        which are not available now are answered by a status and not by half a body.
        """
        try:
            before: list[Buffer] = []
            async for data in pieces:
                before.append(data)
                if len(before) == 2:
                    break
            await self._start()
            for data in before:
                await self._add(data)
            async for data in pieces:
                await self._add(data)
            await self._end()
        finally:
            if self._sent_bytes:
                self._record.count(
                    instances=self.instances, frames=self.frames, bytes=self._sent_bytes
                )

    async def _start(self) -> None:
        self._request.started = True
        await self._request.send(
            {"type": "http.response.start", "status": self._status, "headers": self._headers}
        )

    async def _add(self, data: Buffer) -> None:
        if len(data) >= SMALL_BYTES:
            if self._gathered:
                await self._flush()
            await self._send(data)
            return
        self._gathered.append(data)
        self._gathered_bytes += len(data)
        if self._gathered_bytes >= SEND_BYTES:
            await self._flush()

    async def _end(self) -> None:
        last = b"".join(self._gathered)
        self._sent_bytes += len(last)
        await self._request.send({"type": "http.response.body", "body": last})

    async def _flush(self) -> None:
        gathered, self._gathered, self._gathered_bytes = self._gathered, [], 0
        await self._send(b"".join(gathered))

    async def _send(self, data: Buffer) -> None:
        self._sent_bytes += len(data)
        self._turn_bytes += len(data)
        await self._request.send({"type": "http.response.body", "body": data, "more_body": True})
        if self._turn_bytes >= SEND_BYTES:
            # Neither reading from the page cache nor sending need wait; others shall have their
            # turn, and so shall whoever notices that the caller has gone. Not after less: what is
            # small goes to the socket together with what follows it in the same turn.
            self._turn_bytes = 0
            await asyncio.sleep(0)
