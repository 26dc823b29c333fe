"""DICOM JSON to data sets: pydicom as oracle, PS3.5 by hand, and what is refused."""

import json
from base64 import b64decode
from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from corpus import pydicom_files
from fileroom.dicom.instance_error import InstanceError
from fileroom.dicom.json_reading import (
    JSON_DEPTH_MAX,
    JsonError,
    WrittenDataSet,
    element_head,
    elements_of,
    write_data_set,
)
from fileroom.dicom.undefined_length import DEPTH_MAX
from fileroom.dicom.value_writing import NotInCharacterSetError, UnwritableError


def write(elements: dict) -> WrittenDataSet:
    return write_data_set(elements_of(json.dumps(elements).encode()))


def read(data: bytes) -> Dataset:
    return read_dataset(BytesIO(data), is_implicit_VR=False, is_little_endian=True)


def value_of(vr: str, *values: object, character_set: str = "") -> bytes:
    """The value field of an element (0099,0001)."""
    elements = {"00990001": {"vr": vr, "Value": list(values)}}
    if character_set:
        elements["00080005"] = {"vr": "CS", "Value": character_set.split("\\")}
    data = write(elements).data
    at = data.index(b"\x99\0\1\0")
    head = 12 if vr in ("UC", "UR", "UT", "SV", "UV") else 8
    return data[at + head :]


def ours(name: str) -> bool:
    return name not in {"rtplan_truncated.dcm"}  # ends inside a sequence


FILES = [each.path for each in pydicom_files() if ours(each.path.name)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_pydicom_says_in_json_is_what_pydicom_reads_of_it(path):
    """The oracle on both sides: no reader or writer of JSON of ours."""
    try:
        source = dcmread(path)
        said = source.to_json_dict(bulk_data_threshold=1 << 40)
        text = json.dumps(said, allow_nan=False).encode()
        expected = Dataset.from_json(said)
    except Exception:
        pytest.skip("pydicom does not say it in JSON")
    written = write_data_set(elements_of(text))
    assert written.references == ()
    found = read(written.data).to_json_dict(bulk_data_threshold=1 << 40)
    wanted = expected.to_json_dict(bulk_data_threshold=1 << 40)
    if "SpecificCharacterSet" not in expected:
        found.pop("00080005", None)
    assert _even(found) == _even(wanted)


def _even(found: dict) -> dict:
    """Without group lengths, which no data set of ours has, and padding of binary values."""
    kept = {}
    for tag, element in found.items():
        if tag.endswith("0000") or tag.startswith("0002"):
            continue
        if "InlineBinary" in element:
            element = {**element, "InlineBinary": b64decode(element["InlineBinary"]).rstrip(b"\0")}
        if element["vr"] == "SQ":
            element = {"vr": "SQ", "Value": [_even(item) for item in element.get("Value", [])]}
        kept[tag] = element
    return kept


def test_elements_are_written_in_order_with_explicit_lengths_and_padding():
    written = write(
        {
            "0020000D": {"vr": "UI", "Value": ["1.2.3"]},
            "00080060": {"vr": "CS", "Value": ["CT"]},
            "00280010": {"vr": "US", "Value": [512]},
            "00080050": {"vr": "SH"},
            "7fe00010": {"vr": "OW", "InlineBinary": "AQID"},
        }
    )
    assert written.data == (
        b"\x08\0\x50\0SH\0\0"
        b"\x08\0\x60\0CS\2\0CT"
        b"\x20\0\x0d\0UI\6\x001.2.3\0"
        b"\x28\0\x10\0US\2\0\0\2"
        b"\xe0\x7f\x10\0OW\0\0\4\0\0\0\1\2\3\0"
    )


def test_a_sequence_and_its_items_have_undefined_length():
    # PS3.5 Table 7.5-3.
    assert write({"00081140": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI"}}, {}]}}).data == (
        b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff"
        b"\xfe\xff\0\xe0\xff\xff\xff\xff\x08\0\x55\x11UI\0\0\xfe\xff\x0d\xe0\0\0\0\0"
        b"\xfe\xff\0\xe0\xff\xff\xff\xff\xfe\xff\x0d\xe0\0\0\0\0"
        b"\xfe\xff\xdd\xe0\0\0\0\0"
    )


def test_values_that_come_apart_are_left_out_and_their_places_noted():
    written = write(
        {
            "00080060": {"vr": "CS", "Value": ["CT"]},
            "00081140": {
                "vr": "SQ",
                "Value": [{"00420011": {"vr": "OB", "BulkDataURI": "inside"}}],
            },
            "00282000": {"vr": "OB", "BulkDataURI": "profile"},
            "7FE00010": {"vr": "OW", "BulkDataURI": "pixels"},
        }
    )
    assert [each[1:] for each in written.references] == [
        (0x00420011, "OB", "inside", False),
        (0x00282000, "OB", "profile", True),
        (0x7FE00010, "OW", "pixels", True),
    ]
    inside, profile, pixels = (each.offset for each in written.references)
    assert written.data[inside:].startswith(b"\xfe\xff\x0d\xe0")
    assert profile == pixels == len(written.data)
    value = element_head(0x00420011, "OB", 2) + b"AB"
    filled = written.data[:inside] + value + written.data[inside:]
    assert read(filled)[0x00081140].value[0][0x00420011].value == b"AB"


def test_a_value_too_long_for_its_length_field_is_un():
    # PS3.5 §6.2.2.
    assert element_head(0x00080060, "CS", 0xFFFE) == b"\x08\0\x60\0CS\xfe\xff"
    assert element_head(0x00080060, "CS", 0x10000) == b"\x08\0\x60\0UN\0\0\0\0\1\0"
    assert element_head(0x7FE00010, "OB", 0xFFFFFFFF) == b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff"


@pytest.mark.parametrize(
    "vr, values, field",
    [
        ("AE", ["STORE"], b"STORE "),
        ("AT", ["00080018", "7FE00010"], b"\x08\0\x18\0\xe0\x7f\x10\0"),
        ("CS", ["A", None, "B"], b"A\\\\B"),
        ("DS", [1.5, 2, "0.10", None], b"1.5\\2\\0.10\\ "),
        ("DS", [0.1 + 0.2], b"0.3 "),
        ("DS", [-1.234567890123456789e-200], b"-1.23456789e-200"),
        ("DS", [12345678901234567890], b"1.2345678901e+19"),
        ("DS", ["0.30000000000000004"], b"0.30000000000000004 "),
        ("FD", [1.5], b"\0\0\0\0\0\0\xf8\x3f"),
        ("FL", [1, "2.5"], b"\0\0\x80\x3f\0\0\x20\x40"),
        ("IS", [-7, "12"], b"-7\\12 "),
        ("IS", [2.0], b"2 "),
        ("US", [2.0], b"\2\0"),
        ("LO", ["a", "b"], b"a\\b "),
        ("LT", ["a\\b"], b"a\\b "),
        ("PN", [{"Alphabetic": "Doe^J", "Phonetic": "do"}], b"Doe^J==do "),
        ("PN", [None, {"Alphabetic": "Roe"}], b"\\Roe"),
        ("SL", [-2], b"\xfe\xff\xff\xff"),
        ("SS", [-2, 258], b"\xfe\xff\2\1"),
        ("SV", [-2], b"\xfe" + b"\xff" * 7),
        ("UI", ["1.2"], b"1.2\0"),
        ("UL", ["4294967295"], b"\xff" * 4),
        ("UR", ["http://a/\\b"], b"http://a/\\b "),
        ("UV", [1 << 63], b"\0" * 7 + b"\x80"),
    ],
)
def test_a_value_is_written_as_its_vr_asks(vr, values, field):
    assert value_of(vr, *values) == field


@pytest.mark.parametrize(
    "element",
    [
        {"vr": "US", "Value": [65536]},
        {"vr": "US", "Value": [-1]},
        {"vr": "US", "Value": [1.5]},
        {"vr": "US", "Value": [None, 1]},
        {"vr": "US", "Value": ["1_0"]},
        {"vr": "US", "Value": ["١"]},
        {"vr": "US", "Value": [True]},
        {"vr": "SV", "Value": [1 << 63]},
        {"vr": "FL", "Value": [1e300]},
        {"vr": "FL", "Value": ["1_0"]},
        {"vr": "FD", "Value": [10**400]},
        {"vr": "DS", "Value": [10**400]},
        {"vr": "DS", "Value": [{}]},
        {"vr": "IS", "Value": [1 << 31]},
        {"vr": "IS", "Value": [1.5]},
        {"vr": "AT", "Value": ["0x080018"]},
        {"vr": "AT", "Value": [524312]},
        {"vr": "LO", "Value": ["a\\b"]},
        {"vr": "LO", "Value": [1]},
        {"vr": "LO", "Value": "a"},
        {"vr": "LT", "Value": ["a", "b"]},
        {"vr": "CS", "Value": ["中"]},
        {"vr": "PN", "Value": [{"Alphabetic": "a=b"}]},
        {"vr": "PN", "Value": [["a"]]},
        {"vr": "PN", "Value": [{"Alphabetic": 1}]},
        {"vr": "OB", "InlineBinary": "?"},
        {"vr": "OB", "InlineBinary": "AAA"},
        {"vr": "OB", "InlineBinary": 1},
        {"vr": "OB", "Value": [1]},
        {"vr": "LO", "InlineBinary": "AAAA"},
        {"vr": "SQ", "InlineBinary": "AAAA"},
        {"vr": "SQ", "Value": [1]},
        {"vr": "SQ", "BulkDataURI": "x"},
        {"vr": "OB", "BulkDataURI": ""},
        {"vr": "OB", "BulkDataURI": 1},
        {"vr": "OB", "BulkDataURI": "x", "InlineBinary": "AAAA"},
        {"vr": "LO", "Value": ["a"], "BulkDataURI": "x"},
        {"vr": "XX"},
        {"vr": 1},
        {"Value": ["a"]},
    ],
)
def test_what_is_no_value_of_its_vr_is_refused_by_its_tag_and_without_its_text(element):
    with pytest.raises(UnwritableError, match=r"at \(0099,0001\)$") as raised:
        write({"00080060": {"vr": "CS"}, "00990001": element})
    assert "a\\b" not in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"{", b"[]", b"1", b'{"00080060": 1}', b'{"00080060": []}', b"\xff"),
        *(b'{"00080060": {"vr": "CS", "Value": ["\xff"]}}', b'{"00080060": {"vr": "\\ud800"}}'),
        *(b'{"00080060": {"vr": "FD", "Value": [NaN]}}', b'{"1": {"x": ' + b"9" * 5000 + b"}}"),
    ],
)
def test_what_is_no_dicom_json_is_refused(text):
    with pytest.raises(JsonError):
        elements_of(text)


@pytest.mark.parametrize("key", ["0008006", "PatientID", "0008,0060", "0x080060", "٠٠٠٨٠٠٦٠", ""])
def test_a_name_that_is_no_tag_is_refused(key):
    with pytest.raises(InstanceError, match="eight hexadecimal digits"):
        write({key: {"vr": "CS"}})


@pytest.mark.parametrize("vr", ["SQ", "LO", "US"])
def test_pixel_data_is_binary(vr):
    """With items it would be walked as fragments."""
    with pytest.raises(UnwritableError, match=r"\(7FE0,0010\)"):
        write({"7FE00010": {"vr": vr}})


def test_delimiters_are_no_elements():
    with pytest.raises(InstanceError):
        write({"FFFEE00D": {"vr": "UN"}})


def test_one_element_in_two_cases_is_refused():
    with pytest.raises(InstanceError, match="twice"):
        write({"7FE00010": {"vr": "OW"}, "7fe00010": {"vr": "OW"}})


def test_what_no_data_set_has_is_left_out_and_counted():
    written = write(
        {
            "00000002": {"vr": "UI", "Value": ["1.2"]},
            "00020010": {"vr": "UI", "Value": ["1.2.840.10008.1.2.1"]},
            "00080000": {"vr": "UL", "Value": [10]},
            "00080060": {"vr": "CS", "Value": ["CT"]},
        }
    )
    assert written.data == b"\x08\0\x60\0CS\2\0CT"
    assert written.discarded == 3


@pytest.mark.parametrize(
    "character_set, text, field",
    [
        ("ISO_IR 100", "Müller", b"M\xfcller"),  # PS3.5 §6.1.2.3
        ("ISO_IR 192", "Müller", b"M\xc3\xbcller "),
        ("ISO_IR 144", "Люкceмбypг", b"\xbb\xee\xdace\xdc\xd1yp\xd3"),  # PS3.17 style
        ("", "Mueller", b"Mueller "),
    ],
)
def test_text_is_in_the_character_set_that_the_metadata_names(character_set, text, field):
    assert value_of("LO", text, character_set=character_set) == field


def test_a_japanese_name_is_that_of_the_standard():
    # PS3.5 §H.3.1, example 1.
    name = {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"}
    assert value_of("PN", name, character_set="\\ISO 2022 IR 87").rstrip() == (
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B"
    )


def test_metadata_that_names_no_character_set_and_has_more_than_ascii_becomes_unicode():
    written = write({"00100010": {"vr": "PN", "Value": [{"Alphabetic": "Müller"}]}})
    assert written.data == b"\x08\0\5\0CS\x0a\0ISO_IR 192\x10\0\x10\0PN\x08\0M\xc3\xbcller "


def test_text_that_its_character_set_cannot_hold_is_refused():
    with pytest.raises(NotInCharacterSetError, match=r"\(0010,0010\)"):
        write(
            {
                "00080005": {"vr": "CS", "Value": ["ISO_IR 100"]},
                "00100010": {"vr": "PN", "Value": [{"Alphabetic": "山田"}]},
            }
        )


def test_an_item_may_name_a_character_set_of_its_own():
    item = {
        "00080005": {"vr": "CS", "Value": ["ISO_IR 100"]},
        "00081030": {"vr": "LO", "Value": ["ü"]},
    }
    written = write(
        {
            "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
            "00081140": {"vr": "SQ", "Value": [item, {"00081030": {"vr": "LO", "Value": ["ü"]}}]},
        }
    )
    first, second = read(written.data)[0x00081140].value
    assert first[0x00081030].value == second[0x00081030].value == "ü"
    assert b"LO\2\0\xfc " in written.data
    assert b"LO\2\0\xc3\xbc" in written.data


def nested(depth: int) -> bytes:
    return b'{"00081140":{"vr":"SQ","Value":[' * depth + b"{}" + b"]}}" * depth


def test_sequences_are_nested_to_a_depth_that_splitting_allows_too():
    assert write_data_set(elements_of(nested(DEPTH_MAX))).data
    with pytest.raises(InstanceError, match=f"deeper than {DEPTH_MAX}"):
        write_data_set(elements_of(nested(DEPTH_MAX + 1)))
    depth = most = 0
    for character in nested(DEPTH_MAX):
        depth += {ord("{"): 1, ord("["): 1, ord("}"): -1, ord("]"): -1}.get(character, 0)
        most = max(most, depth)
    assert most <= JSON_DEPTH_MAX < most + 5


def test_nesting_without_end_is_refused_and_ends_nothing():
    with pytest.raises(JsonError):
        elements_of(b'{"00081140":{"vr":' + b"[" * 1_000_000)


def test_a_million_items_are_refused_before_they_are_written():
    text = b'{"00081140":{"vr":"SQ","Value":[' + b"{}," * 1_000_000 + b"{}]}}"
    with pytest.raises(InstanceError, match="200000 elements and items"):
        write_data_set(elements_of(text))
