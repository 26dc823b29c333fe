"""What an association has to say to whoever drives it. Pure."""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from fileroom.wire.item import MalformedPduError
from fileroom.wire.pdu import AssociateAccept, AssociateReject, AssociateRequest


class MessageFragment(NamedTuple):
    """One presentation data value (PS3.8 §E.2).

    `data` lies in the receive slab and is valid until the association is fed again.
    """

    context_id: int
    is_command: bool
    is_last: bool
    data: memoryview


@dataclass(frozen=True, slots=True)
class AssociateRequested:
    """A peer asks for an association. Answer with `accept` or `reject`."""

    request: AssociateRequest


@dataclass(frozen=True, slots=True)
class AssociateRefused:
    """A peer asked in a protocol version that we do not have; the rejection is on its way."""

    request: AssociateRequest
    reject: AssociateReject


@dataclass(frozen=True, slots=True)
class AssociateAccepted:
    """The peer accepted our request."""

    accept: AssociateAccept


@dataclass(frozen=True, slots=True)
class AssociateRejected:
    """The peer rejected our request."""

    reject: AssociateReject


@dataclass(frozen=True, slots=True)
class ReleaseRequested:
    """The peer wants to end the association in order. Answer with `reply_release`."""


@dataclass(frozen=True, slots=True)
class ReleaseConfirmed:
    """The peer confirmed our release."""


@dataclass(frozen=True, slots=True)
class Aborted:
    """The association is over.

    Attributes:
        source, reason: of the A-ABORT (PS3.8 §9.3.8, Table 9-26).
        by_peer: whether it came from the peer; else we sent it for what the peer did.
        problem: what was wrong with the peer's bytes, where that was the cause.
    """

    source: int
    reason: int
    by_peer: bool
    problem: MalformedPduError | None = None


@dataclass(frozen=True, slots=True)
class TransportClosed:
    """The connection was lost under a living association."""


Event = (
    MessageFragment
    | AssociateRequested
    | AssociateRefused
    | AssociateAccepted
    | AssociateRejected
    | ReleaseRequested
    | ReleaseConfirmed
    | Aborted
    | TransportClosed
)


class Timer(Enum):
    """What to do with the ARTIM timer (PS3.8 §9.1.5)."""

    START = "start"  # or restart
    STOP = "stop"
