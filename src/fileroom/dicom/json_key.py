"""Elements of the DICOM JSON Model as keys of an identifier, PS3.18 §F.2. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from fileroom.dicom.identifier import Identifier, Key
from fileroom.dicom.json_value import NAME_GROUPS

DECIMAL_STRING_LENGTH_MAX: Final = 16  # PS3.5 §6.2


def key_of(element: Mapping[str, Any]) -> Key:
    """One element; where its bytes are no text, it has no value that can be told."""
    vr = str(element.get("vr", "UN"))
    values = element.get("Value")
    if values is None:
        has_bytes = "InlineBinary" in element or "BulkDataURI" in element
        return Key(vr, None if has_bytes else () if vr == "SQ" else "")
    if vr == "SQ":
        return Key(vr, tuple(item_of(each) for each in values))
    return Key(vr, "\\".join(_text(vr, each) for each in values))


def item_of(data_set: Mapping[str, Any]) -> Identifier:
    """A data set or item by tag."""
    return {int(tag, 16): key_of(element) for tag, element in data_set.items()}


def _text(vr: str, value: Any) -> str:
    if value is None:
        return ""
    if vr == "PN":
        return "=".join(str(value.get(group, "")) for group in NAME_GROUPS).rstrip("=")
    if vr == "DS" and isinstance(value, float):
        return _decimal_string(value)
    return str(value)


def _decimal_string(number: float) -> str:
    """The number, as precise as a DS can say it."""
    text = repr(number)
    digits = DECIMAL_STRING_LENGTH_MAX
    while len(text) > DECIMAL_STRING_LENGTH_MAX:
        text = f"{number:.{digits}g}"
        digits -= 1
    return text.removesuffix(".0")
