"""DIMSE status codes: PS3.7 Annex C, PS3.4 Table B.2-1 (C-STORE), Tables C.4-1 to C.4-3. Pure."""

from enum import IntEnum


class Status(IntEnum):
    """Codes that this archive answers with."""

    SUCCESS = 0x0000
    PROCESSING_FAILURE = 0x0110
    NO_SUCH_SOP_INSTANCE = 0x0112
    INVALID_ARGUMENT_VALUE = 0x0115
    INVALID_SOP_INSTANCE = 0x0117
    NO_SUCH_SOP_CLASS = 0x0118
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    NO_SUCH_ACTION = 0x0123
    NOT_AUTHORIZED = 0x0124
    DUPLICATE_INVOCATION = 0x0210
    UNRECOGNIZED_OPERATION = 0x0211
    MISTYPED_ARGUMENT = 0x0212
    RESOURCE_LIMITATION = 0x0213
    # Storage Service Class
    OUT_OF_RESOURCES = 0xA700
    DATA_SET_DOES_NOT_MATCH_SOP_CLASS = 0xA900
    CANNOT_UNDERSTAND = 0xC000
    # Query/Retrieve Service Class
    IDENTIFIER_DOES_NOT_MATCH_SOP_CLASS = 0xA900
    UNABLE_TO_PROCESS = 0xC000
    UNABLE_TO_CALCULATE_MATCHES = 0xA701
    UNABLE_TO_PERFORM_SUBOPERATIONS = 0xA702
    MOVE_DESTINATION_UNKNOWN = 0xA801
    SUBOPERATIONS_WITH_FAILURES = 0xB000
    CANCEL = 0xFE00
    PENDING = 0xFF00
    PENDING_WITHOUT_OPTIONAL_KEYS = 0xFF01


class Outcome(IntEnum):
    """Classes of status (PS3.7 §C.1 to §C.5)."""

    SUCCESS = 0
    WARNING = 1
    FAILURE = 2
    CANCEL = 3
    PENDING = 4


def outcome(code: int) -> Outcome:
    """The class that any peer's status belongs to. What is not defined is a failure."""
    if code == 0x0000:
        return Outcome.SUCCESS
    if code in (0x0001, 0x0107, 0x0116) or 0xB000 <= code <= 0xBFFF:
        return Outcome.WARNING
    if code == 0xFE00:
        return Outcome.CANCEL
    if code in (0xFF00, 0xFF01):
        return Outcome.PENDING
    return Outcome.FAILURE
