"""Studies that have lately come, as the rest of the program sees them. Times are Unix nanoseconds.

What is kept here says how a study came and how much of it there should be; it is lost with the
catalog, and nothing else is. Pure.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec


class ArrivalState(StrEnum):
    """How far a study has come, by what is known."""

    ARRIVING = "arriving"
    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    QUIET = "quiet"


class SeriesTold(msgspec.Struct, frozen=True, array_like=True):
    """What a sender says of one of its series; None: it does not count it."""

    modality: str
    instances: int | None


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a sender answered when it was asked for a study.

    Attributes:
        instances: of the study; None: it did not say. 0, and no series: it does not have it.
    """

    asked_at_ns: int
    instances: int | None = None
    series: Mapping[str, SeriesTold] = {}


Hints = dict[str, dict[str, int]]  # Series Instance UID, Acquisition Number: images in it


class NewArrival(msgspec.Struct, frozen=True, kw_only=True):
    """Instances of one study that have come since the last time.

    Attributes:
        ae_title: who sent the last of them; empty where it came over the web.
    """

    study_instance_uid: str
    ae_title: str
    first_at_ns: int
    last_at_ns: int
    hints: Hints = {}


class ArrivalRow(msgspec.Struct, frozen=True, kw_only=True):
    """A study that has lately come.

    Attributes:
        hints: what its instances say of how many there are.
        asks: how often the sender was asked since something came; asked_at_ns: when last, 0:
            never.
    """

    study_instance_uid: str
    state: ArrivalState
    ae_title: str
    first_at_ns: int
    last_at_ns: int
    hints: Hints
    told: Told | None
    asked_at_ns: int
    asks: int


class ArrivalTotals(msgspec.Struct, frozen=True, kw_only=True):
    """How many studies are in each state, and when the oldest of those that arrive began."""

    states: dict[ArrivalState, int]
    oldest_arriving_ns: int | None


class CatalogArrivals(Protocol):
    """What the catalog keeps of how studies came; `port.Catalog` is all of it."""

    def record_arrivals(self, arrivals: Sequence[NewArrival]) -> None:
        """Let these studies be ARRIVING, from now on or again."""
        ...

    def find_arrivals(self) -> None:
        """Let those studies be ARRIVING that have instances in the spool and are not known."""
        ...

    def arrival(self, study_instance_uid: str) -> ArrivalRow | None: ...

    def arrivals(self, state: ArrivalState, *, limit: int) -> list[ArrivalRow]:
        """Those in a state, the longest silent first."""
        ...

    def arrivals_to_ask(self, *, now_ns: int, limit: int) -> list[ArrivalRow]:
        """Those whose time to be asked about has come, the most overdue first."""
        ...

    def judge_arrival(
        self,
        study_instance_uid: str,
        state: ArrivalState,
        *,
        last_at_ns: int,
        ask_at_ns: int | None,
    ) -> None:
        """Note what was judged, unless something came behind `last_at_ns` meanwhile.

        Args:
            ask_at_ns: when the sender is to be asked; None: not any more.
        """
        ...

    def reconsider_asking(self) -> None:
        """Let it be the time to ask about all that are not to be asked about and not COMPLETE:
        who may be asked has changed."""
        ...

    def note_asked(
        self, study_instance_uid: str, told: Told | None, *, asked_at_ns: int, asks: int
    ) -> None:
        """Note that the sender was asked; None: it did not answer, and what it said before
        stands."""
        ...

    def forget_arrivals(self, *, before_ns: int, incomplete_before_ns: int) -> None:
        """Forget studies that nothing came of since, and which are not ARRIVING."""
        ...

    def held_of_study(self, study_instance_uid: str) -> dict[str, int]:
        """How many instances are here of each series of a study, whether they are known above
        or not; empty: there is no such study."""
        ...

    def arrival_totals(self) -> ArrivalTotals: ...
