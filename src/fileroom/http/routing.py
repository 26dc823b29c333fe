"""From a method and a path to a row of the route table. Pure."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from fileroom.access.grant import Action
from fileroom.http.refusals import MethodNotAllowedError, NotFoundError

METHODS = ("GET", "HEAD", "POST", "OPTIONS")
ALLOWED = "allowed"  # handler of the rows that tell the methods of a resource


class Route(NamedTuple):
    """One row: what a method on a resource does, and which action it is to `access`.

    Attributes:
        template: the path from the root of the door; "{study}" stands for one segment, and
            "{element*}" at the end for one or more.
        handler: name of the function that answers.
        named: parameters that stand in the query: the name there, and that of the parameter.
    """

    method: str
    template: str
    action: Action
    handler: str
    named: tuple[tuple[str, str], ...] = ()


def completed(given: Iterable[Route]) -> Iterator[Route]:
    """The rows, a HEAD for every GET (RFC 9110 §9.3.2), and an OPTIONS for every resource that
    has none, which tells its methods (§9.3.7)."""
    described: set[str] = set()
    rows = tuple(given)
    for route in rows:
        yield route
        if route.method == "GET":
            yield route._replace(method="HEAD")
        if route.method == "OPTIONS":
            described.add(route.template)
    for route in rows:
        if route.template not in described:
            described.add(route.template)
            yield Route("OPTIONS", route.template, Action.DESCRIBE, ALLOWED)


class Node:
    """One segment of the paths of all templates."""

    __slots__ = ("children", "methods", "parameter", "rest")

    def __init__(self) -> None:
        self.children: dict[str, Node] = {}
        self.parameter: tuple[str, Node] | None = None
        self.rest = ""  # name of the parameter that takes all further segments
        self.methods: dict[str, Route] = {}


class Router:
    """The route table as a tree of segments; a lookup costs one dictionary get per segment."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._root = Node()
        for route in routes:
            node = self._root
            for segment in route.template.split("/")[1:]:
                node = _child(node, segment)
            assert route.method not in node.methods, route.template
            node.methods[route.method] = route

    def match(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """The route and what stands for its parameters.

        Raises:
            NotFoundError: no template fits the path.
            MethodNotAllowedError: one does, and has no such method.
        """
        node = self._root
        parameters: dict[str, str] = {}
        segments = path.split("/")[1:]
        for position, segment in enumerate(segments):
            following = node.children.get(segment)
            if following is None:
                if node.parameter is None or not segment:
                    raise NotFoundError("there is no such resource")
                name, following = node.parameter
                parameters[name] = segment
            node = following
            if node.rest:
                parameters[node.rest] = "/".join(segments[position:])
                break
        if not node.methods:
            raise NotFoundError("there is no such resource")
        route = node.methods.get(method)
        if route is None:
            raise MethodNotAllowedError([each for each in METHODS if each in node.methods])
        return route, parameters


def _child(node: Node, segment: str) -> Node:
    if not segment.startswith("{"):
        return node.children.setdefault(segment, Node())
    name = segment[1:-1].removesuffix("*")
    if node.parameter is None:
        node.parameter = (name, Node())
        node.parameter[1].rest = name if segment.endswith("*}") else ""
    assert node.parameter[0] == name, segment
    return node.parameter[1]
