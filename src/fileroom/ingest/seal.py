"""Seal: a series that has come to rest, or is large enough, becomes a local pack.

spool → key → pack → catalog, in this order. What a spool record is - new, the same again, or
another data set under a known SOP Instance UID (invariant 8) - is decided here, never while
receiving.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from itertools import chain

import msgspec

from fileroom.audit import event
from fileroom.catalog.errors import AlreadyStoredError, StaleLeaseError
from fileroom.catalog.lifecycle import SEAL
from fileroom.catalog.port import Catalog
from fileroom.catalog.rows import Lease, NewPack, Sealed, SeriesToSeal, SpooledRow
from fileroom.clock import Clock
from fileroom.errors import FileroomError, IntegrityError
from fileroom.ingest.build import BuildJob, BuiltPack
from fileroom.ingest.duplicates import Sorted, Sorter
from fileroom.ingest.telling import tell
from fileroom.ingest.workshop import Workshop
from fileroom.keys.keyring import Keyring
from fileroom.ledger.log import Ledger
from fileroom.pack.format import object_name
from fileroom.pack.metadata import Subject
from fileroom.policy import sealing
from fileroom.spool.failure import SegmentGoneError

LEASE_TTL_S = 900.0
SERIES_A_ROUND = 16
POSTPONED_S = 30.0  # a series that could not be sealed lets the others go first for so long

log = logging.getLogger(__name__)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a node decides about sealing."""

    site: str
    node_id: str
    quiet_s: float
    target_size_bytes: int


class SealStage:
    """Makes packs of spooled series.

    Args:
        busy: whether the doors are receiving; sealing then waits as `policy.sealing` says.
        pressure: how much of the spool's room is used, 0 to 1.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        catalog: Catalog,
        keyring: Keyring,
        ledger: Ledger,
        workshop: Workshop,
        sorter: Sorter,
        clock: Clock,
        busy: Callable[[], bool],
        pressure: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self._keyring = keyring
        self._ledger = ledger
        self._workshop = workshop
        self._sorter = sorter
        self._clock = clock
        self._busy = busy
        self._pressure = pressure
        self._postponed: dict[int, float] = {}  # series to when it is tried again
        self._doubted: set[int] = set()  # series whose batch is tried record by record

    async def round(self, *, everything: bool = False) -> int:
        """Seal what is due and return how many packs were made.

        A series that fails waits by itself, whatever its failure; the others are sealed.

        Args:
            everything: do not wait, neither for the quiet time nor after a failure (a drain
                before a stop).

        Raises:
            FileroomError, OSError: the first failure, where no pack was made.
        """
        made = 0
        failed: FileroomError | OSError | None = None
        for series in await self._due(everything=everything):
            self._postponed[series.series] = self._clock.monotonic_s() + POSTPONED_S
            try:
                made += await self._leased(series)
            except (FileroomError, OSError) as error:
                what = f"errno {error.errno}" if isinstance(error, OSError) else error
                log.warning("series %d is not sealed: %s", series.series, what)
                failed = failed or error
            else:
                self._postponed.pop(series.series, None)
        if failed is not None and not made:
            raise failed
        return made

    async def _due(self, *, everything: bool) -> list[SeriesToSeal]:
        now_ns = self._clock.wall_ns()
        quiet_ns = 0 if everything else round(self._settings.quiet_s * 1e9)
        now_s = self._clock.monotonic_s()
        self._postponed = {each: at for each, at in self._postponed.items() if at > now_s}
        found = await asyncio.to_thread(
            self._catalog.series_to_seal,
            quiet_before_ns=now_ns - quiet_ns,
            target_bytes=self._settings.target_size_bytes,
            limit=SERIES_A_ROUND + len(self._postponed),
        )
        if everything:
            return found
        found = [each for each in found if each.series not in self._postponed]
        spool_pressure = self._pressure()
        return [
            each
            for each in found
            if sealing.due(
                sealing.SeriesFacts(
                    spooled_bytes=each.spooled_bytes,
                    oldest_ns=each.oldest_ns,
                    newest_ns=each.newest_ns,
                ),
                now_ns=now_ns,
                quiet_s=self._settings.quiet_s,
                target_bytes=self._settings.target_size_bytes,
                doors_busy=self._busy(),
                spool_pressure=spool_pressure,
            ).seal
        ]

    async def _leased(self, series: SeriesToSeal) -> int:
        lease = await asyncio.to_thread(
            self._catalog.lease,
            SEAL,
            str(series.series),
            holder=self._settings.node_id,
            ttl_s=LEASE_TTL_S,
        )
        if lease is None:
            return 0
        try:
            return await self._seal(series, lease)
        except (AlreadyStoredError, StaleLeaseError) as error:
            log.info("series %d is decided anew: %s", series.series, error)
            return 0
        finally:
            await asyncio.to_thread(self._catalog.release, lease)

    async def _seal(self, series: SeriesToSeal, lease: Lease) -> int:
        rows = await asyncio.to_thread(
            self._catalog.spooled_of_series,
            series.series,
            bytes_max=self._settings.target_size_bytes,
        )
        if not rows:
            return 0
        try:
            sorted_ = await self._sorter.sort(rows)
        except (IntegrityError, SegmentGoneError) as error:
            return self._distrust(series, rows, error)
        if sorted_.unreadable:
            await self._set_aside(sorted_.unreadable)
        if not sorted_.kept:
            await asyncio.to_thread(
                self._catalog.record_duplicates,
                [row.id for row in sorted_.duplicates],
                lease=lease,
            )
            return 0
        study_key_id, study_key = await asyncio.to_thread(self._study_key, series)
        job = BuildJob(
            places=tuple((*row.place,) for row in sorted_.kept),
            sha256s=tuple(row.sha256 for row in sorted_.kept),
            conflicts=frozenset(
                (*row.place,) for row in sorted_.kept if row.id in sorted_.conflicts
            ),
            replacements=frozenset(
                (*row.place,) for row in sorted_.kept if row.id in sorted_.replacing
            ),
            subject=Subject(
                site=self._settings.site,
                partition=series.partition,
                study_instance_uid=series.study_instance_uid,
                series_instance_uid=series.series_instance_uid,
            ),
            study_key_id=study_key_id,
            study_key=study_key,
        )
        try:
            built = await self._workshop.build(job)
        except (IntegrityError, SegmentGoneError) as error:
            return self._distrust(series, rows, error)
        await self._record(series, lease, sorted_, built, study_key_id)
        self._doubted.discard(series.series)
        return 1

    def _distrust(
        self, series: SeriesToSeal, rows: Sequence[SpooledRow], error: FileroomError
    ) -> int:
        """Have the whole batch tried record by record at the next round: the one that does not
        open, or whose segment is lost, is then set aside, and no other waits for it."""
        if series.series in self._doubted:
            self._doubted.discard(series.series)
            raise error  # every record opens, so that something else is wrong
        log.error("a pack was not built: %s", error)
        self._sorter.distrust(rows)
        self._doubted.add(series.series)
        return 0

    def _study_key(self, series: SeriesToSeal) -> tuple[bytes, bytes]:
        """The study's key, made durable in the keyring before anything is sealed with it."""
        if series.study_key_id is not None:
            return series.study_key_id, self._keyring.study_key(series.study_key_id)
        new = self._keyring.new_study_key(series.partition)
        study_key_id = self._catalog.set_study_key(series.study, new.id)
        return study_key_id, self._keyring.study_key(study_key_id)

    async def _record(
        self,
        series: SeriesToSeal,
        lease: Lease,
        sorted_: Sorted,
        built: BuiltPack,
        study_key_id: bytes,
    ) -> None:
        by_place = {(*row.place,): row for row in sorted_.kept}
        rows = [by_place[place] for place in built.places]
        sealed = [
            Sealed(row.id, row.uid_digest, ordinal, row.sha256, row.id in sorted_.replacing)
            for ordinal, row in enumerate(rows)
        ]
        conflicts = [each for each in sealed if each.spooled_id in sorted_.conflicts]
        members = [each for each in sealed if each.spooled_id not in sorted_.conflicts]
        moved = [sorted_.replacing[row.id] for row in rows if row.id in sorted_.replacing]
        # The same as one that is still to be sealed waits for it: that one may not open then.
        built_ids = {row.id for row in rows}
        waiting = {row.uid_digest for row in sorted_.kept if row.id not in built_ids}
        duplicates = [row.id for row in sorted_.duplicates if row.uid_digest not in waiting]
        pack = self._new_pack(series, rows, built, study_key_id)
        # Commit point of SEALED. A crash before it leaves the spool as the truth and a file that
        # the next start adopts; after it the instances are read from the pack.
        await asyncio.to_thread(
            self._catalog.record_sealed,
            pack,
            members=members,
            conflicts=conflicts,
            moved=list(chain.from_iterable(moved)),
            duplicates=duplicates,
            lease=lease,
        )
        tell(
            self._ledger,
            event.Sealed(
                pack=object_name(study_key_id, pack.sha256),
                study_key_id=study_key_id.hex(),
                study_instance_uid=series.study_instance_uid,
                instances=len(rows),
                size_bytes=pack.size_bytes,
                conflicts=len(conflicts),
                duplicates=len(duplicates),
                replacements=len(moved),
            ),
        )

    def _new_pack(
        self,
        series: SeriesToSeal,
        rows: Sequence[SpooledRow],
        built: BuiltPack,
        study_key_id: bytes,
    ) -> NewPack:
        written = built.written
        return NewPack(
            study=series.study,
            series=series.series,
            sha256=written.sha256,
            study_key_id=study_key_id,
            tink_header=written.tink_header,
            size_bytes=written.size_bytes,
            plaintext_size_bytes=written.plaintext_size_bytes,
            metadata_offset=written.metadata_offset,
            metadata_size_bytes=written.metadata_size_bytes,
            received_oldest_ns=min(row.received_at_ns for row in rows),
            sealed_at_ns=self._clock.wall_ns(),
            node_id=self._settings.node_id,
            patients=built.patients,
        )

    async def _set_aside(self, rows: Sequence[SpooledRow]) -> None:
        await asyncio.to_thread(self._catalog.set_aside, [row.id for row in rows])
        for row in rows:
            log.critical("spool record at %d:%d does not open and is set aside", *row.place)
