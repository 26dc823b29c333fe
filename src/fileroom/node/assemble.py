"""Assembles a node: the only place that names adapters.

`open_node` gives a node without doors, in three steps that `serving.run` takes one by one: `hold`
the data folder, `open_keyring`, `node_in` it.
"""

import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import msgspec

from fileroom.audit.restore import CALL, restore
from fileroom.catalog.batch import Intake
from fileroom.catalog.errors import CatalogMissingError, CatalogUnreadableError
from fileroom.catalog.sqlite import SqliteCatalog
from fileroom.clock import SystemClock
from fileroom.disk import Disk
from fileroom.ingest.build import Builder, sweep
from fileroom.ingest.workshop import ProcessWorkshop, ThreadWorkshop
from fileroom.keys.keyfile import KeyFile, LazyKeyFile
from fileroom.keys.keyring import Keyring
from fileroom.keys.port import KeysLockedError, WrongSecretError
from fileroom.ledger.log import Ledger
from fileroom.ledger.note import VerifierKey
from fileroom.ledger.objects import checkpoint_name
from fileroom.ledger.segment import SUFFIX
from fileroom.link.metered import Meter, Metered
from fileroom.node.config import ConfigError, Settings, read_passphrase
from fileroom.node.folder import Folder, Mark, make, read_mark, write_mark
from fileroom.node.lock import DataLock
from fileroom.node.node import Node
from fileroom.node.parts import Parts
from fileroom.node.settings import ProviderSettings
from fileroom.node.wiring import wired
from fileroom.policy import placement
from fileroom.provider.directory import THREADS, DirectoryProvider
from fileroom.provider.port import FailureDomain, Provider, UnreachableError
from fileroom.recovery.rebuild import ask
from fileroom.spool.landing import Spool

Reached = Callable[[Provider], Provider]
RESTORING = ".restoring"  # no site is named so

log = logging.getLogger(__name__)


class LedgerFacts(TypedDict):
    """What a ledger is opened or restored with."""

    site: str
    body_key: bytes
    disk: Disk
    clock: SystemClock


class InitReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `fileroom init` tells once: the recovery key is kept nowhere.

    Attributes:
        recovery_key: 32 bytes, hexadecimal. It opens the archive without the passphrase.
    """

    recovery_key: str


def initialise(settings: Settings, *, passphrase: str) -> InitReport:
    """Make the data folder and its keys. Raises RefusedError where there is one already."""
    recovery_key = make(settings.data_directory, KeyFile(passphrase), disk=Disk())
    return InitReport(recovery_key=recovery_key.hex())


@dataclass(frozen=True)
class Held:
    """A data folder that is ours until its lock is released."""

    folder: Folder
    mark: Mark
    lock: DataLock


@contextmanager
def hold(settings: Settings, *, verb: str) -> Iterator[Held]:
    """Take the data folder for this process.

    Raises:
        LockedError: another process works on it.
        RefusedError: there is none, or it is of a newer format.
    """
    folder = Folder(settings.data_directory)
    mark = read_mark(folder)
    lock = DataLock(folder.root, verb=verb)
    try:
        yield Held(folder, mark, lock)
    finally:
        lock.release()


def open_keyring(settings: Settings, *, disk: Disk) -> Keyring:
    """The keyring of the data folder; the key port is asked once. Reads only.

    Raises:
        KeysLockedError: there is no passphrase just now.
        WrongSecretError: it does not open the site key.
        NewerKeyringError, KeyMissingError, DamagedKeyError: so also without a passphrase.
    """

    def passphrase() -> str:
        try:
            found = read_passphrase(settings)
        except ConfigError as error:
            raise KeysLockedError(f"keys locked: {error}") from error
        if found is None:
            told = "there is no passphrase: no file, credential or file in the data folder"
            raise KeysLockedError(f"keys locked: {told}")
        return found

    folder = Folder(settings.data_directory)
    try:
        return Keyring.open(folder.keyring, LazyKeyFile(passphrase), disk=disk)
    except WrongSecretError as error:
        raise WrongSecretError(f"keys locked: {error}") from error


async def ask_providers(
    held: Held, settings: Settings, *, without: Collection[str] = (), reached: Reached | None = None
) -> None:
    """See that each provider in use answers, but for those named in `without`.

    Raises:
        ProviderAwayError: names those that do not.
    """
    with ExitStack() as opened:
        between = reached or _directly
        providers = _providers(settings, held.folder, held.mark, Disk(), Meter(), between, opened)
        await ask(each for name, each in providers.items() if name not in without)


@asynccontextmanager
async def open_node(
    settings: Settings,
    *,
    disk: Disk | None = None,
    in_process: bool = False,
    verb: str = "open",
    reached: Reached | None = None,
) -> AsyncIterator[Node]:
    """A node with everything but doors and rounds, its catalog agreeing with its disk.

    Args:
        disk: what writes the data folder; the machine's own by default.
        in_process: build packs in a thread of this process.
        reached: gives what stands between the node and each provider, below the meter; nothing
            by default. A test puts faults there.

    Raises:
        as `hold` and `open_keyring`; IntegrityError: keys or ledger are damaged.
    """
    disk = disk or Disk()
    with hold(settings, verb=verb) as held:
        keyring = open_keyring(settings, disk=disk)
        async with node_in(
            held, settings, keyring, disk=disk, in_process=in_process, reached=reached
        ) as node:
            yield node


@asynccontextmanager
async def node_in(
    held: Held,
    settings: Settings,
    keyring: Keyring,
    *,
    disk: Disk,
    in_process: bool,
    reached: Reached | None = None,
) -> AsyncIterator[Node]:
    """The node of a folder that is held and whose keys are open. Arguments as for `open_node`."""
    async with AsyncExitStack() as opened:
        parts = await _open_parts(
            settings,
            held,
            keyring,
            disk,
            opened,
            in_process=in_process,
            reached=reached or _directly,
        )
        node = wired(parts)
        await node.recover()
        yield node
        await node.close()


async def _open_parts(
    settings: Settings,
    held: Held,
    keyring: Keyring,
    disk: Disk,
    opened: AsyncExitStack,
    *,
    in_process: bool,
    reached: Reached,
) -> Parts:
    """Open the stores one after the other; `opened` closes them in the opposite order."""
    folder, mark = held.folder, held.mark
    clock, meter = SystemClock(), Meter()
    providers = _providers(settings, folder, mark, disk, meter, reached, opened)
    catalog = _open_catalog(folder, keyring, clock, disk)
    opened.callback(catalog.close)
    catalog.void_leases()
    ledger = await _open_ledger(settings, folder, keyring, catalog, providers, clock, disk)
    opened.push_async_callback(ledger.close)
    disk.make_directory(folder.packs)  # where it was lost, the providers still have the packs
    sweep(folder.packs, disk)
    spool = Spool.open(
        folder.spool,
        key=keyring.spool_key,
        disk=disk,
        clock=clock,
        segment_size_bytes=settings.spool.segment_size_bytes,
        reserve_bytes=settings.spool.reserve_bytes,
        numbers_above=max(catalog.segments_in_use(), default=0),
    )
    opened.push_async_callback(spool.close)
    intake = Intake(catalog, node_id=mark.node_id, clock=clock)
    opened.push_async_callback(intake.close)
    workshop = _workshop(folder, keyring, disk, in_process=in_process)
    opened.callback(workshop.close)
    return Parts(
        settings=settings,
        folder=folder,
        node_id=mark.node_id,
        disk=disk,
        clock=clock,
        keyring=keyring,
        catalog=catalog,
        ledger=ledger,
        spool=spool,
        intake=intake,
        meter=meter,
        providers=providers,
        sites=_sites(settings),
        workshop=workshop,
    )


def _open_catalog(
    folder: Folder, keyring: Keyring, clock: SystemClock, disk: Disk
) -> SqliteCatalog:
    """The catalog; an empty one, which has to be filled again, where it was lost or damaged."""
    key = keyring.catalog_key
    try:
        return SqliteCatalog.open(folder.catalog, key=key, clock=clock, disk=disk)
    except CatalogMissingError:
        pass
    except CatalogUnreadableError as error:
        log.critical("the catalog is set aside and built anew: %s", error)
        _set_aside(folder, disk)
    return SqliteCatalog.create(folder.catalog, key=key, clock=clock, disk=disk)


async def _open_ledger(
    settings: Settings,
    folder: Folder,
    keyring: Keyring,
    catalog: SqliteCatalog,
    providers: Mapping[str, Provider],
    clock: SystemClock,
    disk: Disk,
) -> Ledger:
    """The ledger; where this node's own was lost, what the providers hold of it comes first."""
    facts: LedgerFacts = {
        "site": settings.site.name,
        "body_key": keyring.ledger_body_key,
        "disk": disk,
        "clock": clock,
    }
    if not any((folder.ledger / settings.site.name).glob(f"*{SUFFIX}")):
        key = VerifierKey.of_seed(settings.site.name, keyring.ledger_signing_seed)
        await _restore_ledger(folder, providers, key, facts)
    return Ledger.open(folder.ledger, size_min=catalog.applied_index(), **facts)


async def _restore_ledger(
    folder: Folder, providers: Mapping[str, Provider], key: VerifierKey, facts: LedgerFacts
) -> None:
    """Bring back what the providers hold, the one that is ahead having the last word.

    Raises:
        TransientError: one of them cannot be asked, and it may be ahead.
    """
    making, size = folder.ledger / RESTORING, 0
    for provider in providers.values():
        if await provider.stat(checkpoint_name(facts["site"]), call=CALL) is not None:
            size = (await restore(provider, making, key=key, **facts)).size
    if size:
        # A crash before it leaves a beginning that nobody takes for the ledger; the next start
        # goes on with it.
        facts["disk"].replace(making / facts["site"], folder.ledger / facts["site"])
        log.warning("the ledger's %d entries came back from the providers", size)


def _workshop(
    folder: Folder, keyring: Keyring, disk: Disk, *, in_process: bool
) -> ThreadWorkshop | ProcessWorkshop:
    if not in_process:
        return ProcessWorkshop(
            spool_directory=folder.spool,
            spool_key=keyring.spool_key,
            packs_directory=folder.packs,
        )
    builder = Builder(
        spool_directory=folder.spool,
        spool_key=keyring.spool_key,
        packs_directory=folder.packs,
        disk=disk,
    )
    return ThreadWorkshop(builder)


def _set_aside(folder: Folder, disk: Disk) -> None:
    """Give the damaged catalog's files other names; nothing of them is lost."""
    number = 1
    while (aside := folder.root / f"catalog.db.damaged-{number}").exists():
        number += 1
    for suffix in ("-wal", "-shm", ""):
        damaged = Path(f"{folder.catalog}{suffix}")
        if damaged.exists():
            disk.replace(damaged, Path(f"{aside}{suffix}"))


def _providers(
    settings: Settings,
    folder: Folder,
    mark: Mark,
    disk: Disk,
    meter: Meter,
    reached: Reached,
    opened: ExitStack | AsyncExitStack,
) -> dict[str, Provider]:
    """The providers in use, each metered. One that this data folder has not met yet is made; one
    that it has met and that is gone now is waited for, never made again in its place."""
    providers: dict[str, Provider] = {}
    met = set(mark.providers)
    for name, each in settings.providers_in_use.items():
        try:
            adapter = DirectoryProvider.open(
                Path(each.path),
                name=name,
                domain=_domain(each),
                disk=disk,
                create=name not in mark.providers,
            )
            met.add(name)  # not one that could not be made: the next start makes it
        except UnreachableError as error:
            log.error("provider %s is not there: %s", name, error)
            adapter = DirectoryProvider(
                Path(each.path), name=name, domain=_domain(each), disk=disk, threads=THREADS
            )
        opened.callback(adapter.close)
        providers[name] = Metered(reached(adapter), meter)
    if met != set(mark.providers):
        known = tuple(sorted(met))
        write_mark(folder, msgspec.structs.replace(mark, providers=known), disk=disk)
    return providers


def _directly(provider: Provider) -> Provider:
    return provider


def _domain(each: ProviderSettings) -> FailureDomain:
    return FailureDomain(
        disk=each.disk,
        building=each.building,
        account=each.account,
        company=each.company,
        region=each.region,
        country=each.country,
    )


def _sites(settings: Settings) -> dict[str, placement.Site]:
    """Which disk each provider is on: as configured, else the device that holds its folder."""
    own = settings.data_directory.stat().st_dev
    sites = {}
    for name, each in settings.providers_in_use.items():
        device = _device_of(Path(each.path))
        sites[name] = placement.Site(disk=each.disk or f"device {device}", own_disk=device == own)
    return sites


def _device_of(path: Path) -> int:
    while not path.exists():
        path = path.parent
    return path.stat().st_dev
