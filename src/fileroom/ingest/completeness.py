"""Completeness: whether all of each study has come is judged, and senders are asked how many.

docs/decisions/0026. Nothing waits for it, and nothing is done because of it but to say so. Each
peer that is asked has a task of its own, so that one that is slow holds up nothing.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress

import msgspec

from fileroom.catalog.arrivals import ArrivalRow, ArrivalState, Told
from fileroom.catalog.port import Catalog
from fileroom.clock import Clock
from fileroom.errors import FileroomError
from fileroom.ingest.arrivals import Arrivals
from fileroom.policy import completeness
from fileroom.policy.completeness import Facts, Judgement

JUDGED_MAX = 500  # studies in one round; the longest silent first
DUE_MAX = 500
PUT_OFF_NS = 60 * 1_000_000_000
STUDIES_AN_ASSOCIATION = 20
PEERS_AT_ONCE = 8
ASK_S_MAX = 60.0
KEPT_NS = 7 * 86_400 * 1_000_000_000
FORGET_EVERY_NS = 3600 * 1_000_000_000
INCOMPLETE_KEPT_NS = 90 * 86_400 * 1_000_000_000

# Asks a peer, by its AE title, for studies by their UIDs; gives what it says of each, in order.
Ask = Callable[[str, Sequence[str]], AsyncIterator[Told]]

log = logging.getLogger(__name__)


class StudyView(msgspec.Struct, frozen=True, kw_only=True):
    """How much of one study has come.

    Attributes:
        expected: None: nobody says.
        source: who says: "sender", "instances" (at least so many) or "".
        held: instances here, also of series that nobody expected.
        series: of each series, instances here and, where its sender counted it, there.
        ae_title: who sent last; empty: over the web, or not known any more.
        first_at_s, last_at_s, asked_at_s: seconds since 1970-01-01 UTC; None: not known, never.
    """

    study: str
    state: str
    reason: str
    have: int
    expected: int | None
    source: str
    held: int
    series: dict[str, tuple[int, int | None]]
    ae_title: str = ""
    first_at_s: float | None = None
    last_at_s: float | None = None
    asked_at_s: float | None = None


class CompletenessStage:
    """Judges studies that come, and asks who sends them.

    Args:
        arrivals: what lands; taken up here.
        quiet_s: silence after which a study is no longer arriving.
        ask: asks a peer. Raises FileroomError where it does not answer.
        askable: whether a peer, by its AE title, may be asked.

    Attributes:
        quiet_s: may be set while it runs.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        clock: Clock,
        arrivals: Arrivals,
        quiet_s: float,
        ask: Ask,
        askable: Callable[[str], bool],
    ) -> None:
        self._catalog = catalog
        self._clock = clock
        self._arrivals = arrivals
        self.quiet_s = quiet_s
        self._ask = ask
        self._askable = askable
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._looked = False
        self._forget_at_ns = 0
        self._reconsider = False

    def reconsider(self) -> None:
        """Who may be asked has changed."""
        self._reconsider = True

    async def round(self) -> int:
        """Take up what has come, judge what is arriving, and begin to ask whose time has come."""
        for ae_title in [each for each, task in self._busy.items() if task.done()]:
            self._busy.pop(ae_title).result()
        await self._take_up()
        if self._reconsider:
            self._reconsider = False
            await asyncio.to_thread(self._catalog.reconsider_asking)
        await asyncio.to_thread(self._judge_all)
        due = await asyncio.to_thread(self._due, frozenset(self._busy))
        for ae_title, rows in due.items():
            self._busy[ae_title] = asyncio.create_task(
                self._peer(ae_title, rows), name=f"ask {ae_title}"
            )
        return 0

    async def stop(self) -> None:
        """End what is under way, and keep what has come."""
        for task in self._busy.values():
            task.cancel()
        for task in self._busy.values():
            with suppress(asyncio.CancelledError):
                await task
        self._busy.clear()
        with suppress(FileroomError):  # then it is found in the spool
            await self._take_up()

    def of(self, study_instance_uid: str) -> StudyView | None:
        """How much of a study has come, judged now; None: there is no such study. Reads the
        catalog: not on the event loop."""
        held = self._catalog.held_of_study(study_instance_uid)
        row = self._catalog.arrival(study_instance_uid)
        if not held:
            return None
        judged = self._judged(row, held) if row is not None else _unwatched(held)
        told = {} if row is None or row.told is None else row.told.series
        series = {
            uid: (held.get(uid, 0), told[uid].instances if uid in told else None)
            for uid in {**held, **told}
        }
        return StudyView(
            study=study_instance_uid,
            state=judged.state,
            reason=judged.reason,
            have=judged.have,
            expected=judged.expected,
            source=judged.source,
            held=sum(held.values()),
            series=series,
            ae_title="" if row is None else row.ae_title,
            first_at_s=None if row is None else row.first_at_ns / 1e9,
            last_at_s=None if row is None else row.last_at_ns / 1e9,
            asked_at_s=row.asked_at_ns / 1e9 if row is not None and row.asked_at_ns else None,
        )

    async def _take_up(self) -> None:
        if not self._looked:
            # What came before a crash and was not taken up: who sent it is not known any more.
            await asyncio.to_thread(self._catalog.find_arrivals)
            self._looked = True
        taken = self._arrivals.taken()
        if not taken:
            return
        try:
            await asyncio.to_thread(self._catalog.record_arrivals, taken)
        except FileroomError:
            self._arrivals.put_back(taken)
            raise

    def _judge_all(self) -> None:
        now_ns = self._clock.wall_ns()
        for row in self._catalog.arrivals(ArrivalState.ARRIVING, limit=JUDGED_MAX):
            told_last = row.told is not None and row.told.asked_at_ns > row.last_at_ns
            silent_ns = now_ns - row.last_at_ns
            if told_last or not 0 <= silent_ns < self.quiet_s * 1e9:  # else it is arriving
                self._judge(row)
        if now_ns >= self._forget_at_ns:
            self._catalog.forget_arrivals(
                before_ns=now_ns - KEPT_NS, incomplete_before_ns=now_ns - INCOMPLETE_KEPT_NS
            )
            self._forget_at_ns = now_ns + FORGET_EVERY_NS

    def _judge(self, row: ArrivalRow) -> None:
        held = self._catalog.held_of_study(row.study_instance_uid)
        state = self._judged(row, held).state
        self._catalog.judge_arrival(
            row.study_instance_uid,
            state,
            last_at_ns=row.last_at_ns,
            ask_at_ns=self._next_ask_ns(row, state),
        )

    def _judged(self, row: ArrivalRow, held: dict[str, int]) -> Judgement:
        facts = Facts(
            held=held,
            last_at_ns=row.last_at_ns,
            is_open=self._arrivals.is_open(row.study_instance_uid),
            told=row.told,
            hints=row.hints,
        )
        return completeness.judge(facts, now_ns=self._clock.wall_ns(), quiet_s=self.quiet_s)

    def _next_ask_ns(self, row: ArrivalRow, state: ArrivalState) -> int | None:
        if not self._askable(row.ae_title):
            return None
        return completeness.next_ask_ns(
            state=state,
            first_at_ns=row.first_at_ns,
            last_at_ns=row.last_at_ns,
            asked_at_ns=row.asked_at_ns,
            asks=row.asks,
        )

    def _due(self, busy: frozenset[str]) -> dict[str, list[ArrivalRow]]:
        """The studies to ask about now, by AE title.

        Those whose time turns out to be another are put off; and where there are very many, those
        that have no turn now, so that one peer's do not hide another's.
        """
        now_ns = self._clock.wall_ns()
        due: dict[str, list[ArrivalRow]] = {}
        found = self._catalog.arrivals_to_ask(now_ns=now_ns, limit=DUE_MAX)
        for row in found:
            at_ns = self._next_ask_ns(row, row.state)
            if at_ns is not None and at_ns <= now_ns:
                rows = due.get(row.ae_title, [])
                is_known = row.ae_title in due or len(busy) + len(due) < PEERS_AT_ONCE
                has_turn = is_known and row.ae_title not in busy
                if has_turn and len(rows) < STUDIES_AN_ASSOCIATION:
                    due[row.ae_title] = [*rows, row]
                    continue
                if len(found) < DUE_MAX:
                    continue
                at_ns = now_ns + PUT_OFF_NS
            self._catalog.judge_arrival(
                row.study_instance_uid, row.state, last_at_ns=row.last_at_ns, ask_at_ns=at_ns
            )
        return due

    async def _peer(self, ae_title: str, rows: Sequence[ArrivalRow]) -> None:
        """Ask one peer. What it does not answer, it is asked again later."""
        waiting = list(rows)
        try:
            async with asyncio.timeout(ASK_S_MAX):
                asked = self._ask(ae_title, [each.study_instance_uid for each in rows])
                async for told in asked:
                    await asyncio.to_thread(self._note, waiting.pop(0), told)
        except TimeoutError:
            log.info("AE %s did not say how many instances in %.0f s", ae_title, ASK_S_MAX)
        except FileroomError as error:
            log.info("AE %s does not say how many instances: %s", ae_title, error)
        for row in waiting:
            await asyncio.to_thread(self._note, row, None)

    def _note(self, row: ArrivalRow, told: Told | None) -> None:
        """Note an answer, or that there was none, and judge by it."""
        is_first = row.asked_at_ns <= row.last_at_ns
        self._catalog.note_asked(
            row.study_instance_uid,
            told,
            asked_at_ns=self._clock.wall_ns() if told is None else told.asked_at_ns,
            asks=1 if is_first else row.asks + 1,
        )
        now = self._catalog.arrival(row.study_instance_uid)
        if now is not None:
            self._judge(now)


def _unwatched(held: dict[str, int]) -> Judgement:
    """Of a study that came too long ago, or before this catalog was made."""
    have = sum(held.values())
    reason = f"{have}, and nobody says that any is missing"
    return Judgement(ArrivalState.QUIET, reason, have, None, "")
