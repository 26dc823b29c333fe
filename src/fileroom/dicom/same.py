"""Whether two data sets are one instance: equal elements, however they are written. Pure."""

from io import BytesIO
from typing import TYPE_CHECKING

from fileroom.dicom.part10 import write_header

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

TRAILING_PADDING = 0xFFFCFFFC  # PS3.10 §7.2: its content has no significance
UNCOMPRESSED = frozenset(
    {
        "1.2.840.10008.1.2",
        "1.2.840.10008.1.2.1",
        "1.2.840.10008.1.2.1.99",
        "1.2.840.10008.1.2.2",
    }
)


def same_elements(
    one: bytes, one_transfer_syntax_uid: str, other: bytes, other_transfer_syntax_uid: str
) -> bool:
    """Whether two data sets hold the same elements.

    Compared are two in one transfer syntax, or in two uncompressed ones. Group lengths (PS3.5
    §7.2) and trailing padding, which senders drop on the way, are no content. False wherever it
    cannot be shown, since keeping an instance twice loses nothing and dropping one could.
    """
    syntaxes = {one_transfer_syntax_uid, other_transfer_syntax_uid}
    if len(syntaxes) > 1 and not syntaxes <= UNCOMPRESSED:
        return False
    try:
        return _read(one, one_transfer_syntax_uid) == _read(other, other_transfer_syntax_uid)
    except Exception:  # noqa: BLE001 - pydicom raises whatever a damaged value makes it raise
        return False


def differing_tags(
    one: bytes, one_transfer_syntax_uid: str, other: bytes, other_transfer_syntax_uid: str
) -> tuple[str, ...] | None:
    """Tags of the elements that two data sets do not have alike, as eight hexadecimal digits, in
    order; of what lies in sequences that of the outermost. None: they cannot be compared."""
    try:
        first = _read(one, one_transfer_syntax_uid)
        second = _read(other, other_transfer_syntax_uid)
        tags = sorted({*first.keys(), *second.keys()})
        return tuple(f"{tag:08X}" for tag in tags if first.get(tag) != second.get(tag))
    except Exception:  # noqa: BLE001 - as above
        return None


def _read(data: bytes, transfer_syntax_uid: str) -> "Dataset":
    # Imported when it is first needed: it takes half a second and 30 MB.
    from pydicom import dcmread
    from pydicom.dataset import Dataset

    head = write_header("1.2.3", "1.2.3", transfer_syntax_uid, source_ae_title=None)
    found = Dataset(dcmread(BytesIO(head + data)))
    _drop_layout(found)
    return found


def _drop_layout(found: "Dataset") -> None:
    """Leave what the data set says, and nothing of how it is written."""
    for element in list(found):  # which also decodes each, so that values are compared, not bytes
        if element.tag.element == 0 or element.tag == TRAILING_PADDING:
            del found[element.tag]
        elif element.VR == "SQ":
            for item in element.value:
                _drop_layout(item)
