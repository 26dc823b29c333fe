"""An association from either side, driven by hand."""

import pytest

from fileroom.wire import pdu, presentation
from fileroom.wire.event import (
    Aborted,
    AssociateRefused,
    AssociateRejected,
    AssociateRequested,
    MessageFragment,
    ReleaseConfirmed,
    ReleaseRequested,
    Timer,
    TransportClosed,
)
from fileroom.wire.state_machine import StateError
from fileroom.wire.state_table import State
from fileroom.wire.upper_layer import Association
from golden import wire_pdus as golden
from wire_talk import (
    ANSWER,
    CT,
    EXPLICIT,
    REQUEST,
    acceptor,
    awaiting_answer,
    awaiting_local_answer,
    awaiting_request,
    data_pdu,
    events,
    requestor,
)


def test_an_echo_of_dcmtk_from_the_first_byte_to_the_last():
    association = Association.acceptor()
    assert association.take_timer() is Timer.START
    association.feed(golden.ECHOSCU_ASSOCIATE_RQ)
    [asked] = events(association)
    assert isinstance(asked, AssociateRequested)
    assert association.take_timer() is Timer.STOP
    association.accept(
        pdu.AssociateAccept(
            (pdu.AnsweredContext(1, 0, "1.2.840.10008.1.2"),),
            pdu.UserInformation(16384, "1.2.276.0.7230010.3.0.3.6.7", "OFFIS_DCMTK_367"),
            titles=asked.request.titles,
        )
    )
    assert association.data_to_send() == golden.STORESCP_ASSOCIATE_AC.replace(
        b"ANY-SCP         ECHOSCU         ", golden.ECHOSCU_ASSOCIATE_RQ[10:42]
    )
    association.feed(golden.ECHOSCU_P_DATA_TF + golden.ECHOSCU_C_ECHO_RQ)
    assert events(association) == [
        MessageFragment(1, True, True, memoryview(golden.ECHOSCU_C_ECHO_RQ))
    ]
    association.send_message(1, golden.STORESCP_C_ECHO_RSP)
    assert association.data_to_send() == golden.STORESCP_P_DATA_TF + golden.STORESCP_C_ECHO_RSP
    association.feed(golden.RELEASE_RQ)
    assert events(association) == [ReleaseRequested()]
    association.reply_release()
    assert association.data_to_send() == golden.RELEASE_RP
    assert association.take_timer() is Timer.START
    association.connection_closed()
    assert association.take_timer() is Timer.STOP
    assert association.state is State.IDLE
    assert events(association) == []


def test_both_sides_understand_each_other():
    calling, called = Association.requestor(REQUEST), Association.acceptor()
    calling.connected()
    called.feed(calling.data_to_send())
    assert events(called) == [AssociateRequested(REQUEST)]
    called.accept(ANSWER)
    calling.feed(called.data_to_send())
    events(calling)
    assert calling.contexts == called.contexts == {1: presentation.AcceptedContext(1, CT, EXPLICIT)}
    calling.send_message(1, b"command.", [b"data", b"", b" set"])
    called.feed(calling.data_to_send())
    assert events(called) == [
        MessageFragment(1, True, True, memoryview(b"command.")),
        MessageFragment(1, False, True, memoryview(b"data set")),
    ]
    calling.release()
    called.feed(calling.data_to_send())
    assert events(called) == [ReleaseRequested()]
    called.send_message(1, b"late answer")  # AR-7: allowed until the release is answered
    called.reply_release()
    calling.feed(called.data_to_send())
    assert events(calling) == [
        MessageFragment(1, True, True, memoryview(b"late answer")),  # AR-6
        ReleaseConfirmed(),
    ]
    assert calling.closing


def test_a_release_that_both_ask_for_at_once_ends_in_order():
    calling, called = requestor(), acceptor()
    calling.release()
    called.release()
    calling.feed(called.data_to_send())
    called.feed(calling.data_to_send())
    assert events(calling) == events(called) == [ReleaseRequested()]
    assert calling.state is State.COLLISION_REQUESTOR_AWAITING_LOCAL_REPLY
    assert called.state is State.COLLISION_ACCEPTOR_AWAITING_REPLY
    calling.reply_release()
    called.feed(calling.data_to_send())
    assert events(called) == [ReleaseConfirmed()]
    called.reply_release()
    calling.feed(called.data_to_send())
    assert events(calling) == [ReleaseConfirmed()]
    assert calling.closing
    assert called.state is State.AWAITING_CLOSE


def test_a_rejection_is_sent_and_the_connection_waits_for_the_peer_to_close():
    association = awaiting_local_answer()
    association.take_timer()
    association.reject(pdu.AssociateReject(1, 1, 2))
    assert association.data_to_send() == golden.STORESCP_ASSOCIATE_RJ
    assert association.take_timer() is Timer.START
    assert not association.closing
    association.artim_expired()
    assert association.closing
    assert association.take_timer() is Timer.STOP


def test_a_rejection_is_received():
    association = awaiting_answer()
    association.feed(golden.STORESCP_ASSOCIATE_RJ)
    assert events(association) == [AssociateRejected(pdu.AssociateReject(1, 1, 2))]
    assert association.closing


def test_a_protocol_version_that_we_do_not_have_is_rejected_by_the_provider():
    association = awaiting_request()
    data = bytearray(golden.ECHOSCU_ASSOCIATE_RQ)
    data[6:8] = b"\0\2"
    association.feed(data)
    [refused] = events(association)
    assert isinstance(refused, AssociateRefused)
    assert refused.request.calling_ae_title == "ECHOSCU"
    assert association.data_to_send() == golden.octets("03 00 00000004 00 01 02 02")
    assert association.state is State.AWAITING_CLOSE


def test_versions_to_come_beside_ours_do_not_matter():
    association = awaiting_request()
    data = bytearray(golden.ECHOSCU_ASSOCIATE_RQ)
    data[6:8] = b"\x80\3"
    association.feed(data)
    assert isinstance(events(association)[0], AssociateRequested)


def test_a_peer_that_never_asks_is_closed_when_the_timer_runs_out():
    association = awaiting_request()
    association.feed(golden.ECHOSCU_ASSOCIATE_RQ[:100])
    assert events(association) == []
    association.artim_expired()
    assert association.closing
    association.feed(golden.ECHOSCU_ASSOCIATE_RQ[100:])
    assert events(association) == []


@pytest.mark.parametrize("abort", [golden.USER_ABORT, golden.PROVIDER_ABORT])
def test_an_abort_of_the_peer_ends_it_at_once(abort):
    association = acceptor()
    association.feed(data_pdu((1, 0, b"half of it")) + abort + data_pdu((1, 2, b"more")))
    fragment, aborted = events(association)
    assert fragment.data == b"half of it"
    assert aborted == Aborted(abort[8], abort[9], by_peer=True)
    assert association.closing
    assert association.data_to_send() == b""


def test_an_abort_of_ours_leaves_nothing_to_be_said():
    association = acceptor()
    association.abort()
    assert association.data_to_send() == golden.USER_ABORT
    assert association.take_timer() is Timer.START
    association.feed(data_pdu((1, 3, b"too late")))
    assert events(association) == []
    with pytest.raises(StateError):
        association.send_message(1, b"too late")
    with pytest.raises(StateError):
        association.reply_release()
    association.abort()
    assert association.data_to_send() == b""


def test_a_lost_connection_is_told_once():
    association = acceptor()
    association.feed(data_pdu((1, 0, b"x"))[:9])
    association.connection_closed()
    association.connection_closed()
    assert events(association) == [TransportClosed()]


def test_a_pdu_that_cannot_come_now_is_answered_with_unexpected_pdu():
    association = acceptor()
    association.feed(golden.RELEASE_RP)
    [aborted] = events(association)
    assert (aborted.source, aborted.reason, aborted.by_peer) == (2, 2, False)
    assert association.data_to_send() == golden.octets("07 00 00000004 00 00 02 02")


def test_data_before_the_association_is_answered_from_its_header_alone():
    association = awaiting_request()
    association.feed(data_pdu((1, 3, bytes(5000)))[:6])
    [aborted] = events(association)
    assert aborted.problem is not None
    assert association.data_to_send() == golden.USER_ABORT  # AA-1: source service-user
    assert association.take_timer() is Timer.START


def test_an_answer_that_accepts_what_was_not_proposed_is_refused():
    for context in (
        pdu.AnsweredContext(5, 0, EXPLICIT),
        pdu.AnsweredContext(1, 0, "1.2.840.10008.1.2"),
    ):
        association = awaiting_answer()
        association.feed(pdu.encode(pdu.AssociateAccept((context,), ANSWER.user)))
        [aborted] = events(association)
        assert (aborted.source, aborted.reason) == (2, 6)
        assert association.contexts == {}


def test_messages_are_cut_to_what_the_peer_takes():
    association = acceptor()  # the peer announced 4096 bytes
    dataset = bytes(range(256)) * 64
    association.send_message(1, b"command.", [dataset[:5001], dataset[5001:]])
    sent = association.data_to_send()
    values, start = [], 0
    while start < len(sent):
        length_bytes = int.from_bytes(sent[start + 2 : start + 6], "big")
        assert length_bytes <= 4096
        received = pdu.decode(sent[start], sent[start + 6 : start + 6 + length_bytes])
        values += received.values
        start += 6 + length_bytes
    assert [(each.is_command, each.is_last) for each in values] == [
        (True, True),
        *[(False, False)] * 4,
        (False, True),
    ]
    assert b"".join(each.data for each in values[1:]) == dataset
    assert all(len(each.data) % 2 == 0 for each in values)


def test_a_data_set_of_exactly_one_pdu_is_its_last_fragment():
    association = acceptor()
    association.send_message(1, b"command.", [bytes(4090)])
    only = golden.octets("04 00 00001000 00000FFC 01 02")
    assert association.data_to_send()[20:32] == only


def test_an_empty_data_set_is_still_sent():
    association = acceptor()
    association.send_message(1, b"command.", [])
    assert association.data_to_send().endswith(golden.octets("04 00 00000006 00000002 01 02"))


def test_a_large_data_set_is_given_piece_by_piece_and_stops_when_the_peer_goes():
    association = acceptor()
    pieces = association.message_pdus(1, b"command.", (bytes(4090) for _ in range(1 << 20)))
    assert len(next(pieces)) == 12 + 8
    next(pieces)
    association.feed(golden.USER_ABORT)
    events(association)
    with pytest.raises(StateError):
        next(pieces)


def test_fragments_lie_in_the_buffer_that_the_socket_wrote():
    association = acceptor()
    data = data_pdu((1, 2, b"pixels"))
    view = association.receive_view()
    view[: len(data)] = data
    association.received(len(data))
    [fragment] = events(association)
    assert fragment.data.obj is view.obj


def test_values_of_one_pdu_are_given_one_by_one_also_when_the_buffer_moves_between():
    association = acceptor()
    association.feed(data_pdu((1, 1, b"ab"), (1, 3, b"cd"), (1, 0, b"ef")))
    association.feed(data_pdu((1, 2, b"gh")))
    assert association.next_event().data == b"ab"
    association.feed(b"")
    view = association.receive_view()
    assert len(view) > 0
    assert association.next_event().data == b"cd"
    assert [bytes(each.data) for each in events(association)] == [b"ef", b"gh"]
