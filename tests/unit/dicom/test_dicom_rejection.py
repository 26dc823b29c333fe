"""Rejection notes are read from what pydicom writes, in every encoding, and refused where they
cannot be."""

import re

import pytest
from pydicom.sr._cid_dict import cid_concepts
from pydicom.sr.codedict import codes

from fileroom.dicom import rejection
from fileroom.dicom.instance_error import InstanceError
from fileroom.dicom.rejection import Note, TooManyReferencesError, read_note
from rejection_parts import SYNTAXES, data_set_of, note_of

REFERENCES = {
    ("1.2.1", "1.2.1.1"): ["1.9.2", "1.9.1"],
    ("1.2.1", "1.2.1.2"): ["1.9.3"],
    ("1.2.2", "1.2.2.1"): ["1.9.4"],
}


def read(note, *, syntax=None):
    data = data_set_of(note) if not isinstance(note, bytes) else note
    syntax = syntax or str(note.file_meta.TransferSyntaxUID)
    return read_note(lambda start, end: data[start:end], len(data), syntax)


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_note_names_instances_by_study_and_series(syntax, undefined):
    found = read(note_of(REFERENCES, syntax=str(syntax), undefined=undefined))
    ordered = {series: tuple(sorted(uids)) for series, uids in REFERENCES.items()}
    assert found == Note("113001", ordered)


def test_the_titles_are_those_of_the_standard():
    titles = {getattr(codes.cid7010, name) for name in cid_concepts[7010]["DCM"]}
    known = {code.value: code.meaning for code in titles if code.value in rejection.REASONS}
    assert known == rejection.REASONS


@pytest.mark.parametrize("title", sorted(rejection.REASONS))
def test_each_of_the_titles_rejects(title):
    assert read(note_of(REFERENCES, title=title)).code == title


@pytest.mark.parametrize(
    ("title", "scheme"), [("113000", "DCM"), ("113001", "99LOCAL"), ("", "DCM")]
)
def test_another_title_rejects_nothing(title, scheme):
    assert read(note_of(REFERENCES, title=title, scheme=scheme)) is None


def test_an_instance_that_is_named_twice_is_one():
    note = note_of({("1.2.1", "1.2.1.1"): ["1.9.1", "1.9.1"]})
    twice = note.CurrentRequestedProcedureEvidenceSequence[0]
    note.CurrentRequestedProcedureEvidenceSequence = [twice, twice]
    assert read(note).references == {("1.2.1", "1.2.1.1"): ("1.9.1",)}


@pytest.mark.parametrize("broken", ["no evidence", "no study", "no series", "no instance", "bad"])
def test_a_note_that_does_not_say_what_it_must_is_refused(broken):
    note = note_of(REFERENCES)
    of_study = note.CurrentRequestedProcedureEvidenceSequence[0]
    of_series = of_study.ReferencedSeriesSequence[0]
    if broken == "no evidence":
        del note.CurrentRequestedProcedureEvidenceSequence
    elif broken == "no study":
        del of_study.StudyInstanceUID
    elif broken == "no series":
        del of_series.SeriesInstanceUID
    elif broken == "no instance":
        del of_series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
    else:
        of_series.ReferencedSOPSequence[0].add_new(0x00081155, "UI", "1.2/../x")
    with pytest.raises(InstanceError) as refused:
        read(note)
    assert not re.search(r"1\.2|x", str(refused.value))


def test_a_note_that_ends_early_is_refused_wherever_it_does():
    note = note_of(REFERENCES)
    data = data_set_of(note)
    syntax = str(note.file_meta.TransferSyntaxUID)
    found = read(data, syntax=syntax)
    for end in range(0, len(data), 7):
        try:
            short = read(data[:end], syntax=syntax)
        except InstanceError:
            continue
        assert short in (None, found)


def test_more_references_than_one_note_may_have_are_refused(monkeypatch):
    monkeypatch.setattr(rejection, "REFERENCES_MAX", 3)
    with pytest.raises(TooManyReferencesError, match="over 3 references"):
        read(note_of(REFERENCES))
