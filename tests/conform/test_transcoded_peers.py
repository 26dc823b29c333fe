"""What a node makes of compressed instances for dicomweb-client, and lossless JPEG that it makes
for DCMTK: from a whole node, out of the spool and out of packs."""

import subprocess
import warnings
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import pixel_array

from nodes import Reached, running
from peers import program

EXPLICIT = "1.2.840.10008.1.2.1"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
COMPRESSED = (
    "MR_small_RLE.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "SC_rgb_rle_2frame.dcm",
    "SC_rgb_dcmtk_+eb+cy+np.dcm",
    "JPEG2000.dcm",
)
LOSSY_COLOURS = {"SC_rgb_dcmtk_+eb+cy+np.dcm"}  # of which decoders differ by little
NATIVE = (
    "CT_small.dcm",
    "SC_rgb_small_odd.dcm",
    "MR_small_bigendian.dcm",
    "examples_palette.dcm",
    "image_dfl.dcm",
)


def shipped(name: str) -> Path:
    return Path(str(get_testdata_file(name, download=False)))


def alone(name: str) -> bytes:
    """A file in a study of its own: several of pydicom's are one instance."""
    d = dcmread(shipped(name))
    number = sum(name.encode())
    d.StudyInstanceUID, d.SeriesInstanceUID = f"1.2.3.{number}", f"1.2.3.{number}.1"
    d.SOPInstanceUID = d.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number}.1.1"
    return written(d)


def written(data_set: Dataset) -> bytes:
    out = BytesIO()
    dcmwrite(out, data_set)
    return out.getvalue()


FILES = {name: alone(name) for name in (*COMPRESSED, *NATIVE)}


@pytest.fixture(scope="module", params=["spool", "packs"])
def node(request, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reached]:
    quiet_s = "3600" if request.param == "spool" else "0.2"
    with running(tmp_path_factory.mktemp("node") / "data", seal__quiet_s=quiet_s) as reached:
        for file in FILES.values():
            code, body, _ = reached.request(
                "POST", "/dicomweb/studies", {"Content-Type": "application/dicom"}, file
            )
            assert code == 200, body[:500]
        if request.param == "packs":
            reached.wait_committed(len(FILES))
        yield reached


def uids_of(file: bytes) -> tuple[str, str, str]:
    d = dcmread(BytesIO(file), stop_before_pixels=True)
    return str(d.StudyInstanceUID), str(d.SeriesInstanceUID), str(d.SOPInstanceUID)


def decoded(file: bytes) -> list[bytes]:
    """The frames of a file as pydicom shows them, RGB where they are colours."""
    d = dcmread(BytesIO(file))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = pixel_array(d)
    found = found.reshape(int(d.get("NumberOfFrames", 1) or 1), -1)
    return [each.astype(each.dtype.newbyteorder("<")).tobytes() for each in found]


@pytest.mark.parametrize("name", COMPRESSED)
def test_frames_of_compressed_instances_are_read_by_dicomweb_client(name: str, node: Reached):
    file = FILES[name]
    client, uids = DICOMwebClient(node.web), uids_of(file)
    stored = dcmread(BytesIO(file))
    count = int(stored.get("NumberOfFrames", 1) or 1)
    numbers = list(range(1, count + 1))
    codestreams = list(generate_frames(stored.PixelData, number_of_frames=count))
    assert client.retrieve_instance_frames(*uids, frame_numbers=numbers) == codestreams
    pixels = client.retrieve_instance_frames(
        *uids, frame_numbers=numbers, media_types=("application/octet-stream",)
    )
    expected = decoded(file)
    assert [len(each) for each in pixels] == [len(each) for each in expected]
    if name in LOSSY_COLOURS:
        worst = max(abs(a - b) for a, b in zip(pixels[0], expected[0], strict=True))
        assert worst <= 4
    else:
        assert pixels == expected


@pytest.mark.parametrize("name", FILES)
def test_an_instance_is_read_in_explicit_by_dicomweb_client(name: str, node: Reached):
    file = FILES[name]
    client, uids = DICOMwebClient(node.web), uids_of(file)
    named = (("application/dicom", EXPLICIT),)
    given = client.retrieve_instance(*uids, media_types=named)
    assert given.file_meta.TransferSyntaxUID == EXPLICIT
    assert tuple(map(str, (given.StudyInstanceUID, given.SeriesInstanceUID))) == uids[:2]
    if name not in LOSSY_COLOURS:
        assert decoded(written(given)) == decoded(file)
    (of_study,) = client.retrieve_study(uids[0], media_types=named)
    assert of_study.PixelData == given.PixelData


@pytest.mark.parametrize("name", ["CT_small.dcm", "SC_rgb_small_odd.dcm", "examples_palette.dcm"])
def test_lossless_jpeg_that_is_made_is_read_by_dcmtk(name: str, node: Reached, tmp_path: Path):
    file = FILES[name]
    client, d = DICOMwebClient(node.web), dcmread(BytesIO(file))
    (frame,) = client.retrieve_instance_frames(
        *uids_of(file), frame_numbers=[1], media_types=(("image/jpeg", JPEG_LOSSLESS),)
    )
    d.file_meta.TransferSyntaxUID = JPEG_LOSSLESS
    native, d.PixelData = d.PixelData, encapsulate([frame])
    d["PixelData"].VR, d["PixelData"].is_undefined_length = "OB", True
    (tmp_path / "in.dcm").write_bytes(written(d))
    tool = program("dcmdjpeg", package="dcmtk")
    # +cn: colours as the data set names them, whatever the frame says
    subprocess.run(
        [tool, "+cn", str(tmp_path / "in.dcm"), str(tmp_path / "out.dcm")],
        check=True,
        capture_output=True,
    )
    read = dcmread(tmp_path / "out.dcm").PixelData
    frame_bytes = d.Rows * d.Columns * d.SamplesPerPixel * d.BitsAllocated // 8
    assert read[:frame_bytes] == native[:frame_bytes]
