"""What this door needs of the rooms below it, as the node assembles them."""

from typing import Protocol

from fileroom.spool.record import Origin

Buffer = bytes | bytearray | memoryview


class Reception(Protocol):
    """One instance on its way in (ingest.receive)."""

    @property
    def full(self) -> bool:
        """Whether to stop reading until `ready` returns."""
        ...

    def write(self, data: Buffer) -> None:
        """Take the next bytes of the data set; `data` may be reused when this returns."""
        ...

    async def ready(self) -> None: ...

    async def finish(self) -> object:
        """Return when the instance is durable and ours: only then is success answered."""
        ...

    def abandon(self) -> None: ...


class Conversation(Protocol):
    """One association, as receiving sees it."""

    def begin(
        self,
        *,
        sop_class_uid: str | None,
        sop_instance_uid: str | None,
        transfer_syntax_uid: str,
        head: bytes = b"",
    ) -> Reception: ...

    def refused(self, reason: str) -> None:
        """Have it recorded that an instance was not taken, for a reason of this door's own."""
        ...

    async def close(self) -> None: ...


class Receiver(Protocol):
    """The way in."""

    def conversation(self, origin: Origin) -> Conversation: ...
