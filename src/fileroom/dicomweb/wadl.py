"""The capabilities as a WADL document (PS3.18 Annex H), of the same tables as the rest. Pure."""

from collections.abc import Iterator
from xml.sax.saxutils import escape, quoteattr

from fileroom.dicomweb.location import BASE
from fileroom.http.operation import Operation, Table, Taken, name_of, parameters_of
from fileroom.http.routing import Route

NAMESPACE = "http://wadl.dev.java.net/2009/02"
OPENING = '<?xml version="1.0" encoding="UTF-8"?>\n'
KINDS = {"string": "xs:string", "integer": "xs:unsignedInt", "boolean": "xs:boolean"}

Tree = dict[str, "Tree"]


def description(table: Table, base_url: str) -> bytes:
    """The document for a caller who reaches the service at `base_url`."""
    tree: Tree = {}
    described: dict[str, list[Route]] = {}
    for route in table.routes:
        # WADL does not describe the transaction that it is the answer to (PS3.18 Annex H).
        if route.template.startswith(f"{BASE}/") and route.method != "OPTIONS":
            described.setdefault(route.template, []).append(route)
            place = tree
            for segment in route.template.removeprefix(f"{BASE}/").split("/"):
                place = place.setdefault(segment, {})
    written = "".join(_resources(table, tree, BASE, described))
    return (
        f'{OPENING}<application xmlns="{NAMESPACE}" '
        'xmlns:xs="http://www.w3.org/2001/XMLSchema">'
        f"<resources base={quoteattr(base_url)}>{written}</resources></application>\n"
    ).encode()


def _resources(
    table: Table, tree: Tree, path: str, described: dict[str, list[Route]]
) -> Iterator[str]:
    for segment, inner in tree.items():
        template = f"{path}/{segment}"
        yield f"<resource path={quoteattr(segment.replace('*}', '}'))}>"
        if segment.startswith("{"):
            yield _param(Taken(segment.strip("{}*"), ""), "template")
        for route in described.get(template, ()):
            yield _method(table, route)
        yield from _resources(table, inner, template, described)
        yield "</resource>"


def _method(table: Table, route: Route) -> str:
    operation = table.operations[route.handler]
    params = [_param(each, "query") for each in operation.query]
    params += [_param(each, "header") for each in operation.headers]
    if operation.gives:
        options = "".join(f"<option value={quoteattr(each)}/>" for each in operation.gives)
        params.append(
            f'<param name="Accept" style="header" default={quoteattr(operation.gives[0])}>'
            f"{options}</param>"
        )
    bodies = "".join(_representation(each) for each in operation.takes)
    return (
        f'<method name="{route.method}" id={quoteattr(_id(route, operation))}>'
        f"<request>{''.join(params)}{bodies}</request>{_responses(route, operation)}</method>"
    )


def _id(route: Route, operation: Operation) -> str:
    """The transaction, and where it is one of several resources, of what."""
    if not operation.transaction:
        return name_of(route)
    below = "".join(f"Of{each.capitalize()}" for each in parameters_of(route)[-1:])
    return ("Head" if route.method == "HEAD" else "") + operation.transaction + below


def _responses(route: Route, operation: Operation) -> str:
    good = [each for each in operation.statuses if each < 400]
    bad = sorted({*operation.statuses, 403} - {*good})
    bodies = ""
    if route.method != "HEAD":
        bodies = "".join(_representation(each) for each in operation.gives)
    return (
        f'<response status="{" ".join(map(str, good))}">{bodies}</response>'
        f'<response status="{" ".join(map(str, bad))}"/>'
    )


def _representation(media_type: str) -> str:
    return f"<representation mediaType={quoteattr(media_type)}/>"


def _param(taken: Taken, style: str) -> str:
    about = f"<doc>{escape(taken.about)}</doc>" if taken.about else ""
    return (
        f'<param name={quoteattr(taken.name)} style="{style}" type="{KINDS[taken.kind]}">'
        f"{about}</param>"
    )
