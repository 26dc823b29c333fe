"""C-ECHO: whether a peer answers (PS3.4 Annex A)."""

import time
from dataclasses import dataclass

from fileroom.errors import RefusedError
from fileroom.peer.association import NotNegotiatedError, associate
from fileroom.peer.status import refuse_failure
from fileroom.wire import message
from fileroom.wire.sop_class import VERIFICATION
from fileroom.wire.transfer_syntax import EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN

TIMEOUT_S = 10.0


class UnknownPeerError(RefusedError):
    """The settings name no such peer."""


@dataclass(frozen=True, slots=True)
class EchoResult:
    """A peer that answered with success.

    Attributes:
        took_s: from the request to the answer, without connecting and negotiating.
    """

    status: int
    took_s: float


async def echo(
    host: str, port: int, *, calling: str, called: str, timeout_s: float = TIMEOUT_S
) -> EchoResult:
    """Ask the peer for a C-ECHO.

    Raises:
        UnreachableError, BusyError: it may answer later.
        RejectedError, NotNegotiatedError, FailedStatusError: it answered, and the answer is no.
        BrokenOffError: it broke off.
    """
    syntaxes = (IMPLICIT_LITTLE_ENDIAN, EXPLICIT_LITTLE_ENDIAN)
    async with associate(
        host,
        port,
        calling=calling,
        called=called,
        contexts=[(VERIFICATION, syntaxes)],
        timeout_s=timeout_s,
    ) as association:
        if not association.contexts:
            raise NotNegotiatedError("the peer does not take the Verification SOP Class")
        (context_id,) = association.contexts
        started_s = time.monotonic()
        answer = await association.ask(context_id, message.echo_request(1))
        took_s = time.monotonic() - started_s
        refuse_failure(answer)
        return EchoResult(answer.number("Status"), took_s)
