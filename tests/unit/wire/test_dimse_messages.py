"""Command sets and the fragments that make them."""

import pytest
from pynetdicom.status import code_to_category

from fileroom.wire import message
from fileroom.wire.event import MessageFragment
from fileroom.wire.item import AbortReason
from fileroom.wire.message import (
    COMMAND_SIZE_BYTES_MAX,
    Command,
    CommandField,
    MalformedMessageError,
    MessageReader,
    decode_command,
    encode_command,
)
from fileroom.wire.status import Outcome, Status, outcome
from golden import wire_pdus as golden

CT = "1.2.840.10008.5.1.4.1.1.2"
INSTANCE = "1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322"


def fragment(control: int, data: bytes, context_id: int = 1) -> MessageFragment:
    return MessageFragment(context_id, bool(control & 1), bool(control & 2), memoryview(data))


def test_the_store_command_of_dcmtk_is_read_and_is_what_we_would_send():
    assert decode_command(golden.STORESCU_C_STORE_RQ) == {
        "CommandGroupLength": 130,
        "AffectedSOPClassUID": CT,
        "CommandField": CommandField.C_STORE_RQ,
        "MessageID": 1,
        "Priority": 0,
        "CommandDataSetType": 1,
        "AffectedSOPInstanceUID": INSTANCE,
    }
    ours = message.store_request(1, sop_class_uid=CT, sop_instance_uid=INSTANCE)
    assert ours == golden.STORESCU_C_STORE_RQ


def test_an_echo_is_asked_and_answered_as_dcmtk_does():
    assert message.echo_request(1) == golden.ECHOSCU_C_ECHO_RQ
    request = Command(1, decode_command(golden.ECHOSCU_C_ECHO_RQ))
    assert message.response(request, Status.SUCCESS) == golden.STORESCP_C_ECHO_RSP


def test_a_store_is_answered_as_pynetdicom_does():
    request = Command(
        1,
        {
            "AffectedSOPClassUID": "1.2.4.10",
            "CommandField": CommandField.C_STORE_RQ,
            "MessageID": 5,
            "AffectedSOPInstanceUID": "1.2.4.5.7.8",
        },
    )
    assert message.response(request, Status.SUCCESS) == golden.C_STORE_RSP


@pytest.mark.parametrize("data", [golden.MOVE_C_STORE_RQ, golden.N_EVENT_REPORT_RQ])
def test_other_commands_are_read_and_written_back_alike(data):
    elements = decode_command(data)
    del elements["CommandGroupLength"]
    assert encode_command(elements) == data


def test_tags_are_numbers():
    data = encode_command({"OffendingElement": (0x00080018, 0x7FE00010), "Status": 0xC000})
    assert decode_command(data)["OffendingElement"] == (0x00080018, 0x7FE00010)
    assert golden.octets("0000 0109 08000000 08001800 E07F1000") in data


def test_a_comment_is_short_ascii_in_one_value():
    request = Command(1, decode_command(golden.STORESCU_C_STORE_RQ))
    elements = decode_command(
        message.response(request, Status.CANNOT_UNDERSTAND, comment="a\\b é " + "x" * 99)
    )
    assert elements["ErrorComment"] == "a/b ? " + "x" * 58
    assert "ErrorComment" not in decode_command(message.response(request, 0, comment="fine"))


def test_a_uid_that_is_none_goes_back_as_it_came():
    strange = Command(1, {"CommandField": 1, "MessageID": 9, "AffectedSOPClassUID": "ÿ../"})
    assert decode_command(message.response(strange, 0x0117))["AffectedSOPClassUID"] == "ÿ../"


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0\1\2\0\0",
        golden.octets("0000 0001 FF000000 3000"),
        golden.octets("0000 0001 FFFFFFFF 3000"),
        golden.octets("0800 1800 02000000 3100"),  # group 0008
        golden.octets("0000 0001 01000000 30"),  # US of one byte
        golden.octets("0000 0001 04000000 30003000"),  # US of two values
        golden.octets("0000 0109 06000000 080018000800"),
    ],
)
def test_a_malformed_command_set_is_refused(data):
    with pytest.raises(MalformedMessageError) as refused:
        decode_command(data)
    assert refused.value.reason is AbortReason.INVALID_PARAMETER


def test_unknown_elements_are_passed_over():
    data = golden.octets("0000 1100 02000000 3000 0000 0001 02000000 3000")
    assert decode_command(data) == {"CommandField": 0x30}


def test_a_command_may_come_in_pieces_and_its_data_set_passes_through():
    reader, command = MessageReader(), golden.STORESCU_C_STORE_RQ
    assert reader.take(fragment(1, command[:7])) is None
    assert reader.take(fragment(1, b"")) is None
    found = reader.take(fragment(3, command[7:]))
    assert isinstance(found, Command)
    assert found.field == CommandField.C_STORE_RQ
    for piece in (fragment(0, b"ab"), fragment(2, b"cd")):
        assert reader.take(piece) is piece
    assert isinstance(reader.take(fragment(3, golden.ECHOSCU_C_ECHO_RQ)), Command)
    assert isinstance(reader.take(fragment(3, golden.ECHOSCU_C_ECHO_RQ, 5)), Command)


@pytest.mark.parametrize(
    "fragments",
    [
        [fragment(0, b"ab")],
        [fragment(2, b"ab")],
        [fragment(3, golden.ECHOSCU_C_ECHO_RQ), fragment(2, b"ab")],
        [fragment(1, b"ab"), fragment(0, b"cd")],
        [fragment(1, b"ab"), fragment(3, b"cd", 3)],
        [fragment(3, golden.STORESCU_C_STORE_RQ), fragment(3, golden.ECHOSCU_C_ECHO_RQ)],
        [fragment(3, golden.STORESCU_C_STORE_RQ), fragment(2, b"ab", 3)],
        [fragment(3, b"")],
        [fragment(3, golden.octets("0000 1001 02000000 0100"))],  # no command field
    ],
)
def test_fragments_of_no_message_are_refused(fragments):
    reader = MessageReader()
    with pytest.raises(MalformedMessageError):
        list(map(reader.take, fragments))


def test_an_endless_command_is_refused_when_it_is_over_the_limit():
    reader = MessageReader()
    for _ in range(COMMAND_SIZE_BYTES_MAX // 1000):
        reader.take(fragment(1, bytes(1000)))
    with pytest.raises(MalformedMessageError):
        reader.take(fragment(1, bytes(1000)))


def test_every_status_belongs_to_the_class_that_pynetdicom_says():
    names = {each.name.capitalize(): each for each in Outcome}
    for code in range(0x10000):
        theirs = code_to_category(code)
        if theirs in names:
            assert outcome(code) is names[theirs], f"{code:04X}"
