"""Associations brought to a state, for tests of what comes then."""

from fileroom.wire import pdu
from fileroom.wire.event import AssociateAccepted, AssociateRequested, Event
from fileroom.wire.pdu import AnsweredContext, AssociateAccept, AssociateRequest, ProposedContext
from fileroom.wire.upper_layer import Association
from fileroom.wire.user_information import UserInformation
from golden import wire_pdus as golden

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
LENGTH_BYTES_MAX = 16384  # that our side announces
REQUEST = AssociateRequest(
    called_ae_title="FILEROOM",
    calling_ae_title="SENDER",
    contexts=(ProposedContext(1, CT, (EXPLICIT,)), ProposedContext(3, CT, (EXPLICIT,))),
    user=UserInformation(max_length_bytes=4096, implementation_class_uid="1.2.3"),
)
ANSWER = AssociateAccept(
    contexts=(AnsweredContext(1, 0, EXPLICIT), AnsweredContext(3, 4)),
    user=UserInformation(max_length_bytes=LENGTH_BYTES_MAX, implementation_class_uid="1.2.4"),
)


def events(association: Association) -> list[Event]:
    return list(iter(association.next_event, None))


def awaiting_request() -> Association:
    return Association.acceptor()  # Sta2


def awaiting_local_answer() -> Association:
    association = Association.acceptor()
    association.feed(pdu.encode(REQUEST))
    assert events(association) == [AssociateRequested(REQUEST)]
    return association  # Sta3


def acceptor() -> Association:
    association = awaiting_local_answer()
    association.take_timer()
    association.accept(ANSWER)
    assert association.data_to_send() == pdu.encode(ANSWER)
    return association  # Sta6


def awaiting_answer() -> Association:
    association = Association.requestor(REQUEST)
    association.connected()
    assert association.data_to_send() == pdu.encode(REQUEST)
    return association  # Sta5


def requestor() -> Association:
    association = awaiting_answer()
    association.feed(pdu.encode(ANSWER))
    assert events(association) == [AssociateAccepted(ANSWER)]
    return association  # Sta6


def data_pdu(*values: tuple[int, int, bytes]) -> bytes:
    """A P-DATA-TF as PS3.8 §9.3.5 says, from (context ID, control header, data)."""
    body = b"".join(
        (len(data) + 2).to_bytes(4, "big") + bytes([context_id, control]) + data
        for context_id, control, data in values
    )
    return b"\x04\0" + len(body).to_bytes(4, "big") + body


ECHO = golden.ECHOSCU_P_DATA_TF + golden.ECHOSCU_C_ECHO_RQ
