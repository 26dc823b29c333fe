"""Notes about long tasks that run outside of the node, such as an import, for its status."""

import asyncio
import re

import msgspec

from fileroom.http.answers import answer
from fileroom.http.refusals import (
    BadRequestError,
    NotFoundError,
    SilentPeerError,
    TooLargeError,
    UnsupportedMediaTypeError,
)
from fileroom.http.request import Request, Service
from fileroom.http.task_note import TaskNote

JSON = "application/json"
NOTE_BYTES_MAX = 4096
_ID = re.compile(r"[0-9a-f]{16,64}")

_decode_note = msgspec.json.Decoder(TaskNote).decode


async def note(service: Service, request: Request) -> None:
    """POST of a note about the task whose id the path names."""
    if service.tasks is None:
        raise NotFoundError("there is no such resource")
    # A page in a browser cannot send this type without being asked for permission first.
    if (request.header(b"content-type") or "").partition(";")[0].strip().lower() != JSON:
        raise UnsupportedMediaTypeError(f"a note is {JSON}")
    if _ID.fullmatch(request.parameters["task"]) is None:
        raise BadRequestError("a task's id is 16 to 64 hexadecimal digits")
    try:
        async with asyncio.timeout(service.limits.idle_s):
            noted = _decode_note(await _body(request))
    except TimeoutError:
        raise SilentPeerError(f"no note came for {service.limits.idle_s:g} s") from None
    except msgspec.MsgspecError:
        raise BadRequestError("the body is no note about a task") from None
    await asyncio.to_thread(service.tasks.note, request.parameters["task"], noted)
    await answer(request, 200, JSON, b"{}")


async def _body(request: Request) -> bytes:
    body, more = b"", True
    while more:
        message = await request.next_message()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > NOTE_BYTES_MAX:
            raise TooLargeError(f"a note is over {NOTE_BYTES_MAX} B")
    return body
