"""Forwarding of a node: its stages, rules and destinations by the settings, what status says."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

from fileroom.access.identity import Principal
from fileroom.audit.coverage import Coverage
from fileroom.catalog.forwards import DestinationTotals, StudyForward
from fileroom.catalog.port import Catalog
from fileroom.clock import Clock
from fileroom.errors import IntegrityError, TransientError
from fileroom.forward.outlet import Outlet, StoreOutlet, WebOutlet
from fileroom.forward.route import Packed, RouteStage
from fileroom.forward.send import SendStage, UnknownDestinationError
from fileroom.ledger.log import Ledger
from fileroom.node import health
from fileroom.node.config import site_zone
from fileroom.node.rounds import Round
from fileroom.node.settings import Settings, WebPeerSettings
from fileroom.peer.delivery import Destination
from fileroom.peer.stow import WebDestination
from fileroom.policy.forwarding import LocalTime, Rule
from fileroom.retrieve.archive import Archive
from fileroom.retrieve.transcode import Transcoder

EVERY_S = 5.0  # woken when a series is sealed
AUTHORIZATION_LENGTH_MAX = 8192
REFUSED_MAX = 1000  # listed of one study


def rules_of(settings: Settings) -> tuple[Rule, ...]:
    """The rules, in the order of the settings."""
    return tuple(each.rule(name) for name, each in settings.forward.items())


def web_destination(peer: WebPeerSettings) -> WebDestination:
    """Where a peer listens, and with what it is asked. Reads the file.

    Raises:
        NoAuthorizationError: the file cannot be read, or its first line is no header field's value.
    """
    text = ""
    if peer.authorization_file:
        try:
            with Path(peer.authorization_file).open(encoding="ascii") as lines:
                text = lines.readline(AUTHORIZATION_LENGTH_MAX).strip()
        except OSError as error:
            raise NoAuthorizationError(f"authorization_file: {error.strerror}") from error
        except UnicodeDecodeError:
            raise NoAuthorizationError("authorization_file is not ASCII") from None
        if not text or not text.isprintable():
            raise NoAuthorizationError("the first line of authorization_file is empty")
    return WebDestination(peer.url, text, peer.ca_file)


class NoAuthorizationError(TransientError):
    """There are no credentials to send just now."""


class RefusedInstance(NamedTuple):
    """One instance that a destination refused; without its UID where its pack is out of reach."""

    destination: str
    rule: str
    sop_instance_uid: str
    reason: str


class Forwarding:
    """Routes what is sealed, and sends it.

    Attributes:
        rounds: what brings it on.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        catalog: Catalog,
        ledger: Ledger,
        clock: Clock,
        archive: Archive,
        packed: Packed,
        coverage: Coverage,
        transcoder: Transcoder,
        deciding: asyncio.Lock,
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self._clock = clock
        self._transcoder = transcoder
        self._packed = packed
        rules = rules_of(settings)
        self.route = RouteStage(
            rules, catalog=catalog, ledger=ledger, packed=packed, deciding=deciding
        )
        self.send = SendStage(
            rules,
            catalog=catalog,
            ledger=ledger,
            archive=archive,
            coverage=coverage,
            clock=clock,
            outlet=self._outlet,
            local_time=self._local_time,
            deciding=deciding,
        )
        self.rounds = [
            Round("route", self.route.round, EVERY_S),
            Round("forward", self.send.round, EVERY_S),
        ]

    async def stop(self) -> None:
        """End what is under way, when the rounds have ended."""
        await self.send.stop()

    def reconfigured(self, settings: Settings) -> None:
        """Take over the rules and destinations of new settings, and try these again."""
        self._settings = settings
        self.route.rules = self.send.rules = rules_of(settings)
        self.send.try_again()

    async def pause(self, destination: str, paused: bool, *, by: Principal) -> None:
        """Let a destination get nothing, or go on. Raises UnknownDestinationError."""
        await self._require(destination)
        await self.send.pause(destination, paused, by=by)
        self.rounds[1].wake.set()

    async def retry(
        self,
        destination: str,
        study_instance_uid: str = "",
        *,
        everything: bool = False,
        by: Principal,
    ) -> int:
        """As `SendStage.retry`. Raises UnknownDestinationError."""
        await self._require(destination)
        count = await self.send.retry(destination, study_instance_uid, everything=everything, by=by)
        for each in self.rounds:
            each.wake.set()
        return count

    async def studies(
        self, destination: str = "", study_instance_uid: str = "", *, limit: int
    ) -> Sequence[StudyForward]:
        """As `Catalog.study_forwards`."""
        return await asyncio.to_thread(
            self._catalog.study_forwards, destination, study_instance_uid, limit=limit
        )

    async def refused(self, study_instance_uid: str) -> list[RefusedInstance]:
        """Instances of a study that destinations refused for good, at most 1,000 of them."""
        rows = await asyncio.to_thread(
            self._catalog.refused_forwards, study_instance_uid, limit=REFUSED_MAX
        )
        found: list[RefusedInstance] = []
        for row in rows:
            try:
                members = await self._packed.members(row.pack)
                uids = [members[each].sop_instance_uid for each in row.ordinals]
            except (TransientError, IntegrityError):
                uids = [""] * len(row.ordinals)
            found += (RefusedInstance(row.destination, row.rule, uid, row.reason) for uid in uids)
        return found[:REFUSED_MAX]

    def status(self) -> tuple[dict[str, health.Forward], list[str]]:
        """What waits for each destination, and what to warn of. Reads the catalog."""
        totals = self._catalog.forward_totals()
        paused = self._catalog.paused_destinations()
        names = {each.to for each in self.send.rules} | totals.keys() | paused
        nothing = DestinationTotals(waiting={}, oldest_ns=None, refused=0, last_error="")
        forwards: dict[str, health.Forward] = {}
        warnings = [self.route.last_error] if self.route.last_error else []
        known = {each.name for each in self.send.rules}
        for name in sorted(names):
            total = totals.get(name, nothing)
            waiting = sum(total.waiting.values())
            forwards[name] = health.Forward(
                waiting=waiting,
                oldest_s=self._age_s(total.oldest_ns),
                refused=total.refused,
                paused=name in paused,
                last_error=self.send.errors.get(name, total.last_error),
            )
            if name in self.send.errors:
                warnings.append(f"forwarding to {name} fails: {self.send.errors[name]}")
            if name in paused and waiting:
                warnings.append(f"forwarding to {name} is paused, and {waiting} instances wait")
            if total.refused:
                warnings.append(f"{name} refused {total.refused} instances that were forwarded")
            if waiting and self._outlet(name) is None:
                warnings.append(f"{waiting} instances wait for {name}, and no peer has this name")
            warnings += [
                f"{count} instances wait for {name} by rule {rule}, which is not in the settings"
                for rule, count in total.waiting.items()
                if rule not in known
            ]
        return forwards, warnings

    async def _require(self, destination: str) -> None:
        if destination in {each.to for each in self.send.rules}:
            return
        paused = await asyncio.to_thread(self._catalog.paused_destinations)
        totals = await asyncio.to_thread(self._catalog.forward_totals)
        if destination not in {*paused, *totals}:
            raise UnknownDestinationError("nothing is forwarded to a destination of that name")

    def _outlet(self, name: str) -> Outlet | None:
        peer, web = self._settings.peers.get(name), self._settings.webpeers.get(name)
        if peer is not None:
            destination = Destination(peer.ae_title.strip(), peer.host, peer.port)
            calling = self._settings.dimse.ae_title
            return StoreOutlet(destination, calling=calling, transcoder=self._transcoder)
        return None if web is None else WebOutlet(name, partial(web_destination, web))

    def _local_time(self) -> LocalTime:
        now = datetime.fromtimestamp(self._clock.wall_ns() / 1e9, UTC)
        local = now.astimezone(site_zone(self._settings))
        return LocalTime(local.weekday(), local.hour * 60 + local.minute)

    def _age_s(self, since_ns: int | None) -> float | None:
        return None if since_ns is None else (self._clock.wall_ns() - since_ns) / 1e9
