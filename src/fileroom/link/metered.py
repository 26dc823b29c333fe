"""Metered: a provider whose every call is counted and waits its turn."""

from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from fileroom.errors import UncertainError
from fileroom.link.lanes import Turnstile
from fileroom.provider.port import Call, Digest, FailureDomain, ObjectStat, Provider, Put

STUDIES_MAX = 10_000
PURPOSES_MAX = 64
OTHER = "other"
AT_ONCE = 8
KEPT_URGENT = 2
PAGE_OBJECTS = 1000  # a listing is counted as one request for each so many

T = TypeVar("T")


class Kind(NamedTuple):
    """What calls are counted by. `kind` is the port's method."""

    provider: str
    kind: str
    lane: str
    purpose: str


class Count(msgspec.Struct):
    """How many requests, failed ones among them, and the bytes that were their content."""

    requests: int = 0
    failed: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0

    def add(self, *, sent_bytes: int, received_bytes: int, failed: bool) -> None:
        """One request more."""
        self.requests += 1
        self.failed += failed
        self.sent_bytes += sent_bytes
        self.received_bytes += received_bytes


class Meter:
    """Counts of all providers since the start.

    Bounded: purposes over the 64th are counted as "other"; of studies the 10,000 last used are
    kept, and what the others came to is the difference to the totals.
    """

    def __init__(self, *, studies_max: int = STUDIES_MAX) -> None:
        self._studies_max = studies_max
        self._kinds: dict[Kind, Count] = {}
        self._purposes: set[str] = set()
        self._studies: OrderedDict[tuple[str, str], Count] = OrderedDict()

    def count(
        self,
        provider: str,
        kind: str,
        call: Call,
        *,
        sent_bytes: int = 0,
        received_bytes: int = 0,
        failed: bool = False,
    ) -> None:
        """Count one request."""
        purpose = call.purpose
        if purpose not in self._purposes:
            if len(self._purposes) < PURPOSES_MAX:
                self._purposes.add(purpose)
            else:
                purpose = OTHER
        of_kind = self._kinds.setdefault(
            Kind(provider, kind, call.lane.name.lower(), purpose), Count()
        )
        of_kind.add(sent_bytes=sent_bytes, received_bytes=received_bytes, failed=failed)
        if call.study:
            of_study = self._studies.setdefault((provider, call.study), Count())
            of_study.add(sent_bytes=sent_bytes, received_bytes=received_bytes, failed=failed)
            self._studies.move_to_end((provider, call.study))
            if len(self._studies) > self._studies_max:
                self._studies.popitem(last=False)

    def snapshot(self) -> dict[Kind, Count]:
        """The counts by provider, kind, lane and purpose; a copy."""
        return {kind: msgspec.structs.replace(count) for kind, count in self._kinds.items()}

    def by_study(self) -> dict[tuple[str, str], Count]:
        """The counts by provider and study of the studies last used; a copy."""
        return {study: msgspec.structs.replace(count) for study, count in self._studies.items()}


class Metered:
    """A Provider around another one. Nothing else in the node holds the other one.

    A call is counted when it ends. Bytes of a put whose answer was lost are counted as sent,
    those of one that failed are not.
    """

    def __init__(
        self, provider: Provider, meter: Meter, *, turnstile: Turnstile | None = None
    ) -> None:
        self.name: str = provider.name
        self.domain: FailureDomain = provider.domain
        self._provider = provider
        self._meter = meter
        self._turnstile = turnstile or Turnstile(at_once=AT_ONCE, kept_urgent=KEPT_URGENT)

    async def put_if_absent(
        self, name: str, source: Path | bytes, *, sha256: bytes, call: Call
    ) -> Put:
        """See Provider."""
        put = self._provider.put_if_absent
        return await self._counted(
            "put_if_absent",
            call,
            lambda: put(name, source, sha256=sha256, call=call),
            sent_bytes=_size_bytes(source),
        )

    async def get(self, name: str, start: int, end: int, *, call: Call) -> bytes:
        """See Provider."""
        get = self._provider.get
        return await self._counted(
            "get", call, lambda: get(name, start, end, call=call), received=len
        )

    async def stat(self, name: str, *, call: Call) -> ObjectStat | None:
        """See Provider."""
        return await self._counted("stat", call, lambda: self._provider.stat(name, call=call))

    async def list(self, prefix: str, *, call: Call, after: str = "") -> AsyncIterator[ObjectStat]:
        """See Provider. Takes a turn for each object, so that a slow consumer holds none."""
        objects = aiter(self._provider.list(prefix, call=call, after=after))
        count = 0
        while True:
            failed = True
            try:
                async with self._turnstile.turn(call.lane):
                    each = await anext(objects, None)
                failed = False
            finally:
                if failed or count % PAGE_OBJECTS == 0:
                    self._meter.count(self.name, "list", call, failed=failed)
            if each is None:
                return
            count += 1
            yield each

    async def delete_object(self, name: str, *, call: Call) -> None:
        """See Provider."""
        delete = self._provider.delete_object
        await self._counted("delete_object", call, lambda: delete(name, call=call))

    async def replace(self, name: str, data: bytes, *, call: Call) -> None:
        """See Provider."""
        replace = self._provider.replace
        await self._counted(
            "replace", call, lambda: replace(name, data, call=call), sent_bytes=len(data)
        )

    async def digest(self, name: str, *, call: Call) -> Digest:
        """See Provider."""
        digest = self._provider.digest
        return await self._counted(
            "digest",
            call,
            lambda: digest(name, call=call),
            received=lambda found: found.size_bytes,
        )

    async def _counted(
        self,
        kind: str,
        call: Call,
        made: Callable[[], Awaitable[T]],
        *,
        sent_bytes: int = 0,
        received: Callable[[T], int] = lambda _: 0,
    ) -> T:
        assert isinstance(call, Call), "every provider call says on whose behalf it is made"
        async with self._turnstile.turn(call.lane):
            try:
                answer = await made()
            except BaseException as error:
                sent = sent_bytes if isinstance(error, UncertainError) else 0
                self._meter.count(self.name, kind, call, sent_bytes=sent, failed=True)
                raise
        self._meter.count(
            self.name, kind, call, sent_bytes=sent_bytes, received_bytes=received(answer)
        )
        return answer


def _size_bytes(source: Path | bytes) -> int:
    if isinstance(source, bytes):
        return len(source)
    try:
        return source.stat().st_size
    except OSError:
        return 0  # the provider will say so
