"""C-GET and C-MOVE as PS3.4 §C.4.2 and §C.4.3 have them: what is sent, counted and answered."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom.data import get_testdata_file
from pydicom.filereader import read_dataset

from fileroom.access import identity
from fileroom.access.decide import Decision, decide
from fileroom.catalog.errors import CatalogBusyError
from fileroom.clock import Clock, ManualClock
from fileroom.dicom.identifier import SIZE_BYTES_MAX, Identifier, Key, encode
from fileroom.dimse import dispatch, retrieve_scp
from fileroom.dimse.operation import Answer, GoneError, Refused
from fileroom.dimse.retrieve_scp import CANCEL_GRACE_S, Retrieve
from fileroom.errors import IntegrityError, TransientError
from fileroom.ledger.log import LedgerWriteError
from fileroom.peer.association import BrokenOffError, RejectedError, UnreachableError
from fileroom.peer.delivery import Destination, Kind
from fileroom.retrieve.packs import UnavailableError
from fileroom.wire.message import Command, CommandField
from fileroom.wire.presentation import AcceptedContext
from fileroom.wire.sop_class import STUDY_ROOT_GET, STUDY_ROOT_MOVE
from instances import CT_IMAGE_STORAGE, part10, uids
from retrieve_fakes import HeldInstance, MemoryArchive, Records, provision_of

EXPLICIT, IMPLICIT, BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
RLE = "1.2.840.10008.1.2.5"
MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
ASKER = identity.of_address("127.0.0.1", ae_title="VIEWER")
PACS = Destination("PACS", "192.0.2.7", 104)
STUDY = uids(1, 1, 1)[0]
COUNTS = tuple(
    f"NumberOf{each}Suboperations" for each in ("Completed", "Warning", "Failed", "Remaining")
)


def shipped(name: str) -> HeldInstance:
    return HeldInstance(Path(str(get_testdata_file(name, download=False))).read_bytes())


def held(count: int = 3, series: int = 1) -> list[HeldInstance]:
    return [HeldInstance(part10(1, series, number)) for number in range(count)]


def context(number: int, sop_class_uid: str, syntax: str, *, scp: bool = True) -> AcceptedContext:
    return AcceptedContext(number, sop_class_uid, syntax, b"", scp)


@dataclass
class Sent:
    """One instance that the peer has."""

    sop_instance_uid: str
    transfer_syntax_uid: str
    data: bytes
    elements: dict[str, Any]


@dataclass
class Peer:
    """The association's end that instances and answers go to (`Talk`).

    Attributes:
        statuses: what it answers instances with, in order; then success.
        on_instance: called with the number of each instance when all of it is there.
    """

    accepted: list[AcceptedContext]
    statuses: list[int] = field(default_factory=list)
    on_instance: Callable[[int], Any] = lambda _: None
    is_open: bool = True
    sent: list[Sent] = field(default_factory=list)
    pending: list[Answer] = field(default_factory=list)
    name = "peer"

    @property
    def contexts(self) -> dict[int, AcceptedContext]:
        return {each.context_id: each for each in self.accepted}

    async def respond(self, request: Command, answer: Answer) -> None:
        if not self.is_open:
            raise GoneError("the association has ended")
        assert answer.status == 0xFF00
        assert answer.data_set is None
        self.pending.append(answer)

    async def ask(self, context_id, elements, data_set=None):
        if not self.is_open:
            raise GoneError("the association has ended")
        accepted = self.contexts[context_id]
        assert elements["AffectedSOPClassUID"] == accepted.abstract_syntax
        data = b""
        try:
            async for piece in data_set:
                data += piece
        except Exception:
            self.is_open = not data  # half a message cannot be taken back
            raise
        named = elements["AffectedSOPInstanceUID"]
        self.sent.append(Sent(named, accepted.transfer_syntax, data, dict(elements)))
        result = self.on_instance(len(self.sent))
        if asyncio.iscoroutine(result):
            await result
        if not self.is_open:
            raise GoneError("the association ended before the answer came")
        return Command(context_id, {"Status": self.statuses.pop(0) if self.statuses else 0})


def asked(**keys: str) -> bytes:
    tags = {"level": 0x00080052, "study": 0x0020000D, "series": 0x0020000E, "image": 0x00080018}
    named: Identifier = {
        tags[name]: Key("CS" if name == "level" else "UI", value) for name, value in keys.items()
    }
    return encode(named, EXPLICIT)


OF_STUDY = asked(level="STUDY", study=STUDY)


def command_of(field_: CommandField, root: str, **elements: Any) -> Command:
    named = {
        "AffectedSOPClassUID": root,
        "CommandField": int(field_),
        "MessageID": 7,
        "Priority": 1,
        "CommandDataSetType": 1,
    }
    return Command(1, {**named, **elements})


def get(
    archive: MemoryArchive,
    records: Records | None = None,
    *,
    data: bytes = OF_STUDY,
    clock: Clock | None = None,
    may: Any = decide,
) -> Retrieve:
    """A C-GET whose identifier has arrived."""
    provision = provision_of(archive, records or Records(), clock=clock or ManualClock())
    begun = retrieve_scp.begin(
        command_of(CommandField.C_GET_RQ, STUDY_ROOT_GET),
        AcceptedContext(1, STUDY_ROOT_GET, EXPLICIT),
        lambda: provision,
        principal=ASKER,
        decide=may,
    )
    assert isinstance(begun, Retrieve)
    begun.write(memoryview(data))
    return begun


def counts(answer: Answer) -> tuple[Any, ...]:
    """Completed, warning, failed, remaining."""
    return tuple(answer.elements.get(each) for each in COUNTS)


def failed_uids(answer: Answer) -> list[str]:
    if answer.data_set is None:
        return []
    listed = read_dataset(BytesIO(answer.data_set), False, True).FailedSOPInstanceUIDList
    return [listed] if isinstance(listed, str) else list(listed)


# C-GET


async def test_instances_go_out_as_they_are_stored_series_by_series():
    instances = held(3) + held(2, series=2)
    peer, records = Peer([context(3, CT_IMAGE_STORAGE, EXPLICIT)]), Records()
    answer = await get(MemoryArchive(instances), records).perform(peer)
    assert (answer.status, counts(answer)) == (0x0000, (5, 0, 0, None))
    assert [each.data for each in peer.sent] == [each.data_set for each in instances]
    assert {each.elements["Priority"] for each in peer.sent} == {1}
    assert not any(each.elements["MoveOriginatorMessageID"] for each in peer.sent)
    assert records.instances == 5
    assert records.bytes == sum(len(each.data_set) for each in instances)
    assert set(records.opened) == {(STUDY, "dimse-get", "")}


async def test_what_is_stored_otherwise_than_the_peer_takes_is_transcoded():
    rle = shipped("MR_small_RLE.dcm")
    big = shipped("MR_small_bigendian.dcm")
    study = asked(level="STUDY", study=rle.study_instance_uid)
    for accepted in (EXPLICIT, IMPLICIT):
        # Both are the same image, so both become the same pixels.
        for stored in (rle, big):
            peer = Peer([context(3, MR_IMAGE_STORAGE, accepted)])
            answer = await get(MemoryArchive([stored]), data=study).perform(peer)
            assert answer.status == 0
            (sent,) = peer.sent
            told = read_dataset(BytesIO(sent.data), accepted == IMPLICIT, True)
            plain = shipped("MR_small.dcm")
            assert told.SOPInstanceUID == stored.sop_instance_uid
            assert told.PixelData == read_dataset(BytesIO(plain.data_set), False, True).PixelData


async def test_the_stored_form_goes_before_any_other_but_big_endian_never_goes():
    def peer(*syntaxes: str) -> Peer:
        return Peer([context(2 * n + 1, MR_IMAGE_STORAGE, each) for n, each in enumerate(syntaxes)])

    rle, big = shipped("MR_small_RLE.dcm"), shipped("MR_small_bigendian.dcm")
    for stored, accepted, chosen in (
        (rle, (IMPLICIT, EXPLICIT, RLE), RLE),
        (rle, (IMPLICIT, EXPLICIT), EXPLICIT),
        (big, (BIG, IMPLICIT), IMPLICIT),
        (big, (BIG,), None),
        (rle, ("1.2.840.10008.1.2.4.90",), None),
    ):
        to = peer(*accepted)
        study = asked(level="STUDY", study=stored.study_instance_uid)
        answer = await get(MemoryArchive([stored]), data=study).perform(to)
        assert [each.transfer_syntax_uid for each in to.sent] == ([chosen] if chosen else [])
        assert (answer.status == 0) == (chosen is not None)
        assert failed_uids(answer) == ([] if chosen else [stored.sop_instance_uid])


async def test_a_context_in_which_the_peer_is_only_the_sender_takes_nothing():
    peer = Peer([context(3, CT_IMAGE_STORAGE, EXPLICIT, scp=False)])
    answer = await get(MemoryArchive(held(2))).perform(peer)
    assert (answer.status, counts(answer)) == (0xA702, (0, 0, 2, None))
    assert peer.sent == []
    assert "no form" in answer.comment


async def test_what_the_peer_makes_of_each_instance_is_counted():
    peer = Peer([context(3, CT_IMAGE_STORAGE, EXPLICIT)], statuses=[0, 0xB006, 0xA700, 0xC123])
    instances = held(5)
    answer = await get(MemoryArchive(instances)).perform(peer)
    assert (answer.status, counts(answer)) == (0xB000, (2, 1, 2, None))
    assert failed_uids(answer) == [each.sop_instance_uid for each in instances[2:4]]


async def test_nothing_that_matches_is_a_success_of_nothing():
    peer = Peer([context(3, CT_IMAGE_STORAGE, EXPLICIT)])
    answer = await get(MemoryArchive([])).perform(peer)
    assert (answer.status, counts(answer)) == (0, (0, 0, 0, None))
    assert answer.data_set is None


async def test_an_instance_that_cannot_be_given_holds_up_no_other():
    good, unreadable, last = held(3)
    rle = shipped("MR_small_RLE.dcm")
    damaged = HeldInstance(rle.file[:-200])  # a frame that is cut off
    damaged.study_instance_uid, damaged.series_instance_uid = STUDY, good.series_instance_uid
    damaged.patient_id = good.patient_id
    unreadable.error = IntegrityError("no copy holds what was sealed")
    peer = Peer([context(3, CT_IMAGE_STORAGE, EXPLICIT), context(5, MR_IMAGE_STORAGE, EXPLICIT)])
    archive = MemoryArchive([good, damaged, unreadable, last])
    answer = await get(archive).perform(peer)
    assert (answer.status, counts(answer)) == (0xB000, (2, 0, 2, None))
    assert failed_uids(answer) == [damaged.sop_instance_uid, unreadable.sop_instance_uid]
    assert peer.is_open
    assert [each.data for each in peer.sent] == [good.data_set, last.data_set]


async def test_reading_that_fails_in_the_middle_costs_the_association():
    large = HeldInstance(part10(1, 1, 1, size_bytes=3 << 20))
    large.error, large.fails_from = UnavailableError("a provider is away"), 2 << 20
    peer = Peer([context(3, CT_IMAGE_STORAGE, EXPLICIT)])
    with pytest.raises(GoneError):
        await get(MemoryArchive([large, *held(2)])).perform(peer)
    assert peer.sent == []


async def test_series_out_of_reach_are_counted_and_others_are_sent():
    archive = MemoryArchive(held(3) + held(2, series=2))
    archive.away[uids(1, 1, 1)[1]] = UnavailableError("a provider is away")
    peer = Peer([context(3, CT_IMAGE_STORAGE, EXPLICIT)])
    answer = await get(archive).perform(peer)
    assert (answer.status, counts(answer)) == (0xB000, (2, 0, 3, None))
    assert answer.comment == "a provider is away"
    archive.away[uids(1, 2, 1)[1]] = UnavailableError("another one is away")
    answer = await get(archive).perform(peer)
    assert (answer.status, counts(answer)) == (0xA702, (0, 0, 5, None))


async def test_nothing_leaves_that_is_not_on_record():
    records = Records(error=LedgerWriteError("the ledger is full"))
    peer = Peer([context(3, CT_IMAGE_STORAGE, EXPLICIT)])
    answer = await get(MemoryArchive(held(2)), records).perform(peer)
    assert (answer.status, counts(answer)) == (0xA702, (0, 0, 2, None))
    assert peer.sent == []


async def test_each_study_is_asked_of_the_chokepoint():
    asked_about = []

    def may(principal, action, object_):
        asked_about.append((principal, action, object_.study_instance_uid))
        return Decision(False, "not this study")

    peer = Peer([context(3, CT_IMAGE_STORAGE, EXPLICIT)])
    answer = await get(MemoryArchive(held(2)), may=may).perform(peer)
    assert (answer.status, answer.comment) == (0x0124, "not this study")
    assert asked_about == [(ASKER, "get", STUDY)]
    assert peer.sent == []


# What is told meanwhile, and an end before the end


async def test_how_far_it_is_is_told_every_ten_instances():
    peer = Peer([context(3, CT_IMAGE_STORAGE, EXPLICIT)])
    await get(MemoryArchive(held(25))).perform(peer)
    assert [counts(each) for each in peer.pending] == [(10, 0, 0, 15), (20, 0, 0, 5)]


async def test_how_far_it_is_is_told_each_second_while_a_provider_is_waited_for():
    clock, slow = ManualClock(), asyncio.Event()
    archive = MemoryArchive(held(1))
    portions = archive.portions

    async def slowly(study_uid, series_uid):
        await slow.wait()
        async for each in portions(study_uid, series_uid):
            yield each

    archive.portions = slowly
    peer = Peer([context(3, CT_IMAGE_STORAGE, EXPLICIT)])
    performing = asyncio.ensure_future(get(archive, clock=clock).perform(peer))
    while len(peer.pending) < 3:
        await asyncio.sleep(0)
        clock.advance(1)
    assert {counts(each) for each in peer.pending} == {(0, 0, 0, 1)}
    slow.set()
    assert (await performing).status == 0


async def test_a_cancel_ends_it_behind_the_instance_that_is_on_its_way():
    archive = MemoryArchive(held(9))
    retrieve = get(archive)
    peer = Peer(
        [context(3, CT_IMAGE_STORAGE, EXPLICIT)],
        statuses=[0, 0xA700],
        on_instance=lambda number: retrieve.cancel() if number == 3 else None,
    )
    answer = await retrieve.perform(peer)
    assert (answer.status, counts(answer)) == (0xFE00, (2, 0, 1, 6))
    assert failed_uids(answer) == [archive.instances[1].sop_instance_uid]
    assert len(peer.sent) == 3


async def test_a_cancel_before_the_first_instance_sends_none():
    retrieve = get(MemoryArchive(held(4)))
    retrieve.cancel()
    peer = Peer([context(3, CT_IMAGE_STORAGE, EXPLICIT)])
    answer = await retrieve.perform(peer)
    assert (answer.status, counts(answer), peer.sent) == (0xFE00, (0, 0, 0, 4), [])


async def test_a_cancel_does_not_wait_for_a_provider():
    archive = MemoryArchive(held(4))

    async def never(study_uid, series_uid):
        await asyncio.Event().wait()
        yield

    archive.portions = never
    retrieve = get(archive)
    performing = asyncio.ensure_future(
        retrieve.perform(Peer([context(3, CT_IMAGE_STORAGE, EXPLICIT)]))
    )
    for _ in range(100):
        await asyncio.sleep(0)
    retrieve.cancel()
    assert (await performing).status == 0xFE00


async def test_a_cancel_behind_the_last_instance_is_too_late():
    retrieve = get(MemoryArchive(held(2)))
    peer = Peer(
        [context(3, CT_IMAGE_STORAGE, EXPLICIT)],
        on_instance=lambda number: retrieve.cancel() if number == 2 else None,
    )
    answer = await retrieve.perform(peer)
    assert (answer.status, counts(answer)) == (0x0000, (2, 0, 0, None))


async def test_a_peer_that_leaves_ends_it():
    retrieve = get(MemoryArchive(held(5)))
    peer = Peer([context(3, CT_IMAGE_STORAGE, EXPLICIT)])

    def leave(number: int) -> None:
        if number == 2:
            peer.is_open = False
            retrieve.cancel()

    peer.on_instance = leave
    with pytest.raises(GoneError):
        await retrieve.perform(peer)
    assert len(peer.sent) == 2


# Refusals


@pytest.mark.parametrize(
    ("error", "status"),
    [(CatalogBusyError("busy"), 0xA701), (IntegrityError("damaged"), 0xA701)],
)
async def test_a_search_that_fails_is_a_number_that_cannot_be_calculated(error, status):
    archive = MemoryArchive(held(1), error=error)
    answer = await get(archive).perform(Peer([]))
    assert (answer.status, answer.comment) == (status, str(error))


async def test_an_incomplete_catalog_that_knows_nothing_of_it_says_so():
    archive = MemoryArchive([], incomplete=UnavailableError("a provider was away"))
    assert (await get(archive).perform(Peer([]))).status == 0xA701


async def test_what_is_no_identifier_is_refused():
    answer = await get(MemoryArchive([]), data=b"\x08\x00\x52\x00CS\xff\xff").perform(Peer([]))
    assert answer.status == 0xC000
    answer = await get(MemoryArchive([]), data=bytes(SIZE_BYTES_MAX + 5)).perform(Peer([]))
    assert answer.status == 0xC000
    answer = await get(MemoryArchive([]), data=asked(level="SERIES")).perform(Peer([]))
    assert answer.status == 0xA900
    assert answer.elements["OffendingElement"] == (0x0020000D,)


def test_commands_that_cannot_be_are_refused_at_once():
    def begin(**elements: Any) -> Any:
        return retrieve_scp.begin(
            command_of(CommandField.C_GET_RQ, STUDY_ROOT_GET, **elements),
            AcceptedContext(1, STUDY_ROOT_GET, EXPLICIT),
            locked,
            principal=ASKER,
            decide=decide,
        )

    def locked():
        raise TransientError("keys locked")

    for elements, status in (
        ({"CommandDataSetType": 0x0101}, 0xA900),
        ({"AffectedSOPClassUID": STUDY_ROOT_MOVE}, 0x0122),
        ({}, 0xA701),
    ):
        refused = begin(**elements)
        assert isinstance(refused, Refused)
        assert refused.answer is not None
        assert refused.answer.status == status


# C-MOVE


@dataclass
class Pacs:
    """What `peer.delivery.Delivery` is.

    Attributes:
        opening: raised when an association is asked for.
        storing: what each instance makes of it: a status, an error, or something to wait for.
    """

    opening: list[Exception | None] = field(default_factory=list)
    storing: list[Any] = field(default_factory=list)
    proposed: list[list[Kind]] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    opened: int = 0
    ended: int = 0
    contexts: list[AcceptedContext] = field(default_factory=list)

    def __call__(self, destination: Destination, *, calling: str) -> "Pacs":
        assert (destination, calling) == (PACS, "FILEROOM")
        return self

    async def propose(self, kinds):
        self.proposed.append(list(kinds))
        if self.contexts:
            return
        self.opened += 1
        error = self.opening.pop(0) if self.opening else None
        if error is not None:
            raise error
        self.contexts = [context(1, CT_IMAGE_STORAGE, EXPLICIT)]

    async def store(self, accepted, elements, data_set):
        assert self.contexts, "stored without an association"
        makes = self.storing.pop(0) if self.storing else 0
        data = b"".join([bytes(piece) async for piece in data_set])
        try:
            if isinstance(makes, asyncio.Event):
                await makes.wait()
            if isinstance(makes, Exception):
                raise makes
        except BaseException:
            self.contexts = []
            raise
        named = elements["AffectedSOPInstanceUID"]
        self.sent.append(Sent(named, accepted.transfer_syntax, data, dict(elements)))
        return makes if isinstance(makes, int) else 0

    async def end(self):
        self.ended += 1
        self.contexts = []


def move(
    archive: MemoryArchive,
    records: Records | None = None,
    *,
    to: str = "PACS",
    clock: Clock | None = None,
) -> Any:
    provision = provision_of(archive, records or Records(), PACS, clock=clock or ManualClock())
    begun = retrieve_scp.begin(
        command_of(CommandField.C_MOVE_RQ, STUDY_ROOT_MOVE, MoveDestination=to),
        AcceptedContext(1, STUDY_ROOT_MOVE, EXPLICIT),
        lambda: provision,
        principal=ASKER,
        decide=decide,
    )
    begun.write(memoryview(OF_STUDY))
    return begun


@pytest.fixture
def pacs(monkeypatch) -> Pacs:
    made = Pacs()
    monkeypatch.setattr(dispatch, "Delivery", made)
    return made


async def test_a_move_sends_to_the_destination_and_says_who_asked(pacs):
    instances, records, asker = held(3), Records(), Peer([])
    answer = await move(MemoryArchive(instances), records).perform(asker)
    assert (answer.status, counts(answer)) == (0, (3, 0, 0, None))
    assert [each.data for each in pacs.sent] == [each.data_set for each in instances]
    for each in pacs.sent:
        assert each.elements["MoveOriginatorApplicationEntityTitle"] == "VIEWER"
        assert each.elements["MoveOriginatorMessageID"] == 7
    assert set(records.opened) == {(STUDY, "dimse-move", "PACS")}
    assert (asker.sent, pacs.opened, pacs.ended) == ([], 1, 1)
    assert pacs.proposed[0] == [Kind(CT_IMAGE_STORAGE, EXPLICIT)]


@pytest.mark.parametrize("named", ["OTHER", "", "pacs"])
async def test_a_destination_that_the_settings_do_not_name_is_unknown(pacs, named):
    refused = move(MemoryArchive(held(1)), to=named)
    assert refused.answer.status == 0xA801
    assert pacs.opened == 0


@pytest.mark.parametrize("error", [UnreachableError("no connection"), RejectedError("rejected")])
async def test_a_destination_that_cannot_be_reached_is_tried_once(pacs, error):
    pacs.opening = [error]
    instances = held(9)
    answer = await move(MemoryArchive(instances)).perform(Peer([]))
    assert (answer.status, counts(answer)) == (0xA702, (0, 0, 9, None))
    assert failed_uids(answer) == [each.sop_instance_uid for each in instances]
    assert str(error) in answer.comment
    assert pacs.opened == 1


async def test_a_destination_that_dies_fails_what_is_left_at_once(pacs):
    pacs.storing = [0, 0, BrokenOffError("the connection was lost")]
    pacs.opening = [None, UnreachableError("no connection")]
    instances = held(7)
    answer = await move(MemoryArchive(instances)).perform(Peer([]))
    assert (answer.status, counts(answer)) == (0xB000, (2, 0, 5, None))
    assert failed_uids(answer) == [each.sop_instance_uid for each in instances[2:]]
    assert pacs.opened == 2


async def test_a_destination_that_breaks_off_at_one_instance_gets_the_others(pacs):
    pacs.storing = [0, BrokenOffError("the peer aborted"), 0, 0]
    instances = held(4)
    answer = await move(MemoryArchive(instances)).perform(Peer([]))
    assert (answer.status, counts(answer)) == (0xB000, (3, 0, 1, None))
    assert failed_uids(answer) == [instances[1].sop_instance_uid]
    assert pacs.opened == 2


async def test_a_destination_that_breaks_off_at_each_instance_is_given_up(pacs):
    pacs.storing = [BrokenOffError("the peer aborted")] * 9
    answer = await move(MemoryArchive(held(9))).perform(Peer([]))
    assert counts(answer) == (0, 0, 9, None)
    assert pacs.opened == 3


async def test_reading_that_fails_in_the_middle_costs_one_instance(pacs):
    large = HeldInstance(part10(1, 1, 1, size_bytes=3 << 20))
    large.error, large.fails_from = UnavailableError("a provider is away"), 2 << 20
    instances = [large, HeldInstance(part10(1, 1, 2))]
    answer = await move(MemoryArchive(instances)).perform(Peer([]))
    assert (answer.status, counts(answer)) == (0xB000, (1, 0, 1, None))


async def test_a_cancel_lets_the_instance_on_its_way_end_for_a_while_only(pacs):
    clock, stuck = ManualClock(), asyncio.Event()
    pacs.storing = [0, stuck]
    archive = MemoryArchive(held(5))
    retrieve = move(archive, clock=clock)
    performing = asyncio.ensure_future(retrieve.perform(Peer([])))
    while pacs.storing:
        await asyncio.sleep(0)
    retrieve.cancel()
    for _ in range(50):
        await asyncio.sleep(0)
    assert not performing.done()
    clock.advance(CANCEL_GRACE_S)
    answer = await performing
    assert (answer.status, counts(answer)) == (0xFE00, (1, 0, 1, 3))
    assert failed_uids(answer) == [archive.instances[1].sop_instance_uid]


async def test_an_asker_that_leaves_ends_the_move_at_once(pacs):
    stuck = asyncio.Event()
    pacs.storing = [0, stuck]
    asker, retrieve = Peer([]), move(MemoryArchive(held(5)))
    performing = asyncio.ensure_future(retrieve.perform(asker))
    while pacs.storing:
        await asyncio.sleep(0)
    asker.is_open = False
    retrieve.cancel()
    with pytest.raises(GoneError):
        await performing
    assert (len(pacs.sent), pacs.ended) == (1, 1)


async def test_how_far_a_move_is_is_told_while_an_instance_is_on_its_way(pacs):
    clock, slow = ManualClock(), asyncio.Event()
    pacs.storing = [slow]
    asker = Peer([])
    performing = asyncio.ensure_future(move(MemoryArchive(held(2)), clock=clock).perform(asker))
    while len(asker.pending) < 2:
        await asyncio.sleep(0)
        clock.advance(1)
    assert counts(asker.pending[0]) == (0, 0, 0, 2)
    slow.set()
    assert (await performing).status == 0
