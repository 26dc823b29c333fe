"""The performing side of one association (PS3.7 §7.2): what a command asks for, and may."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from fileroom.access.decide import Decision, Object
from fileroom.access.grant import Action
from fileroom.access.identity import Principal
from fileroom.dimse import commitment_scp, query_scp, retrieve_scp, storage_scp
from fileroom.dimse.admission import Decide
from fileroom.dimse.operation import Answer, Operation, Refused, Settled
from fileroom.dimse.provision import Provision
from fileroom.dimse.receiving import Conversation, Receiver
from fileroom.dimse.services import (
    BY_FIELD,
    COMMIT,
    ECHO,
    FIND,
    GET,
    MOVE,
    STORE,
    Service,
    is_asked_in,
)
from fileroom.dimse.storage_scp import Store
from fileroom.errors import TransientError
from fileroom.spool.record import Origin
from fileroom.wire.message import Command
from fileroom.wire.presentation import AcceptedContext
from fileroom.wire.status import Status

Begin = Callable[[Command, AcceptedContext], Operation]


class Performer:
    """Turns commands into operations, and counts what came of them.

    Args:
        called_ae_title: which of our AE titles the association is with.
        on_refused: told of every action that the caller was not granted, and why.

    Attributes:
        principal: whose association it is.
        stored, stored_bytes, refused: of this association's C-STOREs so far.
    """

    def __init__(
        self,
        receiver: Receiver,
        provision: Callable[[], Provision],
        decide: Decide,
        *,
        principal: Principal,
        called_ae_title: str,
        origin: Origin,
        contexts: Mapping[int, AcceptedContext],
        on_refused: Callable[[str, str], None],
    ) -> None:
        self._receiver = receiver
        self._provides = provision
        self._decide = decide
        self.principal = principal
        self._called_ae_title = called_ae_title
        self._origin = origin
        self._contexts = contexts
        self._on_refused = on_refused
        self._conversation: Conversation | None = None
        self._begin: Mapping[Service, Begin] = {
            ECHO: self._echo,
            STORE: self._store,
            FIND: self._find,
            GET: self._retrieve,
            MOVE: self._retrieve,
            COMMIT: self._commit,
        }
        self.stored = self.stored_bytes = self.refused = 0

    def begin(self, command: Command) -> Operation:
        """Begin what `command` asks for, or an operation that is refused already."""
        service = BY_FIELD.get(command.field)
        context = self._contexts[command.context_id]
        if service is None or not is_asked_in(service, context.abstract_syntax):
            return Refused(command, Status.UNRECOGNIZED_OPERATION)
        decision = self._may(service.action)
        if not decision.allowed:
            self._on_refused(service.action, decision.reason)
            return Refused(command, Status.NOT_AUTHORIZED, decision.reason)
        return self._begin[service](command, context)

    def ended(self, operation: Operation, answer: Answer) -> None:
        """Count an operation whose answer stands."""
        if operation.command.field != STORE.command_field:
            return
        if answer.status == Status.SUCCESS and isinstance(operation, Store):
            self.stored += 1
            self.stored_bytes += operation.size_bytes
        else:
            self.refused += 1

    async def close(self) -> None:
        """End the conversation with the receiver, when every operation has ended."""
        if self._conversation is not None:
            await self._conversation.close()

    def _may(self, action: Action) -> Decision:
        return self._decide(self.principal, action, Object(ae_title=self._called_ae_title))

    def _provision(self) -> Provision:
        """What the node provides, under the AE title that was called: it is the one to retrieve
        from, and the one that instances are sent by, unless the caller may not retrieve there."""
        given = self._provides()
        if not any(self._may(each).allowed for each in (Action.GET, Action.MOVE)):
            return given
        return replace(given, ae_title=self._called_ae_title)

    def _echo(self, command: Command, context: AcceptedContext) -> Operation:
        return Settled(command, Answer(Status.SUCCESS))

    def _store(self, command: Command, context: AcceptedContext) -> Operation:
        if self._conversation is None:
            self._conversation = self._receiver.conversation(self._origin)
        return storage_scp.begin(command, context, self._conversation)

    def _commit(self, command: Command, context: AcceptedContext) -> Operation:
        try:
            desk = self._provision().commitment
        except TransientError as error:
            return Refused(command, Status.RESOURCE_LIMITATION, str(error))
        return commitment_scp.begin(command, context, desk, self._origin)

    def _find(self, command: Command, context: AcceptedContext) -> Operation:
        return query_scp.begin(command, context, self._provision, self.principal)

    def _retrieve(self, command: Command, context: AcceptedContext) -> Operation:
        return retrieve_scp.begin(
            command, context, self._provision, principal=self.principal, decide=self._decide
        )
