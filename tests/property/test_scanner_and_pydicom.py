"""The header scanner and pydicom say of any data set that it is the same instance.

On every file of the corpus, whole and with changes: wherever both read four UIDs they read the
same, so that no file is one instance here and another one in a viewer. What pydicom cannot read at
all is refused too, unless all that it cannot read is what names the character set: an archive keeps
such an image. The scanner refuses more: what ends early, and what is nested too deep.
"""

import io
import traceback
import warnings
from collections.abc import Callable
from functools import cache

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataelem import RawDataElement
from pydicom.filereader import read_partial

from dicom_samples import DEFLATED, Sample, explicit, samples
from fileroom.dicom.header import LAST_GROUP, Header, HeaderScanner
from fileroom.dicom.instance_error import InstanceError
from fuzz.mutation import mutated

UIDS = {
    0x00080016: "sop_class_uid",
    0x00080018: "sop_instance_uid",
    0x0020000D: "study_instance_uid",
    0x0020000E: "series_instance_uid",
}
# Texts that say the same to both, if they are plain.
TEXTS = {0x00080050: "AccessionNumber", 0x00080060: "Modality", 0x00100020: "PatientID"}
FRONT_BYTES = 6_000  # of a data set, that are changed
LONG_VRS = pydicom.valuerep.EXPLICIT_VR_LENGTH_32


def front(sample: Sample) -> bytes:
    """The syntax's number and the first part of a data set, with all that identifies it."""
    return bytes([SYNTAXES.index(sample.transfer_syntax_uid)]) + sample.data_set[:FRONT_BYTES]


@cache
def whole_samples() -> tuple[Sample, ...]:
    return tuple(samples())


SYNTAXES = sorted({each.transfer_syntax_uid for each in whole_samples()})
SEEDS = [front(each) for each in whole_samples() if not each.hostile]


def until_header_ends() -> Callable[[object, str | None, int], bool]:
    """Tells pydicom to stop where the scanner does: behind group 0040H once all UIDs were seen,
    at what is no short value."""
    seen: set[int] = set()

    def stops(tag: object, vr: str | None, length: int) -> bool:
        number = int(tag)  # type: ignore[call-overload]
        seen.add(number)
        is_long = vr is None or vr in LONG_VRS
        return bool(number >> 16 > LAST_GROUP and is_long and seen >= UIDS.keys())

    return stops


class CharacterSetError(Exception):
    """pydicom makes nothing of a data set because of what its character set is called."""


def by_pydicom(data: bytes, syntax: str) -> dict[int, str] | None:
    """The UIDs and texts as pydicom reads them, as bytes are; None: it does not."""
    uid = syntax.encode() + b"\0" * (len(syntax) % 2)
    head = bytes(128) + b"DICM" + explicit(0x00020010, "UI", uid)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read = read_partial(io.BytesIO(head + data), stop_when=until_header_ends(), force=True)
            found = {}
            for tag in (*UIDS, *TEXTS):
                element = read.get_item(tag) if tag in read else None
                value = element.value if isinstance(element, RawDataElement) else None
                found[tag] = (value or b"").decode("latin-1").strip(" \0")
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        if any(frame.filename.endswith("pydicom/charset.py") for frame in frames):
            raise CharacterSetError from error
        return None
    return found


def by_scanner(data: bytes, syntax: str) -> Header | None:
    scanner = HeaderScanner(syntax)
    try:
        scanner.feed(data)
        return scanner.finish()
    except InstanceError:
        return None


def assert_agree(data: bytes, syntax: str) -> None:
    ours = by_scanner(data, syntax)
    if ours is None:
        return
    try:
        theirs = by_pydicom(data, syntax)
    except CharacterSetError:
        return
    if theirs is None and syntax == DEFLATED:
        return  # of a stream that is damaged behind the header pydicom gives nothing
    assert theirs is not None, "pydicom cannot read what is taken in"
    assert {tag: getattr(ours, name) for tag, name in UIDS.items()} == {
        tag: theirs[tag] for tag in UIDS
    }
    for tag, keyword in TEXTS.items():
        if theirs[tag].isascii() and theirs[tag].isprintable():
            assert ours.attributes.get(keyword, "") == theirs[tag]


@pytest.mark.parametrize("sample", whole_samples(), ids=lambda each: each.name[:60])
def test_a_file_is_one_instance_to_both(sample: Sample) -> None:
    assert_agree(sample.data_set, sample.transfer_syntax_uid)


@settings(
    max_examples=5 * settings().max_examples,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(mutated(SEEDS), st.sampled_from([0, 0, 0, 1, 2, 3, 4, 5, 6]))
def test_a_changed_file_is_one_instance_to_both_or_refused(data: bytes, other: int) -> None:
    number = (data[0] + other if data else other) % len(SYNTAXES)
    assert_agree(data[1:], SYNTAXES[number])
