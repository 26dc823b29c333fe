"""Storage commitments that peers asked for (PS3.4 Annex J), as the rest of the program sees them.

A projection of the ledger's decisions about them, and how far each one is. Times are Unix
nanoseconds. Pure.
"""

from collections.abc import Collection
from typing import Protocol

import msgspec

from fileroom.catalog.lifecycle import CommitmentState, PackState
from fileroom.catalog.references import digest_of
from fileroom.catalog.rows import InstancePlace, SpoolPlace
from fileroom.dicom.commitment import Reference

REPORTED_KEPT_NS = 7 * 86_400 * 1_000_000_000  # a request that comes again is known for so long


class NewCommitment(msgspec.Struct, frozen=True, kw_only=True):
    """A storage commitment that a peer asked for; `references` each once and in order."""

    ae_title: str
    transaction_uid: str
    references: tuple[Reference, ...]
    requested_at_ns: int

    @property
    def referenced_sha256(self) -> bytes:
        return digest_of(self.references)


class ReportedCommitment(msgspec.Struct, frozen=True, kw_only=True):
    """A storage commitment that is over: its peer was told, or was given up."""

    ae_title: str
    transaction_uid: str
    referenced_sha256: bytes
    requested_at_ns: int
    reported_at_ns: int


class CommitmentRow(msgspec.Struct, frozen=True):
    """A storage commitment as it stands.

    Attributes:
        referenced_sha256: of its references, which are megabytes at the most and read apart.
        cursor: how many references are decided, in their order.
        awaits: the digest of the first one that is not; empty: it was not looked for yet.
        tries: reports that came to nothing.
        since_ns: when it came into its state.
    """

    number: int
    ae_title: str
    transaction_uid: str
    referenced_sha256: bytes
    requested_at_ns: int
    state: CommitmentState
    cursor: int
    awaits: bytes
    tries: int
    since_ns: int


class CommitmentTotals(msgspec.Struct, frozen=True, kw_only=True):
    """How many storage commitments are open.

    Attributes:
        judged: those whose peers are to be told, by AE title.
        oldest_ns: when the oldest of all these was asked for.
    """

    waiting: int
    judged: dict[str, int]
    oldest_ns: int | None


class Whereabouts(msgspec.Struct):
    """All data sets that are kept under one SOP Instance UID, the same bytes once.

    Attributes:
        packed: those in packs, served or not, with their pack's state.
        spooled: what waits to be sealed.
        set_aside: SHA-256 of those that could not be read back from the spool.
    """

    packed: dict[InstancePlace, PackState] = {}
    spooled: list[SpoolPlace] = []
    set_aside: list[bytes] = []


class CatalogCommitments(Protocol):
    """What the catalog keeps of storage commitments; `port.Catalog` is all of it."""

    def record_commitment(self, asked: NewCommitment) -> None:
        """Let a commitment wait. One that is known changes nothing unless it was reported, or was
        about other instances, before this was asked for."""
        ...

    def record_reported(self, reported: ReportedCommitment) -> None:
        """Let a commitment be over. It is remembered for a week."""
        ...

    def commitment(self, ae_title: str, transaction_uid: str) -> CommitmentRow | None: ...

    def commitments_waiting(self, *, after: int = 0, limit: int) -> list[CommitmentRow]:
        """Those that wait for instances, after a number, in order of the number."""
        ...

    def commitment_to_report(self, ae_title: str) -> CommitmentRow | None:
        """The JUDGED one of a peer that was tried least; of those the oldest."""
        ...

    def references(self, commitment: int) -> tuple[Reference, ...]:
        """What a commitment is about, in order. Raises NotInCatalogError once it is reported."""
        ...

    def move_commitment(
        self,
        commitment: int,
        from_: CommitmentState,
        to: CommitmentState,
        *,
        cursor: int = 0,
        awaits: bytes = b"",
    ) -> None:
        """Move a commitment on, or within its state to another reference. Raises StateMovedError
        if it is not in `from_` any more."""
        ...

    def put_off_commitment(self, commitment: int) -> None:
        """Count one try to report it that came to nothing."""
        ...

    def commitment_totals(self) -> CommitmentTotals: ...

    def whereabouts(self, uid_digests: Collection[bytes]) -> dict[bytes, Whereabouts]:
        """All that is kept under those of the UIDs under which something is."""
        ...
