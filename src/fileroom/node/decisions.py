"""Decisions of people about what is stored: who takes them, what status says of what waits."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from fileroom.catalog.port import Catalog
from fileroom.clock import Clock
from fileroom.decisions.conflicts import ConflictDesk, Packed
from fileroom.decisions.decider import Decider
from fileroom.decisions.rejection_notes import NoteStage
from fileroom.decisions.rejections import RejectionDesk
from fileroom.ledger.log import Ledger
from fileroom.node.rejecting import Rejecters
from fileroom.node.rounds import Round
from fileroom.node.settings import Settings
from fileroom.spool.reader import SpoolReader

NOTES_EVERY_S = 1.0  # nothing wakes it


class Decisions:
    """Takes decisions and carries them out.

    Args:
        settled, complete: as for `RejectionDesk`.
        deciding: as for `Decider`.

    Attributes:
        conflicts, rejections: where a door brings what is decided about them.
        rounds: what follows rejection notes.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        catalog: Catalog,
        ledger: Ledger,
        clock: Clock,
        packed: Packed,
        spool: SpoolReader,
        settled: Callable[[], Awaitable[None]],
        complete: Callable[[], bool],
        deciding: asyncio.Lock,
    ) -> None:
        self._catalog = catalog
        self.decider = Decider(catalog=catalog, ledger=ledger, deciding=deciding)
        self.conflicts = ConflictDesk(
            catalog=catalog,
            decider=self.decider,
            clock=clock,
            packed=packed,
            complete=complete,
        )
        self.rejections = RejectionDesk(
            catalog=catalog,
            decider=self.decider,
            clock=clock,
            settled=settled,
            complete=complete,
        )
        self._rejecters = Rejecters(settings)
        self._notes = NoteStage(
            catalog=catalog,
            spool=spool,
            desk=self.rejections,
            rejecter=self._rejecters.rejecter,
        )
        self.rounds = [Round("notes", self._notes.round, NOTES_EVERY_S)]

    def reconfigured(self, settings: Settings) -> None:
        """Take over the rights of new settings."""
        self._rejecters.reconfigured(settings)

    def warnings(self) -> list[str]:
        """What somebody should look at, for the status. Reads the catalog."""
        outgrown = self._catalog.rejection_totals().outgrown
        told = "more has come since, and is hidden too: `fileroom rejected`"
        return [f"for {outgrown} rejected studies or series {told}"] if outgrown else []

    def counted(self) -> dict[str, Any]:
        """The fields of a Status that tell what waits for somebody. Reads the catalog."""
        totals = self._catalog.conflict_totals()
        return {
            "unsettled_conflicts": totals.open,
            "studies_of_two_patients": totals.doubted_studies,
            "rejections": self._catalog.rejection_totals(),
        }
