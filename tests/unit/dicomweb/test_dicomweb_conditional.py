"""Entity tags, conditions, codings and both forms of metadata."""

import gzip
import xml.etree.ElementTree as ET
from io import BytesIO
from types import SimpleNamespace

import pytest
from pydicom import dcmread, dcmwrite

from corpus import ct_small
from dicomweb_fakes import World, call, world
from fileroom.dicomweb.conditional import tag_of
from fileroom.dicomweb.location import BASE
from fileroom.errors import TransientError
from fileroom.http import texts

XML = "application/dicom+xml"
XML_PARTS = f'multipart/related; type="{XML}"'
NATIVE = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"


def slices(count: int, **attributes) -> list[bytes]:
    made = []
    for number in range(1, count + 1):
        data_set = dcmread(ct_small())
        data_set.StudyInstanceUID, data_set.SeriesInstanceUID = "1.2.3", "1.2.3.1"
        data_set.SOPInstanceUID = f"1.2.3.1.{number}"
        for keyword, value in attributes.items():
            setattr(data_set, keyword, value)
        out = BytesIO()
        dcmwrite(out, data_set)
        made.append(out.getvalue())
    return made


def holding(*files: bytes) -> World:
    here = world()
    for each in files:
        here.archive.add(each)
    return here


STUDY = f"{BASE}/studies/1.2.3"
SERIES = f"{STUDY}/series/1.2.3.1"
INSTANCE = f"{SERIES}/instances/1.2.3.1.1"
BARE = {"accept": "application/dicom"}
# Every resource with an entity tag: path, header fields, and whether equal tags mean equal bytes.
TAGGED = [
    (INSTANCE, BARE, True),
    (INSTANCE, {}, False),
    (SERIES, {}, False),
    (STUDY, {}, False),
    (f"{STUDY}/metadata", {}, False),
    (f"{SERIES}/metadata", {"accept": XML_PARTS}, False),
    (f"{INSTANCE}/metadata", {"accept": XML}, False),
    (f"{INSTANCE}/frames/1", {"accept": "application/octet-stream"}, True),
    (f"{INSTANCE}/frames/1", {}, False),
    (f"{INSTANCE}/bulkdata/7FE00010", {"accept": "application/octet-stream"}, True),
]


# --- what the caller has already


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path, fields, strong", TAGGED)
async def test_who_has_it_already_gets_304_and_no_byte_is_read(method, path, fields, strong):
    here = holding(*slices(2))
    first = await call(here.app, "GET", path, headers=fields)
    tag = first.header("etag")
    assert tag.startswith('"' if strong else 'W/"')
    here.archive.reads, here.coverage.asked = 0, []
    again = await call(here.app, method, path, headers=fields | {"if-none-match": f'"x", {tag}'})
    assert (again.status, again.body) == (304, b"")
    assert again.header("etag") == tag
    assert again.header("content-length") is None
    assert "accept" in again.header("vary")
    if "bulkdata" not in path:  # whose element has to be found
        assert here.archive.reads == 0
    # It is on record all the same: the caller now knows that what it has is what is here.
    assert set(here.coverage.asked) == {("127.0.0.1", "1.2.3", "retrieve", "wado")}
    other = await call(here.app, method, path, headers=fields | {"if-none-match": 'W/"another"'})
    assert other.status == 200


@pytest.mark.parametrize("path, fields, strong", TAGGED)
async def test_a_tag_changes_with_what_it_is_the_tag_of(path, fields, strong):
    before = await call(holding(*slices(2)).app, "GET", path, headers=fields)
    same = await call(holding(*slices(2)).app, "GET", path, headers=fields)
    after = await call(holding(*slices(2, PatientID="another")).app, "GET", path, headers=fields)
    assert before.header("etag") == same.header("etag") != after.header("etag")


async def test_a_study_has_another_tag_when_an_instance_has_come():
    here = holding(*slices(2))
    tags = set()
    for path in (STUDY, SERIES, f"{STUDY}/metadata", f"{SERIES}/metadata"):
        tags.add((await call(here.app, "GET", path)).header("etag"))
    here.archive.add(slices(3)[2])
    for path in (STUDY, SERIES, f"{STUDY}/metadata", f"{SERIES}/metadata"):
        tags.add((await call(here.app, "GET", path)).header("etag"))
    # A study of one series is what its series is.
    assert len(tags) == 4


async def test_forms_of_one_resource_have_tags_of_their_own():
    here = holding(*slices(1))
    accepts = ["application/dicom+json", "application/json", XML, XML_PARTS]
    replies = [
        await call(here.app, "GET", f"{INSTANCE}/metadata", headers={"accept": each})
        for each in accepts
    ]
    assert len({each.header("etag") for each in replies[1:3]}) == 2
    # The URLs in it are those that this caller can reach.
    elsewhere = await call(
        here.app, "GET", f"{INSTANCE}/metadata", headers={"host": "localhost:8642"}
    )
    assert elsewhere.header("etag") != replies[0].header("etag")


async def test_another_one_than_if_match_names_is_412():
    here = holding(*slices(1))
    tag = (await call(here.app, "GET", INSTANCE, headers=BARE)).header("etag")
    for field, status in ((tag, 200), ("*", 200), ('"another"', 412), (f"W/{tag}", 412)):
        reply = await call(here.app, "GET", INSTANCE, headers=BARE | {"if-match": field})
        assert reply.status == status, field
    # A weak tag matches nothing strongly (RFC 9110 §13.1.1).
    weak = (await call(here.app, "GET", STUDY)).header("etag")
    assert (await call(here.app, "GET", STUDY, headers={"if-match": weak})).status == 412


async def test_a_download_goes_on_with_the_same_bytes_or_begins_anew():
    (file,) = slices(1)
    here = holding(file)
    for path, accept, whole in (
        (INSTANCE, "application/dicom", file),
        (f"{INSTANCE}/frames/1", "application/octet-stream", None),
    ):
        fields = {"accept": accept}
        got = await call(here.app, "GET", path, headers=fields)
        whole = got.body if whole is None else whole
        fields["range"] = "bytes=1000-"
        for condition, status in (
            (got.header("etag"), 206),
            ('"another"', 200),
            ("W/" + got.header("etag"), 200),
            ("Tue, 24 Nov 2026 10:00:00 GMT", 200),
        ):
            reply = await call(here.app, "GET", path, headers=fields | {"if-range": condition})
            assert reply.status == status, condition
            assert reply.body == (whole[1000:] if status == 206 else whole)
            assert reply.header("etag") == got.header("etag")


async def test_without_a_record_nobody_learns_that_nothing_has_changed():
    here = holding(*slices(1))
    tag = (await call(here.app, "GET", INSTANCE)).header("etag")
    here.coverage.error = TransientError("the ledger cannot be written")
    assert (await call(here.app, "GET", INSTANCE, headers={"if-none-match": tag})).status == 503


# --- metadata


@pytest.mark.parametrize("path, count", [(STUDY, 2), (SERIES, 2), (INSTANCE, 1)])
async def test_metadata_as_xml_says_what_the_json_says(path, count):
    here = holding(*slices(2))
    described = (await call(here.app, "GET", f"{path}/metadata")).json()
    reply = await call(here.app, "GET", f"{path}/metadata", headers={"accept": XML_PARTS})
    boundary = reply.header("content-type").removeprefix(f'{XML_PARTS}; boundary="').rstrip('"')
    pieces = reply.body.split(b"--" + boundary.encode())
    assert (pieces[0], pieces[-1]) == (b"", b"--\r\n")
    assert len(pieces) == count + 2
    for piece, said in zip(pieces[1:-1], described, strict=True):
        head, document = piece[2:].removesuffix(b"\r\n").split(b"\r\n\r\n", 1)
        assert head.split(b"\r\n") == [
            b"Content-Type: application/dicom+xml",
            b"Content-Length: %d" % len(document),
        ]
        model = ET.fromstring(document)
        assert len(model) == len(said)
        pixels = model[-2]
        assert pixels.get("tag") == "7FE00010"
        assert pixels[0].get("uri") == said["7FE00010"]["BulkDataURI"]
        assert pixels[0].tag == f"{NATIVE}BulkData"


async def test_one_instance_may_come_as_xml_without_parts_and_several_may_not():
    here = holding(*slices(2))
    reply = await call(here.app, "GET", f"{INSTANCE}/metadata", headers={"accept": XML})
    assert reply.header("content-type") == XML
    assert ET.fromstring(reply.body).tag == f"{NATIVE}NativeDicomModel"
    assert (await call(here.app, "GET", f"{STUDY}/metadata", headers={"accept": XML})).status == 406


@pytest.mark.parametrize(
    "accept, content_type",
    [
        ("*/*", "application/dicom+json"),
        ("application/*", "application/dicom+json"),
        (f"{XML_PARTS}; q=0.5, application/json; q=0.9", "application/json"),
        (f"{XML_PARTS}, application/dicom+json; q=0.9", XML_PARTS),
        (f"application/dicom+json; q=0, {XML_PARTS}", XML_PARTS),
        ("multipart/related; type=application/dicom+xml", XML_PARTS),
        ("multipart/related", XML_PARTS),
        ("text/html, application/xhtml+xml, */*; q=0.8", "application/dicom+json"),
    ],
)
async def test_the_form_that_is_wanted_most_is_given(accept, content_type):
    here = holding(*slices(1))
    reply = await call(here.app, "GET", f"{STUDY}/metadata", headers={"accept": accept})
    assert reply.header("content-type").startswith(content_type)


async def test_an_instance_whose_xml_would_be_far_too_large_is_413(monkeypatch):
    monkeypatch.setattr("fileroom.dicom.xml_model.XML_BYTES_MAX", 1000)
    here = holding(*slices(1))
    reply = await call(here.app, "GET", f"{INSTANCE}/metadata", headers={"accept": XML})
    assert reply.status == 413


# --- content coding


@pytest.mark.parametrize("joined_bytes_max", [0, 1 << 30])
@pytest.mark.parametrize("coded_at_once_bytes", [1, 1 << 30])
@pytest.mark.parametrize("accept", ["application/dicom+json", XML_PARTS])
async def test_text_is_compressed_for_who_asks(
    monkeypatch, joined_bytes_max, coded_at_once_bytes, accept
):
    monkeypatch.setattr(texts, "JOINED_BYTES_MAX", joined_bytes_max)
    monkeypatch.setattr(texts, "CODED_AT_ONCE_BYTES", coded_at_once_bytes)
    monkeypatch.setattr("secrets.token_hex", lambda _: "b" * 32)
    here = holding(*slices(3))
    for path in (f"{STUDY}/metadata", f"{STUDY}/instances"):
        fields = {"accept": accept}
        plain = await call(here.app, "GET", path, headers=fields)
        coded = await call(here.app, "GET", path, headers=fields | {"accept-encoding": "gzip, br"})
        assert coded.header("content-encoding") == "gzip"
        assert plain.header("content-encoding") is None
        assert gzip.decompress(coded.body) == plain.body
        assert len(coded.body) < len(plain.body) // 2
        assert coded.header("content-type") == plain.header("content-type")
        assert coded.header("etag") == plain.header("etag")
        for reply in (plain, coded):
            assert "accept-encoding" in reply.header("vary")
            assert (reply.header("content-length") is None) == (joined_bytes_max == 0)


async def test_images_and_little_texts_are_not_compressed():
    here = holding(*slices(1))
    fields = {"accept-encoding": "gzip"}
    for path in (STUDY, f"{INSTANCE}/frames/1", f"{BASE}/studies?PatientID=nobody"):
        assert (await call(here.app, "GET", path, headers=fields)).header(
            "content-encoding"
        ) is None


@pytest.mark.parametrize("joined_bytes_max", [0, 1 << 30])
@pytest.mark.parametrize("path", [f"{STUDY}/metadata", f"{STUDY}/series", f"{BASE}/studies"])
async def test_head_of_a_text_has_the_header_fields_of_get_and_counts_no_bytes(
    monkeypatch, path, joined_bytes_max
):
    monkeypatch.setattr(texts, "JOINED_BYTES_MAX", joined_bytes_max)
    here = holding(*slices(2))
    fields = {"accept-encoding": "gzip"}
    head = await call(here.app, "HEAD", path, headers=fields)
    assert (head.status, head.body, here.coverage.bytes) == (200, b"", 0)
    got = await call(here.app, "GET", path, headers=fields)
    assert head.headers == got.headers


def test_a_tag_tells_apart_what_differs_in_its_form_alone():
    of = {"data_set_sha256": bytes(32), "transfer_syntax_uid": "1.2.840.10008.1.2.1"}
    forms = [
        of | {"size_bytes": 10},
        of | {"size_bytes": 11},
        of | {"size_bytes": 10, "transfer_syntax_uid": "1.2.840.10008.1.2"},
    ]
    assert len({tag_of([SimpleNamespace(**each)], strong=True) for each in forms}) == 3
