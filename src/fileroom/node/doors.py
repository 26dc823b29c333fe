"""The doors of a node: DIMSE and HTTP, opened on its addresses and closed in order."""

import asyncio
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import msgspec

from fileroom.access.decide import Action, Principal, decide
from fileroom.dicomweb.answers import Answer
from fileroom.dicomweb.app import DicomWebApp
from fileroom.dicomweb.listener import Listener
from fileroom.dicomweb.request import Limits as HttpLimits
from fileroom.dimse.server import DimseServer, Limits, Refusal
from fileroom.node import health
from fileroom.node.lock import Holder
from fileroom.node.node import Node
from fileroom.node.settings import Settings

DRAIN_S = 20.0
STATUS_KEPT_S = 0.5  # within this time /healthz and /metrics answer from the same status
JSON_MEDIA_TYPE = "application/json"

log = logging.getLogger(__name__)


class Addresses(NamedTuple):
    """Where a node listens: (host, port)."""

    http: tuple[str, int]
    dimse: tuple[str, int]


class Doors:
    """Both listeners of one node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        settings = node.settings
        self._dimse = DimseServer(
            settings.dimse.host,
            settings.dimse.port,
            ae_titles={settings.dimse.ae_title},
            receiver=node.receiver,
            decide=decide,
            clock=node.parts.clock,
            limits=dimse_limits(settings),
            on_refused=self._refused,
        )
        self._app = DicomWebApp(
            node.archive,
            node.receiver,
            node.coverage,
            decide,
            partition=settings.site.partition,
            prefix=settings.http.prefix,
            trusted_proxies=settings.http.trusted_proxies,
            host_names=settings.http.host_names,
            cors_origins=settings.http.cors_origins,
            refused=self._refused_request,
            tasks=node.tasks,
            limits=http_limits(settings),
            extra={
                "healthz": self._healthz,
                "metrics": self._metrics,
                "status": self._status,
            },
        )
        self._listener: Listener | None = None
        self._kept: tuple[float, health.Status] | None = None

    async def open(self) -> Addresses:
        """Listen on both addresses. Raises OSError, its filename the address, where one cannot
        be had."""
        settings = self._node.settings
        self._listener = Listener(
            self._app,
            host=settings.http.host,
            port=settings.http.port,
            connections_max=settings.http.connections_max,
        )
        with _named(settings.http.host, settings.http.port):
            await self._listener.start()
        with _named(settings.dimse.host, settings.dimse.port):
            await self._dimse.start()
        addresses = Addresses(
            http=(settings.http.host, self._listener.port),
            dimse=(settings.dimse.host, self._dimse.port),
        )
        lock = self._node.parts.lock
        lock.announce(
            Holder(
                pid=os.getpid(),
                verb="serve",
                http=addresses.http,
                dimse=addresses.dimse,
                prefix=settings.http.prefix,
            )
        )
        return addresses

    async def close(self) -> None:
        """Take nothing new, finish what is in flight, and close."""
        closing = [self._dimse.stop(DRAIN_S)]
        if self._listener is not None:
            closing.append(self._listener.stop())
        await asyncio.gather(*closing)

    def apply(self, settings: Settings) -> None:
        """Take over the keys that a running node can change."""
        self._dimse.limits = dimse_limits(settings)

    async def _fresh(self, *, kept_s: float = STATUS_KEPT_S) -> health.Status:
        now_s = self._node.parts.clock.monotonic_s()
        if self._kept is None or now_s - self._kept[0] > kept_s:
            self._node.associations = self._dimse.associations
            self._kept = (now_s, await asyncio.to_thread(self._node.status))
        return self._kept[1]

    async def _healthz(self) -> Answer:
        code, body = health.healthz(await self._fresh())
        return Answer(code, JSON_MEDIA_TYPE, msgspec.json.encode(body))

    async def _metrics(self) -> Answer:
        status = await self._fresh()
        text = await asyncio.to_thread(health.metrics, status)
        return Answer(200, health.METRICS_MEDIA_TYPE, text)

    async def _status(self) -> Answer:
        await self._node.parts.intake.settled()
        return Answer(200, JSON_MEDIA_TYPE, msgspec.json.encode(await self._fresh(kept_s=0)))

    def _refused_request(self, principal: Principal, action: Action, reason: str) -> None:
        """Count a web caller who was turned away."""
        self._node.count_refused(f"{action}: {reason}")

    def _refused(self, refusal: Refusal) -> None:
        """Remember who was turned away, without holding up the door."""
        asyncio.get_running_loop().run_in_executor(
            None, self._node.note_refused, refusal.ae_title, refusal.address, refusal.reason
        )


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
        pdu_size_bytes_max=settings.dimse.pdu_size_bytes_max,
        artim_s=settings.dimse.artim_s,
        idle_timeout_s=settings.dimse.idle_timeout_s,
    )


def http_limits(settings: Settings) -> HttpLimits:
    """The web door's limits from the settings."""
    return HttpLimits(
        body_bytes_max=settings.http.request_size_bytes_max,
        idle_s=settings.http.idle_timeout_s,
    )
