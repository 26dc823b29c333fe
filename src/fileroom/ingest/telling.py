"""A stage's events: they follow the state they tell of, and nothing waits for them."""

import asyncio
import logging

from fileroom.audit import event
from fileroom.errors import FileroomError
from fileroom.ledger.log import Ledger

log = logging.getLogger(__name__)


def tell(ledger: Ledger, told: event.Event) -> None:
    """Append `told` in the order of calls. A failure is logged: the state itself is durable."""
    ledger.append_nowait(event.kind(told), event.body(told)).add_done_callback(_failed)


def _failed(appended: asyncio.Future[int]) -> None:
    if appended.cancelled():
        return
    error = appended.exception()
    if isinstance(error, FileroomError):
        log.error("an event is missing in the ledger: %s", error)
