"""The rooms that the stages of the way in work with: real ones in a folder, but for the providers,
which are in memory, and the disk, which waits for nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from conform.memory_provider import MemoryProvider
from fileroom.audit.refusals import Refusal
from fileroom.catalog.batch import Intake
from fileroom.catalog.lifecycle import CopyState, PackState
from fileroom.catalog.rows import PackRow
from fileroom.catalog.sqlite import SqliteCatalog
from fileroom.clock import ManualClock
from fileroom.ingest.build import Builder, local_path
from fileroom.ingest.commit import CommitStage
from fileroom.ingest.duplicates import Sorter
from fileroom.ingest.evict import EvictStage
from fileroom.ingest.receive import Conversation, Received, Receiver
from fileroom.ingest.replicate import ReplicateStage
from fileroom.ingest.seal import SealStage, Settings
from fileroom.ingest.verify import VerifyStage
from fileroom.ingest.workshop import ThreadWorkshop
from fileroom.keys.keyfile import KeyFile
from fileroom.keys.keyring import Keyring
from fileroom.ledger.log import Ledger
from fileroom.policy.placement import Rule, Site
from fileroom.spool.landing import Spool
from fileroom.spool.reader import SpoolReader
from fileroom.spool.record import Origin
from instances import CT_IMAGE_STORAGE, EXPLICIT_LITTLE, dataset, uids
from spool_parts import QuickDisk

ORIGIN = Origin("dimse", "CT1", "10.0.0.7", "c0ffee")
SITES = {"a": Site(disk="a", own_disk=False), "b": Site(disk="b", own_disk=False)}
Key = tuple[int, int, int]


class StillClock(ManualClock):
    """A clock by which nobody waits: whoever sleeps has slept."""

    async def sleep(self, duration_s: float) -> None:
        self.advance(duration_s)


class Way:
    """Everything from the doors to the providers.

    Attributes:
        busy, pressure: what the sealing stage is told of the doors and the spool.
        is_complete: whether the catalog knows all there is.
        refused: instances that receiving has turned away.
    """

    def __init__(self, folder: Path, *, providers: tuple[str, ...]) -> None:
        self.folder = folder
        self.disk = QuickDisk()
        self.clock = StillClock()
        self.keyring = Keyring.create(
            folder / "keyring",
            KeyFile("a passphrase", iterations=1),
            disk=self.disk,
            recovery_key=bytes(32),
        )
        self.catalog = SqliteCatalog.create(
            folder / "catalog.db", key=self.keyring.catalog_key, clock=self.clock, disk=self.disk
        )
        self.ledger = Ledger.open(
            folder / "ledger",
            site="north",
            body_key=self.keyring.ledger_body_key,
            disk=self.disk,
            clock=self.clock,
        )
        self.spool = Spool.open(
            folder / "spool",
            key=self.keyring.spool_key,
            disk=self.disk,
            clock=self.clock,
            segment_size_bytes=1 << 20,
            reserve_bytes=0,
        )
        self.intake = Intake(self.catalog, node_id="0a0b", clock=self.clock)
        self.providers = {name: MemoryProvider(name) for name in providers}
        self.packs = folder / "packs"
        self.disk.make_directory(self.packs)
        self.busy = False
        self.is_complete = True
        self.pressure = 0.0
        self.refused: list[Refusal] = []
        self.reader = SpoolReader(folder / "spool", key=self.keyring.spool_key)
        self.receiver = Receiver(
            spool=self.spool,
            intake=self.intake,
            ledger=self.ledger,
            clock=self.clock,
            partition="main",
            refused=self.refused.append,
        )

    async def close(self) -> None:
        await self.intake.close()
        await self.spool.close()
        await self.ledger.close()
        self.catalog.close()

    # Instances

    def conversation(self) -> Conversation:
        return self.receiver.conversation(ORIGIN)

    async def land(self, *keys: Key, data: bytes = b"") -> list[Received]:
        """Receive instances in one conversation, as made or with these bytes."""
        conversation = self.conversation()
        received = [await self.arrive(conversation, key, data=data) for key in keys]
        await conversation.close()
        await self.intake.settled()
        return received

    async def arrive(self, conversation: Conversation, key: Key, *, data: bytes = b"") -> Received:
        reception = conversation.begin(
            sop_class_uid=CT_IMAGE_STORAGE,
            sop_instance_uid=uids(*key)[2],
            transfer_syntax_uid=EXPLICIT_LITTLE,
        )
        reception.write(data or dataset(*key, size_bytes=256))
        return await reception.finish()

    async def sealed(self, *keys: Key) -> PackRow:
        """The one pack of these instances."""
        await self.land(*keys)
        assert await self.seal().round(everything=True) == 1
        return self.all_packs()[-1]

    # Stages, as a node makes them

    def sorter(self, packed: object) -> Sorter:
        return Sorter(
            catalog=self.catalog,
            spool=self.reader,
            packed=packed,
            complete=lambda: self.is_complete,
        )

    def seal(self, *, packed: object = None, quiet_s: float = 20.0) -> SealStage:
        builder = Builder(
            spool_directory=self.folder / "spool",
            spool_key=self.keyring.spool_key,
            packs_directory=self.packs,
            disk=self.disk,
        )
        return SealStage(
            Settings(site="north", node_id="0a0b", quiet_s=quiet_s, target_size_bytes=1 << 20),
            catalog=self.catalog,
            keyring=self.keyring,
            ledger=self.ledger,
            workshop=ThreadWorkshop(builder),
            sorter=self.sorter(packed or NoPacks()),
            clock=self.clock,
            busy=lambda: self.busy,
            pressure=lambda: self.pressure,
        )

    def replicate(self, *, copies_min: int = 1) -> ReplicateStage:
        return ReplicateStage(
            catalog=self.catalog,
            keyring=self.keyring,
            ledger=self.ledger,
            providers=self.providers,
            packs_directory=self.packs,
            copies_min=copies_min,
        )

    def verify(self) -> VerifyStage:
        return VerifyStage(
            catalog=self.catalog,
            keyring=self.keyring,
            ledger=self.ledger,
            clock=self.clock,
            providers=self.providers,
        )

    def commit(self, *, copies_min: int = 1) -> CommitStage:
        return CommitStage(
            catalog=self.catalog, ledger=self.ledger, rule=Rule(copies_min), sites=SITES
        )

    def evict(self, *, kept_bytes: int = 0, copies_min: int = 1) -> EvictStage:
        self.left: list[bytes] = []
        return EvictStage(
            catalog=self.catalog,
            ledger=self.ledger,
            spool=self.spool,
            disk=self.disk,
            clock=self.clock,
            packs_directory=self.packs,
            node_id="0a0b",
            local_size_bytes_max=kept_bytes,
            reserve_bytes=0,
            rule=Rule(copies_min),
            sites=SITES,
            leaving=self.left.append,
        )

    # What came of it

    def all_packs(self) -> list[PackRow]:
        return self.catalog.packs(limit=99)

    def states(self) -> list[PackState]:
        return [each.state for each in self.all_packs()]

    def copies(self, pack: PackRow) -> dict[str, CopyState]:
        return {each.provider: each.state for each in self.catalog.copies(pack.number)}

    def local(self, pack: PackRow) -> Path:
        return local_path(self.packs, pack.study_key_id, pack.sha256)

    async def told(self, kind: str) -> list[dict]:
        """The bodies of a kind, those that were about to be written too."""
        await self.ledger.append("started", {"node_id": "0a0b", "version": "0"})
        return [each.body for each in self.ledger.records(0) if each.kind == kind]


class NoPacks:
    """Nobody compares with packs here."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"{name} of a pack was asked for")


@asynccontextmanager
async def way_in(folder: Path, *providers: str) -> AsyncIterator[Way]:
    """The way in to these providers, by default one."""
    way = Way(folder, providers=providers or ("a",))
    try:
        yield way
    finally:
        await way.close()
