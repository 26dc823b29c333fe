"""Whether a caller gets an association, and with which services. Pure."""

from collections.abc import Callable
from typing import NamedTuple

from fileroom.access.decide import Decision, Object
from fileroom.access.grant import Action
from fileroom.access.identity import Principal
from fileroom.dicom import uid
from fileroom.dimse.limits import Limits
from fileroom.dimse.services import GET, SERVICES, STORE
from fileroom.wire import negotiation
from fileroom.wire.pdu import (
    APPLICATION_CONTEXT_NAME,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
)
from fileroom.wire.user_information import UserIdentity

Decide = Callable[[Principal, Action, Object], Decision]

# PS3.8 §9.3.4, Table 9-21: result, source, reason.
APPLICATION_CONTEXT_NOT_SUPPORTED = AssociateReject(1, 1, 2)
CALLING_AE_TITLE_NOT_RECOGNIZED = AssociateReject(1, 1, 3)
CALLED_AE_TITLE_NOT_RECOGNIZED = AssociateReject(1, 1, 7)
PROTOCOL_VERSION_NOT_SUPPORTED = AssociateReject(1, 2, 2)
TEMPORARY_CONGESTION = AssociateReject(2, 3, 1)
LOCAL_LIMIT_EXCEEDED = AssociateReject(2, 3, 2)
ASSOCIATE = "associate"
REASONS = {
    APPLICATION_CONTEXT_NOT_SUPPORTED: "application context name not supported",
    CALLING_AE_TITLE_NOT_RECOGNIZED: "calling AE title not recognized",
    CALLED_AE_TITLE_NOT_RECOGNIZED: "called AE title not recognized",
    PROTOCOL_VERSION_NOT_SUPPORTED: "protocol version not supported",
    TEMPORARY_CONGESTION: "the node is stopping",
    LOCAL_LIMIT_EXCEEDED: "too many associations",
}


class Caller(NamedTuple):
    """Who asks, as far as the connection and the request say."""

    address: str
    calling_ae_title: str
    user_identity: UserIdentity | None


class Refusal(NamedTuple):
    """A caller that was turned away.

    Attributes:
        action: what it wanted: an association, or in one a service that it is not granted.
    """

    ae_title: str
    address: str
    reason: str
    action: str = ASSOCIATE


def admit(
    request: AssociateRequest,
    principal: Principal,
    *,
    ae_titles: frozenset[str],
    decide: Decide,
    limits: Limits,
    is_full: bool,
    is_stopping: bool,
) -> AssociateAccept | AssociateReject:
    """The answer to `request`.

    Who is not known is told so before whether there is room: that says least to a stranger.

    Args:
        ae_titles: those that we answer to.
        is_full: whether as many are open as may be, of all or of this principal.
    """
    if request.application_context != APPLICATION_CONTEXT_NAME:
        return APPLICATION_CONTEXT_NOT_SUPPORTED
    if request.called_ae_title not in ae_titles:
        return CALLED_AE_TITLE_NOT_RECOGNIZED
    object = Object(ae_title=request.called_ae_title)
    allowed = {each for each in SERVICES if decide(principal, each.action, object).allowed}
    if not allowed:
        return CALLING_AE_TITLE_NOT_RECOGNIZED
    if is_stopping:
        return TEMPORARY_CONGESTION
    if is_full:
        return LOCAL_LIMIT_EXCEEDED
    offer = negotiation.Offer(
        is_storable=uid.is_storable_sop_class,
        storage=STORE in allowed,
        retrieval=GET in allowed,
        others={
            sop_class_uid: each in allowed
            for each in SERVICES
            for sop_class_uid in each.sop_classes or ()
        },
        extended={
            sop_class_uid: each.extended
            for each in SERVICES
            for sop_class_uid in each.sop_classes or ()
        },
        max_length_bytes=limits.pdu_size_bytes_max,
        operations_max=limits.operations_max,
        implementation_class_uid=uid.IMPLEMENTATION_CLASS_UID,
        implementation_version_name=uid.IMPLEMENTATION_VERSION_NAME,
    )
    return negotiation.answer(request, offer)
