"""What a hostile or broken peer sends is refused with the right A-ABORT, in bounded memory."""

import re

import pytest

from fileroom.wire.event import Aborted, AssociateRequested
from fileroom.wire.item import AbortReason, MalformedPduError
from fileroom.wire.upper_layer import ASSOCIATE_LENGTH_BYTES_MAX, SLAB_BYTES
from golden import wire_pdus as golden
from wire_talk import LENGTH_BYTES_MAX, acceptor, awaiting_request, data_pdu, events

FIXED = golden.ECHOSCU_ASSOCIATE_RQ[6:74]  # version, AE titles, reserved
APPLICATION_CONTEXT = golden.octets("10 00 0015 '1.2.840.10008.3.1.1.1'")
USER = golden.octets("50 00 0008 51 00 0004 00004000")
TRANSFER_SYNTAX = golden.octets("40 00 0011 '1.2.840.10008.1.2'")
SYNTAXES = golden.octets("30 00 0011 '1.2.840.10008.1.1'") + TRANSFER_SYNTAX


def item(item_type: int, value: bytes) -> bytes:
    return bytes([item_type, 0]) + len(value).to_bytes(2, "big") + value


def context(context_id: int, syntaxes: bytes = SYNTAXES) -> bytes:
    return item(0x20, bytes([context_id, 0, 0, 0]) + syntaxes)


def request(*items: bytes, fixed: bytes = FIXED) -> bytes:
    body = fixed + b"".join(items)
    return b"\1\0" + len(body).to_bytes(4, "big") + body


def with_user(*sub_items: bytes) -> bytes:
    return request(APPLICATION_CONTEXT, context(1), item(0x50, b"".join(sub_items)))


ALL_CONTEXTS = b"".join(context(each) for each in range(1, 256, 2))

MALFORMED_REQUESTS = {
    "shorter than its fixed fields": request(fixed=FIXED[:-1]),
    "no application context": request(context(1), USER),
    "no presentation context": request(APPLICATION_CONTEXT, USER),
    "a context ID twice": request(APPLICATION_CONTEXT, context(1), context(1), USER),
    "129 contexts": request(APPLICATION_CONTEXT, ALL_CONTEXTS, context(1), USER),
    "an even context ID": request(APPLICATION_CONTEXT, context(2), USER),
    "context ID zero": request(APPLICATION_CONTEXT, context(0), USER),
    "a context of three bytes": request(APPLICATION_CONTEXT, item(0x20, b"\1\0\0"), USER),
    "a context without abstract syntax": request(
        APPLICATION_CONTEXT, context(1, TRANSFER_SYNTAX), USER
    ),
    "a context with two abstract syntaxes": request(
        APPLICATION_CONTEXT, context(1, SYNTAXES + SYNTAXES), USER
    ),
    "10,000 transfer syntaxes": request(
        APPLICATION_CONTEXT, context(1, SYNTAXES + item(0x40, b"") * 10_000), USER
    ),
    "an item longer than the PDU": request(APPLICATION_CONTEXT, context(1), USER[:3] + b"\xff"),
    "half an item header": request(APPLICATION_CONTEXT, context(1), USER, b"\x50\0"),
    "a sub-item longer than its item": request(
        APPLICATION_CONTEXT, context(1), golden.octets("50 00 0004 51 00 0004")
    ),
    "a context longer than the PDU": request(APPLICATION_CONTEXT, context(1)[:-1], b""),
    "no called AE title": request(
        APPLICATION_CONTEXT, context(1), USER, fixed=FIXED[:4] + b" " * 16 + FIXED[20:]
    ),
    "no calling AE title": request(
        APPLICATION_CONTEXT, context(1), USER, fixed=FIXED[:20] + b" " * 16 + FIXED[36:]
    ),
    "a line feed in an AE title": request(
        APPLICATION_CONTEXT, context(1), USER, fixed=FIXED[:20] + b"A\nB".ljust(16) + FIXED[36:]
    ),
    "a maximum length without room for data": with_user(golden.octets("51 00 0004 00000007")),
    "a maximum length of three bytes": with_user(golden.octets("51 00 0003 000040")),
    "half a window": with_user(golden.octets("53 00 0002 0005")),
    "a role without its flags": with_user(golden.octets("54 00 0005 0003 '1.2'")),
    "a role whose UID runs over": with_user(golden.octets("54 00 0006 00FF '1.2' 01")),
    "an identity that runs over": with_user(golden.octets("58 00 0008 01 00 000A 'abc' 00")),
    "an identity of one byte": with_user(golden.octets("58 00 0001 01")),
    "bytes behind an identity": with_user(golden.octets("58 00 0008 01 00 0001 'a' 0000 00")),
    "2,000 roles": with_user(golden.octets("54 00 0007 0003 '1.2' 0101") * 2000),
    "a related class that runs over": with_user(
        golden.octets("57 00 000E 0003 '1.2' 0003 '1.3' 0002 00FF")
    ),
}


@pytest.mark.parametrize("name", MALFORMED_REQUESTS)
def test_a_malformed_request_to_associate_is_aborted(name):
    association = awaiting_request()
    association.feed(MALFORMED_REQUESTS[name])
    [aborted] = events(association)
    assert isinstance(aborted, Aborted)
    assert isinstance(aborted.problem, MalformedPduError)
    assert aborted.problem.reason is AbortReason.INVALID_PARAMETER
    assert association.data_to_send() == golden.USER_ABORT  # AA-1
    association.feed(golden.ECHOSCU_ASSOCIATE_RQ)
    assert events(association) == []


def test_a_second_user_identity_is_refused():
    association = awaiting_request()
    association.feed(with_user(golden.SUB_ITEMS["user_identity"] * 2))
    [aborted] = events(association)
    assert aborted.problem.reason is AbortReason.UNEXPECTED_PARAMETER


def test_128_contexts_are_as_many_as_there_can_be():
    association = awaiting_request()
    association.feed(request(APPLICATION_CONTEXT, ALL_CONTEXTS, USER))
    [asked] = events(association)
    assert isinstance(asked, AssociateRequested)
    assert len(asked.request.contexts) == 128


def test_a_uid_that_is_none_costs_its_context_only():
    strange = item(0x30, "1.2.\u200b840".encode()) + TRANSFER_SYNTAX
    association = awaiting_request()
    association.feed(request(APPLICATION_CONTEXT, context(1, strange), context(3), USER))
    [asked] = events(association)
    assert isinstance(asked, AssociateRequested)


def test_a_request_over_the_limit_is_refused_from_its_header():
    association = awaiting_request()
    association.feed(b"\1\0" + (ASSOCIATE_LENGTH_BYTES_MAX + 1).to_bytes(4, "big"))
    [aborted] = events(association)
    assert aborted.problem.reason is AbortReason.INVALID_PARAMETER


def test_a_request_is_held_no_longer_than_it_is_whole_and_no_larger_than_its_limit():
    association = awaiting_request()
    filler = item(0xF0, bytes(65_000)) * 16
    data = request(APPLICATION_CONTEXT, context(1), USER, filler)
    assert len(data) < ASSOCIATE_LENGTH_BYTES_MAX
    largest = 0
    for start in range(0, len(data), 4000):
        association.feed(data[start : start + 4000])
        largest = max(largest, len(association.receive_view().obj))
        found = events(association)
    assert isinstance(found[0], AssociateRequested)
    assert largest <= 2 * ASSOCIATE_LENGTH_BYTES_MAX


MALFORMED_DATA = {
    "a PDU-type that is not defined": (b"\x08\0\0\0\0\4abcd", AbortReason.UNRECOGNIZED_PDU),
    "HTTP": (b"GET / HTTP/1.1\r\n\r\n", AbortReason.UNRECOGNIZED_PDU),
    "a PDU over what we announced": (
        b"\4\0" + (LENGTH_BYTES_MAX + 1).to_bytes(4, "big"),
        AbortReason.INVALID_PARAMETER,
    ),
    "a PDU of 4 GiB": (b"\4\0\xff\xff\xff\xff" + bytes(6), AbortReason.INVALID_PARAMETER),
    "no value": (b"\4\0\0\0\0\0", AbortReason.INVALID_PARAMETER),
    "half a value header": (b"\4\0\0\0\0\3\0\0\0", AbortReason.INVALID_PARAMETER),
    "a value of length zero": (
        golden.octets("04 00 00000006 00000000 01 03"),
        AbortReason.INVALID_PARAMETER,
    ),
    "a value of length one": (
        golden.octets("04 00 00000006 00000001 01 03"),
        AbortReason.INVALID_PARAMETER,
    ),
    "a value longer than its PDU": (
        golden.octets("04 00 00000008 00000005 01 03 'ab'"),
        AbortReason.INVALID_PARAMETER,
    ),
    "a value of 4 GiB": (
        golden.octets("04 00 00000008 FFFFFFFF 01 03 'ab'"),
        AbortReason.INVALID_PARAMETER,
    ),
    "bytes behind the last value": (
        golden.octets("04 00 00000009 00000004 01 03 'ab' 00"),
        AbortReason.INVALID_PARAMETER,
    ),
    "a context that was refused": (data_pdu((3, 3, b"ab")), AbortReason.INVALID_PARAMETER),
    "a context that was never proposed": (
        data_pdu((255, 3, b"ab")),
        AbortReason.INVALID_PARAMETER,
    ),
    "a release of five bytes": (b"\5\0\0\0\0\5abcde", AbortReason.INVALID_PARAMETER),
    "a release of three bytes": (b"\5\0\0\0\0\3abc", AbortReason.INVALID_PARAMETER),
    "an abort of 4 GiB": (b"\7\0\xff\xff\xff\xff", AbortReason.INVALID_PARAMETER),
    "a second request": (golden.ECHOSCU_ASSOCIATE_RQ, AbortReason.UNEXPECTED_PDU),
    "an answer": (golden.STORESCP_ASSOCIATE_AC, AbortReason.UNEXPECTED_PDU),
    "a rejection": (golden.STORESCP_ASSOCIATE_RJ, AbortReason.UNEXPECTED_PDU),
}


@pytest.mark.parametrize("name", MALFORMED_DATA)
def test_a_malformed_pdu_in_an_association_is_aborted_by_the_provider(name):
    data, reason = MALFORMED_DATA[name]
    association = acceptor()
    association.feed(data_pdu((1, 0, b"good")) + data)
    good, *_, aborted = events(association)
    assert good.data == b"good"  # what was good before it is not swallowed
    assert aborted == Aborted(2, reason, by_peer=False, problem=aborted.problem)
    assert association.data_to_send() == golden.octets("07 00 00000004 00 00 02") + bytes([reason])
    association.feed(data * 10)
    assert events(association) == []
    assert association.data_to_send() == b""


def test_fragments_of_one_byte_are_taken_in_constant_memory():
    association = acceptor()
    capacity = len(association.receive_view().obj)
    stream = data_pdu((1, 0, b"x")) * 1000
    for _ in range(20):
        association.feed(stream)
        assert len(events(association)) == 1000
    assert len(association.receive_view().obj) == capacity <= max(SLAB_BYTES, 2 * LENGTH_BYTES_MAX)


def test_an_aborted_association_holds_nothing_however_much_comes():
    association = acceptor()
    association.feed(b"\x99" * 6)
    events(association)
    for _ in range(100):
        view = association.receive_view()
        association.received(len(view))
        assert association.next_event() is None
    assert len(association.receive_view()) == len(association.receive_view().obj)


def test_an_error_text_has_numbers_and_no_bytes_of_the_peer():
    secret = "1.2.840.99.DOE^JOHN"
    association = awaiting_request()
    association.feed(
        request(
            APPLICATION_CONTEXT,
            context(1, item(0x30, secret.encode()) * 2),
            USER,
            fixed=FIXED[:20] + b"DOE^JOHN\x01".ljust(16) + FIXED[36:],
        )
    )
    [aborted] = events(association)
    assert not re.search("DOE|840", str(aborted.problem))
