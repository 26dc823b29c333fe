"""Awaited: the note in the catalog of what it has been filled from.

Until it stands there, the catalog is new and has to be filled; with names in it, the catalog serves
and is incomplete: what lies at those providers has not been taken up.
"""

from collections.abc import Collection

import msgspec

from fileroom.catalog.port import Catalog

FILLED = "filled"
COMPLETE = "1"


def awaited(catalog: Catalog) -> list[str] | None:
    """The providers that the catalog has not been filled from; None: it has not been filled."""
    noted = catalog.setting(FILLED)
    if noted is None:
        return None
    return [] if noted == COMPLETE else msgspec.json.decode(noted, type=list[str])


def note_awaited(catalog: Catalog, providers: Collection[str]) -> None:
    """Note that the catalog holds all there is, but for what lies at those providers."""
    named = msgspec.json.encode(sorted(providers)).decode()
    catalog.set_setting(FILLED, named if providers else COMPLETE)
