"""The OpenAPI document of this door, made of the table of routes and of what each handler takes
and gives. Pure.

It says the same wherever it is served: its server is relative to its own place, so that the prefix
of a reverse proxy needs no word in it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec

from fileroom import __version__
from fileroom.dicomweb import negotiate
from fileroom.dicomweb.qido_keys import MATCHED, TAGS, Found
from fileroom.dicomweb.qido_query import SWITCHES
from fileroom.dicomweb.routes import ROUTES
from fileroom.dicomweb.routing import Route

VERSION: Final = "3.1.0"
WADL: Final = "application/vnd.sun.wadl+xml"
RELATED: Final = "multipart/related"
MODELS: Final = (negotiate.DICOM_JSON, negotiate.JSON, f'{RELATED}; type="{negotiate.DICOM_XML}"')
FRAMES: Final = (
    f'{RELATED}; type="{negotiate.OCTETS}"',
    negotiate.OCTETS,
    *(f'{RELATED}; type="{each}"' for each in dict.fromkeys(negotiate.FRAME_MEDIA_TYPE.values())),
)
INSTANCES: Final = (f'{RELATED}; type="{negotiate.DICOM}"', negotiate.DICOM)
PATH: Final = {
    "study": "Study Instance UID",
    "series": "Series Instance UID",
    "instance": "SOP Instance UID",
    "frames": "frame numbers from 1, separated by commas",
    "element": "tags of 8 hexadecimal digits and, between them, numbers of items, with slashes",
    "task": "the task's id, 16 to 64 hexadecimal digits",
    "peer": "the peer's name in the settings",
}
# What an answer's status means, wherever it is given.
STATUSES: Final = {
    200: "done, or found",
    202: "some of the instances were stored",
    204: "nothing found, or nothing to say",
    206: "the ranges that were asked for",
    304: "what the caller has is what is here",
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


ACCEPT: Final = Taken("accept", "media types, counted before those of the Accept field")
CODED: Final = Taken("Accept-Encoding", "`gzip` has the answer compressed")
CONDITIONS: Final = (
    Taken("If-Match", "entity tags; another one is answered 412"),
    Taken("If-None-Match", "entity tags that the caller has; one of them is answered 304"),
)
RANGES: Final = (
    Taken("Range", "byte ranges of a single part"),
    Taken("If-Range", "the entity tag of what the ranges are of"),
)
PAGING: Final = (
    Taken("includefield", "attributes to return besides, with commas, or `all`; may be repeated"),
    Taken("limit", "how many matches to return at most", "integer"),
    Taken("offset", "how many matches to leave out first", "integer"),
    *(Taken(each, "switches that kind of matching on", "boolean") for each in SWITCHES),
    ACCEPT,
)
READING: Final = (200, 304, 400, 404, 406, 412, 503)
SEARCHING: Final = (200, 204, 400, 406, 413, 503)


def _search(found: Found, transaction: str) -> Operation:
    keys = tuple(
        Taken(keyword, f"matches ({TAGS[keyword][:4]},{TAGS[keyword][4:]})")
        for keyword in sorted(MATCHED[found])
    )
    return Operation(
        f"Search for {found.value}",
        "PS3.18 §10.6",
        transaction,
        gives=MODELS,
        query=(*keys, *PAGING),
        headers=(CODED,),
        statuses=SEARCHING,
    )


OPERATIONS: Final[Mapping[str, Operation]] = {
    "store": Operation(
        "Store instances",
        "PS3.18 §10.5",
        "StoreInstances",
        gives=(*MODELS, negotiate.DICOM_XML),
        takes=(
            *INSTANCES,
            f'{RELATED}; type="{negotiate.DICOM_JSON}"',
            f'{RELATED}; type="{negotiate.DICOM_XML}"',
        ),
        statuses=(200, 202, 400, 406, 409, 413, 415, 503, 507),
    ),
    "search_studies": _search(Found.STUDIES, "SearchForStudies"),
    "search_series": _search(Found.SERIES, "SearchForSeries"),
    "search_instances": _search(Found.INSTANCES, "SearchForInstances"),
    "retrieve_instances": Operation(
        "Retrieve instances",
        "PS3.18 §10.4",
        "RetrieveInstances",
        gives=INSTANCES,
        query=(ACCEPT,),
        headers=(*CONDITIONS, *RANGES),
        statuses=(*READING, 206, 416),
    ),
    "retrieve_metadata": Operation(
        "Retrieve metadata",
        "PS3.18 §10.4.1.1.2",
        "RetrieveMetadata",
        gives=(*MODELS, negotiate.DICOM_XML),
        query=(ACCEPT,),
        headers=(*CONDITIONS, CODED),
        statuses=(*READING, 413),
    ),
    "retrieve_frames": Operation(
        "Retrieve frames",
        "PS3.18 §10.4.1.1.6",
        "RetrieveFrames",
        gives=FRAMES,
        query=(ACCEPT,),
        headers=(*CONDITIONS, *RANGES),
        statuses=(*READING, 206, 413, 416),
    ),
    "retrieve_bulkdata": Operation(
        "Retrieve bulk data",
        "PS3.18 §10.4.1.1.5",
        "RetrieveBulkdata",
        gives=FRAMES,
        query=(ACCEPT,),
        headers=(*CONDITIONS, *RANGES),
        statuses=(*READING, 206, 413, 416),
    ),
    "capabilities": Operation(
        "Retrieve capabilities",
        "PS3.18 §8.9",
        "RetrieveCapabilities",
        gives=(WADL, negotiate.JSON),
        statuses=(200, 406),
    ),
    "allowed": Operation("Which methods there are", "RFC 9110 §9.3.7", "", statuses=(204,)),
    "openapi": Operation("This document", "", "", gives=(negotiate.JSON,)),
    "note_task": Operation(
        "Note how far a long task is",
        "",
        "",
        gives=(negotiate.JSON,),
        takes=(negotiate.JSON,),
        statuses=(200, 400, 404, 413, 415),
    ),
    "echo_peer": Operation(
        "Ask a peer for a C-ECHO", "", "", gives=(negotiate.JSON,), statuses=(200, 404)
    ),
    "healthz": Operation("Is it well", "", "", gives=(negotiate.JSON,), statuses=(200, 503)),
    "metrics": Operation("Figures", "", "", gives=("text/plain",), statuses=(200, 404)),
    "status": Operation("Everything", "", "", gives=(negotiate.JSON,), statuses=(200, 404)),
}


@lru_cache(maxsize=1)
def encoded() -> bytes:
    """The document of all routes, as it is served and as docs/openapi.json has it."""
    return msgspec.json.format(msgspec.json.encode(document(ROUTES)), indent=1) + b"\n"


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """The document of these routes."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        path = route.template.replace("*}", "}")
        paths.setdefault(path, {})[route.method.lower()] = _operation(route)
    taken = {each for route in routes for each in _taken(route)}
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


def _operation(route: Route) -> dict[str, Any]:
    operation = OPERATIONS[route.handler]
    found: dict[str, Any] = {
        "operationId": name_of(route),
        "summary": operation.summary,
        "x-action": str(route.action),
    }
    if operation.clause:
        found["description"] = operation.clause
    parameters = [
        {"$ref": f"#/components/parameters/{_key(place, each)}"} for place, each in _taken(route)
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


def _taken(route: Route) -> Iterator[tuple[str, Taken]]:
    """Everything that a request may carry beside its body, and where."""
    operation = OPERATIONS[route.handler]
    for name in parameters_of(route):
        yield "path", Taken(name, PATH[name])
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
