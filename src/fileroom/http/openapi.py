"""The OpenAPI document of a door, made of its table of routes and of what each handler takes and
gives. Pure.

It says the same wherever it is served: its server is relative to its own place, so that the prefix
of a reverse proxy needs no word in it.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, Final

import msgspec

from fileroom import __version__
from fileroom.http.operation import STATUSES, Operation, Table, Taken, name_of, parameters_of
from fileroom.http.routing import Route

VERSION: Final = "3.1.0"


@lru_cache(maxsize=1)
def encoded(table: Table) -> bytes:
    """The document of all routes, as it is served and as docs/openapi.json has it."""
    return msgspec.json.format(msgspec.json.encode(document(table)), indent=1) + b"\n"


def document(table: Table) -> dict[str, Any]:
    """The document of these routes."""
    paths: dict[str, dict[str, Any]] = {}
    for route in table.routes:
        path = route.template.replace("*}", "}")
        paths.setdefault(path, {})[route.method.lower()] = _operation(table, route)
    taken = {each for route in table.routes for each in _taken(table, route)}
    return {
        "openapi": VERSION,
        "info": {
            "title": "Fileroom",
            "version": __version__,
            "summary": "DICOMweb, PS3.18 §10, and the node's own state",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "..", "description": "the folder above the one this lies in"}],
        "paths": paths,
        "components": {
            "parameters": {
                _key(place, each): _parameter(place, each) for place, each in sorted(taken)
            }
        },
    }


def _operation(table: Table, route: Route) -> dict[str, Any]:
    operation = table.operations[route.handler]
    found: dict[str, Any] = {
        "operationId": name_of(route),
        "summary": operation.summary,
        "x-action": str(route.action),
    }
    if operation.clause:
        found["description"] = operation.clause
    parameters = [
        {"$ref": f"#/components/parameters/{_key(place, each)}"}
        for place, each in _taken(table, route)
    ]
    if parameters:
        found["parameters"] = parameters
    if operation.takes:
        found["requestBody"] = {"required": True, "content": _content(operation.takes)}
    found["responses"] = {
        str(status): _response(status, operation, route)
        for status in sorted({*operation.statuses, 403})
    }
    return found


def _taken(table: Table, route: Route) -> Iterator[tuple[str, Taken]]:
    """Everything that a request may carry beside its body, and where."""
    operation = table.operations[route.handler]
    for name in parameters_of(route):
        yield "path", Taken(name, table.parameters[name])
    for each in operation.query:
        yield "query", each
    for each in operation.headers:
        yield "header", each


def _key(place: str, taken: Taken) -> str:
    return f"{place}-{taken.name}"


def _parameter(place: str, taken: Taken) -> dict[str, Any]:
    parameter: dict[str, Any] = {
        "name": taken.name,
        "in": place,
        "description": taken.about,
        "schema": {"type": taken.kind},
    }
    return parameter | {"required": True} if place == "path" else parameter


def _response(status: int, operation: Operation, route: Route) -> dict[str, Any]:
    response: dict[str, Any] = {"description": STATUSES[status]}
    if status < 300 and status != 204 and operation.gives and route.method != "HEAD":
        response["content"] = _content(operation.gives)
    return response


def _content(media_types: Iterable[str]) -> dict[str, Any]:
    return {each: {} for each in media_types}
