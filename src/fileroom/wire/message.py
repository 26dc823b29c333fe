"""DIMSE messages: command sets, and which fragments make one message. Pure.

A command set is a data set of group 0000 in implicit little endian with a group length
(PS3.7 §6.3.1, §E.1). `COMMAND_ELEMENTS` is PS3.7 Annex E as data.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import NamedTuple

from fileroom.wire.event import MessageFragment
from fileroom.wire.item import AbortReason, MalformedPduError
from fileroom.wire.status import Status

ELEMENT = Struct("<HHI")  # group, element, value length
UINT16 = Struct("<H")
UINT32 = Struct("<I")
NO_DATA_SET = 0x0101  # PS3.7 §E.1, Command Data Set Type
DATA_SET = 0x0001
COMMAND_SIZE_BYTES_MAX = 16 * 1024  # a C-STORE-RQ has about 250; ours, the standard has no limit
ERROR_COMMENT_LENGTH_MAX = 64  # VR LO (PS3.5 §6.2)

# (0000,eeee): keyword and VR, PS3.7 Tables E.1-1 and E.1-2 without the retired ones.
COMMAND_ELEMENTS: dict[int, tuple[str, str]] = {
    0x0000: ("CommandGroupLength", "UL"),
    0x0002: ("AffectedSOPClassUID", "UI"),
    0x0003: ("RequestedSOPClassUID", "UI"),
    0x0100: ("CommandField", "US"),
    0x0110: ("MessageID", "US"),
    0x0120: ("MessageIDBeingRespondedTo", "US"),
    0x0600: ("MoveDestination", "AE"),
    0x0700: ("Priority", "US"),
    0x0800: ("CommandDataSetType", "US"),
    0x0900: ("Status", "US"),
    0x0901: ("OffendingElement", "AT"),
    0x0902: ("ErrorComment", "LO"),
    0x0903: ("ErrorID", "US"),
    0x1000: ("AffectedSOPInstanceUID", "UI"),
    0x1001: ("RequestedSOPInstanceUID", "UI"),
    0x1002: ("EventTypeID", "US"),
    0x1005: ("AttributeIdentifierList", "AT"),
    0x1008: ("ActionTypeID", "US"),
    0x1020: ("NumberOfRemainingSuboperations", "US"),
    0x1021: ("NumberOfCompletedSuboperations", "US"),
    0x1022: ("NumberOfFailedSuboperations", "US"),
    0x1023: ("NumberOfWarningSuboperations", "US"),
    0x1030: ("MoveOriginatorApplicationEntityTitle", "AE"),
    0x1031: ("MoveOriginatorMessageID", "US"),
}
ELEMENT_NUMBERS = {keyword: number for number, (keyword, _) in COMMAND_ELEMENTS.items()}

Value = int | str | tuple[int, ...]

# Responses name as affected what DIMSE-N requests name as requested (PS3.7 §10.3.5.2).
AFFECTED = {
    "AffectedSOPClassUID": "RequestedSOPClassUID",
    "AffectedSOPInstanceUID": "RequestedSOPInstanceUID",
}


class CommandField(IntEnum):
    """PS3.7 §E.1. A response has the request's number with RESPONSE set."""

    C_STORE_RQ = 0x0001
    C_GET_RQ = 0x0010
    C_FIND_RQ = 0x0020
    C_MOVE_RQ = 0x0021
    C_ECHO_RQ = 0x0030
    N_EVENT_REPORT_RQ = 0x0100
    N_GET_RQ = 0x0110
    N_SET_RQ = 0x0120
    N_ACTION_RQ = 0x0130
    N_CREATE_RQ = 0x0140
    N_DELETE_RQ = 0x0150
    C_CANCEL_RQ = 0x0FFF


RESPONSE = 0x8000


class MalformedMessageError(MalformedPduError):
    """The fragments make no DIMSE message; the association is lost."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason=AbortReason.INVALID_PARAMETER)


@dataclass(frozen=True, slots=True)
class Command:
    """A command set that arrived whole.

    Attributes:
        elements: keyword to value; strings without padding, AT as tuples of 0xGGGGEEEE.
    """

    context_id: int
    elements: Mapping[str, Value]

    def number(self, keyword: str, default: int = -1) -> int:
        """The value of an element with VR US or UL."""
        value = self.elements.get(keyword)
        return value if isinstance(value, int) else default

    def text(self, keyword: str) -> str:
        """The value of an element with VR UI, AE or LO; empty where there is none."""
        value = self.elements.get(keyword)
        return value if isinstance(value, str) else ""

    @property
    def field(self) -> int:
        return self.number("CommandField")

    @property
    def has_data_set(self) -> bool:
        return self.number("CommandDataSetType", NO_DATA_SET) != NO_DATA_SET

    @property
    def is_response(self) -> bool:
        return self.field & RESPONSE != 0


def decode_command(data: bytes) -> dict[str, Value]:
    """Keyword to value for the elements of a command set that we know; others are passed over.

    Raises:
        MalformedMessageError: a length runs over the end, or an element is not of group 0000.
    """
    elements: dict[str, Value] = {}
    position, end = 0, len(data)
    while position < end:
        if end - position < ELEMENT.size:
            raise MalformedMessageError(f"{end - position} B left where an element should stand")
        group, number, length_bytes = ELEMENT.unpack_from(data, position)
        position += ELEMENT.size
        if group != 0 or length_bytes > end - position:
            raise MalformedMessageError(
                f"({group:04X},{number:04X}) of {length_bytes} B in a command set"
            )
        known = COMMAND_ELEMENTS.get(number)
        if known is not None and length_bytes:
            keyword, vr = known
            elements[keyword] = _value(vr, number, data[position : position + length_bytes])
        position += length_bytes
    return elements


def encode_command(elements: Mapping[str, Value | None]) -> bytes:
    """A command set in ascending order with its group length. None values are left out."""
    numbered = sorted((ELEMENT_NUMBERS[keyword], value) for keyword, value in elements.items())
    body = b"".join(_element(number, value) for number, value in numbered if value is not None)
    return _element(0x0000, len(body)) + body


def response(
    request: Command,
    status: int,
    *,
    comment: str = "",
    elements: Mapping[str, Value | None] | None = None,
    has_data_set: bool = False,
) -> bytes:
    """The command set that answers a request (PS3.7 §9.3, §10.3).

    Args:
        comment: for a failure or a warning, why; cut to 64 characters of ASCII. Never a
            patient's value.
        elements: what this service's responses hold beside the elements that all have.
    """
    text = comment.encode("ascii", "replace")[:ERROR_COMMENT_LENGTH_MAX].decode()
    named = {
        affected: request.text(affected) or request.text(requested) or None
        for affected, requested in AFFECTED.items()
    }
    return encode_command(
        {
            **named,
            "CommandField": request.field | RESPONSE,
            "MessageIDBeingRespondedTo": request.number("MessageID", 0),
            "CommandDataSetType": DATA_SET if has_data_set else NO_DATA_SET,
            "Status": status,
            "ErrorComment": text.replace("\\", "/").strip() or None if status else None,
            **(elements or {}),
        }
    )


def echo_request(message_id: int) -> bytes:
    """C-ECHO-RQ (PS3.7 §9.3.5.1)."""
    return encode_command(
        {
            "AffectedSOPClassUID": "1.2.840.10008.1.1",
            "CommandField": CommandField.C_ECHO_RQ,
            "MessageID": message_id,
            "CommandDataSetType": NO_DATA_SET,
        }
    )


class MoveOriginator(NamedTuple):
    """Who asked that an instance be sent elsewhere: the AE title and Message ID of a C-MOVE."""

    ae_title: str
    message_id: int


def store_elements(
    *,
    sop_class_uid: str,
    sop_instance_uid: str,
    priority: int = 0,
    originator: MoveOriginator | None = None,
) -> dict[str, Value | None]:
    """The elements of a C-STORE-RQ but its Message ID (PS3.7 §9.3.1.1); the data set follows."""
    return {
        "AffectedSOPClassUID": sop_class_uid,
        "CommandField": CommandField.C_STORE_RQ,
        "Priority": priority,
        "CommandDataSetType": DATA_SET,
        "AffectedSOPInstanceUID": sop_instance_uid,
        "MoveOriginatorApplicationEntityTitle": originator and originator.ae_title,
        "MoveOriginatorMessageID": originator and originator.message_id,
    }


def store_request(message_id: int, *, sop_class_uid: str, sop_instance_uid: str) -> bytes:
    """C-STORE-RQ of medium priority (PS3.7 §9.3.1.1); the data set follows it."""
    named = store_elements(sop_class_uid=sop_class_uid, sop_instance_uid=sop_instance_uid)
    return encode_command({**named, "MessageID": message_id})


class MessageReader:
    """Which message the fragments of one association belong to (PS3.8 §E.1).

    Invariant: holds at most one command set of COMMAND_SIZE_BYTES_MAX; data sets pass through.
    """

    def __init__(self) -> None:
        self._context_id = 0  # of the message under way
        self._command = bytearray()
        self._in_data_set = False

    def take(self, fragment: MessageFragment) -> Command | MessageFragment | None:
        """Take the next fragment.

        Returns:
            The command when its last fragment came; a fragment of a data set as it is, the data
            set of the command given last; None for the earlier parts of a command.

        Raises:
            MalformedMessageError: fragments of two messages are mixed, or the command is none.
        """
        if self._in_data_set:
            if fragment.is_command or fragment.context_id != self._context_id:
                raise MalformedMessageError("another message in the middle of a data set")
            self._in_data_set = not fragment.is_last
            return fragment
        if not fragment.is_command:
            raise MalformedMessageError("a data set without a command before it")
        if not self._command:
            self._context_id = fragment.context_id
        elif fragment.context_id != self._context_id:
            raise MalformedMessageError("another message in the middle of a command")
        self._command += fragment.data
        if len(self._command) > COMMAND_SIZE_BYTES_MAX:
            raise MalformedMessageError(f"a command set over {COMMAND_SIZE_BYTES_MAX} B")
        if not fragment.is_last:
            return None
        command = Command(self._context_id, decode_command(bytes(self._command)))
        if command.field < 0:
            raise MalformedMessageError("a command set without a command field")
        self._command.clear()
        self._in_data_set = command.has_data_set
        return command


def status_text(code: int) -> str:
    """A peer's status for people: its hexadecimal number, and our name where we have one."""
    name = f" {Status(code).name}" if code in Status._value2member_map_ else ""
    return f"{code:04X}H{name}"


def _value(vr: str, number: int, value: bytes) -> Value:
    if vr in ("UI", "AE", "LO"):
        return value.decode("latin-1").strip("\0 ")
    size_bytes = 2 if vr == "US" else 4
    if len(value) % size_bytes or (vr != "AT" and len(value) != size_bytes):
        raise MalformedMessageError(f"(0000,{number:04X}) {vr} with {len(value)} B")
    if vr == "US":
        return int(UINT16.unpack(value)[0])
    if vr == "UL":
        return int(UINT32.unpack(value)[0])
    pairs = Struct(f"<{len(value) // 2}H").unpack(value)
    return tuple(g << 16 | e for g, e in zip(pairs[::2], pairs[1::2], strict=True))


def _element(number: int, value: Value) -> bytes:
    vr = COMMAND_ELEMENTS[number][1]
    if isinstance(value, str):
        encoded = value.encode("latin-1")  # a peer's own bytes go back to it as they came
        encoded += (b"\0" if vr == "UI" else b" ") * (len(encoded) % 2)
    elif isinstance(value, tuple):
        encoded = b"".join(UINT16.pack(tag >> 16) + UINT16.pack(tag & 0xFFFF) for tag in value)
    else:
        encoded = (UINT16 if vr == "US" else UINT32).pack(value)
    return ELEMENT.pack(0, number, len(encoded)) + encoded
