"""The catalog as the rest of the program sees it.

Every method is one transaction: it happens whole or not at all, and is seen by whoever asks
after it returned. None is durable by itself: what a power loss takes is made again from spool,
packs and ledger. `make_durable` comes before anything that destroys one of those.

Methods block for microseconds to milliseconds and may be called on any thread. All of them may
raise CatalogUnreadableError (give the catalog up and rebuild it), CatalogBusyError or
CatalogFullError (try later); only what else they raise is said below.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from fileroom.catalog.arrivals import CatalogArrivals
from fileroom.catalog.commitments import CatalogCommitments
from fileroom.catalog.conflicts import CatalogConflicts
from fileroom.catalog.forwards import CatalogForwards
from fileroom.catalog.lifecycle import CopyState, PackState
from fileroom.catalog.query import Search, SearchRow
from fileroom.catalog.rejections import CatalogRejections
from fileroom.catalog.rows import (
    CopyRow,
    HeldRecord,
    Holdings,
    InstancePlace,
    KeyCopyRow,
    Lease,
    Located,
    Moved,
    NewPack,
    NewSpooled,
    PackRow,
    RefusedCaller,
    Sealed,
    SeriesPlace,
    SeriesToSeal,
    SpooledRow,
    SpoolPlace,
    Task,
    Totals,
)
from fileroom.dicom.header import Header


class CatalogIntake(Protocol):
    """What has landed in the spool."""

    def record_spooled(self, rows: Sequence[NewSpooled], *, node_id: str) -> None:
        """Make instances that are durable in the spool findable, with their series, study, patient.

        Idempotent by (segment, offset), also after the instance was sealed.

        Raises:
            SpoolPlaceError: a place already names an instance of another SHA-256. No row of the
                batch was recorded.
        """
        ...

    def record_series(self, partition: str, header: Header) -> SeriesPlace:
        """Find or make the rows of an instance's series, study and patient (a rebuild)."""
        ...

    def spooled_of_series(self, series: int, *, bytes_max: int) -> list[SpooledRow]:
        """A series' spooled instances, oldest first, of at most `bytes_max` bytes together; but
        one where there is one."""
        ...

    def set_aside(self, spooled_ids: Collection[int]) -> None:
        """Take spool records that cannot be read out of the sealing queue. They stay counted,
        and their segments stay in use."""
        ...

    def take_up(self, spooled_ids: Collection[int]) -> None:
        """Put records that were set aside back into the sealing queue; but those whose place
        another instance has by now."""
        ...

    def segments_in_use(self) -> set[int]:
        """Segments that hold an instance that lies nowhere else."""
        ...

    def held(self, segment: int) -> list[HeldRecord]:
        """A segment's instances that lie nowhere else, in order of place."""
        ...

    def settled_count(self, segment: int) -> int:
        """How many of a segment's instances were recorded and lie in packs by now."""
        ...

    def forget_segment(self, segment: int) -> None:
        """Drop what is remembered of a segment whose file is gone.

        Raises:
            SegmentInUseError: instances lie in it and nowhere else.
        """
        ...


class CatalogSeal(Protocol):
    """Sealing, and leases for every stage."""

    def series_to_seal(
        self, *, quiet_before_ns: int, target_bytes: int, limit: int
    ) -> list[SeriesToSeal]:
        """Series to seal now, longest waiting first: those whose newest instance came at or
        before `quiet_before_ns`, those with `target_bytes` or more, and those from the future,
        since the clock was set back. Those under a SEAL lease are left out."""
        ...

    def set_study_key(self, study: int, study_key_id: bytes) -> bytes:
        """Give a study its key if it has none, and return the id of the one it has.

        Raises:
            NotInCatalogError: no such study.
        """
        ...

    def existing(self, uid_digests: Collection[bytes]) -> dict[bytes, InstancePlace]:
        """Where those of the instances lie that have a pack; the one that is served."""
        ...

    def conflicting(self, uid_digests: Collection[bytes]) -> dict[bytes, list[InstancePlace]]:
        """Where further data sets with those UIDs lie, and the same ones again."""
        ...

    def record_sealed(
        self,
        pack: NewPack,
        *,
        members: Sequence[Sealed],
        conflicts: Sequence[Sealed] = (),
        repeated: Sequence[Sealed] = (),
        moved: Sequence[Moved] = (),
        duplicates: Collection[int] = (),
        lease: Lease | None,
    ) -> int:
        """Record a pack that lies on the disk, and take its instances out of the spool's queue.

        Args:
            members: instances whose UID no pack held before, each UID once.
            conflicts: those in the pack whose UID another data set holds; kept, not served.
            repeated: those in the pack that another pack holds with the same bytes.
            moved: data sets of other packs that a member takes the place of, or that are the
                same as one.
            duplicates: spooled rows that are in no new pack, because the same data set is kept.
            lease: what the work was done under; None where no one else can be doing it.

        Returns:
            The pack's number. A pack of the same SHA-256 is recorded once.

        Raises:
            StaleLeaseError: the subject has gone to another holder.
            AlreadyStoredError: a member's UID got a pack meanwhile.
            NotInCatalogError: no such study, or the series is not in it.
        """
        ...

    def record_duplicates(self, spooled_ids: Collection[int], *, lease: Lease | None) -> None:
        """`record_sealed` where every instance was a duplicate and there is no pack."""
        ...

    def lease(self, kind: str, subject: str, *, holder: str, ttl_s: float) -> Lease | None:
        """Take the right to work on a subject; None while another lease on it runs."""
        ...

    def renew(self, lease: Lease, *, ttl_s: float) -> None:
        """Let a lease run for `ttl_s` from now. Raises StaleLeaseError if it has gone."""
        ...

    def release(self, lease: Lease) -> None:
        """Give a lease back. One that has gone already is no error."""
        ...

    def void_leases(self) -> None:
        """End all leases; a node does it at start, when it has the data folder to itself. What
        a worker of before still brings is refused as stale."""
        ...


class CatalogPacks(Protocol):
    """Packs, copies, key copies."""

    def packs(
        self,
        *,
        state: PackState | None = None,
        numbers: Collection[int] | None = None,
        after: int = 0,
        limit: int,
    ) -> list[PackRow]:
        """Packs in a state, the oldest received first; or those numbers; or all after a number,
        in order of the number."""
        ...

    def set_pack_state(self, pack: int, from_: PackState, to: PackState) -> None:
        """Move a pack on.

        Raises:
            IllegalMoveError: no such move (lifecycle.PACK_MOVES).
            StateMovedError: the pack is not in `from_` any more.
            NotInCatalogError: no such pack.
        """
        ...

    def uid_digests(self, pack: int) -> set[bytes]:
        """Of all instances in a pack, also those that are not served from it."""
        ...

    def forget_pack(self, pack: int, *, places: Collection[SpoolPlace]) -> None:
        """Drop a pack that lies nowhere, and let the spool records at `places`, which hold its
        instances still, be recorded again. Raises NotInCatalogError."""
        ...

    def settled_among(self, records: Mapping[SpoolPlace, bytes]) -> set[SpoolPlace]:
        """Which of these spool records lie in packs, as far as is known; by their place, with the
        SHA-256 of the data set."""
        ...

    def unsettle(self, places: Collection[SpoolPlace]) -> None:
        """Let the spool records there be recorded again, though a pack had them."""
        ...

    def evictable(self, limit: int) -> list[PackRow]:
        """COMMITTED packs whose file is on this node, oldest first."""
        ...

    def set_local(self, pack: int, local: bool) -> None:
        """Say whether the pack's file is on this node. Raises NotInCatalogError."""
        ...

    def copies(self, pack: int) -> list[CopyRow]:
        """A pack's copies, by provider."""
        ...

    def unverified_copies(self, provider: str, state: CopyState, *, limit: int) -> list[CopyRow]:
        """Copies at a provider in a state other than VERIFIED, by pack."""
        ...

    def set_copy(
        self,
        pack: int,
        provider: str,
        from_: CopyState | None,
        to: CopyState,
        *,
        checksum_kind: str | None = None,
        version_id: str | None = None,
        storage_class: str | None = None,
        verified_at_ns: int | None = None,
    ) -> None:
        """Move a pack's copy on; None is "no copy yet". Facts that are None stay as they are.

        Raises:
            IllegalMoveError, StateMovedError, NotInCatalogError: as set_pack_state.
        """
        ...

    def key_copies(self, study_key_id: bytes) -> list[KeyCopyRow]:
        """Copies of a study key's wrapped generations, by generation and provider."""
        ...

    def set_key_copy(
        self,
        study_key_id: bytes,
        generation: int,
        provider: str,
        from_: CopyState | None,
        to: CopyState,
        *,
        verified_at_ns: int | None = None,
    ) -> None:
        """Move a wrapped key's copy on. Raises IllegalMoveError, StateMovedError."""
        ...


class CatalogSearch(Protocol):
    """Finding."""

    def locate(self, uid_digest: bytes) -> Located:
        """Where an instance lies; an empty Located if nowhere, or if it is rejected."""
        ...

    def holdings(
        self,
        study_instance_uid: str,
        series_instance_uid: str | None = None,
        *,
        partition: str | None = None,
    ) -> Holdings:
        """What to read to serve a study or a series; of every partition if none is named. What
        is rejected is not in it."""
        ...

    def search(self, search: Search) -> list[SearchRow]:
        """Matches in order, with the counts of related studies, series and instances.

        Raises:
            UnmatchableError: a condition on an attribute that is not kept (query.MATCHABLE).
            SearchTooBroadError: more rows would have to be looked at than may be.
        """
        ...

    def count(self, search: Search) -> int | None:
        """How many matches there are, whatever the search's limit and offset; behind its position,
        if it has one. None: to know it would cost far more than to find the first of them.

        Raises:
            UnmatchableError: as `search` does.
        """
        ...

    def totals(self) -> Totals:
        """How much there is of everything."""
        ...


class CatalogRecords(Protocol):
    """The node's own records."""

    def put_task(self, task: Task) -> None:
        """Write a task's record; times are the catalog's. Of those that are finished the newest
        1,000 are kept."""
        ...

    def task(self, id: str) -> Task | None: ...

    def tasks(self, *, kind: str | None = None, limit: int = 100) -> list[Task]:
        """Tasks, lately changed first."""
        ...

    def setting(self, name: str) -> str | None: ...

    def set_setting(self, name: str, value: str) -> None: ...

    def applied_index(self) -> int:
        """How many ledger entries the catalog has applied."""
        ...

    def set_applied_index(self, index: int) -> None:
        """Raises StateMovedError if it would go back."""
        ...

    def record_refused(
        self,
        *,
        address: str,
        calling_ae_title: str,
        called_ae_title: str,
        reason: str,
        count: int = 1,
    ) -> None:
        """Count a caller that was turned away, `count` times; the 1,000 lately seen are kept."""
        ...

    def refused_callers(self, *, limit: int = 1000) -> list[RefusedCaller]:
        """Callers that were turned away, lately seen first."""
        ...


class Catalog(
    CatalogIntake,
    CatalogSeal,
    CatalogPacks,
    CatalogSearch,
    CatalogArrivals,
    CatalogCommitments,
    CatalogConflicts,
    CatalogForwards,
    CatalogRejections,
    CatalogRecords,
    Protocol,
):
    """All of it, and its upkeep."""

    def make_durable(self) -> None:
        """Return once every change made before the call survives a power loss."""
        ...

    def shrink(self) -> None:
        """Give unused room back to the disk; for a quiet moment."""
        ...

    def check(self) -> None:
        """Read everything once. Raises CatalogUnreadableError if something is damaged."""
        ...

    def close(self) -> None:
        """Let go of the file; further calls raise CatalogBusyError."""
        ...
