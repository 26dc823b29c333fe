"""Pictures over the web: which resources there are, in which forms, and on record before."""

import threading

import numpy
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from corpus import ct_small
from dicomweb_fakes import MemoryInstance, World, call, world
from fileroom.dicomweb.location import BASE
from fileroom.dicomweb.negotiate import choose_picture
from fileroom.errors import TransientError
from fileroom.http import hang_up
from fileroom.http.request import Limits
from fileroom.pixels.view import JPEG, PNG
from fileroom.retrieve import render as rendering
from picture_parts import decoded, file_of, image

STUDY = f"{BASE}/studies/1.2.3"
SERIES = f"{STUDY}/series/1.2.3.1"
INSTANCE = f"{SERIES}/instances/1.2.3.1.1"
FRAMES = f"{INSTANCE}/frames/1"
RENDERED = [f"{each}/rendered" for each in (STUDY, SERIES, INSTANCE, FRAMES)]
THUMBNAILS = [f"{each}/thumbnail" for each in (STUDY, SERIES, INSTANCE, FRAMES)]
PARTS = 'multipart/related; type="image/jpeg"'
# What browsers send with an image of a page.
BROWSERS = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"


def ramp(number: int = 1, count: int = 1, **attributes) -> bytes:
    frames = numpy.arange(count * 24, dtype="u1").reshape(count, 4, 6) * 4
    more = {} if count == 1 else {"NumberOfFrames": count}
    data_set = image(frames if count > 1 else frames[0], **more, **attributes)
    data_set.SOPInstanceUID = f"1.2.3.1.{number}"
    return file_of(data_set)


def report(number: int) -> bytes:
    path = get_testdata_file("test-SR.dcm", download=False)
    assert path is not None
    data_set = dcmread(path)
    data_set.StudyInstanceUID, data_set.SeriesInstanceUID = "1.2.3", "1.2.3.1"
    data_set.SOPInstanceUID = f"1.2.3.1.{number}"
    return file_of(data_set, data_set.file_meta.TransferSyntaxUID)


def holding(*files: bytes, **options) -> World:
    here = world(**options)
    for each in files:
        here.archive.add(each)
    return here


async def get(here: World, path: str, accept: str | None = None, **headers: str):
    fields = {key.replace("_", "-"): value for key, value in headers.items()}
    if accept is not None:
        fields["accept"] = accept
    return await call(here.app, "GET", path, headers=fields)


def parts_of(reply) -> list[tuple[dict[str, str], bytes]]:
    """Header fields and body of each part."""
    boundary = reply.header("content-type").partition("boundary=")[2].strip(chr(34))
    found = []
    for part in reply.body.split(f"--{boundary}".encode())[1:-1]:
        head, _, body = part.partition(b"\r\n\r\n")
        lines = [each.partition(":") for each in head.decode().strip().split("\r\n")]
        fields = {name.lower(): value.strip() for name, _, value in lines}
        found.append((fields, body[:-2]))
    return found


@pytest.mark.parametrize("path", [*RENDERED, *THUMBNAILS])
@pytest.mark.parametrize("accept", [None, "*/*", "image/jpeg", "image/*", BROWSERS])
async def test_one_picture_goes_bare_and_is_a_jpeg_unless_another_form_is_asked_for(path, accept):
    reply = await get(holding(ramp()), path, accept)
    assert (reply.status, reply.header("content-type")) == (200, JPEG)
    assert reply.header("content-length") == str(len(reply.body))
    assert reply.header("cache-control") == "no-store"
    assert decoded(reply.body, JPEG).ndim == 2


@pytest.mark.parametrize("path", [*RENDERED, *THUMBNAILS])
@pytest.mark.parametrize(
    ("accept", "query"),
    [
        ("image/png", ""),
        ("image/jpeg;q=0.5, image/png", ""),
        ("image/jpeg;q=0, image/*", ""),
        ("image/jpeg", "?accept=image/png"),
        (None, "?accept=image/png"),
    ],
)
async def test_a_png_is_given_to_whoever_wants_it_most(path, accept, query):
    reply = await get(holding(ramp()), path + query, accept)
    assert (reply.status, reply.header("content-type")) == (200, PNG)
    assert decoded(reply.body, PNG).dtype == numpy.uint8


@pytest.mark.parametrize("path", [*RENDERED, *THUMBNAILS])
@pytest.mark.parametrize("accept", ["image/gif", "application/dicom", "video/mp4", "text/html"])
async def test_another_form_is_406(path, accept):
    assert (await get(holding(ramp()), path, accept)).status == 406


async def test_several_pictures_are_parts_each_with_the_place_of_its_frame():
    here = holding(ramp(1, count=3), ramp(2))
    for path, numbers in [
        (f"{STUDY}/rendered", [1, 2, 3, 1]),
        (f"{INSTANCE}/rendered", [1, 2, 3]),
        (f"{INSTANCE}/frames/3,1/rendered", [3, 1]),
    ]:
        reply = await get(here, path, "*/*")
        assert reply.status == 200
        assert reply.header("content-type").startswith(PARTS)
        found = parts_of(reply)
        places = [fields["content-location"].rsplit("/frames/")[-1] for fields, _ in found]
        assert places == [f"{number}/rendered" for number in numbers]
        for fields, body in found:
            assert fields["content-type"] == JPEG
            assert fields["content-length"] == str(len(body))
            assert decoded(body, JPEG).shape == (4, 6)
    assert here.coverage.frames == 4 + 3 + 2


async def test_one_picture_is_a_part_where_only_parts_are_accepted():
    reply = await get(holding(ramp()), f"{FRAMES}/rendered", 'multipart/related; type="image/png"')
    ((fields, body),) = parts_of(reply)
    assert fields["content-type"] == PNG
    assert decoded(body, PNG).shape == (4, 6)


async def test_several_pictures_are_not_one():
    reply = await get(holding(ramp(count=3)), f"{INSTANCE}/rendered", "image/jpeg")
    assert reply.status == 406
    assert "3 frames" in reply.json()["reason"]


async def test_parameters_of_the_query_are_what_the_picture_is_made_by():
    here = holding(ramp())
    path = f"{FRAMES}/rendered?accept=image/png&"
    plain = decoded((await get(here, path)).body, PNG)
    flipped = await get(here, path + "viewport=6,4,,,-6,4")
    assert decoded(flipped.body, PNG).tolist() == plain[:, ::-1].tolist()
    large = await get(here, path + "viewport=60,60")
    assert decoded(large.body, PNG).shape == (40, 60)
    windowed = await get(here, path + "window=50,2,linear-exact")
    assert set(decoded(windowed.body, PNG).ravel().tolist()) <= {0, 128, 255}
    coarse = await get(here, f"{FRAMES}/rendered?quality=1")
    assert len(coarse.body) < len((await get(here, f"{FRAMES}/rendered?quality=100")).body)


@pytest.mark.parametrize(
    "query",
    [
        *("window=40,400", "viewport=512", "quality=0", "iccprofile=srgb", "annotation=none"),
        *("viewport=10,10,6,0", "viewport=10,10,0,0,0,0", "quality=", "annotation="),
    ],
)
async def test_a_parameter_that_is_malformed_is_400(query):
    reply = await get(holding(ramp()), f"{FRAMES}/rendered?{query}")
    assert reply.status == 400


async def test_what_is_to_be_annotated_is_not_and_the_answer_says_so():
    reply = await get(holding(ramp()), f"{FRAMES}/rendered?annotation=patient,technique&other=1")
    assert reply.status == 200
    assert reply.header("warning") == (
        f"299 http://127.0.0.1:8642{BASE}: "
        "The following annotation values are not supported: patient,technique"
    )
    assert (await get(holding(ramp()), f"{FRAMES}/rendered")).header("warning") is None


async def test_what_is_no_image_is_406():
    here = holding(report(1))
    for path in [*RENDERED, *THUMBNAILS]:
        assert (await get(here, path)).status == 406


async def test_what_is_no_image_is_left_out_among_images_and_the_answer_says_so():
    here = holding(report(1), ramp(2), report(3))
    reply = await get(here, f"{STUDY}/rendered")
    assert (reply.status, reply.header("content-type")) == (200, JPEG)
    assert "2 of 3 instances" in reply.header("warning")
    assert (await get(here, f"{STUDY}/thumbnail")).status == 200


async def test_a_frame_that_is_not_there_is_404():
    here = holding(ramp(count=2))
    for what in ("rendered", "thumbnail"):
        assert (await get(here, f"{INSTANCE}/frames/3/{what}")).status == 404
        assert (await get(here, f"{INSTANCE}/frames/3,1/{what}")).status == 404
        assert (await get(here, f"{INSTANCE}/frames/0/{what}")).status == 400
        assert (await get(here, f"{STUDY}.9/{what}")).status == 404


async def test_what_is_too_large_is_413():
    here = holding(ramp(count=3), ramp(2, count=3), limits=Limits(frames_max=5))
    assert (await get(here, f"{STUDY}/rendered")).status == 413
    assert (await get(here, f"{INSTANCE}/frames/1,1,1,1,1,1/rendered")).status == 413
    assert (await get(here, f"{FRAMES}/rendered?viewport=60000,60000")).status == 413


@pytest.mark.parametrize("path", [*RENDERED, *THUMBNAILS])
async def test_head_tells_what_get_does_without_the_picture(path):
    here = holding(ramp())
    got = await get(here, path)
    head = await call(here.app, "HEAD", path)
    assert (head.status, head.body) == (200, b"")
    for name in ("content-type", "content-length", "etag", "vary"):
        assert head.header(name) == got.header(name)


@pytest.mark.parametrize("path", [*RENDERED, *THUMBNAILS])
async def test_pictures_are_on_record_before_they_are_made(path):
    here = holding(ramp())
    reply = await get(here, path)
    assert here.coverage.asked == [("127.0.0.1", "1.2.3", "retrieve", "wado")]
    assert (here.coverage.frames, here.coverage.bytes) == (1, len(reply.body))
    unrecorded = holding(ramp())
    unrecorded.coverage.error = TransientError("the ledger is away")
    assert (await get(unrecorded, path)).status == 503
    assert unrecorded.archive.reads == 0


@pytest.mark.parametrize("path", [*RENDERED, *THUMBNAILS])
async def test_who_has_the_picture_already_gets_304_and_nothing_is_made(path):
    here = holding(ramp())
    tag = (await get(here, path)).header("etag")
    assert not tag.startswith("W/")
    reads = here.archive.reads
    again = await get(here, path, if_none_match=tag)
    assert (again.status, again.body) == (304, b"")
    assert here.archive.reads == reads
    assert (await get(here, path, if_match='"another"')).status == 412


async def test_a_tag_changes_with_all_that_changes_the_picture():
    here = holding(ramp(1, count=2), ramp(2))
    second = INSTANCE[:-1] + "2"
    tags = [
        (await get(here, path, accept)).header("etag")
        for path, accept in [
            (f"{FRAMES}/rendered", None),
            (f"{FRAMES}/rendered", "image/png"),
            (f"{FRAMES}/rendered?quality=50", None),
            (f"{FRAMES}/rendered?viewport=9,9", None),
            (f"{FRAMES}/rendered?window=9,9,linear", None),
            (f"{INSTANCE}/frames/2/rendered", None),
            (f"{INSTANCE}/frames/1,2/rendered", None),
            (f"{INSTANCE}/frames/2,1/rendered", None),
            (f"{INSTANCE}/rendered", None),
            (f"{second}/rendered", None),
            (f"{STUDY}/rendered", None),
            (f"{FRAMES}/thumbnail", None),
            (f"{FRAMES}/thumbnail?viewport=9,9", None),
            (f"{INSTANCE}/thumbnail", None),
            (f"{second}/thumbnail", None),
            (f"{STUDY}/thumbnail", None),
        ]
    ]
    assert None not in tags
    assert len(set(tags)) == len(tags)
    several = await get(here, f"{STUDY}/rendered")
    assert several.header("etag").startswith("W/")  # the boundary is another each time


async def test_a_picture_can_be_had_by_range():
    here = holding(ramp())
    whole = await get(here, f"{FRAMES}/rendered")
    part = await get(here, f"{FRAMES}/rendered", range="bytes=10-19")
    assert (part.status, part.body) == (206, whole.body[10:20])


async def test_a_thumbnail_is_small_fills_its_box_and_is_made_once():
    instance = ct_small().read_bytes()
    here = holding(instance)
    (held,) = here.archive.instances.values()
    assert isinstance(held, MemoryInstance)
    path = f"{BASE}/studies/{held.study_instance_uid}/thumbnail"
    reply = await get(here, path)
    assert decoded(reply.body, JPEG).shape == (200, 200)
    reads = here.archive.reads
    assert (await get(here, path)).body == reply.body
    assert here.archive.reads == reads
    small = await get(here, f"{path}?viewport=32,64")
    assert decoded(small.body, JPEG).shape == (32, 32)
    assert (await get(here, f"{path}?viewport=32,64,0,0")).status == 400


async def test_a_read_that_fails_is_answered_by_its_status():
    here = holding(ramp())
    here.archive.read_error = TransientError("the provider is away")
    for path in [*RENDERED, *THUMBNAILS]:
        assert (await get(here, path)).status == 503


@pytest.mark.parametrize(
    ("accept", "single", "expected"),
    [
        ("*/*", True, (False, JPEG)),
        ("*/*", False, (True, JPEG)),
        ("image/png, */*;q=0.1", False, (True, JPEG)),
        ("image/png, */*;q=0.1", True, (False, PNG)),
        ('multipart/related; type="image/*"', True, (True, JPEG)),
        ('multipart/related; type="image/png", image/jpeg;q=0.9', False, (True, PNG)),
        ("multipart/related", False, (True, JPEG)),
        ('multipart/related; type="image/jpeg"; transfer-syntax=*', False, (True, JPEG)),
        ("image/jpeg", False, None),
        ("image/jls", True, None),
        ('multipart/related; type="application/dicom"', False, None),
        ("image/jpeg;q=0", True, None),
    ],
)
def test_the_form_of_pictures_is_chosen_by_the_accept_field(accept, single, expected):
    choice = choose_picture((accept,), single=single)
    assert (choice and (choice.multipart, choice.name)) == expected


async def test_a_caller_who_goes_away_waits_for_no_picture(monkeypatch):
    here, gate = holding(ramp()), threading.Event()
    monkeypatch.setattr(hang_up, "WATCH_AFTER_S", 0)
    monkeypatch.setattr(rendering, "render", lambda *_: gate.wait(10) and b"")
    reply = await call(here.app, "GET", f"{FRAMES}/rendered", hang_up=True)
    gate.set()
    assert (reply.status, reply.body) == (0, b"")
    assert here.coverage.frames == 0


async def test_head_of_several_pictures_makes_none(monkeypatch):
    here = holding(ramp(count=3))
    monkeypatch.setattr(rendering, "render", None)
    head = await call(here.app, "HEAD", f"{INSTANCE}/rendered")
    assert (head.status, head.body) == (200, b"")
    assert head.header("content-type").startswith(PARTS)


async def test_a_picture_that_cannot_be_made_behind_others_breaks_the_answer_off():
    damaged = holding(ramp(1), ramp(2))
    second = damaged.archive.instances["1.2.3.1.2"]
    second.part10 = second.part10[:-10]
    reply = await get(damaged, f"{STUDY}/rendered")
    assert reply.status == 200
    assert not reply.body.rstrip().endswith(b"--")  # the last boundary is missing
    first = damaged.archive.instances["1.2.3.1.1"]
    first.part10 = first.part10[:-10]
    assert (await get(damaged, f"{STUDY}/rendered")).status == 406
