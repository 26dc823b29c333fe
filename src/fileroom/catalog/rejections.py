"""Rejections: what is kept and not shown, as the rest of the program sees them.

A projection of the ledger's `instances.rejected` and `instances.restored`. Nothing that is rejected
is found by a search, located, held for a reader or counted for a match; totals, packs and the
stages know it as before. Pure.
"""

from collections.abc import Collection
from typing import NamedTuple, Protocol

import msgspec

from fileroom.catalog.rows import SpoolPlace


class Scope(NamedTuple):
    """A study, a series of it, or instances of that series.

    Attributes:
        series_instance_uid: empty: the whole study.
        sop_instance_uids: none: all there is, and whatever comes.
    """

    study_instance_uid: str
    series_instance_uid: str = ""
    sop_instance_uids: tuple[str, ...] = ()


class Rejection(msgspec.Struct, frozen=True, kw_only=True):
    """A decision that hides something.

    Attributes:
        ledger_index: of the decision; it is the rejection's name.
        code: why, as a code value of PS3.16 CID 7010.
        reason: the same in somebody's own words; may be empty.
        decided_by: the principal's name.
        note_uid: SOP Instance UID of the rejection note; empty where there was none.
        ends_note: whether the note has been followed with this.
        outgrown: told of what stands: whether more has come for the whole study or series since
            it was decided.
    """

    ledger_index: int
    scope: Scope
    code: str
    reason: str
    decided_by: str
    decided_at_ns: int
    note_uid: str = ""
    ends_note: bool = False
    outgrown: bool = False


class RejectionTotals(msgspec.Struct, frozen=True, kw_only=True):
    """How much is rejected: whole studies, whole series, instances one by one.

    Attributes:
        outgrown: for how many whole ones more has come since.
    """

    studies: int = 0
    series: int = 0
    instances: int = 0
    outgrown: int = 0


class WaitingNote(NamedTuple):
    """A Key Object Selection that may be a rejection note and was not looked at yet.

    Attributes:
        followed: whether a note of its SOP Instance UID was.
    """

    id: int
    place: SpoolPlace
    followed: bool


class CatalogRejections(Protocol):
    """What the catalog keeps of rejections; `port.Catalog` is all of it."""

    def record_rejected(self, rejection: Rejection) -> None:
        """Hide something, there or not. What was decided about the very same before, as a whole
        or instance by instance, makes way for it."""
        ...

    def record_restored(self, scope: Scope, *, everything: bool) -> None:
        """Undo what was decided about exactly that; with `everything` also what was decided about
        what lies in it. Nothing to undo is no error."""
        ...

    def rejections(
        self, *, study_instance_uid: str | None = None, before: int | None = None, limit: int
    ) -> list[Rejection]:
        """What stands, the latest decision first; of one study, or below a ledger index.
        `ends_note` is not told."""
        ...

    def rejection_totals(self) -> RejectionTotals: ...

    def kept(
        self, study_instance_uid: str, uid_digests: Collection[bytes]
    ) -> dict[str, set[bytes]]:
        """Each Series Instance UID of a study, hidden or not, with those of the UIDs under which
        something is kept in it, served or not."""
        ...

    def waiting_notes(self, *, limit: int) -> list[WaitingNote]:
        """Those that came first."""
        ...

    def forget_note(self, id: int) -> None:
        """A note was looked at. Its segment of the spool need not stay for it."""
        ...
