"""Which attributes a header keeps, and how their values become text. Pure."""

from functools import lru_cache
from typing import Final, NamedTuple

from fileroom.dicom.charset import ESCAPE, CharacterSet, character_set
from fileroom.dicom.encoding import (
    ITEM,
    ITEM_DELIMITATION,
    SEQUENCE_DELIMITATION,
    UNDEFINED,
    ByteOrder,
    element_header,
    looks_implicit,
)
from fileroom.dicom.instance_error import InstanceError
from fileroom.dicom.undefined_length import UndefinedLength

VALUE_BYTES_MAX: Final = 64 * 1024

SPECIFIC_CHARACTER_SET: Final = 0x00080005
REQUEST_ATTRIBUTES_SEQUENCE: Final = 0x00400275


class Attribute(NamedTuple):
    """One attribute of the top level: its keyword and its VR by PS3.6 §6."""

    keyword: str
    vr: str


# PS3.18 Table 10.6.1-5, what a study list shows, and what reading order and frames need.
ATTRIBUTES: Final = {
    SPECIFIC_CHARACTER_SET: Attribute("SpecificCharacterSet", "CS"),
    0x00080016: Attribute("SOPClassUID", "UI"),
    0x00080018: Attribute("SOPInstanceUID", "UI"),
    0x00080020: Attribute("StudyDate", "DA"),
    0x00080021: Attribute("SeriesDate", "DA"),
    0x00080022: Attribute("AcquisitionDate", "DA"),
    0x00080030: Attribute("StudyTime", "TM"),
    0x00080031: Attribute("SeriesTime", "TM"),
    0x00080050: Attribute("AccessionNumber", "SH"),
    0x00080060: Attribute("Modality", "CS"),
    0x00080080: Attribute("InstitutionName", "LO"),
    0x00080090: Attribute("ReferringPhysicianName", "PN"),
    0x00080201: Attribute("TimezoneOffsetFromUTC", "SH"),
    0x00081010: Attribute("StationName", "SH"),
    0x00081030: Attribute("StudyDescription", "LO"),
    0x0008103E: Attribute("SeriesDescription", "LO"),
    0x00100010: Attribute("PatientName", "PN"),
    0x00100020: Attribute("PatientID", "LO"),
    0x00100021: Attribute("IssuerOfPatientID", "LO"),
    0x00100030: Attribute("PatientBirthDate", "DA"),
    0x00100040: Attribute("PatientSex", "CS"),
    0x00180015: Attribute("BodyPartExamined", "CS"),
    0x0020000D: Attribute("StudyInstanceUID", "UI"),
    0x0020000E: Attribute("SeriesInstanceUID", "UI"),
    0x00200010: Attribute("StudyID", "SH"),
    0x00200011: Attribute("SeriesNumber", "IS"),
    0x00200013: Attribute("InstanceNumber", "IS"),
    0x00200032: Attribute("ImagePositionPatient", "DS"),
    0x00200037: Attribute("ImageOrientationPatient", "DS"),
    0x00280008: Attribute("NumberOfFrames", "IS"),
    0x00280010: Attribute("Rows", "US"),
    0x00280011: Attribute("Columns", "US"),
    0x00280100: Attribute("BitsAllocated", "US"),
    0x00400244: Attribute("PerformedProcedureStepStartDate", "DA"),
    0x00400245: Attribute("PerformedProcedureStepStartTime", "TM"),
}
# How many images there should be, kept while an instance arrives; nobody searches by it.
HINTS: Final = {
    0x00080008: Attribute("ImageType", "CS"),
    0x00200012: Attribute("AcquisitionNumber", "IS"),
    0x00201002: Attribute("ImagesInAcquisition", "IS"),
}
SCANNED: Final = {**ATTRIBUTES, **HINTS}
# In the items of REQUEST_ATTRIBUTES_SEQUENCE.
REQUEST_ATTRIBUTES: Final = {
    0x00400009: Attribute("ScheduledProcedureStepID", "SH"),
    0x00401001: Attribute("RequestedProcedureID", "SH"),
}
KEYWORDS: Final = frozenset(a.keyword for a in (*SCANNED.values(), *REQUEST_ATTRIBUTES.values()))

_CHARSET_TAGS: Final = frozenset(
    tag for tag, attribute in ATTRIBUTES.items() if attribute.vr in ("LO", "PN", "SH")
)
_KEYWORD_OF: Final = {tag: attribute.keyword for tag, attribute in SCANNED.items()}
_PADDING: Final = " \0"
_NUMBER_BYTES: Final = {b"US": 2, b"SS": 2, b"UL": 4, b"SL": 4, b"UV": 8, b"SV": 8}


def stripped(text: str) -> str:
    """`text` without padding around it or around any of its backslash-separated values; empty
    if all of them are."""
    if "\\" not in text:
        return text.strip(_PADDING)
    values = [value.strip(_PADDING) for value in text.split("\\")]
    return "\\".join(values) if any(values) else ""


def number_text(value: bytes, vr: bytes, order: ByteOrder) -> bytes:
    """A binary number of representation `vr` as decimal text; other representations as they
    are. A number of the wrong length is empty; without a VR it is a US."""
    width = _NUMBER_BYTES.get(vr, 2 if vr in (b"", b"UN") else 0)
    if not width:
        return value
    if len(value) < width:
        return b""
    number = int.from_bytes(
        value[:width], "little" if order.mark == "<" else "big", signed=vr in (b"SS", b"SL", b"SV")
    )
    return b"%d" % number


def attributes_of(found: dict[int, bytes]) -> dict[str, str]:
    """Keyword to text for the raw values of `SCANNED` in `found`; empty ones left out."""
    attributes: dict[str, str] = {}
    joined = b"".join(found.values())
    plain = joined.isascii() and ESCAPE not in joined  # nearly always
    charset = None if plain else header_character_set(found)
    for tag, value in found.items():
        if charset is None:
            text = value.decode("ascii")
        elif tag in _CHARSET_TAGS:
            text = charset.text(value)
        else:
            text = value.decode("latin-1")
        text = stripped(text) if "\\" in text else text.strip(_PADDING)
        if text:
            attributes[_KEYWORD_OF[tag]] = text
    return attributes


def header_character_set(found: dict[int, bytes]) -> CharacterSet:
    """The character set that the raw values name."""
    return character_set(found.get(SPECIFIC_CHARACTER_SET, b"").decode("latin-1").rstrip(_PADDING))


@lru_cache(maxsize=128)
def request_attributes(
    value: bytes, implicit: bool, order: ByteOrder, charset: CharacterSet
) -> tuple[tuple[str, str], ...]:
    """Keyword and text for the items of a Request Attributes Sequence, the items' values joined
    by backslash; an item without one has an empty value in its place.

    Args:
        value: the sequence's value, with or without its delimiter.

    Returns:
        What could be read; a malformed sequence loses the rest of its values, not the instance.
    """
    values: dict[str, list[str]] = {}
    offset = 0
    item_implicit = implicit
    item_begins = True
    item_count = 0
    while offset + 8 <= len(value):
        tag, vr, header_bytes, length = _header(value, offset, item_implicit, order)
        if tag in (ITEM, ITEM_DELIMITATION, SEQUENCE_DELIMITATION):
            offset += 8
            item_begins = tag == ITEM
            item_count += item_begins
            continue
        if item_begins and not implicit:
            item_implicit = looks_implicit(value, offset)
            item_begins = False
            continue
        item_begins = False
        offset += header_bytes
        if length == UNDEFINED:
            offset = _behind(value, offset, tag, vr, item_implicit, order)
            continue
        attribute = REQUEST_ATTRIBUTES.get(tag)
        if attribute and offset + length <= len(value):
            text = stripped(charset.text(value[offset : offset + length]))
            if text:
                told = values.setdefault(attribute.keyword, [])
                told += [""] * (item_count - 1 - len(told)) + [text]
        offset += length
    return tuple((keyword, "\\".join(texts)) for keyword, texts in values.items())


def _header(
    value: bytes, offset: int, implicit: bool, order: ByteOrder
) -> tuple[int, bytes, int, int]:
    group, element, length = order.implicit(value, offset)
    if group == 0xFFFE:
        return group << 16 | element, b"", 8, length
    header = element_header(value, offset, implicit, order)
    return header or (0, b"", len(value), 0)  # cut off: nothing follows


def _behind(
    value: bytes, offset: int, tag: int, vr: bytes, implicit: bool, order: ByteOrder
) -> int:
    """The offset behind a value of undefined length at `offset`; the end if it has none."""
    try:
        walk = UndefinedLength(tag, vr, implicit=implicit, order=order)
        end = walk.advance(value, offset)
    except InstanceError:
        return len(value)
    return end if walk.done else len(value)
