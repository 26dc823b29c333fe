"""A provider that goes wrong at one call, in one of the ways in which a call can go wrong."""

from collections.abc import AsyncIterator
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from fileroom.errors import UncertainError
from fileroom.provider.port import (
    Call,
    Digest,
    NotThereError,
    ObjectStat,
    Provider,
    Put,
    UnreachableError,
)


class Fault(Enum):
    """What happens to one call."""

    UNREACHABLE = "no connection; nothing was done"
    LOST_BEFORE = "the answer was lost; nothing was done"
    LOST_AFTER = "the answer was lost; it was done"
    WRONG_BYTES = "other bytes than were put"
    MISSING = "no such object"


CHANGING = ("put_if_absent", "replace", "delete_object")
FAULTS = {
    **dict.fromkeys(CHANGING, (Fault.UNREACHABLE, Fault.LOST_BEFORE, Fault.LOST_AFTER)),
    "get": (Fault.UNREACHABLE, Fault.WRONG_BYTES, Fault.MISSING),
    "digest": (Fault.UNREACHABLE, Fault.WRONG_BYTES, Fault.MISSING),
    "stat": (Fault.UNREACHABLE, Fault.MISSING),
    "list": (Fault.UNREACHABLE, Fault.MISSING),
}


class Made(NamedTuple):
    """A call as it was made; `folder` is the object's, without what differs from day to day."""

    method: str
    purpose: str
    folder: str


class FaultyProvider:
    """A provider through which every call goes right but the one that is `chosen`.

    Attributes:
        calls: all that were made, the faulty one among them; from 0.
        unproved: names whose put was answered by nobody and which nobody has looked for since.
    """

    def __init__(self, chosen: int | None = None, fault: Fault | None = None) -> None:
        self.calls: list[Made] = []
        self.unproved: set[str] = set()
        self._chosen = chosen
        self.fault = fault
        self._provider: Provider

    def around(self, provider: Provider) -> Provider:
        """Stand in front of `provider` from now on; a restart gives another one."""
        self._provider = provider
        self.name, self.domain = provider.name, provider.domain
        return self

    @property
    def met(self) -> Made | None:
        """The call that the fault met."""
        if self._chosen is None or len(self.calls) <= self._chosen:
            return None
        return self.calls[self._chosen]

    async def put_if_absent(
        self, name: str, source: Path | bytes, *, sha256: bytes, call: Call
    ) -> Put:
        fault = self._take("put_if_absent", name, call)
        if fault is Fault.LOST_BEFORE:
            self._lose(name)
        put = await self._provider.put_if_absent(name, source, sha256=sha256, call=call)
        if fault is Fault.LOST_AFTER:
            self._lose(name)
        self.unproved.discard(name)  # EXISTED: the adapter has read it back
        return put

    async def get(self, name: str, start: int, end: int, *, call: Call) -> bytes:
        fault = self._take("get", name, call)
        if fault is Fault.MISSING:
            raise NotThereError("there is no such object")
        data = await self._provider.get(name, start, end, call=call)
        if fault is Fault.WRONG_BYTES:
            return data[:-1] + bytes([data[-1] ^ 1])
        return data

    async def stat(self, name: str, *, call: Call) -> ObjectStat | None:
        fault = self._take("stat", name, call)
        return None if fault is Fault.MISSING else await self._provider.stat(name, call=call)

    async def list(self, prefix: str, *, call: Call, after: str = "") -> AsyncIterator[ObjectStat]:
        if self._take("list", prefix, call) is Fault.MISSING:
            return
        async for each in self._provider.list(prefix, call=call, after=after):
            yield each

    async def delete_object(self, name: str, *, call: Call) -> None:
        raise AssertionError("a node deletes nothing at a provider")

    async def replace(self, name: str, data: bytes, *, call: Call) -> None:
        fault = self._take("replace", name, call)
        if fault is Fault.LOST_BEFORE:
            raise UncertainError("the answer was lost")
        await self._provider.replace(name, data, call=call)
        if fault is Fault.LOST_AFTER:
            raise UncertainError("the answer was lost")

    async def digest(self, name: str, *, call: Call) -> Digest:
        fault = self._take("digest", name, call)
        if fault is Fault.MISSING:
            raise NotThereError("there is no such object")
        found = await self._provider.digest(name, call=call)
        if fault is Fault.WRONG_BYTES:
            return Digest(bytes(32), found.size_bytes)
        self.unproved.discard(name)
        return found

    def _take(self, method: str, name: str, call: Call) -> Fault | None:
        """Count a call; the fault that meets it, unless it is told by raising."""
        chosen = len(self.calls) == self._chosen
        folder = "keyring/site" if name.startswith("keyring/site/") else name.partition("/")[0]
        self.calls.append(Made(method, call.purpose, folder))
        if not chosen:
            return None
        assert self.fault in FAULTS[method], f"{self.fault} at {method}"
        if self.fault is Fault.UNREACHABLE:
            raise UnreachableError("no connection")
        return self.fault

    def _lose(self, name: str) -> None:
        self.unproved.add(name)
        raise UncertainError("the answer was lost")
