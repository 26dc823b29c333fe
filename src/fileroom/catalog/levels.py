"""Which attributes of an instance describe its patient, its study and its series.

The study keeps the patient's name, birth date and sex as its own images say them: where two
people share a Patient ID, no study is ever shown under the other one's name. The patient row has
them as the first study said them.

Pure.
"""

from collections.abc import Mapping

import msgspec

from fileroom.dicom.header import Header

TEXT_LENGTH_MAX = 1024  # of a shown attribute; identifiers are kept whole

PATIENT_ATTRIBUTES = ("PatientName", "PatientBirthDate", "PatientSex")
STUDY_ATTRIBUTES = (
    *PATIENT_ATTRIBUTES,
    "StudyTime",
    "ReferringPhysicianName",
    "StudyDescription",
    "TimezoneOffsetFromUTC",
)
SERIES_ATTRIBUTES = (
    "Modality",
    "SeriesNumber",
    "SeriesDescription",
    "SeriesDate",
    "SeriesTime",
    "BodyPartExamined",
    "InstitutionName",
    "StationName",
    "PerformedProcedureStepStartDate",
    "PerformedProcedureStepStartTime",
    "ScheduledProcedureStepID",
    "RequestedProcedureID",
)
PATIENT_IDENTITY = ("PatientID", "IssuerOfPatientID")
# These have columns of their own, because searches begin with them.
STUDY_COLUMNS = ("StudyInstanceUID", "StudyDate", "AccessionNumber", "StudyID")


class Description(msgspec.Struct, frozen=True):
    """One instance's header, taken apart by level. Absent attributes are absent keys.

    Attributes:
        patient_id, issuer: the patient's identity; an empty ID makes a patient of each study.
        study_date: eight digits, else empty; what is no date stays in `study` to be shown.
    """

    patient_id: str
    issuer: str
    study_date: str
    accession_number: str
    study_id: str
    modality: str
    patient: dict[str, str]
    study: dict[str, str]
    series: dict[str, str]


def describe(header: Header) -> Description:
    """Take a header apart. Nothing that a sender puts into it makes this fail."""
    attributes = header.attributes
    study_date = plain_date(attributes.get("StudyDate", ""))
    kept_as_said = STUDY_ATTRIBUTES if study_date else (*STUDY_ATTRIBUTES, "StudyDate")
    return Description(
        patient_id=storable(attributes.get("PatientID", "")),
        issuer=storable(attributes.get("IssuerOfPatientID", "")),
        study_date=study_date,
        accession_number=shown(attributes.get("AccessionNumber", "")),
        study_id=shown(attributes.get("StudyID", "")),
        modality=shown(attributes.get("Modality", "")),
        patient=_chosen(attributes, PATIENT_ATTRIBUTES),
        study=_chosen(attributes, kept_as_said),
        series=_chosen(attributes, SERIES_ATTRIBUTES),
    )


def storable(text: str) -> str:
    """`text` without what a database's text cannot hold: NUL and lone surrogates."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def shown(text: str) -> str:
    """`text` as it is kept for searching and showing: storable and of bounded length."""
    return storable(text[:TEXT_LENGTH_MAX])


def plain_date(text: str) -> str:
    """A date as yyyymmdd, also of the ACR-NEMA form yyyy.mm.dd (PS3.5 §6.2); else empty."""
    digits = text.replace(".", "") if len(text) == 10 else text
    return digits if len(digits) == 8 and digits.isascii() and digits.isdigit() else ""


def _chosen(attributes: Mapping[str, str], keywords: tuple[str, ...]) -> dict[str, str]:
    return {keyword: shown(attributes[keyword]) for keyword in keywords if attributes.get(keyword)}
