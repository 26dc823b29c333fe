"""Rejection notes that peers store: looked at behind the storing, while the spool has them.

Sources: IHE RAD TF-3 §4.66 (Rejection Note Stored).
"""

import asyncio
import logging
from collections.abc import Callable

from fileroom.audit.decided import By
from fileroom.catalog.port import Catalog
from fileroom.catalog.rejections import WaitingNote
from fileroom.decisions.rejections import RejectionDesk
from fileroom.dicom.rejection import read_note
from fileroom.errors import IntegrityError, RefusedError
from fileroom.spool.failure import SegmentGoneError
from fileroom.spool.reader import SpooledInstance, SpoolReader
from fileroom.spool.record import Origin, Place

NOTES_AT_ONCE = 100

log = logging.getLogger(__name__)


class NoteStage:
    """Follows the notes of those who may reject. A Key Object Selection of anybody else, or with
    another title, is an instance like any other, and so is a note once it has been followed.

    Args:
        rejecter: as whom the sender of an instance rejects; None: it may not.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        spool: SpoolReader,
        desk: RejectionDesk,
        rejecter: Callable[[Origin], By | None],
    ) -> None:
        self._catalog = catalog
        self._spool = spool
        self._desk = desk
        self._rejecter = rejecter

    async def round(self) -> int:
        """Look at what waits and return how many notes were followed."""
        followed = 0
        while waiting := await asyncio.to_thread(self._catalog.waiting_notes, limit=NOTES_AT_ONCE):
            for each in waiting:
                followed += await self._look(each)
                # A crash before it follows the note once more, which changes nothing; after it
                # the spool need not keep its segment for it.
                await asyncio.to_thread(self._catalog.forget_note, each.id)
        return followed

    async def _look(self, waiting: WaitingNote) -> bool:
        if waiting.followed:
            return False
        try:
            instance = await asyncio.to_thread(self._spool.open, Place(*waiting.place))
            return await self._follow(instance)
        except (RefusedError, IntegrityError, SegmentGoneError) as error:
            log.error("a rejection note at %d:%d is not followed: %s", *waiting.place, error)
            return False

    async def _follow(self, instance: SpooledInstance) -> bool:
        record = instance.record
        who = self._rejecter(record.description.origin)
        if who is None:
            return False
        note = await asyncio.to_thread(
            read_note, instance.read, record.size_bytes, record.description.transfer_syntax_uid
        )
        if note is None:
            return False
        uid = record.description.header.sop_instance_uid
        count = await self._desk.follow(note, sop_instance_uid=uid, who=who)
        log.info("a rejection note hides %d instances", count)
        return True
