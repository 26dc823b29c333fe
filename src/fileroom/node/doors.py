"""The doors of a node: DIMSE and HTTP, opened on its addresses and closed in order.

They may stand open before there is a node, while its keys are locked (`waiting.WaitingNode`):
then they lead to the node as soon as it is there, without being closed in between.
"""

import asyncio
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol

import msgspec

from fileroom.access.decide import Action, Decision, Object, Principal, decide
from fileroom.audit import refusals
from fileroom.clock import Clock
from fileroom.dimse.provision import Provision
from fileroom.dimse.receiving import Receiver
from fileroom.dimse.server import Caller, DimseServer, Limits, Refusal
from fileroom.http.answers import Answer
from fileroom.http.app import WebApp
from fileroom.http.listener import Listener
from fileroom.http.request import Service
from fileroom.node import health, metrics
from fileroom.node.lock import DataLock, Holder
from fileroom.node.peers import entities_of
from fileroom.node.resources import RESOURCES
from fileroom.node.settings import Settings

HTTP, DIMSE = "http", "dimse"  # channels, as the ledger names them
DRAIN_S = 20.0
STATUS_KEPT_S = 0.5  # within this time /healthz and /metrics answer from the same status
JSON_MEDIA_TYPE = "application/json"

log = logging.getLogger(__name__)


class Addresses(NamedTuple):
    """Where a node listens: (host, port)."""

    http: tuple[str, int]
    dimse: tuple[str, int]


class Behind(Protocol):
    """What the doors lead to: a node, or what stands in its place while its keys are locked.

    Attributes:
        settings: `Doors` are opened by them; what they lead to later has the same.
        associations: set by the doors, for the status.
    """

    settings: Settings
    associations: int

    @property
    def state(self) -> str:
        """As in `health.Status`."""
        ...

    @property
    def receiver(self) -> Receiver: ...

    @property
    def service(self) -> Service:
        """What the web door's handlers work with. Raises TransientError where that is nothing."""
        ...

    @property
    def provision(self) -> Provision:
        """What the DICOM door may read. Raises TransientError where that is nothing."""
        ...

    async def settled(self) -> None: ...

    def status(self) -> health.Status: ...

    def note_refused(self, refusal: refusals.Refusal) -> None:
        """Remember who was turned away. Waits for nothing."""
        ...

    def reconfigured(self, settings: Settings) -> None:
        """Know that these settings are in force."""
        ...


class Doors:
    """Both listeners of one node."""

    def __init__(self, behind: Behind, *, lock: DataLock, clock: Clock) -> None:
        self._behind = behind
        self._lock = lock
        self._clock = clock
        settings = self._settings = behind.settings
        self._entities = entities_of(settings)
        self._dimse = DimseServer(
            settings.dimse.host,
            settings.dimse.port,
            ae_titles=self._entities.titles,
            receiver=behind.receiver,
            provision=lambda: self._behind.provision,
            decide=self._decide,
            clock=clock,
            limits=dimse_limits(settings),
            on_refused=self._refused,
            identify=self._identify,
        )
        self._app = WebApp(
            lambda: self._behind.service,
            decide,
            RESOURCES,
            prefix=settings.http.prefix,
            trusted_proxies=settings.http.trusted_proxies,
            host_names=settings.http.host_names,
            cors_origins=settings.http.cors_origins,
            refused=self._refused_request,
            extra={
                "healthz": self._healthz,
                "metrics": self._metrics,
                "status": self._status,
            },
        )
        self._listener: Listener | None = None
        self._addresses: Addresses | None = None
        self._kept: tuple[float, health.Status] | None = None

    async def open(self) -> Addresses:
        """Listen on both addresses. Raises OSError, its filename the address, where one cannot
        be had."""
        settings = self._behind.settings
        self._listener = Listener(
            self._app,
            host=settings.http.host,
            port=settings.http.port,
            connections_max=settings.http.connections_max,
            header_s=settings.http.idle_timeout_s,
        )
        with _named(settings.http.host, settings.http.port):
            await self._listener.start()
        with _named(settings.dimse.host, settings.dimse.port):
            await self._dimse.start()
        addresses = Addresses(
            http=(settings.http.host, self._listener.port),
            dimse=(settings.dimse.host, self._dimse.port),
        )
        self._addresses = addresses
        self.announce()
        return addresses

    def lead_to(self, behind: Behind) -> None:
        """Have every request from now on served by `behind`; what is open stays open."""
        self._behind = behind
        self._dimse.receiver = behind.receiver
        behind.reconfigured(self._settings)
        self._kept = None
        self.announce()

    def announce(self) -> None:
        """Tell the verbs of this machine where the open doors are, and the state behind them."""
        assert self._addresses is not None
        self._lock.announce(
            Holder(
                pid=os.getpid(),
                verb="serve",
                state=self._behind.state,
                http=self._addresses.http,
                dimse=self._addresses.dimse,
                prefix=self._behind.settings.http.prefix,
            )
        )

    async def close(self) -> None:
        """Take nothing new, finish what is in flight, and close."""
        closing = [self._dimse.stop(DRAIN_S)]
        if self._listener is not None:
            closing.append(self._listener.stop())
        await asyncio.gather(*closing)

    def apply(self, settings: Settings) -> None:
        """Take over the keys that a running node can change."""
        self._settings = settings
        self._dimse.limits = dimse_limits(settings)
        self._entities = entities_of(settings)
        self._dimse.ae_titles = frozenset(self._entities.titles)
        self._behind.reconfigured(settings)

    def _identify(self, caller: Caller) -> Principal:
        return self._entities.caller(caller.address, caller.calling_ae_title)

    def _decide(self, principal: Principal, action: Action, object: Object) -> Decision:
        return decide(principal, action, object, self._entities)

    async def _fresh(self, *, kept_s: float = STATUS_KEPT_S) -> health.Status:
        now_s = self._clock.monotonic_s()
        if self._kept is not None and now_s - self._kept[0] <= kept_s:
            return self._kept[1]
        behind = self._behind
        behind.associations = self._dimse.associations
        status = await asyncio.to_thread(behind.status)
        if behind is self._behind:
            self._kept = (now_s, status)
        return status

    async def _healthz(self) -> Answer:
        code, body = health.healthz(await self._fresh())
        return Answer(code, JSON_MEDIA_TYPE, msgspec.json.encode(body))

    async def _metrics(self) -> Answer:
        status = await self._fresh()
        text = await asyncio.to_thread(metrics.metrics, status)
        return Answer(200, metrics.METRICS_MEDIA_TYPE, text)

    async def _status(self) -> Answer:
        await self._behind.settled()
        told = health.document(await self._fresh(kept_s=0))
        return Answer(200, JSON_MEDIA_TYPE, msgspec.json.encode(told))

    def _refused_request(self, principal: Principal, action: str, reason: str) -> None:
        self._behind.note_refused(refusals.Refusal(principal, action, HTTP, reason))

    def _refused(self, refusal: Refusal) -> None:
        principal = self._entities.caller(refusal.address, refusal.ae_title)
        told = refusals.Refusal(principal, refusal.action, DIMSE, refusal.reason)
        self._behind.note_refused(told)


@contextmanager
def _named(host: str, port: int) -> Iterator[None]:
    """Let an OSError say which address could not be had."""
    try:
        yield
    except OSError as error:
        number = error.errno or 0
        why = os.strerror(number) if number > 0 else "no such address"
        raise OSError(number, why, f"{host}:{port}") from error


def dimse_limits(settings: Settings) -> Limits:
    """The DICOM door's limits from the settings."""
    return Limits(
        associations_max=settings.dimse.associations_max,
        associations_per_peer_max=settings.dimse.associations_per_peer_max,
        pdu_size_bytes_max=settings.dimse.pdu_size_bytes_max,
        artim_s=settings.dimse.artim_s,
        idle_timeout_s=settings.dimse.idle_timeout_s,
    )
