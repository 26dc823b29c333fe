"""Promise: a peer's request for storage commitment is taken, and waits for its instances.

The truth of a request is the ledger's (PS3.4 Annex J asks for a promise, so it must outlive the
catalog): `commitment.requested` decides on it and `commitment.reported` ends it. In between the
catalog holds how far it is.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from itertools import count

from fileroom.audit import event
from fileroom.catalog.commitments import CommitmentRow, NewCommitment
from fileroom.catalog.lifecycle import CommitmentState
from fileroom.catalog.port import Catalog
from fileroom.catalog.references import folded
from fileroom.clock import Clock
from fileroom.dicom.commitment import Request
from fileroom.dicom.uid import digest
from fileroom.errors import RefusedError
from fileroom.ingest.verdicts import Judge
from fileroom.ledger.log import Ledger

# So that a part fits into an entry's body whatever the UIDs: 140 B each at the most.
REFERENCES_A_PART = 1500
COMMITMENTS_AT_ONCE = 1000

log = logging.getLogger(__name__)


class TransactionInUseError(RefusedError):
    """The peer has asked for other instances under this Transaction UID."""


class PromiseStage:
    """Takes requests, and finds out which of them are decided.

    Args:
        deciding: held while a decision is written and carried out.
        wake: lets the stages look for work now.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        ledger: Ledger,
        clock: Clock,
        judge: Judge,
        deciding: asyncio.Lock,
        wake: Callable[[], None],
    ) -> None:
        self._catalog = catalog
        self._ledger = ledger
        self._clock = clock
        self._judge = judge
        self._deciding = deciding
        self._wake = wake

    async def ask(self, request: Request, *, ae_title: str, address: str) -> None:
        """Take a request; when this returns it is ours, and the peer may be told so.

        The same again is the same request: nothing more is done while it is open, and one that
        was reported is judged and reported once more.

        Raises:
            TransactionInUseError: the Transaction UID stands for other instances.
            LedgerWriteError: it is not durable.
        """
        asked = NewCommitment(
            ae_title=ae_title,
            transaction_uid=request.transaction_uid,
            references=request.references,
            requested_at_ns=self._clock.wall_ns(),
        )
        referenced_sha256 = await asyncio.to_thread(lambda: asked.referenced_sha256)
        async with self._deciding:
            known = await asyncio.to_thread(
                self._catalog.commitment, ae_title, request.transaction_uid
            )
            if known is not None and known.referenced_sha256 != referenced_sha256:
                raise TransactionInUseError("the Transaction UID stands for other instances")
            if known is None or known.state is CommitmentState.REPORTED:
                await self._decide(asked, known, address, referenced_sha256.hex())
        self._wake()

    async def _decide(
        self, asked: NewCommitment, known: CommitmentRow | None, address: str, sha256: str
    ) -> None:
        after_ns = 0 if known is None else known.requested_at_ns + 1  # whatever the clock says
        asked = NewCommitment(
            ae_title=asked.ae_title,
            transaction_uid=asked.transaction_uid,
            references=asked.references,
            requested_at_ns=max(asked.requested_at_ns, after_ns),
        )
        for part in _parts(asked, address, sha256):
            # Commit point: the last one. A crash before it leaves parts that nothing comes of, and
            # a peer that was told nothing; after it the request is ours, and a start that finds it
            # behind the applied index gives it to the catalog again.
            await self._ledger.append(event.kind(part), event.body(part))
        await asyncio.to_thread(self._catalog.record_commitment, asked)

    async def round(self) -> int:
        """See which commitments are decided and return how many became so."""
        decided, after = 0, 0
        while rows := await asyncio.to_thread(
            self._catalog.commitments_waiting, after=after, limit=COMMITMENTS_AT_ONCE
        ):
            after = rows[-1].number
            for row, waits in zip(rows, await self._judge.waits(rows), strict=True):
                if not waits:
                    decided += await self._go_on(row)
        return decided

    async def _go_on(self, row: CommitmentRow) -> int:
        """Go through the references from the cursor on; 1 if none has to wait."""
        references = await asyncio.to_thread(self._catalog.references, row.number)
        cursor = await self._judge.first_waiting(row, references)
        if cursor == len(references):
            await asyncio.to_thread(
                self._catalog.move_commitment,
                row.number,
                CommitmentState.WAITING,
                CommitmentState.JUDGED,
            )
            log.info("commitment %d: all of %d instances are decided", row.number, cursor)
            return 1
        awaits = digest(references[cursor].sop_instance_uid)
        await asyncio.to_thread(
            self._catalog.move_commitment,
            row.number,
            CommitmentState.WAITING,
            CommitmentState.WAITING,
            cursor=cursor,
            awaits=awaits,
        )
        return 0


def _parts(asked: NewCommitment, address: str, sha256: str) -> Iterator[event.CommitmentRequested]:
    references = asked.references
    parts = -(-len(references) // REFERENCES_A_PART)
    for part, start in zip(range(parts), count(0, REFERENCES_A_PART), strict=False):
        yield event.CommitmentRequested(
            ae_title=asked.ae_title,
            address=address,
            transaction_uid=asked.transaction_uid,
            requested_at_ns=asked.requested_at_ns,
            part=part,
            parts=parts,
            referenced_sha256=sha256,
            references=folded(references[start : start + REFERENCES_A_PART]),
        )
