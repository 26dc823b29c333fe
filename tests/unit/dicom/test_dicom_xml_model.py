"""The Native DICOM Model, typed from PS3.19 §A.1.5 and its schema in §A.1.6."""

import json
import xml.etree.ElementTree as ET

import pytest

from fileroom.dicom import xml_model
from fileroom.dicom.xml_model import XmlTooLargeError, native_model

OPENING = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n'
    b'<NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM"'
    b' xml:space="preserve">'
)
CLOSING = b"</NativeDicomModel>"


def written(elements: dict) -> str:
    document = native_model(json.dumps(elements).encode())
    assert document.startswith(OPENING)
    assert document.endswith(CLOSING)
    ET.fromstring(document)
    return document.removeprefix(OPENING).removesuffix(CLOSING).decode()


@pytest.mark.parametrize(
    "tag, element, expected",
    [
        (
            "00080008",
            {"vr": "CS", "Value": ["ORIGINAL", None, "AXIAL"]},
            '<DicomAttribute tag="00080008" keyword="ImageType" vr="CS">'
            '<Value number="1">ORIGINAL</Value><Value number="2"/><Value number="3">AXIAL</Value>'
            "</DicomAttribute>",
        ),
        (
            "00080050",
            {"vr": "SH"},
            '<DicomAttribute tag="00080050" keyword="AccessionNumber" vr="SH"/>',
        ),
        (
            "00100010",
            {
                "vr": "PN",
                "Value": [
                    {"Alphabetic": "Yamada^Tarou^^Dr^MD", "Ideographic": "山田^太郎"},
                    None,
                    {"Phonetic": "^^^^"},
                ],
            },
            '<DicomAttribute tag="00100010" keyword="PatientName" vr="PN">'
            '<PersonName number="1"><Alphabetic><FamilyName>Yamada</FamilyName>'
            "<GivenName>Tarou</GivenName><NamePrefix>Dr</NamePrefix><NameSuffix>MD</NameSuffix>"
            "</Alphabetic><Ideographic><FamilyName>山田</FamilyName><GivenName>太郎</GivenName>"
            '</Ideographic></PersonName><PersonName number="2"></PersonName>'
            '<PersonName number="3"></PersonName></DicomAttribute>',
        ),
        (
            "00280030",
            {"vr": "DS", "Value": [0.661468, 1.0, 10.0]},
            '<DicomAttribute tag="00280030" keyword="PixelSpacing" vr="DS">'
            '<Value number="1">0.661468</Value><Value number="2">1</Value>'
            '<Value number="3">10</Value></DicomAttribute>',
        ),
        (
            "00189089",
            {"vr": "FD", "Value": [1.0, -1e-07]},
            '<DicomAttribute tag="00189089" keyword="DiffusionGradientOrientation" vr="FD">'
            '<Value number="1">1.0</Value><Value number="2">-1e-07</Value></DicomAttribute>',
        ),
        (
            "00204000",
            {"vr": "LT", "Value": ["a < b & c > d\r\n\t\"'\f"]},
            '<DicomAttribute tag="00204000" keyword="ImageComments" vr="LT">'
            '<Value number="1">a &lt; b &amp; c &gt; d&#13;\n\t"\'\ufffd</Value></DicomAttribute>',
        ),
        (
            "00081140",
            {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.2"]}}, {}]},
            '<DicomAttribute tag="00081140" keyword="ReferencedImageSequence" vr="SQ">'
            '<Item number="1">'
            '<DicomAttribute tag="00081155" keyword="ReferencedSOPInstanceUID" vr="UI">'
            '<Value number="1">1.2</Value></DicomAttribute></Item><Item number="2"></Item>'
            "</DicomAttribute>",
        ),
        (
            "7FE00010",
            {"vr": "OW", "BulkDataURI": "http://a/b?c=1&d=2"},
            '<DicomAttribute tag="7FE00010" keyword="PixelData" vr="OW">'
            '<BulkData uri="http://a/b?c=1&amp;d=2"/></DicomAttribute>',
        ),
        (
            "00420011",
            {"vr": "OB", "InlineBinary": "AAE="},
            '<DicomAttribute tag="00420011" keyword="EncapsulatedDocument" vr="OB">'
            "<InlineBinary>AAE=</InlineBinary></DicomAttribute>",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) == 8 else "",
)
def test_an_element_is_written_as_the_standard_says(tag, element, expected):
    assert written({tag: element}) == expected


def test_a_private_element_is_named_by_its_creator_and_not_by_the_block_it_reserved():
    elements = {
        "00090010": {"vr": "LO", "Value": ['A "B"\n<C>']},
        "00091002": {"vr": "UN", "InlineBinary": "AAE="},
        "00091102": {"vr": "SH", "Value": ["nobody reserved this block"]},
    }
    assert written(elements) == (
        '<DicomAttribute tag="00090010" vr="LO"><Value number="1">A "B"\n&lt;C&gt;</Value>'
        "</DicomAttribute>"
        '<DicomAttribute tag="00090002" privateCreator="A &quot;B&quot;&#10;&lt;C>" vr="UN">'
        "<InlineBinary>AAE=</InlineBinary></DicomAttribute>"
        '<DicomAttribute tag="00091102" vr="SH"><Value number="1">nobody reserved this block'
        "</Value></DicomAttribute>"
    )


@pytest.mark.parametrize("creator", [{"vr": "LO"}, {"vr": "UN", "InlineBinary": "AAE="}, None])
def test_a_private_element_whose_creator_cannot_be_read_keeps_its_whole_tag(creator):
    elements = {"00090010": creator} if creator else {}
    assert 'tag="00091002" vr="CS"' in written(elements | {"00091002": {"vr": "CS"}})


@pytest.mark.parametrize("code", [0x00, 0x0B, 0x0C, 0x1B, 0x1F, 0xFFFE, 0xFFFF])
def test_what_xml_cannot_hold_is_replaced_and_never_breaks_the_document(code):
    text = f"a{chr(code)}b"
    elements = {
        "00290010": {"vr": "LO", "Value": [text]},
        "00291001": {"vr": "PN", "Value": [{"Alphabetic": text}]},
        "00291002": {"vr": "UR", "Value": [text]},
    }
    assert written(elements).count("a\ufffdb") == 5


def test_nesting_as_deep_as_the_json_may_be_is_written():
    from fileroom.dicom.undefined_length import DEPTH_MAX

    elements = {"00081199": {"vr": "SQ"}}
    for _ in range(DEPTH_MAX):
        elements = {"00081199": {"vr": "SQ", "Value": [elements]}}
    assert written(elements).count("<Item") == DEPTH_MAX


def test_a_document_that_would_be_far_larger_than_its_json_is_refused(monkeypatch):
    monkeypatch.setattr(xml_model, "XML_BYTES_MAX", 1000)
    many = {"00280010": {"vr": "US", "Value": [1] * 50}}
    with pytest.raises(XmlTooLargeError):
        native_model(json.dumps(many).encode())
