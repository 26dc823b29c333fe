"""What is forwarded to other archives, as the rest of the program sees it.

A pack is what is forwarded: its instances by one rule to one destination are one row while they
wait, and nothing but a few counts once they are decided. Times are Unix nanoseconds. Pure.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Protocol

import msgspec

FORWARDED_KEPT_NS = 90 * 86_400 * 1_000_000_000  # a study's counts, after the last change


class PackToRoute(msgspec.Struct, frozen=True, kw_only=True):
    """A pack that no rule was asked about yet.

    Attributes:
        rules: those that are to be asked; None: all that are in force.
        ordinals: instances that are served from it.
        modality, description, study_description: of its series and study; "" where they say none.
    """

    pack: int
    rules: frozenset[str] | None
    ordinals: tuple[int, ...]
    modality: str
    description: str
    study_description: str


class NewForward(msgspec.Struct, frozen=True, kw_only=True):
    """Instances of a pack that a rule sends to a destination."""

    destination: str
    rule: str
    ordinals: tuple[int, ...]


class ForwardRow(msgspec.Struct, frozen=True, kw_only=True):
    """Instances of a pack that wait for a destination.

    Attributes:
        left: those that the destination has not decided on.
        stored, warned, withdrawn: of those that it has decided on since the row was made; stored
            ones include those with a warning, withdrawn ones are served no more and were not sent.
        tries: that came to nothing, and what was wrong with the last one.
        turn: what was tried later has a higher one.
        since_ns: when it began to wait.
    """

    destination: str
    rule: str
    pack: int
    pack_sha256: bytes
    study_key_id: bytes
    study_instance_uid: str
    left: tuple[int, ...]
    stored: int
    warned: int
    withdrawn: int
    tries: int
    turn: int
    last_error: str
    since_ns: int


class Progress(msgspec.Struct, kw_only=True):
    """What came of a row in one go.

    Attributes:
        left: instances that are still to be decided.
        refused: for good, with the reason.
    """

    left: list[int]
    stored: int = 0
    warned: int = 0
    withdrawn: int = 0
    refused: dict[int, str] = {}


class ForwardCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Of a study at a destination, in instances. What is stored, withdrawn, refused and waits is
    together what the rules took.

    Attributes:
        stored: those with a warning too.
        waiting: in packs of which not all is decided.
    """

    stored: int = 0
    warned: int = 0
    withdrawn: int = 0
    refused: int = 0
    waiting: int = 0

    @property
    def taken(self) -> int:
        """How many the rules took."""
        return self.stored + self.withdrawn + self.refused + self.waiting


class ForwardedPack(msgspec.Struct, frozen=True, kw_only=True):
    """All instances of a pack that a rule sends to a destination are decided.

    Attributes:
        refused: those that the destination refuses for good, by the reason.
        study: counts of the whole study there, from now on.
    """

    destination: str
    rule: str
    pack_sha256: bytes
    study_instance_uid: str
    refused: Mapping[str, tuple[int, ...]]
    study: ForwardCounts
    forwarded_at_ns: int


class DestinationTotals(msgspec.Struct, frozen=True, kw_only=True):
    """What a destination has before it.

    Attributes:
        waiting: instances that wait, by rule.
        oldest_ns: since when the oldest of them does.
        refused: instances that it refused for good.
        last_error: of what was tried in vain last.
    """

    waiting: Mapping[str, int]
    oldest_ns: int | None
    refused: int
    last_error: str


class RefusedForward(msgspec.Struct, frozen=True, kw_only=True):
    """Instances of a pack that a destination refused for good, for one reason."""

    destination: str
    rule: str
    pack: int
    reason: str
    ordinals: tuple[int, ...]


class StudyForward(msgspec.Struct, frozen=True, kw_only=True):
    """How far a study is at a destination.

    Attributes:
        since_ns: when the oldest that waits began to; 0: nothing waits.
        reasons: why instances were refused, and how many by each.
        last_error: of what waits, if it was tried.
        changed_at_ns: when the last of its instances was decided; 0: none was.
    """

    destination: str
    study_instance_uid: str
    counts: ForwardCounts
    since_ns: int
    reasons: Mapping[str, int]
    last_error: str
    changed_at_ns: int


class CatalogForwards(Protocol):
    """What the catalog keeps of forwarding; `port.Catalog` is all of it."""

    def packs_to_route(self, *, after: int = 0, limit: int) -> list[PackToRoute]:
        """Packs behind a number that no rule was asked about, in order of the number."""
        ...

    def route(self, pack: int, forwards: Sequence[NewForward]) -> None:
        """Let instances of a pack wait for their destinations, and the pack for no rule."""
        ...

    def owe_route(self, owed: Mapping[str, Collection[bytes]]) -> None:
        """Let rules be asked again about packs, by their SHA-256; those that are not here are
        left out."""
        ...

    def forward_next(self, destination: str, rules: Collection[str]) -> ForwardRow | None:
        """What a destination gets next of what these rules send: the oldest pack that was not
        tried, else what was tried longest ago."""
        ...

    def put_off_forward(self, row: ForwardRow, progress: Progress, *, error: str) -> None:
        """Note how far a row is, and one more try that did not end it. Raises StateMovedError if
        it is not as it was."""
        ...

    def forward_counts(self, destination: str, study_instance_uid: str) -> ForwardCounts:
        """Counts of a study at a destination."""
        ...

    def forward_refused(self, row: ForwardRow) -> dict[str, tuple[int, ...]]:
        """What of a row's pack the destination refused by this rule before, by the reason. Raises
        StateMovedError if the row is not as it was."""
        ...

    def record_forwarded(self, forwarded: ForwardedPack) -> None:
        """Let a row be decided. Twice, or without a row, it does no harm."""
        ...

    def retry_refused(self, destination: str, study_instance_uid: str = "") -> int:
        """Let what a destination refused wait again, of all studies if none is named, and return
        how many instances that is."""
        ...

    def forward_totals(self) -> dict[str, DestinationTotals]:
        """What destinations have before them, by name; those with nothing are left out."""
        ...

    def study_forwards(
        self, destination: str = "", study_instance_uid: str = "", *, limit: int
    ) -> list[StudyForward]:
        """Studies that are not all forwarded, those that wait longest first; or those that are
        too, if a study is named."""
        ...

    def refused_forwards(self, study_instance_uid: str, *, limit: int) -> list[RefusedForward]:
        """What destinations refused of a study, by destination, rule and pack."""
        ...

    def forward_rules(self) -> dict[str, str]:
        """The rules that the ledger was told of last, and their destinations."""
        ...

    def set_forward_rules(self, rules: Mapping[str, str]) -> None: ...

    def paused_destinations(self) -> set[str]:
        """Destinations that get nothing until somebody resumes them."""
        ...

    def set_destination_paused(self, destination: str, paused: bool) -> None: ...


def runs(ordinals: Iterable[int]) -> str:
    """Numbers as text: "0-2 5" for 0, 1, 2 and 5."""
    found = []
    for _, group in groupby(enumerate(sorted(set(ordinals))), lambda each: each[1] - each[0]):
        members = [number for _, number in group]
        first, last = members[0], members[-1]
        found.append(str(first) if first == last else f"{first}-{last}")
    return " ".join(found)


def numbers(text: str) -> tuple[int, ...]:
    """The reverse of `runs`."""
    return tuple(_numbers(text))


def _numbers(text: str) -> Iterator[int]:
    for part in text.split():
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)
