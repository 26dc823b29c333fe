"""Storage commitment: tells a peer what came of its request, over an association of our own.

PS3.4 §J.3.3: an SCP must be able to tell over another association than the one that asked. The
peer is the SCU of this service although we call it, so the roles are selected (PS3.7 §D.3.3.4).
"""

from collections.abc import Mapping

from fileroom.dicom.commitment import Result
from fileroom.peer.association import NotNegotiatedError, associate
from fileroom.wire.message import DATA_SET, CommandField, Value, encode_command
from fileroom.wire.sop_class import STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE
from fileroom.wire.transfer_syntax import EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN
from fileroom.wire.user_information import RoleSelection

TIMEOUT_S = 30.0
ROLES = (RoleSelection(STORAGE_COMMITMENT, scu=False, scp=True),)


def event_report(result: Result) -> Mapping[str, Value | None]:
    """The command set of an N-EVENT-REPORT-RQ, but for its Message ID (PS3.7 §10.3.1.1)."""
    return {
        "AffectedSOPClassUID": STORAGE_COMMITMENT,
        "CommandField": CommandField.N_EVENT_REPORT_RQ,
        "CommandDataSetType": DATA_SET,
        "AffectedSOPInstanceUID": STORAGE_COMMITMENT_INSTANCE,
        "EventTypeID": result.event_type_id,
    }


async def tell(
    host: str, port: int, result: Result, *, calling: str, called: str, timeout_s: float = TIMEOUT_S
) -> int:
    """Tell the peer and return the status of its answer.

    A peer that takes the SOP class and is silent about the roles is told all the same: it has no
    other use for it.

    Raises:
        NotNegotiatedError: the peer does not take the SOP class, or not from its SCP.
        UnreachableError, BusyError, RejectedError, BrokenOffError.
    """
    syntaxes = (EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN)
    async with associate(
        host,
        port,
        calling=calling,
        called=called,
        contexts=[(STORAGE_COMMITMENT, syntaxes)],
        roles=ROLES,
        timeout_s=timeout_s,
    ) as association:
        if not association.contexts:
            raise NotNegotiatedError("the peer does not take the results of storage commitment")
        if not all(each.scp for each in association.roles):
            raise NotNegotiatedError("the peer does not let us be the SCP of storage commitment")
        ((context_id, context),) = association.contexts.items()
        command = encode_command({**event_report(result), "MessageID": 1})
        answer = await association.ask(
            context_id, command, result.data_set(context.transfer_syntax)
        )
        return answer.number("Status")
