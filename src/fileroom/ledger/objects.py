"""What a ledger's objects at a provider are called, and events objects' bytes. Pure.

Docs: docs/format/ledger.md §5.
"""

import re
from collections.abc import Sequence
from hashlib import sha256
from struct import Struct
from typing import NamedTuple

from fileroom.errors import IntegrityError
from fileroom.ledger.record import SEALED_BYTES_MAX
from fileroom.ledger.tiles import WIDTH

BODY_LENGTH = Struct(">I")
EVENTS_BYTES_MAX = WIDTH * (BODY_LENGTH.size + SEALED_BYTES_MAX)

_EVENTS = re.compile(r"([0-9]{12})-([0-9]{12})-([0-9a-f]{64})")


class ObjectError(IntegrityError):
    """An object of the ledger is missing, damaged or misnamed at a provider."""


class EventsName(NamedTuple):
    """Which bodies an events object holds: of entries `first` to `last`, both included."""

    first: int
    last: int
    sha256: bytes

    @classmethod
    def parse(cls, text: str) -> "EventsName":
        """Read the last part of an events object's name.

        Raises:
            ObjectError: it is misspelled, or the bodies lie in no one bundle.
        """
        match = _EVENTS.fullmatch(text)
        if match is not None:
            first, last = int(match[1]), int(match[2])
            if first <= last and first // WIDTH == last // WIDTH:
                return cls(first, last, bytes.fromhex(match[3]))
        raise ObjectError(f"an events object's name of {len(text)} characters is misspelled")


def prefix(site: str) -> str:
    """What all names of a site's ledger begin with."""
    return f"ledger/{site}/"


def events_prefix(site: str) -> str:
    return f"{prefix(site)}events/"


def checkpoint_name(site: str) -> str:
    """The one object that changes."""
    return f"{prefix(site)}checkpoint"


def events_object(site: str, first: int, bodies: Sequence[bytes]) -> tuple[str, bytes]:
    """Name and bytes of the object of encrypted bodies from entry `first` on."""
    data = b"".join(BODY_LENGTH.pack(len(each)) + each for each in bodies)
    last = first + len(bodies) - 1
    name = f"{events_prefix(site)}{first:012d}-{last:012d}-{sha256(data).hexdigest()}"
    return name, data


def bodies_of(data: bytes, name: EventsName) -> list[bytes]:
    """The encrypted bodies in an events object.

    Raises:
        ObjectError: it does not hold what its name says.
    """
    if sha256(data).digest() != name.sha256:
        raise ObjectError(f"the bodies of entries {name.first} to {name.last} are damaged")
    bodies: list[bytes] = []
    at = 0
    while at + BODY_LENGTH.size <= len(data):
        (length_bytes,) = BODY_LENGTH.unpack_from(data, at)
        at += BODY_LENGTH.size
        bodies.append(data[at : at + length_bytes])
        at += length_bytes
    if at != len(data) or len(bodies) != name.last - name.first + 1:
        raise ObjectError(f"the bodies of entries {name.first} to {name.last} are not whole")
    return bodies
