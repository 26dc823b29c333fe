"""Where the pages of a search ended, so that the next one goes on there.

`offset` counts matches (PS3.18 §8.3.4.4), and a study that arrives between two pages would move
them all: the newest stands first. So the places of the matches that were sent are kept for a while,
by caller and query, and a page that begins among them or right behind them begins at its match and
not at its number. What arrives meanwhile then neither repeats nor hides a match. A page that
begins elsewhere, or whose places are forgotten, is counted from the nearest known place.
"""

from collections import OrderedDict
from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple

from fileroom.catalog.query import Position

PLACES_MAX = 100_000  # of all searches together, some 20 MB


class Place(NamedTuple):
    """One match: its position in the catalog's order, and which instance of a series it is."""

    position: Position
    sop_instance_uid: str = ""


class Start(NamedTuple):
    """Where a page begins.

    Attributes:
        after: only behind this position; None: from the first match on.
        passed: instances that were sent of the series that comes first.
        skip: how many matches to leave out then.
    """

    after: Position | None
    passed: frozenset[str]
    skip: int


class Pages:
    """Remembers the searches of one node that were not read to their end.

    Invariant: at most `places_max` places are held.
    """

    def __init__(self, *, places_max: int = PLACES_MAX) -> None:
        self._places_max = places_max
        self._held: OrderedDict[bytes, list[Place]] = OrderedDict()
        self._count = 0

    def start(self, search: bytes, offset: int) -> Start:
        """Where the page at `offset` of a search begins. The first page makes it a new one."""
        if offset == 0:
            self._forget(search)
        held = self._held.get(search)
        if not held:
            return Start(None, frozenset(), offset)
        self._held.move_to_end(search)
        known = min(offset, len(held))
        position = held[known - 1].position
        passed = set()
        for place in reversed(held[:known]):
            if place.position != position or not place.sop_instance_uid:
                break
            passed.add(place.sop_instance_uid)
        if passed:
            position = position._replace(series=position.series - 1)  # its series comes once more
        return Start(position, frozenset(passed), offset - known)

    def keep(self, search: bytes, offset: int, sent: Iterable[Place]) -> None:
        """Remember what the page at `offset` had, unless what is before it is not known."""
        held = self._held.setdefault(search, [])
        if offset <= len(held):
            before = len(held)
            held[offset:] = sent
            self._count += len(held) - before
        self._held.move_to_end(search)
        if not held:
            del self._held[search]
        while self._count > self._places_max:
            self._forget(next(iter(self._held)))

    def _forget(self, search: bytes) -> None:
        self._count -= len(self._held.pop(search, ()))


def name_of(caller: str, path: str, query: Iterable[tuple[str, str]]) -> bytes:
    """What tells one caller's search from all others; nothing can be read from it."""
    digest = sha256()
    asked = sorted(each for each in query if each[0] not in ("limit", "offset"))
    for text in (caller, path, *(text for each in asked for text in each)):
        data = text.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(data) + data)
    return digest.digest()
