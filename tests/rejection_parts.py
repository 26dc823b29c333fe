"""Rejection notes as another program makes them (pydicom)."""

import io
from collections.abc import Mapping, Sequence

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from instances import CT_IMAGE_STORAGE, PATIENT_ID, PATIENT_NAME, ROOT

KEY_OBJECT_SELECTION = "1.2.840.10008.5.1.4.1.1.88.59"
SYNTAXES = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
]
MEANINGS = {  # PS3.16 CID 7010
    "113001": "Rejected for Quality Reasons",
    "113037": "Rejected for Patient Safety Reasons",
    "113038": "Incorrect Modality Worklist Entry",
    "113039": "Data Retention Policy Expired",
    "113000": "Of Interest",
}
References = Mapping[tuple[str, str], Sequence[str]]  # by Study and Series Instance UID


def code(value: str, meaning: str, scheme: str = "DCM") -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def note_of(
    references: References,
    *,
    title: str = "113001",
    scheme: str = "DCM",
    uid: str = f"{ROOT}.9.1",
    study: str = "",
    syntax: str = str(ExplicitVRLittleEndian),
    undefined: bool = False,
) -> Dataset:
    """A Key Object Selection Document (PS3.3 §A.35.4) of those instances.

    Args:
        study: of the note itself; else that of its first reference.
        undefined: whether its sequences and items have undefined length.
    """
    d = Dataset()
    d.SOPClassUID, d.SOPInstanceUID = KEY_OBJECT_SELECTION, uid
    d.StudyDate, d.StudyTime, d.ContentDate, d.ContentTime = "20260115", "1015", "20260115", "1016"
    d.Modality, d.Manufacturer, d.PatientName, d.PatientID = "KO", "M", PATIENT_NAME, PATIENT_ID
    d.StudyInstanceUID = study or next(iter(references))[0]
    d.SeriesInstanceUID, d.SeriesNumber, d.InstanceNumber = f"{uid}.1", "999", "1"
    d.ValueType, d.ContinuityOfContent = "CONTAINER", "SEPARATE"
    d.ConceptNameCodeSequence = [code(title, MEANINGS.get(title, "Other"), scheme)]
    evidence: dict[str, list[Dataset]] = {}
    content = []
    for (of_study, series), named in references.items():
        item = Dataset()
        item.SeriesInstanceUID = series
        item.ReferencedSOPSequence = [_reference(each) for each in named]
        evidence.setdefault(of_study, []).append(item)
        for each in named:
            shown = Dataset()
            shown.RelationshipType, shown.ValueType = "CONTAINS", "IMAGE"
            shown.ReferencedSOPSequence = [_reference(each)]
            content.append(shown)
    d.CurrentRequestedProcedureEvidenceSequence = [
        _study(of_study, items) for of_study, items in evidence.items()
    ]
    d.ContentSequence = content
    d.file_meta = FileMetaDataset()
    d.file_meta.TransferSyntaxUID = syntax
    d.file_meta.MediaStorageSOPClassUID = KEY_OBJECT_SELECTION
    d.file_meta.MediaStorageSOPInstanceUID = uid
    if undefined:
        _undefine(d)
    return d


def file_of(note: Dataset) -> bytes:
    """A note as a PS3.10 file."""
    out = io.BytesIO()
    dcmwrite(out, note, enforce_file_format=True)
    return out.getvalue()


def data_set_of(note: Dataset) -> bytes:
    """A note's data set, in its transfer syntax."""
    file = file_of(note)
    return file[144 + int.from_bytes(file[140:144], "little") :]


def _reference(uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CT_IMAGE_STORAGE, uid
    return item


def _study(uid: str, items: list[Dataset]) -> Dataset:
    of_study = Dataset()
    of_study.StudyInstanceUID = uid
    of_study.ReferencedSeriesSequence = items
    return of_study


def _undefine(d: Dataset) -> None:
    for element in d:
        if element.VR == "SQ":
            element.is_undefined_length = True
            for item in element.value:
                item.is_undefined_length_sequence_item = True
                _undefine(item)
