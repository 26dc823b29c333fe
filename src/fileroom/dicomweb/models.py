"""Data sets without bulk data on their way out: DICOM JSON as one list (PS3.18 §F.2), or documents
of the Native DICOM Model, each a part of its own (PS3.18 §8.7.3.1, PS3.19 §A.1)."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence

from fileroom.dicom.xml_model import native_model
from fileroom.dicomweb.conditional import validators
from fileroom.dicomweb.negotiate import DICOM_XML, Choice
from fileroom.dicomweb.ranges import related
from fileroom.http.ports import ReadRecord
from fileroom.http.refusals import Header
from fileroom.http.request import Request
from fileroom.http.texts import send_text
from fileroom.wire import multipart

CODED_BY = "accept-encoding"  # the field that, beside Accept, chooses among representations


async def send(
    request: Request,
    form: Choice,
    described: AsyncIterator[bytes],
    *,
    record: ReadRecord,
    tag: str = "",
    headers: Sequence[Header] = (),
) -> None:
    """Answer with data sets.

    Args:
        described: the DICOM JSON of each.
        tag: the entity tag, where there is one.
    """
    media_type = form.content_type
    if form.name != DICOM_XML:
        pieces = _listed(described)
    elif form.multipart:
        boundary = secrets.token_hex(16)
        media_type = related(DICOM_XML, boundary)
        pieces = _parts(described, boundary)
    else:
        pieces = _documents(described)
    fields = validators(tag, CODED_BY)
    await send_text(request, media_type, pieces, record=record, headers=[*fields, *headers])


async def _listed(described: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    before = b"["
    async for each in described:
        yield before + each
        before = b","
    yield b"]" if before == b"," else b"[]"


async def _parts(described: AsyncIterator[bytes], boundary: str) -> AsyncIterator[bytes]:
    first = True
    async for document in _documents(described):
        fields = [("Content-Type", DICOM_XML), ("Content-Length", str(len(document)))]
        yield multipart.part_header(boundary, fields, first=first) + document
        first = False
    yield multipart.closing(boundary)


async def _documents(described: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for each in described:
        yield await asyncio.to_thread(native_model, each)
