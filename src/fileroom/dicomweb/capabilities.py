"""What this service can do, told by itself (PS3.18 §8.9)."""

from fileroom.dicomweb import wadl
from fileroom.dicomweb.location import base_url
from fileroom.dicomweb.negotiate import first_of
from fileroom.dicomweb.operations import WADL
from fileroom.http import openapi
from fileroom.http.answers import answer
from fileroom.http.operation import JSON
from fileroom.http.refusals import NotAcceptableError
from fileroom.http.request import Request, Service
from fileroom.http.told import allow_field


async def capabilities(service: Service, request: Request) -> None:
    """OPTIONS of the service's base: a WADL document (PS3.18 Annex H), or the OpenAPI document to
    whoever wants JSON."""
    media_type = first_of((WADL, JSON), request.accepts())
    if media_type is None:
        raise NotAcceptableError(f"capabilities are described as {WADL} or {JSON}")
    if media_type == JSON:
        body = openapi.encoded(request.table)
    else:
        body = wadl.description(request.table, base_url(request))
    await answer(request, 200, media_type, body, [allow_field(request), (b"vary", b"accept")])
