"""Refusals: callers and instances that were turned away, summed up for the ledger.

`note` is a look into a dict and waits for nothing; `flush` writes what has come together, once a
minute at most and a bounded number of events. So whoever is refused all day fills neither the
ledger nor a queue, and slows no door down.
"""

import asyncio
from typing import NamedTuple

from fileroom.audit import event
from fileroom.audit.coverage import Who
from fileroom.clock import Clock
from fileroom.ledger.log import Ledger

WINDOW_S = 60.0
TOLD_APART_MAX = 32
TEXT_LENGTH_MAX = 64
OTHERS = "more callers, actions and reasons than are told apart"


class Refusal(NamedTuple):
    """Who was refused what, and why.

    Attributes:
        action: as `access.grant.Action`, or what comes before one: "associate", "reach".
        channel: "dimse", "stow", "http" ...
        reason: one of few sentences, none with anything of a patient.
    """

    principal: Who
    action: str
    channel: str
    reason: str


class _Nobody(NamedTuple):
    kind: str = ""
    name: str = ""
    address: str = ""
    ae_title: str | None = None


_FURTHER = Refusal(_Nobody(), "", "", OTHERS)


class _Sum:
    """How often something was refused, and when first and last."""

    __slots__ = ("count", "first_at_ns", "last_at_ns")

    def __init__(self, count: int, first_at_ns: int, last_at_ns: int) -> None:
        self.count = count
        self.first_at_ns = first_at_ns
        self.last_at_ns = last_at_ns


class Refusals:
    """What was refused since the last flush. Use from one event loop.

    Invariant: within any `WINDOW_S` at most `TOLD_APART_MAX` refusals and one that stands for all
    further ones are written, whoever knocks.
    """

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._sums: dict[Refusal, _Sum] = {}
        self._flushed_s = float("-inf")

    def note(self, refusal: Refusal) -> None:
        """Count one."""
        now_ns = self._clock.wall_ns()
        self._add(refusal, _Sum(1, now_ns, now_ns))

    async def flush(self, *, ended: bool = False) -> None:
        """Write what there is, if nothing was written for `WINDOW_S`.

        Args:
            ended: write it now, since no more will come.

        Raises:
            LedgerWriteError: some of it is not durable; a later flush tries that again.
        """
        now_s = self._clock.monotonic_s()
        if not self._sums or (not ended and now_s - self._flushed_s < WINDOW_S):
            return
        self._flushed_s = now_s
        sums, self._sums = self._sums, {}
        told = [event.body(_event(refusal, summed)) for refusal, summed in sums.items()]
        results = await asyncio.gather(
            *(self._ledger.append(event.REFUSED, each) for each in told), return_exceptions=True
        )
        failures: list[BaseException] = []
        for (refusal, summed), result in zip(sums.items(), results, strict=True):
            if isinstance(result, BaseException):
                self._add(refusal, summed)
                failures.append(result)
        if failures:
            raise failures[0]

    def _add(self, refusal: Refusal, summed: _Sum) -> None:
        if refusal not in self._sums and len(self._sums) >= TOLD_APART_MAX:
            refusal = _FURTHER
        known = self._sums.setdefault(refusal, summed)
        if known is not summed:
            known.count += summed.count
            known.first_at_ns = min(known.first_at_ns, summed.first_at_ns)
            known.last_at_ns = max(known.last_at_ns, summed.last_at_ns)


def _event(refusal: Refusal, summed: _Sum) -> event.Refused:
    principal = refusal.principal
    return event.Refused(
        principal_kind=principal.kind,
        principal=_bounded(principal.name),
        address=_bounded(principal.address),
        ae_title=None if principal.ae_title is None else _bounded(principal.ae_title),
        action=refusal.action,
        channel=refusal.channel,
        reason=_bounded(refusal.reason, length_max=2 * TEXT_LENGTH_MAX),
        count=summed.count,
        first_at_ns=summed.first_at_ns,
        last_at_ns=summed.last_at_ns,
    )


def _bounded(text: str, *, length_max: int = TEXT_LENGTH_MAX) -> str:
    """`text` as JSON can hold it; a caller chooses its AE title."""
    return text[:length_max].encode("utf-8", "replace").decode()
