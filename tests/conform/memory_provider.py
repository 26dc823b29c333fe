"""A provider in memory that holds callers to the port and loses answers on demand."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

from fileroom.errors import UncertainError
from fileroom.provider.names import check_mutable, check_name, check_prefix
from fileroom.provider.port import (
    Call,
    DifferentObjectError,
    Digest,
    FailureDomain,
    Lane,
    NotThereError,
    ObjectStat,
    Put,
    SourceChangedError,
    UnreachableError,
)

Fault = Literal["before", "after", "unreachable"]


class MemoryProvider:
    """Objects in a dict.

    It asserts its own contract: a written object's bytes never change, and every call carries a
    Call. `lose_answers` makes the next calls that change something fail with UncertainError,
    "before" or "after" their effect, or with UnreachableError.

    Attributes:
        objects: what is stored; tests may damage it.
        calls: (method, call) of every call.
    """

    def __init__(self, name: str = "memory", *, domain: FailureDomain | None = None) -> None:
        self.name = name
        self.domain = domain or FailureDomain()
        self.objects: dict[str, bytes] = {}
        self.calls: list[tuple[str, Call]] = []
        self._written_once: dict[str, bytes] = {}
        self._faults: list[Fault] = []
        self._modified_ns = 1_700_000_000_000_000_000

    def lose_answers(self, *faults: Fault) -> None:
        """The next changing calls fail so, in this order."""
        self._faults += faults

    async def put_if_absent(
        self, name: str, source: Path | bytes, *, sha256: bytes, call: Call
    ) -> Put:
        check_name(name)
        self._note("put_if_absent", call)
        data = source if isinstance(source, bytes) else source.read_bytes()
        assert len(sha256) == 32, "a SHA-256 is announced"
        fault = self._fault()
        if name in self.objects:
            if hashlib.sha256(self.objects[name]).digest() != sha256:
                raise DifferentObjectError("other bytes are there")
            self._lose(fault)
            return Put.EXISTED
        if hashlib.sha256(data).digest() != sha256:
            raise SourceChangedError("the bytes are not those announced")
        before = self._written_once.setdefault(name, data)
        assert before == data, f"{name} was written before with other bytes"
        self._store(name, data)
        self._lose(fault)
        return Put.CREATED

    async def get(self, name: str, start: int, end: int, *, call: Call) -> bytes:
        check_name(name)
        self._note("get", call)
        assert 0 <= start <= end
        return self._there(name)[start:end]

    async def stat(self, name: str, *, call: Call) -> ObjectStat | None:
        check_name(name)
        self._note("stat", call)
        if name not in self.objects:
            return None
        return ObjectStat(name, len(self.objects[name]), self._modified_ns)

    async def list(self, prefix: str, *, call: Call, after: str = "") -> AsyncIterator[ObjectStat]:
        check_prefix(prefix)
        self._note("list", call)
        for name in sorted(self.objects):
            if name.startswith(prefix) and name > after and name in self.objects:
                yield ObjectStat(name, len(self.objects[name]), self._modified_ns)

    async def delete_object(self, name: str, *, call: Call) -> None:
        check_name(name)
        self._note("delete_object", call)
        fault = self._fault()
        self.objects.pop(name, None)
        self._lose(fault)

    async def replace(self, name: str, data: bytes, *, call: Call) -> None:
        check_mutable(name)
        self._note("replace", call)
        fault = self._fault()
        self._store(name, data)
        self._lose(fault)

    async def digest(self, name: str, *, call: Call) -> Digest:
        check_name(name)
        self._note("digest", call)
        data = self._there(name)
        return Digest(hashlib.sha256(data).digest(), len(data))

    def _there(self, name: str) -> bytes:
        if name not in self.objects:
            raise NotThereError("there is no such object")
        return self.objects[name]

    def _store(self, name: str, data: bytes) -> None:
        self._modified_ns += 1
        self.objects[name] = bytes(data)

    def _note(self, method: str, call: Call) -> None:
        assert isinstance(call, Call), f"{method} without a Call"
        assert isinstance(call.lane, Lane), f"{method} without a lane"
        assert call.purpose, f"{method} without a purpose"
        self.calls.append((method, call))

    def _fault(self) -> Fault | None:
        fault = self._faults.pop(0) if self._faults else None
        if fault == "before":
            raise UncertainError("the answer was lost (nothing happened)")
        if fault == "unreachable":
            raise UnreachableError("no connection")
        return fault

    def _lose(self, fault: Fault | None) -> None:
        if fault == "after":
            raise UncertainError("the answer was lost (it happened)")
