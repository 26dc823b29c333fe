"""Forwarded: what a stretch of the ledger tells of forwarding.

A catalog that is made anew learns from it which packs went where, and which no rule was asked
about: those that were sealed since a rule came into force and that it has not forwarded. Rules are
asked about these once more; one that they did not take then they do not take now, unless the
settings say otherwise by now.
"""

from collections.abc import Iterator, Sequence

from fileroom.audit import forwarding
from fileroom.audit.forwarding import ForwardPaused, ForwardRules, forwarded_pack
from fileroom.catalog.forwards import FORWARDED_KEPT_NS, ForwardedPack
from fileroom.catalog.port import Catalog
from fileroom.catalog.rows import PackRow

PACKS_A_PAGE = 1000


class Forwarded:
    """Fed with the ledger's events in order; then gives the catalog what came of them.

    Invariant: of what is done it holds a number for each pack and, for 90 days, the counts of each
    study at each destination.
    """

    def __init__(self) -> None:
        self._rules: dict[str, str] | None = None
        self._since: dict[str, tuple[int, int]] = {}  # rule to the entry it began with, its time
        self._paused: dict[str, bool] = {}
        self._sealed: dict[bytes, int] = {}  # pack to the entry that tells of it
        self._done: dict[str, set[bytes]] = {}  # by rule
        self._last: dict[tuple[str, str, bytes], ForwardedPack] = {}  # the oldest first
        self._refused: dict[tuple[str, str, bytes], ForwardedPack] = {}  # of longer ago

    def sealed(self, sha256: bytes, index: int) -> None:
        """Take that a pack was sealed."""
        self._sealed[sha256] = index

    def rules(self, told: ForwardRules, index: int, time_ns: int) -> None:
        """Take which rules are in force from here on."""
        self._rules = dict(told.rules)
        self._since = {each: self._since.get(each, (index, time_ns)) for each in told.rules}
        self._done = {each: self._done.get(each, set()) for each in told.rules}

    def paused(self, told: ForwardPaused) -> None:
        """Take that a destination is paused, or goes on."""
        self._paused[told.destination] = told.paused

    def forwarded(self, told: forwarding.Forwarded) -> None:
        """Take that a pack went to a destination."""
        pack = forwarded_pack(told)
        self._done.setdefault(told.rule, set()).add(pack.pack_sha256)
        key = (told.destination, told.rule, pack.pack_sha256)
        self._refused.pop(key, None)
        self._last.pop(key, None)
        self._last[key] = pack
        kept_from_ns = told.forwarded_at_ns - FORWARDED_KEPT_NS
        while (oldest := next(iter(self._last.values()))).forwarded_at_ns < kept_from_ns:
            key = next(iter(self._last))
            del self._last[key]
            if oldest.refused:
                self._refused[key] = oldest

    def record(self, catalog: Catalog) -> None:
        """Let the catalog know. Twice does no harm."""
        if self._rules is not None:
            catalog.set_forward_rules(self._rules)
        for destination, paused in self._paused.items():
            catalog.set_destination_paused(destination, paused)
        for each in (*self._refused.values(), *self._last.values()):
            catalog.record_forwarded(each)

    def owe(self, catalog: Catalog) -> None:
        """Let the rules be asked about every pack of the catalog that they may have to forward
        yet, by the whole ledger. Of a pack that it does not tell of, the time at which its oldest
        instance came has to do."""
        after = 0
        while page := catalog.packs(after=after, limit=PACKS_A_PAGE):
            after = page[-1].number
            owed = {rule: set(self._owed(rule, page)) for rule in self._since}
            if any(owed.values()):
                catalog.owe_route(owed)

    def _owed(self, rule: str, packs: Sequence[PackRow]) -> Iterator[bytes]:
        (since, since_ns), done = self._since[rule], self._done[rule]
        for each in packs:
            sealed = self._sealed.get(each.sha256)
            is_later = each.received_oldest_ns >= since_ns if sealed is None else sealed > since
            if is_later and each.sha256 not in done:
                yield each.sha256
