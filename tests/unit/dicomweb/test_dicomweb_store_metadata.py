"""STOW-RS of metadata with bulk data in parts of their own: what is stored, and what of whose."""

import asyncio
import json
import threading
from base64 import b64encode
from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames

from corpus import ct_small
from dicomweb_fakes import MemoryAside, MemoryReception, World, call, world
from fileroom.dicom.json_reading import Reference, elements_of
from fileroom.dicom.value_writing import UnwritableError
from fileroom.dicomweb.location import BASE
from fileroom.dicomweb.stow import answer as stow_answer
from fileroom.dicomweb.stow import described as of_instance
from fileroom.dicomweb.stow import metadata_parts
from fileroom.dicomweb.stow.bulk_parts import BulkPart, BulkParts
from fileroom.errors import TransientError
from fileroom.http.request import Limits
from fileroom.wire import media_type, multipart

STUDIES = f"{BASE}/studies"
STUDY = "1.2.3"
JSON, XML, DICOM = "application/dicom+json", "application/dicom+xml", "application/dicom"
CT_PIXELS = 128 * 128 * 2
UIDS = ("00080016", "00080018", "0020000D", "0020000E")

Part = tuple[dict[str, str], bytes]


def described(number: int, *, study: str = STUDY, name: str = "CT_small.dcm") -> dict:
    """The metadata of an instance as pydicom says it, its pixels apart."""
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str)
    data_set = dcmread(path)
    data_set.StudyInstanceUID = study
    data_set.SeriesInstanceUID = f"{study}.1"
    data_set.SOPInstanceUID = f"{study}.1.{number}"
    pixels = data_set["PixelData"].VR
    del data_set.PixelData
    found = json.loads(data_set.to_json())
    found["7FE00010"] = {"vr": pixels, "BulkDataURI": f"pixels/{number}"}
    return found


def pixels(number: int, size_bytes: int = CT_PIXELS) -> bytes:
    return bytes([number % 256, 1]) * (size_bytes // 2)


def metadata(*instances: dict) -> Part:
    return {"Content-Type": JSON}, json.dumps(instances).encode()


def bulk(location: str, data: bytes, kind: str = "application/octet-stream") -> Part:
    return {"Content-Type": kind, "Content-Location": location}, data


def body_of(*parts: Part, end: bool = True) -> bytes:
    pieces = []
    for number, (headers, data) in enumerate(parts):
        pieces += [multipart.part_header("B", headers.items(), first=number == 0), data]
    return b"".join([*pieces, multipart.closing("B") if end else b""])


async def post(
    here: World,
    *parts: Part,
    path: str = STUDIES,
    kind: str = JSON,
    cut: int = 50_000,
    body: bytes | None = None,
    hang_up: bool = False,
    **headers: str,
):
    content = body_of(*parts) if body is None else body
    chunks = [content[start : start + cut] for start in range(0, len(content), cut)] or [b""]
    fields = {
        "content-type": f'multipart/related; type="{kind}"; boundary=B',
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    reply = await call(here.app, "POST", path, headers=fields, body=chunks, hang_up=hang_up)
    assert here.receiver.open == 0, "a reception was left open"
    assert here.receiver.closed == len(here.receiver.origins), "a conversation was left open"
    assert not any(each.is_open for each in here.receiver.asides), "what was set aside was left"
    return reply


def report(reply) -> Dataset:
    return Dataset.from_json(reply.body.decode())


def stored(reply) -> list[str]:
    return [i.ReferencedSOPInstanceUID for i in report(reply).get("ReferencedSOPSequence", [])]


def warnings(reply) -> list[int | None]:
    return [i.get("WarningReason") for i in report(reply).get("ReferencedSOPSequence", [])]


def failures(reply) -> list[tuple[str, int]]:
    return [
        (item.ReferencedSOPInstanceUID, item.FailureReason)
        for item in report(reply).get("FailedSOPSequence", [])
    ]


def other_failures(reply) -> list[int]:
    return [item.FailureReason for item in report(reply).get("OtherFailuresSequence", [])]


def held(here: World, number: int, *, study: str = STUDY) -> Dataset:
    return dcmread(BytesIO(here.archive.instances[f"{study}.1.{number}"].part10))


# --- what is stored


@pytest.mark.parametrize("cut", [1 << 20, 50_000, 997, 61])
async def test_instances_are_made_of_their_metadata_and_their_parts(cut):
    here = world()
    count = 1 if cut == 61 else 3
    instances = [described(n) for n in range(1, count + 1)]
    parts = [bulk(f"pixels/{n}", pixels(n)) for n in range(1, count + 1)]
    reply = await post(here, metadata(*instances), *parts, cut=cut)
    assert reply.status == 200, reply.body
    assert stored(reply) == [f"{STUDY}.1.{n}" for n in range(1, count + 1)]
    for number, instance in enumerate(instances, 1):
        found = held(here, number)
        assert found.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
        assert found.PixelData == pixels(number)
        expected = Dataset.from_json({**instance, "7FE00010": {"vr": "OW"}})
        expected.PixelData = pixels(number)
        assert Dataset(found) == expected


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0), (1, 2, 0)])
async def test_parts_come_in_any_order(order):
    here = world()
    parts = [
        metadata(described(1), described(2)),
        bulk("pixels/1", pixels(1)),
        bulk("pixels/2", pixels(2)),
    ]
    reply = await post(here, *(parts[each] for each in order))
    assert reply.status == 200
    assert held(here, 1).PixelData == pixels(1)
    assert held(here, 2).PixelData == pixels(2)


async def test_an_instance_is_stored_as_soon_as_it_is_complete():
    here = world()
    body = body_of(metadata(described(1), described(2)), bulk("pixels/1", pixels(1)), end=False)
    reply = await post(here, body=body + b"\r\n--B\r\n", hang_up=True)
    assert reply.sends == 0
    assert list(here.archive.instances) == [f"{STUDY}.1.1"]


async def test_values_before_and_behind_pixels_and_in_items_come_apart_too():
    here = world()
    instance = described(1)
    instance["00081140"] = {
        "vr": "SQ",
        "Value": [{"00420011": {"vr": "OB", "BulkDataURI": "inside"}}],
    }
    instance["00282000"] = {"vr": "OB", "BulkDataURI": "profile"}
    instance["00104000"] = {"vr": "LT", "BulkDataURI": "comment"}
    instance["FFFCFFFC"] = {"vr": "OB", "BulkDataURI": "padding"}
    reply = await post(
        here,
        bulk("inside", b"%PDF-", "application/pdf"),
        bulk("padding", b"\0"),
        metadata(instance),
        bulk("comment", b"long"),
        bulk("pixels/1", pixels(1)),
        bulk("profile", b"ICC"),
    )
    assert reply.status == 200
    found = held(here, 1)
    assert found[0x00081140].value[0][0x00420011].value == b"%PDF-\0"
    assert found[0x00282000].value == b"ICC\0"
    assert found.PatientComments == "long"
    assert found.PixelData == pixels(1)
    assert found[0xFFFCFFFC].value == b"\0\0"


async def test_one_part_may_be_of_several_instances():
    here = world()
    first, second = described(1), described(2)
    second["7FE00010"]["BulkDataURI"] = "pixels/1"
    reply = await post(here, metadata(first, second), bulk("pixels/1", pixels(7)))
    assert reply.status == 200
    assert held(here, 1).PixelData == held(here, 2).PixelData == pixels(7)


async def test_values_may_all_be_inline():
    here = world()
    instance = described(1)
    instance["7FE00010"] = {"vr": "OW", "InlineBinary": b64encode(pixels(1)).decode()}
    reply = await post(here, metadata(instance))
    assert reply.status == 200
    assert held(here, 1).PixelData == pixels(1)


async def test_metadata_alone_may_come_without_multipart():
    here = world()
    instance = described(1)
    del instance["7FE00010"]
    reply = await call(
        here.app,
        "POST",
        STUDIES,
        headers={"content-type": JSON},
        body=[json.dumps([instance]).encode()],
    )
    assert reply.status == 200
    assert stored(reply) == [f"{STUDY}.1.1"]


async def test_nothing_is_kept_in_memory_of_what_the_spool_is_too_full_to_take():
    here = world()
    here.receiver.full_every = 3
    reply = await post(here, metadata(described(1)), bulk("pixels/1", pixels(1)))
    assert reply.status == 200
    assert here.receiver.waits > 2


# --- pixel data by its media type

RLE, JPEG, JPEG_LS, J2K, HTJ2K = (
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.201",
)
COMPRESSED = [
    ("MR_small_RLE.dcm", f"image/dicom-rle; transfer-syntax={RLE}", RLE),
    ("MR_small_RLE.dcm", "image/dicom-rle", RLE),
    ("MR_small_RLE.dcm", f"application/octet-stream; transfer-syntax={RLE}", RLE),
    ("MR_small_jpeg_ls_lossless.dcm", f'image/jls; transfer-syntax="{JPEG_LS}"', JPEG_LS),
    ("MR_small_jpeg_ls_lossless.dcm", "image/jls", JPEG_LS),
    ("MR_small_jpeg_ls_lossless.dcm", "image/x-jls", JPEG_LS),
    ("MR_small_jp2klossless.dcm", f"image/jp2;transfer-syntax={J2K}", J2K),
    ("MR_small_jp2klossless.dcm", "image/jp2", J2K),
    ("SC_rgb_jpeg_dcmtk.dcm", f"image/jpeg; transfer-syntax={JPEG}", JPEG),
    ("SC_rgb_jpeg_dcmtk.dcm", "image/jpeg", JPEG),
    ("MR_small_jp2klossless.dcm", f"image/jphc; transfer-syntax={HTJ2K}", HTJ2K),
]


def frames_of(name: str) -> list[bytes]:
    data_set = dcmread(str(get_testdata_file(name, download=False)))
    count = int(data_set.get("NumberOfFrames", 1))
    return list(generate_frames(data_set.PixelData, number_of_frames=count))


@pytest.mark.parametrize("name, kind, syntax", COMPRESSED)
async def test_a_compressed_frame_is_encapsulated_as_what_its_part_says(name, kind, syntax):
    here = world()
    (frame,) = frames_of(name)
    reply = await post(here, metadata(described(1, name=name)), bulk("pixels/1", frame, kind))
    assert reply.status == 200, reply.body
    found = held(here, 1)
    assert found.file_meta.TransferSyntaxUID == syntax
    assert found["PixelData"].VR == "OB"
    assert list(generate_frames(found.PixelData, number_of_frames=1)) == [frame]


@pytest.mark.parametrize("numbered", [True, False])
async def test_each_frame_is_a_part_of_its_own(numbered):
    here = world()
    name = "SC_rgb_rle_2frame.dcm"
    frames = frames_of(name)
    assert len(frames) == 2
    parts = [
        bulk(f"pixels/1/frames/{n}" if numbered else "pixels/1", frame, "image/dicom-rle")
        for n, frame in enumerate(frames, 1)
    ]
    if numbered:
        parts.reverse()
    reply = await post(here, parts[0], metadata(described(1, name=name)), parts[1])
    assert reply.status == 200
    found = held(here, 1)
    assert list(generate_frames(found.PixelData, number_of_frames=2)) == frames
    assert found.PixelData[:16] == b"\xfe\xff\0\xe0\x08\0\0\0" + bytes(4) + (
        8 + len(frames[0])
    ).to_bytes(4, "little")


async def test_native_frames_and_videos_are_one_part_whatever_their_frames():
    here = world()
    native, video = described(1), described(2)
    native["00280008"] = video["00280008"] = {"vr": "IS", "Value": [3]}
    mp4 = "video/mp4; transfer-syntax=1.2.840.10008.1.2.4.102"
    reply = await post(
        here,
        metadata(native, video),
        bulk("pixels/1", pixels(1, 3 * CT_PIXELS)),
        bulk("pixels/2", b"\0\0\0\x18ftypmp42", mp4),
    )
    assert reply.status == 200
    assert held(here, 1).PixelData == pixels(1, 3 * CT_PIXELS)
    assert held(here, 2).file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.102"


@pytest.mark.parametrize(
    "kind, reason",
    [
        ("image/png", 0xC122),
        ("image/gif", 0xC122),
        ("application/pdf", 0xC122),
        ("image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.90", 0xC122),
        ("image/jpeg; transfer-syntax=1.2.3", 0xC122),
        ("application/octet-stream; transfer-syntax=1.2.840.10008.1.2.2", 0xC122),
        ("image/jxl", 0xC122),
        ("image/jpeg", 0xC122),  # which it is not
        ("image/jp2", 0xC122),
    ],
)
async def test_pixels_of_no_transfer_syntax_that_is_stored_fail_alone(kind, reason):
    here = world()
    reply = await post(
        here,
        metadata(described(1), described(2)),
        bulk("pixels/1", pixels(1), kind),
        bulk("pixels/2", pixels(2)),
    )
    assert reply.status == 202
    assert failures(reply) == [(f"{STUDY}.1.1", reason)]
    assert other_failures(reply) == []
    assert stored(reply) == [f"{STUDY}.1.2"]


async def test_frames_of_several_transfer_syntaxes_are_no_instance():
    here = world()
    name = "SC_rgb_rle_2frame.dcm"
    reply = await post(
        here,
        metadata(described(1, name=name)),
        bulk("pixels/1", frames_of(name)[0], "image/dicom-rle"),
        bulk("pixels/1", frames_of("SC_rgb_jpeg_dcmtk.dcm")[0], "image/jpeg"),
    )
    assert reply.status == 409
    assert failures(reply) == [(f"{STUDY}.1.1", 0xC122)]


async def test_pixels_that_are_too_few_are_not_stored_and_too_many_with_a_warning():
    here = world()
    reply = await post(
        here,
        metadata(described(1), described(2)),
        bulk("pixels/1", pixels(1)[:-2]),
        bulk("pixels/2", pixels(2) + b"more"),
    )
    assert reply.status == 202
    assert failures(reply) == [(f"{STUDY}.1.1", 0xA900)]
    assert warnings(reply) == [0xB007]
    assert held(here, 2).PixelData == pixels(2) + b"more"


@pytest.mark.parametrize("kind", ["application/octet-stream", "image/dicom-rle"])
async def test_pixels_without_a_description_are_not_stored(kind):
    here = world()
    instance = described(1)
    del instance["00280010"]
    reply = await post(here, metadata(instance), bulk("pixels/1", pixels(1), kind))
    assert reply.status == 409
    assert failures(reply) == [(f"{STUDY}.1.1", 0xA900)]


# --- what fails, instance by instance


async def test_an_instance_whose_part_does_not_come_fails_alone():
    here = world()
    reply = await post(here, metadata(described(1), described(2)), bulk("pixels/2", pixels(2)))
    assert reply.status == 202
    assert failures(reply) == [(f"{STUDY}.1.1", 0xC010)]
    assert stored(reply) == [f"{STUDY}.1.2"]
    assert here.receiver.refused == ["a part that metadata refers to did not come"]


async def test_a_frame_that_does_not_come_makes_an_instance_incomplete():
    here = world()
    name = "SC_rgb_rle_2frame.dcm"
    frame = frames_of(name)[0]
    for location in ("pixels/1", "pixels/1/frames/1", "pixels/1/frames/2"):
        reply = await post(
            here, metadata(described(1, name=name)), bulk(location, frame, "image/dicom-rle")
        )
        assert reply.status == 409
        assert failures(reply) == [(f"{STUDY}.1.1", 0xC010)]
        assert other_failures(reply) == []


@pytest.mark.parametrize("first", [True, False])
async def test_a_part_that_nobody_refers_to_is_a_failure_of_its_own(first):
    here = world()
    known = [metadata(described(1)), bulk("pixels/1", pixels(1))]
    stray = bulk("pixels/9", b"stray")
    reply = await post(here, *([stray, *known] if first else [*known, stray]))
    assert reply.status == 202
    assert stored(reply) == [f"{STUDY}.1.1"]
    assert other_failures(reply) == [0xC011]


async def test_of_two_parts_under_one_name_the_first_counts_and_the_second_is_told():
    here = world()
    parts = [bulk("pixels/1", pixels(1)), bulk("pixels/1", pixels(2))]
    for order in ([metadata(described(1)), *parts], [*parts, metadata(described(1))]):
        reply = await post(here, *order)
        assert reply.status == 202
        assert held(here, 1).PixelData == pixels(1)
        assert other_failures(reply) == [0xC011]


async def test_a_part_without_a_name_is_of_nobody():
    here = world()
    nameless = ({"Content-Type": "application/octet-stream"}, b"x")
    reply = await post(here, metadata(described(1)), nameless, bulk("pixels/1", pixels(1)))
    assert reply.status == 202
    assert other_failures(reply) == [0xC011]


async def test_parts_of_an_instance_that_failed_are_no_failures_of_their_own():
    here = world()
    wrong = described(1, study="9.9")
    for order in (0, 1):
        parts = [metadata(wrong), bulk("pixels/1", pixels(1))]
        reply = await post(here, parts[order], parts[1 - order], path=f"{STUDIES}/{STUDY}")
        assert reply.status == 409
        assert failures(reply) == [("9.9.1.1", 0xA901)]
        assert other_failures(reply) == []


async def test_an_instance_of_another_study_than_the_path_fails_alone():
    here = world()
    reply = await post(
        here,
        metadata(described(1, study="9.9"), described(2)),
        bulk("pixels/2", pixels(2)),
        bulk("pixels/1", pixels(1)),
        path=f"{STUDIES}/{STUDY}",
    )
    assert reply.status == 202
    assert failures(reply) == [("9.9.1.1", 0xA901)]
    assert list(here.archive.instances) == [f"{STUDY}.1.2"]
    assert here.receiver.asides[0].size_bytes < 2 * CT_PIXELS  # nothing of what was refused


@pytest.mark.parametrize("tag", ["00080016", "00080018", "0020000D", "0020000E"])
async def test_metadata_without_a_uid_is_no_instance(tag):
    here = world()
    instance = described(1)
    del instance[tag]
    reply = await post(here, metadata(instance, described(2)), bulk("pixels/2", pixels(2)))
    assert reply.status == 202
    assert stored(reply) == [f"{STUDY}.1.2"]
    if tag in ("00080016", "00080018"):
        assert (failures(reply), other_failures(reply)) == ([], [0xA900])
    else:
        assert failures(reply) == [(f"{STUDY}.1.1", 0xA900)]


@pytest.mark.parametrize("uid", ["../../x", "1.2\r\nX: y", "1." * 40, "x"])
async def test_a_uid_that_is_none_is_refused_and_not_repeated(uid):
    here = world()
    instance = described(1)
    instance["00080018"]["Value"] = [uid]
    reply = await post(here, metadata(instance), bulk("pixels/1", pixels(1)))
    assert reply.status == 409
    assert other_failures(reply) == [0xA900]
    assert json.dumps(uid)[1:-1].encode() not in reply.body


async def test_a_value_that_is_none_of_its_vr_fails_its_instance_alone():
    here = world()
    instance = described(1)
    instance["00280010"]["Value"] = ["many"]
    reply = await post(
        here, metadata(instance, described(2)), bulk("pixels/1", b""), bulk("pixels/2", pixels(2))
    )
    assert reply.status == 202
    assert failures(reply) == [(f"{STUDY}.1.1", 0xC000)]
    assert here.receiver.refused == ["the data set cannot be read"]


async def test_an_item_whose_character_set_is_no_element_fails_its_instance_alone():
    here = world()
    instance = described(1)
    instance["00081140"] = {"vr": "SQ", "Value": [{"00080005": 5}]}
    values = [bulk("pixels/1", pixels(1)), bulk("pixels/2", pixels(2))]
    reply = await post(here, metadata(instance, described(2)), *values)
    assert reply.status == 202
    assert failures(reply) == [(f"{STUDY}.1.1", 0xC000)]
    assert stored(reply) == [f"{STUDY}.1.2"]


async def test_elements_that_no_data_set_has_are_left_out_with_a_warning():
    here = world()
    instance = described(1)
    instance["00020010"] = {"vr": "UI", "Value": ["1.2.840.10008.1.2.1"]}
    reply = await post(here, metadata(instance), bulk("pixels/1", pixels(1)))
    assert reply.status == 202
    assert warnings(reply) == [0xB006]
    assert stored(reply) == [f"{STUDY}.1.1"]
    assert "FailedSOPSequence" not in report(reply)


async def test_a_part_in_a_coding_is_dropped_and_said():
    here = world()
    for field in ({"Content-Transfer-Encoding": "base64"}, {"Content-Encoding": "gzip"}):
        headers, data = metadata(described(1))
        reply = await post(here, (headers | field, data))
        assert reply.status == 415
        assert other_failures(reply) == [0xC000]


async def test_a_part_of_no_media_type_is_dropped_and_said():
    reply = await post(world(), ({"Content-Type": "nonsense"}, b"x"))
    assert reply.status == 415


# --- rooms that fail


async def test_a_full_disk_fails_what_does_not_fit_and_only_that():
    here = world()
    here.receiver.room_bytes = 60_000
    reply = await post(
        here,
        metadata(described(1), described(2)),
        bulk("pixels/1", pixels(1)),
        bulk("pixels/2", pixels(2)),
    )
    assert reply.status == 202
    assert stored(reply) == [f"{STUDY}.1.1"]
    assert failures(reply) == [(f"{STUDY}.1.2", 0xA700)]
    here = world()
    here.receiver.space = 0
    reply = await post(here, metadata(described(1)), bulk("pixels/1", pixels(1)))
    assert reply.status == 507
    assert failures(reply) == [(f"{STUDY}.1.1", 0xA700)]
    assert here.receiver.refused == []  # which receiving recorded


async def test_what_may_work_later_is_503_with_a_time_to_wait():
    here = world()
    here.receiver.error = TransientError("the keys are locked")
    reply = await post(here, metadata(described(1)), bulk("pixels/1", pixels(1)))
    assert reply.status == 503
    assert int(reply.header("retry-after")) > 0
    assert failures(reply) == [(f"{STUDY}.1.1", 0xA700)]
    assert here.receiver.refused == []


async def test_an_error_of_ours_ends_the_request_and_leaves_nothing_open(caplog):
    here = world()
    here.receiver.error = ZeroDivisionError("x")  # type: ignore[assignment]
    reply = await post(here, metadata(described(1)), bulk("pixels/1", pixels(1)))
    assert reply.status == 500
    assert "ZeroDivisionError" in caplog.text


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
    reply = await post(
        here,
        metadata(described(1), described(2)),
        bulk("pixels/1", pixels(1)),
        bulk("pixels/2", pixels(2)),
    )
    assert reply.status == 202
    assert failures(reply) == [(f"{STUDY}.1.1", 0xA700)]
    assert stored(reply) == [f"{STUDY}.1.2"]


@pytest.mark.parametrize("waiting_for", ["the body", "the spool"])
async def test_a_request_that_is_cancelled_leaves_nothing_open(monkeypatch, waiting_for):
    here = world()
    begun = asyncio.Event()
    body = body_of(metadata(described(1)), bulk("pixels/1", pixels(1)))
    if waiting_for == "the spool":
        here.receiver.full_every = 3

        async def never_ready(self):
            begun.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(MemoryReception, "ready", never_ready)
    else:
        body = body[:-9000]
    chunks = [{"type": "http.request", "body": body, "more_body": True}]

    async def receive():
        if not chunks:
            begun.set()
        return chunks.pop() if chunks else await asyncio.Event().wait()

    async def send(message):
        raise AssertionError("nobody is there")

    kind = f'multipart/related; type="{JSON}"; boundary=B'.encode()
    scope = {
        "type": "http",
        "method": "POST",
        "path": STUDIES,
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1"), (b"content-type", kind)],
        "client": ("127.0.0.1", 1),
        "scheme": "http",
    }
    task = asyncio.create_task(here.app(scope, receive, send))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert here.receiver.open == 0
    assert not here.receiver.asides[0].is_open


# --- bodies that break, and limits


@pytest.mark.parametrize(
    "text",
    [
        *(
            b"",
            b"{}",
            b"[",
            b"nonsense",
            b"[1]",
            b'[{"00080018":',
            b"[}",
            b'["a"]',
            b"[[]]",
        ),
        *(b'[{"00080018": 1}]', b'[{"a" 1}]', b"[{'a':1}]", b"\xff\xfe[\0]\0"),
    ],
)
async def test_metadata_that_is_no_json_is_400(text):
    reply = await post(world(), ({"Content-Type": JSON}, text))
    assert reply.status == 400
    assert other_failures(reply) == [0xC000]


async def test_an_empty_array_holds_no_instance():
    assert (await post(world(), metadata())).status == 400
    assert (await post(world(), body=b"--B--")).status == 400


async def test_json_that_breaks_keeps_what_was_before_the_break():
    here = world()
    text = json.dumps([described(1)]).encode()[:-1] + b", {'"
    reply = await post(here, ({"Content-Type": JSON}, text), bulk("pixels/1", pixels(1)))
    assert reply.status == 202
    assert stored(reply) == [f"{STUDY}.1.1"]
    assert other_failures(reply) == [0xC000]


async def test_a_body_cut_off_keeps_what_was_complete_and_says_so():
    here = world()
    body = body_of(
        metadata(described(1), described(2)), bulk("pixels/1", pixels(1)), bulk("pixels/2", b"")
    )
    reply = await post(here, body=body[: -len(b"\r\n--B--\r\n")])
    assert reply.status == 400
    assert stored(reply) == [f"{STUDY}.1.1"]
    assert failures(reply) == [(f"{STUDY}.1.2", 0xC010)]
    assert other_failures(reply) == [0x0110]


SMALL = Limits(parts_max=5, metadata_bytes_max=40_000, instance_metadata_bytes_max=20_000)


@pytest.mark.parametrize(
    "parts",
    [
        [bulk("x", b"")] * 6,
        [bulk(f"{n}" + "x" * 10_000, b"") for n in range(5)],
        [metadata(*[{}] * 6)],
        [metadata({f"{0x00990001 + n:08X}": {"vr": "OB", "BulkDataURI": "x"} for n in range(6)})],
        [metadata({"00104000": {"vr": "LT", "Value": ["x" * 20_000]}})],
        [metadata(*[{"00104000": {"vr": "LT", "Value": ["x" * 15_000]}}] * 3)],
        [({"Content-Type": JSON}, b"[" + b" " * 40_000 + b"]")],
    ],
    ids=[
        *("parts", "names", "instances", "references"),
        *("one instance", "all metadata", "blanks"),
    ],
)
async def test_more_than_a_request_may_cost_is_413(parts):
    reply = await post(world(limits=SMALL), *parts)
    assert reply.status == 413


async def test_a_gigabyte_of_a_json_string_is_refused_before_it_is_there():
    here = world()
    head = body_of(({"Content-Type": JSON}, b'[{"00104000":{"vr":"LT","Value":["'), end=False)
    sent = 0
    chunks = [head]

    async def receive():
        nonlocal sent
        if chunks:
            return {"type": "http.request", "body": chunks.pop(), "more_body": True}
        sent += 1 << 20
        return {"type": "http.request", "body": b"x" * (1 << 20), "more_body": True}

    answers = []

    async def send(message):
        answers.append(message)

    kind = f'multipart/related; type="{JSON}"; boundary=B'.encode()
    scope = {
        "type": "http",
        "method": "POST",
        "path": STUDIES,
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1"), (b"content-type", kind)],
        "client": ("127.0.0.1", 1),
        "scheme": "http",
    }
    await here.app(scope, receive, send)
    assert answers[0]["status"] == 413
    assert sent <= 8 << 20


@pytest.mark.parametrize(
    "text",
    [
        b'[{"00081140":' + b"[" * 3_000_000,
        b'[{"00081140":{"vr":"SQ","Value":[' * 50_000,
        b"[" * 3_000_000,
        b'[{"00081140":{"vr":"SQ","Value":[' + b"{}," * 1_000_000 + b"{}]}}]",
    ],
    ids=["arrays", "sequences", "outer arrays", "a million items"],
)
async def test_bombs_of_json_are_refused_or_refer_to_no_instance(text):
    reply = await post(world(), ({"Content-Type": JSON}, text))
    assert reply.status in (400, 409)


@pytest.mark.parametrize(
    "value",
    [b'[{"00081140":{"vr":"SQ","Value":' * 100 + b"[]" + b"}}]" * 100, b"[" + b"{}," * 700_000],
    ids=["too deep", "too many"],
)
async def test_json_that_would_cost_too_much_is_never_decoded(monkeypatch, value):
    def decoding(text):
        raise AssertionError("decoded")

    monkeypatch.setattr(metadata_parts, "elements_of", decoding)
    text = b'[{"00081140":{"vr":"SQ","Value":' + value.rstrip(b",") + b"}}]"
    if value.endswith(b","):
        text = text[:-3] + b"]}}]"
    assert (await post(world(), ({"Content-Type": JSON}, text))).status == 400


async def test_metadata_of_one_instance_is_read_at_a_time_in_the_node():
    here = world()
    reading = here.app._service().reading
    async with reading, asyncio.timeout(60):
        posted = asyncio.create_task(post(here, metadata(described(1)), bulk("pixels/1", b"")))
        while not reading._waiters:
            await asyncio.sleep(0)
        assert not posted.done()
    assert (await posted).status == 409


def test_a_frame_that_comes_is_not_looked_for_until_all_may_be_there():
    class Counted(dict):
        looked = 0

        def __contains__(self, key):
            self.looked += 1
            return super().__contains__(key)

    parts, numbered = BulkParts(), Counted()
    parts._frames["x"] = numbered
    for number in range(1, 1_001):
        parts.add(f"x/frames/{number}", BulkPart(media_type.parse("image/jpeg"), start=0))
        assert parts.pixels("x", 1_000) is None or number == 1_000
    assert numbered.looked == 1_000


def test_a_value_that_no_length_field_can_say_is_refused():
    part = BulkPart(media_type.parse("application/octet-stream"), start=0)
    parts = BulkParts()
    parts.add("x", part)
    instance = of_instance.Described(references=(Reference(0, 0x00991010, "OB", "x", True),))
    part.end = 0xFFFFFFFE
    assert of_instance.parts_of(instance, parts) == [[part]]
    part.end += 1
    with pytest.raises(UnwritableError, match="4294967295 B"):
        of_instance.parts_of(instance, parts)


@pytest.mark.parametrize("frames", ["9" * 5_000, "0", "-1", "2.5", "2\\3"])
def test_a_number_of_frames_that_is_none_is_one(frames):
    said = described(1)
    said["00280008"] = {"vr": "IS", "Value": [frames]}
    instance, _ = of_instance.described(json.dumps(said).encode(), elements_of, None)
    assert (instance.frames, instance.framed) == (1, "")


async def test_ten_thousand_parts_under_one_name_take_no_time_to_speak_of():
    here = world()
    parts = [bulk("x/frames/2", b"", "image/jpeg")] * 9_990
    instance = described(1)
    instance["7FE00010"]["BulkDataURI"] = "x"
    instance["00280008"] = {"vr": "IS", "Value": [9_000]}
    reply = await post(here, metadata(instance), *parts, cut=1 << 20)
    assert reply.status == 409
    assert failures(reply) == [(f"{STUDY}.1.1", 0xC010)]


async def test_two_instances_of_several_frames_do_not_share_a_part():
    here = world()
    instances = [described(1), described(2)]
    for each in instances:
        each["7FE00010"]["BulkDataURI"] = "x"
        each["00280008"] = {"vr": "IS", "Value": [2]}
    reply = await post(here, metadata(*instances), bulk("x", pixels(1, 2 * CT_PIXELS)))
    assert reply.status == 202
    assert failures(reply) == [(f"{STUDY}.1.2", 0xC122)]


async def test_two_instances_of_several_frames_may_share_another_value():
    here = world()
    instances = [described(1), described(2)]
    for each in instances:
        each["00282000"] = {"vr": "OB", "BulkDataURI": "profile"}
        each["00280008"] = {"vr": "IS", "Value": [2]}
    reply = await post(
        here,
        metadata(*instances),
        bulk("profile", b"ICC"),
        bulk("pixels/1", pixels(1, 2 * CT_PIXELS)),
        bulk("pixels/2", pixels(2, 2 * CT_PIXELS)),
    )
    assert reply.status == 200
    assert held(here, 2)[0x00282000].value == b"ICC\0"


async def test_ten_thousand_references_of_one_instance_take_no_time_to_speak_of():
    here = world()
    instance = described(1)
    instance |= {
        f"0099{n:04X}": {"vr": "OB", "BulkDataURI": f"value/{n}"} for n in range(0x1000, 0x3000)
    }
    values = [bulk(f"value/{n}", b"") for n in range(0x1000, 0x3000)]
    reply = await post(here, metadata(instance), *values, bulk("pixels/1", pixels(1)), cut=1 << 20)
    assert reply.status == 200
    assert len(held(here, 1)) > 8192


def apart(uri: str) -> dict:
    return {"vr": "OB", "BulkDataURI": uri}


async def test_a_short_body_does_not_become_an_endless_instance():
    here = world(limits=Limits(body_bytes_max=100_000))
    endless = described(2) | {f"009910{n:02X}": apart("value") for n in range(10)}
    values = [bulk("pixels/1", pixels(1)), bulk("value", bytes(20_000)), bulk("pixels/2", b"")]
    reply = await post(here, metadata(described(1), endless), *values)
    assert reply.status == 202
    assert stored(reply) == [f"{STUDY}.1.1"]
    assert failures(reply) == [(f"{STUDY}.1.2", 0xA700)]
    assert here.receiver.refused == ["the instances are over 100000 B together"]


async def test_a_few_frames_do_not_become_endless_instances():
    here = world(limits=Limits(parts_max=5))
    instances = [described(n) for n in range(1, 4)]
    for each in instances:
        each["7FE00010"] = apart("x")
        each["00280008"] = {"vr": "IS", "Value": [3]}
    kind = f"image/dicom-rle; transfer-syntax={RLE}"
    frames = [bulk(f"x/frames/{n}", b"frame", kind) for n in (1, 2, 3)]
    reply = await post(here, *frames, metadata(*instances))
    assert stored(reply) == [f"{STUDY}.1.1", f"{STUDY}.1.2"]
    assert failures(reply) == [(f"{STUDY}.1.3", 0xA700)]


@pytest.mark.parametrize("of", ["one instance", "many instances"])
async def test_a_part_is_not_looked_at_for_each_of_the_references_to_its_name(monkeypatch, of):
    asked = 0
    for kind, name in ((BulkParts, "value"), (of_instance.Described, "has")):
        real = getattr(kind, name)

        def counted(*given, real=real):
            nonlocal asked
            asked += 1
            return real(*given)

        monkeypatch.setattr(kind, name, counted)
    if of == "one instance":
        instance = described(1) | {f"0099{n:04X}": apart("x") for n in range(0x1000, 0x1200)}
        instance["7FE00010"] = apart("x")
        instance["00280008"] = {"vr": "IS", "Value": [2_000]}
        instances = [instance]
    else:
        uids = {tag: value for tag, value in described(1).items() if tag in UIDS}
        instances = [
            uids | {"00991010": apart("x"), "00991011": apart(f"never/{n}")} for n in range(0x200)
        ]
    parts = [bulk("x", b"", "image/jpeg")] * 1_000
    reply = await post(world(), metadata(*instances), *parts)
    assert reply.status == 409
    assert asked < 5_000


@pytest.mark.parametrize(
    "kind, room_bytes, parts",
    [
        (DICOM, None, [({"Content-Type": DICOM}, b"junk" * 100)]),
        (JSON, None, [metadata({"00080018": {"vr": "UI", "Value": [1]}})]),
        (JSON, None, [metadata(described(1), {"00080018": 1})]),
        (JSON, 20_000, [bulk("pixels/1", pixels(1)), metadata(described(1))]),
        (XML, None, [({"Content-Type": XML}, b"<")]),
    ],
)
async def test_what_failed_is_kept_until_the_answer_without_what_was_read_of_it(
    monkeypatch, kind, room_bytes, parts
):
    here = world()
    here.receiver.room_bytes = room_bytes
    told = []
    real = stow_answer.report

    async def report(request, form, outcomes, broken):
        told.extend(each.error for each in outcomes)
        await real(request, form, outcomes, broken)

    monkeypatch.setattr(stow_answer, "report", report)
    await post(here, *parts, kind=kind)
    assert told
    for error in told:
        assert (error.__traceback__, error.__cause__, error.__context__) == (None, None, None)


async def test_pixels_are_compared_with_their_description_beside_the_loop(monkeypatch):
    threads = []
    for name in ("excess_bytes", "refuse_undescribed"):
        real = getattr(of_instance, name)

        def watched(*given, real=real):
            threads.append(threading.current_thread())
            return real(*given)

        monkeypatch.setattr(of_instance, name, watched)
    native, compressed = bulk("pixels/1", pixels(1)), bulk("pixels/2", b"frame", "image/dicom-rle")
    reply = await post(world(), metadata(described(1), described(2)), native, compressed)
    assert reply.status == 200
    assert len(threads) == 2
    assert threading.main_thread() not in threads


async def test_what_was_set_aside_is_freed_beside_the_loop(monkeypatch):
    threads = []
    real = MemoryAside.close

    def close(self):
        threads.append(threading.current_thread())
        real(self)

    monkeypatch.setattr(MemoryAside, "close", close)
    assert (await post(world(), metadata(described(1)))).status == 409
    assert threads
    assert threading.main_thread() not in threads


async def test_a_part_with_endless_header_fields_breaks_the_body():
    here = world()
    stored_first = [metadata(described(1)), bulk("pixels/1", pixels(1))]
    body = body_of(*stored_first, end=False) + b"\r\n--B\r\nX: " + b"x" * 20_000
    reply = await post(here, body=body)
    assert reply.status == 400
    assert stored(reply) == [f"{STUDY}.1.1"]
    assert "headers" in reply.header("warning")


async def test_what_looks_like_a_boundary_in_a_value_is_a_part_of_it():
    here = world()
    trick = b"\r\n--B-not\r\n--Bx\r\n-B\r\n--" * 100
    value = (trick + pixels(1))[:CT_PIXELS]
    for cut in (1 << 20, 997):
        reply = await post(here, metadata(described(1)), bulk("pixels/1", value), cut=cut)
        assert reply.status == 200
        assert held(here, 1).PixelData == value


# --- XML


def native(number: int, *, pixels_at: str = "") -> bytes:
    from fileroom.dicom.xml_model import native_model

    instance = described(number)
    if pixels_at:
        instance["7FE00010"]["BulkDataURI"] = pixels_at
    return native_model(json.dumps(instance).encode())


def xml_part(document: bytes) -> Part:
    return {"Content-Type": XML}, document


@pytest.mark.parametrize("bulk_first", [True, False])
async def test_each_instance_is_an_xml_part_of_its_own(bulk_first):
    here = world()
    documents = [xml_part(native(n)) for n in (1, 2)]
    values = [bulk(f"pixels/{n}", pixels(n)) for n in (1, 2)]
    parts = [*values, *documents] if bulk_first else [*documents, *values]
    reply = await post(here, *parts, kind=XML)
    assert reply.status == 200, reply.body
    expected = dcmread(ct_small())
    for number in (1, 2):
        found = held(here, number)
        assert found.PixelData == pixels(number)
        assert found.PatientName == expected.PatientName
        assert found[0x00431029].value == expected[0x00431029].value


async def test_a_part_that_came_before_is_there_for_a_later_document():
    here = world()
    reply = await post(
        here,
        xml_part(native(1, pixels_at="shared")),
        bulk("shared", pixels(5)),
        xml_part(native(2, pixels_at="shared")),
        kind=XML,
    )
    assert reply.status == 200
    assert held(here, 2).PixelData == pixels(5)


async def test_a_document_that_is_not_of_the_model_fails_alone():
    here = world()
    laughs = b'<!DOCTYPE x [<!ENTITY a "b">]><NativeDicomModel/>'
    parts = [xml_part(each) for each in (b"", b"<html/>", laughs)]
    reply = await post(here, *parts, xml_part(native(1)), bulk("pixels/1", pixels(1)), kind=XML)
    assert reply.status == 202
    assert stored(reply) == [f"{STUDY}.1.1"]
    assert other_failures(reply) == [0xC000] * 3
    reply = await post(here, *parts, kind=XML)
    assert reply.status == 400


async def test_a_document_over_the_limit_is_413():
    reply = await post(world(limits=SMALL), xml_part(b"<" + b"x" * 20_000), kind=XML)
    assert reply.status == 413


# --- requests that are refused before their bodies are read


@pytest.mark.parametrize("kind, factor", [(DICOM, 1), (JSON, 2), (XML, 2)])
async def test_a_full_disk_is_507_before_anything_is_read(kind, factor):
    here = world()
    here.receiver.room_bytes = 1000
    asked = []

    async def receive():
        asked.append(1)
        return {"type": "http.disconnect"}

    for size, status in ((1000 // factor + 1, 507), (1000 // factor, None)):
        answers: list = []

        async def send(message, answers=answers):
            answers.append(message)

        content_type = f'multipart/related; type="{kind}"; boundary=B'.encode()
        scope = {
            "type": "http",
            "method": "POST",
            "path": STUDIES,
            "query_string": b"",
            "headers": [
                (b"host", b"127.0.0.1"),
                (b"content-type", content_type),
                (b"content-length", b"%d" % size),
            ],
            "client": ("127.0.0.1", 1),
            "scheme": "http",
        }
        await here.app(scope, receive, send)
        if status is not None:
            assert answers[0]["status"] == status
            assert asked == []
        else:
            assert answers == []
            assert asked == [1]
    assert here.receiver.closed == 2


# --- answers


@pytest.mark.parametrize("kind", [JSON, DICOM])
async def test_the_answer_is_xml_where_that_is_wanted(kind):
    from fileroom.dicom.xml_reading import native_elements

    here = world()
    here.receiver.room_bytes = None
    reply = await post(here, metadata(described(1)), bulk("pixels/1", pixels(1)), accept=XML)
    assert reply.status == 200
    assert reply.header("content-type") == XML
    found = native_elements(reply.body)
    (item,) = found["00081199"]["Value"]
    assert item["00081155"]["Value"] == [f"{STUDY}.1.1"]
    wanted = 'multipart/related; type="application/dicom+xml"'
    reply = await post(here, metadata(described(2)), bulk("pixels/2", pixels(2)), accept=wanted)
    content_type = reply.header("content-type")
    assert content_type.startswith(f"{wanted}; boundary=")
    boundary = content_type.split('boundary="')[1].rstrip('"').encode()
    head, document = reply.body.split(b"\r\n\r\n", 1)
    assert head.startswith(b"--" + boundary)
    document, _ = document.rsplit(b"\r\n--" + boundary + b"--", 1)
    assert native_elements(document)["00081199"]


async def test_an_answer_that_cannot_be_given_is_refused_before_anything_is_stored():
    here = world()
    reply = await post(here, metadata(described(1)), accept="text/html")
    assert reply.status == 406
    assert here.receiver.origins == []
