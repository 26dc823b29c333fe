"""The User Information item and its sub-items: PS3.8 §9.3.2.3, PS3.8 §D.1, PS3.7 §D.3.3. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, field
from struct import Struct
from typing import Any

from fileroom.wire.item import (
    AbortReason,
    MalformedPduError,
    counted,
    encode_counted,
    encode_item,
    encode_uid,
    invalid,
    items,
    uid_text,
)

MAX_LENGTH = 0x51  # PS3.8 §D.1
IMPLEMENTATION_CLASS_UID = 0x52  # PS3.7 §D.3.3.2
ASYNC_OPERATIONS = 0x53  # PS3.7 §D.3.3.3
ROLE_SELECTION = 0x54  # PS3.7 §D.3.3.4
IMPLEMENTATION_VERSION_NAME = 0x55  # PS3.7 §D.3.3.2
SOP_CLASS_EXTENDED = 0x56  # PS3.7 §D.3.3.5
SOP_CLASS_COMMON_EXTENDED = 0x57  # PS3.7 §D.3.3.6
USER_IDENTITY = 0x58  # PS3.7 §D.3.3.7
USER_IDENTITY_ANSWER = 0x59  # PS3.7 §D.3.3.7

UINT32 = Struct(">I")
TWO_UINT16 = Struct(">HH")
MAX_LENGTH_UNSAID_BYTES = 16_384  # assumed where a peer leaves the mandatory sub-item out
# A P-DATA-TF that carries anything has 6 bytes of PDV header and one of data. Less than this
# can be announced, but nothing can then be said to that peer.
MAX_LENGTH_LEAST_BYTES = 8
# Each list may hold one sub-item per SOP class; 128 contexts cannot name more than this.
SUB_ITEMS_MAX = 1024


@dataclass(frozen=True, slots=True)
class AsyncOperations:
    """How many operations may be outstanding; 0 means without limit (PS3.7 §D.3.3.3).

    Both numbers are the requestor's view, in the request and in the answer.
    """

    invoked_max: int
    performed_max: int


@dataclass(frozen=True, slots=True)
class RoleSelection:
    """Which roles the requestor takes for a SOP class (PS3.7 §D.3.3.4)."""

    sop_class_uid: str
    scu: bool
    scp: bool


@dataclass(frozen=True, slots=True)
class SopClassExtended:
    """Service-class-application-information for one SOP class (PS3.7 §D.3.3.5)."""

    sop_class_uid: str
    information: bytes


@dataclass(frozen=True, slots=True)
class SopClassCommonExtended:
    """Which service class a SOP class belongs to, and what it is like (PS3.7 §D.3.3.6)."""

    sop_class_uid: str
    service_class_uid: str
    related_general_sop_class_uids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UserIdentity:
    """Who the requestor says it acts for (PS3.7 §D.3.3.7). Secrets: never printed.

    Attributes:
        kind: 1 user name, 2 user name and passcode, 3 Kerberos ticket, 4 SAML assertion,
            5 JSON Web Token.
    """

    kind: int
    positive_response_requested: bool
    primary: bytes = field(repr=False)
    secondary: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class UserInformation:
    """Everything negotiated beside the presentation contexts.

    Attributes:
        max_length_bytes: largest P-DATA-TF variable field its sender takes; 0: any (PS3.8 §D.1).
        user_identity_answer: the server response of an A-ASSOCIATE-AC, None where there is none.
    """

    max_length_bytes: int = MAX_LENGTH_UNSAID_BYTES
    implementation_class_uid: str = ""
    implementation_version_name: str = ""
    async_operations: AsyncOperations | None = None
    roles: tuple[RoleSelection, ...] = ()
    extended: tuple[SopClassExtended, ...] = ()
    common_extended: tuple[SopClassCommonExtended, ...] = ()
    user_identity: UserIdentity | None = None
    user_identity_answer: bytes | None = field(default=None, repr=False)


def decode(data: bytes, start: int, end: int) -> UserInformation:
    """Read the sub-items in `data[start:end]`. Unknown ones are passed over (PS3.8 §9.3.1).

    A sub-item that may stand once and comes again counts as it came last; a second user
    identity is refused, lest two readers of one request see two users.

    Raises:
        MalformedPduError: a length or a value that the standard does not allow.
    """
    single: dict[str, Any] = {}
    repeated: dict[str, list[Any]] = {}
    for item_type, first, last in items(data, start, end):
        if item_type in SINGLE:
            name, parse = SINGLE[item_type]
            if item_type == USER_IDENTITY and name in single:
                raise MalformedPduError(
                    "a second user identity", reason=AbortReason.UNEXPECTED_PARAMETER
                )
            single[name] = parse(data, first, last)
        elif item_type in REPEATED:
            name, parse = REPEATED[item_type]
            values = repeated.setdefault(name, [])
            if len(values) == SUB_ITEMS_MAX:
                raise invalid(f"more than {SUB_ITEMS_MAX} items of type {item_type:02X}H")
            values.append(parse(data, first, last))
    single.update((name, tuple(each)) for name, each in repeated.items())
    return UserInformation(**single)


def encode(user: UserInformation) -> bytes:
    """The sub-items of `user` in ascending order of type."""
    parts = [
        encode_item(MAX_LENGTH, UINT32.pack(user.max_length_bytes)),
        encode_item(IMPLEMENTATION_CLASS_UID, encode_uid(user.implementation_class_uid)),
    ]
    if (window := user.async_operations) is not None:
        value = TWO_UINT16.pack(window.invoked_max, window.performed_max)
        parts.append(encode_item(ASYNC_OPERATIONS, value))
    for role in user.roles:
        value = encode_counted(encode_uid(role.sop_class_uid)) + bytes([role.scu, role.scp])
        parts.append(encode_item(ROLE_SELECTION, value))
    if user.implementation_version_name:
        name = user.implementation_version_name.encode("ascii")
        parts.append(encode_item(IMPLEMENTATION_VERSION_NAME, name))
    for each in user.extended:
        value = encode_counted(encode_uid(each.sop_class_uid)) + each.information
        parts.append(encode_item(SOP_CLASS_EXTENDED, value))
    for common in user.common_extended:
        related = b"".join(
            encode_counted(encode_uid(uid)) for uid in common.related_general_sop_class_uids
        )
        value = (
            encode_counted(encode_uid(common.sop_class_uid))
            + encode_counted(encode_uid(common.service_class_uid))
            + encode_counted(related)
        )
        parts.append(encode_item(SOP_CLASS_COMMON_EXTENDED, value))
    if (identity := user.user_identity) is not None:
        value = (
            bytes([identity.kind, identity.positive_response_requested])
            + encode_counted(identity.primary)
            + encode_counted(identity.secondary)
        )
        parts.append(encode_item(USER_IDENTITY, value))
    if user.user_identity_answer is not None:
        value = encode_counted(user.user_identity_answer)
        parts.append(encode_item(USER_IDENTITY_ANSWER, value))
    return b"".join(parts)


def _exact(item_type: int, found_bytes: int, expected_bytes: int) -> None:
    if found_bytes != expected_bytes:
        raise invalid(f"item {item_type:02X}H has {found_bytes} B, not {expected_bytes} B")


def _max_length(data: bytes, start: int, end: int) -> int:
    _exact(MAX_LENGTH, end - start, UINT32.size)
    (length_bytes,) = UINT32.unpack_from(data, start)
    if 0 < length_bytes < MAX_LENGTH_LEAST_BYTES:
        raise invalid(f"a maximum length of {length_bytes} B leaves no room for data")
    return int(length_bytes)


def _uid(data: bytes, start: int, end: int) -> str:
    return uid_text(data[start:end])


def _version_name(data: bytes, start: int, end: int) -> str:
    return data[start:end].decode("ascii", "replace")


def _async_operations(data: bytes, start: int, end: int) -> AsyncOperations:
    _exact(ASYNC_OPERATIONS, end - start, TWO_UINT16.size)
    return AsyncOperations(*TWO_UINT16.unpack_from(data, start))


def _role(data: bytes, start: int, end: int) -> RoleSelection:
    uid, rest = counted(data, start, end)
    _exact(ROLE_SELECTION, end - rest, 2)
    return RoleSelection(uid_text(uid), data[rest] != 0, data[rest + 1] != 0)


def _extended(data: bytes, start: int, end: int) -> SopClassExtended:
    uid, rest = counted(data, start, end)
    return SopClassExtended(uid_text(uid), data[rest:end])


def _common_extended(data: bytes, start: int, end: int) -> SopClassCommonExtended:
    sop_class, rest = counted(data, start, end)
    service_class, rest = counted(data, rest, end)
    related, _ = counted(data, rest, end)  # what follows is reserved for later versions
    uids: list[str] = []
    position = 0
    while position < len(related):
        uid, position = counted(related, position, len(related))
        if len(uids) == SUB_ITEMS_MAX:
            raise invalid(f"more than {SUB_ITEMS_MAX} related general SOP classes")
        uids.append(uid_text(uid))
    return SopClassCommonExtended(uid_text(sop_class), uid_text(service_class), tuple(uids))


def _identity(data: bytes, start: int, end: int) -> UserIdentity:
    if end - start < 2:
        raise invalid(f"a user identity of {end - start} B")
    primary, rest = counted(data, start + 2, end)
    secondary, rest = counted(data, rest, end)
    _exact(USER_IDENTITY, rest - start, end - start)
    return UserIdentity(data[start], data[start + 1] == 1, primary, secondary)


def _identity_answer(data: bytes, start: int, end: int) -> bytes:
    answer, rest = counted(data, start, end)
    _exact(USER_IDENTITY_ANSWER, rest - start, end - start)
    return answer


Parse = Callable[[bytes, int, int], Any]
SINGLE: dict[int, tuple[str, Parse]] = {
    MAX_LENGTH: ("max_length_bytes", _max_length),
    IMPLEMENTATION_CLASS_UID: ("implementation_class_uid", _uid),
    ASYNC_OPERATIONS: ("async_operations", _async_operations),
    IMPLEMENTATION_VERSION_NAME: ("implementation_version_name", _version_name),
    USER_IDENTITY: ("user_identity", _identity),
    USER_IDENTITY_ANSWER: ("user_identity_answer", _identity_answer),
}
REPEATED: dict[int, tuple[str, Parse]] = {
    ROLE_SELECTION: ("roles", _role),
    SOP_CLASS_EXTENDED: ("extended", _extended),
    SOP_CLASS_COMMON_EXTENDED: ("common_extended", _common_extended),
}
