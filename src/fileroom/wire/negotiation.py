"""How a request to associate is answered: PS3.8 §7.1.1.14 and PS3.7 §D.3. Pure.

The archive keeps what it is sent in the form it is sent in, so nothing is gained by steering the
peer: of the transfer syntaxes of a context the first that can be kept is taken, the requestor's
own order of preference. Where instances may be sent to the peer (C-GET) an uncompressed one goes
before it: what we can decode can be sent in it, whatever it is stored in.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fileroom.wire import sop_class, transfer_syntax
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

STORAGE_SERVICE_CLASS = "1.2.840.10008.4.2"  # PS3.6 §A
# Level 2 (full) storage, digital signatures kept bit for bit (level 3), no element ever coerced
# (PS3.4 §B.3.1).
STORAGE_EXTENDED = bytes([2, 0, 3, 0, 0, 0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What we are willing to take from this requestor.

    Attributes:
        is_storable: whether a SOP class is one of the Storage Service Class.
        storage: whether the requestor may send us instances.
        retrieval: whether it may have instances sent to it in this association (C-GET), for
            which it takes the SCP role (PS3.4 §C.4.3).
        others: for the SOP classes of every other service that we have, whether it may use it;
            contexts of those that it may not are refused by the user.
        extended: for SOP classes among those, the extended behaviour that we have, a byte each: 0
            or 1 (PS3.4 §C.5.1.1).
        max_length_bytes: largest P-DATA-TF variable field we take.
        operations_max: most operations that may be outstanding at once.
    """

    is_storable: Callable[[str], bool]
    storage: bool
    retrieval: bool
    others: Mapping[str, bool]
    extended: Mapping[str, bytes]
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
        roles=tuple(
            _role(role, offer, is_storable(uid)) for uid, role in roles.items() if uid in accepted
        ),
        extended=tuple(
            SopClassExtended(uid, agreed)
            for uid, asked in {
                each.sop_class_uid: each.information for each in request.user.extended
            }.items()
            if uid in accepted
            and (agreed := _extended(asked, offer.extended.get(uid, b""), is_storable(uid)))
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
    may = offer.others.get(context.abstract_syntax)
    storable = may is None and is_storable(context.abstract_syntax)
    if may is None and not storable:
        return ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED
    if role is None:  # the requestor is SCU (PS3.7 §D.3.3.4)
        role = RoleSelection(context.abstract_syntax, scu=True, scp=False)
    agreed = _role(role, offer, storable)
    if not (agreed.scu or agreed.scp):
        return ContextResult.USER_REJECTION
    known = transfer_syntax.STORABLE if storable else transfer_syntax.UNCOMPRESSED
    for uid in _in_order(context, agreed):
        if uid in known:
            return uid
    return ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED


def _in_order(context: ProposedContext, agreed: RoleSelection) -> list[str]:
    """The proposed transfer syntaxes, the one to take before the others first."""
    proposed = list(context.transfer_syntaxes)
    if not agreed.scp or context.abstract_syntax in sop_class.VIDEO:
        return proposed  # of a video nobody can make anything else
    plain = transfer_syntax.SENT_WHATEVER_IS_STORED
    first = [uid for uid in plain if uid in proposed]
    rest = [uid for uid in proposed if uid not in plain]
    # It is never sent (retrieve.transcode), so nothing could be.
    if not agreed.scu:
        rest = [uid for uid in rest if uid != transfer_syntax.EXPLICIT_BIG_ENDIAN]
    return first + rest


def _role(asked: RoleSelection, offer: Offer, storable: bool) -> RoleSelection:
    """Which of the roles that the requestor wants it may take (PS3.7 §D.3.3.4)."""
    uid = asked.sop_class_uid
    if not storable:
        return RoleSelection(uid, scu=asked.scu and offer.others[uid], scp=False)
    return RoleSelection(uid, scu=asked.scu and offer.storage, scp=asked.scp and offer.retrieval)


def _extended(asked: bytes, ours: bytes, storable: bool) -> bytes:
    """Of the extended behaviour that is asked for, byte by byte, what we have too (PS3.7
    §D.3.3.5); bytes of later editions than ours are not answered."""
    if storable:
        return STORAGE_EXTENDED
    return bytes(each == has == 1 for each, has in zip(asked, ours, strict=False))


def _window(asked: AsyncOperations | None, operations_max: int) -> AsyncOperations | None:
    """At most what was asked for, 0 being any number (PS3.7 §D.3.3.3). We invoke nothing."""
    if asked is None:
        return None
    return AsyncOperations(min(asked.invoked_max or operations_max, operations_max), 1)
