"""What pydicom makes of a data set as JSON, put into the form the standard asks for.

pydicom's `to_json_dict` is the oracle for every value. Where PS3.18 Annex F says otherwise than
pydicom does, the difference is undone here, each with its clause.
"""

import base64
import io
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset

PIXELS = {"7FE00008", "7FE00009", "7FE00010"}
BULK_BYTES_MAX = 1024


def dataset_by_pydicom(data_set: bytes, transfer_syntax_uid: str) -> Dataset:
    """The data set, read behind a file meta group that names the transfer syntax alone."""
    uid = transfer_syntax_uid.encode() + b"\0" * (len(transfer_syntax_uid) % 2)
    meta = b"\x02\x00\x10\x00UI" + len(uid).to_bytes(2, "little") + uid
    return dcmread(io.BytesIO(bytes(128) + b"DICM" + meta + data_set))


def json_by_pydicom(data_set: bytes, transfer_syntax_uid: str) -> dict[str, Any]:
    """The DICOM JSON object; raises whatever pydicom raises."""
    return as_the_standard_says(dataset_by_pydicom(data_set, transfer_syntax_uid).to_json_dict())


def as_the_standard_says(found: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Bulk data as placeholders, and what pydicom does otherwise than Annex F undone."""
    result = {}
    for tag, element in found.items():
        if tag.endswith("0000"):
            continue  # §F.2.2: group lengths shall not be included
        result[tag] = _element(tag, element, path)
    return result


def _element(tag: str, element: dict[str, Any], path: str) -> dict[str, Any]:
    vr = element["vr"]
    if "BulkDataURI" in element:
        return {"vr": vr, "BulkDataURI": f"bulkdata/{path}{tag}"}
    if "InlineBinary" in element:
        raw = base64.b64decode(element["InlineBinary"])
        if len(raw) > BULK_BYTES_MAX or tag in PIXELS:
            return {"vr": vr, "BulkDataURI": f"bulkdata/{path}{tag}"}
        return element
    values = element.get("Value")
    if values is None:
        return element
    if vr == "SQ":
        values = [
            as_the_standard_says(item, f"{path}{tag}/{number}/")
            for number, item in enumerate(values, 1)
        ]
    elif vr == "PN":  # §F.2.2: the non-empty component groups
        values = [{name: text for name, text in each.items() if text} or None for each in values]
    else:  # §F.2.5: an empty value among others is null
        values = [None if each == "" else each for each in values]
    if values in ([], [None]):  # §F.2.5: an empty attribute has no Value
        return {"vr": vr}
    return {"vr": vr, "Value": values}
