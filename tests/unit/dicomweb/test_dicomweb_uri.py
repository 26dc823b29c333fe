"""WADO-URI (PS3.18 §9): what is asked for by query, and what is refused rather than passed over."""

import logging
from io import BytesIO
from urllib.parse import urlencode

import numpy
import pytest
from PIL import Image
from pydicom import dcmread

from dicomweb_fakes import call
from fileroom.dicomweb.wado.uri_query import KNOWN, asked_of
from fileroom.errors import PeerError, TransientError
from fileroom.http.refusals import BadRequestError, NotAcceptableError
from fileroom.pixels.view import Region, View, Window
from wado_parts import copies, holding, shipped

EXPLICIT, RLE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5"
NAMES = [("requestType", "WADO"), ("studyUID", "1.2"), ("seriesUID", "1.3"), ("objectUID", "1.4")]
DICOM = "application/dicom"


def asked(accept: str | None = None, **keys: str):
    return asked_of([*NAMES, *keys.items()], accept)


def target(here, *, path: str = "/wado", **keys: str) -> str:
    each = next(iter(here.archive.instances.values()))
    query = {
        "requestType": "WADO",
        "studyUID": each.study_instance_uid,
        "seriesUID": each.series_instance_uid,
        "objectUID": each.sop_instance_uid,
    } | keys
    return f"{path}?{urlencode(query)}"


# --- what a query says


@pytest.mark.parametrize(
    ("content_type", "accept", "media_type"),
    [
        (None, None, "image/jpeg"),  # PS3.18 §9.3
        (None, "*/*", "image/jpeg"),
        (None, "text/html, */*;q=0.8", "image/jpeg"),
        (None, "image/png", "image/png"),
        (None, DICOM, DICOM),
        ("image/png", "*/*", "image/png"),
        ("image/gif,image/png;q=0.5", None, "image/png"),
        ("image/*", None, "image/jpeg"),
        (DICOM, "*/*", DICOM),
        (DICOM, "image/jpeg", DICOM),
        ("application/*", None, DICOM),
    ],
)
def test_the_media_type_is_that_of_the_query_or_else_of_the_field(content_type, accept, media_type):
    found = asked(accept, **({} if content_type is None else {"contentType": content_type}))
    assert (found.view.media_type if found.view else DICOM) == media_type


def test_a_picture_is_described_by_its_parameters():
    found = asked(
        contentType="image/jpeg",
        frameNumber="7",
        rows="300",
        columns="400",
        region="0.25,0.5,0.75,1",
        windowCenter="-1.5e2",
        windowWidth="400.5",
        imageQuality="55",
        charset="utf-8",
        other="passed over",
    )
    assert found.frame == 6
    assert found.view == View(
        media_type="image/jpeg",
        rows_max=300,
        columns_max=400,
        region=Region(0.25, 0.5, 0.5, 0.5, in_fractions=True),
        window=Window(-150, 400.5),
        quality=55,
    )


@pytest.mark.parametrize("syntax", [EXPLICIT, "*", None])
def test_an_instance_is_asked_for_in_a_transfer_syntax(syntax):
    found = asked(contentType=DICOM, **({} if syntax is None else {"transferSyntax": syntax}))
    assert (found.transfer_syntax_uid, found.view) == (syntax, None)


@pytest.mark.parametrize(
    "keys",
    [
        {"frameNumber": "0"},
        {"frameNumber": "1,2"},
        {"frameNumber": ""},
        {"rows": "-1"},
        {"rows": "0"},
        {"columns": "1.5"},
        {"columns": "99999999"},
        {"region": "0,0,1"},
        {"region": "0,0,1,1,1"},
        {"region": "0.5,0,0.5,1"},
        {"region": "0,0,1,1.1"},
        {"region": "a,b,c,d"},
        {"windowCenter": "1"},
        {"windowWidth": "1"},
        {"windowCenter": "1", "windowWidth": "0"},
        {"windowCenter": "1", "windowWidth": "nan"},
        {"windowCenter": "1e99", "windowWidth": "1e999"},
        {"imageQuality": "101"},
        {"imageQuality": "0"},
        {"anonymize": "no"},
        {"transferSyntax": EXPLICIT},  # of a picture
        {"contentType": DICOM, "transferSyntax": "1.2.x"},
        {"contentType": DICOM, "frameNumber": "1"},
        {"contentType": DICOM, "rows": "10"},
        {"contentType": DICOM, "imageQuality": "10"},
        {"contentType": "image"},
    ],
)
def test_what_is_malformed_or_does_not_go_together_is_400(keys):
    with pytest.raises(PeerError) as found:
        asked(**keys)
    assert not any(value in str(found.value) for value in keys.values() if len(value) > 3)


@pytest.mark.parametrize(
    "keys",
    [
        {"anonymize": "yes"},
        {"anonymize": "yes", "contentType": DICOM},
        {"annotation": "patient"},
        {"annotation": "technique", "contentType": DICOM},
        {"imageAnnotation": "patient"},
        {"presentationUID": "1.2", "presentationSeriesUID": "1.3"},
        {"contentType": "image/gif"},
        {"contentType": "text/html"},
        {"contentType": 'multipart/related; type="application/dicom"'},
    ],
)
def test_what_is_not_done_is_406_and_never_passed_over(keys):
    with pytest.raises(NotAcceptableError):
        asked(**keys)


def test_names_are_needed_once_and_nothing_that_is_known_comes_twice():
    for missing in range(4):
        with pytest.raises(BadRequestError):
            asked_of([each for n, each in enumerate(NAMES) if n != missing], None)
    with pytest.raises(BadRequestError):
        asked_of([("requestType", "WADO2"), *NAMES[1:]], None)
    for name in KNOWN:
        with pytest.raises(BadRequestError, match="2 times"):
            asked_of([*NAMES, (name, "1"), *([] if name in dict(NAMES) else [(name, "1")])], None)


# --- instances


async def test_an_instance_is_the_file_as_it_is_stored_or_explicit():
    file = shipped("MR_small_RLE.dcm")
    here = holding(file)
    for path in ("/wado", "/dicomweb/wado"):
        for syntax in ("*", RLE):
            asking = target(here, path=path, contentType=DICOM, transferSyntax=syntax)
            reply = await call(here.app, "GET", asking)
            assert (reply.status, reply.body) == (200, file)
            assert reply.header("content-type") == DICOM  # PS3.18 §8.7.3.5.2
    for keys in ({}, {"transferSyntax": EXPLICIT}):
        reply = await call(here.app, "GET", target(here, contentType=DICOM, **keys))
        given = dcmread(BytesIO(reply.body))
        assert given.file_meta.TransferSyntaxUID == EXPLICIT
        assert given.PixelData == dcmread(BytesIO(shipped("MR_small.dcm"))).PixelData
    refused = target(here, contentType=DICOM, transferSyntax="1.2.840.10008.1.2.4.80")
    assert (await call(here.app, "GET", refused)).status == 406


async def test_a_range_and_a_tag_of_an_instance_are_as_elsewhere():
    (file,) = copies(1)
    here = holding(file)
    asking = target(here, contentType=DICOM)
    reply = await call(here.app, "GET", asking, headers={"range": "bytes=10-99"})
    assert (reply.status, reply.body) == (206, file[10:100])
    tag = reply.header("etag")
    unchanged = await call(here.app, "GET", asking, headers={"if-none-match": tag})
    assert unchanged.status == 304
    head = await call(here.app, "HEAD", asking)
    assert (head.status, head.body) == (200, b"")
    assert int(head.header("content-length")) == len(file)


async def test_study_and_series_must_be_those_of_the_instance():
    here = holding(*copies(1), *copies(1, study="1.9"))
    for wrong in ({"studyUID": "1.9"}, {"seriesUID": "1.9.1"}, {"objectUID": "1.9.1.1"},
                  {"objectUID": "7.7"}):  # fmt: skip
        reply = await call(here.app, "GET", target(here, contentType=DICOM, **wrong))
        assert reply.status == 404
    assert here.coverage.asked == []


async def test_what_is_no_uid_goes_nowhere(caplog):
    here = holding(*copies(1))
    with caplog.at_level(logging.DEBUG):
        for name in ("studyUID", "seriesUID", "objectUID"):
            for wrong in ("../../etc/passwd", "1.2\n", "1.2\0", "1" * 65, ".", "1..2"):
                asking = target(here, contentType=DICOM, **{name: wrong})
                reply = await call(here.app, "GET", asking)
                assert reply.status == 400
                assert "passwd" not in reply.json()["reason"]
    assert "passwd" not in caplog.text
    twice = target(here, contentType=DICOM) + "&studyUID=1.2.3"
    assert (await call(here.app, "GET", twice)).status == 400
    assert (await call(here.app, "GET", "/wado")).status == 400
    assert (await call(here.app, "GET", "/wado?studyUID=%ff")).status == 400
    assert here.coverage.asked == []


async def test_who_may_not_read_learns_nothing_but_that():
    here = holding(*copies(1))
    for asking in (target(here), "/wado", "/wado?studyUID=%ff"):
        reply = await call(here.app, "GET", asking, client=("10.1.2.3", 4000))
        assert reply.status == 403


async def test_the_read_is_on_record_before_the_first_byte():
    here = holding(*copies(1))
    for keys in ({"contentType": DICOM}, {}):
        assert (await call(here.app, "GET", target(here, **keys))).status == 200
    assert here.coverage.asked[0] == ("127.0.0.1", "1.2.3", "retrieve", "wado")
    assert (here.coverage.instances, here.coverage.frames) == (1, 1)
    fresh = holding(*copies(1))
    fresh.coverage.error = TransientError("the ledger cannot be written")
    for keys in ({"contentType": DICOM}, {}):
        assert (await call(fresh.app, "GET", target(fresh, **keys))).status == 503
    assert fresh.archive.reads == 0


# --- pictures


def picture(reply) -> Image.Image:
    assert reply.status == 200, reply.body
    found = Image.open(BytesIO(reply.body))
    found.load()
    return found


async def test_a_picture_is_the_image_in_the_media_type_that_is_asked_for():
    file = shipped("SC_rgb_small_odd.dcm")
    here = holding(file)
    pixels = dcmread(BytesIO(file)).pixel_array
    reply = await call(here.app, "GET", target(here, contentType="image/png"))
    assert reply.header("content-type") == "image/png"
    assert (numpy.asarray(picture(reply)) == pixels).all()
    reply = await call(here.app, "GET", target(here))
    assert reply.header("content-type") == "image/jpeg"
    assert picture(reply).format == "JPEG"
    assert picture(reply).size == pixels.shape[1::-1]
    assert here.coverage.frames == 2
    head = await call(here.app, "HEAD", target(here))
    assert head.body == b""
    assert head.headers == reply.headers


async def test_size_region_and_window_change_the_picture():
    here = holding(shipped("CT_small.dcm"))  # 128 x 128
    plain = target(here, contentType="image/png")
    assert picture(await call(here.app, "GET", plain)).size == (128, 128)
    for keys, size in (
        ({"rows": "64"}, (64, 64)),
        ({"columns": "256"}, (256, 256)),
        ({"rows": "32", "columns": "512"}, (32, 32)),
        ({"region": "0.5,0,1,0.25"}, (64, 32)),
        ({"region": "0.5,0,1,0.25", "columns": "128"}, (128, 64)),
    ):
        asking = target(here, contentType="image/png", **keys)
        assert picture(await call(here.app, "GET", asking)).size == size, keys
    window = {"windowCenter": "-5000", "windowWidth": "10"}
    white = await call(here.app, "GET", target(here, contentType="image/png", **window))
    assert numpy.asarray(picture(white)).min() == 255


async def test_each_picture_has_a_tag_of_its_own():
    here = holding(shipped("SC_rgb_rle_2frame.dcm"))
    tags = set()
    for keys in ({}, {"frameNumber": "2"}, {"contentType": "image/png"}, {"rows": "10"},
                 {"imageQuality": "50"}, {"region": "0,0,0.5,0.5"}):  # fmt: skip
        reply = await call(here.app, "GET", target(here, **keys))
        assert reply.status == 200
        tags.add(reply.header("etag"))
    assert len(tags) == 6


async def test_a_frame_that_is_not_there_is_400_and_what_is_no_image_406():
    here = holding(shipped("SC_rgb_rle_2frame.dcm"))
    assert (await call(here.app, "GET", target(here, frameNumber="2"))).status == 200
    assert (await call(here.app, "GET", target(here, frameNumber="3"))).status == 400
    report = holding(shipped("reportsi.dcm"))
    assert (await call(report.app, "GET", target(report))).status == 406
    assert (await call(report.app, "GET", target(report, contentType=DICOM))).status == 200
