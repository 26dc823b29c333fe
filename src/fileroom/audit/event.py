"""Kinds of events and what their bodies say: docs/format/ledger.md §8 as code. Pure.

The kind is public. A body is encrypted and may name patients and studies.
"""

from typing import Any

import msgspec

from fileroom.audit.body import Event as Event
from fileroom.audit.decided import CONFLICT_SETTLED, ConflictSettled
from fileroom.audit.forwarding import (
    FORWARD_PAUSED,
    FORWARD_RETRIED,
    FORWARD_RULES,
    FORWARDED,
    Forwarded,
    ForwardPaused,
    ForwardRetried,
    ForwardRules,
)
from fileroom.audit.rejected import (
    INSTANCES_REJECTED,
    INSTANCES_RESTORED,
    InstancesRejected,
    InstancesRestored,
)
from fileroom.errors import IntegrityError

STARTED = "started"
STOPPED = "stopped"
RECOVERED = "recovered"
CONFIGURATION = "configuration"
RECEIVED = "received"
SEALED = "sealed"
REPLICATED = "replicated"
VERIFIED = "verified"
COPY_FAILED = "copy.failed"
COMMITTED = "committed"
EVICTED = "evicted"
RELEASED = "released"
COMMITMENT_REQUESTED = "commitment.requested"
COMMITMENT_REPORTED = "commitment.reported"
ACCESS_OPENED = "access.opened"
ACCESS_CLOSED = "access.closed"
REFUSED = "refused"


class EventError(IntegrityError):
    """A body in the ledger does not say what its kind must."""


class Started(Event, frozen=True, kw_only=True):
    """A node serves from now on."""

    node_id: str
    version: str


class Stopped(Event, frozen=True, kw_only=True):
    """A node stopped in order. A `started` without it tells of a crash."""

    node_id: str
    version: str


class Recovered(Event, frozen=True, kw_only=True):
    """A start found `count` pieces of work that a crash had left in `what`."""

    node_id: str
    what: str
    count: int


class Configuration(Event, frozen=True, kw_only=True):
    """Another configuration is in force than the last one that was told of.

    Attributes:
        sha256: of the whole of it (node/configuration.py).
        changed: names of keys, as "dimse.port", in order.
        before, after: their values by name, where there was one, or is, and it is no secret.
    """

    node_id: str
    sha256: str
    changed: tuple[str, ...]
    before: dict[str, Any] = msgspec.field(default_factory=dict)
    after: dict[str, Any] = msgspec.field(default_factory=dict)


class Received(Event, frozen=True, kw_only=True):
    """What one association or request brought for one study."""

    study_instance_uid: str
    instances: int
    size_bytes: int
    calling_ae_title: str
    address: str
    channel: str
    conversation: str


class Sealed(Event, frozen=True, kw_only=True):
    """A pack was written and read again. `pack` is its object name."""

    pack: str
    study_instance_uid: str
    study_key_id: str
    instances: int
    size_bytes: int
    conflicts: int = 0
    duplicates: int = 0
    replacements: int = 0


class Replicated(Event, frozen=True, kw_only=True):
    """A provider has the pack, by its answer or by reading back."""

    pack: str
    provider: str


class Verified(Event, frozen=True, kw_only=True):
    """A provider's copy of the pack was verified by `checksum_kind`."""

    pack: str
    provider: str
    checksum_kind: str


class CopyFailed(Event, frozen=True, kw_only=True):
    """A provider's copy of the pack is not what was put there; `state` is its new one."""

    pack: str
    provider: str
    state: str


class Committed(Event, frozen=True, kw_only=True):
    """The pack and its key have the verified copies that placement asks for."""

    pack: str
    providers: tuple[str, ...]
    warnings: tuple[str, ...] = ()


class Evicted(Event, frozen=True, kw_only=True):
    """The local copy of the pack was dropped."""

    pack: str
    size_bytes: int
    reason: str


class Released(Event, frozen=True, kw_only=True):
    """A spool segment was dropped; all its `instances` lie in packs."""

    node_id: str
    segment: int
    instances: int


class CommitmentRequested(Event, frozen=True, kw_only=True):
    """A peer asked for storage commitment, and is told that it is taken. Many references are told
    in several entries: the decision is there when all `parts` are.

    Attributes:
        part: from 0.
        referenced_sha256: of the references of all parts (catalog/references.py), hexadecimal.
        references: those of this part, folded as there.
    """

    ae_title: str
    address: str
    transaction_uid: str
    requested_at_ns: int
    part: int
    parts: int
    referenced_sha256: str
    references: dict[str, dict[str, list[str]]]


class CommitmentReported(Event, frozen=True, kw_only=True):
    """A storage commitment is over: the peer was told, or could not be.

    Attributes:
        rule: what counted as safe: "placement" or "local".
        failures: how many instances failed, by reason in four hexadecimal digits.
        status: the peer's answer; None: it was given up, after trying for long.
    """

    ae_title: str
    transaction_uid: str
    requested_at_ns: int
    reported_at_ns: int
    referenced_sha256: str
    rule: str
    instances: int
    failures: dict[str, int]
    status: int | None


class AccessOpened(Event, frozen=True, kw_only=True):
    """A principal begins to read a study. Durable before the first byte.

    `destination` is the AE title that it has the instances sent to (C-MOVE); empty: to itself.
    """

    principal_kind: str
    principal: str
    address: str
    ae_title: str | None
    study_instance_uid: str
    purpose: str
    channel: str
    destination: str = ""


class AccessClosed(Event, frozen=True, kw_only=True):
    """The reads that the event of index `opened` covered are over, or these came after all."""

    opened: int
    instances: int
    frames: int
    size_bytes: int
    duration_s: float


class Refused(Event, frozen=True, kw_only=True):
    """A caller was turned away, or an instance that it sent: `count` times within a minute or so.

    `principal` is empty where it stands for callers that were not told apart.
    """

    principal_kind: str
    principal: str
    address: str
    ae_title: str | None
    action: str
    channel: str
    reason: str
    count: int = 1
    first_at_ns: int = 0
    last_at_ns: int = 0


KINDS: dict[str, type[Event]] = {
    STARTED: Started,
    STOPPED: Stopped,
    RECOVERED: Recovered,
    CONFIGURATION: Configuration,
    RECEIVED: Received,
    SEALED: Sealed,
    REPLICATED: Replicated,
    VERIFIED: Verified,
    COPY_FAILED: CopyFailed,
    COMMITTED: Committed,
    EVICTED: Evicted,
    RELEASED: Released,
    COMMITMENT_REQUESTED: CommitmentRequested,
    COMMITMENT_REPORTED: CommitmentReported,
    ACCESS_OPENED: AccessOpened,
    ACCESS_CLOSED: AccessClosed,
    REFUSED: Refused,
    CONFLICT_SETTLED: ConflictSettled,
    INSTANCES_REJECTED: InstancesRejected,
    INSTANCES_RESTORED: InstancesRestored,
    FORWARD_RULES: ForwardRules,
    FORWARD_PAUSED: ForwardPaused,
    FORWARD_RETRIED: ForwardRetried,
    FORWARDED: Forwarded,
}
_KIND_OF = {each: kind for kind, each in KINDS.items()}


def kind(event: Event) -> str:
    """The kind under which `event` is appended."""
    return _KIND_OF[type(event)]


def body(event: Event) -> dict[str, Any]:
    """The body of `event`, for `Ledger.append`."""
    return msgspec.structs.asdict(event)


def parse(kind: str, body: dict[str, Any]) -> Event | None:
    """The event that a ledger record holds, or None where this version knows no such kind.

    Raises:
        EventError: the body lacks a field of its kind, or one has another type.
    """
    shape = KINDS.get(kind)
    if shape is None:
        return None
    try:
        return msgspec.convert(body, type=shape)
    except msgspec.ValidationError as error:
        raise EventError(f"a body of kind {kind} is malformed: {_place(error)}") from None


def _place(error: msgspec.ValidationError) -> str:
    """Where msgspec found the mistake, without the value it found."""
    _, at, path = str(error).rpartition(" - at `")
    return path.rstrip("`") if at else "a field is missing"
