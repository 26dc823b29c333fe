"""Rejection notes: Key Object Selections that take instances away. Pure.

Sources: PS3.3 §A.35.4 (Key Object Selection Document IOD), §C.17.6.2 (Key Object Document Module),
PS3.16 CID 7010 (Key Object Selection Document Title), IHE RAD TF-3 §4.66 (Rejection Note Stored).
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from fileroom.dicom.dataset_index import (
    DataSet,
    Element,
    Read,
    elements,
    items,
    open_data_set,
)
from fileroom.dicom.instance_error import InstanceError
from fileroom.dicom.uid import is_safe
from fileroom.errors import RefusedError

KEY_OBJECT_SELECTION: Final = "1.2.840.10008.5.1.4.1.1.88.59"
REFERENCES_MAX: Final = 100_000
VALUE_BYTES_MAX: Final = 128

REASONS: Final = {
    "113001": "Rejected for Quality Reasons",
    "113037": "Rejected for Patient Safety Reasons",
    "113038": "Incorrect Modality Worklist Entry",
    "113039": "Data Retention Policy Expired",
}
"""Code value of the DCM scheme to its meaning."""
SCHEME: Final = "DCM"

CODE_VALUE: Final = 0x00080100
CODING_SCHEME_DESIGNATOR: Final = 0x00080102
REFERENCED_SERIES_SEQUENCE: Final = 0x00081115
REFERENCED_SOP_INSTANCE_UID: Final = 0x00081155
REFERENCED_SOP_SEQUENCE: Final = 0x00081199
STUDY_INSTANCE_UID: Final = 0x0020000D
SERIES_INSTANCE_UID: Final = 0x0020000E
CONCEPT_NAME_CODE_SEQUENCE: Final = 0x0040A043
EVIDENCE_SEQUENCE: Final = 0x0040A375  # Current Requested Procedure Evidence Sequence

Part = tuple[int, int, bool]  # a data set that lies in another: start, end, whether implicit


class TooManyReferencesError(RefusedError):
    """More instances are referenced than one note may take away."""


class Note(NamedTuple):
    """A rejection note.

    Attributes:
        code: of the document title, a key of REASONS.
        references: SOP Instance UIDs by Study and Series Instance UID, each once, in order.
    """

    code: str
    references: dict[tuple[str, str], tuple[str, ...]]


def read_note(read: Read, size_bytes: int, transfer_syntax_uid: str) -> Note | None:
    """Read a Key Object Selection; None: its title is another, and it rejects nothing.

    What it references is what its evidence sequence lists, which names the study and the series
    of everything in its content (PS3.3 §C.17.6.2.1).

    Raises:
        InstanceError: it does not say what it must, or cannot be walked.
        TooManyReferencesError: over 100,000 references.
    """
    data_set = open_data_set(read, size_bytes, transfer_syntax_uid)
    code, evidence = "", None
    for element in data_set.elements():
        _require_whole(element)
        if element.tag == CONCEPT_NAME_CODE_SEQUENCE:
            code = _title(data_set, element)
        elif element.tag == EVIDENCE_SEQUENCE:
            evidence = element
    if code not in REASONS:
        return None
    found: dict[tuple[str, str], set[str]] = {}
    references = _references(data_set, evidence) if evidence else iter(())
    for count, (study, series, instance) in enumerate(references, 1):
        if count > REFERENCES_MAX:
            raise TooManyReferencesError(f"over {REFERENCES_MAX} references in one note")
        found.setdefault((study, series), set()).add(instance)
    if not found:
        raise InstanceError("no instance is referenced", tag=EVIDENCE_SEQUENCE)
    return Note(code, {series: tuple(sorted(uids)) for series, uids in sorted(found.items())})


def _title(data_set: DataSet, sequence: Element) -> str:
    """The code of a document title, if it is of the scheme DCM."""
    for part in _items(data_set, sequence, implicit=data_set.implicit):
        values = {CODE_VALUE: "", CODING_SCHEME_DESIGNATOR: ""}
        for element in _elements(data_set, part):
            if element.tag in values:
                values[element.tag] = _text(data_set, element)
        if values[CODING_SCHEME_DESIGNATOR] == SCHEME:
            return values[CODE_VALUE]
    return ""


def _references(data_set: DataSet, evidence: Element) -> Iterator[tuple[str, str, str]]:
    """Study, Series and SOP Instance UID of each instance in the evidence sequence."""
    for of_study in _items(data_set, evidence, implicit=data_set.implicit):
        study, sequences = _uid_and_sequences(
            data_set, of_study, STUDY_INSTANCE_UID, REFERENCED_SERIES_SEQUENCE
        )
        for sequence in sequences:
            for of_series in _items(data_set, sequence, implicit=of_study[2]):
                series, inner = _uid_and_sequences(
                    data_set, of_series, SERIES_INSTANCE_UID, REFERENCED_SOP_SEQUENCE
                )
                for each in inner:
                    for part in _items(data_set, each, implicit=of_series[2]):
                        instance, _ = _uid_and_sequences(
                            data_set, part, REFERENCED_SOP_INSTANCE_UID, 0
                        )
                        yield study, series, instance


def _uid_and_sequences(
    data_set: DataSet, part: Part, uid_tag: int, sequence_tag: int
) -> tuple[str, list[Element]]:
    uid, sequences = "", []
    for element in _elements(data_set, part):
        if element.tag == uid_tag:
            uid = _text(data_set, element)
        elif element.tag == sequence_tag:
            sequences.append(element)
    if not is_safe(uid):
        raise InstanceError(f"a value of {len(uid)} characters is no UID", tag=uid_tag)
    return uid, sequences


def _items(data_set: DataSet, sequence: Element, *, implicit: bool) -> Iterator[Part]:
    for item in items(
        data_set.window,
        sequence.value_start,
        sequence.value_end,
        implicit=implicit,
        order=data_set.order,
    ):
        yield item.start, item.end, item.implicit


def _elements(data_set: DataSet, part: Part) -> Iterator[Element]:
    start, end, implicit = part
    for element in elements(data_set.window, start, end, implicit=implicit, order=data_set.order):
        _require_whole(element)
        yield element


def _require_whole(element: Element) -> None:
    if element.torn:
        raise InstanceError("the data set ends inside an element", tag=element.tag)


def _text(data_set: DataSet, element: Element) -> str:
    end = min(element.value_end, element.value_start + VALUE_BYTES_MAX)
    return data_set.window.get(element.value_start, end).decode("latin-1").strip("\0 ")
