"""DCMTK's codecs beside ours: the pixels of a decompressed file, byte for byte.

They are of another make: the IJG's JPEG, its own RLE, and CharLS as it was in 2010.
"""

import subprocess
import warnings
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from dicom_samples import Sample, samples
from fileroom.dicom.instance_error import InstanceError
from fileroom.dicom.part10 import write_header
from fileroom.pixels.transcoding import Transcoding
from peers import program

EXPLICIT = "1.2.840.10008.1.2.1"
JPEG = "1.2.840.10008.1.2.4."
TOOLS = {
    **{JPEG + each: "dcmdjpeg" for each in ("50", "51", "53", "55", "57", "70")},
    **{JPEG + each: "dcmdjpls" for each in ("80", "81")},
    "1.2.840.10008.1.2.5": "dcmdrle",
}
# Frames of these say by their JFIF marker that they are YCbCr, and their data sets that they are
# RGB: DCMTK believes the data set, and shows grey as green and violet.
MISNAMED = {"example.dcm", "example2.dcm", "example-mg.dcm"}
# DCMTK leaves the bits above the stored ones as they are, and colours in planes.
OTHERWISE = {"JLSL_16_15_1_1F.dcm", "ybrFull-RLE.dcm"}


def compressed() -> list[Sample]:
    return [each for each in samples() if not each.hostile and each.transfer_syntax_uid in TOOLS]


def opened(file: bytes) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dcmread(BytesIO(file), force=True)


def by_dcmtk(path: Path, syntax: str, out: Path) -> Dataset | None:
    tool = program(TOOLS[syntax], package="dcmtk")
    done = subprocess.run([tool, str(path), str(out)], capture_output=True, check=False)
    return opened(out.read_bytes()) if done.returncode == 0 else None


@pytest.mark.parametrize("sample", compressed(), ids=lambda each: each.name[:50])
def test_pixels_are_those_of_dcmtk(sample, tmp_path):
    data, syntax = sample.data_set, sample.transfer_syntax_uid
    found = Transcoding(lambda start, end: data[start:end], len(data), syntax, EXPLICIT)
    if sample.name == "example3.dcm":  # whose frames are no JPEG
        with pytest.raises(InstanceError):
            list(found.check())
        return
    list(found.check())
    head = write_header("1.2.3", "1.2.3", EXPLICIT, source_ae_title=None)
    ours = opened(head + b"".join(found.pieces()))
    theirs = by_dcmtk(sample.path, syntax, tmp_path / "out.dcm")
    if theirs is None or "PixelData" not in ours:
        return  # DCMTK gives up where ours does not
    assert ours.SOPInstanceUID == sample_uid(sample)
    assert ours.PhotometricInterpretation == theirs.PhotometricInterpretation
    if sample.name in MISNAMED:
        assert bytes(ours.PixelData) != bytes(theirs.PixelData)
    elif sample.name in OTHERWISE:
        assert (ours.pixel_array == theirs.pixel_array).all()
    else:
        assert bytes(ours.PixelData) == bytes(theirs.PixelData)


def sample_uid(sample: Sample) -> str:
    return str(opened(sample.path.read_bytes()).SOPInstanceUID)
