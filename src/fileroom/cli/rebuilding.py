"""`fileroom rebuild`: makes the catalog again from what cannot be lost."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from fileroom.cli.exit_codes import NotFoundError
from fileroom.cli.options import SHARED, Shared
from fileroom.cli.output import tell

if TYPE_CHECKING:
    from fileroom.node.config import Settings
    from fileroom.recovery.rebuild import Report

TOLD = {
    "adopted": "packs in the new catalog",
    "unreadable": "packs that do not open",
    "spooled": "instances in the spool",
    "keys": "keys at the providers",
    "old_catalog": "the old catalog",
}


def rebuild(*, shared: Shared = SHARED) -> None:
    """Make the catalog again from packs, spool and ledger; nothing else is changed.

    No node may run on the data folder. The old catalog is kept beside the new one.
    """
    settings = shared.settings()
    if not settings.data_directory.is_dir():
        raise NotFoundError(f"there is no data folder {settings.data_directory}")
    aside = set_catalog_aside(settings)
    report = asyncio.run(_rebuild(settings))
    document = {**msgspec.to_builtins(report), "old_catalog": str(aside) if aside else None}
    lines = [
        f"{text:28}{document[name]}" for name, text in TOLD.items() if document[name] is not None
    ]
    tell(document, lines, as_json=shared.json)


def set_catalog_aside(settings: "Settings") -> Path | None:
    """Give the catalog's files other names, so that the next opening makes them again.

    Raises:
        LockedError: a node or another verb works on the folder.
    """
    from fileroom.disk import Disk
    from fileroom.node.folder import Folder
    from fileroom.node.lock import DataLock

    catalog = Folder(settings.data_directory).catalog
    lock = DataLock(settings.data_directory, verb="rebuild")
    try:
        if not catalog.exists():
            return None
        taken = catalog.parent.glob(f"{catalog.name}.before-rebuild-*")
        numbers = [int(each.name.rpartition("-")[2]) for each in taken if each.name[-1].isdigit()]
        aside = catalog.with_name(f"{catalog.name}.before-rebuild-{max(numbers, default=0) + 1}")
        # The write-ahead log goes first: without it the old catalog is older, and still whole.
        for suffix in ("-wal", "-shm", ""):
            part = Path(f"{catalog}{suffix}")
            if part.exists():
                Disk().replace(part, Path(f"{aside}{suffix}"))
        return aside
    finally:
        lock.release()


async def _rebuild(settings: "Settings") -> "Report":
    from fileroom.node.assemble import open_node

    async with open_node(settings, verb="rebuild") as node:
        return node.rebuilder.report
