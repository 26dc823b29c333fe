"""The elements of an instance from XML in the Native DICOM Model (PS3.19 §A.1), as its DICOM JSON
has them. Pure.

The counterpart of xml_model.py. A document type declaration is refused, and with it every entity
of somebody's own, inside or outside the document; nesting is bounded.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from xml.parsers import expat

from fileroom.dicom.dictionary import is_private
from fileroom.dicom.instance_error import InstanceError
from fileroom.dicom.json_value import NAME_GROUPS
from fileroom.dicom.undefined_length import DEPTH_MAX

# A sequence is an attribute and an item; what is deepest is the component of a name.
XML_DEPTH_MAX: Final = 2 * DEPTH_MAX + 5
# What expat reads by itself. Others would be whatever codec of this machine has that name.
_ENCODINGS: Final = frozenset({"utf-8", "utf-16", "us-ascii", "iso-8859-1"})
_NAME_COMPONENTS: Final = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
_DATA_SETS: Final = frozenset({"NativeDicomModel", "Item"})
_CONTENTS: Final = frozenset({"Value", "PersonName", "Item", "InlineBinary", "BulkData"})
# What may stand in what (PS3.19 Table A.1.5-2).
_CHILDREN: Final[Mapping[str, frozenset[str]]] = {
    "": frozenset({"NativeDicomModel"}),
    "NativeDicomModel": frozenset({"DicomAttribute"}),
    "Item": frozenset({"DicomAttribute"}),
    "DicomAttribute": _CONTENTS,
    "PersonName": frozenset(NAME_GROUPS),
    **dict.fromkeys(NAME_GROUPS, frozenset(_NAME_COMPONENTS)),
}
# Blanks and line ends mean something in these.
_PRESERVED: Final = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
_BLANKS: Final = " \t\r\n"
_TAG: Final = re.compile("[0-9A-Fa-f]{8}")
_BLOCKS: Final = range(0x10, 0x100)  # PS3.5 §7.8.1

Attribute = dict[str, Any]


class XmlError(InstanceError):
    """The document is not XML, or not of the Native DICOM Model."""


def native_elements(document: bytes) -> dict[str, Attribute]:
    """The elements of one XML document by their tags (PS3.18 §F.2).

    Private elements get the block that their creator has in the document, or else the first that
    is free (PS3.5 §7.8.1), and their creator an element of its own.

    Raises:
        XmlError: it is none, has a document type declaration, or is nested too deeply.
    """
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.XmlDeclHandler = _declared
    parser.StartDoctypeDeclHandler = _refuse_document_type
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(document, True)
    except expat.ExpatError as error:
        raise XmlError(f"no XML: error {error.code} in line {error.lineno}") from error
    return reader.elements


def _declared(version: str, encoding: str | None, standalone: int) -> None:
    if encoding is not None and encoding.lower() not in _ENCODINGS:
        raise XmlError("XML in an encoding that is not UTF-8, UTF-16 or ISO-8859-1")


def _refuse_document_type(*_: object) -> None:
    raise XmlError("XML with a document type declaration")


class _DataSet:
    """The attributes of the instance or of one item, until it ends."""

    def __init__(self) -> None:
        self.attributes: list[tuple[str, str, Attribute]] = []  # tag, private creator, element

    def elements(self) -> dict[str, Attribute]:
        found: dict[str, Attribute] = {}
        for tag, creator, element in self.attributes:
            if not creator:
                _refuse_without_creator(tag, element)
                _put(found, tag, element)
        blocks = _Blocks(found)
        for tag, creator, element in self.attributes:
            if creator:
                _put(found, blocks.placed(tag, creator), element)
        return found


class _Blocks:
    """Which private creator has which block of which group."""

    def __init__(self, found: dict[str, Attribute]) -> None:
        self._found = found
        self._blocks: dict[tuple[str, str], int] = {}
        for tag, element in found.items():
            number = int(tag[4:], 16)
            values = element.get("Value")
            if is_private(int(tag, 16)) and number in _BLOCKS and values:
                self._blocks.setdefault((tag[:4], str(values[0]).rstrip()), number)

    def placed(self, tag: str, creator: str) -> str:
        """The tag of a private element that is named by its creator."""
        if int(tag[4:], 16) >= _BLOCKS.start << 8:
            return tag  # against the model its block is there already
        group, key = tag[:4], (tag[:4], creator.rstrip())
        block = self._blocks.get(key)
        if block is None:
            free = (each for each in _BLOCKS if f"{group}{each:04X}" not in self._found)
            block = self._blocks[key] = next(free, 0)
            if not block:
                raise XmlError("more private creators than a group has blocks")
            self._found[f"{group}{block:04X}"] = {"vr": "LO", "Value": [creator]}
        return f"{group}{block:02X}{tag[6:]}"


def _refuse_without_creator(tag: str, element: Attribute) -> None:
    """Its block is not in the model: without its creator a private element is anybody's."""
    number = int(tag[4:], 16)
    is_creator = number in _BLOCKS and element["vr"] in ("LO", "UN")
    if is_private(int(tag, 16)) and number < _BLOCKS.start << 8 and not is_creator:
        raise XmlError("a private element without its creator", tag=int(tag, 16))


def _put(found: dict[str, Attribute], tag: str, element: Attribute) -> None:
    if tag in found:
        raise XmlError("an element stands there twice", tag=int(tag, 16))
    found[tag] = element


class _Reader:
    """Takes expat's events.

    Attributes:
        elements: of the document, once it has ended.
    """

    def __init__(self) -> None:
        self.elements: dict[str, Attribute] = {}
        self._open: list[str] = [""]
        self._data_sets: list[_DataSet] = []
        self._attributes: list[Attribute] = []
        self._name: dict[str, str] = {}
        self._components: dict[str, str] = {}
        self._text: list[str] = []
        self._ends: dict[str, Callable[[], None]] = {
            "NativeDicomModel": self._end_document,
            "Item": self._end_item,
            "DicomAttribute": self._end_attribute,
            "Value": self._end_value,
            "PersonName": self._end_name,
            "InlineBinary": self._end_binary,
        }

    def start(self, name: str, named: dict[str, str]) -> None:
        local = name.rpartition(":")[2]
        if local not in _CHILDREN.get(self._open[-1], ()):
            raise XmlError("XML that is not of the Native DICOM Model")
        if len(self._open) > XML_DEPTH_MAX:
            raise XmlError(f"XML is nested deeper than {XML_DEPTH_MAX}")
        self._open.append(local)
        self._text.clear()
        if local in _DATA_SETS:
            self._data_sets.append(_DataSet())
        elif local == "DicomAttribute":
            self._begin_attribute(named)
        elif local == "BulkData":
            uri = named.get("uri") or named.get("uuid") or ""
            self._attributes[-1]["BulkDataURI"] = uri
        elif local == "PersonName":
            self._name = {}
        elif local in NAME_GROUPS:
            self._components = {}
        if local in ("Value", "PersonName", "Item"):
            self._number(named)

    def text(self, data: str) -> None:
        self._text.append(data)

    def end(self, name: str) -> None:
        local = self._open.pop()
        if local in _NAME_COMPONENTS:
            self._components[local] = self._taken()
        elif local in NAME_GROUPS:
            components = [self._components.get(each, "") for each in _NAME_COMPONENTS]
            self._name[local] = "^".join(components).rstrip("^")
        elif local in self._ends:
            self._ends[local]()
        self._text.clear()

    def _taken(self) -> str:
        return "".join(self._text)

    def _begin_attribute(self, named: dict[str, str]) -> None:
        tag, vr = named.get("tag", ""), named.get("vr", "")
        if not _TAG.fullmatch(tag) or len(vr) != 2:
            raise XmlError("a DicomAttribute without a tag or a VR")
        element: Attribute = {"vr": vr}
        self._data_sets[-1].attributes.append(
            (tag.upper(), named.get("privateCreator", ""), element)
        )
        self._attributes.append(element)

    def _number(self, named: dict[str, str]) -> None:
        """Values and items are numbered from 1 by 1; a place is kept for this one."""
        values = self._attributes[-1].setdefault("Value", [])
        values.append(None)
        if named.get("number", "").strip(_BLANKS) != str(len(values)):
            raise XmlError("values that are not numbered from 1 by 1")

    def _end_document(self) -> None:
        self.elements = self._data_sets.pop().elements()

    def _end_item(self) -> None:
        self._attributes[-1]["Value"][-1] = self._data_sets.pop().elements()

    def _end_attribute(self) -> None:
        self._attributes.pop()

    def _end_value(self) -> None:
        attribute = self._attributes[-1]
        text = self._taken()
        if attribute["vr"] not in _PRESERVED and text.strip(" ") != text.strip(_BLANKS):
            text = text.strip(_BLANKS)  # its lines are the layout of the document
        attribute["Value"][-1] = text or None

    def _end_name(self) -> None:
        self._attributes[-1]["Value"][-1] = self._name or None

    def _end_binary(self) -> None:
        self._attributes[-1]["InlineBinary"] = self._taken()
