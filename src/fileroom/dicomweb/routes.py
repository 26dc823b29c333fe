"""Every way in through this door, as one table. Pure.

The matrix test of access walks its rows, the capabilities and docs/openapi.json are made of it, and
a row without a handler fails at start.
"""

from collections.abc import Iterable, Iterator

from fileroom.access.grant import Action
from fileroom.dicomweb.routing import METHODS, Route

BASE = "/dicomweb"
_STUDY = f"{BASE}/studies/{{study}}"
_SERIES = f"{_STUDY}/series/{{series}}"
_INSTANCE = f"{_SERIES}/instances/{{instance}}"

_GIVEN: tuple[Route, ...] = (
    Route("POST", f"{BASE}/studies", Action.STORE, "store"),
    Route("POST", _STUDY, Action.STORE, "store"),
    Route("GET", f"{BASE}/studies", Action.FIND, "search_studies"),
    Route("GET", f"{BASE}/series", Action.FIND, "search_series"),
    Route("GET", f"{BASE}/instances", Action.FIND, "search_instances"),
    Route("GET", f"{_STUDY}/series", Action.FIND, "search_series"),
    Route("GET", f"{_STUDY}/instances", Action.FIND, "search_instances"),
    Route("GET", f"{_SERIES}/instances", Action.FIND, "search_instances"),
    Route("GET", _STUDY, Action.GET, "retrieve_instances"),
    Route("GET", _SERIES, Action.GET, "retrieve_instances"),
    Route("GET", _INSTANCE, Action.GET, "retrieve_instances"),
    Route("GET", f"{_STUDY}/metadata", Action.GET, "retrieve_metadata"),
    Route("GET", f"{_SERIES}/metadata", Action.GET, "retrieve_metadata"),
    Route("GET", f"{_INSTANCE}/metadata", Action.GET, "retrieve_metadata"),
    Route("GET", f"{_INSTANCE}/frames/{{frames}}", Action.GET, "retrieve_frames"),
    Route("GET", f"{_INSTANCE}/bulkdata/{{element*}}", Action.GET, "retrieve_bulkdata"),
    Route("OPTIONS", BASE, Action.DESCRIBE, "capabilities"),
    Route("OPTIONS", f"{BASE}/", Action.DESCRIBE, "capabilities"),
    Route("GET", f"{BASE}/openapi.json", Action.DESCRIBE, "openapi"),
    Route("POST", "/tasks/{task}", Action.NOTE, "note_task"),
    Route("POST", "/peers/{peer}/echo", Action.TEST, "echo_peer"),
    Route("GET", "/healthz", Action.HEALTH, "healthz"),
    Route("GET", "/metrics", Action.METRICS, "metrics"),
    Route("GET", "/status", Action.STATUS, "status"),
)


def _completed(given: Iterable[Route]) -> Iterator[Route]:
    """The rows, a HEAD for every GET (RFC 9110 §9.3.2), and an OPTIONS for every resource that
    has none, which tells its methods (§9.3.7)."""
    described: set[str] = set()
    for route in given:
        yield route
        if route.method == "GET":
            yield route._replace(method="HEAD")
        if route.method == "OPTIONS":
            described.add(route.template)
    for route in given:
        if route.template not in described:
            described.add(route.template)
            yield Route("OPTIONS", route.template, Action.DESCRIBE, "allowed")


ROUTES: tuple[Route, ...] = tuple(_completed(_GIVEN))


def methods_of(template: str) -> tuple[str, ...]:
    """The methods of a resource."""
    found = {route.method for route in ROUTES if route.template == template}
    return tuple(each for each in METHODS if each in found)
