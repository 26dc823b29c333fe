"""What the resources of a door are, said so that documents can be made of it. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from fileroom.http.routing import ALLOWED, METHODS, Route, completed

JSON: Final = "application/json"
# What an answer's status means, wherever it is given.
STATUSES: Final = {
    200: "done, or found",
    202: "some of the instances were stored",
    204: "nothing found, or nothing to say",
    206: "the ranges that were asked for",
    303: "done; the result is at Location",
    304: "what the caller has is what is here",
    308: "it is at Location",
    400: "the request does not say anything that can be done",
    403: "the caller may not do this",
    404: "there is no such resource",
    406: "there is no representation that the Accept field allows",
    409: "none of the instances was stored",
    412: "what is here is not what If-Match names",
    413: "over a limit of this node",
    415: "the body is of a kind that is not taken",
    416: "no range that was asked for lies in it",
    503: "not available now; Retry-After says when to ask again",
    507: "no room for instances",
}


class Taken(NamedTuple):
    """A parameter in the query or in the header fields."""

    name: str
    about: str
    kind: str = "string"


class Operation(NamedTuple):
    """What a handler does.

    Attributes:
        transaction: the standard's name, for the capabilities; empty: it is not the standard's.
        gives: media types of a success.
        takes: media types of a body.
        statuses: beside 403, which every resource has.
    """

    summary: str
    clause: str
    transaction: str
    gives: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    query: tuple[Taken, ...] = ()
    headers: tuple[Taken, ...] = ()
    statuses: tuple[int, ...] = (200,)


OWN: Final[Mapping[str, Operation]] = {
    ALLOWED: Operation("Which methods there are", "RFC 9110 §9.3.7", "", statuses=(204,)),
    "openapi": Operation("This document", "", "", gives=(JSON,)),
}


class Table:
    """Every way in through a door: the rows, what they do, and what stands in their paths.

    Args:
        given: rows, without HEAD and without the OPTIONS of a resource that tells its methods.
        operations: by the name of a row's handler.
        parameters: what each parameter of a template is.
    """

    def __init__(
        self,
        given: Sequence[Route],
        operations: Mapping[str, Operation],
        parameters: Mapping[str, str],
    ) -> None:
        self.routes = tuple(completed(given))
        self.operations = {**OWN, **operations}
        self.parameters = parameters

    def methods_of(self, template: str) -> tuple[str, ...]:
        """The methods of a resource."""
        found = {route.method for route in self.routes if route.template == template}
        return tuple(each for each in METHODS if each in found)


def name_of(route: Route) -> str:
    """A name for what a method does on a resource; no two rows have the same."""
    named = route.template.strip("/").replace("{", "").replace("}", "").replace("*", "")
    place = named.replace("/", "_").replace(".", "_") + (
        "_base" if route.template[-1] == "/" else ""
    )
    return f"{route.method.lower()}_{place}"


def parameters_of(route: Route) -> tuple[str, ...]:
    """The names in a template."""
    pieces = (each for each in route.template.split("/") if each.startswith("{"))
    return tuple(each.strip("{}*") for each in pieces)
