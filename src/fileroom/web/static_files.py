"""The style of the pages and their icon, from this package."""

import asyncio
from functools import lru_cache
from importlib.resources import files
from typing import Final

from fileroom.http.answers import answer, answer_head
from fileroom.http.refusals import NotFoundError
from fileroom.http.request import Request, Service
from fileroom.wire import entity_tag

MEDIA_TYPES: Final = {"page.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml"}


async def serve(service: Service, request: Request) -> None:
    """GET or HEAD of /static/{file}."""
    name = request.parameters["file"]
    media_type = MEDIA_TYPES.get(name)
    if media_type is None:
        raise NotFoundError("there is no such file")
    body, tag = await asyncio.to_thread(_read, name)
    headers = [(b"cache-control", b"no-cache"), (b"etag", tag.encode("ascii"))]
    known = request.header(b"if-none-match")
    if known is not None and entity_tag.lists(known, tag):
        await answer_head(request, 304, headers)
        return
    await answer(request, 200, media_type, body, headers)


@lru_cache(maxsize=len(MEDIA_TYPES))
def _read(name: str) -> tuple[bytes, str]:
    body = files("fileroom.web").joinpath("static", name).read_bytes()
    return body, entity_tag.entity_tag([body], strong=True)
