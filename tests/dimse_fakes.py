"""A receiver in memory for tests of the DICOM door; it asserts the contract of the real one."""

import asyncio
from dataclasses import dataclass, field

from fileroom.dimse.provision import Provision
from fileroom.errors import FileroomError, TransientError
from fileroom.spool.record import Origin

Buffer = bytes | bytearray | memoryview


def nothing_to_read() -> Provision:
    """The provision of a node that only receives."""
    raise TransientError("there is nothing to read yet")


@dataclass
class Landed:
    """One instance that was finished."""

    sop_class_uid: str | None
    sop_instance_uid: str | None
    transfer_syntax_uid: str
    data: bytes
    origin: Origin


@dataclass
class MemoryReceiver:
    """Keeps what it is given.

    Attributes:
        failures: an error for an instance UID, raised by the step named with it: "begin",
            "write" or "finish".
        gate: while set and not done, `finish` waits for it.
        full_after_bytes: bytes after which a reception is full, until `relieve` is called.
        refused: what the door refused by itself.
    """

    failures: dict[str, tuple[str, Exception]] = field(default_factory=dict)
    gate: asyncio.Future[None] | None = None
    full_after_bytes: int | None = None
    landed: list[Landed] = field(default_factory=list)
    abandoned: list[str | None] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    conversations: list["MemoryConversation"] = field(default_factory=list)
    relieved: asyncio.Event = field(default_factory=asyncio.Event)

    def conversation(self, origin: Origin) -> "MemoryConversation":
        self.conversations.append(MemoryConversation(self, origin))
        return self.conversations[-1]

    def relieve(self) -> None:
        self.full_after_bytes = None
        self.relieved.set()

    def fail(self, step: str, sop_instance_uid: str | None) -> None:
        at, error = self.failures.get(sop_instance_uid or "", ("", FileroomError()))
        if at == step:
            raise error


@dataclass
class MemoryConversation:
    receiver: MemoryReceiver
    origin: Origin
    open_receptions: int = 0
    closed: bool = False

    def begin(
        self,
        *,
        sop_class_uid: str | None,
        sop_instance_uid: str | None,
        transfer_syntax_uid: str,
    ) -> "MemoryReception":
        assert not self.closed
        self.receiver.fail("begin", sop_instance_uid)
        self.open_receptions += 1
        return MemoryReception(self, sop_class_uid, sop_instance_uid, transfer_syntax_uid)

    def refused(self, reason: str) -> None:
        assert not self.closed
        self.receiver.refused.append(reason)

    async def close(self) -> None:
        assert not self.closed
        assert not self.open_receptions, "closed while an instance is under way"
        self.closed = True


@dataclass
class MemoryReception:
    conversation: MemoryConversation
    sop_class_uid: str | None
    sop_instance_uid: str | None
    transfer_syntax_uid: str
    data: bytearray = field(default_factory=bytearray)
    finishing: bool = False
    ended: bool = False

    @property
    def full(self) -> bool:
        limit_bytes = self.conversation.receiver.full_after_bytes
        return limit_bytes is not None and len(self.data) >= limit_bytes and not self.ended

    async def ready(self) -> None:
        while self.full:
            await self.conversation.receiver.relieved.wait()

    def write(self, data: Buffer) -> None:
        assert not self.finishing
        assert not self.ended
        assert not self.full, "written to although it was full"
        self.conversation.receiver.fail("write", self.sop_instance_uid)
        self.data += data

    async def finish(self) -> object:
        assert not self.finishing
        assert not self.ended
        self.finishing = True
        receiver = self.conversation.receiver
        try:
            if receiver.gate is not None:
                await asyncio.shield(receiver.gate)
            receiver.fail("finish", self.sop_instance_uid)
            receiver.landed.append(
                Landed(
                    self.sop_class_uid,
                    self.sop_instance_uid,
                    self.transfer_syntax_uid,
                    bytes(self.data),
                    self.conversation.origin,
                )
            )
        finally:
            self._end()
        return receiver.landed[-1]

    def abandon(self) -> None:
        if not self.ended:
            self.conversation.receiver.abandoned.append(self.sop_instance_uid)
            self.conversation.receiver.relieved.set()
            self._end()

    def _end(self) -> None:
        if not self.ended:
            self.ended = True
            self.conversation.open_receptions -= 1
