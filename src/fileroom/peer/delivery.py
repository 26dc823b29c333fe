"""C-STORE of instances that an archive holds, to one destination: associations as they are needed.

PS3.4 §B and §C.4.2. For each kind of instance its own transfer syntax is proposed, and for each SOP
class the uncompressed ones besides. What has been proposed once is proposed again with what comes
to it later, so that one association takes all that 128 contexts allow.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import AsyncExitStack, suppress
from typing import NamedTuple

from fileroom.errors import FileroomError
from fileroom.peer.association import BrokenOffError, PeerAssociation, associate
from fileroom.wire.message import Value, encode_command
from fileroom.wire.pdu import CONTEXTS_MAX
from fileroom.wire.presentation import AcceptedContext, Buffer
from fileroom.wire.transfer_syntax import EXPLICIT_BIG_ENDIAN, SENT_WHATEVER_IS_STORED

TIMEOUT_S = 60.0
MESSAGE_ID_MAX = 0xFFFF

Proposal = tuple[str, tuple[str, ...]]


class Destination(NamedTuple):
    """Where instances are sent."""

    ae_title: str
    host: str
    port: int


class Kind(NamedTuple):
    """What a presentation context is for: a SOP class, and the transfer syntax that is stored."""

    sop_class_uid: str
    transfer_syntax_uid: str


def proposals(kinds: Iterable[Kind]) -> list[Proposal]:
    """The contexts to propose: abstract syntax and transfer syntaxes. Big endian is not sent."""
    stored: dict[str, list[str]] = {}
    for kind in dict.fromkeys(kinds):
        syntaxes = stored.setdefault(kind.sop_class_uid, [])
        if kind.transfer_syntax_uid != EXPLICIT_BIG_ENDIAN:
            syntaxes.append(kind.transfer_syntax_uid)
    found: list[Proposal] = []
    for sop_class_uid, syntaxes in stored.items():
        found += ((sop_class_uid, (each,)) for each in syntaxes)
        others = tuple(each for each in SENT_WHATEVER_IS_STORED if each not in syntaxes)
        if others:
            found.append((sop_class_uid, others))
    return found


class Delivery:
    """A destination that instances are sent to, one after another.

    Args:
        calling: our AE title.
        timeout_s: for each answer of the peer.
    """

    def __init__(
        self, destination: Destination, *, calling: str, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._destination = destination
        self._calling = calling
        self._timeout_s = timeout_s
        self._proposed: dict[Kind, None] = {}
        self._association: PeerAssociation | None = None
        self._stack = AsyncExitStack()
        self._last_message_id = 0

    @property
    def contexts(self) -> Collection[AcceptedContext]:
        """Those that the peer accepted of what was proposed last."""
        return () if self._association is None else self._association.contexts.values()

    async def propose(self, kinds: Collection[Kind]) -> None:
        """Have an association in which these kinds were proposed, or as many of them as contexts
        allow, in their order.

        Raises:
            UnreachableError, BusyError, RejectedError, BrokenOffError.
        """
        if self._association is not None and self._proposed.keys() >= set(kinds):
            return
        await self.end()
        wanted = {**self._proposed, **dict.fromkeys(kinds)}
        if len(proposals(wanted)) > CONTEXTS_MAX:
            wanted = dict.fromkeys(kinds)
            while len(proposals(wanted)) > CONTEXTS_MAX:
                wanted.popitem()
        self._proposed = wanted
        peer, stack = self._destination, AsyncExitStack()
        association = associate(
            peer.host,
            peer.port,
            calling=self._calling,
            called=peer.ae_title,
            contexts=proposals(wanted),
            timeout_s=self._timeout_s,
        )
        self._association = await stack.enter_async_context(association)
        self._stack = stack

    async def store(
        self,
        context: AcceptedContext,
        elements: Mapping[str, Value | None],
        data_set: AsyncIterator[Buffer],
    ) -> int:
        """Send an instance and return the status of the answer.

        Args:
            context: one of `contexts`.
            elements: of a C-STORE-RQ, but its Message ID.

        Raises:
            UnreachableError, BrokenOffError: the peer did not take all of it. What `data_set`
                raises. The association is gone; the next `propose` opens another one.
        """
        if self._association is None:
            raise BrokenOffError("there is no association")
        self._last_message_id = self._last_message_id % MESSAGE_ID_MAX + 1
        command = encode_command({**elements, "MessageID": self._last_message_id})
        try:
            answer = await self._association.ask(context.context_id, command, data_set)
        except BaseException:
            await self._association.abort()
            await self.end()
            raise
        return answer.number("Status")

    async def end(self) -> None:
        """End the association, if there is one; what the peer makes of it is no matter."""
        self._association = None
        with suppress(FileroomError):
            await self._stack.aclose()
