"""The Native DICOM Model of a data set as XML (PS3.19 §A.1), from its DICOM JSON. Pure.

Values are those of the JSON (json_value.py), number by number: a decimal string loses zeros that
say nothing, as it does there. A private element is named by its creator, and the block that it
reserved is 00 in its tag, as DCMTK and dcm4che write it. What XML 1.0 cannot hold, such as a form
feed in a text, becomes U+FFFD.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from fileroom.dicom.dictionary import creator_tag, is_private, keyword_of
from fileroom.errors import RefusedError

XML_BYTES_MAX: Final = 64 << 20  # a value of one digit takes two bytes of JSON and 40 of XML
NAMESPACE: Final = "http://dicom.nema.org/PS3.19/models/NativeDICOM"
_OPENING: Final = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    f'<NativeDicomModel xmlns="{NAMESPACE}" xml:space="preserve">'
)
_CLOSING: Final = "</NativeDicomModel>"
_NAME_COMPONENTS: Final = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")

# XML 1.0 §2.2: everything else is no character of a document, not even as a reference.
_NO_CHARACTER: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MARKUP: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
_MARKUP_IN_ATTRIBUTE: Final = str.maketrans(
    {"&": "&amp;", "<": "&lt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
)

Elements = Mapping[str, dict[str, Any]]
# Fractions keep the digits that the JSON has.
_decode: Final = msgspec.json.Decoder(dict[str, dict[str, Any]], float_hook=str).decode


class XmlTooLargeError(RefusedError):
    """The document would be over XML_BYTES_MAX; as JSON the same is far smaller."""


def native_model(dicom_json: bytes) -> bytes:
    """One XML document for one DICOM JSON object (PS3.18 §F.2). Raises XmlTooLargeError."""
    out = bytearray(_OPENING.encode("ascii"))
    for piece in _data_set(_decode(dicom_json)):
        out += piece.encode("utf-8")
        if len(out) > XML_BYTES_MAX:
            raise XmlTooLargeError(f"an instance is over {XML_BYTES_MAX} B in XML")
    out += _CLOSING.encode("ascii")
    return bytes(out)


def _data_set(elements: Elements) -> Iterator[str]:
    for key, element in elements.items():
        opening = f'<DicomAttribute {_names(key, elements)} vr="{element["vr"]}"'
        if len(element) == 1:
            yield f"{opening}/>"
            continue
        yield f"{opening}>"
        yield from _content(element)
        yield "</DicomAttribute>"


def _names(key: str, elements: Elements) -> str:
    tag = int(key, 16)
    if not is_private(tag):
        keyword = keyword_of(tag)
        return f'tag="{key}"' + (f' keyword="{keyword}"' if keyword else "")
    creator = _creator(tag, elements)
    if not creator:
        return f'tag="{key}"'
    written = _NO_CHARACTER.sub("\ufffd", creator).translate(_MARKUP_IN_ATTRIBUTE)
    return f'tag="{key[:4]}00{key[6:]}" privateCreator="{written}"'


def _creator(tag: int, elements: Elements) -> str:
    reserved = creator_tag(tag)
    values = elements.get(f"{reserved:08X}", {}).get("Value") if reserved is not None else None
    return values[0] if values and isinstance(values[0], str) else ""


def _content(element: Mapping[str, Any]) -> Iterator[str]:
    vr = element["vr"]
    if "BulkDataURI" in element:
        uri = str(element["BulkDataURI"]).translate(_MARKUP_IN_ATTRIBUTE)
        yield f'<BulkData uri="{uri}"/>'
    elif "InlineBinary" in element:
        yield f"<InlineBinary>{element['InlineBinary']}</InlineBinary>"
    for number, value in enumerate(element.get("Value", ()), 1):
        if vr == "SQ":
            yield f'<Item number="{number}">'
            yield from _data_set(value)
            yield "</Item>"
        elif vr == "PN":
            yield f'<PersonName number="{number}">{_name(value or {})}</PersonName>'
        elif value is None:
            yield f'<Value number="{number}"/>'
        else:
            text = str(value)
            if vr == "DS":
                text = text.removesuffix(".0")  # which only JSON's reader needs
            yield f'<Value number="{number}">{_text(text)}</Value>'


def _name(groups: Mapping[str, str]) -> str:
    written = []
    for group, text in groups.items():
        components = zip(_NAME_COMPONENTS, text.split("^", 4), strict=False)
        inner = "".join(f"<{name}>{_text(each)}</{name}>" for name, each in components if each)
        if inner:
            written.append(f"<{group}>{inner}</{group}>")
    return "".join(written)


def _text(text: str) -> str:
    return _NO_CHARACTER.sub("\ufffd", text).translate(_MARKUP)
