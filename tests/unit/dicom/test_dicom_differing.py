"""In which elements two data sets differ."""

from io import BytesIO

from pydicom import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

from fileroom.dicom.same import differing_tags


def written(*, implicit=True, little=True, **said):
    data_set = Dataset()
    data_set.PatientName, data_set.Rows = "Doe^Jane", 7
    for keyword, value in said.items():
        setattr(data_set, keyword, value)
    out = BytesIO()
    dcmwrite(out, data_set, implicit_vr=implicit, little_endian=little)
    return out.getvalue()


def differing(one, other, other_syntax=ImplicitVRLittleEndian):
    return differing_tags(one, ImplicitVRLittleEndian, other, other_syntax)


def test_elements_that_differ_or_that_one_lacks_are_named_in_order():
    other = written(Rows=8, PatientID="1", PatientName="Roe^Richard")
    assert differing(written(PatientSex="F"), other) == (
        "00100010",
        "00100020",
        "00100040",
        "00280010",
    )
    assert differing(written(), written()) == ()


def test_of_what_lies_in_a_sequence_the_sequence_is_named():
    inside = Dataset()
    inside.CodeValue = "1"
    other = Dataset()
    other.CodeValue = "2"
    one = written(ProcedureCodeSequence=Sequence([inside]))
    assert differing(one, written(ProcedureCodeSequence=Sequence([other]))) == ("00081032",)


def test_how_it_is_written_is_no_difference():
    big = written(implicit=False, little=False)
    assert differing(written(), big, ExplicitVRBigEndian) == ()


def test_what_cannot_be_read_is_not_compared():
    assert differing(written(), b"\xff" * 40, DeflatedExplicitVRLittleEndian) is None
