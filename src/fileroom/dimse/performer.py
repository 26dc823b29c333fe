"""The performing side of one association (PS3.7 §7.2): what a command asks for, and may."""

from collections.abc import Mapping

from fileroom.access.decide import Object
from fileroom.access.identity import Principal
from fileroom.dimse import storage_scp
from fileroom.dimse.admission import Decide
from fileroom.dimse.receiving import Conversation, Receiver
from fileroom.dimse.services import BY_FIELD, ECHO, STORE
from fileroom.dimse.storage_scp import Operation
from fileroom.spool.record import Origin
from fileroom.wire.message import Command
from fileroom.wire.negotiation import VERIFICATION
from fileroom.wire.presentation import AcceptedContext
from fileroom.wire.status import Status


class Performer:
    """Turns commands into operations, and counts what came of them.

    Attributes:
        stored, stored_bytes, refused: of this association's C-STOREs so far.
    """

    def __init__(
        self,
        receiver: Receiver,
        decide: Decide,
        *,
        principal: Principal,
        origin: Origin,
        contexts: Mapping[int, AcceptedContext],
    ) -> None:
        self._receiver = receiver
        self._decide = decide
        self._principal = principal
        self._origin = origin
        self._contexts = contexts
        self._conversation: Conversation | None = None
        self.stored = self.stored_bytes = self.refused = 0

    def begin(self, command: Command) -> Operation:
        """Begin what `command` asks for, or an operation that is refused already."""
        service = BY_FIELD.get(command.field)
        context = self._contexts[command.context_id]
        of_verification = context.abstract_syntax == VERIFICATION
        if service is None or of_verification != (service is ECHO):
            return Operation(command, Status.UNRECOGNIZED_OPERATION)
        decision = self._decide(self._principal, service.action, Object())
        if not decision.allowed:
            return Operation(command, Status.NOT_AUTHORIZED, decision.reason)
        if service is ECHO:
            return Operation(command, Status.SUCCESS)
        if self._conversation is None:
            self._conversation = self._receiver.conversation(self._origin)
        return storage_scp.begin(command, context, self._conversation)

    def ended(self, operation: Operation) -> None:
        """Count an operation whose answer stands."""
        if operation.command.field != STORE.command_field:
            return
        if operation.status is Status.SUCCESS:
            self.stored += 1
            self.stored_bytes += operation.size_bytes
        else:
            self.refused += 1

    async def close(self) -> None:
        """End the conversation with the receiver, when every operation has ended."""
        if self._conversation is not None:
            await self._conversation.close()
