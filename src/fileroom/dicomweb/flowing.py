"""Bodies that are made while they are sent, so that nobody knows before how long they become."""

import secrets
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from fileroom.dicomweb.conditional import validators
from fileroom.dicomweb.ranges import Unit, read_ranges, related
from fileroom.http.answers import Outflow
from fileroom.http.ports import Buffer, ReadRecord
from fileroom.http.refusals import Header
from fileroom.http.request import Request
from fileroom.wire import multipart


class MadePart(NamedTuple):
    """One part of a multipart body: header fields, and its bytes as they are made."""

    headers: Sequence[tuple[str, str]]
    pieces: AsyncIterator[Buffer]


class Whole:
    """Something that was made and is in memory, as a source of bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.ranges = [(0, len(data))]

    async def read(self, start: int, end: int) -> Buffer:
        """Bytes [start, end)."""
        return memoryview(self._data)[start:end]

    def pieces(self) -> AsyncIterator[Buffer]:
        """All of it."""
        return read_ranges(self, self.ranges)


async def send_made_parts(
    request: Request,
    name: str,
    parts: AsyncIterator[MadePart],
    record: ReadRecord,
    *,
    unit: Unit,
    tag: str,
    headers: Sequence[Header] = (),
) -> None:
    """Send multipart/related with parts of media type `name`; each part counts as one `unit`. The
    first part is begun before any header field goes, so that what cannot be made is answered by a
    status; a later one that cannot breaks the answer off."""
    boundary = secrets.token_hex(16)
    media_type = related(name, boundary)
    fields = [*validators(tag), *headers]
    outflow = Outflow(request, 200, media_type, None, record=record, headers=fields)

    async def pieces() -> AsyncIterator[Buffer]:
        first = True
        async for part in parts:
            yield multipart.part_header(boundary, part.headers, first=first)
            first = False
            _count(outflow, unit)
            async for data in part.pieces:
                yield data
        yield multipart.closing(boundary)

    await _send(request, outflow, pieces())


async def send_made(
    request: Request,
    content_type: str,
    made: AsyncIterator[Buffer],
    record: ReadRecord,
    *,
    unit: Unit,
    tag: str,
    headers: Sequence[Header] = (),
) -> None:
    """Send one representation. A Range field is passed over (RFC 9110 §14.2)."""
    fields = [*validators(tag), *headers, (b"accept-ranges", b"none")]
    outflow = Outflow(request, 200, content_type, None, record=record, headers=fields)

    async def pieces() -> AsyncIterator[Buffer]:
        _count(outflow, unit)
        async for data in made:
            yield data

    await _send(request, outflow, pieces())


async def _send(request: Request, outflow: Outflow, pieces: AsyncIterator[Buffer]) -> None:
    if request.is_head:
        await outflow.send_head()
    else:
        await outflow.send_all(pieces)


def _count(outflow: Outflow, unit: Unit) -> None:
    if unit == "instances":
        outflow.instances += 1
    else:
        outflow.frames += 1
