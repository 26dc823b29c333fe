"""The file format around data sets: written as pydicom reads it, read whatever the pieces."""

import io

import pytest
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import dcmread, read_preamble
from pydicom.filewriter import write_file_meta_info

from dicom_samples import BIG_ENDIAN, EXPLICIT, IMPLICIT, ct_explicit, explicit, implicit
from fileroom.dicom.instance_error import InstanceError
from fileroom.dicom.part10 import META_BYTES_MAX, Part10Splitter, Part10Start, write_header
from fileroom.dicom.uid import IMPLEMENTATION_CLASS_UID

# PS3.10 Table 7.1-1, byte by byte. The group length counts what follows it: 14 + 12 + 14 + 28
# + 52 + 20 + 12.
GOLDEN = (
    bytes(128)
    + b"DICM"
    + bytes.fromhex("0200 0000 554C 0400 98000000")  # (0002,0000) UL 152
    + bytes.fromhex("0200 0100 4F42 0000 02000000 0001")  # (0002,0001) OB 00 01
    + bytes.fromhex("0200 0200 5549 0400")
    + b"1.2\0"  # (0002,0002) UI, padded with NUL
    + bytes.fromhex("0200 0300 5549 0600")
    + b"1.2.3\0"  # (0002,0003) UI
    + bytes.fromhex("0200 1000 5549 1400")
    + b"1.2.840.10008.1.2.1\0"  # (0002,0010) UI
    + bytes.fromhex("0200 1200 5549 2C00")
    + IMPLEMENTATION_CLASS_UID.encode()  # (0002,0012) UI
    + bytes.fromhex("0200 1300 5348 0C00")
    + b"FILEROOM_0_1"  # (0002,0013) SH
    + bytes.fromhex("0200 1600 4145 0400")
    + b"CT1 "  # (0002,0016) AE, padded with a space
)


def meta(**elements: tuple[int, str, bytes]) -> bytes:
    """A preamble and a file meta group of these elements."""
    return bytes(128) + b"DICM" + b"".join(explicit(*each) for each in elements.values())


def split(data: bytes) -> tuple[Part10Start, bytes]:
    splitter = Part10Splitter()
    start = splitter.feed(data) or splitter.finish()
    return start, bytes(splitter.remainder)


def test_a_header_is_these_bytes() -> None:
    assert len(IMPLEMENTATION_CLASS_UID) == 44
    assert write_header("1.2", "1.2.3", EXPLICIT, source_ae_title="CT1") == GOLDEN


def test_pydicom_reads_what_we_write_and_writes_the_same() -> None:
    ours = write_header("1.2", "1.2.3.4", EXPLICIT, source_ae_title=None)
    found = dcmread(io.BytesIO(ours + ct_explicit()))
    assert found.file_meta.MediaStorageSOPClassUID == "1.2"
    assert found.file_meta.TransferSyntaxUID == EXPLICIT
    assert found.PatientID == "PID1"
    theirs = DicomBytesIO()
    write_file_meta_info(theirs, found.file_meta)
    assert ours[132:] == theirs.getvalue()


def test_what_we_write_splits_into_what_it_was_made_of() -> None:
    head = write_header("1.2", "1.2.3", EXPLICIT, source_ae_title="ÄRZTE AND MORE THAN 16")
    start, rest = split(head + ct_explicit())
    assert start == Part10Start(head, "1.2", "1.2.3", EXPLICIT)
    assert rest == ct_explicit()


def test_a_preamble_is_handed_on_whatever_it_is() -> None:
    for preamble in (b"II*\0" + bytes(124), b"MZ" + b"x" * 126, b"\xff" * 128):
        start, _ = split(preamble + GOLDEN[128:] + ct_explicit())
        assert start.preamble == preamble


def test_the_start_comes_with_the_byte_that_decides_it() -> None:
    data = GOLDEN + ct_explicit()
    splitter = Part10Splitter()
    for count in range(len(GOLDEN) + 7):
        assert splitter.feed(data[count : count + 1]) is None
    start = splitter.feed(data[len(GOLDEN) + 7 : len(GOLDEN) + 8])
    assert start is not None
    assert start.dataset_offset == len(GOLDEN)
    assert bytes(splitter.remainder) == data[len(GOLDEN) : len(GOLDEN) + 8]


def test_a_wrong_group_length_does_no_harm() -> None:
    lying = GOLDEN.replace(bytes.fromhex("98000000"), bytes.fromhex("01000000"))
    assert split(lying + ct_explicit())[1] == ct_explicit()


def test_a_file_without_a_data_set_is_known_at_its_end() -> None:
    start, rest = split(GOLDEN)
    assert start.dataset_offset == len(GOLDEN)
    assert rest == b""


@pytest.mark.parametrize(
    ("data_set", "syntax"),
    [
        (ct_explicit(), EXPLICIT),
        (implicit(0x00080005, b"ISO_IR 100"), IMPLICIT),
        (explicit(0x00080005, "CS", b"ISO_IR 100", order=">"), BIG_ENDIAN),
        (b"", IMPLICIT),
    ],
)
def test_a_missing_transfer_syntax_is_seen_in_the_data_set(data_set: bytes, syntax: str) -> None:
    data = meta(a=(0x00020002, "UI", b"1.2\0")) + data_set
    assert split(data)[0].transfer_syntax_uid == syntax


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"DICM",
        bytes(128),
        bytes(128) + b"DIC",
        bytes(128) + b"DICOM" + bytes(100),
        b"hello, this is no image" * 10,
        bytes(128) + b"DICM",
        bytes(128) + b"DICM" + ct_explicit(),
        GOLDEN[:150],
        GOLDEN[:-1],
        meta(a=(0x00020010, "UI", b"1.2\0")) + b"\x02\x00\x12\x00UI\xff\xff",
    ],
)
def test_what_is_no_file_of_this_format_is_refused(data: bytes) -> None:
    with pytest.raises(InstanceError):
        split(data)


def test_an_oversize_meta_group_is_refused_before_it_is_held() -> None:
    splitter = Part10Splitter()
    with pytest.raises(InstanceError, match="65536"):
        splitter.feed(meta() + explicit(0x00020102, "OB", b"", length=META_BYTES_MAX))
    many = b"".join(explicit(0x00020003, "UI", b"1" * 64) for _ in range(1000))
    with pytest.raises(InstanceError, match="65536"):
        Part10Splitter().feed(meta() + many)


def test_the_preamble_is_where_pydicom_finds_it() -> None:
    assert read_preamble(io.BytesIO(GOLDEN), force=False) == bytes(128)
