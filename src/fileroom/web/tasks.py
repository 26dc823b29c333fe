"""Notes about long tasks that run outside of the node, such as an import, for its status."""

import asyncio
import re

import msgspec

from fileroom.http.answers import answer
from fileroom.http.refusals import BadRequestError, NotFoundError
from fileroom.http.request import Request, Service
from fileroom.http.task_note import TaskNote
from fileroom.web.bodies import JSON, document_of

_ID = re.compile(r"[0-9a-f]{16,64}")
_note = msgspec.json.Decoder(TaskNote)


async def note(service: Service, request: Request) -> None:
    """POST of a note about the task whose id the path names."""
    if service.tasks is None:
        raise NotFoundError("there is no such resource")
    noted = await document_of(service, request, _note, what="note about a task")
    if _ID.fullmatch(request.parameters["task"]) is None:
        raise BadRequestError("a task's id is 16 to 64 hexadecimal digits")
    await asyncio.to_thread(service.tasks.note, request.parameters["task"], noted)
    await answer(request, 200, JSON, b"{}")
