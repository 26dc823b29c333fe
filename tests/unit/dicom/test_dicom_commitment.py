"""Storage commitment's data sets, with pydicom as writer of what we read and reader of what we
write."""

import io

import pytest
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from fileroom.dicom import commitment
from fileroom.dicom.commitment import (
    FailureReason,
    Reference,
    Result,
    TooManyReferencesError,
    read_request,
)
from fileroom.dicom.instance_error import InstanceError

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
ENCODINGS = {IMPLICIT: (True, True), EXPLICIT: (False, True), BIG: (False, False)}
REFERENCES = [Reference(MR, "1.2.4"), Reference(CT, "1.2.30"), Reference(CT, "1.2.3")]


def asked(references=REFERENCES, *, undefined: bool = False) -> Dataset:
    made = Dataset()
    made.TransactionUID = "1.7.99"
    made.StorageMediaFileSetID = "DISK 1"
    items = []
    for sop_class, uid in references:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
        item.is_undefined_length_sequence_item = undefined
        items.append(item)
    made.ReferencedSOPSequence = items
    made["ReferencedSOPSequence"].is_undefined_length = undefined
    return made


def written(made: Dataset, syntax: str = EXPLICIT) -> bytes:
    out = DicomBytesIO()
    out.is_implicit_VR, out.is_little_endian = ENCODINGS[syntax]
    write_dataset(out, made)
    return out.getvalue()


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("syntax", ENCODINGS)
def test_a_request_is_read_in_every_encoding(syntax, undefined):
    found = read_request(written(asked(undefined=undefined), syntax), syntax)
    assert found.transaction_uid == "1.7.99"
    assert found.references == tuple(sorted(REFERENCES))


def test_a_reference_that_is_named_twice_is_one():
    assert len(read_request(written(asked(REFERENCES * 3)), EXPLICIT).references) == 3
    both = [Reference(CT, "1.2.3"), Reference(MR, "1.2.3")]
    assert read_request(written(asked(both)), EXPLICIT).references == tuple(both)


@pytest.mark.parametrize("syntax", ENCODINGS)
@pytest.mark.parametrize("failed", [0, 1, 3])
def test_a_result_is_what_pydicom_reads(syntax, failed):
    reasons = [
        FailureReason.NO_SUCH_OBJECT_INSTANCE,
        FailureReason.CLASS_INSTANCE_CONFLICT,
        FailureReason.PROCESSING_FAILURE,
    ][:failed]
    told = Result("1.7.99", REFERENCES, [*reasons, *[None] * (3 - failed)], "ARCHIVE")
    assert (told.event_type_id, told.failures) == (2 if failed else 1, failed)
    read = read_dataset(io.BytesIO(b"".join(told.data_set(syntax))), *ENCODINGS[syntax])
    assert read.TransactionUID == "1.7.99"
    items = read.get("ReferencedSOPSequence", [])
    safe = [(each.ReferencedSOPClassUID, each.ReferencedSOPInstanceUID) for each in items]
    assert safe == REFERENCES[failed:]
    items = read.get("FailedSOPSequence", [])
    assert [(each.ReferencedSOPInstanceUID, each.FailureReason) for each in items] == [
        (each.sop_instance_uid, reason) for each, reason in zip(REFERENCES, reasons, strict=False)
    ]
    assert read.get("RetrieveAETitle") == ("ARCHIVE" if failed < 3 else None)
    assert [each.tag for each in read] == sorted(each.tag for each in read)


def test_a_large_result_comes_in_pieces_of_bounded_size():
    references = [Reference(CT, f"1.2.{number}") for number in range(20_000)]
    told = Result("1.7.99", references, [None] * 20_000, "ARCHIVE")
    pieces = list(told.data_set(IMPLICIT))
    assert max(map(len, pieces)) < commitment.PIECE_BYTES + 1000
    read = read_dataset(io.BytesIO(b"".join(pieces)), True, True)
    assert len(read.ReferencedSOPSequence) == 20_000


def spoilt(keyword: str, value: object) -> Dataset:
    made = asked()
    setattr(made.ReferencedSOPSequence[1], keyword, value)
    return made


def lacking(keyword: str) -> Dataset:
    made = asked()
    del made[keyword]
    return made


@pytest.mark.parametrize(
    "made",
    [
        lacking("TransactionUID"),
        lacking("ReferencedSOPSequence"),
        asked([]),
        spoilt("ReferencedSOPInstanceUID", ""),
        spoilt("ReferencedSOPClassUID", ""),
        Dataset(),
    ],
)
def test_a_request_that_lacks_something_is_refused(made):
    with pytest.raises(InstanceError):
        read_request(written(made), EXPLICIT)


@pytest.mark.parametrize("uid", ["1.2.x", "1" * 65, "../../etc", "1..2", "Doe^Jane"])
def test_what_is_no_uid_is_refused_and_not_repeated(uid):
    valid = "9" * len(uid)
    data = written(asked([Reference(CT, valid)])).replace(valid.encode(), uid.encode())
    with pytest.raises(InstanceError) as caught:
        read_request(data, EXPLICIT)
    assert uid not in str(caught.value)


def test_a_request_that_is_cut_off_is_refused_wherever_that_is():
    for undefined in (False, True):
        made = asked(undefined=undefined)
        del made.StorageMediaFileSetID
        whole = written(made)
        for end in range(len(whole)):
            with pytest.raises(InstanceError):
                read_request(whole[:end], EXPLICIT)


def test_more_references_than_are_taken_are_refused(monkeypatch):
    monkeypatch.setattr(commitment, "REFERENCES_MAX", 2)
    with pytest.raises(TooManyReferencesError):
        read_request(written(asked()), EXPLICIT)
    assert len(read_request(written(asked(REFERENCES[:2])), EXPLICIT).references) == 2
