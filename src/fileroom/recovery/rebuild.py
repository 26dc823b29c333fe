"""Rebuild: the catalog from local packs, every provider's packs and the spool.

Order: key objects, then packs with the oldest first, then the spool; so that the first data set
under a UID is the one that is served, as it was when they came.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec

from fileroom.catalog.errors import SegmentInUseError
from fileroom.catalog.lifecycle import CopyState, PackState
from fileroom.catalog.port import Catalog
from fileroom.catalog.rows import NewSpooled, SpoolPlace
from fileroom.dicom.uid import digest
from fileroom.disk import Disk
from fileroom.errors import FileroomError, TransientError
from fileroom.keys.keyring import Keyring
from fileroom.keys.objects import SITE, parse_name
from fileroom.pack.format import parse_object_name
from fileroom.provider.port import Call, Lane, Provider
from fileroom.recovery.adopt import Adopter, FoundPack, Opened, open_pack
from fileroom.recovery.replay import Replay, Told
from fileroom.spool.landing import Spool

CALL = Call(Lane.BACKFILL, "rebuild", "")
KEY_OBJECT_BYTES_MAX = 1 << 20
SPOOLED_A_BATCH = 256
PACKS_A_PAGE = 1000
HELD = (CopyState.REPLICATED, CopyState.VERIFIED, CopyState.SUSPECT)  # something may be there

log = logging.getLogger(__name__)


class Report(msgspec.Struct, kw_only=True):
    """What a start or a rebuild found.

    Attributes:
        adopted: packs that the catalog did not know.
        spooled: instances in the spool, all of them replayed.
        missing: packs whose local file was gone, and that nobody had decided to evict.
        resealed: those of them that had no copy yet; their instances are in the spool still and
            will be sealed again.
        lost: instances that the catalog has in the spool and the spool has not; set aside.
        found: instances that were set aside and are in the spool; taken up again.
        unreadable: packs that no place gave whole; they stay where they are.
        absent: packs that the ledger tells of and that a rebuild found nowhere.
    """

    adopted: int = 0
    spooled: int = 0
    missing: int = 0
    resealed: int = 0
    returned: int = 0
    lost: int = 0
    found: int = 0
    unreadable: int = 0
    absent: int = 0
    keys: int = 0


class Rebuilder:
    """Fills the catalog from what is durable. Everything it does is idempotent."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        keyring: Keyring,
        spool: Spool,
        packs_directory: Path,
        keyring_directory: Path,
        providers: Mapping[str, Provider],
        adopter: Adopter,
        replay: Replay,
        disk: Disk,
        node_id: str,
    ) -> None:
        self._catalog = catalog
        self._keyring = keyring
        self._spool = spool
        self._packs_directory = packs_directory
        self._keyring_directory = keyring_directory
        self._providers = providers
        self._adopter = adopter
        self._replay = replay
        self._disk = disk
        self._node_id = node_id
        self.report = Report()

    async def reconcile(self) -> Report:
        """At every start: make the catalog agree with this node's own disk and the ledger.

        Raises:
            NewerLedgerError: as Replay.tail.
        """
        told = await asyncio.to_thread(self._replay.tail)
        await asyncio.to_thread(self._local, told)
        await asyncio.to_thread(self._spooled, told)
        return self.report

    async def rebuild(self, progress: Callable[[int, int], None] | None = None) -> Report:
        """After the catalog was lost: everything from the disk and from every provider.

        Args:
            progress: called with the bytes of packs that are done and of all that were found;
                each counts twice, as it is opened twice.

        Raises:
            TransientError: a provider cannot be reached; call again, what is done stays done.
            NewerLedgerError: as Replay.tail.
        """
        told = await asyncio.to_thread(self._replay.tail)
        for provider in self._providers.values():
            await self._keys(provider)
        found = {each.sha256: [each] for each in self._local_packs()}
        where: dict[bytes, list[str]] = {}
        for name, provider in self._providers.items():
            async for each in provider.list("packs/", call=CALL):
                parsed = parse_object_name(each.name)
                if parsed is None:
                    continue
                study_key_id, sha256 = parsed
                where.setdefault(sha256, []).append(name)
                found.setdefault(sha256, []).append(
                    self._remote(provider, each.name, study_key_id, sha256, each.size_bytes)
                )
        self._miss(told.sealed - found.keys())
        total_bytes = sum(places[0].size_bytes for places in found.values())
        done_bytes = total_bytes
        for sha256 in await asyncio.to_thread(self._by_age, found, progress):
            pack = await asyncio.to_thread(self._whole, found[sha256])
            if pack is None:
                self.report.unreadable += 1
                continue
            number = await asyncio.to_thread(self._adopter.adopt, pack)
            await asyncio.to_thread(self._copies, number, where.get(sha256, []))
            self.report.adopted += 1
            done_bytes += pack.found.size_bytes
            if progress is not None:
                await asyncio.to_thread(progress, done_bytes, 2 * total_bytes)
        await asyncio.to_thread(self._spooled, told)
        return self.report

    def _miss(self, absent: set[bytes]) -> None:
        for sha256 in absent:
            log.critical("pack %s... was sealed and is nowhere to be found", sha256.hex()[:8])
        self.report.absent += len(absent)

    def _copies(self, number: int, providers: list[str]) -> None:
        """Copies that a listing showed: there, but to be verified again."""
        known = {copy.provider for copy in self._catalog.copies(number)}
        for provider in providers:
            if provider not in known:
                self._catalog.set_copy(number, provider, None, CopyState.REPLICATED)

    def _local(self, told: Told) -> None:
        """Adopt unknown local packs; note which known ones are here and which are gone."""
        known: dict[bytes, tuple[int, bool, PackState]] = {}
        after = 0
        while page := self._catalog.packs(after=after, limit=PACKS_A_PAGE):
            known |= {each.sha256: (each.number, each.local, each.state) for each in page}
            after = page[-1].number
        here = {each.sha256: each for each in self._local_packs()}
        lost: list[int] = []
        for sha256, (number, local, state) in known.items():
            if local and sha256 not in here:
                self._catalog.set_local(number, False)
                if sha256 not in told.evicted:
                    self.report.missing += 1
                    log.critical("pack %d, %s, is gone from this disk", number, state)
            elif not local and sha256 in here:
                self._catalog.set_local(number, True)
                self.report.returned += 1
            if sha256 not in here and state is PackState.SEALED:
                lost.append(number)
        self._seal_again(lost)
        unknown = {sha256: [each] for sha256, each in here.items() if sha256 not in known}
        for sha256 in self._by_age(unknown, None):
            pack = self._whole(unknown[sha256])
            if pack is not None:
                self._adopter.adopt(pack)
                self.report.adopted += 1

    def _seal_again(self, lost: Sequence[int]) -> None:
        """Forget packs that lie neither here nor at a provider, where the spool still has all
        that was in them; the replay of the spool then records it as not sealed."""
        wanted = {
            number: self._catalog.uid_digests(number)
            for number in lost
            if not any(each.state in HELD for each in self._catalog.copies(number))
        }
        if not wanted:
            return
        digests = set().union(*wanted.values())
        places: dict[bytes, list[SpoolPlace]] = {}
        for each in self._spool.recovered():
            uid_digest = digest(each.description.header.sop_instance_uid)
            if uid_digest in digests:
                places.setdefault(uid_digest, []).append(SpoolPlace(*each.place))
        for number, held in wanted.items():
            if held <= places.keys():
                again = [place for each in held for place in places[each]]
                self._catalog.forget_pack(number, places=again)
                self.report.resealed += 1
                log.warning("%d instances of pack %d are sealed again", len(held), number)

    def _local_packs(self) -> Iterator[FoundPack]:
        root = self._packs_directory.parent
        for path in sorted(self._packs_directory.glob("*/*")):
            parsed = parse_object_name(path.relative_to(root).as_posix())
            if parsed is None:
                continue
            study_key_id, sha256 = parsed
            yield FoundPack(
                sha256=sha256,
                study_key_id=study_key_id,
                size_bytes=path.stat().st_size,
                local=True,
                read=partial(_read_file, path),
            )

    def _remote(
        self, provider: Provider, name: str, study_key_id: bytes, sha256: bytes, size_bytes: int
    ) -> FoundPack:
        loop = asyncio.get_running_loop()

        def read(start: int, end: int) -> bytes:
            got = provider.get(name, start, end, call=CALL)
            return asyncio.run_coroutine_threadsafe(got, loop).result()

        return FoundPack(
            sha256=sha256, study_key_id=study_key_id, size_bytes=size_bytes, local=False, read=read
        )

    def _by_age(
        self,
        found: Mapping[bytes, Sequence[FoundPack]],
        progress: Callable[[int, int], None] | None,
    ) -> list[bytes]:
        """The packs that open, by SHA-256, the oldest first. They are opened again, one by one,
        to be adopted: the metadata of a whole archive fits into no memory."""
        ages: list[tuple[int, bytes]] = []
        total_bytes = sum(places[0].size_bytes for places in found.values())
        done_bytes = 0
        for sha256, places in found.items():
            pack = self._whole(places)
            if pack is None:
                self.report.unreadable += 1
            else:
                ages.append((pack.received_oldest_ns, sha256))
            done_bytes += places[0].size_bytes
            if progress is not None:
                progress(done_bytes, 2 * total_bytes)
        return [sha256 for _, sha256 in sorted(ages)]

    def _whole(self, places: Sequence[FoundPack]) -> Opened | None:
        """A pack as the first place that holds it whole gives it; None where none does.

        Raises:
            TransientError: a provider cannot be reached.
        """
        # Twice: a read that went wrong once is no damaged pack.
        for each in (*places, *places):
            try:
                return open_pack(each, study_key=self._keyring.study_key(each.study_key_id))
            except TransientError:
                raise
            except (FileroomError, OSError) as error:
                what = f"errno {error.errno}" if isinstance(error, OSError) else error
                log.critical("a pack of %d B is not adopted: %s", each.size_bytes, what)
        return None

    async def _keys(self, provider: Provider) -> None:
        objects: list[tuple[str, bytes]] = []
        async for each in provider.list("keyring/", call=CALL):
            parsed = parse_name(each.name)
            if parsed is not None and parsed.owner == SITE:
                continue  # ours is open, and another archive's must never take its place
            if each.size_bytes <= KEY_OBJECT_BYTES_MAX:
                data = await provider.get(each.name, 0, each.size_bytes, call=CALL)
                objects.append((each.name, data))
        refused = await asyncio.to_thread(
            Keyring.import_objects, self._keyring_directory, objects, disk=self._disk
        )
        self.report.keys += len(objects) - len(refused)
        await asyncio.to_thread(
            self._key_copies, provider.name, [name for name, _ in objects if name not in refused]
        )

    def _key_copies(self, provider: str, names: list[str]) -> None:
        """Wrapped keys that a listing showed: there, but to be verified again."""
        for name in names:
            parsed = parse_name(name)
            if parsed is None or parsed.owner == SITE:
                continue
            study_key_id = bytes.fromhex(parsed.owner)
            known = {
                copy.generation
                for copy in self._catalog.key_copies(study_key_id)
                if copy.provider == provider
            }
            if parsed.generation not in known:
                self._catalog.set_key_copy(
                    study_key_id, parsed.generation, provider, None, CopyState.REPLICATED
                )

    def _spooled(self, told: Told) -> None:
        """Make the catalog agree with the spool, and then let it know the ledger's size."""
        places = self._replay_spool()
        for segment in sorted(self._catalog.segments_in_use()):
            self._account(segment, places.get(segment, set()))
        for segment in told.released - {each.number for each in self._spool.segments()}:
            with suppress(SegmentInUseError):  # told just now, instance by instance
                self._catalog.forget_segment(segment)
        self._replay.follow(told.size)

    def _account(self, segment: int, places: set[int]) -> None:
        """What the catalog counts on and the spool does not have is set aside, never dropped;
        what was set aside and is there is tried again."""
        held = self._catalog.held(segment)
        lost = [each for each in held if not each.set_aside and each.place.offset not in places]
        found = [each for each in held if each.set_aside and each.place.offset in places]
        for each in lost:
            log.critical("an instance is gone from the spool, place %d:%d", *each.place)
        self._catalog.set_aside([each.id for each in lost])
        self._catalog.take_up([each.id for each in found])
        self.report.lost += len(lost)
        self.report.found += len(found)

    def _replay_spool(self) -> dict[int, set[int]]:
        """Give the catalog every spooled instance again; those it has are left.

        Returns:
            The offsets of all of them, by segment.
        """
        batch: list[NewSpooled] = []
        places: dict[int, set[int]] = {}
        for each in self._spool.recovered():
            description = each.description
            places.setdefault(each.place.segment, set()).add(each.place.offset)
            batch.append(
                NewSpooled(
                    segment=each.place.segment,
                    offset=each.place.offset,
                    partition=description.partition,
                    header=description.header,
                    size_bytes=each.size_bytes,
                    sha256=each.sha256,
                    received_at_ns=description.received_at_ns,
                )
            )
            self.report.spooled += 1
            if len(batch) == SPOOLED_A_BATCH:
                self._catalog.record_spooled(batch, node_id=self._node_id)
                batch.clear()
        self._catalog.record_spooled(batch, node_id=self._node_id)
        return places


def _read_file(path: Path, start: int, end: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(descriptor, end - start, start)
    finally:
        os.close(descriptor)
