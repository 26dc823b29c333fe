"""WADO-RS over an archive in memory: bytes, parts, ranges, counts."""

from io import BytesIO

import pytest
from pydicom import dcmread, dcmwrite
from pydicom.encaps import generate_frames

from corpus import ct_small
from dicomweb_fakes import call
from fileroom.dicomweb.location import BASE
from fileroom.dicomweb.ranges import within
from fileroom.errors import TransientError
from fileroom.http import hang_up, texts
from fileroom.http.answers import SEND_BYTES
from fileroom.http.request import Limits
from fileroom.retrieve.opened import NoFramesError
from wado_parts import copies, holding, parts_of, paths_of, shipped

EXPLICIT = "1.2.840.10008.1.2.1"


# --- instances


async def test_a_study_is_the_files_of_its_instances_part_by_part():
    files = copies(3)
    here = holding(*files, *copies(1, study="1.9"))
    study, series, instance = paths_of(here)
    for path, expected in ((study, files), (series, files), (instance, files[:1])):
        reply = await call(here.app, "GET", path)
        assert reply.status == 200
        assert reply.header("content-type").startswith(
            'multipart/related; type="application/dicom"; boundary='
        )
        assert int(reply.header("content-length")) == len(reply.body)
        parts = parts_of(reply)
        assert [data for _, data in parts] == expected
        for headers, data in parts:
            assert headers == {
                "Content-Type": f"application/dicom; transfer-syntax={EXPLICIT}",
                "Content-Length": str(len(data)),
            }


async def test_one_instance_comes_bare_where_that_is_asked_for():
    (file,) = copies(1)
    here = holding(file)
    *_, instance = paths_of(here)
    reply = await call(here.app, "GET", instance, headers={"accept": "application/dicom"})
    assert reply.body == file
    assert reply.header("content-type") == f"application/dicom; transfer-syntax={EXPLICIT}"
    assert reply.header("content-disposition").startswith("attachment")
    assert reply.header("accept-ranges") == "bytes"


async def test_the_accept_parameter_of_the_query_is_understood():
    (file,) = copies(1)
    here = holding(file)
    *_, instance = paths_of(here)
    reply = await call(here.app, "GET", f"{instance}?accept=application/dicom")
    assert reply.body == file


async def test_a_study_is_given_whole_or_not_at_all():
    here = holding(*copies(2))
    compressed = dcmread(BytesIO(shipped("SC_rgb_jpeg_gdcm.dcm")))
    compressed.StudyInstanceUID = "1.2.3"
    out = BytesIO()
    dcmwrite(out, compressed)
    here.archive.add(out.getvalue()).transfer_syntax_uid = "1.2.840.10008.1.2.4.110"  # JPEG XL
    study, *_ = paths_of(here)
    only_explicit = f'multipart/related; type="application/dicom"; transfer-syntax={EXPLICIT}'
    reply = await call(here.app, "GET", study, headers={"accept": only_explicit})
    assert reply.status == 406
    assert "1 of 3" in reply.json()["reason"]
    assert here.coverage.asked == []
    assert (await call(here.app, "GET", study)).status == 200


async def test_what_is_not_there_is_404_and_never_covered():
    here = holding(*copies(1))
    study, series, _ = paths_of(here)
    for path in (f"{BASE}/studies/9.9", f"{study}/series/9.9", f"{series}/instances/9.9"):
        for tail in ("", "/metadata"):
            assert (await call(here.app, "GET", path + tail)).status == 404
    assert (await call(here.app, "GET", f"{series}/instances/9.9/frames/1")).status == 404
    assert here.coverage.asked == []


async def test_reads_are_recorded_before_the_first_byte_and_counted_at_the_end():
    files = copies(3)
    here = holding(*files)
    study, *_ = paths_of(here)
    reply = await call(here.app, "GET", study)
    assert here.coverage.asked == [("127.0.0.1", "1.2.3", "retrieve", "wado")]
    assert here.coverage.instances == 3
    assert here.coverage.bytes == len(reply.body)


async def test_without_a_record_nothing_is_read():
    here = holding(*copies(1))
    here.coverage.error = TransientError("the ledger cannot be written")
    for path in paths_of(here):
        for tail in ("", "/metadata"):
            assert (await call(here.app, "GET", path + tail)).status == 503
    *_, instance = paths_of(here)
    assert (await call(here.app, "GET", f"{instance}/frames/1")).status == 503
    assert here.archive.reads == 0


async def test_large_instances_go_out_in_sends_of_a_mebibyte_uncopied():
    (file,) = copies(1, rows=1280)
    here = holding(file)
    *_, instance = paths_of(here)
    reply = await call(here.app, "GET", instance, headers={"accept": "application/dicom"})
    assert reply.body == file
    assert reply.sends == -(-len(file) // SEND_BYTES) + 1


async def test_small_instances_are_gathered_to_few_sends():
    files = copies(100)
    here = holding(*files)
    study, *_ = paths_of(here)
    reply = await call(here.app, "GET", study)
    assert len(parts_of(reply)) == 100
    assert reply.sends <= len(reply.body) // SEND_BYTES + 2


async def test_a_caller_who_hangs_up_stops_a_long_answer(monkeypatch):
    monkeypatch.setattr(hang_up, "WATCH_AFTER_S", 0)
    files = copies(40, rows=512)
    here = holding(*files)
    study, *_ = paths_of(here)
    reply = await call(here.app, "GET", study, hang_up=True)
    assert not reply.ended
    assert here.archive.reads < 30
    assert 0 < here.coverage.instances < 40
    assert here.coverage.bytes == len(reply.body)


async def test_bytes_that_end_in_the_middle_break_the_answer_off():
    here = holding(*copies(3, rows=512))
    study, *_ = paths_of(here)

    async def gone(start: int, end: int) -> bytes:
        raise TransientError("the provider is gone")

    list(here.archive.instances.values())[2].read = gone
    reply = await call(here.app, "GET", study)
    assert reply.status == 200
    assert not reply.ended
    assert len(reply.body) < int(reply.header("content-length"))
    assert here.coverage.bytes == len(reply.body)


@pytest.mark.parametrize("accept", ["application/dicom", 'multipart/related; type="*/*"'])
async def test_head_gives_the_header_fields_of_get_and_reads_nothing(accept):
    here = holding(*copies(1))
    *_, instance = paths_of(here)
    for path in (instance, f"{instance}/frames/1"):
        field = accept.replace("dicom", "octet-stream") if "frames" in path else accept
        got = await call(here.app, "GET", path, headers={"accept": field})
        reads = here.archive.reads
        head = await call(here.app, "HEAD", path, headers={"accept": field})
        assert head.status == 200
        assert head.body == b""
        assert here.archive.reads == reads
        mine, theirs = dict(head.headers), dict(got.headers)
        assert (
            mine.pop("content-type").split("boundary")[0]
            == theirs.pop("content-type").split("boundary")[0]
        )
        assert mine == theirs


# --- ranges


@pytest.mark.parametrize(
    "field, start, end",
    [("bytes=0-99", 0, 100), ("bytes=-10", -10, None), ("bytes=5000-", 5000, None)],
)
async def test_a_range_of_a_bare_instance_is_206(field, start, end):
    (file,) = copies(1)
    here = holding(file)
    *_, instance = paths_of(here)
    headers = {"accept": "application/dicom", "range": field}
    reply = await call(here.app, "GET", instance, headers=headers)
    assert reply.status == 206
    assert reply.body == file[start:end]
    assert int(reply.header("content-length")) == len(reply.body)
    assert reply.header("content-range").endswith(f"/{len(file)}")
    assert here.coverage.bytes == len(reply.body)


async def test_several_ranges_come_as_parts():
    (file,) = copies(1)
    here = holding(file)
    *_, instance = paths_of(here)
    headers = {"accept": "application/dicom", "range": "bytes=0-9,100-199"}
    reply = await call(here.app, "GET", instance, headers=headers)
    assert reply.status == 206
    assert reply.header("content-type").startswith("multipart/byteranges; boundary=")
    assert [(each["Content-Range"], data) for each, data in parts_of(reply)] == [
        (f"bytes 0-9/{len(file)}", file[:10]),
        (f"bytes 100-199/{len(file)}", file[100:200]),
    ]


async def test_a_range_outside_is_416_and_says_the_size():
    (file,) = copies(1)
    here = holding(file)
    *_, instance = paths_of(here)
    headers = {"accept": "application/dicom", "range": "bytes=999999999-"}
    reply = await call(here.app, "GET", instance, headers=headers)
    assert reply.status == 416
    assert reply.header("content-range") == f"bytes */{len(file)}"


async def test_ranges_that_cannot_be_checked_or_read_are_ignored():
    (file,) = copies(1)
    here = holding(file)
    *_, instance = paths_of(here)
    for extra in ({"range": "bytes=0-9", "if-range": '"another"'}, {"range": "frames=1"}):
        headers = {"accept": "application/dicom", **extra}
        reply = await call(here.app, "GET", instance, headers=headers)
        assert (reply.status, reply.body) == (200, file)


def test_a_range_of_several_stretches_lies_in_the_right_ones():
    stretches = [(100, 110), (200, 205), (300, 400)]
    assert within(stretches, 0, 115) == stretches
    assert within(stretches, 9, 11) == [(109, 110), (200, 201)]
    assert within(stretches, 10, 15) == [(200, 205)]
    assert within(stretches, 114, 115) == [(399, 400)]


# --- metadata


async def test_metadata_is_one_list_whose_bulk_data_is_absolute():
    here = holding(*copies(2))
    study, series, instance = paths_of(here)
    for path, count in ((study, 2), (series, 2), (instance, 1)):
        reply = await call(here.app, "GET", f"{path}/metadata")
        assert reply.header("content-type") == "application/dicom+json"
        found = reply.json()
        assert len(found) == count
        assert found[0]["7FE00010"]["BulkDataURI"] == (
            f"http://127.0.0.1:8642{instance}/bulkdata/7FE00010"
        )
        assert "Value" in found[0]["00080018"]
    assert here.archive.reads == 0
    assert here.coverage.instances == 0
    assert here.coverage.bytes > 0


async def test_a_text_that_looks_like_a_placeholder_stays():
    data_set = dcmread(ct_small())
    data_set.PatientComments = '"BulkDataURI":"bulkdata/7FE00010'
    out = BytesIO()
    dcmwrite(out, data_set)
    here = holding(out.getvalue())
    *_, instance = paths_of(here)
    (found,) = (await call(here.app, "GET", f"{instance}/metadata")).json()
    assert found["00104000"]["Value"] == ['"BulkDataURI":"bulkdata/7FE00010']


async def test_metadata_of_many_instances_flows(monkeypatch):
    monkeypatch.setattr(texts, "JOINED_BYTES_MAX", 500_000)
    here = holding(*copies(1, rows=2))
    (instance,) = here.archive.instances.values()
    assert instance.dicom_json  # made once, then copied
    for number in range(599):
        instance.named(f"1.2.3.4.{number}")
    study, *_ = paths_of(here)
    reply = await call(here.app, "GET", f"{study}/metadata")
    assert reply.header("content-length") is None
    assert len(reply.json()) == 600
    assert here.coverage.bytes == len(reply.body)


async def test_metadata_is_json_or_xml_and_nothing_else():
    here = holding(*copies(1))
    study, *_ = paths_of(here)
    reply = await call(
        here.app,
        "GET",
        f"{study}/metadata",
        headers={"accept": 'multipart/related; type="application/dicom"'},
    )
    assert reply.status == 406
    plain = await call(here.app, "GET", f"{study}/metadata", headers={"accept": "application/json"})
    assert plain.header("content-type") == "application/json"


# --- frames


async def test_native_frames_are_the_bytes_of_the_pixel_data():
    file = shipped("SC_rgb_small_odd.dcm")
    here = holding(file)
    *_, instance = paths_of(here)
    pixels = dcmread(BytesIO(file))["PixelData"].value
    reply = await call(here.app, "GET", f"{instance}/frames/1")
    ((headers, data),) = parts_of(reply)
    assert pixels.startswith(data)
    assert headers["Content-Type"] == f"application/octet-stream; transfer-syntax={EXPLICIT}"
    assert headers["Content-Location"] == f"http://127.0.0.1:8642{instance}/frames/1"
    assert here.coverage.frames == 1


async def test_frames_come_in_the_order_asked_and_only_those_bytes_are_read():
    file = shipped("rtdose.dcm")
    here = holding(file)
    *_, instance = paths_of(here)
    data_set = dcmread(BytesIO(file))
    size = len(data_set.PixelData) // data_set.NumberOfFrames
    frame = [data_set.PixelData[n * size : (n + 1) * size] for n in range(15)]
    reply = await call(here.app, "GET", f"{instance}/frames/15,1,7")
    assert [data for _, data in parts_of(reply)] == [frame[14], frame[0], frame[6]]
    assert here.archive.reads == 3
    bare = await call(
        here.app, "GET", f"{instance}/frames/7", headers={"accept": "application/octet-stream"}
    )
    assert bare.body == frame[6]
    part = await call(
        here.app,
        "GET",
        f"{instance}/frames/7",
        headers={"accept": "application/octet-stream", "range": "bytes=4-7"},
    )
    assert (part.status, part.body) == (206, frame[6][4:8])


async def test_compressed_frames_are_the_codestreams():
    file = shipped("SC_rgb_rle_2frame.dcm")
    here = holding(file)
    *_, instance = paths_of(here)
    frames = list(generate_frames(dcmread(BytesIO(file)).PixelData, number_of_frames=2))
    reply = await call(here.app, "GET", f"{instance}/frames/2,1")
    assert reply.header("content-type").startswith('multipart/related; type="image/dicom-rle"')
    assert [data for _, data in parts_of(reply)] == [frames[1], frames[0]]
    for headers, _ in parts_of(reply):
        assert headers["Content-Type"] == "image/dicom-rle; transfer-syntax=1.2.840.10008.1.2.5"
    named = "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.4.80"
    refused = await call(here.app, "GET", f"{instance}/frames/1", headers={"accept": named})
    assert refused.status == 406
    bare = await call(here.app, "GET", f"{instance}/frames/1", headers={"accept": "image/*"})
    assert bare.body == frames[0]


@pytest.mark.parametrize(
    "numbers, status",
    [
        *((each, 400) for each in ("0", "-1", "a", "1,", "1,,2", "01", "1 ", "99999999999")),
        *((each, 404) for each in ("2", "1,2", "9999999999")),
        ("1,1,1,1", 413),
    ],
)
async def test_numbers_that_name_no_frame_are_refused(numbers, status):
    here = holding(*copies(1), limits=Limits(frames_max=3))
    *_, instance = paths_of(here)
    assert (await call(here.app, "GET", f"{instance}/frames/{numbers}")).status == status
    assert here.coverage.asked == []


async def test_an_instance_without_frames_has_none():
    here = holding(*copies(1))
    *_, instance = paths_of(here)

    async def none():
        raise NoFramesError("no frames")

    next(iter(here.archive.instances.values())).frames = none
    assert (await call(here.app, "GET", f"{instance}/frames/1")).status == 404


# --- bulk data


async def test_the_bulk_data_uri_of_pixels_brings_the_pixels():
    (file,) = copies(1)
    here = holding(file)
    *_, instance = paths_of(here)
    (found,) = (await call(here.app, "GET", f"{instance}/metadata")).json()
    path = found["7FE00010"]["BulkDataURI"].removeprefix("http://127.0.0.1:8642")
    bare = await call(here.app, "GET", path, headers={"accept": "application/octet-stream"})
    assert bare.body == dcmread(BytesIO(file)).PixelData
    ((headers, data),) = parts_of(await call(here.app, "GET", path))
    assert data == bare.body
    assert headers["Content-Location"] == found["7FE00010"]["BulkDataURI"]


async def test_bulk_data_inside_sequences_is_found_by_its_path():
    data_set = dcmread(ct_small())
    icon = dcmread(ct_small(), specific_tags=["Rows", "Columns"])
    icon.PixelData = b"\1\2" * 1000
    icon["PixelData"].VR = "OW"
    data_set.IconImageSequence = [icon]
    out = BytesIO()
    dcmwrite(out, data_set)
    here = holding(out.getvalue())
    *_, instance = paths_of(here)
    target = f"{instance}/bulkdata/00880200/1/7fe00010"
    reply = await call(here.app, "GET", target, headers={"accept": "application/octet-stream"})
    assert reply.body == b"\1\2" * 1000
    for wrong in ("00880200/2/7FE00010", "00880200/1", "11112222", "x", "7FE00010/..", ""):
        assert (await call(here.app, "GET", f"{instance}/bulkdata/{wrong}")).status == 404


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.5", "1.2.840.10008.1.2.1.98"])
async def test_bulk_data_of_pixels_in_fragments_comes_frame_by_frame(syntax):
    file = shipped("SC_rgb_rle_2frame.dcm")
    here = holding(file)
    next(iter(here.archive.instances.values())).transfer_syntax_uid = syntax
    *_, instance = paths_of(here)
    reply = await call(here.app, "GET", f"{instance}/bulkdata/7FE00010")
    frames = list(generate_frames(dcmread(BytesIO(file)).PixelData, number_of_frames=2))
    assert [data for _, data in parts_of(reply)] == frames
