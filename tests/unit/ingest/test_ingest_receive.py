"""Receive: what is answered with success is durable; what is not taken is refused at its end."""

import pytest

from fileroom.dicom import uid
from fileroom.dicom.instance_error import IdentityError, InstanceError, TransferSyntaxError
from fileroom.dicom.part10 import write_header
from fileroom.errors import TransientError
from fileroom.ingest.receive import (
    BUSY_S,
    SERVE_PREAMBLE,
    BacklogError,
    MismatchError,
    PreambleError,
    SopClassError,
)
from fileroom.spool.failure import SpaceError
from fileroom.spool.landing import Spool
from fileroom.spool.record import Place
from instances import CT_IMAGE_STORAGE, EXPLICIT_LITTLE, dataset, uids
from unit.ingest.stages import ORIGIN, way_in

KEY = (1, 1, 1)
STUDY = uids(*KEY)[0].encode()
INSIDE_AN_ELEMENT = 30  # of the second one


@pytest.fixture
async def way(tmp_path):
    async with way_in(tmp_path) as made:
        yield made


def begun(way, *, conversation=None, **said):
    announced = {
        "sop_class_uid": CT_IMAGE_STORAGE,
        "sop_instance_uid": uids(*KEY)[2],
        "transfer_syntax_uid": EXPLICIT_LITTLE,
    }
    return (conversation or way.conversation()).begin(**announced | said)


async def test_an_instance_that_is_finished_is_found_in_the_spool_by_whoever_starts_again(way):
    (received,) = await way.land(KEY)
    assert received.sop_instance_uid == uids(*KEY)[2]
    assert received.size_bytes == len(dataset(*KEY, size_bytes=256))
    await way.spool.close()
    again = Spool.open(
        way.folder / "spool",
        key=way.keyring.spool_key,
        disk=way.disk,
        clock=way.clock,
        segment_size_bytes=1 << 20,
        reserve_bytes=0,
    )
    (record,) = again.recovered()
    assert record.description.header.study_instance_uid == uids(*KEY)[0]
    assert record.description.origin == ORIGIN
    await again.close()


async def test_its_row_follows_in_the_catalog_and_one_event_for_each_study_in_the_ledger(way):
    await way.land(KEY, (1, 1, 2), (2, 1, 1))
    assert way.catalog.totals().received.instances == 3
    events = await way.told("received")
    assert [(each["study_instance_uid"], each["instances"]) for each in events] == [
        (uids(1, 1, 1)[0], 2),
        (uids(2, 1, 1)[0], 1),
    ]
    assert {each["calling_ae_title"] for each in events} == {"CT1"}


async def test_the_data_set_must_be_the_instance_that_was_announced(way):
    for said in ({"sop_class_uid": "1.2.3"}, {"sop_instance_uid": "1.2.3"}):
        reception = begun(way, **said)
        reception.write(dataset(*KEY, size_bytes=256))
        with pytest.raises(MismatchError):
            await reception.finish()


async def test_an_instance_of_a_class_of_another_service_is_refused(way):
    verification = b"1.2.840.10008.1.1".ljust(len(CT_IMAGE_STORAGE) + 1, b"\0")
    data = dataset(*KEY, size_bytes=256).replace(CT_IMAGE_STORAGE.encode() + b"\0", verification)
    reception = begun(way, sop_class_uid=None, sop_instance_uid=None)
    reception.write(data)
    with pytest.raises(SopClassError):
        await reception.finish()
    assert way.catalog.totals().received.instances == 0


async def test_where_nothing_was_announced_the_data_set_decides(way):
    reception = begun(way, sop_class_uid=None, sop_instance_uid=None)
    reception.write(dataset(*KEY, size_bytes=256))
    assert (await reception.finish()).sop_instance_uid == uids(*KEY)[2]


@pytest.mark.parametrize(
    ("spoiled", "error"),
    [
        (lambda data: data.replace(STUDY, b"x" * len(STUDY)), IdentityError),
        (lambda data: data[:INSIDE_AN_ELEMENT], InstanceError),
        (lambda data: b"", IdentityError),
    ],
    ids=["a UID that is none", "an end inside an element", "nothing"],
)
async def test_what_cannot_be_identified_is_refused_when_all_of_it_has_come(way, spoiled, error):
    reception = begun(way)
    data = spoiled(dataset(*KEY, size_bytes=256))
    for start in range(0, len(data), 100):
        reception.write(data[start : start + 100])  # never raises: the peer is drained
        assert not reception.full
    with pytest.raises(error):
        await reception.finish()
    assert way.receiver.landed == 0


@pytest.mark.parametrize("syntax", ["", "1.2\r\nX-Injected: yes", "1.2." + "3" * 64])
async def test_what_is_no_transfer_syntax_is_refused(way, syntax):
    reception = begun(way, transfer_syntax_uid=syntax)
    reception.write(dataset(*KEY, size_bytes=256))
    with pytest.raises(TransferSyntaxError):
        await reception.finish()


async def test_a_private_transfer_syntax_is_kept_as_it_came(way):
    reception = begun(way, transfer_syntax_uid="1.2.840.113619.5.2")
    reception.write(dataset(*KEY, size_bytes=256))
    await reception.finish()


async def test_nothing_is_begun_while_the_catalog_does_not_keep_up(way, monkeypatch):
    monkeypatch.setattr("fileroom.catalog.batch.WAITING_ROWS_MAX", 0)
    with pytest.raises(BacklogError):
        begun(way)
    assert not way.receiver.busy()


async def test_nothing_is_begun_on_a_disk_that_is_under_its_reserve(way, monkeypatch):
    def full():
        raise SpaceError("12 B are free")

    monkeypatch.setattr(way.spool, "landing", full)
    with pytest.raises(SpaceError):
        begun(way)


async def test_what_is_not_to_fit_is_refused_before_it_is_sent(way, monkeypatch):
    monkeypatch.setattr(way.disk, "free_bytes", lambda _: 1000)
    conversation = way.conversation()
    conversation.refuse_without_room(1000)
    with pytest.raises(SpaceError, match="1001 B wanted"):
        conversation.refuse_without_room(1001)
    monkeypatch.setattr("fileroom.catalog.batch.WAITING_ROWS_MAX", 0)
    with pytest.raises(BacklogError):
        conversation.refuse_without_room(0)
    assert [each.reason for each in way.refused] == [
        "there is no room for the instance",
        "the instance could not be kept just then",
    ]
    assert not way.receiver.busy()


async def test_what_is_set_aside_lies_with_the_spool(way):
    aside = way.conversation().aside()
    aside.append(b"a value")
    assert b"".join(aside.read(2, aside.size_bytes)) == b"value"
    aside.close()


async def test_each_refusal_is_recorded_once_with_who_and_why_and_nothing_of_the_instance(
    way, monkeypatch
):
    conversation = way.conversation()
    for data, said in (
        (dataset(*KEY, size_bytes=256), {"sop_instance_uid": "1.2.3"}),
        (b"", {}),
        (dataset(*KEY, size_bytes=256)[:INSIDE_AN_ELEMENT], {}),
        (b"", {"transfer_syntax_uid": "Doe^Jane"}),
    ):
        reception = begun(way, conversation=conversation, **said)
        reception.write(data)
        with pytest.raises((InstanceError, MismatchError)):
            await reception.finish()
        reception.abandon()
    monkeypatch.setattr("fileroom.catalog.batch.WAITING_ROWS_MAX", 0)
    with pytest.raises(TransientError):
        begun(way, conversation=conversation)
    assert [each.reason for each in way.refused] == [
        "the data set is not the instance that was announced",
        "the data set lacks one of its UIDs",
        "the data set cannot be read",
        "the transfer syntax is none",
        "the instance could not be kept just then",
    ]
    assert {(each.action, each.channel) for each in way.refused} == {("store", "dimse")}
    (principal,) = {each.principal for each in way.refused}
    assert (principal.address, principal.ae_title) == (ORIGIN.address, ORIGIN.calling_ae_title)


async def test_an_instance_that_is_given_up_leaves_nothing_and_is_no_refusal(way):
    reception = begun(way)
    reception.write(dataset(*KEY, size_bytes=256)[:INSIDE_AN_ELEMENT])
    assert way.receiver.busy()
    reception.abandon()
    reception.abandon()
    assert (way.refused, way.receiver.landed) == ([], 0)


async def test_the_doors_count_as_busy_for_half_a_second_behind_the_last_byte(way):
    assert not way.receiver.busy()
    await way.land(KEY)
    way.clock.advance(BUSY_S - 0.25)  # the catalog's batch has waited a little already
    assert way.receiver.busy()
    way.clock.advance(BUSY_S)
    assert not way.receiver.busy()


def headed(preamble: bytes) -> bytes:
    head = write_header(CT_IMAGE_STORAGE, uids(*KEY)[2], EXPLICIT_LITTLE, source_ae_title="A")
    return preamble.ljust(128, b"\0") + head[128:]


async def kept(way, head: bytes):
    """The description of an instance that came in a file with this head."""
    reception = begun(way, head=head)
    reception.write(dataset(*KEY, size_bytes=256))
    await reception.finish()
    await way.intake.settled()
    place = way.catalog.locate(uid.digest(uids(*KEY)[2])).spooled.place
    return way.reader.open(Place(*place)).record.description


async def test_a_file_that_begins_as_a_program_is_kept_without_that_and_told_of(way):
    head = headed(b"MZ\x90")
    description = await kept(way, head)
    assert description.preamble == head[:128]
    assert description.head[:128] == bytes(128)
    (refusal,) = way.refused
    assert (refusal.action, refusal.channel) == (SERVE_PREAMBLE, ORIGIN.channel)
    assert refusal.reason == "the file begins as a program for Windows does"


async def test_such_a_file_is_refused_where_that_is_the_rule(way):
    way.receiver.refuse_programs = True
    with pytest.raises(PreambleError):
        begun(way, head=headed(b"#!/bin/sh"))
    (refusal,) = way.refused
    assert (refusal.action, refusal.reason) == ("store", "the file begins as a program does")
    assert way.receiver.busy() is False
    await way.land(KEY)  # what came without a file has no preamble


async def test_a_file_that_is_a_tiff_file_too_is_kept_as_it_came(way):
    head = headed(b"II*\0\x10\0\0\0")
    assert (await kept(way, head)).head == head
    assert way.refused == []


async def test_any_other_preamble_is_kept_apart_and_zero_is_no_preamble(way):
    description = await kept(way, headed(b"a vendor's own"))
    assert description.preamble.startswith(b"a vendor's own")
    assert description.head[:128] == bytes(128)
    assert way.refused == []
