"""WADO-RS in another transfer syntax than the stored one (PS3.18 §8.7.3): instances and frames.
Pixels are compared with what pydicom's own decoders read."""

import gc
import threading
import warnings
from io import BytesIO

import numpy
import pytest
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import pixel_array

from dicomweb_fakes import MemoryInstance, call, world
from fileroom.http import hang_up
from fileroom.retrieve import transcode
from wado_parts import copies, holding, parts_of, paths_of, shipped

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
JPEG = "1.2.840.10008.1.2.4."
RLE = "1.2.840.10008.1.2.5"
OCTETS = 'multipart/related; type="application/octet-stream"'
BARE = "application/octet-stream"
DICOM = 'multipart/related; type="application/dicom"'
# Lossless, so there is one answer.
LOSSLESS = (
    "MR_small_RLE.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "MR_small_bigendian.dcm",
    "SC_rgb_rle_2frame.dcm",
    "SC_rgb_rle_16bit_2frame.dcm",
    "SC_rgb_small_odd_big_endian.dcm",
    "rtdose_rle.dcm",
    "JPEG2000.dcm",
)
COLOUR = "SC_rgb_dcmtk_+eb+cy+np.dcm"  # YBR_FULL_422 in JPEG
OTHERS = (COLOUR, "SC_rgb_jpeg_gdcm.dcm", "JPGExtended.dcm", "JPEG-lossy.dcm")
MADE = {
    "image/jpeg": JPEG + "70",
    "image/dicom-rle": RLE,
    "image/jls": JPEG + "80",
    "image/jp2": JPEG + "90",
    "image/jphc": JPEG + "201",
}
NATIVE = ("CT_small.dcm", "MR_small.dcm", "MR_small_implicit.dcm", "SC_rgb_small_odd.dcm",
          "examples_palette.dcm")  # fmt: skip


def written(data_set: Dataset) -> bytes:
    out = BytesIO()
    dcmwrite(out, data_set, enforce_file_format=True)
    return out.getvalue()


def frames_of(file: bytes) -> list[bytes]:
    """The frames of a file as little-endian pixels, its colours where its data set has them."""
    d = dcmread(BytesIO(file))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = pixel_array(d, raw=True)
    found = found.reshape(int(d.get("NumberOfFrames", 1) or 1), -1)
    return [each.astype(each.dtype.newbyteorder("<")).tobytes() for each in found]


def read_again(frame: bytes, file: bytes, syntax: str) -> bytes:
    """What pydicom makes of a compressed frame, under the attributes of the instance."""
    d = dcmread(BytesIO(file))
    d.file_meta.TransferSyntaxUID = syntax
    d.NumberOfFrames = 1
    d.PixelData = encapsulate([frame])
    d["PixelData"].VR = "OB"
    d["PixelData"].is_undefined_length = True
    return pixel_array(dcmread(BytesIO(written(d))), raw=True).tobytes()


def damaged(name: str, *, frame: int = 0) -> bytes:
    """A file one of whose frames is none."""
    d = dcmread(BytesIO(shipped(name)))
    count = int(d.get("NumberOfFrames", 1))
    frames = list(generate_frames(d.PixelData, number_of_frames=count))
    frames[frame] = b"\0" * 100
    d.PixelData = encapsulate(frames)
    return written(d)


def at(here) -> str:
    return paths_of(here)[2]


def broken_off(reply) -> bool:
    """Whether the answer did not come to its end: small pieces of it may wait to be sent."""
    return not reply.ended or reply.sends == 0


# --- frames as pixels


@pytest.mark.parametrize("name", LOSSLESS)
async def test_frames_are_given_as_pixels_whatever_they_are_stored_in(name):
    file = shipped(name)
    here = holding(file)
    expected = frames_of(file)
    numbers = [*range(len(expected), 0, -1), 1]
    path = f"{at(here)}/frames/{','.join(map(str, numbers))}"
    reply = await call(here.app, "GET", path, headers={"accept": OCTETS})
    assert reply.status == 200
    assert int(reply.header("content-length")) == len(reply.body)
    parts = parts_of(reply)
    assert [data for _, data in parts] == [expected[number - 1] for number in numbers]
    for number, (fields, data) in zip(numbers, parts, strict=True):
        assert fields["Content-Type"] == f"{BARE}; transfer-syntax={EXPLICIT}"
        assert fields["Content-Location"].endswith(f"{at(here)}/frames/{number}")
        assert int(fields["Content-Length"]) == len(data)
    assert here.coverage.frames == len(numbers)


@pytest.mark.parametrize("name", [*OTHERS, *LOSSLESS])
async def test_frames_are_those_of_the_transcoded_instance(name):
    """But for planes, which the transcoded instance has no more."""
    here = holding(shipped(name))
    accept = f"application/dicom; transfer-syntax={EXPLICIT}"
    instance = await call(here.app, "GET", at(here), headers={"accept": accept})
    assert instance.status == 200
    whole = dcmread(BytesIO(instance.body))
    assert whole.file_meta.TransferSyntaxUID == EXPLICIT
    if dcmread(BytesIO(shipped(name))).get("PlanarConfiguration") == 1:
        return
    count = int(whole.get("NumberOfFrames", 1))
    size = len(whole.PixelData) // count
    for number in (1, count):
        reply = await call(here.app, "GET", f"{at(here)}/frames/{number}", headers={"accept": BARE})
        assert reply.body == whole.PixelData[(number - 1) * size : number * size][: len(reply.body)]
        assert size - len(reply.body) < 2


async def test_a_frame_has_its_colours_in_planes_where_the_metadata_says_so():
    d = dcmread(BytesIO(shipped("SC_rgb_rle.dcm")))
    d.PlanarConfiguration = 1
    here = holding(written(d))
    reply = await call(here.app, "GET", f"{at(here)}/frames/1", headers={"accept": BARE})
    by_pixel = numpy.frombuffer(frames_of(shipped("SC_rgb_rle.dcm"))[0], "u1").reshape(-1, 3)
    assert reply.body == by_pixel.T.tobytes()


@pytest.mark.parametrize("name", ["MR_small_RLE.dcm", "MR_small_bigendian.dcm"])
async def test_a_bare_frame_that_is_made_can_be_had_in_ranges(name):
    file = shipped(name)
    here = holding(file)
    (frame,) = frames_of(file)
    for start, end in ((0, 1), (999, 4000), (len(frame) - 3, len(frame))):
        fields = {"accept": BARE, "range": f"bytes={start}-{end - 1}"}
        reply = await call(here.app, "GET", f"{at(here)}/frames/1", headers=fields)
        assert (reply.status, reply.body) == (206, frame[start:end])
        assert reply.header("content-range") == f"bytes {start}-{end - 1}/{len(frame)}"
    fields = {"accept": BARE, "range": "bytes=0-1,-2"}
    reply = await call(here.app, "GET", f"{at(here)}/frames/1", headers=fields)
    assert [data for _, data in parts_of(reply)] == [frame[:2], frame[-2:]]


async def test_each_form_has_a_tag_of_its_own_and_head_has_the_same():
    here = holding(shipped("MR_small_RLE.dcm"))
    path, tags = f"{at(here)}/frames/1", set()
    for accept in (BARE, f"{BARE}; transfer-syntax=*", "image/dicom-rle", "image/jls", "image/jp2"):
        reply = await call(here.app, "GET", path, headers={"accept": accept})
        assert reply.status == 200
        tags.add(reply.header("etag"))
        head = await call(here.app, "HEAD", path, headers={"accept": accept})
        assert (head.status, head.body) == (200, b"")
        assert head.headers == reply.headers
        fields = {"accept": accept, "if-none-match": reply.header("etag")}
        assert (await call(here.app, "GET", path, headers=fields)).status == 304
    assert len(tags) == 5
    for accept in (f"application/dicom; transfer-syntax={each}" for each in (EXPLICIT, RLE)):
        reply = await call(here.app, "GET", at(here), headers={"accept": accept})
        tags.add(reply.header("etag"))
    assert len(tags) == 7


async def test_head_of_pixels_decodes_nothing(monkeypatch):
    here = holding(damaged("MR_small_RLE.dcm"))
    reply = await call(here.app, "HEAD", f"{at(here)}/frames/1", headers={"accept": BARE})
    assert (reply.status, reply.header("content-length")) == (200, str(64 * 64 * 2))


async def test_a_frame_that_cannot_be_decoded_is_406_or_breaks_the_answer_off():
    here = holding(damaged("MR_small_RLE.dcm"))
    reply = await call(here.app, "GET", f"{at(here)}/frames/1", headers={"accept": BARE})
    assert reply.status == 406
    assert "cannot be made so" in reply.json()["reason"]
    as_stored = await call(
        here.app, "GET", f"{at(here)}/frames/1", headers={"accept": f"{BARE}; transfer-syntax=*"}
    )
    assert as_stored.status == 200
    second = holding(damaged("SC_rgb_rle_2frame.dcm", frame=1))
    for accept in (OCTETS, 'multipart/related; type="image/jls"'):
        reply = await call(
            second.app, "GET", f"{at(second)}/frames/1,2", headers={"accept": accept}
        )
        assert reply.status == 200
        assert broken_off(reply)


async def test_private_and_video_frames_are_no_pixels():
    for syntax in ("1.2.3.4", JPEG + "100"):
        here = holding(shipped("MR_small_RLE.dcm"))
        (instance,) = here.archive.instances.values()
        instance.transfer_syntax_uid = syntax
        reply = await call(here.app, "GET", f"{at(here)}/frames/1", headers={"accept": BARE})
        assert reply.status == 406


# --- frames compressed anew


@pytest.mark.parametrize("media_type", MADE)
@pytest.mark.parametrize("name", NATIVE)
async def test_frames_are_compressed_without_loss_where_that_is_asked_for(name, media_type):
    file = shipped(name)
    here = holding(file)
    expected = frames_of(file)[0]
    path = f"{at(here)}/frames/1"
    for accept in (f'multipart/related; type="{media_type}"', media_type):
        reply = await call(here.app, "GET", path, headers={"accept": accept})
        assert reply.status == 200, reply.body
        if accept == media_type:
            fields, data = {"Content-Type": reply.header("content-type")}, reply.body
        else:
            ((fields, data),) = parts_of(reply)
            assert int(fields["Content-Length"]) == len(data)
        assert fields["Content-Type"] == f"{media_type}; transfer-syntax={MADE[media_type]}"
        if media_type != "image/jpeg":  # which no decoder of pydicom's reads: tests/conform
            assert read_again(data, file, MADE[media_type]) == expected
    part = await call(here.app, "GET", path, headers={"accept": media_type, "range": "bytes=2-9"})
    assert (part.status, part.body) == (206, data[2:10])


async def test_one_compression_becomes_another():
    file = shipped("MR_small_RLE.dcm")
    here = holding(file)
    reply = await call(here.app, "GET", f"{at(here)}/frames/1", headers={"accept": "image/jls"})
    assert read_again(reply.body, file, MADE["image/jls"]) == frames_of(file)[0]


async def test_planes_are_compressed_as_pixels():
    d = dcmread(BytesIO(shipped("SC_rgb_small_odd.dcm")))
    frame = d.PixelData[: d.Rows * d.Columns * 3]
    by_plane = numpy.frombuffer(frame, "u1").reshape(-1, 3).T.tobytes()
    d.PixelData, d.PlanarConfiguration = by_plane + b"\0" * (len(by_plane) % 2), 1
    here = holding(written(d))
    reply = await call(here.app, "GET", f"{at(here)}/frames/1", headers={"accept": "image/jp2"})
    assert read_again(reply.body, shipped("SC_rgb_small_odd.dcm"), MADE["image/jp2"]) == frame


@pytest.mark.parametrize(
    ("name", "accept", "why"),
    [
        (COLOUR, "image/jls", "colours"),
        ("SC_ybr_full_422_uncompressed.dcm", "image/jls", "a frame of"),
        ("rtdose.dcm", "image/jpeg", "in 32 bits"),
        ("liver_1frame.dcm", "image/dicom-rle", "in 1 bits"),
        ("MR_small.dcm", "image/jxl", "leaves out"),
        ("MR_small.dcm", f"image/jls; transfer-syntax={JPEG}81", "leaves out"),
        ("MR_small.dcm", "image/png", "leaves out"),
    ],
)
async def test_what_cannot_be_compressed_without_loss_is_406(name, accept, why):
    here = holding(shipped(name))
    reply = await call(here.app, "GET", f"{at(here)}/frames/1", headers={"accept": accept})
    assert reply.status == 406, reply.headers
    assert why in reply.json()["reason"]


# --- instances


@pytest.mark.parametrize(
    ("name", "explicit"),
    [
        ("MR_small_RLE.dcm", True),
        ("MR_small_jp2klossless.dcm", True),
        ("MR_small_implicit.dcm", True),
        ("MR_small_bigendian.dcm", True),
        ("image_dfl.dcm", True),
        ("reportsi.dcm", True),
        ("SC_rgb_jpeg_gdcm.dcm", True),
        (COLOUR, False),
        ("JPEG2000.dcm", False),
        ("JPEG-lossy.dcm", False),
    ],
)
async def test_without_a_name_an_instance_is_explicit_unless_loss_is_in_it(name, explicit):
    # PS3.18 §8.7.3.4
    file = shipped(name)
    here = holding(file)
    (held,) = here.archive.instances.values()
    for accept in ("application/dicom", "*/*", DICOM):
        reply = await call(here.app, "GET", at(here), headers={"accept": accept})
        bare = accept == "application/dicom"
        data = reply.body if bare else parts_of(reply)[0][1]
        given = dcmread(BytesIO(data))
        if explicit:
            assert given.file_meta.TransferSyntaxUID == EXPLICIT
            assert given.SOPInstanceUID == held.sop_instance_uid
        else:
            assert data == file
    for syntax in ("*", held.transfer_syntax_uid):
        accept = f"application/dicom; transfer-syntax={syntax}"
        reply = await call(here.app, "GET", at(here), headers={"accept": accept})
        assert reply.body == file


async def test_what_was_compressed_with_loss_is_decoded_for_who_names_explicit():
    here = holding(shipped(COLOUR))
    accept = f"application/dicom; transfer-syntax={EXPLICIT}"
    reply = await call(here.app, "GET", at(here), headers={"accept": accept})
    given = dcmread(BytesIO(reply.body))
    assert given.PhotometricInterpretation == "RGB"
    assert given.LossyImageCompression == "01"
    assert reply.header("content-type") == accept
    assert reply.header("accept-ranges") == "none"
    assert here.coverage.bytes == len(reply.body)
    other = f"application/dicom; transfer-syntax={IMPLICIT}"
    assert (await call(here.app, "GET", at(here), headers={"accept": other})).status == 406


async def test_an_instance_that_cannot_be_decoded_comes_as_it_is_unless_it_is_named():
    file = damaged("MR_small_RLE.dcm")
    here = holding(file)
    for accept in ("application/dicom", DICOM):
        reply = await call(here.app, "GET", at(here), headers={"accept": accept})
        assert reply.status == 200
        data = reply.body if accept == "application/dicom" else parts_of(reply)[0][1]
        assert data == file
    assert f"Content-Type: application/dicom; transfer-syntax={RLE}".encode() in reply.body
    accept = f"application/dicom; transfer-syntax={EXPLICIT}"
    reply = await call(here.app, "GET", at(here), headers={"accept": accept})
    assert reply.status == 406
    assert "cannot be made so" in reply.json()["reason"]


def of_one_study(*files: bytes) -> list[bytes]:
    found = []
    for number, file in enumerate(files):
        d = dcmread(BytesIO(file))
        d.StudyInstanceUID, d.SeriesInstanceUID = "1.2.3", "1.2.3.4"
        d.SOPInstanceUID = d.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.4.{number + 1}"
        found.append(written(d))
    return found


async def test_a_study_comes_each_instance_in_what_it_can_be_given_in():
    lossless, lossy, native = of_one_study(
        shipped("MR_small_RLE.dcm"), shipped(COLOUR), shipped("MR_small.dcm")
    )
    here = holding(lossless, lossy, native)
    study, *_ = paths_of(here)
    reply = await call(here.app, "GET", study)
    assert reply.header("content-length") is None
    parts = parts_of(reply)
    assert [fields["Content-Type"].split("=")[1] for fields, _ in parts] == [
        EXPLICIT, JPEG + "50", EXPLICIT,
    ]  # fmt: skip
    decoded = dcmread(BytesIO(parts[0][1]))
    assert decoded.PixelData == dcmread(BytesIO(shipped("MR_small.dcm"))).PixelData
    assert [data for _, data in parts[1:]] == [lossy, native]
    assert here.coverage.instances == 3
    assert here.coverage.bytes == len(reply.body)
    reply = await call(here.app, "GET", study, headers={"accept": f"{DICOM}; transfer-syntax=*"})
    assert [data for _, data in parts_of(reply)] == [lossless, lossy, native]


async def test_a_study_whose_instance_turns_out_damaged_breaks_off_where_it_is_named():
    native, broken = of_one_study(shipped("MR_small.dcm"), damaged("MR_small_RLE.dcm"))
    here = holding(native, broken)
    study, *_ = paths_of(here)
    accept = f"{DICOM}; transfer-syntax={EXPLICIT}"
    reply = await call(here.app, "GET", study, headers={"accept": accept})
    assert reply.status == 200
    assert broken_off(reply)
    whole = await call(here.app, "GET", study)
    assert [data for _, data in parts_of(whole)] == [native, broken]


# --- who goes away


async def test_who_hangs_up_frees_the_threads_at_the_end_of_a_frame(monkeypatch):
    monkeypatch.setattr(hang_up, "WATCH_AFTER_S", 0)
    monkeypatch.setattr(transcode, "TURNS_MAX", 1)
    here = world()
    here.archive.add(shipped("MR_small_RLE.dcm"))
    inside, let_go = threading.Event(), threading.Event()

    async def slowly(self: MemoryInstance, start: int, end: int) -> bytes:
        inside.set()
        return self.part10[start:end]

    def waits(*_):
        let_go.wait(20)
        return b"\0" * (64 * 64 * 2)

    monkeypatch.setattr(MemoryInstance, "read", slowly)
    monkeypatch.setattr("fileroom.pixels.decoding.decode", waits)
    reply = await call(
        here.app, "GET", f"{at(here)}/frames/1", headers={"accept": BARE}, hang_up=True
    )
    assert reply.status == 0
    assert inside.is_set()
    let_go.set()
    monkeypatch.undo()
    again = await call(here.app, "GET", f"{at(here)}/frames/1", headers={"accept": BARE})
    assert again.body == frames_of(shipped("MR_small_RLE.dcm"))[0]
    gc.collect()


async def test_only_the_frame_that_is_sent_is_held(monkeypatch):
    """Of many frames no second one is decoded before the first one has gone out."""
    here = holding(shipped("rtdose_rle.dcm"))
    (instance,) = here.archive.instances.values()
    made = await transcode.Transcoder().frames(_covered(here, instance), EXPLICIT)
    first = await made.frame(0)
    assert await made.frame(0) is first
    await made.frame(1)
    assert first not in [each for each in gc.get_referents(made) if isinstance(each, bytes)]
    assert made._last[0] == 1


def _covered(here, instance: MemoryInstance) -> MemoryInstance:
    here.coverage.asked.append(("", instance.study_instance_uid, "retrieve", "wado"))
    return instance


async def test_frames_of_an_uncompressed_instance_are_read_as_ever():
    (file,) = copies(1)
    here = holding(file)
    reply = await call(here.app, "GET", f"{at(here)}/frames/1", headers={"accept": BARE})
    assert reply.body == dcmread(BytesIO(file)).PixelData
    assert here.archive.reads == 1
