"""What stands behind the doors while a node's keys are locked: it refuses, and asks for the keys.

Nothing of the archive can be read or kept without the site key: the catalog, the spool and the
ledger's bodies are encrypted under it. So whatever comes is refused as something that may work
later, and senders keep it.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import fileroom
from fileroom.audit.refusals import Refusal
from fileroom.clock import Clock
from fileroom.dimse.provision import Provision
from fileroom.dimse.receiving import Conversation, Receiver, Reception
from fileroom.disk import Disk
from fileroom.errors import TransientError
from fileroom.http.request import Service
from fileroom.keys.keyring import Keyring
from fileroom.keys.port import KeysLockedError, WrongSecretError
from fileroom.node import health
from fileroom.node.folder import Folder
from fileroom.node.settings import Settings
from fileroom.node.turned_away import counted_as
from fileroom.spool.record import Origin

# A person can mend either while the node is up. What is wrong with the keyring itself ends it.
NOT_NOW = (KeysLockedError, WrongSecretError)
RETRY_S_MAX = 60.0

log = logging.getLogger(__name__)


class WaitingError(TransientError):
    """The node is up and cannot serve anything yet."""


class WaitingNode:
    """Stands in the place of a node, and gives way to it.

    Args:
        why: what the key port said, in a sentence for the operator.

    Attributes:
        state: `health.KEYS_LOCKED`, then `health.STARTING` once the keys are open.
    """

    def __init__(
        self, settings: Settings, node_id: str, *, clock: Clock, disk: Disk, why: str
    ) -> None:
        self.settings = settings
        self.state = health.KEYS_LOCKED
        self.associations = 0
        self._node_id = node_id
        self._clock = clock
        self._disk = disk
        self._why = why
        self._refused: Counter[str] = Counter()
        self._since_s = clock.monotonic_s()
        self._asked_for = asyncio.Event()
        self._node: Receiver | None = None

    # What the doors call

    @property
    def receiver(self) -> Receiver:
        return self

    @property
    def service(self) -> Service:
        raise WaitingError(self.state)

    @property
    def provision(self) -> Provision:
        raise WaitingError(self.state)

    def conversation(self, origin: Origin) -> "WaitingConversation":
        """What an association has that was opened before the node was there."""
        return WaitingConversation(self, origin)

    async def settled(self) -> None:
        """Nothing lands here."""

    def status(self) -> health.Status:
        """What is known without the catalog."""
        return health.Status(
            site=self.settings.site.name,
            version=fileroom.__version__,
            node_id=self._node_id,
            state=self.state,
            uptime_s=self._clock.monotonic_s() - self._since_s,
            disk_free_bytes=self._disk.free_bytes(Folder(self.settings.data_directory).root),
            disk_reserve_bytes=self.settings.spool.reserve_bytes,
            associations=self.associations,
            refused=dict(self._refused),
            warnings=[self._why] if self.state == health.KEYS_LOCKED else [],
        )

    def note_refused(self, refusal: Refusal) -> None:
        """Count a caller that was turned away; who it was could be written down nowhere."""
        self._refused[counted_as(refusal)] += 1

    def reconfigured(self, settings: Settings) -> None:
        """The doors tell the node of them, when it comes."""

    # What the node calls

    def ask_now(self) -> None:
        """Ask the key port without waiting for its turn."""
        self._asked_for.set()

    def give_way(self, receiver: Receiver) -> None:
        """Hand on what associations send that were opened before."""
        self._node = receiver

    async def keyring(self, ask: Callable[[], Keyring], *, stop: asyncio.Event) -> Keyring | None:
        """Ask the key port, less and less often, until it opens the site key.

        The log has one line for each new reason, and one whenever a person asked (`ask_now`).

        Args:
            ask: blocks; called in a thread.

        Returns:
            None where `stop` was set before.

        Raises:
            what `ask` raises, but for `NOT_NOW`.
        """
        every_s = self.settings.keys.retry_s
        wait_s = every_s
        log.error("%s; all work is refused, and it is asked for again", self._why)
        while True:
            was_asked_for = await self._nap(wait_s, stop)
            if stop.is_set():
                return None
            try:
                keyring = await asyncio.to_thread(ask)
            except NOT_NOW as error:
                wait_s = every_s if was_asked_for else min(2 * wait_s, max(every_s, RETRY_S_MAX))
                if was_asked_for or str(error) != self._why:
                    log.error("%s", error)
                self._why = str(error)
                continue
            log.info("the keys are open")
            self.state = health.STARTING
            return None if stop.is_set() else keyring

    async def _nap(self, duration_s: float, stop: asyncio.Event) -> bool:
        """Sleep, or less if the node ends or somebody asks; whether somebody asked."""
        events = (self._clock.sleep(duration_s), self._asked_for.wait(), stop.wait())
        naps = [asyncio.ensure_future(each) for each in events]
        try:
            await asyncio.wait(naps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in naps:
                each.cancel()
        was_asked_for = self._asked_for.is_set()
        self._asked_for.clear()
        return was_asked_for

    def _begun(self, origin: Origin) -> Conversation:
        if self._node is None:
            raise WaitingError(self.state)
        return self._node.conversation(origin)


class WaitingConversation:
    """One association's. It refuses each instance until the node is there, then is the node's."""

    def __init__(self, waiting: WaitingNode, origin: Origin) -> None:
        self._waiting = waiting
        self._origin = origin
        self._begun: Conversation | None = None

    def begin(
        self,
        *,
        sop_class_uid: str | None,
        sop_instance_uid: str | None,
        transfer_syntax_uid: str,
        head: bytes = b"",
    ) -> Reception:
        """Begin an instance. Raises WaitingError while there is no node."""
        return self._of_node().begin(
            sop_class_uid=sop_class_uid,
            sop_instance_uid=sop_instance_uid,
            transfer_syntax_uid=transfer_syntax_uid,
            head=head,
        )

    def refused(self, reason: str) -> None:
        """Hand it on to the node; while there is none there is no record either."""
        with suppress(WaitingError):
            self._of_node().refused(reason)

    async def close(self) -> None:
        if self._begun is not None:
            await self._begun.close()

    def _of_node(self) -> Conversation:
        if self._begun is None:
            self._begun = self._waiting._begun(self._origin)
        return self._begun
