"""How a request to associate is answered: PS3.8 §7.1.1.14 and PS3.7 §D.3. Pure.

The archive keeps what it is sent in the form it is sent in, so nothing is gained by steering the
peer: of the transfer syntaxes of a context the first that can be kept is taken, the requestor's
own order of preference.
"""

from collections.abc import Callable
from dataclasses import dataclass

from fileroom.wire import transfer_syntax
from fileroom.wire.pdu import (
    AnsweredContext,
    AssociateAccept,
    AssociateRequest,
    ContextResult,
    ProposedContext,
)
from fileroom.wire.user_information import (
    AsyncOperations,
    RoleSelection,
    SopClassExtended,
    UserInformation,
)

VERIFICATION = "1.2.840.10008.1.1"  # PS3.4 §A.4
STORAGE_SERVICE_CLASS = "1.2.840.10008.4.2"  # PS3.6 §A
# Level 2 (full) storage, digital signatures kept bit for bit (level 3), no element ever coerced
# (PS3.4 §B.3.1).
STORAGE_EXTENDED = bytes([2, 0, 3, 0, 0, 0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What we are willing to take from this requestor.

    Attributes:
        is_storable: whether a SOP class is one of the Storage Service Class.
        verification, storage: which services the requestor may use; contexts of the other are
            refused by the user.
        max_length_bytes: largest P-DATA-TF variable field we take.
        operations_max: most operations that may be outstanding at once.
    """

    is_storable: Callable[[str], bool]
    verification: bool
    storage: bool
    max_length_bytes: int
    operations_max: int
    implementation_class_uid: str
    implementation_version_name: str


def answer(request: AssociateRequest, offer: Offer) -> AssociateAccept:
    """The A-ASSOCIATE-AC for `request`. That no context is accepted is no reason to reject:
    the requestor sees it and decides (PS3.8 §7.1.1.14).

    The user identity is not answered: whoever needs it reads it in the request. An acceptor that
    stays silent has not confirmed it (PS3.7 §D.3.3.7).
    """
    roles = {each.sop_class_uid: each for each in request.user.roles}
    announced = {
        each.sop_class_uid
        for each in request.user.common_extended
        if each.service_class_uid == STORAGE_SERVICE_CLASS
    }

    def is_storable(sop_class_uid: str) -> bool:
        # A peer may say of a class that we do not know that it is stored like the others.
        return offer.is_storable(sop_class_uid) or sop_class_uid in announced

    contexts = []
    accepted: set[str] = set()
    for context in request.contexts:
        result = _result(context, offer, is_storable, roles.get(context.abstract_syntax))
        if isinstance(result, str):
            accepted.add(context.abstract_syntax)
            contexts.append(AnsweredContext(context.context_id, ContextResult.ACCEPTANCE, result))
        else:
            contexts.append(AnsweredContext(context.context_id, result))
    user = UserInformation(
        max_length_bytes=offer.max_length_bytes,
        implementation_class_uid=offer.implementation_class_uid,
        implementation_version_name=offer.implementation_version_name,
        async_operations=_window(request.user.async_operations, offer.operations_max),
        # We take the SCP role in every service, and no other yet (PS3.7 §D.3.3.4).
        roles=tuple(
            RoleSelection(uid, scu=True, scp=False)
            for uid, role in roles.items()
            if uid in accepted and role.scu
        ),
        extended=tuple(
            SopClassExtended(uid, STORAGE_EXTENDED)
            for uid in dict.fromkeys(each.sop_class_uid for each in request.user.extended)
            if uid in accepted and is_storable(uid)
        ),
    )
    return AssociateAccept(tuple(contexts), user, titles=request.titles)


def operations_max(answered: AssociateAccept) -> int:
    """How many operations the requestor may have outstanding: 1 unless more was agreed."""
    window = answered.user.async_operations
    return 1 if window is None else window.invoked_max


def _result(
    context: ProposedContext,
    offer: Offer,
    is_storable: Callable[[str], bool],
    role: RoleSelection | None,
) -> ContextResult | str:
    """The transfer syntax to use, or why there is none (PS3.8 §9.3.3.2, Table 9-18)."""
    if context.abstract_syntax == VERIFICATION:
        allowed, known = offer.verification, transfer_syntax.UNCOMPRESSED
    elif is_storable(context.abstract_syntax):
        allowed, known = offer.storage, transfer_syntax.STORABLE
    else:
        return ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED
    if not allowed or (role is not None and not role.scu):
        return ContextResult.USER_REJECTION
    for uid in context.transfer_syntaxes:
        if uid in known:
            return uid
    return ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED


def _window(asked: AsyncOperations | None, operations_max: int) -> AsyncOperations | None:
    """At most what was asked for, 0 being any number (PS3.7 §D.3.3.3). We invoke nothing."""
    if asked is None:
        return None
    return AsyncOperations(min(asked.invoked_max or operations_max, operations_max), 1)
