"""What a browser may make of an answer: images are drawn, text of ours is shown, the rest saved."""

import pytest

from dicomweb_fakes import call
from unit.dicomweb.test_dicomweb_retrieve import copies, holding, paths_of, shipped

NATIVE = copies(1)[0]
FORMS = [
    ("", NATIVE, "multipart/related", True),
    ("", NATIVE, "application/dicom", True),
    ("/frames/1", NATIVE, "multipart/related", True),
    ("/frames/1", NATIVE, "application/octet-stream", True),
    ("/frames/1", shipped("SC_rgb_jpeg_gdcm.dcm"), "image/jpeg", False),
    ("/bulkdata/7FE00010", NATIVE, "application/octet-stream", True),
    ("/metadata", NATIVE, "application/dicom+json", False),
    ("/metadata", NATIVE, "application/dicom+xml", False),
]


@pytest.mark.parametrize(("path", "file", "form", "saved"), FORMS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_browser_guesses_no_type_and_saves_what_it_cannot_draw(
    method, path, file, form, saved
):
    here = holding(file)
    *_, instance = paths_of(here)
    accept = f"{form}; transfer-syntax=*" if path == "/frames/1" else form
    reply = await call(here.app, method, instance + path, headers={"accept": accept})
    assert reply.status == 200, reply.body
    assert reply.header("content-type").startswith(form)
    assert reply.header("x-content-type-options") == "nosniff"
    assert "sandbox" in reply.header("content-security-policy")
    disposition = reply.header("content-disposition") or ""
    assert disposition.startswith("attachment") == saved
    assert b"1.2.3" not in disposition.encode()  # nothing of the instance stands there


async def test_a_range_of_a_file_is_saved_like_the_whole():
    here = holding(NATIVE)
    *_, instance = paths_of(here)
    headers = {"accept": "application/dicom", "range": "bytes=0-9,20-29"}
    reply = await call(here.app, "GET", instance, headers=headers)
    assert reply.status == 206
    assert reply.header("content-disposition") == "attachment"


@pytest.mark.parametrize("path", ["/dicomweb/nowhere", "/dicomweb/studies/x", "/status"])
async def test_a_refusal_is_not_guessed_at_either(path):
    reply = await call(holding(NATIVE).app, "GET", path)
    assert reply.header("x-content-type-options") == "nosniff"
