"""What this door can do, told by itself: capabilities (PS3.18 §8.9), methods, OpenAPI."""

from fileroom.dicomweb import openapi as document
from fileroom.dicomweb import wadl
from fileroom.dicomweb.answers import answer, answer_head
from fileroom.dicomweb.negotiate import JSON, first_of
from fileroom.dicomweb.refusals import NotAcceptableError
from fileroom.dicomweb.request import Request, Service
from fileroom.dicomweb.routes import methods_of

WADL = "application/vnd.sun.wadl+xml"


async def capabilities(service: Service, request: Request) -> None:
    """OPTIONS of the service's base: a WADL document (PS3.18 Annex H), or the OpenAPI document to
    whoever wants JSON."""
    media_type = first_of((WADL, JSON), request.accepts())
    if media_type is None:
        raise NotAcceptableError(f"capabilities are described as {WADL} or {JSON}")
    body = document.encoded() if media_type == JSON else wadl.description(request.base_url)
    await answer(request, 200, media_type, body, [_allow(request), (b"vary", b"accept")])


async def allowed(service: Service, request: Request) -> None:
    """OPTIONS of any other resource: the methods that it has (RFC 9110 §9.3.7)."""
    await answer_head(request, 204, [_allow(request)])


async def openapi(service: Service, request: Request) -> None:
    """GET or HEAD of the OpenAPI document, the same as docs/openapi.json."""
    await answer(request, 200, JSON, document.encoded())


def _allow(request: Request) -> tuple[bytes, bytes]:
    return b"allow", ", ".join(methods_of(request.route.template)).encode("ascii")
