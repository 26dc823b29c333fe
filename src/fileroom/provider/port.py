"""The port to a place that keeps objects. Every adapter and fake passes
tests/conform/provider_suite.py."""

from collections.abc import AsyncIterator
from enum import Enum, IntEnum
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from fileroom.errors import IntegrityError, RefusedError, TransientError


class Lane(IntEnum):
    """What a call is for; the lower number goes first where calls have to wait."""

    STAT = 0  # a person waits: emergency
    INTERACTIVE = 1  # a person waits
    NEW = 2  # a copy that is owed for new data
    PREFETCH = 3
    BACKFILL = 4
    SCRUB = 5


class Call(NamedTuple):
    """On whose behalf a provider is called; for counting and for taking turns.

    Attributes:
        purpose: the stage or command, as "replicate".
        study: a study key id in hexadecimal, or "". Never a UID.
    """

    lane: Lane
    purpose: str
    study: str = ""


class FailureDomain(msgspec.Struct, frozen=True):
    """What copies must not share to count as independent; "" where it is not known."""

    disk: str = ""
    building: str = ""
    account: str = ""
    company: str = ""
    region: str = ""
    country: str = ""


class Put(Enum):
    """What `put_if_absent` found."""

    CREATED = "created"
    EXISTED = "existed"  # with the same bytes


class ObjectStat(msgspec.Struct, frozen=True):
    """What a provider says about an object without reading it.

    Attributes:
        version_id: None where the provider keeps no versions.
    """

    name: str
    size_bytes: int
    modified_ns: int
    version_id: str | None = None


class Digest(NamedTuple):
    """Of an object's bytes as they were read back."""

    sha256: bytes
    size_bytes: int


class NameRefusedError(RefusedError):
    """No name of an object: see provider.names. Nothing was done."""


class NotThereError(RefusedError):
    """There is no object of this name."""


class DifferentObjectError(IntegrityError):
    """An object of this name has other bytes than the ones announced. It was left as it is."""


class SourceChangedError(IntegrityError):
    """The bytes to put are not the ones announced. Nothing was put."""


class UnreachableError(TransientError):
    """The provider did not do it and may later: no connection, no room, a disk error."""


class Provider(Protocol):
    """A place that keeps objects. All methods may raise UnreachableError and NameRefusedError."""

    name: str
    domain: FailureDomain

    async def put_if_absent(
        self, name: str, source: Path | bytes, *, sha256: bytes, call: Call
    ) -> Put:
        """Create the object; durable on return.

        Args:
            source: the bytes, or a file that holds them and is not changed meanwhile.
            sha256: of the bytes (32).

        Returns:
            EXISTED where the object was there with the same bytes, which were read back.

        Raises:
            DifferentObjectError: it was there with other bytes.
            SourceChangedError: `source` does not have `sha256`.
            UncertainError: it may be there or not; see provider.readback.
        """
        ...

    async def get(self, name: str, start: int, end: int, *, call: Call) -> bytes:
        """Bytes [start, end) of the object, fewer where it ends before.

        Raises:
            NotThereError: there is none.
        """
        ...

    async def stat(self, name: str, *, call: Call) -> ObjectStat | None:
        """What is there under `name`; None for nothing."""
        ...

    def list(self, prefix: str, *, call: Call, after: str = "") -> AsyncIterator[ObjectStat]:
        """The objects whose names begin with `prefix` and sort behind `after`, in order of name.

        Names sort by their bytes. An object made or deleted meanwhile may be in it or not.
        """
        ...

    async def delete_object(self, name: str, *, call: Call) -> None:
        """Remove the object; durable on return. One that is not there is no error.

        Raises:
            UncertainError: it may be there or not.
        """
        ...

    async def replace(self, name: str, data: bytes, *, call: Call) -> None:
        """Put `data` in the place of a mutable object, or create it, at once; durable on return.

        Raises:
            NameRefusedError: `name` is not one of provider.names.MUTABLE.
            UncertainError: the old or the new bytes are there.
        """
        ...

    async def digest(self, name: str, *, call: Call) -> Digest:
        """Read all bytes back from where they are kept, past every cache within reach.

        Raises:
            NotThereError: there is none.
        """
        ...
