"""What every door tells of itself: the methods of a resource, and the OpenAPI document."""

from fileroom.http import openapi as document
from fileroom.http.answers import answer, answer_head
from fileroom.http.operation import JSON
from fileroom.http.request import Request, Service


async def allowed(service: Service, request: Request) -> None:
    """OPTIONS of a resource: the methods that it has (RFC 9110 §9.3.7)."""
    await answer_head(request, 204, [allow_field(request)])


async def openapi(service: Service, request: Request) -> None:
    """GET or HEAD of the OpenAPI document, the same as docs/openapi.json."""
    await answer(request, 200, JSON, document.encoded(request.table))


def allow_field(request: Request) -> tuple[bytes, bytes]:
    """The Allow field of the resource that a request is about."""
    return b"allow", ", ".join(request.table.methods_of(request.route.template)).encode("ascii")
