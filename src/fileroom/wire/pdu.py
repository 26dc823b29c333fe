"""The seven protocol data units of the DICOM upper layer, PS3.8 §9.3, as values and as bytes. Pure.

`decode` takes what stands behind the 6-byte header, which the association has already read to
know how much to wait for. Reserved fields are written as the standard says and not looked at
when they come in.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from struct import Struct
from typing import Final

from fileroom.wire import ae_title, user_information
from fileroom.wire.item import (
    AbortReason,
    AbortSource,
    MalformedPduError,
    encode_item,
    encode_uid,
    invalid,
    items,
    uid_text,
)
from fileroom.wire.user_information import UserInformation

HEADER = Struct(">BxI")  # PDU-type, reserved, PDU-length: big-endian (PS3.8 §9.3.1)
VALUE_HEADER = Struct(">IBB")  # Item-length, context ID, message control header (PS3.8 §9.3.5.1)
FIXED = Struct(">H2x16s16s32x")  # version and titles of A-ASSOCIATE-RQ and -AC (PS3.8 §9.3.2)
FOUR_BYTES = Struct(">4B")  # what A-ASSOCIATE-RJ, -RELEASE and -ABORT have behind their header

APPLICATION_CONTEXT_NAME = "1.2.840.10008.3.1.1.1"  # PS3.7 §A.2.1
PROTOCOL_VERSION = 1  # bit 0 of Protocol-version (PS3.8 §9.3.2)
UNSIGNIFICANT_TRANSFER_SYNTAX = "1.2.840.10008.1.2"  # in the answer to a context that is refused
CONTEXTS_MAX = 128  # the odd numbers of one byte (PS3.8 §7.1.1.13)
TRANSFER_SYNTAXES_MAX = 256  # our limit for one context; the standard knows about 60

APPLICATION_CONTEXT_ITEM: Final = 0x10
CONTEXT_PROPOSED_ITEM: Final = 0x20
CONTEXT_ANSWERED_ITEM: Final = 0x21
ABSTRACT_SYNTAX_ITEM: Final = 0x30
TRANSFER_SYNTAX_ITEM: Final = 0x40
USER_INFORMATION_ITEM: Final = 0x50


class PduType(IntEnum):
    """The first byte of a PDU (PS3.8 §9.3.1)."""

    ASSOCIATE_RQ = 0x01
    ASSOCIATE_AC = 0x02
    ASSOCIATE_RJ = 0x03
    P_DATA_TF = 0x04
    RELEASE_RQ = 0x05
    RELEASE_RP = 0x06
    ABORT = 0x07


class ContextResult(IntEnum):
    """Result/Reason for one presentation context (PS3.8 §9.3.3.2, Table 9-18)."""

    ACCEPTANCE = 0
    USER_REJECTION = 1
    NO_REASON = 2
    ABSTRACT_SYNTAX_NOT_SUPPORTED = 3
    TRANSFER_SYNTAXES_NOT_SUPPORTED = 4


@dataclass(frozen=True, slots=True)
class ProposedContext:
    """One abstract syntax, and the transfer syntaxes in which it may be carried."""

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AnsweredContext:
    """What became of a proposed context. The transfer syntax means something on acceptance only."""

    context_id: int
    result: int
    transfer_syntax: str = UNSIGNIFICANT_TRANSFER_SYNTAX


@dataclass(frozen=True, slots=True)
class AssociateRequest:
    """A-ASSOCIATE-RQ (PS3.8 §9.3.2).

    Attributes:
        titles: bytes 11 to 74 as received; an answer repeats them (PS3.8 §9.3.3).
    """

    called_ae_title: str
    calling_ae_title: str
    contexts: tuple[ProposedContext, ...]
    user: UserInformation
    application_context: str = APPLICATION_CONTEXT_NAME
    protocol_version: int = PROTOCOL_VERSION
    titles: bytes = field(default=b"", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class AssociateAccept:
    """A-ASSOCIATE-AC (PS3.8 §9.3.3). `titles` repeats the request's bytes 11 to 74."""

    contexts: tuple[AnsweredContext, ...]
    user: UserInformation
    application_context: str = APPLICATION_CONTEXT_NAME
    protocol_version: int = PROTOCOL_VERSION
    titles: bytes = field(default=bytes(64), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class AssociateReject:
    """A-ASSOCIATE-RJ (PS3.8 §9.3.4, Table 9-21)."""

    result: int
    source: int
    reason: int


@dataclass(frozen=True, slots=True)
class PresentationDataValue:
    """One fragment of a message (PS3.8 §9.3.5.1, §E.2)."""

    context_id: int
    is_command: bool
    is_last: bool
    data: bytes


@dataclass(frozen=True, slots=True)
class DataTransfer:
    """P-DATA-TF (PS3.8 §9.3.5)."""

    values: tuple[PresentationDataValue, ...]


@dataclass(frozen=True, slots=True)
class ReleaseRequest:
    """A-RELEASE-RQ (PS3.8 §9.3.6)."""


@dataclass(frozen=True, slots=True)
class ReleaseReply:
    """A-RELEASE-RP (PS3.8 §9.3.7)."""


@dataclass(frozen=True, slots=True)
class Abort:
    """A-ABORT (PS3.8 §9.3.8). The reason means something from the provider only."""

    source: int = AbortSource.USER
    reason: int = AbortReason.NOT_SPECIFIED


Pdu = (
    AssociateRequest
    | AssociateAccept
    | AssociateReject
    | DataTransfer
    | ReleaseRequest
    | ReleaseReply
    | Abort
)


def decode(pdu_type: int, body: bytes) -> Pdu:
    """Read a PDU.

    Args:
        body: what stands behind the header, all PDU-length bytes of it.

    Raises:
        MalformedPduError: it is not as PS3.8 §9.3 says.
    """
    match pdu_type:
        case PduType.ASSOCIATE_RQ:
            return _decode_request(body)
        case PduType.ASSOCIATE_AC:
            return _decode_accept(body)
        case PduType.P_DATA_TF:
            return DataTransfer(tuple(_values(body)))
        case PduType.ASSOCIATE_RJ:
            return AssociateReject(*_four_bytes(body)[1:])
        case PduType.RELEASE_RQ:
            _four_bytes(body)
            return ReleaseRequest()
        case PduType.RELEASE_RP:
            _four_bytes(body)
            return ReleaseReply()
        case PduType.ABORT:
            return Abort(*_four_bytes(body)[2:])
    raise unrecognized(pdu_type)


def unrecognized(pdu_type: int) -> MalformedPduError:
    """The error for a PDU-type that PS3.8 §9.3.1 does not have."""
    return MalformedPduError(
        f"PDU-type {pdu_type:02X}H is not defined", reason=AbortReason.UNRECOGNIZED_PDU
    )


def encode(pdu: Pdu) -> bytes:
    """The whole PDU with its header."""
    match pdu:
        case AssociateRequest():
            return _pdu(PduType.ASSOCIATE_RQ, _encode_request(pdu))
        case AssociateAccept():
            return _pdu(PduType.ASSOCIATE_AC, _encode_accept(pdu))
        case DataTransfer():
            return _pdu(PduType.P_DATA_TF, b"".join(map(_encode_value, pdu.values)))
        case AssociateReject():
            return _four(PduType.ASSOCIATE_RJ, 0, pdu.result, pdu.source, pdu.reason)
        case ReleaseRequest():
            return _four(PduType.RELEASE_RQ, 0, 0, 0, 0)
        case ReleaseReply():
            return _four(PduType.RELEASE_RP, 0, 0, 0, 0)
        case Abort():
            return _four(PduType.ABORT, 0, 0, pdu.source, pdu.reason)


def _pdu(pdu_type: int, body: bytes) -> bytes:
    return HEADER.pack(pdu_type, len(body)) + body


def _four(pdu_type: int, *values: int) -> bytes:
    return _pdu(pdu_type, FOUR_BYTES.pack(*values))


def _four_bytes(body: bytes) -> tuple[int, ...]:
    if len(body) != FOUR_BYTES.size:
        raise invalid(f"PDU-length {len(body)} B where the standard fixes {FOUR_BYTES.size} B")
    return FOUR_BYTES.unpack(body)


def _decode_request(body: bytes) -> AssociateRequest:
    if len(body) < FIXED.size:
        raise invalid(f"A-ASSOCIATE-RQ of {len(body)} B is shorter than its fixed fields")
    version, called, calling = FIXED.unpack_from(body)
    contexts: dict[int, ProposedContext] = {}
    application_context: str | None = None
    user = UserInformation()
    for item_type, start, end in items(body, FIXED.size, len(body)):
        if item_type == CONTEXT_PROPOSED_ITEM:
            context = _proposed(body, start, end)
            if context.context_id in contexts:
                raise invalid(f"presentation context ID {context.context_id} stands twice")
            contexts[context.context_id] = context
        elif item_type == APPLICATION_CONTEXT_ITEM:
            application_context = uid_text(body[start:end])
        elif item_type == USER_INFORMATION_ITEM:
            user = user_information.decode(body, start, end)
    if application_context is None:
        raise invalid("A-ASSOCIATE-RQ without an application context")
    if not contexts:
        raise invalid("A-ASSOCIATE-RQ without a presentation context")
    return AssociateRequest(
        called_ae_title=ae_title.parse(called),
        calling_ae_title=ae_title.parse(calling),
        contexts=tuple(contexts.values()),
        user=user,
        application_context=application_context,
        protocol_version=version,
        titles=body[4 : FIXED.size],
    )


def _proposed(body: bytes, start: int, end: int) -> ProposedContext:
    context_id = _context_id(body, start, end)
    abstract_syntax: str | None = None
    transfer_syntaxes: list[str] = []
    for item_type, first, last in items(body, start + 4, end):
        if item_type == ABSTRACT_SYNTAX_ITEM:
            if abstract_syntax is not None:
                raise invalid(f"presentation context {context_id} has two abstract syntaxes")
            abstract_syntax = uid_text(body[first:last])
        elif item_type == TRANSFER_SYNTAX_ITEM:
            if len(transfer_syntaxes) == TRANSFER_SYNTAXES_MAX:
                raise invalid(f"over {TRANSFER_SYNTAXES_MAX} transfer syntaxes in one context")
            transfer_syntaxes.append(uid_text(body[first:last]))
    if abstract_syntax is None:
        raise invalid(f"presentation context {context_id} has no abstract syntax")
    return ProposedContext(context_id, abstract_syntax, tuple(transfer_syntaxes))


def _context_id(body: bytes, start: int, end: int) -> int:
    if end - start < 4:
        raise invalid(f"a presentation context item of {end - start} B")
    context_id = body[start]
    if context_id % 2 == 0:
        raise invalid(f"presentation context ID {context_id} is not odd")
    return context_id


def _decode_accept(body: bytes) -> AssociateAccept:
    if len(body) < FIXED.size:
        raise invalid(f"A-ASSOCIATE-AC of {len(body)} B is shorter than its fixed fields")
    contexts: dict[int, AnsweredContext] = {}
    application_context = ""
    user = UserInformation()
    for item_type, start, end in items(body, FIXED.size, len(body)):
        if item_type == CONTEXT_ANSWERED_ITEM:
            context = _answered(body, start, end)
            if context.context_id in contexts:
                raise invalid(f"presentation context ID {context.context_id} stands twice")
            contexts[context.context_id] = context
        elif item_type == APPLICATION_CONTEXT_ITEM:
            application_context = uid_text(body[start:end])
        elif item_type == USER_INFORMATION_ITEM:
            user = user_information.decode(body, start, end)
    return AssociateAccept(
        contexts=tuple(contexts.values()),
        user=user,
        application_context=application_context,
        protocol_version=FIXED.unpack_from(body)[0],
        titles=body[4 : FIXED.size],
    )


def _answered(body: bytes, start: int, end: int) -> AnsweredContext:
    context_id = _context_id(body, start, end)
    transfer_syntax = ""
    for item_type, first, last in items(body, start + 4, end):
        if item_type == TRANSFER_SYNTAX_ITEM:
            transfer_syntax = uid_text(body[first:last])
    return AnsweredContext(context_id, body[start + 2], transfer_syntax)


def _values(body: bytes) -> Iterator[PresentationDataValue]:
    start = 0
    while start < len(body) or not start:
        length_bytes, context_id, control = value_header(body, start, len(body))
        start += VALUE_HEADER.size
        end = start + length_bytes
        yield PresentationDataValue(
            context_id, bool(control & 1), bool(control & 2), body[start:end]
        )
        start = end


def value_header(
    body: bytes | bytearray | memoryview, start: int, end: int
) -> tuple[int, int, int]:
    """Data length, context ID and control header of the presentation data value at `start`.

    Args:
        end: where its PDU ends.

    Raises:
        MalformedPduError: there is none, or it runs over `end`.
    """
    if end - start < VALUE_HEADER.size:
        raise invalid(f"{end - start} B left where a presentation data value should stand")
    length_bytes, context_id, control = VALUE_HEADER.unpack_from(body, start)
    if not 2 <= length_bytes <= end - start - 4:
        raise invalid(
            f"presentation data value of {length_bytes} B in the {end - start} B left of its PDU"
        )
    return length_bytes - 2, context_id, control


def _encode_value(value: PresentationDataValue) -> bytes:
    control = value.is_command | value.is_last << 1
    return VALUE_HEADER.pack(len(value.data) + 2, value.context_id, control) + value.data


def _encode_request(pdu: AssociateRequest) -> bytes:
    parts = [
        FIXED.pack(
            pdu.protocol_version,
            ae_title.encode(pdu.called_ae_title),
            ae_title.encode(pdu.calling_ae_title),
        ),
        encode_item(APPLICATION_CONTEXT_ITEM, encode_uid(pdu.application_context)),
    ]
    for context in pdu.contexts:
        value = bytes([context.context_id, 0, 0, 0])
        value += encode_item(ABSTRACT_SYNTAX_ITEM, encode_uid(context.abstract_syntax))
        for uid in context.transfer_syntaxes:
            value += encode_item(TRANSFER_SYNTAX_ITEM, encode_uid(uid))
        parts.append(encode_item(CONTEXT_PROPOSED_ITEM, value))
    parts.append(encode_item(USER_INFORMATION_ITEM, user_information.encode(pdu.user)))
    return b"".join(parts)


def _encode_accept(pdu: AssociateAccept) -> bytes:
    parts = [
        FIXED.pack(pdu.protocol_version, b"", b"")[:4] + pdu.titles,
        encode_item(APPLICATION_CONTEXT_ITEM, encode_uid(pdu.application_context)),
    ]
    for context in pdu.contexts:
        value = bytes([context.context_id, 0, context.result, 0])
        value += encode_item(TRANSFER_SYNTAX_ITEM, encode_uid(context.transfer_syntax))
        parts.append(encode_item(CONTEXT_ANSWERED_ITEM, value))
    parts.append(encode_item(USER_INFORMATION_ITEM, user_information.encode(pdu.user)))
    return b"".join(parts)
