"""Whether all of a study has come."""

import asyncio

import msgspec

from fileroom.http.answers import answer
from fileroom.http.refusals import NotFoundError
from fileroom.http.request import Request, Service

JSON = "application/json"
CHANNEL = "http"


async def shown(service: Service, request: Request) -> None:
    """GET of how much of a study has come, by what its sender and its instances say."""
    study = request.parameters["study"]
    if service.completeness is None:
        raise NotFoundError("there is no such resource")
    found = await asyncio.to_thread(service.completeness.of, study)
    if found is None:
        raise NotFoundError("there is no such study")
    record = await service.coverage.covers(
        request.principal, study, purpose="search", channel=CHANNEL
    )
    body = msgspec.json.encode(found)
    record.count(bytes=len(body))
    await answer(request, 200, JSON, body)
