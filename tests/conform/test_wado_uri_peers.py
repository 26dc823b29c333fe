"""WADO-URI of a whole node: curl as the user agent, and Orthanc's /wado beside it. Pictures are
compared by their pixels, for encoders differ."""

import json
import shutil
import subprocess
from io import BytesIO
from urllib.parse import urlencode

import numpy
import pytest
from PIL import Image
from pydicom import dcmread

from conform.test_node_peers import PLUGIN, node, orthanc, shipped
from dicomweb_fakes import data_set_of
from peers import program

__all__ = ["node", "orthanc"]
CURL = shutil.which("curl")
NAMES = ("CT_small.dcm", "MR_small_RLE.dcm", "SC_rgb_small_odd.dcm", "examples_palette.dcm")
EXPLICIT = "1.2.840.10008.1.2.1"


def query_of(name: str, **keys: str) -> str:
    d = dcmread(shipped(name), stop_before_pixels=True)
    return urlencode(
        {
            "requestType": "WADO",
            "studyUID": d.StudyInstanceUID,
            "seriesUID": d.SeriesInstanceUID,
            "objectUID": d.SOPInstanceUID,
        }
        | keys,
        safe="/*",  # which Orthanc does not decode
    )


def stored(node, *names: str) -> None:
    for name in names:
        file = shipped(name).read_bytes()
        headers = {"Content-Type": "application/dicom"}
        assert node.request("POST", "/dicomweb/studies", headers, file)[0] == 200


def pixels_of(picture: bytes) -> numpy.ndarray:
    return numpy.asarray(Image.open(BytesIO(picture)).convert("RGB")).astype(int)


@pytest.mark.skipif(CURL is None, reason="peer missing: curl")
def test_curl_gets_instances_and_pictures(node, tmp_path):
    stored(node, *NAMES)
    root = node.web.removesuffix("/dicomweb")

    def got(path: str) -> tuple[str, bytes]:
        out = tmp_path / "out"
        told = subprocess.run(
            [str(CURL), "-sS", "-o", str(out), "-w", "%{http_code} %{content_type}",
             "--max-time", "20", f"{root}{path}"],
            capture_output=True, check=True, text=True,
        )  # fmt: skip
        return told.stdout, out.read_bytes()

    for base in ("/wado", "/dicomweb/wado"):
        for name in NAMES:
            file = shipped(name).read_bytes()
            as_stored = query_of(name, contentType="application/dicom", transferSyntax="*")
            told, body = got(f"{base}?{as_stored}")
            assert told == "200 application/dicom"
            assert data_set_of(body) == data_set_of(file)
            told, body = got(f"{base}?{query_of(name, contentType='application/dicom')}")
            assert dcmread(BytesIO(body)).file_meta.TransferSyntaxUID == EXPLICIT
            told, body = got(f"{base}?{query_of(name)}")
            assert told == "200 image/jpeg"
            assert Image.open(BytesIO(body)).size == dcmread(BytesIO(file)).pixel_array.shape[1::-1]
    told, body = got(f"/wado?{query_of('CT_small.dcm', anonymize='yes')}")
    assert told == "406 application/json"
    assert "anonymize" in json.loads(body)["reason"]


@pytest.mark.parametrize(("content_type", "most", "on_average"), [
    ("image/png", 1, 1),  # a grey value is rounded in two ways
    ("image/jpeg", 255, 4),
])  # fmt: skip
def test_pictures_are_those_of_orthanc(node, orthanc, content_type, most, on_average):
    if not PLUGIN.exists():
        program("libOrthancDicomWeb.so", package="orthanc-dicomweb")
    names = (
        "MR_small_RLE.dcm",  # with a window of its own; Orthanc has none for those without
        "examples_rgb_color.dcm",
        "examples_palette.dcm",
        "examples_ybr_color.dcm",
        "SC_rgb_dcmtk_+eb+cy+np.dcm",
        "SC_rgb_rle_2frame.dcm",
    )
    stored(node, *names)
    for name in names:
        orthanc.add(shipped(name).read_bytes())
        asked = f"/wado?{query_of(name, contentType=content_type)}"
        code, ours, _ = node.request("GET", asked, {})
        assert code == 200, (name, ours)
        theirs = pixels_of(orthanc.ask("GET", asked))
        assert pixels_of(ours).shape == theirs.shape
        difference = abs(pixels_of(ours) - theirs)
        assert difference.max() <= most, name
        assert difference.mean() <= on_average, (name, difference.mean())
