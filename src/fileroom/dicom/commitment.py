"""What is asked and told about storage commitment: PS3.4 Tables J.3-1 and J.3-2 as bytes. Pure."""

from collections.abc import Iterator, Sequence
from enum import IntEnum
from struct import pack
from typing import Final, NamedTuple

from fileroom.dicom.dataset_index import (
    DataSet,
    Element,
    Item,
    Window,
    data_set_of,
    elements,
    items,
)
from fileroom.dicom.encoding import (
    ITEM,
    SEQUENCE_DELIMITATION,
    UNDEFINED,
    Buffer,
    encoding_of,
)
from fileroom.dicom.instance_error import InstanceError
from fileroom.dicom.uid import is_safe
from fileroom.errors import RefusedError

REFERENCES_MAX: Final = 200_000
PIECE_BYTES: Final = 64 * 1024  # of a result, about

RETRIEVE_AE_TITLE: Final = 0x00080054
REFERENCED_SOP_CLASS_UID: Final = 0x00081150
REFERENCED_SOP_INSTANCE_UID: Final = 0x00081155
TRANSACTION_UID: Final = 0x00081195
FAILURE_REASON: Final = 0x00081197
FAILED_SOP_SEQUENCE: Final = 0x00081198
REFERENCED_SOP_SEQUENCE: Final = 0x00081199


class FailureReason(IntEnum):
    """Why there is no commitment to an instance (PS3.3 §C.14.1.1)."""

    PROCESSING_FAILURE = 0x0110
    NO_SUCH_OBJECT_INSTANCE = 0x0112
    CLASS_INSTANCE_CONFLICT = 0x0119


class TooManyReferencesError(RefusedError):
    """More instances are referenced than are taken in one request."""


class Reference(NamedTuple):
    """One instance that is to be committed to."""

    sop_class_uid: str
    sop_instance_uid: str


class Request(NamedTuple):
    """The Action Information of a request (PS3.4 Table J.3-1).

    Attributes:
        references: each once, in order.
    """

    transaction_uid: str
    references: tuple[Reference, ...]


class Result(NamedTuple):
    """The Event Information of a result (PS3.4 Table J.3-2).

    Attributes:
        reasons: for each of `references`, why it failed, or None.
        retrieve_ae_title: where those that did not fail can be retrieved.
    """

    transaction_uid: str
    references: Sequence[Reference]
    reasons: Sequence[FailureReason | None]
    retrieve_ae_title: str

    @property
    def event_type_id(self) -> int:
        """1: all succeeded; 2: failures exist (PS3.4 §J.3.3.1)."""
        return 2 if self.failures else 1

    @property
    def failures(self) -> int:
        return len(self.reasons) - self.reasons.count(None)

    def data_set(self, transfer_syntax_uid: str) -> Iterator[bytes]:
        """The data set in pieces, in a transfer syntax without compression."""
        writer = _Writer(transfer_syntax_uid)
        told = list(zip(self.references, self.reasons, strict=True))
        if self.failures < len(told):
            yield writer.text(RETRIEVE_AE_TITLE, b"AE", self.retrieve_ae_title)
        yield writer.text(TRANSACTION_UID, b"UI", self.transaction_uid)
        failed = (
            writer.reference(each) + writer.number(FAILURE_REASON, reason)
            for each, reason in told
            if reason is not None
        )
        succeeded = (writer.reference(each) for each, reason in told if reason is None)
        if self.failures:
            yield from writer.sequence(FAILED_SOP_SEQUENCE, failed)
        if self.failures < len(told):
            yield from writer.sequence(REFERENCED_SOP_SEQUENCE, succeeded)


def read_request(data: bytes, transfer_syntax_uid: str) -> Request:
    """Read the data set of a request. What else stands in it, a file-set for one, is passed over.

    Raises:
        InstanceError: it does not say what it must, or cannot be walked.
        TooManyReferencesError: over 200,000 references.
    """
    encoding = encoding_of(transfer_syntax_uid)
    data_set = data_set_of(Window.over(data), implicit=encoding.implicit, order=encoding.order)
    transaction_uid, sequence = "", None
    for element in data_set.elements():
        _require_whole(element)
        if element.tag == TRANSACTION_UID:
            transaction_uid = _uid(data_set.window, element)
        elif element.tag == REFERENCED_SOP_SEQUENCE:
            sequence = element
    if not transaction_uid:
        raise InstanceError("there is no Transaction UID", tag=TRANSACTION_UID)
    references = set[Reference]()
    if sequence is not None:
        for count, reference in enumerate(_references(data_set, sequence), 1):
            if count > REFERENCES_MAX:
                raise TooManyReferencesError(f"over {REFERENCES_MAX} references in one request")
            references.add(reference)
    if not references:
        raise InstanceError("no instance is referenced", tag=REFERENCED_SOP_SEQUENCE)
    return Request(transaction_uid, tuple(sorted(references)))


def _references(data_set: DataSet, sequence: Element) -> Iterator[Reference]:
    window, order = data_set.window, data_set.order
    classes: dict[str, str] = {}  # one text for each class, however often it is named
    for item in items(
        window,
        sequence.value_start,
        sequence.value_end,
        implicit=data_set.implicit,
        order=order,
    ):
        found = _reference(data_set, item)
        yield found._replace(sop_class_uid=classes.setdefault(found.sop_class_uid, found[0]))


def _reference(data_set: DataSet, item: Item) -> Reference:
    found = {REFERENCED_SOP_CLASS_UID: "", REFERENCED_SOP_INSTANCE_UID: ""}
    for element in elements(
        data_set.window, item.start, item.end, implicit=item.implicit, order=data_set.order
    ):
        _require_whole(element)
        if element.tag in found:
            found[element.tag] = _uid(data_set.window, element)
    for tag, uid in found.items():
        if not uid:
            raise InstanceError("a reference lacks a UID", tag=tag, offset=item.start)
    return Reference(*found.values())


def _require_whole(element: Element) -> None:
    if element.torn:
        raise InstanceError("the data set ends inside an element", tag=element.tag)


def _uid(window: Window, element: Element) -> str:
    text = window.get(element.value_start, min(element.value_end, element.value_start + 128))
    uid = text.decode("latin-1").rstrip("\0 ")
    if not is_safe(uid):
        raise InstanceError(f"a value of {len(uid)} characters is no UID", tag=element.tag)
    return uid


class _Writer:
    """Elements in one encoding. Sequences have undefined length, their items have their own."""

    def __init__(self, transfer_syntax_uid: str) -> None:
        encoding = encoding_of(transfer_syntax_uid)
        self._implicit = encoding.implicit
        self._mark = encoding.order.mark

    def text(self, tag: int, vr: bytes, text: str) -> bytes:
        value = text.encode("ascii")
        return self._element(tag, vr, value + (b"\0" if vr == b"UI" else b" ") * (len(value) % 2))

    def number(self, tag: int, number: int) -> bytes:
        return self._element(tag, b"US", pack(self._mark + "H", number))

    def reference(self, reference: Reference) -> bytes:
        return self.text(REFERENCED_SOP_CLASS_UID, b"UI", reference.sop_class_uid) + self.text(
            REFERENCED_SOP_INSTANCE_UID, b"UI", reference.sop_instance_uid
        )

    def sequence(self, tag: int, contents: Iterator[bytes]) -> Iterator[bytes]:
        if self._implicit:
            piece = bytearray(self._delimiter(tag, UNDEFINED))
        else:
            head = pack(self._mark + "HH2sHI", tag >> 16, tag & 0xFFFF, b"SQ", 0, UNDEFINED)
            piece = bytearray(head)
        for content in contents:
            piece += self._delimiter(ITEM, len(content)) + content
            if len(piece) >= PIECE_BYTES:
                yield bytes(piece)
                piece.clear()
        yield bytes(piece + self._delimiter(SEQUENCE_DELIMITATION, 0))

    def _delimiter(self, tag: int, length: int) -> bytes:
        return pack(self._mark + "HHI", tag >> 16, tag & 0xFFFF, length)

    def _element(self, tag: int, vr: bytes, value: Buffer) -> bytes:
        if self._implicit:
            return self._delimiter(tag, len(value)) + value
        return pack(self._mark + "HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value
