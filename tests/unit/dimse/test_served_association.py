"""The DICOM door without a network: a transport of ours, a clock of ours, a receiver in memory."""

import asyncio
import logging

import pytest

from dimse_fakes import MemoryReceiver, MemoryReception, nothing_to_read
from fileroom.access.decide import Action, Decision
from fileroom.clock import ManualClock
from fileroom.dicom.instance_error import InstanceError
from fileroom.dimse.association import ServedAssociation
from fileroom.dimse.operation import Answer, GoneError, Settled
from fileroom.dimse.server import SERVICES, DimseServer, Limits, Refusal
from fileroom.errors import RefusedError, TransientError
from fileroom.ingest.receive import MismatchError
from fileroom.spool.failure import SpaceError, SpoolError
from fileroom.wire import message, pdu
from fileroom.wire.event import (
    Aborted,
    AssociateAccepted,
    AssociateRejected,
    Event,
    MessageFragment,
    ReleaseConfirmed,
)
from fileroom.wire.message import Command, CommandField, decode_command
from fileroom.wire.pdu import AssociateReject, ProposedContext
from fileroom.wire.presentation import AcceptedContext
from fileroom.wire.sop_class import VERIFICATION
from fileroom.wire.upper_layer import Association
from fileroom.wire.user_information import AsyncOperations, UserIdentity, UserInformation
from golden import wire_pdus as golden
from retrieve_fakes import MemoryArchive, Records, provision_of

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
ECHO_CONTEXT, CT_CONTEXT, MR_CONTEXT = 1, 3, 5


class Wire(asyncio.Transport):
    """A transport that keeps what is written and says whether reading is paused."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        super().__init__({"peername": (address, 40000)})
        self.written = bytearray()
        self.reading = True
        self.closed = False
        self.protocol: ServedAssociation | None = None

    def write(self, data):
        assert not self.closed
        self.written += data

    def pause_reading(self):
        assert self.reading
        self.reading = False

    def resume_reading(self):
        assert not self.reading
        self.reading = True

    def is_closing(self):
        return self.closed

    def close(self):
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    abort = close


class Talk:
    """A peer at the other end of a `Wire`, with an upper layer of its own."""

    def __init__(self, server: DimseServer, *, address: str = "127.0.0.1") -> None:
        self.wire = Wire(address)
        self.protocol = self.wire.protocol = ServedAssociation(server)
        self.protocol.connection_made(self.wire)
        self.statuses: dict[int, int] = {}  # by message ID, in order of arrival
        self.comments: dict[int, object] = {}

    def associate(
        self,
        *,
        called: str = "FILEROOM",
        calling: str = "SENDER",
        window: AsyncOperations | None = None,
        user_identity: UserIdentity | None = None,
        application_context: str = pdu.APPLICATION_CONTEXT_NAME,
    ) -> Event:
        contexts = ((VERIFICATION, IMPLICIT), (CT, EXPLICIT), (MR, IMPLICIT))
        user = UserInformation(16384, "1.2.3", async_operations=window, user_identity=user_identity)
        self.upper = Association.requestor(
            pdu.AssociateRequest(
                called,
                calling,
                tuple(ProposedContext(2 * n + 1, a, (t,)) for n, (a, t) in enumerate(contexts)),
                user,
                application_context,
            )
        )
        self.upper.connected()
        self.send()
        [answer] = self.events()
        return answer

    def send(self, data: bytes | None = None) -> None:
        """Let the bytes arrive as the event loop would: as long as reading is not paused."""
        self.waiting = getattr(self, "waiting", b"") + (
            self.upper.data_to_send() if data is None else data
        )
        while self.waiting and self.wire.reading and not self.wire.closed:
            view = self.protocol.get_buffer(-1)
            size_bytes = min(len(view), len(self.waiting), 5000)
            view[:size_bytes] = self.waiting[:size_bytes]
            self.waiting = self.waiting[size_bytes:]
            self.protocol.buffer_updated(size_bytes)

    def events(self) -> list[Event]:
        self.upper.feed(bytes(self.wire.written))
        self.wire.written.clear()
        found = []
        while (each := self.upper.next_event()) is not None:
            if isinstance(each, MessageFragment):
                elements = decode_command(bytes(each.data))
                message_id = elements["MessageIDBeingRespondedTo"]
                self.statuses[message_id] = elements["Status"]
                self.comments[message_id] = elements.get("ErrorComment")
            else:
                found.append(each)
        return found

    def echo(self, message_id: int = 1, context_id: int = ECHO_CONTEXT) -> None:
        self.upper.send_message(context_id, message.echo_request(message_id))
        self.send()

    def store(
        self,
        instance: str,
        dataset: bytes = b"data set",
        *,
        message_id: int = 1,
        context_id: int = CT_CONTEXT,
        sop_class: str = CT,
    ) -> None:
        command = message.store_request(
            message_id, sop_class_uid=sop_class, sop_instance_uid=instance
        )
        self.upper.send_message(context_id, command, [dataset])
        self.send()


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


class Setup:
    def __init__(self, **limits: float) -> None:
        self.receiver = MemoryReceiver()
        self.clock = ManualClock()
        self.refusals: list[Refusal] = []
        self.denied: set[Action] = set()
        self.asked: list[tuple[str, Action]] = []
        self.server = DimseServer(
            "127.0.0.1",
            0,
            ae_titles={"FILEROOM"},
            receiver=self.receiver,
            provision=nothing_to_read,
            decide=self.decide,
            clock=self.clock,
            limits=Limits(**{"pdu_size_bytes_max": 16384, **limits}),
            on_refused=self.refusals.append,
        )

    def decide(self, principal, action, object):
        self.asked.append((principal.address, action))
        return Decision(action not in self.denied, "because")

    def talk(self, **options: object) -> Talk:
        talk = Talk(self.server)
        assert isinstance(talk.associate(**options), AssociateAccepted)
        return talk

    def tick(self, talk: Talk, duration_s: float) -> None:
        self.clock.advance(duration_s)
        talk.protocol.tick(self.clock.monotonic_s())


async def test_an_instance_is_handed_on_and_answered_when_it_is_ours():
    setup = Setup()
    talk = setup.talk()
    dataset = bytes(range(256)) * 300
    setup.receiver.gate = asyncio.get_running_loop().create_future()
    talk.store("1.2.3", dataset, message_id=7)
    await settle()
    assert talk.events() == []
    assert talk.statuses == {}  # not before the commit
    setup.receiver.gate.set_result(None)
    await settle()
    assert talk.events() == []
    assert talk.statuses == {7: 0}
    [landed] = setup.receiver.landed
    assert (landed.sop_class_uid, landed.sop_instance_uid) == (CT, "1.2.3")
    assert landed.transfer_syntax_uid == EXPLICIT
    assert landed.data == dataset
    assert landed.origin.channel == "dimse"
    assert landed.origin.calling_ae_title == "SENDER"
    assert landed.origin.address == "127.0.0.1"
    assert landed.origin.conversation == talk.protocol.name


async def test_an_association_ends_in_order_and_closes_its_conversation():
    setup = Setup()
    talk = setup.talk()
    for number in range(3):
        talk.store(f"1.2.{number}", message_id=number)
        await settle()
    talk.upper.release()
    talk.send()
    assert talk.events() == [ReleaseConfirmed()]
    talk.wire.close()
    await settle()
    [conversation] = setup.receiver.conversations
    assert conversation.closed
    assert setup.server.associations == 0


async def test_an_echo_needs_no_conversation():
    setup = Setup()
    talk = setup.talk()
    talk.echo(9)
    talk.events()
    assert talk.statuses == {9: 0}
    assert setup.receiver.conversations == []


async def test_reading_goes_on_while_a_commit_is_awaited():
    setup = Setup()
    talk = setup.talk(window=AsyncOperations(3, 1))
    setup.receiver.gate = asyncio.get_running_loop().create_future()
    talk.store("1.2.1", message_id=1)
    talk.store("1.2.2", message_id=2)
    await settle()
    talk.echo(3)
    talk.events()
    assert list(talk.statuses) == [3]  # out of order
    setup.receiver.gate.set_result(None)
    await settle()
    talk.events()
    assert sorted(talk.statuses) == [1, 2, 3]


async def test_more_than_was_negotiated_waits_unread():
    setup = Setup()
    talk = setup.talk(window=AsyncOperations(2, 1))
    setup.receiver.gate = asyncio.get_running_loop().create_future()
    for number in range(1, 5):
        talk.store(f"1.2.{number}", message_id=number)
    await settle()
    [conversation] = setup.receiver.conversations
    assert conversation.open_receptions == 2
    assert not talk.wire.reading
    setup.receiver.gate.set_result(None)
    await settle()
    talk.send()
    await settle()
    talk.events()
    assert talk.statuses == dict.fromkeys(range(1, 5), 0)
    assert talk.wire.reading


async def test_without_a_window_one_instance_is_outstanding_at_most():
    setup = Setup()
    talk = setup.talk()
    setup.receiver.gate = asyncio.get_running_loop().create_future()
    talk.store("1.2.1", message_id=1)
    talk.store("1.2.2", message_id=2)
    await settle()
    assert setup.receiver.conversations[0].open_receptions == 1
    setup.receiver.gate.set_result(None)
    await settle()
    talk.events()
    assert talk.statuses == {1: 0, 2: 0}


async def test_a_full_landing_stops_the_reading_and_nothing_is_lost():
    setup = Setup()
    talk = setup.talk()
    setup.receiver.full_after_bytes = 30_000
    dataset = bytes(range(256)) * 1000
    talk.store("1.2.3", dataset)
    await settle()
    assert not talk.wire.reading
    assert len(talk.waiting) > 150_000
    setup.receiver.relieve()
    await settle()
    assert talk.wire.reading
    talk.send(b"")
    await settle()
    assert setup.receiver.landed[0].data == dataset


async def test_a_peer_that_does_not_read_its_answers_is_not_read_either():
    setup = Setup(idle_timeout_s=60)
    talk = setup.talk()
    talk.protocol.pause_writing()
    assert not talk.wire.reading
    talk.protocol.resume_writing()
    assert talk.wire.reading
    talk.protocol.pause_writing()
    setup.tick(talk, 1)
    setup.tick(talk, 60)
    assert talk.wire.closed


FAILURES = {
    "the disk is full": ("begin", SpaceError("1 B free"), 0xA700),
    "the disk becomes full": ("write", SpaceError("1 B free"), 0xA700),
    "the disk fails": ("finish", SpoolError("errno 5"), 0xA700),
    "the keys are locked": ("begin", TransientError("keys locked"), 0xA700),
    "no identity": ("finish", InstanceError("no SOP Instance UID", tag=0x00080018), 0xC000),
    "a damaged header": ("write", InstanceError("length 7 B", offset=3), 0xC000),
    "another instance": ("finish", MismatchError("not the one announced"), 0xA900),
    "refused otherwise": ("finish", RefusedError("no"), 0x0110),
    "our mistake": ("finish", ZeroDivisionError("DOE^JOHN"), 0x0110),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_a_refused_instance_gets_its_status_and_the_next_one_is_taken(name, caplog):
    step, error, status = FAILURES[name]
    setup = Setup()
    setup.receiver.failures["1.2.1"] = (step, error)
    talk = setup.talk()
    talk.store("1.2.1", bytes(100_000), message_id=1)
    await settle()
    talk.store("1.2.2", message_id=2)
    await settle()
    assert talk.events() == []
    assert talk.statuses == {1: status, 2: 0}
    assert [each.sop_instance_uid for each in setup.receiver.landed] == ["1.2.2"]
    assert "DOE" not in caplog.text + str(talk.comments)
    assert setup.receiver.conversations[0].open_receptions == 0


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"sop_class": MR}, 0x0122),
        ({"context_id": ECHO_CONTEXT}, 0x0211),
        ({"instance": "1.2./etc/passwd"}, 0x0117),
        ({"instance": "1." * 40 + "1"}, 0x0117),
        ({"instance": ""}, 0x0117),
    ],
)
async def test_a_request_that_cannot_be_stored_is_drained(request_, status):
    setup = Setup()
    talk = setup.talk()
    talk.store(**{"instance": "1.2.3", "dataset": bytes(70_000), **request_})
    talk.echo(2)
    assert talk.events() == []
    assert talk.statuses == {1: status, 2: 0}
    assert setup.receiver.landed == []
    # One sentence for each, whatever was announced; a service that is not there is no instance.
    assert len(setup.receiver.refused) == (status != 0x0211)
    assert "passwd" not in str(setup.receiver.refused)


async def test_an_operation_that_we_do_not_have_is_unrecognized():
    setup = Setup()
    talk = setup.talk()
    command = message.encode_command(
        {"CommandField": CommandField.C_FIND_RQ, "MessageID": 4, "CommandDataSetType": 1}
    )
    talk.upper.send_message(CT_CONTEXT, command, [b"identifier"])
    talk.echo(5, context_id=CT_CONTEXT)
    talk.echo(6)
    assert talk.events() == []
    assert talk.statuses == {4: 0x0211, 5: 0x0211, 6: 0}


async def test_a_store_without_a_data_set_is_refused():
    setup = Setup()
    talk = setup.talk()
    command = message.encode_command(
        {
            "CommandField": CommandField.C_STORE_RQ,
            "MessageID": 4,
            "AffectedSOPClassUID": CT,
            "AffectedSOPInstanceUID": "1.2.3",
            "CommandDataSetType": message.NO_DATA_SET,
        }
    )
    talk.upper.send_message(CT_CONTEXT, command)
    talk.send()
    talk.events()
    assert talk.statuses == {4: 0x0212}


async def test_a_message_id_twice_is_a_duplicate_invocation():
    setup = Setup()
    talk = setup.talk(window=AsyncOperations(4, 1))
    setup.receiver.gate = asyncio.get_running_loop().create_future()
    talk.store("1.2.1", message_id=8)
    talk.store("1.2.2", message_id=8)
    await settle()
    talk.events()
    assert talk.statuses == {8: 0x0210}
    setup.receiver.gate.set_result(None)
    await settle()
    talk.events()
    assert talk.statuses == {8: 0}
    assert [each.sop_instance_uid for each in setup.receiver.landed] == ["1.2.1"]


async def test_a_cancel_of_nothing_is_passed_over_and_a_response_to_nothing_aborts():
    setup = Setup()
    talk = setup.talk()
    cancel = {"CommandField": CommandField.C_CANCEL_RQ, "MessageIDBeingRespondedTo": 1}
    talk.upper.send_message(CT_CONTEXT, message.encode_command(cancel))
    talk.echo(2)
    talk.events()
    assert talk.statuses == {2: 0}
    talk.upper.send_message(ECHO_CONTEXT, golden.STORESCP_C_ECHO_RSP)
    talk.send()
    [aborted] = talk.events()
    assert (aborted.source, aborted.reason, aborted.by_peer) == (2, 6, True)


class Waiting(Settled):
    """An operation that goes on until it is cancelled; as C-FIND does, for one."""

    def __init__(self, command: Command) -> None:
        super().__init__(command, Answer(0xFE00))
        self.last, self.answer = self.answer, None
        self.cancelled = asyncio.Event()

    async def perform(self, talk: object) -> Answer:
        await self.cancelled.wait()
        return self.last

    def cancel(self) -> None:
        self.cancelled.set()


def cancel(message_id: int, *, data_set_type: int = 0x0101) -> bytes:
    return message.encode_command(
        {
            "CommandField": CommandField.C_CANCEL_RQ,
            "MessageIDBeingRespondedTo": message_id,
            "CommandDataSetType": data_set_type,
        }
    )


async def test_a_cancel_reaches_the_operation_that_it_names_and_no_other():
    setup = Setup()
    talk = setup.talk(window=AsyncOperations(4, 1))
    talk.protocol._performer.begin = Waiting
    for message_id in (1, 2):
        talk.echo(message_id)
    talk.upper.send_message(ECHO_CONTEXT, cancel(2))
    talk.send()
    await settle()
    talk.events()
    assert talk.statuses == {2: 0xFE00}
    talk.wire.close()
    await settle()
    assert setup.server.associations == 0  # the other one was told that nobody is there


async def test_a_data_set_behind_what_has_none_is_dropped(caplog):
    setup = Setup()
    talk = setup.talk()
    talk.upper.send_message(ECHO_CONTEXT, cancel(1, data_set_type=1), [b"no identifier"])
    talk.send()
    elements = {"CommandField": CommandField.C_ECHO_RQ, "CommandDataSetType": 0x0101}
    asking = asyncio.create_task(talk.protocol._outgoing.ask(ECHO_CONTEXT, elements))
    await settle()
    talk.wire.written.clear()
    answer = message.encode_command(
        {
            "CommandField": CommandField.C_ECHO_RQ | 0x8000,
            "MessageIDBeingRespondedTo": 1,
            "CommandDataSetType": 1,
            "Status": 0,
        }
    )
    talk.upper.send_message(ECHO_CONTEXT, answer, [b"nor this"])
    talk.send()
    assert (await asking).number("Status") == 0
    talk.echo(3)
    assert talk.events() == []
    assert talk.statuses == {3: 0}
    assert "Error" not in caplog.text


async def test_a_mistake_of_ours_in_a_full_landing_costs_one_instance_only(caplog):
    setup = Setup()
    talk = setup.talk()
    setup.receiver.full_after_bytes = 30_000

    async def fails() -> None:
        raise ZeroDivisionError("DOE^JOHN")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(MemoryReception, "ready", lambda _: fails())
        talk.store("1.2.1", bytes(200_000), message_id=1)
        await settle()
    setup.receiver.full_after_bytes = None
    talk.send(b"")
    assert setup.receiver.abandoned == ["1.2.1"]
    talk.store("1.2.2", message_id=2)
    await settle()
    talk.events()
    assert talk.statuses == {1: 0x0110, 2: 0}
    assert [each.sop_instance_uid for each in setup.receiver.landed] == ["1.2.2"]
    assert "ZeroDivisionError" in caplog.text
    assert "DOE" not in caplog.text


async def test_an_instance_that_breaks_off_is_given_up():
    setup = Setup()
    for ending in (golden.USER_ABORT, golden.octets("04 00 FFFFFFFF 0000"), golden.RELEASE_RQ):
        talk = setup.talk()
        pieces = talk.upper.message_pdus(
            CT_CONTEXT,
            message.store_request(1, sop_class_uid=CT, sop_instance_uid="1.2.3"),
            [bytes(100_000)],
        )
        talk.send(next(pieces) + next(pieces))
        talk.send(ending)
        talk.wire.close()
        await settle()
    assert setup.receiver.abandoned == ["1.2.3"] * 3
    assert setup.receiver.landed == []
    assert all(each.closed for each in setup.receiver.conversations)
    assert setup.server.associations == 0


@pytest.mark.parametrize("ends", ["lost", "cut"])
async def test_an_instance_too_many_for_the_window_never_begins_once_the_connection_is_gone(ends):
    setup = Setup()
    talk = setup.talk()
    setup.receiver.gate = asyncio.get_running_loop().create_future()
    talk.store("1.2.1", message_id=1)
    talk.store("1.2.2", message_id=2)
    await settle()
    talk.wire.close() if ends == "lost" else talk.protocol.cut()
    await settle()
    setup.receiver.gate.set_result(None)
    await settle()
    [conversation] = setup.receiver.conversations
    assert (conversation.open_receptions, conversation.closed) == (0, True)
    assert [landed.sop_instance_uid for landed in setup.receiver.landed] == ["1.2.1"]


async def test_a_connection_that_is_lost_while_its_instance_commits_keeps_the_instance():
    setup = Setup()
    talk = setup.talk()
    setup.receiver.gate = asyncio.get_running_loop().create_future()
    talk.store("1.2.1")
    talk.wire.close()
    await settle()
    [conversation] = setup.receiver.conversations
    assert not conversation.closed
    setup.receiver.gate.set_result(None)
    await settle()
    assert conversation.closed
    assert len(setup.receiver.landed) == 1


async def test_a_release_is_answered_when_the_last_instance_is():
    setup = Setup()
    talk = setup.talk()
    setup.receiver.gate = asyncio.get_running_loop().create_future()
    talk.store("1.2.1", message_id=3)
    talk.upper.release()
    talk.send()
    await settle()
    assert talk.events() == []
    setup.receiver.gate.set_result(None)
    await settle()
    assert talk.events() == [ReleaseConfirmed()]
    assert talk.statuses == {3: 0}


@pytest.mark.parametrize(
    ("options", "denied", "reject", "reason"),
    [
        ({"called": "OTHER"}, (), (1, 1, 7), "called AE title not recognized"),
        ({"called": "fileroom"}, (), (1, 1, 7), "called AE title not recognized"),
        ({}, tuple(Action), (1, 1, 3), "calling AE title not recognized"),
        (
            {"application_context": "1.2.3"},
            (),
            (1, 1, 2),
            "application context name not supported",
        ),
    ],
)
async def test_a_stranger_is_rejected_with_the_reason_and_noted(options, denied, reject, reason):
    setup = Setup()
    setup.denied.update(denied)
    talk = Talk(setup.server)
    assert talk.associate(**options) == AssociateRejected(AssociateReject(*reject))
    assert setup.refusals == [Refusal("SENDER", "127.0.0.1", reason)]
    assert setup.server.associations == 0


async def test_one_association_too_many_is_rejected_for_the_local_limit():
    setup = Setup(associations_max=2)
    first = setup.talk()
    setup.talk()
    third = Talk(setup.server)
    assert third.associate() == AssociateRejected(AssociateReject(2, 3, 2))
    first.wire.close()
    await settle()
    setup.talk()


async def test_no_peer_takes_all_associations_that_there_are():
    setup = Setup(associations_max=4, associations_per_peer_max=2)
    first = setup.talk(calling="ONE")
    setup.talk(calling="TWO")
    third = Talk(setup.server)
    assert third.associate(calling="THREE") == AssociateRejected(AssociateReject(2, 3, 2))
    other = Talk(setup.server, address="10.0.0.9")
    assert isinstance(other.associate(calling="ONE"), AssociateAccepted)
    assert setup.server.associations == 3
    first.wire.close()
    await settle()
    setup.talk(calling="THREE")


async def test_the_title_that_was_called_is_part_of_what_is_decided():
    setup, judged = Setup(), []
    setup.server.ae_titles = frozenset({"FILEROOM", "INBOX"})
    setup.server.decide = lambda _, action, object: (
        judged.append(object) or Decision(object.ae_title == "INBOX" or action == "echo", "because")
    )
    talk = Talk(setup.server)
    accepted = talk.associate(called="FILEROOM")
    assert [each.result for each in accepted.accept.contexts] == [0, 1, 1]
    talk = setup.talk(called="INBOX")
    talk.store("1.2.3")
    await settle()
    talk.events()
    assert talk.statuses == {1: 0}
    assert {each.ae_title for each in judged} == {"FILEROOM", "INBOX"}


@pytest.mark.parametrize(("readable", "told"), [(True, "OUTBOX"), (False, "FILEROOM")])
async def test_what_is_read_is_read_from_the_title_that_was_called(readable, told, monkeypatch):
    """Retrieve AE Title in answers, and who calls in C-MOVE, come from the provision."""
    setup, given = Setup(), []
    archive = provision_of(MemoryArchive(), Records())
    setup.server.ae_titles = frozenset({"FILEROOM", "OUTBOX"})
    setup.server.provision = lambda: archive
    setup.denied |= set() if readable else {Action.GET, Action.MOVE}

    def begin(command, context, provision, principal):
        given.append(provision().ae_title)
        return Settled(command, Answer(0))

    monkeypatch.setattr("fileroom.dimse.query_scp.begin", begin)
    talk = setup.talk(called="OUTBOX")
    performer = talk.protocol._performer
    performer._find(Command(1, {}), AcceptedContext(1, CT, IMPLICIT))
    assert given == [told]


async def test_connections_that_never_ask_are_bounded():
    setup = Setup(waiting_max=3)
    waiting = [Talk(setup.server) for _ in range(5)]
    assert [each.wire.closed for each in waiting] == [False] * 3 + [True] * 2
    await settle()


async def test_each_service_is_decided_for_each_request():
    setup = Setup()
    talk = setup.talk()
    setup.denied.add(Action.STORE)
    talk.store("1.2.3", bytes(50_000), message_id=1)
    talk.echo(2)
    talk.events()
    assert talk.statuses == {1: 0x0124, 2: 0}
    assert talk.comments[1] == "because"
    assert [each[1:] for each in setup.refusals] == [("127.0.0.1", "because", Action.STORE)]
    assert {action for _, action in setup.asked} == {each.action for each in SERVICES}


async def test_a_service_that_is_denied_beforehand_is_refused_in_its_contexts():
    setup = Setup()
    setup.denied.add(Action.STORE)
    talk = Talk(setup.server)
    accepted = talk.associate()
    assert isinstance(accepted, AssociateAccepted)
    assert [each.result for each in accepted.accept.contexts] == [0, 1, 1]


async def test_the_user_identity_reaches_who_identifies_callers():
    setup, seen = Setup(), []

    def identify(caller):
        seen.append(caller)
        from fileroom.access.identity import of_address

        return of_address(caller.address, ae_title=caller.calling_ae_title)

    setup.server._identify = identify
    identity = UserIdentity(2, True, b"user", b"passcode")
    talk = Talk(setup.server)
    accepted = talk.associate(user_identity=identity)
    assert accepted.accept.user.user_identity_answer is None
    assert seen[0].user_identity == identity
    assert seen[0].calling_ae_title == "SENDER"


async def test_a_peer_that_does_not_ask_in_time_is_closed():
    setup = Setup(artim_s=30)
    talk = Talk(setup.server)
    talk.send(golden.ECHOSCU_ASSOCIATE_RQ[:-1])
    setup.tick(talk, 29)
    talk.send(b"")
    assert not talk.wire.closed
    setup.tick(talk, 1)
    assert talk.wire.closed


async def test_a_rejected_peer_has_the_artim_time_to_close():
    setup = Setup(artim_s=30)
    talk = Talk(setup.server)
    talk.associate(called="OTHER")
    setup.tick(talk, 29)
    assert not talk.wire.closed
    setup.tick(talk, 1)
    assert talk.wire.closed


async def test_a_released_peer_has_the_artim_time_to_close():
    """PS3.8 §9.2.3, action AR-4: the timer is started with the A-RELEASE-RP."""
    setup = Setup(artim_s=30)
    talk = setup.talk()
    talk.upper.release()
    talk.send()
    setup.tick(talk, 29)
    assert not talk.wire.closed
    setup.tick(talk, 1)
    assert talk.wire.closed


async def test_an_aborted_peer_has_the_artim_time_to_close():
    """PS3.8 §9.2.3, action AA-1: the timer is started with the A-ABORT."""
    setup = Setup(artim_s=30, idle_timeout_s=60)
    talk = setup.talk()
    setup.tick(talk, 1)
    setup.tick(talk, 60)
    assert talk.events() == [Aborted(0, 0, by_peer=True)]
    setup.tick(talk, 29)
    assert not talk.wire.closed
    setup.tick(talk, 1)
    assert talk.wire.closed


async def test_a_silent_association_is_aborted():
    setup = Setup(idle_timeout_s=60)
    talk = setup.talk()
    setup.tick(talk, 1)
    setup.tick(talk, 59)
    talk.echo(1)
    setup.tick(talk, 1)
    setup.tick(talk, 59)
    assert not talk.wire.closed
    assert talk.events() == []
    setup.tick(talk, 1)
    assert talk.events() == [Aborted(0, 0, by_peer=True)]


async def test_waiting_for_our_own_disk_is_no_silence_of_the_peer():
    setup = Setup(idle_timeout_s=60)
    talk = setup.talk()
    setup.receiver.gate = asyncio.get_running_loop().create_future()
    talk.store("1.2.1")
    await settle()
    for _ in range(5):
        setup.tick(talk, 59)
    assert talk.events() == []
    setup.receiver.gate.set_result(None)
    await settle()
    talk.events()
    assert talk.statuses == {1: 0}


async def test_a_request_too_many_does_not_keep_an_association_that_owes_us_an_answer():
    setup = Setup(idle_timeout_s=60, artim_s=30)
    talk = setup.talk()
    setup.receiver.gate = asyncio.get_running_loop().create_future()
    talk.store("1.2.1", message_id=1)
    # As C-GET does: the answer could be read no more once one request is too many.
    elements = {"CommandField": CommandField.C_STORE_RQ, "CommandDataSetType": 0x0101}
    asking = asyncio.create_task(talk.protocol._outgoing.ask(CT_CONTEXT, elements))
    await settle()
    talk.echo(2)
    assert not talk.wire.reading
    setup.tick(talk, 1)
    setup.tick(talk, 60)
    assert talk.wire.written.endswith(b"\x07\0\0\0\0\4\0\0\0\0")  # A-ABORT
    setup.tick(talk, 30)
    assert talk.wire.closed
    with pytest.raises(GoneError):
        await asking
    setup.receiver.gate.set_result(None)
    await settle()


async def test_silence_in_the_middle_of_a_data_set_is_silence():
    setup = Setup(idle_timeout_s=60)
    talk = setup.talk()
    command = message.store_request(1, sop_class_uid=CT, sop_instance_uid="1.2.3")
    pieces = talk.upper.message_pdus(CT_CONTEXT, command, [bytes(100_000)])
    talk.send(next(pieces) + next(pieces))
    setup.tick(talk, 1)
    setup.tick(talk, 60)
    assert talk.events() == [Aborted(0, 0, by_peer=True)]
    talk.wire.close()
    await settle()
    assert setup.receiver.abandoned == ["1.2.3"]


async def test_stopping_finishes_the_instance_in_flight_and_takes_no_more():
    setup = Setup()
    busy, idle, asking = setup.talk(), setup.talk(), Talk(setup.server)
    setup.receiver.gate = asyncio.get_running_loop().create_future()
    command = message.store_request(1, sop_class_uid=CT, sop_instance_uid="1.2.3")
    pieces = list(busy.upper.message_pdus(CT_CONTEXT, command, [bytes(100_000)]))
    busy.send(b"".join(pieces[:3]))
    stopping = asyncio.create_task(setup.server.stop(drain_s=10))
    await settle()
    assert idle.events() == [Aborted(0, 0, by_peer=True)]
    assert idle.wire.closed
    assert asking.wire.closed
    late = Talk(setup.server)
    assert late.associate() == AssociateRejected(AssociateReject(2, 3, 1))
    late.wire.close()
    busy.send(b"".join(pieces[3:]))
    await settle()
    assert not stopping.done()
    setup.receiver.gate.set_result(None)
    await settle()
    assert busy.events() == [Aborted(0, 0, by_peer=True)]
    assert busy.statuses == {1: 0}
    await stopping
    assert setup.receiver.conversations[0].closed


async def test_stopping_waits_for_an_instance_of_which_all_is_here():
    setup = Setup()
    talk = setup.talk()
    setup.receiver.gate = asyncio.get_running_loop().create_future()
    talk.store("1.2.1")
    await settle()
    stopping = asyncio.create_task(setup.server.stop(drain_s=10))
    await settle()
    assert talk.events() == []
    setup.receiver.gate.set_result(None)
    await stopping
    assert talk.events() == [Aborted(0, 0, by_peer=True)]
    assert talk.statuses == {1: 0}


async def test_stopping_waits_no_longer_than_it_was_told():
    setup = Setup()
    talk = setup.talk()
    command = message.store_request(1, sop_class_uid=CT, sop_instance_uid="1.2.3")
    pieces = talk.upper.message_pdus(CT_CONTEXT, command, [bytes(100_000)])
    talk.send(next(pieces) + next(pieces))
    stopping = asyncio.create_task(setup.server.stop(drain_s=10))
    await settle()
    assert not stopping.done()
    setup.clock.advance(10)
    await stopping
    assert setup.receiver.abandoned == ["1.2.3"]


async def test_the_log_names_no_instance(caplog):
    caplog.set_level(logging.DEBUG)
    setup = Setup()
    talk = setup.talk()
    talk.store("1.2.777", message_id=1)
    await settle()
    talk.store("1.2.778", message_id=2, sop_class=MR)
    talk.send(golden.octets("04 00 0000000A 00000006 03 00 '1.2.'"))
    await settle()
    talk.wire.close()
    await settle()
    assert "aborted by us" in caplog.text
    assert "1 instances stored (8 B), 1 refused" in caplog.text
    for value in ("1.2.77", CT, MR):
        assert value not in caplog.text


async def test_a_mistake_of_ours_ends_one_association_only(caplog):
    setup = Setup()
    talk, other = setup.talk(), setup.talk()

    def broken(*_):
        raise KeyError("DOE^JOHN")

    setup.server.decide = broken
    talk.protocol._performer._decide = broken
    talk.store("1.2.3")
    assert talk.wire.closed
    assert "KeyError" in caplog.text
    assert "DOE" not in caplog.text
    other.echo(1)
    other.events()
    assert other.statuses == {1: 0}
    await settle()


def test_services_are_rows_of_data():
    assert [(each.name, each.action) for each in SERVICES] == [
        ("C-ECHO", Action.ECHO),
        ("C-STORE", Action.STORE),
        ("C-FIND", Action.FIND),
        ("C-GET", Action.GET),
        ("C-MOVE", Action.MOVE),
        ("N-ACTION", Action.COMMIT),
    ]
