"""Pictures from a whole node, asked for by dicomweb-client: as pydicom shows the pixels, and the
same from the spool and from packs."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file

from fileroom.pixels.view import JPEG, PNG
from nodes import Reached, running
from picture_parts import by_pydicom, decoded

NAMES = (
    "CT_small.dcm",
    "MR_small_RLE.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "examples_palette.dcm",
    "image_dfl.dcm",
    "liver_1frame.dcm",
    "MR_small_jp2klossless.dcm",
)
REPORT = "reportsi.dcm"


def shipped(name: str) -> bytes:
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str)
    return Path(path).read_bytes()


@pytest.fixture(scope="module", params=["spool", "packs"])
def node(request, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reached]:
    quiet_s = "3600" if request.param == "spool" else "0.2"
    with running(tmp_path_factory.mktemp("node") / "data", seal__quiet_s=quiet_s) as reached:
        for name in (*NAMES, REPORT):
            code, body, _ = reached.request(
                "POST", "/dicomweb/studies", {"Content-Type": "application/dicom"}, shipped(name)
            )
            assert code == 200, body[:500]
        if request.param == "packs":
            reached.wait_committed()
        yield reached


def uids_of(name: str) -> tuple[Dataset, list[str]]:
    told = dcmread(BytesIO(shipped(name)))
    return told, [told.StudyInstanceUID, told.SeriesInstanceUID, told.SOPInstanceUID]


@pytest.mark.parametrize("name", NAMES)
def test_dicomweb_client_gets_the_picture_that_pydicom_makes(name: str, node: Reached) -> None:
    told, uids = uids_of(name)
    client = DICOMwebClient(node.web)
    picture = client.retrieve_instance_frames_rendered(*uids, [1], media_types=(PNG,))
    made = decoded(picture, PNG).astype(int)
    most = 6 if "jpeg" in name else 1
    assert abs(made - by_pydicom(told)).max() <= most
    if int(told.get("NumberOfFrames", 1)) == 1:
        assert client.retrieve_instance_rendered(*uids, media_types=(PNG,)) == picture
        series = client.retrieve_series_rendered(*uids[:2], media_types=(PNG,))
        assert series == picture


@pytest.mark.parametrize("name", NAMES)
def test_a_thumbnail_is_a_small_jpeg_at_every_level(name: str, node: Reached) -> None:
    _, (study, series, instance) = uids_of(name)
    path = f"/studies/{study}"
    for step in ("", f"/series/{series}", f"/instances/{instance}", "/frames/1"):
        path += step
        code, body, fields = node.get(f"{path}/thumbnail", "image/*")
        assert (code, fields["content-type"]) == (200, JPEG)
        assert max(decoded(body, JPEG).shape[:2]) == 200
        again, _, _ = node.request(
            "GET", f"/dicomweb{path}/thumbnail", {"If-None-Match": fields["etag"]}
        )
        assert again == 304


def test_a_report_has_no_picture(node: Reached) -> None:
    _, (study, series, instance) = uids_of(REPORT)
    for path in (f"/studies/{study}", f"/studies/{study}/series/{series}/instances/{instance}"):
        for what in ("rendered", "thumbnail"):
            assert node.get(f"{path}/{what}")[0] == 406


def test_no_picture_lies_on_the_disk(node: Reached) -> None:
    _, (study, _, _) = uids_of("CT_small.dcm")
    assert node.get(f"/studies/{study}/rendered")[0] == 200
    starts = {path.read_bytes()[:3] for path in node.data.rglob("*") if path.is_file()}
    assert not starts & {b"\xff\xd8\xff", b"\x89PN"}
