"""What people search for on the page, kept under names that say nothing.

A search holds a patient's name or number, and no URL may: URLs stand in histories, bookmarks and
the logs of proxies. So the form is sent by POST, the search is kept here, and the page that shows
its matches has a random name in its URL.
"""

import secrets
from collections import OrderedDict
from typing import NamedTuple

from fileroom.access.identity import Principal

KEPT_MAX = 10_000  # each has a few hundred bytes
NAME_BYTES = 16


class Asked(NamedTuple):
    """The fields of the form as they were filled in; dates as YYYY-MM-DD."""

    name: str = ""
    id: str = ""
    accession: str = ""
    modality: str = ""
    since: str = ""
    until: str = ""


class Searches:
    """The searches of one node, while it runs. The one that was looked at longest ago makes way.

    Invariant: at most `kept_max` are held; nobody finds another one's.
    """

    def __init__(self, *, kept_max: int = KEPT_MAX) -> None:
        self._kept_max = kept_max
        self._kept: OrderedDict[str, tuple[Principal, Asked]] = OrderedDict()

    def keep(self, principal: Principal, asked: Asked) -> str:
        """Keep a search and return its name."""
        name = secrets.token_urlsafe(NAME_BYTES)
        self._kept[name] = (principal, asked)
        if len(self._kept) > self._kept_max:
            self._kept.popitem(last=False)
        return name

    def find(self, principal: Principal, name: str) -> Asked | None:
        """The search of that name, or None where it is forgotten or was another one's."""
        kept = self._kept.get(name)
        if kept is None or kept[0] != principal:
            return None
        self._kept.move_to_end(name)
        return kept[1]
