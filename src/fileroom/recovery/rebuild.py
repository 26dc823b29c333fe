"""Rebuild: the catalog from local packs, every provider's packs and the spool.

Order: key objects, then packs with the oldest first, then the spool; so that what the first
instance said of its patient, study and series stands there as it did before.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from fileroom.catalog.errors import StateMovedError
from fileroom.catalog.lifecycle import CopyState, PackState
from fileroom.catalog.port import Catalog
from fileroom.disk import Disk
from fileroom.errors import FileroomError, TransientError
from fileroom.ingest.build import local_path
from fileroom.keys.keyring import Keyring
from fileroom.keys.objects import SITE, parse_name
from fileroom.provider.port import Provider, UnreachableError
from fileroom.recovery.adopt import Adopter, NotComparedError
from fileroom.recovery.awaited import awaited, note_awaited
from fileroom.recovery.found import (
    CALL,
    FoundPack,
    Opened,
    at_provider,
    is_whole,
    local_packs,
    open_pack,
)
from fileroom.recovery.replay import Replay, Told
from fileroom.recovery.report import Report
from fileroom.recovery.respool import Respool

KEY_OBJECT_BYTES_MAX = 1 << 20
DAMAGED = ".damaged"  # behind the name of what was a pack
PACKS_A_PAGE = 1000

Progress = Callable[[int, int], None]
Places = Mapping[bytes, Sequence[FoundPack]]  # by the SHA-256 of the pack

log = logging.getLogger(__name__)


class Known(NamedTuple):
    """What the catalog says of a pack."""

    number: int
    local: bool
    state: PackState


class ProviderAwayError(TransientError):
    """A provider does not answer, and what lies there is wanted."""


async def ask(providers: Iterable[Provider]) -> None:
    """Have each provider answer with the first page of its packs.

    Raises:
        ProviderAwayError: names those that do not.
    """
    away = []
    for provider in providers:
        try:
            async for _ in provider.list("packs/", call=CALL):
                break
        except UnreachableError as error:
            away.append(f"provider {provider.name} does not answer: {error}")
    if away:
        raise ProviderAwayError("; ".join(away))


class Rebuilder:
    """Fills the catalog from what is durable. Everything it does is idempotent.

    Attributes:
        report: of the latest `reconcile` or `rebuild`.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        keyring: Keyring,
        packs_directory: Path,
        keyring_directory: Path,
        providers: Mapping[str, Provider],
        adopter: Adopter,
        replay: Replay,
        respool: Respool,
        disk: Disk,
    ) -> None:
        self._catalog = catalog
        self._keyring = keyring
        self._packs_directory = packs_directory
        self._keyring_directory = keyring_directory
        self._providers = providers
        self._adopter = adopter
        self._replay = replay
        self._respool = respool
        self._disk = disk
        self.report = Report()
        self._away: set[str] = set()  # providers that failed in this run
        self._unreadable: set[bytes] = set()

    def awaited(self) -> list[str] | None:
        """The providers that the catalog has not been filled from; None: it has not been filled."""
        return awaited(self._catalog)

    async def reconcile(self) -> Report:
        """At every start: make the catalog agree with this node's own disk and the ledger.

        Raises:
            NewerLedgerError: as Replay.tail.
        """
        self._begin()
        told = await asyncio.to_thread(self._replay.tail)
        await asyncio.to_thread(self._replay.decide, told)
        await self._take_up(await asyncio.to_thread(self._local, told), None)
        await asyncio.to_thread(self._respool.replay, told, self.report)
        await asyncio.to_thread(self._replay.apply, told)
        noted = await asyncio.to_thread(self.awaited)
        if noted is not None:
            await asyncio.to_thread(self._note, {*noted, *self._away})
        return self.report

    async def rebuild(self, progress: Progress | None = None) -> Report:
        """Fill the catalog from this disk and from every provider it has not been filled from.

        A provider that is away holds up nothing: it is noted in the catalog, and a later call
        takes up what lies there, while the node works. A first call does that at a start.

        Args:
            progress: called with the bytes of packs that are done and of all that were found;
                each counts twice, as it is opened twice.

        Raises:
            NewerLedgerError: as Replay.tail.
        """
        self._begin()
        noted = await asyncio.to_thread(self.awaited)
        first = noted is None
        if first:
            told = await asyncio.to_thread(self._replay.tail, whole=True)
            await asyncio.to_thread(self._replay.decide, told)
        wanted = [*self._providers] if noted is None else noted
        self._away = set(wanted) - self._providers.keys()
        found = await self._found([each for each in wanted if each in self._providers])
        known = await asyncio.to_thread(self._known)
        await asyncio.to_thread(self._note_copies, found, known)
        unknown = {sha256: each for sha256, each in found.items() if sha256 not in known}
        await self._take_up(unknown, progress)
        if not self._away:
            if not first:
                told = await asyncio.to_thread(self._replay.tail, whole=True)
            await asyncio.to_thread(self._miss, told)
        if first:
            await asyncio.to_thread(self._respool.replay, told, self.report)
            await asyncio.to_thread(self._replay.apply, told)
        if first or not self._away:
            await asyncio.to_thread(told.forwarded.owe, self._catalog)
        # Commit point. A crash before it fills the catalog again, from what is not in it.
        await asyncio.to_thread(self._note, self._away)
        return self.report

    def _begin(self) -> None:
        self._away = set()
        missing = self.report.missing  # of the start, for as long as the node runs
        self.report = Report(missing=missing, unreadable=len(self._unreadable))

    def _note(self, away: Collection[str]) -> None:
        self.report.awaited = sorted(away)
        note_awaited(self._catalog, away)
        for name in self.report.awaited:
            log.error("the catalog is incomplete: provider %s was away", name)

    def _local(self, told: Told) -> Places:
        """Note which known packs are on this disk and which are gone; return the unknown ones."""
        known = self._known()
        here = {each.sha256: each for each in local_packs(self._packs_directory)}
        for sha256, (number, _, state) in known.items():
            # What was found damaged before is read again, and only that: a start is no scrub.
            if state is PackState.AT_RISK and sha256 in here and not is_whole(here[sha256]):
                self._set_aside(number, here.pop(sha256))
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
            if sha256 not in here and state in (PackState.SEALED, PackState.AT_RISK):
                lost.append(number)
        self._respool.seal_again(lost, self.report)
        return {sha256: [each] for sha256, each in here.items() if sha256 not in known}

    def _set_aside(self, number: int, damaged: FoundPack) -> None:
        """Take its name from a file that is no pack any more, so that it counts as gone; the bytes
        stay. A crash before the catalog knows of it leaves a pack that is gone."""
        path = local_path(self._packs_directory, damaged.study_key_id, damaged.sha256)
        self._disk.replace(path, path.with_suffix(DAMAGED))
        log.critical("the file of pack %d is damaged, and is set aside", number)

    async def _found(self, names: Collection[str]) -> Places:
        """What lies on this disk and at these providers, whose keys are taken up first."""
        found: dict[bytes, list[FoundPack]] = {}
        for each in await asyncio.to_thread(list, local_packs(self._packs_directory)):
            found[each.sha256] = [each]
        for name in names:
            provider = self._providers[name]
            try:
                await self._keys(provider)
                async for stat in provider.list("packs/", call=CALL):
                    pack = at_provider(provider, stat)
                    if pack is not None:
                        found.setdefault(pack.sha256, []).append(pack)
            except UnreachableError as error:
                log.warning("provider %s is away: %s", name, error)
                self._away.add(name)
        return found

    async def _take_up(self, unknown: Places, progress: Progress | None) -> None:
        """Adopt packs, the oldest first."""
        total_bytes = sum(places[0].size_bytes for places in unknown.values())
        done_bytes = 0

        async def passed(places: Sequence[FoundPack]) -> None:
            nonlocal done_bytes
            done_bytes += places[0].size_bytes
            if progress is not None:
                await asyncio.to_thread(progress, done_bytes, 2 * total_bytes)

        # They are opened again, one by one, to be adopted: the metadata of a whole archive fits
        # into no memory.
        ages: list[tuple[int, bytes]] = []
        for sha256, places in unknown.items():
            pack = await asyncio.to_thread(self._whole, sha256, places)
            if pack is not None:
                ages.append((pack.received_oldest_ns, sha256))
            await passed(places)
        for _, sha256 in sorted(ages):
            places = unknown[sha256]
            pack = await asyncio.to_thread(self._whole, sha256, places)
            if pack is not None:
                await self._adopt(pack, [each.provider for each in places if each.provider])
            await passed(places)

    async def _adopt(self, pack: Opened, providers: Collection[str]) -> None:
        try:
            await self._adopter.adopt(pack, providers=providers)
        except NotComparedError as error:
            log.warning("a pack waits to be compared with pack %d: %s", error.pack, error)
            copies = await asyncio.to_thread(self._catalog.copies, error.pack)
            self._away |= {*providers, *(each.provider for each in copies)}
        else:
            self.report.adopted += 1

    def _whole(self, sha256: bytes, places: Sequence[FoundPack]) -> Opened | None:
        """A pack as the first place that holds it whole gives it; None where none does now."""
        away = False
        # Twice: a read that went wrong once is no damaged pack.
        for each in (*places, *places):
            try:
                found = open_pack(each, study_key=self._keyring.study_key(each.study_key_id))
            except UnreachableError:
                away = True
                self._away.add(each.provider)
            except (FileroomError, OSError) as error:
                what = f"errno {error.errno}" if isinstance(error, OSError) else error
                log.critical("a pack of %d B is not adopted: %s", each.size_bytes, what)
            else:
                self._unreadable.discard(sha256)
                break
        else:
            found = None
            if not away:
                self._unreadable.add(sha256)
        self.report.unreadable = len(self._unreadable)
        return found

    def _known(self) -> dict[bytes, Known]:
        """All packs in the catalog, by their SHA-256."""
        known: dict[bytes, Known] = {}
        after = 0
        while page := self._catalog.packs(after=after, limit=PACKS_A_PAGE):
            known |= {each.sha256: Known(each.number, each.local, each.state) for each in page}
            after = page[-1].number
        return known

    def _miss(self, told: Told) -> None:
        absent = told.sealed - self._known().keys() - self._unreadable
        for sha256 in absent:
            log.critical("pack %s... was sealed and is nowhere to be found", sha256.hex()[:8])
        self.report.absent = len(absent)

    def _note_copies(self, found: Places, known: Mapping[bytes, Known]) -> None:
        """Copies of known packs that a listing showed: there, but to be verified.

        One that is owed is left to replication, which reads back what it finds; unless there is
        no file here to put.
        """
        for sha256 in found.keys() & known.keys():
            pack = known[sha256]
            states = {copy.provider: copy.state for copy in self._catalog.copies(pack.number)}
            for each in found[sha256]:
                if each.local:
                    continue
                from_ = states.get(each.provider)
                if from_ is None or (from_ is CopyState.PENDING and not pack.local):
                    with suppress(StateMovedError):  # the node works meanwhile
                        self._catalog.set_copy(
                            pack.number, each.provider, from_, CopyState.REPLICATED
                        )

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
                with suppress(StateMovedError):  # the node works meanwhile
                    self._catalog.set_key_copy(
                        study_key_id, parsed.generation, provider, None, CopyState.REPLICATED
                    )
