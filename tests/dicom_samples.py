"""Data sets for tests of the dicom room: bytes put together by hand, and every file of the corpus.

The encoders here are as plain as PS3.5 §7.1 reads, and share nothing with the code under test.
"""

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import corpus
from fileroom.dicom.instance_error import InstanceError
from fileroom.dicom.part10 import Part10Splitter

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"

LONG = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}
UNDEFINED = 0xFFFFFFFF
ITEM_END = bytes.fromhex("FEFF0DE000000000")
SEQUENCE_END = bytes.fromhex("FEFFDDE000000000")

STUDY_UID = "1.2.826.0.1.3680043.10.999.1"
SERIES_UID = STUDY_UID + ".2"
INSTANCE_UID = SERIES_UID + ".3"
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"


def explicit(
    tag: int, vr: str, value: bytes, *, length: int | None = None, order: str = "<"
) -> bytes:
    """One element in explicit VR; `length` where it shall lie."""
    length = len(value) if length is None else length
    start = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF) + vr.encode("latin-1")
    if vr in LONG:
        return start + b"\0\0" + struct.pack(order + "I", length) + value
    return start + struct.pack(order + "H", length) + value


def implicit(tag: int, value: bytes, *, length: int | None = None) -> bytes:
    """One element in implicit VR."""
    length = len(value) if length is None else length
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, length) + value


def item(value: bytes, *, defined: bool = True) -> bytes:
    """One item of a sequence or one fragment."""
    if defined:
        return struct.pack("<HHI", 0xFFFE, 0xE000, len(value)) + value
    return struct.pack("<HHI", 0xFFFE, 0xE000, UNDEFINED) + value + ITEM_END


def undefined_sequence(tag: int, *items_: bytes, vr: str = "SQ") -> bytes:
    """A sequence of undefined length in explicit VR."""
    return explicit(tag, vr, b"".join(items_) + SEQUENCE_END, length=UNDEFINED)


def even(text: str | bytes, pad: bytes = b" ") -> bytes:
    """A value, padded."""
    value = text.encode("latin-1") if isinstance(text, str) else text
    return value + pad if len(value) % 2 else value


# The header of a CT slice, as (tag, VR, value); small, with something of every kind.
CT_ELEMENTS: list[tuple[int, str, bytes]] = [
    (0x00080005, "CS", b"ISO_IR 100"),
    (0x00080008, "CS", b"ORIGINAL\\PRIMARY\\AXIAL "),
    (0x00080016, "UI", even(CT_IMAGE, b"\0")),
    (0x00080018, "UI", even(INSTANCE_UID, b"\0")),
    (0x00080020, "DA", b"20240131"),
    (0x00080030, "TM", b"101500.5"),
    (0x00080050, "SH", b"ACC1"),
    (0x00080060, "CS", b"CT"),
    (0x00080090, "PN", b"Weber^Hans"),
    (0x00081030, "LO", "Schädel ".encode("latin-1")),
    (0x00100010, "PN", "Müller^Anna ".encode("latin-1")),
    (0x00100020, "LO", b"PID1"),
    (0x00100030, "DA", b""),
    (0x00180050, "DS", b"1.25"),
    (0x0020000D, "UI", even(STUDY_UID, b"\0")),
    (0x0020000E, "UI", even(SERIES_UID, b"\0")),
    (0x00200011, "IS", b"2 "),
    (0x00200013, "IS", b"3 "),
    (0x00200032, "DS", b"-189.5\\-352\\-100.5"),
    (0x00200037, "DS", b"1\\0\\0\\0\\1\\0 "),
    (0x00280010, "US", b"\x02\x00"),
    (0x00280011, "US", b"\x03\x00"),
    (0x00280100, "US", b"\x10\x00"),
    (0x00280103, "US", b"\x01\x00"),
    (0x00400244, "DA", b"20240131"),
    (0x7FE00010, "OW", bytes(12)),
]


def ct_explicit(elements: list[tuple[int, str, bytes]] = CT_ELEMENTS) -> bytes:
    """The CT slice in Explicit VR Little Endian."""
    return b"".join(explicit(*each) for each in elements)


def ct_implicit() -> bytes:
    """The CT slice in Implicit VR Little Endian."""
    return b"".join(implicit(tag, value) for tag, _, value in CT_ELEMENTS)


def ct_big_endian() -> bytes:
    """The CT slice in Explicit VR Big Endian."""
    swapped = [(tag, vr, value[::-1] if vr == "US" else value) for tag, vr, value in CT_ELEMENTS]
    return b"".join(explicit(*each, order=">") for each in swapped)


def with_element(tag: int, vr: str, value: bytes) -> bytes:
    """The CT slice with one element put in or replaced, in the order of tags."""
    kept = [each for each in CT_ELEMENTS if each[0] != tag]
    return ct_explicit(sorted([*kept, (tag, vr, value)]))


@dataclass(frozen=True)
class Sample:
    """One corpus file that begins as a file should, and its data set."""

    path: Path
    transfer_syntax_uid: str
    data_set: bytes
    hostile: bool

    @property
    def name(self) -> str:
        return self.path.name


@cache
def _distinct() -> tuple[corpus.CorpusFile, ...]:
    """The corpus without files that are there twice: pydicom's lie in the larger one too."""
    seen: set[bytes] = set()
    found = []
    for file in corpus.dicom_files():
        digest = hashlib.sha256(file.path.read_bytes()).digest()
        if digest not in seen:
            seen.add(digest)
            found.append(file)
    return tuple(found)


def samples() -> Iterator[Sample]:
    """Every corpus file whose preamble and file meta information can be read."""
    for file in _distinct():
        splitter = Part10Splitter()
        try:
            start = splitter.feed(file.path.read_bytes()) or splitter.finish()
        except InstanceError:
            continue
        yield Sample(file.path, start.transfer_syntax_uid, bytes(splitter.remainder), file.hostile)
