"""What a search can ask for and what it answers, by level (PS3.18 §10.6). Pure."""

from enum import Enum
from typing import NamedTuple

from fileroom.catalog.levels import SERIES_ATTRIBUTES, STUDY_ATTRIBUTES, STUDY_COLUMNS
from fileroom.catalog.query import COMPUTED, MATCHABLE, Level
from fileroom.dicom.header_attributes import ATTRIBUTES, REQUEST_ATTRIBUTES


class Found(Enum):
    """What a search finds."""

    STUDIES = "studies"
    SERIES = "series"
    INSTANCES = "instances"


class Column(NamedTuple):
    """One attribute of an answer. `required`: it is there, empty, even where nothing is known."""

    tag: str
    keyword: str
    required: bool


# Attributes of answers that are not in data sets, beside those that headers keep.
_ANSWERED = {
    "InstanceAvailability": "00080056",
    "ModalitiesInStudy": "00080061",
    "SOPClassesInStudy": "00080062",
    "AvailableTransferSyntaxUID": "00083002",
    "RetrieveURL": "00081190",
    "NumberOfPatientRelatedStudies": "00201200",
    "NumberOfPatientRelatedSeries": "00201202",
    "NumberOfPatientRelatedInstances": "00201204",
    "NumberOfStudyRelatedSeries": "00201206",
    "NumberOfStudyRelatedInstances": "00201208",
    "NumberOfSeriesRelatedInstances": "00201209",
    "RequestAttributesSequence": "00400275",
}
TAGS: dict[str, str] = {
    **{attribute.keyword: f"{tag:08X}" for tag, attribute in ATTRIBUTES.items()},
    **{attribute.keyword: f"{tag:08X}" for tag, attribute in REQUEST_ATTRIBUTES.items()},
    **_ANSWERED,
}
COMPUTED_TAGS = frozenset(_ANSWERED.values()) - {_ANSWERED["RequestAttributesSequence"]}
_KEYWORDS = {tag: keyword for keyword, tag in TAGS.items()}
SEQUENCE = "RequestAttributesSequence"
IN_SEQUENCE = tuple(attribute.keyword for attribute in REQUEST_ATTRIBUTES.values())

# Of what headers keep of an instance; the first three are required (PS3.18 Table 10.6.1-5).
INSTANCE_KEYS = frozenset(
    {
        *("SOPClassUID", "SOPInstanceUID", "InstanceNumber", "AvailableTransferSyntaxUID"),
        *("AcquisitionDate", "NumberOfFrames", "Rows", "Columns", "BitsAllocated"),
    }
)
# Attributes that have several values, of which Multiple Value Matching wants more than one
# (PS3.4 §C.2.2.2.8).
MULTIPLE_VALUED = frozenset({"ModalitiesInStudy"})
MATCHED: dict[Found, frozenset[str]] = {
    Found.STUDIES: MATCHABLE[Level.STUDY],
    Found.SERIES: MATCHABLE[Level.SERIES],
    Found.INSTANCES: MATCHABLE[Level.SERIES] | INSTANCE_KEYS,
}

# PS3.18 Tables 10.6.3-3, 10.6.3-4 and 10.6.3-5: True for types R and U, False for "if known".
STUDY_RETURNED = {
    "StudyDate": True,
    "StudyTime": True,
    "AccessionNumber": True,
    "InstanceAvailability": False,
    "ModalitiesInStudy": True,
    "ReferringPhysicianName": True,
    "TimezoneOffsetFromUTC": False,
    "RetrieveURL": False,
    "PatientName": True,
    "PatientID": True,
    "PatientBirthDate": True,
    "PatientSex": True,
    "StudyInstanceUID": True,
    "StudyID": True,
    "NumberOfStudyRelatedSeries": True,
    "NumberOfStudyRelatedInstances": True,
}
SERIES_RETURNED = {
    "Modality": True,
    "TimezoneOffsetFromUTC": False,
    "SeriesDescription": False,
    "RetrieveURL": False,
    "SeriesInstanceUID": True,
    "SeriesNumber": True,
    "NumberOfSeriesRelatedInstances": True,
    "PerformedProcedureStepStartDate": False,
    "PerformedProcedureStepStartTime": False,
    SEQUENCE: False,
}
INSTANCE_RETURNED = {
    "SOPClassUID": True,
    "SOPInstanceUID": True,
    "InstanceAvailability": False,
    "TimezoneOffsetFromUTC": False,
    "RetrieveURL": False,
    "InstanceNumber": True,
    "Rows": False,
    "Columns": False,
    "BitsAllocated": False,
    "NumberOfFrames": False,
}
# What includefield may add, and "all" adds.
STUDY_LEVEL = frozenset(
    {
        *(*STUDY_RETURNED, *STUDY_ATTRIBUTES, *STUDY_COLUMNS, *COMPUTED[Level.STUDY]),
        *("PatientID", "IssuerOfPatientID", "SOPClassesInStudy"),
    }
)
SERIES_LEVEL = frozenset({*SERIES_RETURNED, *SERIES_ATTRIBUTES} - {*IN_SEQUENCE})
INSTANCE_LEVEL = frozenset(
    {
        *(*INSTANCE_RETURNED, *INSTANCE_KEYS),
        *("ImagePositionPatient", "ImageOrientationPatient"),
    }
)
INCLUDABLE: dict[Found, frozenset[str]] = {
    Found.STUDIES: STUDY_LEVEL,
    Found.SERIES: STUDY_LEVEL | SERIES_LEVEL,
    Found.INSTANCES: STUDY_LEVEL | SERIES_LEVEL | INSTANCE_LEVEL,
}
OWN_LEVEL: dict[Found, frozenset[str]] = {
    Found.STUDIES: STUDY_LEVEL,
    Found.SERIES: SERIES_LEVEL,
    Found.INSTANCES: INSTANCE_LEVEL,
}


def keyword_of(attribute: str) -> str | None:
    """The keyword of an attribute written as keyword or 8 hexadecimal digits, with or without
    the path through Request Attributes Sequence (PS3.18 §8.3.4.1); None where we know none."""
    sequence, dot, inner = attribute.partition(".")
    if dot:
        if keyword_of(sequence) != SEQUENCE:
            return None
        keyword = keyword_of(inner)
        return keyword if keyword in IN_SEQUENCE else None
    if attribute in TAGS:
        return attribute
    return _KEYWORDS.get(attribute.upper()) if len(attribute) == 8 else None


def columns(
    found: Found, *, below_study: bool, below_series: bool, added: frozenset[str]
) -> tuple[Column, ...]:
    """The attributes of each match, in the order of their tags.

    Args:
        below_study, below_series: whether the path names one; its attributes are then not
            repeated (PS3.18 §10.6.3.3).
        added: keywords that the query matches or includes.
    """
    wanted: dict[str, bool] = {}
    if found is Found.STUDIES or not below_study:
        wanted |= STUDY_RETURNED
    if found is not Found.STUDIES and (found is Found.SERIES or not below_series):
        wanted |= SERIES_RETURNED
    if found is Found.INSTANCES:
        wanted |= INSTANCE_RETURNED
    # The unique keys of the path tell whose answer this is; every archive repeats them.
    if found is not Found.STUDIES:
        wanted["StudyInstanceUID"] = True
    if found is Found.INSTANCES:
        wanted["SeriesInstanceUID"] = True
    # What stands in the sequence comes with it.
    named = {SEQUENCE if keyword in IN_SEQUENCE else keyword for keyword in added}
    for keyword in named & INCLUDABLE[found]:
        wanted.setdefault(keyword, False)
    return tuple(
        sorted(Column(TAGS[keyword], keyword, needed) for keyword, needed in wanted.items())
    )
