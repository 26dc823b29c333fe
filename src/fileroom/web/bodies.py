"""Small bodies of requests, read whole: JSON documents, and forms."""

import asyncio
from typing import TypeVar

import msgspec

from fileroom.http.refusals import (
    BadRequestError,
    SilentPeerError,
    TooLargeError,
    UnsupportedMediaTypeError,
)
from fileroom.http.request import Request, Service

T = TypeVar("T")

JSON = "application/json"
BODY_BYTES_MAX = 4096


async def document_of(
    service: Service,
    request: Request,
    decoder: msgspec.json.Decoder[T],
    *,
    what: str,
    bytes_max: int = BODY_BYTES_MAX,
) -> T:
    """The body as a JSON document.

    Raises:
        BadRequestError: it is no such document. What `body_of` raises.
    """
    # A page in a browser cannot send this type without being asked for permission first.
    body = await body_of(service, request, JSON, what=what, bytes_max=bytes_max)
    try:
        return decoder.decode(body)
    except msgspec.MsgspecError:
        raise BadRequestError(f"the body is no {what}") from None


async def body_of(
    service: Service,
    request: Request,
    media_type: str,
    *,
    what: str,
    bytes_max: int = BODY_BYTES_MAX,
) -> bytes:
    """The body, read whole.

    Args:
        what: it is, in a word, for the text of an error.

    Raises:
        UnsupportedMediaTypeError, SilentPeerError, TooLargeError.
    """
    sent = (request.header(b"content-type") or "").partition(";")[0].strip().lower()
    if sent != media_type:
        raise UnsupportedMediaTypeError(f"a {what} is {media_type}")
    try:
        async with asyncio.timeout(service.limits.idle_s):
            return await _body(request, what, bytes_max)
    except TimeoutError:
        raise SilentPeerError(f"no {what} came for {service.limits.idle_s:g} s") from None


async def _body(request: Request, what: str, bytes_max: int) -> bytes:
    body, more = b"", True
    while more:
        message = await request.next_message()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > bytes_max:
            raise TooLargeError(f"a {what} is over {bytes_max} B")
    return body
