"""What a room of resources gives the door: its rows, who answers them, how they are described."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import NamedTuple

from fileroom.http.operation import Operation, Table
from fileroom.http.request import Request, Service
from fileroom.http.routing import Route

Handler = Callable[[Service, Request], Awaitable[None]]


class Resources(NamedTuple):
    """The resources of one room.

    Attributes:
        routes: rows, without HEAD and without the OPTIONS of a resource that tells its methods.
        handlers: by the names in the rows. Those that are missing are the node's own.
        operations: by the same names; every one has one.
        parameters: what each parameter of a template is.
    """

    routes: tuple[Route, ...]
    handlers: Mapping[str, Handler]
    operations: Mapping[str, Operation]
    parameters: Mapping[str, str]


def table_of(resources: Iterable[Resources]) -> Table:
    """The rows of several rooms as one table."""
    routes: list[Route] = []
    operations: dict[str, Operation] = {}
    parameters: dict[str, str] = {}
    for each in resources:
        routes += each.routes
        operations |= each.operations
        parameters |= each.parameters
    return Table(routes, operations, parameters)
