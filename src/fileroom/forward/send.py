"""Send: what waits goes to its destination, and is done when the destination has answered.

Each destination has a queue in the catalog and a task of its own, so that one that is slow, dead or
paused holds up no other. What is sent is a pack's instances by one rule: a crash sends these again
at most, and what cannot be decided goes behind all else.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

from fileroom.access.identity import Principal
from fileroom.audit import event
from fileroom.audit.coverage import Coverage, ReadRecord
from fileroom.audit.forwarding import (
    Forwarded,
    ForwardPaused,
    ForwardRetried,
    forwarded_pack,
)
from fileroom.catalog.errors import StateMovedError
from fileroom.catalog.forwards import ForwardRow, Progress, runs
from fileroom.catalog.port import Catalog
from fileroom.clock import Clock
from fileroom.dicom.instance_error import InstanceError
from fileroom.errors import (
    FileroomError,
    IntegrityError,
    PeerError,
    RefusedError,
    TransientError,
)
from fileroom.forward.outlet import Instance, Outlet, Sent
from fileroom.ledger.log import Ledger
from fileroom.pack.format import object_name
from fileroom.peer.delivery import Kind
from fileroom.policy.forwarding import Answer, LocalTime, Rule, rest_s
from fileroom.retrieve.packs import UnavailableError

PURPOSE = "forward"
RULE = "rule"  # the kind of principal that reads what is forwarded
BREAKS_MAX = 3  # one behind another, after which a destination is left alone for a while

Key = tuple[str, int]  # rule and pack

log = logging.getLogger(__name__)


class TakesNothingError(TransientError):
    """The destination answered that it takes nothing now."""


class UnknownDestinationError(RefusedError):
    """No rule sends there, and nothing waits for it."""


class Archive(Protocol):
    """Where instances are read (retrieve.archive)."""

    async def packed(self, pack: int, ordinals: Collection[int]) -> Mapping[int, Instance]: ...


class _Rest(NamedTuple):
    """A destination that is left alone for a while."""

    failures: int
    until_s: float
    error: str


class SendStage:
    """Sends to destinations.

    Args:
        outlet: to a destination by its name, as the settings in force have it; None: they have
            none of that name.
        local_time: what hours of rules are compared with.
        deciding: held while a decision is written and carried out.

    Attributes:
        rules: those in force. What waits for another one waits until it is back.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        *,
        catalog: Catalog,
        ledger: Ledger,
        archive: Archive,
        coverage: Coverage,
        clock: Clock,
        outlet: Callable[[str], Outlet | None],
        local_time: Callable[[], LocalTime],
        deciding: asyncio.Lock,
    ) -> None:
        self.rules = rules
        self._catalog = catalog
        self._ledger = ledger
        self._archive = archive
        self._coverage = coverage
        self._clock = clock
        self._outlet = outlet
        self._local_time = local_time
        self._deciding = deciding
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._resting: dict[str, _Rest] = {}

    @property
    def errors(self) -> dict[str, str]:
        """Why destinations are left alone for a while, by name."""
        return {name: rest.error for name, rest in self._resting.items()}

    def try_again(self, destination: str = "") -> None:
        """Leave a destination alone no longer; all of them, if none is named."""
        if destination:
            self._resting.pop(destination, None)
        else:
            self._resting.clear()

    async def round(self) -> int:
        """Begin to send to those destinations for which something waits and that get nothing."""
        failed = self._ended()
        now_s = self._clock.monotonic_s()
        for name in dict.fromkeys(each.to for each in self.rules):
            rest = self._resting.get(name)
            if name in self._busy or (rest is not None and rest.until_s > now_s):
                continue
            outlet = self._outlet(name)
            if outlet is not None and await self._next(name) is not None:
                self._busy[name] = asyncio.create_task(
                    self._deliver(name, outlet), name=f"forward to {name}"
                )
        if failed is not None:
            raise failed
        return 0

    def _ended(self) -> BaseException | None:
        """Let go of tasks that have ended; what one of them failed with that nobody foresaw."""
        failed = None
        for name in [each for each, task in self._busy.items() if task.done()]:
            error = self._busy.pop(name).exception()
            if error is not None:
                self._rest(name, type(error).__name__)
                failed = error
        return failed

    async def stop(self) -> None:
        """End what is under way; it is sent again after the next start."""
        for task in self._busy.values():
            task.cancel()
        for task in self._busy.values():
            with suppress(asyncio.CancelledError):
                await task
        self._busy.clear()

    async def pause(self, destination: str, paused: bool, *, by: Principal) -> None:
        """Let a destination get nothing behind what is on its way, or go on. What waits stays."""
        told = ForwardPaused(
            destination=destination, paused=paused, principal=by.name, address=by.address
        )
        async with self._deciding:
            # Commit point. A start that finds it behind the applied index carries it out.
            await self._ledger.append(event.kind(told), event.body(told))
            await asyncio.to_thread(self._catalog.set_destination_paused, destination, paused)

    async def retry(
        self,
        destination: str,
        study_instance_uid: str = "",
        *,
        everything: bool = False,
        by: Principal,
    ) -> int:
        """Try a destination at once, and let what it refused wait again; of all studies if none is
        named. Returns how many instances that is.

        Args:
            everything: or all of one study that the rules of the destination take, sent or not.
        """
        async with self._deciding:
            # The ledger only tells of it: that it was retried is forgotten with the catalog.
            count = await asyncio.to_thread(
                self._catalog.retry_refused, destination, study_instance_uid
            )
            if everything:
                count = await asyncio.to_thread(self._owe, destination, study_instance_uid)
            told = ForwardRetried(
                destination=destination,
                study_instance_uid=study_instance_uid,
                instances=count,
                everything=everything,
                principal=by.name,
                address=by.address,
            )
            await self._ledger.append(event.kind(told), event.body(told))
        self.try_again(destination)
        return count

    def _owe(self, destination: str, study_instance_uid: str) -> int:
        """Let the rules be asked again about a study; how many instances they are asked about."""
        packs = self._catalog.holdings(study_instance_uid).packs
        owed = {each.sha256 for each in packs}
        rules = [each.name for each in self.rules if each.to == destination]
        self._catalog.owe_route(dict.fromkeys(rules, owed))
        return sum(each.instance_count - each.conflict_count for each in packs)

    def _open_rules(self, destination: str) -> Iterator[str]:
        """The rules by which something may be sent there now."""
        now = self._local_time()
        return (each.name for each in self.rules if each.to == destination and each.is_open(now))

    async def _next(self, destination: str) -> ForwardRow | None:
        if destination in await asyncio.to_thread(self._catalog.paused_destinations):
            return None
        open_rules = tuple(self._open_rules(destination))
        return await asyncio.to_thread(self._catalog.forward_next, destination, open_rules)

    async def _deliver(self, name: str, outlet: Outlet) -> None:
        """Send what waits for a destination, until nothing does or nothing goes."""
        failed: dict[Key, str] = {}
        try:
            while row := await self._next(name):
                if (row.rule, row.pack) in failed:
                    self._rest(name, failed[row.rule, row.pack])  # each that waits was tried
                    return
                try:
                    left = await self._forward(row, outlet)
                except StateMovedError:
                    continue  # somebody let more of it wait meanwhile
                if left:
                    failed[row.rule, row.pack] = left
                else:
                    self._resting.pop(name, None)
        except FileroomError as error:
            self._rest(name, str(error))
        finally:
            await outlet.end()

    def _rest(self, name: str, error: str) -> None:
        rest = self._resting.get(name)
        failures = 1 if rest is None else rest.failures + 1
        for_s = rest_s(failures)
        self._resting[name] = _Rest(failures, self._clock.monotonic_s() + for_s, error)
        log.warning("nothing is forwarded to %s, and again in %.0f s: %s", name, for_s, error)

    async def _forward(self, row: ForwardRow, outlet: Outlet) -> str:
        """Send what is left of a row.

        Returns:
            Why some of it is left still; empty: all of it is decided.

        Raises:
            FileroomError: of the destination; what was decided before is noted.
        """
        progress, again = Progress(left=list(row.left)), ""
        try:
            again = await self._send_all(row, outlet, progress)
        except FileroomError as error:
            await asyncio.to_thread(self._catalog.put_off_forward, row, progress, error=str(error))
            raise
        if progress.left:
            await asyncio.to_thread(self._catalog.put_off_forward, row, progress, error=again)
            return again
        await self._end(row, progress)
        return ""

    async def _send_all(self, row: ForwardRow, outlet: Outlet, progress: Progress) -> str:
        """Send instances one by one; why the last of those was not taken that wait further."""
        try:
            instances = await self._archive.packed(row.pack, row.left)
        except (UnavailableError, IntegrityError) as error:
            return str(error)
        gone = [each for each in row.left if each not in instances]
        progress.left = [each for each in row.left if each in instances]
        progress.withdrawn += len(gone)
        kinds = {Kind(each.sop_class_uid, each.transfer_syntax_uid) for each in instances.values()}
        if kinds:
            await outlet.prepare(sorted(kinds))
        again, breaks = "", 0
        # Each try begins elsewhere, so that what stops one stops no other for good.
        start = row.tries % max(1, len(progress.left))
        for ordinal in progress.left[start:] + progress.left[:start]:
            try:
                sent = await self._send(row, instances[ordinal], outlet)
            except PeerError as error:
                # It may break off at this instance only.
                again, breaks = str(error), breaks + 1
                if breaks == BREAKS_MAX:
                    raise
                continue
            breaks = 0
            match sent.answer:
                case Answer.LATER:
                    raise TakesNothingError(sent.note)
                case Answer.AGAIN:
                    again = sent.note
                    continue
                case Answer.REFUSED:
                    progress.refused[ordinal] = sent.note
                case Answer.STORED | Answer.WARNED:
                    progress.stored += 1
                    progress.warned += sent.answer is Answer.WARNED
            progress.left.remove(ordinal)
        return again

    async def _send(self, row: ForwardRow, instance: Instance, outlet: Outlet) -> Sent:
        async def covered() -> ReadRecord:
            # The read is on record before its first byte leaves (invariant 11).
            return await self._coverage.covers(
                Principal(RULE, row.rule, "", None),
                row.study_instance_uid,
                purpose=PURPOSE,
                channel=outlet.channel,
                destination=outlet.address,
            )

        try:
            return await outlet.send(instance, covered)
        except InstanceError as error:
            return Sent(Answer.REFUSED, f"it cannot be given: {error}")
        except (UnavailableError, IntegrityError) as error:
            return Sent(Answer.AGAIN, str(error))

    async def _end(self, row: ForwardRow, progress: Progress) -> None:
        """All of a row is decided: the ledger has it, then the catalog."""
        async with self._deciding:
            refused = await asyncio.to_thread(self._catalog.forward_refused, row)
            for ordinal, reason in progress.refused.items():
                refused[reason] = (*refused.get(reason, ()), ordinal)
            before = await asyncio.to_thread(
                self._catalog.forward_counts, row.destination, row.study_instance_uid
            )
            stored = row.stored + progress.stored
            warned = row.warned + progress.warned
            withdrawn = row.withdrawn + progress.withdrawn
            told = Forwarded(
                destination=row.destination,
                rule=row.rule,
                pack=object_name(row.study_key_id, row.pack_sha256),
                study_instance_uid=row.study_instance_uid,
                stored=stored,
                warned=warned,
                withdrawn=withdrawn,
                refused={reason: runs(each) for reason, each in refused.items()},
                study_stored=before.stored + stored,
                study_warned=before.warned + warned,
                study_withdrawn=before.withdrawn + withdrawn,
                study_refused=before.refused + len(progress.refused),
                study_waiting=before.waiting - len(row.left) - row.stored - row.withdrawn,
                forwarded_at_ns=self._clock.wall_ns(),
            )
            # Commit point. A crash before it sends these instances again; a start that finds it
            # behind the applied index lets the catalog know.
            await self._ledger.append(event.kind(told), event.body(told))
            await asyncio.to_thread(self._catalog.record_forwarded, forwarded_pack(told))
