"""Ranges of bytes, sent as one representation or as the parts of a body."""

import secrets
from collections.abc import AsyncIterator, Sequence
from typing import Literal, NamedTuple

from fileroom.dicomweb.conditional import validators
from fileroom.http.answers import SEND_BYTES, Outflow
from fileroom.http.ports import Buffer, ReadRecord, Source
from fileroom.http.refusals import Header
from fileroom.http.request import Request
from fileroom.wire import byte_range, entity_tag, multipart

Ranges = Sequence[tuple[int, int]]
Unit = Literal["instances", "frames"]


class Part(NamedTuple):
    """One part of a multipart body: header fields, and where its bytes lie."""

    headers: Sequence[tuple[str, str]]
    source: Source
    ranges: Ranges


def related(name: str, boundary: str) -> str:
    """The Content-Type of a multipart/related body (RFC 2387, PS3.18 §8.7.3.5.1)."""
    return f'multipart/related; type="{name}"; boundary="{boundary}"'


def length_of(ranges: Ranges) -> int:
    """How many bytes the ranges hold together."""
    return sum(end - start for start, end in ranges)


def within(ranges: Ranges, start: int, end: int) -> list[tuple[int, int]]:
    """Bytes [start, end) of what `ranges` make up together, as ranges of the same source."""
    found = []
    position = 0
    for first, last in ranges:
        lowest = max(first, first + start - position)
        highest = min(last, first + end - position)
        if lowest < highest:
            found.append((lowest, highest))
        position += last - first
    return found


async def read_ranges(source: Source, ranges: Ranges) -> AsyncIterator[Buffer]:
    """The bytes of `source` in `ranges`, in pieces of at most SEND_BYTES."""
    for start, end in ranges:
        for position in range(start, end, SEND_BYTES):
            yield await source.read(position, min(position + SEND_BYTES, end))


async def send_parts(
    request: Request,
    name: str,
    parts: Sequence[Part],
    record: ReadRecord,
    *,
    unit: Unit,
    tag: str,
) -> None:
    """Send multipart/related with parts of media type `name`; each part counts as one `unit`.

    Args:
        tag: the entity tag, a weak one, since the boundary is another each time.
    """
    boundary = secrets.token_hex(16)
    media_type = related(name, boundary)
    await _send_multipart(
        request, 200, media_type, boundary, parts, record, unit=unit, headers=validators(tag)
    )


async def _send_multipart(
    request: Request,
    status: int,
    media_type: str,
    boundary: str,
    parts: Sequence[Part],
    record: ReadRecord,
    *,
    unit: Unit,
    headers: Sequence[Header],
) -> None:
    heads = [
        multipart.part_header(boundary, part.headers, first=number == 0)
        for number, part in enumerate(parts)
    ]
    tail = multipart.closing(boundary)
    size_bytes = sum(map(len, heads)) + len(tail) + sum(length_of(part.ranges) for part in parts)
    outflow = Outflow(request, status, media_type, size_bytes, record=record, headers=headers)
    if request.is_head:
        await outflow.send_head()
        return

    async def pieces() -> AsyncIterator[Buffer]:
        for head, part in zip(heads, parts, strict=True):
            yield head
            if unit == "instances":
                outflow.instances += 1
            else:
                outflow.frames += 1
            async for data in read_ranges(part.source, part.ranges):
                yield data
        yield tail

    await outflow.send_all(pieces())


async def send_bare(
    request: Request,
    source: Source,
    ranges: Ranges,
    content_type: str,
    record: ReadRecord,
    *,
    unit: Unit,
    tag: str,
    headers: Sequence[Header] = (),
) -> None:
    """Send the bytes of `ranges` as one representation, or what a Range field asks of it
    (RFC 9110 §14).

    Args:
        tag: the entity tag, which an If-Range field is compared with.
    """
    size_bytes = length_of(ranges)
    status = 200
    fields = [*validators(tag), *headers, (b"accept-ranges", b"bytes")]
    wanted = [] if request.is_head else _ranges_asked(request, tag, size_bytes)
    if len(wanted) > 1:
        await _send_byteranges(
            request, source, ranges, wanted, content_type, record, unit=unit, tag=tag
        )
        return
    if wanted:
        ((start, end),) = wanted
        status = 206
        value = byte_range.content_range(start, end, size_bytes)
        fields.append((b"content-range", value.encode("ascii")))
        ranges = within(ranges, start, end)
    outflow = Outflow(
        request, status, content_type, length_of(ranges), record=record, headers=fields
    )
    if request.is_head:
        await outflow.send_head()
        return
    if unit == "instances":
        outflow.instances = 1
    else:
        outflow.frames = 1
    await outflow.send_all(read_ranges(source, ranges))


def _ranges_asked(request: Request, tag: str, size_bytes: int) -> list[tuple[int, int]]:
    asked = request.header(b"range")
    if asked is None:
        return []
    # What the caller has the beginning of is something else by now: it gets all of this
    # (RFC 9110 §13.1.5).
    condition = request.header(b"if-range")
    if condition is not None and not entity_tag.names(condition, tag):
        return []
    return byte_range.parse(asked, size_bytes)


async def _send_byteranges(
    request: Request,
    source: Source,
    ranges: Ranges,
    wanted: Ranges,
    content_type: str,
    record: ReadRecord,
    *,
    unit: Unit,
    tag: str,
) -> None:
    """Several ranges of one representation (RFC 9110 §14.6)."""
    size_bytes = length_of(ranges)
    boundary = secrets.token_hex(16)
    parts = [
        Part(
            [
                ("Content-Type", content_type),
                ("Content-Range", byte_range.content_range(start, end, size_bytes)),
            ],
            source,
            within(ranges, start, end),
        )
        for start, end in wanted
    ]
    media_type = f"multipart/byteranges; boundary={boundary}"
    await _send_multipart(
        request, 206, media_type, boundary, parts, record, unit=unit, headers=validators(tag)
    )
