"""Replay: what the ledger tells and the catalog may not have heard of.

A decision commits when the ledger has appended it, and a loss of power can take the catalog's
last transactions; so a start goes through the entries behind the catalog's applied index once
more. Data states commit at their bytes, which `rebuild` looks at; the ledger says where bytes
are missing.

Docs: docs/format/ledger.md §8.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from fileroom.audit import event, forwarding
from fileroom.audit.decided import CONFLICT_SETTLED, Decided
from fileroom.audit.rejected import INSTANCES_REJECTED, INSTANCES_RESTORED
from fileroom.catalog.port import Catalog
from fileroom.decisions.effects import apply
from fileroom.errors import IntegrityError, RefusedError
from fileroom.ledger.log import Ledger
from fileroom.pack.format import parse_object_name
from fileroom.recovery.forwarded import Forwarded
from fileroom.recovery.promised import Promised

CONFIGURATION: Final = "configuration"  # the catalog's setting that holds the one last told of


class NewerLedgerError(RefusedError):
    """The ledger holds what may be a decision that only a newer program understands."""


class Told(msgspec.Struct, kw_only=True):
    """What a tail of the ledger tells. Packs are named by their SHA-256.

    Attributes:
        size: how many entries the log has up to the tail's end.
        sealed: packs that were made; nothing is ever deleted, so they lie somewhere.
        evicted: packs whose local file was to go.
        released: spool segments that were to go.
        configurations: those that came into force, in order.
        promised: storage commitments that were taken, and those that are over.
        decided: what was decided about what is stored, in order, with the entry's index.
        forwarded: what went to other archives.
        at, at_ns: the index of the entry that is gone through just now, and its time.
    """

    size: int
    sealed: set[bytes] = msgspec.field(default_factory=set)
    evicted: set[bytes] = msgspec.field(default_factory=set)
    released: set[int] = msgspec.field(default_factory=set)
    configurations: list[event.Configuration] = msgspec.field(default_factory=list)
    promised: Promised = msgspec.field(default_factory=Promised)
    decided: list[tuple[int, Decided]] = msgspec.field(default_factory=list)
    forwarded: Forwarded = msgspec.field(default_factory=Forwarded)
    at: int = 0
    at_ns: int = 0


def _sealed(told: Told, sealed: event.Sealed) -> None:
    sha256 = _sha256_of(sealed.pack)
    told.sealed.add(sha256)
    told.forwarded.sealed(sha256, told.at)


def _evicted(told: Told, evicted: event.Evicted) -> None:
    told.evicted.add(_sha256_of(evicted.pack))


def _released(told: Told, released: event.Released) -> None:
    told.released.add(released.segment)


def _configuration(told: Told, configuration: event.Configuration) -> None:
    told.configurations.append(configuration)


def _requested(told: Told, requested: event.CommitmentRequested) -> None:
    told.promised.requested(requested)


def _reported(told: Told, reported: event.CommitmentReported) -> None:
    told.promised.reported(reported)


def _forward_rules(told: Told, rules: forwarding.ForwardRules) -> None:
    told.forwarded.rules(rules, told.at, told.at_ns)


def _forward_paused(told: Told, paused: forwarding.ForwardPaused) -> None:
    told.forwarded.paused(paused)


def _forwarded(told: Told, forwarded: forwarding.Forwarded) -> None:
    told.forwarded.forwarded(forwarded)


def _decided(told: Told, decided: Decided) -> None:
    told.decided.append((told.at, decided))


def _sha256_of(name: str) -> bytes:
    parsed = parse_object_name(name)
    if parsed is None:
        raise IntegrityError(f"an entry of the ledger names a pack with {len(name)} characters")
    return parsed[1]


# What a start learns from an entry of each kind. None: nothing, it tells of something whose truth
# lies elsewhere, or of who came, read and was refused. Evicted and released decide on files that
# go, and what the disk shows holds: applied twice, or carried out by half, they do no harm.
EFFECTS: Mapping[str, Callable[[Told, Any], None] | None] = {
    event.STARTED: None,
    event.STOPPED: None,
    event.RECOVERED: None,
    event.CONFIGURATION: _configuration,
    event.RECEIVED: None,
    event.SEALED: _sealed,
    event.REPLICATED: None,
    event.VERIFIED: None,
    event.COPY_FAILED: None,
    event.COMMITTED: None,
    event.EVICTED: _evicted,
    event.RELEASED: _released,
    event.COMMITMENT_REQUESTED: _requested,
    event.COMMITMENT_REPORTED: _reported,
    event.ACCESS_OPENED: None,
    event.ACCESS_CLOSED: None,
    event.REFUSED: None,
    CONFLICT_SETTLED: _decided,
    INSTANCES_REJECTED: _decided,
    INSTANCES_RESTORED: _decided,
    forwarding.FORWARD_RULES: _forward_rules,
    forwarding.FORWARD_PAUSED: _forward_paused,
    forwarding.FORWARD_RETRIED: None,
    forwarding.FORWARDED: _forwarded,
}


class Replay:
    """Keeps the catalog's applied index, which says how far of the ledger it knows.

    Invariant: the index is never ahead of the durable ledger; so the next start, which gives it
    as the least size of the log, learns that no tail of it was lost.
    """

    def __init__(self, *, catalog: Catalog, ledger: Ledger) -> None:
        self._catalog = catalog
        self._ledger = ledger

    def tail(self, *, whole: bool = False) -> Told:
        """Go through the entries that the catalog has not applied.

        Args:
            whole: or through all of them, where the catalog is new.

        Raises:
            NewerLedgerError: one is of a kind that this program does not know.
            IntegrityError: one is damaged.
        """
        told = Told(size=self._ledger.size)
        first = 0 if whole else self._catalog.applied_index()
        for record in self._ledger.records(first, told.size):
            if record.kind not in EFFECTS:
                raise NewerLedgerError(
                    f"entry {record.index} of the ledger is of a kind that this program does not "
                    "know; a newer one wrote it"
                )
            effect = EFFECTS[record.kind]
            if effect is not None:
                told.at, told.at_ns = record.index, record.time_ns
                effect(told, event.parse(record.kind, record.body))
        return told

    def apply(self, told: Told) -> None:
        """Let the catalog know what the tail says of the node itself, and that it is applied."""
        if told.configurations:
            values = self.configuration()
            for each in told.configurations:
                values = {name: value for name, value in values.items() if name not in each.changed}
                values |= each.after
            self.note_configuration(values)
        told.promised.record(self._catalog)
        told.forwarded.record(self._catalog)
        self.follow(told.size)

    def decide(self, told: Told) -> None:
        """Let the catalog know what people decided; before it hears of packs that are older."""
        for index, decided in told.decided:
            apply(self._catalog, index, decided)

    def configuration(self) -> dict[str, Any]:
        """The values by name that the ledger was told of last; none where it never was."""
        noted = self._catalog.setting(CONFIGURATION)
        return {} if noted is None else msgspec.json.decode(noted, type=dict[str, Any])

    def note_configuration(self, values: Mapping[str, Any]) -> None:
        """Note what the ledger was told of."""
        self._catalog.set_setting(CONFIGURATION, msgspec.json.encode(values).decode())

    def follow(self, size: int) -> None:
        """Note that the first `size` entries, all of them durable, are applied."""
        if size > self._catalog.applied_index():
            self._catalog.set_applied_index(size)
