"""`fileroom rebuild`: makes the catalog again from what cannot be lost."""

import asyncio
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter

from fileroom.cli.exit_codes import ExitCode, NotFoundError
from fileroom.cli.options import SHARED, Shared
from fileroom.cli.output import complain, tell
from fileroom.errors import RefusedError

if TYPE_CHECKING:
    from fileroom.node.config import Settings
    from fileroom.recovery.report import Report

TOLD = {
    "adopted": "packs in the new catalog",
    "unreadable": "packs that do not open",
    "absent": "packs that are nowhere",
    "spooled": "instances in the spool",
    "keys": "keys at the providers",
    "old_catalog": "the old catalog",
}


def rebuild(
    *,
    without: Annotated[
        list[str] | None,
        Parameter(help="Go on although this provider is away. Again for each.", negative=""),
    ] = None,
    shared: Shared = SHARED,
) -> ExitCode:
    """Make the catalog again from packs, spool and ledger; nothing else is changed.

    No node may run on the data folder. The old catalog is kept beside the new one; it stays in
    its place unless the keys are there and every provider answers. What lies at a provider that
    was away is taken up by a running node, once it is back.
    """
    settings = shared.settings()
    if not settings.data_directory.is_dir():
        raise NotFoundError(f"there is no data folder {settings.data_directory}")
    go_on = frozenset(without or ())
    if unknown := go_on - settings.providers_in_use.keys():
        named = ", ".join(settings.providers_in_use)
        raise RefusedError(f"no provider is named {', '.join(sorted(unknown))}; there is: {named}")
    _look_first(settings, without=go_on)
    aside = set_catalog_aside(settings)
    report = asyncio.run(_rebuild(settings))
    document = {**msgspec.to_builtins(report), "old_catalog": str(aside) if aside else None}
    lines = [
        f"{text:28}{document[name]}" for name, text in TOLD.items() if document[name] is not None
    ]
    tell(document, lines, as_json=shared.json)
    for name in report.awaited:
        complain(f"the catalog is incomplete: provider {name} was away")
    missed = report.unreadable or report.absent or set(report.awaited) - go_on
    return ExitCode.PARTIAL if missed else ExitCode.OK


def _look_first(settings: "Settings", *, without: Collection[str]) -> None:
    """See that there is what a catalog is made from, before the old one is touched."""
    from fileroom.disk import Disk
    from fileroom.node.assemble import ask_providers, hold, open_keyring
    from fileroom.recovery.rebuild import ProviderAwayError

    with hold(settings, verb="rebuild") as held:
        open_keyring(settings, disk=Disk())
        try:
            asyncio.run(ask_providers(held, settings, without=without))
        except ProviderAwayError as error:
            told = "nothing was changed; --without NAME goes on without what lies there"
            raise ProviderAwayError(f"{error}; {told}") from error


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
