"""STOW-RS into a receiver in memory: what is stored, what is said, what a broken body leaves."""

import asyncio
from io import BytesIO

import pytest
from pydicom import dcmread, dcmwrite
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from corpus import ct_small
from dicomweb_fakes import MemoryReception, World, call, data_set_of, world
from fileroom.dicom.instance_error import IdentityError, InstanceError, TransferSyntaxError
from fileroom.dicom.xml_reading import XmlError
from fileroom.dicomweb.location import BASE
from fileroom.dicomweb.stow.bulk_parts import PixelMediaTypeError
from fileroom.dicomweb.stow.report import (
    BROKEN,
    TOO_LARGE,
    UNTAKEN,
    MissingPartError,
    OtherStudyError,
    UnreferencedPartError,
    failure_reason,
)
from fileroom.errors import RefusedError, TransientError
from fileroom.http.request import Limits
from fileroom.ingest.receive import MismatchError, SopClassError
from fileroom.pixels.encapsulating import ImagePixelError, UnknownSyntaxError
from fileroom.spool.failure import InstanceTooLargeError, SpaceError
from fileroom.wire import multipart
from fileroom.wire.json_array import JsonArrayError

STUDIES = f"{BASE}/studies"
STUDY = "1.2.3"
RELATED = 'multipart/related; type="application/dicom"; boundary=BOUNDARY'


def instance_file(number: int, *, study: str = STUDY, preamble: bytes = bytes(128)) -> bytes:
    data_set = dcmread(ct_small())
    data_set.StudyInstanceUID = study
    data_set.SeriesInstanceUID = f"{study}.1"
    data_set.SOPInstanceUID = data_set.file_meta.MediaStorageSOPInstanceUID = f"{study}.1.{number}"
    data_set.preamble = preamble
    out = BytesIO()
    dcmwrite(out, data_set)
    return out.getvalue()


def shipped(name: str) -> bytes:
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str)
    with open(path, "rb") as file:
        return file.read()


def body_of(*parts: bytes, content_type: str = "application/dicom", end: bool = True) -> bytes:
    pieces = []
    for number, part in enumerate(parts):
        header = [("Content-Type", content_type)]
        pieces += [multipart.part_header("BOUNDARY", header, first=number == 0), part]
    return b"".join([*pieces, multipart.closing("BOUNDARY") if end else b""])


async def post(
    here: World,
    body: bytes,
    *,
    path: str = STUDIES,
    content_type: str = RELATED,
    cut: int = 50_000,
    hang_up: bool = False,
    **headers: str,
):
    chunks = [body[start : start + cut] for start in range(0, len(body), cut)] or [b""]
    fields = {"content-type": content_type, **{k.replace("_", "-"): v for k, v in headers.items()}}
    reply = await call(here.app, "POST", path, headers=fields, body=chunks, hang_up=hang_up)
    assert here.receiver.open == 0, "a reception was left open"
    assert here.receiver.closed == len(here.receiver.origins), "a conversation was left open"
    return reply


def report(reply) -> Dataset:
    return Dataset.from_json(reply.body.decode())


def stored_uids(reply) -> list[str]:
    return [i.ReferencedSOPInstanceUID for i in report(reply).get("ReferencedSOPSequence", [])]


def failures(reply) -> list[tuple[str, int]]:
    return [
        (item.ReferencedSOPInstanceUID, item.FailureReason)
        for item in report(reply).get("FailedSOPSequence", [])
    ]


def other_failures(reply) -> list[int]:
    return [item.FailureReason for item in report(reply).get("OtherFailuresSequence", [])]


# --- what is stored


@pytest.mark.parametrize("cut", [1_000_000, 50_000, 4096, 131, 1])
async def test_instances_are_stored_bit_for_bit_however_the_body_is_cut(cut):
    here = world()
    files = [instance_file(n) for n in range(1, 2 if cut == 1 else 4)]
    reply = await post(here, body_of(*files), cut=cut)
    assert reply.status == 200
    for file, held in zip(files, here.archive.instances.values(), strict=True):
        assert data_set_of(held.part10) == data_set_of(file)


async def test_the_answer_names_each_instance_and_where_it_is_retrieved():
    here = world()
    reply = await post(here, body_of(instance_file(1), instance_file(2)))
    assert reply.header("content-type") == "application/dicom+json"
    found = report(reply)
    base = f"http://127.0.0.1:8642{STUDIES}/{STUDY}"
    assert found.RetrieveURL == base
    assert reply.header("location") == reply.header("content-location") == base
    assert "FailedSOPSequence" not in found
    assert [item.ReferencedSOPClassUID for item in found.ReferencedSOPSequence] == [
        "1.2.840.10008.5.1.4.1.1.2"
    ] * 2
    url = found.ReferencedSOPSequence[1].RetrieveURL
    assert url == f"{base}/series/{STUDY}.1/instances/{STUDY}.1.2"
    got = await call(
        here.app, "GET", url.removeprefix("http://127.0.0.1:8642"), headers={"accept": "*/*"}
    )
    assert got.status == 200


async def test_one_file_may_come_without_multipart():
    here = world()
    file = instance_file(1)
    reply = await post(here, file, content_type="application/dicom", cut=3000)
    assert reply.status == 200
    (held,) = here.archive.instances.values()
    assert data_set_of(held.part10) == data_set_of(file)


async def test_parts_without_a_content_type_are_what_the_body_says():
    here = world()
    body = b"--BOUNDARY\r\n\r\n" + instance_file(1) + b"\r\n--BOUNDARY--"
    assert (await post(here, body)).status == 200


async def test_instances_of_several_studies_have_no_common_url():
    here = world()
    reply = await post(here, body_of(instance_file(1), instance_file(1, study="1.2.4")))
    assert reply.status == 200
    assert report(reply).RetrieveURL in ("", None)
    assert reply.header("location") is None


async def test_the_receiver_is_told_who_sends():
    here = world()
    await post(here, body_of(instance_file(1), instance_file(2)))
    (origin,) = here.receiver.origins
    assert (origin.channel, origin.address, origin.calling_ae_title) == ("stow", "127.0.0.1", "")
    assert len(origin.conversation) == 32


async def test_what_precedes_a_data_set_is_handed_on_as_it_came():
    here = world()
    seen = []
    conversation = here.receiver.conversation

    def spied(origin):
        made = conversation(origin)
        begin = made.begin
        made.begin = lambda **facts: (seen.append(facts.get("head")), begin(**facts))[1]
        return made

    here.receiver.conversation = spied
    files = [instance_file(1), instance_file(2, preamble=b"II*\0" + bytes(124))]
    await post(here, body_of(*files))
    for head, file in zip(seen, files, strict=True):
        assert file.startswith(head)
        assert file[len(head) : len(head) + 4] == b"\x08\0\5\0"  # the first element


async def test_reading_stops_while_the_spool_is_full():
    here = world()
    here.receiver.full_every = 3
    reply = await post(here, body_of(instance_file(1)), cut=2000)
    assert reply.status == 200
    assert here.receiver.waits > 2


@pytest.mark.parametrize(
    "limits",
    [Limits(finishing_max=3), Limits(finishing_bytes_max=3 * 39_000)],
    ids=["count", "bytes"],
)
async def test_complete_parts_wait_for_the_disk_together_and_no_more_than_agreed(
    monkeypatch, limits
):
    here = world(limits=limits)
    finish = MemoryReception.finish
    waiting = peak = 0

    async def slow(self):
        nonlocal waiting, peak
        waiting += 1
        peak = max(peak, waiting)
        for _ in range(50):
            await asyncio.sleep(0)
        waiting -= 1
        return await finish(self)

    monkeypatch.setattr(MemoryReception, "finish", slow)
    reply = await post(here, body_of(*(instance_file(n) for n in range(1, 11))))
    assert reply.status == 200
    assert stored_uids(reply) == [f"{STUDY}.1.{n}" for n in range(1, 11)]
    assert 2 <= peak <= 4


# --- what fails, instance by instance


async def test_a_part_that_is_no_dicom_file_fails_alone():
    here = world()
    reply = await post(here, body_of(b"not DICOM" * 50, instance_file(2)))
    assert reply.status == 202
    assert stored_uids(reply) == [f"{STUDY}.1.2"]
    assert failures(reply) == []  # nobody knows what it was
    assert other_failures(reply) == [0xC000]


async def test_what_the_door_refuses_by_itself_is_recorded_once_and_says_nothing_of_it():
    here = world()
    body = body_of(
        b"not DICOM" * 50, instance_file(1)[:200], instance_file(1, study="9.9"), instance_file(2)
    )
    reply = await post(here, body, path=f"{STUDIES}/{STUDY}", cut=700)
    assert reply.status == 202
    assert here.receiver.refused == [
        "the data set cannot be read",
        "the data set cannot be read",
        "the instance is of another study than the path names",
    ]


@pytest.mark.parametrize(
    ("headers", "body", "status", "reason"),
    [
        ({"content-type": "text/html"}, b"x", 415, UNTAKEN),
        ({"content-type": "application/dicom", "content-encoding": "gzip"}, b"x", 415, UNTAKEN),
        ({}, b"x", 400, BROKEN),
        ({"content-type": RELATED}, b"--OTHER\r\n\r\n", 400, BROKEN),
        ({"content-type": RELATED}, b"", 400, BROKEN),
        ({"content-type": "application/dicom"}, b"", 400, BROKEN),
        ({"content-type": "application/dicom", "content-length": "9" * 20}, b"x", 413, TOO_LARGE),
    ],
)
async def test_a_request_that_is_refused_as_a_whole_is_recorded_by_a_fixed_reason(
    headers, body, status, reason
):
    here = world()
    reply = await call(here.app, "POST", STUDIES, body=[body], headers=headers)
    assert reply.status == status
    assert here.receiver.closed == len(here.receiver.origins) == 1
    assert here.receiver.refused == [reason]


async def test_what_receiving_refuses_is_left_to_it_to_record():
    here = world()
    here.receiver.error = TransientError("the keys are locked")
    await post(here, body_of(instance_file(1)))
    here.receiver.space = 0
    await post(here, body_of(instance_file(1)))
    assert here.receiver.refused == []


async def test_an_instance_of_another_study_than_the_path_fails_alone():
    here = world()
    reply = await post(
        here, body_of(instance_file(1, study="9.9"), instance_file(2)), path=f"{STUDIES}/{STUDY}"
    )
    assert reply.status == 202
    assert stored_uids(reply) == [f"{STUDY}.1.2"]
    assert failures(reply) == [("9.9.1.1", 0xA901)]
    assert list(here.archive.instances) == [f"{STUDY}.1.2"]
    assert report(reply).RetrieveURL.endswith(f"/studies/{STUDY}")


@pytest.mark.parametrize("cut", [1 << 20, 700])
async def test_nothing_of_another_study_is_stored_however_late_that_shows(cut):
    here = world()
    reply = await post(
        here, body_of(instance_file(1, study="9.9")), path=f"{STUDIES}/{STUDY}", cut=cut
    )
    assert reply.status == 409
    assert here.archive.instances == {}


async def test_the_data_set_decides_what_an_instance_is_not_the_file_meta_information():
    here = world()
    file = shipped("rtdose.dcm")
    data_set = dcmread(BytesIO(file))
    assert data_set.file_meta.MediaStorageSOPInstanceUID != data_set.SOPInstanceUID
    reply = await post(here, body_of(file))
    assert reply.status == 200
    assert stored_uids(reply) == [data_set.SOPInstanceUID]
    (held,) = here.archive.instances.values()
    assert data_set_of(held.part10) == data_set_of(file)


async def test_a_file_that_ends_in_its_meta_information_fails_alone():
    here = world()
    reply = await post(here, body_of(instance_file(1)[:200], instance_file(2)))
    assert reply.status == 202
    assert other_failures(reply) == [0xC000]


async def test_a_part_of_another_media_type_is_dropped_and_said():
    here = world()
    reply = await post(here, body_of(b"{}", content_type="application/dicom+json"))
    assert reply.status == 415
    assert other_failures(reply) == [0xC000]


def without(keyword: str) -> bytes:
    """A file whose data set lacks one element; the file meta information has it still."""
    data_set = dcmread(BytesIO(instance_file(1)))
    del data_set[keyword]
    out = BytesIO()
    dcmwrite(out, data_set)
    return out.getvalue()


@pytest.mark.parametrize("keyword", ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID"])
async def test_a_data_set_without_a_uid_of_its_own_does_not_match_its_sop_class(keyword):
    reply = await post(world(), body_of(without(keyword), instance_file(2)))
    assert reply.status == 202
    assert failures(reply) == [(f"{STUDY}.1.1", 0xA900)]


async def test_what_is_no_transfer_syntax_is_refused_as_one_and_stands_in_no_answer():
    here = world()
    named = b"1.2.840.10008.1.2.1\0"
    file = instance_file(1)
    assert file.count(named) == 1
    reply = await post(here, body_of(file.replace(named, b"1.2\r\nX-Injected: yes")))
    assert reply.status == 409
    assert failures(reply) == [(f"{STUDY}.1.1", 0xC122)]
    assert here.archive.instances == {}


# PS3.18 Table I.2-2, Status Code (decimal).
@pytest.mark.parametrize(
    ("error", "first", "last"),
    [
        (SpaceError("x"), 42752, 43007),  # Refused out of Resources
        (TransientError("x"), 42752, 43007),
        (MismatchError("x"), 43264, 43519),  # Error: Data Set does not match SOP Class
        (IdentityError("x"), 43264, 43519),
        (OtherStudyError("x"), 43264, 43519),
        (InstanceError("x"), 49152, 49152),  # Error: Cannot understand
        (TransferSyntaxError("x"), 49442, 49442),  # Referenced Transfer Syntax not supported
        (InstanceTooLargeError("x"), 42752, 43007),
        (ImagePixelError("x"), 43264, 43519),
        (SopClassError("x"), 290, 290),  # Referenced SOP Class not supported
        (PixelMediaTypeError("x"), 49442, 49442),
        (UnknownSyntaxError("x"), 49442, 49442),
        (MissingPartError("x"), 49152, 53247),
        (UnreferencedPartError("x"), 49152, 53247),
        (JsonArrayError("x"), 49152, 49152),
        (XmlError("x"), 49152, 49152),
        (RefusedError("x"), 272, 272),  # Processing failure
    ],
)
def test_each_failure_has_the_most_exact_reason_of_the_standard(error, first, last):
    assert first <= failure_reason(error) <= last


async def test_unsafe_claims_are_not_repeated():
    here = world()
    data_set = dcmread(BytesIO(instance_file(1)))
    out = BytesIO()
    dcmwrite(out, data_set)
    file = out.getvalue().replace(f"{STUDY}.1.1".encode(), b'1.2"<x>..')
    reply = await post(here, body_of(file))
    assert reply.status == 409
    assert b"<x>" not in reply.body


async def test_a_full_disk_is_507_and_a_half_full_one_202():
    here = world()
    here.receiver.space = 1
    reply = await post(here, body_of(instance_file(1), instance_file(2)))
    assert reply.status == 202
    assert failures(reply) == [(f"{STUDY}.1.2", 0xA700)]
    reply = await post(here, body_of(instance_file(3)))
    assert reply.status == 507
    assert failures(reply) == [(f"{STUDY}.1.3", 0xA700)]


async def test_a_request_is_refused_before_its_body_where_nothing_can_be_taken():
    here = world()
    here.receiver.room_bytes = 30_000
    body = body_of(instance_file(1))
    full = await post(here, body, content_length=str(len(body)))
    assert full.status == 507
    assert full.json()["reason"].endswith("free above the reserve")
    here.receiver.busy = TransientError("the catalog does not keep up")
    busy = await post(here, body, content_length=str(len(body)))
    assert busy.status == 503
    assert int(busy.header("retry-after")) > 0
    assert here.archive.instances == {}


async def test_what_may_work_later_is_503_with_a_time_to_wait():
    here = world()
    here.receiver.error = TransientError("the keys are locked")
    reply = await post(here, body_of(instance_file(1)))
    assert reply.status == 503
    assert int(reply.header("retry-after")) > 0
    assert failures(reply) == [(f"{STUDY}.1.1", 0xA700)]


async def test_a_spool_that_fails_while_it_is_waited_for_fails_that_instance(monkeypatch):
    here = world()
    here.receiver.full_every = 3
    ready = MemoryReception.ready

    async def failing(self):
        if here.receiver.waits == 0:
            here.receiver.waits += 1
            raise TransientError("the segment was given up")
        await ready(self)

    monkeypatch.setattr(MemoryReception, "ready", failing)
    reply = await post(here, body_of(instance_file(1), instance_file(2)), cut=2000)
    assert reply.status == 202
    assert failures(reply) == [(f"{STUDY}.1.1", 0xA700)]
    assert stored_uids(reply) == [f"{STUDY}.1.2"]


async def test_an_error_of_ours_in_one_part_ends_the_request_and_leaves_nothing_open(caplog):
    here = world()
    here.receiver.error = ZeroDivisionError("x")  # type: ignore[assignment]
    reply = await post(here, body_of(instance_file(1), instance_file(2)))
    assert reply.status == 500
    assert "ZeroDivisionError" in caplog.text


# --- bodies that break


async def test_a_body_cut_off_keeps_what_was_complete_and_says_so():
    here = world()
    body = body_of(instance_file(1), instance_file(2))
    for cut_off in (body[:-20_000], body[: -len(b"--\r\n")], body_of(instance_file(1), end=False)):
        reply = await post(here, cut_off)
        assert reply.status == 400
    reply = await post(here, body[:-20_000])
    assert stored_uids(reply) == [f"{STUDY}.1.1"]
    assert other_failures(reply) == [0x0110]
    assert "ended in a part" in reply.header("warning")
    assert list(here.archive.instances) == [f"{STUDY}.1.1"]


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"--BOUNDARY--", b"no boundary anywhere", b"--OTHER\r\n\r\nx\r\n--OTHER--"),
        *(b"x" * 20_000, b"--BOUNDARY\r\nbroken\r\n\r\n"),
    ],
)
async def test_a_body_without_a_single_part_is_400(body):
    here = world()
    reply = await post(here, body)
    assert reply.status == 400
    assert reply.header("content-type") == "application/json"


async def test_an_empty_file_is_400():
    assert (await post(world(), b"", content_type="application/dicom")).status == 400


async def test_a_sender_who_hangs_up_leaves_what_was_complete():
    here = world()
    body = body_of(instance_file(1), instance_file(2))
    reply = await post(here, body[:-10_000], hang_up=True)
    assert reply.sends == 0
    assert list(here.archive.instances) == [f"{STUDY}.1.1"]


async def test_a_sender_who_falls_silent_is_given_up():
    here = world(limits=Limits(idle_s=0.0))
    chunks = [{"type": "http.request", "body": body_of(instance_file(1))[:5000], "more_body": True}]
    sent = []

    async def receive():
        return chunks.pop() if chunks else await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": STUDIES,
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1"), (b"content-type", RELATED.encode())],
        "client": ("127.0.0.1", 1),
        "scheme": "http",
    }
    await here.app(scope, receive, send)
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]
    assert here.receiver.open == 0
    assert here.receiver.closed == 1


async def test_a_request_that_is_cancelled_leaves_nothing_open():
    here = world()
    begun = asyncio.Event()
    chunks = [{"type": "http.request", "body": body_of(instance_file(1))[:9000], "more_body": True}]

    async def receive():
        if not chunks:
            begun.set()
        return chunks.pop() if chunks else await asyncio.Event().wait()

    async def send(message):
        raise AssertionError("nobody is there")

    scope = {
        "type": "http",
        "method": "POST",
        "path": STUDIES,
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1"), (b"content-type", RELATED.encode())],
        "client": ("127.0.0.1", 1),
        "scheme": "http",
    }
    task = asyncio.create_task(here.app(scope, receive, send))
    await begun.wait()
    assert here.receiver.open == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert here.receiver.open == 0
    assert here.receiver.closed == 1


# --- limits and kinds


async def test_too_many_parts_are_413_and_those_before_stay():
    here = world(limits=Limits(parts_max=2))
    reply = await post(here, body_of(*(instance_file(n) for n in (1, 2, 3))))
    assert reply.status == 413
    assert stored_uids(reply) == [f"{STUDY}.1.1", f"{STUDY}.1.2"]


async def test_a_body_over_the_limit_is_413_before_or_while_it_comes():
    here = world(limits=Limits(body_bytes_max=60_000))
    body = body_of(instance_file(1), instance_file(2))
    early = await post(here, body, content_length=str(len(body)))
    assert early.status == 413
    assert here.receiver.refused == [TOO_LARGE]
    late = await post(here, body, cut=30_000)
    assert late.status == 413
    assert stored_uids(late) == [f"{STUDY}.1.1"]


@pytest.mark.parametrize(
    "content_type, status",
    [
        ("application/json", 415),
        ("multipart/form-data; boundary=BOUNDARY", 415),
        ('multipart/related; type="image/jpeg"; boundary=BOUNDARY', 415),
        ("multipart/related; boundary=BOUNDARY", 415),
        ("nonsense", 415),
        ('multipart/related; type="application/dicom"', 400),
        (f'multipart/related; type="application/dicom"; boundary={"x" * 71}', 400),
        ("multipart/related; type=application/dicom; boundary=BOUNDARY", 200),
        ('multipart/related; type="application/dicom; a=b"; boundary=BOUNDARY', 200),
        ("Multipart/Related; TYPE=Application/DICOM; Boundary=BOUNDARY", 200),
    ],
)
async def test_only_dicom_files_are_taken(content_type, status):
    here = world()
    reply = await post(here, body_of(instance_file(1)), content_type=content_type)
    assert reply.status == status


async def test_a_content_coding_is_not_taken():
    reply = await post(world(), body_of(instance_file(1)), content_encoding="gzip")
    assert reply.status == 415


async def test_an_answer_that_cannot_be_given_is_refused_before_anything_is_stored():
    here = world()
    reply = await post(here, body_of(instance_file(1)), accept="text/html")
    assert reply.status == 406
    assert here.receiver.origins == []
