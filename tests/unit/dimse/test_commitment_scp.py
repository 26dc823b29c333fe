"""N-ACTION of storage commitment: bounded while it is read, ours before it is answered."""

import asyncio

import pytest

from fileroom.dicom.commitment import (
    FailureReason,
    Reference,
    Request,
    Result,
    TooManyReferencesError,
)
from fileroom.dicom.instance_error import InstanceError
from fileroom.dimse import commitment_scp
from fileroom.dimse.commitment_scp import (
    AskingAssociation,
    Commitment,
    CommitmentDesk,
    begin,
    status_of,
)
from fileroom.dimse.operation import GoneError, Refused
from fileroom.dimse.outgoing import Outgoing
from fileroom.errors import IntegrityError, TransientError, UncertainError
from fileroom.ingest.promise import TransactionInUseError
from fileroom.spool.record import Origin
from fileroom.wire.message import Command, CommandField
from fileroom.wire.presentation import AcceptedContext
from fileroom.wire.sop_class import STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE
from wire_talk import acceptor, requestor

CT = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT = "1.2.840.10008.1.2"
CONTEXT = AcceptedContext(1, STORAGE_COMMITMENT, IMPLICIT)
ORIGIN = Origin("dimse", "CT1", "10.0.0.7", "c0ffee")
# PS3.4 Table J.3-1 in implicit little endian, as DCMTK's dump2dcm writes it.
ACTION_INFORMATION = bytes.fromhex(
    "08009511 06000000 312e372e3100"  # Transaction UID 1.7.1
    "08009911 38000000"  # Referenced SOP Sequence
    "feff00e0 30000000"  # one item
    "08005011 1a000000"  # Referenced SOP Class UID
    "312e322e3834302e31303030382e352e312e342e312e312e3200"
    "08005511 06000000 312e392e3100"  # Referenced SOP Instance UID 1.9.1
)


def command(**elements):
    values = {
        "CommandField": CommandField.N_ACTION_RQ,
        "MessageID": 7,
        "RequestedSOPClassUID": STORAGE_COMMITMENT,
        "RequestedSOPInstanceUID": STORAGE_COMMITMENT_INSTANCE,
        "ActionTypeID": 1,
        "CommandDataSetType": 1,
    } | elements
    return Command(1, {name: value for name, value in values.items() if value is not None})


class Node:
    """What is behind the desk; its failure, and what was asked and offered, in order."""

    def __init__(self, failure=None):
        self.failure = failure
        self.done = []
        self.tasks = []

    async def ask(self, request, *, ae_title, address):
        if self.failure is not None:
            raise self.failure
        self.done.append(("asked", request, ae_title, address))

    def offer(self, ae_title, transaction_uid, way):
        self.done.append(("offered", ae_title, transaction_uid))
        told = Result("1.7.1", [Reference(CT, "1.9.1")], [None], "FILEROOM")
        self.tasks.append(asyncio.ensure_future(way.tell(told)))


class Talk:
    """An association that keeps in order what is said in it."""

    name, contexts, is_open = "c0ffee", {1: CONTEXT}, True

    def __init__(self, node, status=0):
        self.node = node
        self.status = status

    async def ask(self, context_id, elements, data_set=None):
        data = b"".join([bytes(each) async for each in data_set])
        self.node.done.append(("told", context_id, elements, data))
        return Command(1, {"Status": self.status})


def begun(node, *pieces):
    desk = CommitmentDesk(node, node)
    operation = begin(command(), CONTEXT, desk, ORIGIN)
    for each in pieces:
        operation.write(each)
    return operation, desk


async def test_a_request_is_ours_before_it_is_answered_and_told_of_behind_the_answer():
    node = Node()
    operation, _ = begun(node, ACTION_INFORMATION[:30], ACTION_INFORMATION[30:])
    assert operation.answer is None
    answer = await operation.perform(Talk(node))
    node.done.append(("answered", answer.status, dict(answer.elements)))
    assert await node.tasks[0] == 0
    asked, offered, answered, told = node.done
    request = Request("1.7.1", (Reference(CT, "1.9.1"),))
    assert asked == ("asked", request, "CT1", "10.0.0.7")
    assert offered == ("offered", "CT1", "1.7.1")
    assert answered == ("answered", 0, {"ActionTypeID": 1})
    _, context_id, elements, data = told
    assert context_id == 1
    assert elements == {
        "AffectedSOPClassUID": STORAGE_COMMITMENT,
        "CommandField": 0x0100,
        "CommandDataSetType": 1,
        "AffectedSOPInstanceUID": STORAGE_COMMITMENT_INSTANCE,
        "EventTypeID": 1,
    }
    assert b"".join(Result(*request, [None], "FILEROOM").data_set(IMPLICIT)) == data


async def test_a_peer_that_talks_on_and_never_answers_a_report_is_told_another_way():
    class Deaf(Talk):
        async def ask(self, *_):
            await asyncio.Event().wait()

    way = AskingAssociation(Deaf(Node()), CONTEXT, answer_s=0)
    with pytest.raises(GoneError, match="no answer to a report"):
        await way.tell(Result("1.7.1", [Reference(CT, "1.9.1")], [None], "FILEROOM"))


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InstanceError("no UID"), 0x0115),
        (TransactionInUseError("in use"), 0x0115),
        (TooManyReferencesError("many"), 0x0213),
        (TransientError("not now"), 0x0213),
        (UncertainError("perhaps"), 0x0213),
        (IntegrityError("damaged"), 0x0110),
    ],
)
async def test_a_request_that_is_not_ours_is_answered_with_failure(error, status):
    node = Node(error)
    operation, desk = begun(node, ACTION_INFORMATION)
    answer = await operation.perform(Talk(node))
    assert (answer.status, status_of(error)) == (status, status)
    assert node.done == []
    assert desk.take(commitment_scp.HELD_BYTES_MAX), "nothing is held any more"


@pytest.mark.parametrize(
    ("elements", "status"),
    [
        ({"RequestedSOPClassUID": CT}, 0x0118),
        ({"RequestedSOPClassUID": None}, 0x0118),
        ({"RequestedSOPInstanceUID": STORAGE_COMMITMENT}, 0x0112),
        ({"RequestedSOPInstanceUID": "../1"}, 0x0117),
        ({"RequestedSOPInstanceUID": None}, 0x0117),
        ({"ActionTypeID": 2}, 0x0123),
        ({"ActionTypeID": None}, 0x0123),
        ({"CommandDataSetType": 0x0101}, 0x0115),
    ],
)
def test_another_action_is_refused(elements, status):
    refused = begin(command(**elements), CONTEXT, CommitmentDesk(Node(), Node()), ORIGIN)
    assert isinstance(refused, Refused)
    assert refused.answer.status == status


async def test_a_request_is_read_up_to_its_limit(monkeypatch):
    monkeypatch.setattr(commitment_scp, "SIZE_BYTES_MAX", 10)
    operation, desk = begun(Node(), b"12345", b"67890")
    assert operation.answer is None
    operation.write(b"x")
    operation.write(b"y" * 100)
    assert operation.answer.status == 0x0213
    assert desk.take(commitment_scp.HELD_BYTES_MAX)


async def test_all_requests_together_hold_no_more_than_their_limit(monkeypatch):
    monkeypatch.setattr(commitment_scp, "HELD_BYTES_MAX", 10)
    desk = CommitmentDesk(Node(), Node())
    first, second, third = (Commitment(command(), CONTEXT, desk, ORIGIN) for _ in range(3))
    first.write(b"123456")
    second.write(b"123456")
    assert (first.answer, second.answer.status) == (None, 0x0213)
    first.abandon()
    first.abandon()
    third.write(b"1234567890")
    assert third.answer is None


async def test_a_peer_that_leaves_is_not_kept_by_a_report_that_it_can_not_answer_any_more():
    upper, peer = acceptor(), requestor()
    outgoing = Outgoing("c0ffee", upper, lambda: peer.feed(upper.data_to_send()))
    told = Result("1.7.1", [Reference(CT, "1.9.1")], [FailureReason.PROCESSING_FAILURE], "F")
    (context_id,) = list(upper.contexts)[:1]
    context = AcceptedContext(context_id, STORAGE_COMMITMENT, IMPLICIT)
    telling = asyncio.create_task(commitment_scp.AskingAssociation(outgoing, context).tell(told))
    while not outgoing.waits_for_peer:
        await asyncio.sleep(0)
    assert outgoing.is_idle, "a release can be answered"
    outgoing.end()
    with pytest.raises(GoneError):
        await telling
