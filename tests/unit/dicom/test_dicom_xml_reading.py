"""XML of the Native DICOM Model to elements: the standard's forms, and what is refused."""

from xml.etree import ElementTree

import pytest

from fileroom.dicom.json_reading import write_data_set
from fileroom.dicom.undefined_length import DEPTH_MAX
from fileroom.dicom.xml_reading import XmlError, native_elements

NAMESPACE = "http://dicom.nema.org/PS3.19/models/NativeDICOM"


def document(content: str, *, opening: str = "<NativeDicomModel>", before: str = "") -> bytes:
    return f"{before}{opening}{content}</NativeDicomModel>".encode()


def attribute(tag: str, vr: str, content: str = "", **named: str) -> str:
    more = "".join(f' {name}="{value}"' for name, value in named.items())
    return f'<DicomAttribute tag="{tag}" vr="{vr}"{more}>{content}</DicomAttribute>'


def values(*texts: str) -> str:
    return "".join(f'<Value number="{n}">{text}</Value>' for n, text in enumerate(texts, 1))


# PS3.18 §I.3, shortened: a document as the standard lays it out, lines in its values included.
EXAMPLE = b"""<?xml version="1.0" encoding="utf-8" ?>
<NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM"
 xsi:schemaLocation="http://dicom.nema.org/PS3.19/models/NativeDICOM"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xml:space="preserve">
  <DicomAttribute tag="00081199" vr="SQ" keyword="ReferencedSOPSequence">
    <Item number="1">
      <DicomAttribute tag="00081150" vr="UI" keyword="ReferencedSOPClassUID">
        <Value number="1">1.2.840.10008.5.1.4.1.1.2</Value>
      </DicomAttribute>
      <DicomAttribute tag="00081155" vr="UI" keyword="ReferencedSOPInstanceUID">
        <Value number="1">
        2.16.124.113543.6003.189642796.63084.16748.2599092905</Value>
      </DicomAttribute>
      <DicomAttribute tag="00081196" vr="US" keyword="WarningReason">
        <Value number="1">45056</Value>
      </DicomAttribute>
    </Item>
  </DicomAttribute>
</NativeDicomModel>
"""


def test_the_standards_example_is_read():
    assert native_elements(EXAMPLE) == {
        "00081199": {
            "vr": "SQ",
            "Value": [
                {
                    "00081150": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"]},
                    "00081155": {
                        "vr": "UI",
                        "Value": ["2.16.124.113543.6003.189642796.63084.16748.2599092905"],
                    },
                    "00081196": {"vr": "US", "Value": ["45056"]},
                }
            ],
        }
    }


@pytest.mark.parametrize(
    "opening, prefix",
    [
        ("<NativeDicomModel>", ""),
        (f'<NativeDicomModel xmlns="{NAMESPACE}" xml:space="preserve">', ""),
    ],
)
def test_a_namespace_may_be_named_or_not(opening, prefix):
    content = attribute("00080060", "CS", values("CT"))
    assert native_elements(document(content, opening=opening)) == {
        "00080060": {"vr": "CS", "Value": ["CT"]}
    }


def test_a_namespace_may_have_a_prefix():
    text = (
        f'<n:NativeDicomModel xmlns:n="{NAMESPACE}"><n:DicomAttribute tag="00080060" vr="CS">'
        '<n:Value number="1">CT</n:Value></n:DicomAttribute></n:NativeDicomModel>'
    )
    assert native_elements(text.encode()) == {"00080060": {"vr": "CS", "Value": ["CT"]}}


def test_values_are_kept_as_they_are_in_their_order():
    # PS3.19 Table A.1.5-2 gives the second: MPG\\XR3.
    content = attribute("00080008", "CS", values("MPG", "", "XR3"))
    content += attribute("00081030", "LO", values(" a &lt;b&gt; &#13;\n"))
    content += attribute("00080050", "SH")
    assert native_elements(document(content)) == {
        "00080008": {"vr": "CS", "Value": ["MPG", None, "XR3"]},
        "00081030": {"vr": "LO", "Value": [" a <b> \r\n"]},
        "00080050": {"vr": "SH"},
    }


def test_names_are_put_together_from_their_components():
    def group(name: str, *components: str) -> str:
        names = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
        inner = "".join(
            f"<{n}>{text}</{n}>" for n, text in zip(names, components, strict=False) if text
        )
        return f"<{name}>{inner}</{name}>"

    # PS3.5 §6.2.1.1: the standard's examples.
    adams = group("Alphabetic", "Adams", "John Robert Quincy", "", "Rev.", "B.A. M.Div.")
    yamada = group("Alphabetic", "Yamada", "Tarou") + group("Ideographic", "山田", "太郎")
    names = "".join(
        f'<PersonName number="{n}">{each}</PersonName>' for n, each in enumerate((adams, yamada), 1)
    )
    content = attribute("00081050", "PN", names + '<PersonName number="3"/>')
    assert native_elements(document(content))["00081050"]["Value"] == [
        {"Alphabetic": "Adams^John Robert Quincy^^Rev.^B.A. M.Div."},
        {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"},
        None,
    ]


def test_binary_values_are_inline_or_apart():
    content = attribute("00282000", "OB", "<InlineBinary>QUI=\n</InlineBinary>")
    content += attribute("7FE00010", "OW", '<BulkData uri="pixels/1"/>')
    content += attribute("00420011", "OB", '<BulkData uuid="c0ffee"/>')
    found = native_elements(document(content))
    assert found["7FE00010"] == {"vr": "OW", "BulkDataURI": "pixels/1"}
    assert found["00420011"] == {"vr": "OB", "BulkDataURI": "c0ffee"}
    written = write_data_set({"00282000": found["00282000"]})
    assert written.data == b"\x28\0\0\x20OB\0\0\2\0\0\0AB"


def test_private_elements_get_the_block_of_their_creator_or_a_free_one():
    content = attribute("00090010", "LO", values("TAKEN"))
    content += attribute("00090001", "LO", values("a"), privateCreator="TAKEN")
    content += attribute("000900FF", "LO", values("b"), privateCreator="NEW")
    content += attribute("00090002", "LO", values("c"), privateCreator="NEW")
    content += attribute("00110010", "SS", values("1"), privateCreator="OTHER")
    assert native_elements(document(content)) == {
        "00090010": {"vr": "LO", "Value": ["TAKEN"]},
        "00090011": {"vr": "LO", "Value": ["NEW"]},
        "00091001": {"vr": "LO", "Value": ["a"]},
        "000911FF": {"vr": "LO", "Value": ["b"]},
        "00091102": {"vr": "LO", "Value": ["c"]},
        "00110010": {"vr": "LO", "Value": ["OTHER"]},
        "00111010": {"vr": "SS", "Value": ["1"]},
    }


def test_a_private_element_without_its_creator_is_refused():
    """Its block is in no part of the document, so that it would be anybody's."""
    for content in (
        attribute("00090001", "LO", values("a")),
        attribute("00090010", "SS", values("1")),
    ):
        with pytest.raises(XmlError, match="creator"):
            native_elements(document(content))


@pytest.mark.parametrize("encoding", ["utf-8", "UTF-16", "iso-8859-1", "us-ascii"])
def test_an_encoding_that_every_reader_knows_is_taken(encoding):
    text = "Muller" if encoding == "us-ascii" else "Müller"
    content = attribute("00100020", "LO", values(text))
    xml = document(content, before=f'<?xml version="1.0" encoding="{encoding}"?>').decode()
    found = native_elements(xml.encode(encoding))
    assert found["00100020"]["Value"] == [text]


@pytest.mark.parametrize("encoding", ["zlib", "idna", "unicode_escape", "utf-7", "cp1252", "x"])
def test_no_codec_of_this_machine_is_chosen_by_a_document(encoding):
    before = f'<?xml version="1.0" encoding="{encoding}"?>'
    with pytest.raises(XmlError):
        native_elements(document("", before=before))


LAUGHS = (
    '<!DOCTYPE lolz [<!ENTITY a "lol">'
    + "".join(
        f'<!ENTITY {after} "{f"&{before};" * 10}">'
        for before, after in zip("abcdefghi", "bcdefghij", strict=True)
    )
    + "]>"
)


@pytest.mark.parametrize(
    "before, text",
    [
        (LAUGHS, "&j;"),
        ('<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>', "&e;"),
        ('<!DOCTYPE x [<!ENTITY % e SYSTEM "http://127.0.0.1/"> %e;]>', "x"),
        ('<!DOCTYPE NativeDicomModel SYSTEM "http://127.0.0.1/native.dtd">', "x"),
        ("<!DOCTYPE NativeDicomModel>", "x"),
        (f'<!DOCTYPE x [<!ENTITY q "{"x" * 100_000}">]>', "&q;" * 10_000),
    ],
    ids=["billion laughs", "file", "parameter entity", "external DTD", "empty DTD", "quadratic"],
)
def test_a_document_type_declaration_is_refused_at_once(before, text):
    xml = document(attribute("00081030", "LO", values(text)), before=before)
    with pytest.raises(XmlError, match="document type"):
        native_elements(xml)


def test_an_entity_of_nobody_is_refused():
    with pytest.raises(XmlError):
        native_elements(document(attribute("00081030", "LO", values("&nobody;"))))


def nested(depth: int) -> bytes:
    opening = '<DicomAttribute tag="00081140" vr="SQ"><Item number="1">' * depth
    return document(opening + "</Item></DicomAttribute>" * depth)


def test_sequences_are_nested_to_a_depth():
    assert write_data_set(native_elements(nested(DEPTH_MAX))).data
    with pytest.raises(XmlError, match="nested deeper"):
        native_elements(nested(DEPTH_MAX + 5))
    with pytest.raises(XmlError, match="nested deeper"):
        native_elements(b"<NativeDicomModel>" + nested(50_000)[18:])


@pytest.mark.parametrize(
    "xml",
    [
        *(b"", b"<", b"not XML", b"<NativeDicomModel>", b"<NativeDicomModel/>x", b"\xff\xfe\0"),
        *(b"<html/>", b"<Item/>", document("<Value/>"), document("<NativeDicomModel/>")),
        document("<DicomAttribute/>"),
        document('<DicomAttribute tag="00080060"/>'),
        document('<DicomAttribute vr="CS"/>'),
        document(attribute("0008006", "CS")),
        document(attribute("0x080060", "CS")),
        document(attribute("00080060", "CST")),
        document(attribute("00080060", "CS", "<Value>CT</Value>")),
        document(attribute("00080060", "CS", '<Value number="2">CT</Value>')),
        document(attribute("00080060", "CS", '<Value number="1000000000">CT</Value>')),
        document(attribute("00080060", "CS", '<Value number="1"><Value number="1"/></Value>')),
        document(attribute("00080060", "CS", "<Other/>")),
        document(attribute("00080060", "CS") * 2),
        document(attribute("00100010", "PN", '<PersonName number="1"><Name/></PersonName>')),
        *(b"<a " + b'x="1" ' * 10 + b"/>", document(attribute("00080060", "CS", "\0"))),
    ],
)
def test_what_is_not_of_the_model_is_refused(xml):
    with pytest.raises(XmlError) as raised:
        native_elements(xml)
    assert "CT" not in str(raised.value)


def test_a_megabyte_of_attributes_is_read():
    tags = (
        f"{group:04X}{number:04X}" for group in range(0x10, 0x20, 2) for number in range(1, 2000)
    )
    xml = document("".join(attribute(tag, "LO", values("x")) for tag in tags))
    assert len(xml) > 1_000_000
    assert len(native_elements(xml)) == 8 * 1999


def test_a_document_of_pythons_own_writer_is_read():
    root = ElementTree.Element("NativeDicomModel")
    element = ElementTree.SubElement(root, "DicomAttribute", tag="00081030", vr="LO")
    ElementTree.SubElement(element, "Value", number="1").text = "<&>\"'\t"
    assert native_elements(ElementTree.tostring(root)) == {
        "00081030": {"vr": "LO", "Value": ["<&>\"'\t"]}
    }
