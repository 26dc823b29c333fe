"""Answers in text, made piece by piece and coded as the caller likes (RFC 9110 §8.4)."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Sequence

from fileroom.http.answers import Outflow, answer
from fileroom.http.ports import ReadRecord
from fileroom.http.refusals import Header
from fileroom.http.request import Request
from fileroom.wire import content_coding

JOINED_BYTES_MAX = 4 << 20  # a longer text is sent as it is made, without a Content-Length
CODED_BYTES_MIN = 1024  # below, a coding costs more than it saves
CODED_AT_ONCE_BYTES = 256 << 10  # one trip to a thread
GZIP_LEVEL = 3  # where DICOM JSON of a series becomes smallest for the time
_GZIP_WINDOW = 16 + zlib.MAX_WBITS


async def send_text(
    request: Request,
    media_type: str,
    pieces: AsyncIterator[bytes],
    *,
    record: ReadRecord,
    headers: Sequence[Header] = (),
) -> None:
    """Answer 200 with a text of known or unknown length. Its first pieces are made before any
    header field goes, so that what is not available now is answered by a status."""
    gzip = content_coding.choose(request.header(b"accept-encoding")) == content_coding.GZIP
    made: list[bytes] = []
    made_bytes = 0
    async for piece in pieces:
        made.append(piece)
        made_bytes += len(piece)
        if made_bytes > JOINED_BYTES_MAX:
            break
    else:
        body = b"".join(made)
        if gzip and len(body) >= CODED_BYTES_MIN:
            body = await asyncio.to_thread(_gzipped, body)
            headers = [*headers, (b"content-encoding", b"gzip")]
        await answer(request, 200, media_type, body, headers)
        record.count(bytes=0 if request.is_head else len(body))
        return
    flowing = _all_of(made, pieces)
    if gzip:
        flowing = _gzip(flowing)
        headers = [*headers, (b"content-encoding", b"gzip")]
    outflow = Outflow(request, 200, media_type, None, record=record, headers=headers)
    if request.is_head:
        await outflow.send_head()
    else:
        await outflow.send_all(flowing)


async def _all_of(made: list[bytes], pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    for piece in made:
        yield piece
    async for piece in pieces:
        yield piece


def _gzipped(body: bytes) -> bytes:
    compressor = zlib.compressobj(GZIP_LEVEL, wbits=_GZIP_WINDOW)
    return compressor.compress(body) + compressor.flush()


async def _gzip(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    compressor = zlib.compressobj(GZIP_LEVEL, wbits=_GZIP_WINDOW)
    gathered: list[bytes] = []
    gathered_bytes = 0
    async for piece in pieces:
        gathered.append(piece)
        gathered_bytes += len(piece)
        if gathered_bytes >= CODED_AT_ONCE_BYTES:
            yield await asyncio.to_thread(compressor.compress, b"".join(gathered))
            gathered, gathered_bytes = [], 0
    yield compressor.compress(b"".join(gathered)) + compressor.flush()
