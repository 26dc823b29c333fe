"""When two data sets under one SOP Instance UID are one instance (invariant 8)."""

from io import BytesIO
from pathlib import Path

import pydicom.data
import pytest
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from fileroom.dicom.part10 import Part10Splitter
from fileroom.dicom.same import same_elements

FILES = Path(pydicom.data.__file__).parent / "test_files"
IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
RLE = "1.2.840.10008.1.2.5"


def stored(name):
    """The bytes of a file's data set, and its transfer syntax."""
    whole = (FILES / name).read_bytes()
    start = Part10Splitter().feed(whole)
    return whole[start.dataset_offset :], start.transfer_syntax_uid


def written(dataset, *, implicit=False):
    out = DicomBytesIO()
    out.is_little_endian, out.is_implicit_VR = True, implicit
    write_dataset(out, dataset)
    return out.getvalue()


def test_what_a_sender_leaves_out_that_says_nothing_makes_no_other_instance():
    """DCMTK's storescu drops Data Set Trailing Padding, dcmconv writes group lengths."""
    ours, syntax = stored("CT_small.dcm")
    dataset = dcmread(FILES / "CT_small.dcm")
    assert 0xFFFCFFFC in dataset
    del dataset[0xFFFCFFFC]
    theirs = written(dataset)
    assert theirs != ours
    assert same_elements(ours, syntax, theirs, syntax)
    dataset.add_new(0x00080000, "UL", 512)
    dataset.OtherPatientIDsSequence[0].add_new(0x00100000, "UL", 12)
    assert same_elements(ours, syntax, written(dataset), syntax)
    assert same_elements(ours, syntax, written(dataset, implicit=True), IMPLICIT)


@pytest.mark.parametrize(
    ("keyword", "value"), [("PatientName", "Another"), ("PixelData", bytes(128 * 128 * 2))]
)
def test_one_value_that_differs_makes_another_instance(keyword, value):
    ours, syntax = stored("CT_small.dcm")
    dataset = dcmread(FILES / "CT_small.dcm")
    dataset[keyword].value = value
    assert not same_elements(ours, syntax, written(dataset), EXPLICIT)


def test_a_compressed_one_is_the_same_in_its_own_transfer_syntax_only():
    ours, syntax = stored("MR_small_RLE.dcm")
    assert syntax == RLE
    dataset = dcmread(BytesIO((FILES / "MR_small_RLE.dcm").read_bytes()))
    dataset.add_new(0x00080000, "UL", 512)
    assert same_elements(ours, syntax, written(dataset), RLE)
    plain, plain_syntax = stored("MR_small.dcm")
    assert not same_elements(ours, syntax, plain, plain_syntax)


def test_what_cannot_be_read_is_not_the_same_as_anything():
    ours, syntax = stored("CT_small.dcm")
    assert not same_elements(ours, syntax, b"\xff" * 50, syntax)
