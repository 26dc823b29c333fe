"""The DICOM JSON Model of a data set without its bulk data, PS3.18 Annex F. Pure.

Values are pydicom's (see json_value.py). Group lengths are left out (§F.2.2), and a sequence
without items has no Value (§F.2.5). Bulk data is a placeholder, relative to the instance:
`bulkdata/<tag path>`, which `dataset_index.bulk_range` resolves.

Nothing that was received fails: a sequence that cannot be read, that is nested too deeply or
that is too large is UN with its bytes, or with a placeholder for them; so is an element that the
data set ends in. An instance whose JSON is long already has placeholders for all that follows.
"""

from struct import Struct
from struct import error as StructError
from typing import Any, Final

from fileroom.dicom.charset import character_set
from fileroom.dicom.dataset_index import (
    ELEMENTS_MAX,
    DataSet,
    Read,
    Window,
    bulk_range,
    data_set_of,
    elements,
    open_data_set,
)
from fileroom.dicom.dictionary import vr_of_keyword
from fileroom.dicom.encoding import LITTLE, LONG_VRS, SHORT_VRS, Buffer, encoding_of
from fileroom.dicom.header_attributes import ATTRIBUTES, REQUEST_ATTRIBUTES
from fileroom.dicom.json_item import MEMO_ELEMENT_BYTES_MAX, ItemWriter, Memory
from fileroom.dicom.json_value import element_of_text

__all__ = ["JsonWriter", "bulk_range", "element", "instance_json"]

_HEADER_BYTES: Final = {
    **{int.from_bytes(vr, "little"): 8 for vr in SHORT_VRS},
    **{int.from_bytes(vr, "little"): 12 for vr in LONG_VRS},
}
_unpack_explicit: Final = Struct("<HHHH").unpack_from
_unpack_implicit: Final = Struct("<HHI").unpack_from
_unpack_length: Final = Struct("<8xI").unpack_from

# What study lists show; other keywords are looked up in the dictionary.
_VRS: Final = {
    **{attribute.keyword: attribute.vr for attribute in ATTRIBUTES.values()},
    **{attribute.keyword: attribute.vr for attribute in REQUEST_ATTRIBUTES.values()},
    "AvailableTransferSyntaxUID": "UI",
    "InstanceAvailability": "CS",
    "ModalitiesInStudy": "CS",
    "NumberOfSeriesRelatedInstances": "IS",
    "NumberOfStudyRelatedInstances": "IS",
    "NumberOfStudyRelatedSeries": "IS",
    "RetrieveAETitle": "AE",
    "RetrieveURL": "UR",
}


class JsonWriter:
    """Writes instances as JSON, and remembers elements it has seen.

    Most elements of a series are the same bytes in every instance: they cost one look-up of
    those bytes. Not for use from several threads at once. Memory: see `json_item.Memory`.
    """

    def __init__(self) -> None:
        self._memory = Memory()

    def instance(self, read: Read, size_bytes: int, transfer_syntax_uid: str) -> bytes:
        """The DICOM JSON object of a data set that is read by range.

        Args:
            read: gives bytes [start, end) of the data set as it was received; values that are
                left out of the JSON are not asked for.
        """
        return self._write(open_data_set(read, size_bytes, transfer_syntax_uid))

    def instance_json(self, dataset: Buffer, transfer_syntax_uid: str) -> bytes:
        """The DICOM JSON object of a data set that is all there."""
        encoding = encoding_of(transfer_syntax_uid)
        window = Window.over(dataset)
        if encoding.deflated:
            return self.instance(window.get, window.size_bytes, transfer_syntax_uid)
        return self._write(data_set_of(window, implicit=encoding.implicit, order=encoding.order))

    def _write(self, data_set: DataSet) -> bytes:
        writer = ItemWriter(
            data_set, self._memory, implicit=data_set.implicit, charset=character_set("")
        )
        window, order, implicit = data_set.window, data_set.order, data_set.implicit
        position = data_set.start
        for count in range(ELEMENTS_MAX + 2):
            if count == ELEMENTS_MAX:
                window.headers_left = 0  # the rest becomes one torn element
            if order is LITTLE:
                position = _recall(window, position, implicit, writer)
            element = next(
                elements(window, position, window.size_bytes, implicit=implicit, order=order), None
            )
            if element is None:
                break
            writer.add(element)
            position = element.end
        return writer.finish()


def _recall(window: Window, position: int, implicit: bool, writer: ItemWriter) -> int:
    """Take remembered elements from `position` on. Returns where the first unknown one begins."""
    index = start = window.at(position, 12)
    block, memo, fragments = window.block, writer.memo, writer.fragments
    try:
        while implicit:
            group, number, length = _unpack_implicit(block, index)
            if length > MEMO_ELEMENT_BYTES_MAX:
                break
            end = index + 8 + length
            fragments[group << 16 | number] = memo[block[index:end]]
            index = end
        while not implicit:
            group, number, vr, length = _unpack_explicit(block, index)
            header_bytes = _HEADER_BYTES[vr]
            if header_bytes == 12:
                (length,) = _unpack_length(block, index)
                if length > MEMO_ELEMENT_BYTES_MAX:
                    break
            end = index + header_bytes + length
            fragments[group << 16 | number] = memo[block[index:end]]
            index = end
    except (KeyError, StructError):
        pass  # not remembered, or at the end of the block
    return position + index - start


def instance_json(dataset: Buffer, transfer_syntax_uid: str) -> bytes:
    """The DICOM JSON object of one data set that is all there. See `JsonWriter` for many."""
    return JsonWriter().instance_json(dataset, transfer_syntax_uid)


def element(keyword: str, value: str) -> dict[str, Any]:
    """One element from the text of an attribute, as headers and the catalog keep it: several
    values joined by backslash, numbers as decimal text. Without a value if that is empty."""
    vr = _VRS.get(keyword) or vr_of_keyword(keyword)
    return element_of_text(vr if len(vr) == 2 else "UN" if not value else "LO", value)
