"""The door: routes, who may pass, and what an error becomes.

Every request goes the same way: route, caller, `access.decide`, UIDs of the path, handler. The
order matters: whoever is not allowed learns nothing but that. While a node's keys are locked there
is nothing for a handler to work with, and the request is refused in its place.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from fileroom.access.decide import Decision
from fileroom.access.grant import Action, Object
from fileroom.access.identity import Principal
from fileroom.dicom import uid
from fileroom.errors import FileroomError, IntegrityError
from fileroom.http import told
from fileroom.http.answers import Answer, answer, refuse, refuse_plainly
from fileroom.http.caller import Callers
from fileroom.http.hang_up import while_connected
from fileroom.http.refusals import (
    BadRequestError,
    DisconnectedError,
    ForbiddenError,
    Header,
    MisdirectedError,
    NotFoundError,
)
from fileroom.http.request import (
    Message,
    Receive,
    Request,
    Scope,
    Send,
    Service,
    header_of,
    named_in_query,
)
from fileroom.http.resources import Handler, Resources, table_of
from fileroom.http.routing import ALLOWED, Router

log = logging.getLogger(__name__)

ExtraHandler = Callable[[], Awaitable[Answer]]
Decide = Callable[[Principal, Action, Object], Decision]
Refused = Callable[[Principal, str, str], None]

REACH = "reach"  # what a caller wants of whom nothing is known but the way it came
UID_PARAMETERS = ("study", "series", "instance")

BODILESS = frozenset({"GET", "HEAD"})  # whose callers send nothing more

PREFLIGHT: tuple[Header, ...] = (
    (b"access-control-allow-methods", b"GET, HEAD, POST, OPTIONS"),
    (
        b"access-control-allow-headers",
        b"accept, authorization, content-type, if-match, if-none-match, if-range, range",
    ),
    (b"access-control-max-age", b"600"),
)


class WebApp:
    """An ASGI application.

    Args:
        service: gives what handlers work with, for each request; raises TransientError where
            there is nothing just now, and the request is answered with that.
        resources: what there is, of each room.
        decide: `access.decide`; asked before any work, on every route.
        prefix: the path under which a reverse proxy shows this node; requests may carry it or not.
        trusted_proxies: addresses and networks whose X-Forwarded-* fields are believed.
        host_names: names, besides bare addresses, under which this node answers directly.
        cors_origins: origins of web pages that may read answers.
        refused: told of every caller whom `decide` turned away, or who came by a way that only an
            attack takes; of what it wanted (an action, or REACH), and why.
        extra: handlers of the rows for which `resources` has none; one that is missing answers
            404.
    """

    def __init__(
        self,
        service: Callable[[], Service],
        decide: Decide,
        resources: Sequence[Resources],
        *,
        prefix: str = "",
        trusted_proxies: Iterable[str] = (),
        host_names: Iterable[str] = ("localhost",),
        cors_origins: Iterable[str] = (),
        refused: Refused | None = None,
        extra: Mapping[str, ExtraHandler] | None = None,
    ) -> None:
        self._service = service
        self._decide = decide
        self._refused = refused or _untold
        self._prefix = prefix
        self._callers = Callers(
            trusted_proxies=trusted_proxies, host_names=host_names, cors_origins=cors_origins
        )
        self._extra = dict(extra or {})
        self._table = table_of(resources)
        self._router = Router(self._table.routes)
        self._handlers: dict[str, Handler] = {ALLOWED: told.allowed}
        for each in resources:
            self._handlers |= each.handlers
        named = {route.handler for route in self._table.routes}
        assert self._handlers.keys() <= named
        assert self._extra.keys() <= named - self._handlers.keys()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. Whatever happens in it stays in it."""
        if scope["type"] != "http":
            return
        cors: list[Header] = []
        started = _Started(send)
        try:
            await self._serve(scope, receive, started.send, cors)
        except DisconnectedError:
            pass
        except FileroomError as error:
            if isinstance(error, IntegrityError):
                log.error("a read met damaged bytes: %s", error)
            if not started.yes:
                await refuse(send, error, cors=cors, is_head=scope["method"] == "HEAD")
        except Exception as error:  # noqa: BLE001 - the outermost frame of a door
            # Its text may hold anything; its place tells us enough.
            log.error("request failed by %s at %s", type(error).__name__, _place(error))
            if not started.yes:
                await refuse_plainly(send, 500, "this request met an error of ours", cors)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, cors: list[Header]) -> None:
        try:
            origin = self._callers.origin(scope)
            cors += self._callers.cors(scope, origin)
        except (ForbiddenError, MisdirectedError) as error:
            self._refused(self._callers.principal(scope), REACH, str(error))
            raise
        path = scope["path"]
        if self._prefix and path.startswith(f"{self._prefix}/"):
            path = path[len(self._prefix) :]
        if cors and _is_preflight(scope):
            await _answer_preflight(send, cors)
            return
        route, parameters = self._router.match(scope["method"], path)
        parameters |= named_in_query(scope["query_string"], route.named)
        principal = self._callers.principal(scope)
        decision = self._decide(principal, route.action, Object(parameters.get("study", "")))
        if not decision.allowed:
            self._refused(principal, route.action, decision.reason)
            raise ForbiddenError(decision.reason)
        for name in UID_PARAMETERS:
            if name in parameters and not uid.is_safe(parameters[name]):
                raise BadRequestError(f"the {name} that is asked for has no UID for a name")
        request = Request(
            scope=scope,
            receive=receive,
            send=send,
            principal=principal,
            root_url=f"{origin}{self._prefix}",
            prefix=self._prefix,
            table=self._table,
            route=route,
            parameters=parameters,
            cors=cors,
        )
        if route.method in BODILESS:
            async with while_connected(receive):
                await self._handle(request)
        else:
            await self._handle(request)

    async def _handle(self, request: Request) -> None:
        route = request.route
        handler = self._handlers.get(route.handler)
        if handler is not None:
            await handler(self._service(), request)
            return
        extra = self._extra.get(route.handler)
        if extra is None:
            raise NotFoundError("there is no such resource")
        given = await extra()
        await answer(request, given.status, given.media_type, given.body, given.headers)


def _untold(principal: Principal, action: str, reason: str) -> None:
    """Nobody wants to know of refusals."""


class _Started:
    """Passes messages on and knows whether an answer has begun."""

    __slots__ = ("_send", "yes")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.yes = False

    async def send(self, message: Message) -> None:
        self.yes = True
        await self._send(message)


def _is_preflight(scope: Scope) -> bool:
    """Whether a browser asks in place of its page, which shows nobody's rights."""
    asks = header_of(scope, b"access-control-request-method") is not None
    return asks and bool(scope["method"] == "OPTIONS")


async def _answer_preflight(send: Send, cors: Sequence[Header]) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": [*cors, *PREFLIGHT]})
    await send({"type": "http.response.body", "body": b""})


def _place(error: BaseException) -> str:
    """File and line where an exception was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "?"
    name = trace.tb_frame.f_code.co_filename.rsplit("fileroom/", 1)[-1]
    return f"{name}:{trace.tb_lineno}"
