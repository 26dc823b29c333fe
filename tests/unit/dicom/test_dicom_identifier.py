"""Identifiers: read what pydicom wrote, write what pydicom reads, and refuse what is none."""

import random
import struct
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.data import get_charset_files
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.uid import UID
from pydicom.valuerep import PersonName

from fileroom.dicom import charset
from fileroom.dicom.identifier import (
    DEPTH_MAX,
    SIZE_BYTES_MAX,
    Identifier,
    IdentifierError,
    Key,
    decode,
    encode,
)

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
SYNTAXES = [IMPLICIT, EXPLICIT, BIG_ENDIAN]
NAME, DESCRIPTION, CHARACTER_SET = 0x00100010, 0x00081030, 0x00080005
KOREAN = "Hong^Gildong=洪^吉洞=홍^길동"  # PS3.5 §I.2
JAPANESE = "Yamada^Tarou=山田^太郎=やまだ^たろう"  # PS3.5 §H.3.1
KATAKANA = "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"  # PS3.5 §H.3.2


def written(data_set: Dataset, syntax: str) -> bytes:
    """By pydicom."""
    uid = UID(syntax)
    output = DicomBytesIO()
    output.is_little_endian, output.is_implicit_VR = uid.is_little_endian, uid.is_implicit_VR
    write_dataset(output, data_set)
    return output.getvalue()


def read(data: bytes, syntax: str) -> Dataset:
    """By pydicom, as the data set of an identifier."""
    uid = UID(syntax)
    found = read_dataset(BytesIO(data), uid.is_implicit_VR, uid.is_little_endian)
    found.decode()
    return found


def query() -> Dataset:
    asked = Dataset()
    asked.SpecificCharacterSet = ["", "ISO 2022 IR 149"]
    asked.QueryRetrieveLevel = "SERIES"
    asked.PatientName = KOREAN
    asked.PatientID = ""
    asked.StudyInstanceUID = ["1.2.3", "1.2.4"]
    asked.SeriesNumber = 7
    asked.StudyDate = "20240101-20240131"
    asked.Rows = 512
    asked.PixelAspectRatio = [1, 2]
    asked.SliceThickness = 1.5
    asked.FrameIncrementPointer = [0x00181063, 0x00181065]
    item = Dataset()
    item.RequestedProcedureID = "R*"
    item.ScheduledProcedureStepID = ""
    asked.RequestAttributesSequence = [item]
    return asked


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("undefined", [False, True])
def test_what_pydicom_wrote_is_read(syntax, undefined):
    asked = query()
    for element in (asked["RequestAttributesSequence"], *asked.RequestAttributesSequence):
        if undefined:
            element.is_undefined_length = True
            element.is_undefined_length_sequence_item = True
    assert decode(written(asked, syntax), syntax) == {
        0x00080005: Key("CS", "\\ISO 2022 IR 149"),
        0x00080020: Key("DA", "20240101-20240131"),
        0x00080052: Key("CS", "SERIES"),
        0x00100010: Key("PN", KOREAN),
        0x00100020: Key("LO", ""),
        0x00180050: Key("DS", "1.5"),
        0x0020000D: Key("UI", "1.2.3\\1.2.4"),
        0x00200011: Key("IS", "7"),
        0x00280009: Key("AT", "00181063\\00181065"),
        0x00280010: Key("US", "512"),
        0x00280034: Key("IS", "1\\2"),
        0x00400275: Key("SQ", ({0x00400009: Key("SH", ""), 0x00401001: Key("SH", "R*")},)),
    }


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_what_is_written_pydicom_reads_as_the_same_and_in_order(syntax):
    told = decode(written(query(), syntax), syntax)
    shuffled = dict(random.Random(7).sample(sorted(told.items()), len(told)))
    data = encode(shuffled, syntax, character_set="\\ISO 2022 IR 149")
    assert read(data, syntax) == read(written(query(), syntax), syntax)
    assert written(read(data, syntax), syntax) == data  # pydicom sorts


@pytest.mark.parametrize(
    "path", [Path(p) for p in get_charset_files("*.dcm")], ids=lambda p: p.stem
)
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_the_names_of_the_standards_examples_are_read_and_written_in_their_own_set(path, syntax):
    file = dcmread(path)
    told = file.get("SpecificCharacterSet", "")
    wanted = told if isinstance(told, str) else "\\".join(told)
    if path.stem == "chrSQEncoding1":  # has the set in an item only
        wanted = "ISO 2022 IR 13\\ISO 2022 IR 87"
    name = str(file["PatientName"].value if "PatientName" in file else PersonName(KATAKANA))
    data_set = Dataset()
    data_set.SpecificCharacterSet = told
    data_set.PatientName = file.get("PatientName", PersonName(KATAKANA))
    if "PatientName" in file:
        assert decode(written(data_set, syntax), syntax)[NAME] == Key("PN", name)
    answered = encode({NAME: Key("PN", name)}, syntax, character_set=wanted)
    back = read(answered, syntax)
    assert str(back.PatientName) == name
    if charset.encode(name, wanted) is not None:
        assert back.get("SpecificCharacterSet", "") == told or path.stem == "chrSQEncoding1"


@pytest.mark.parametrize(
    ("wanted", "name", "bytes_"),
    [
        # PS3.5 §H.3.1 to §J.1: the examples' own bytes.
        (
            "\\ISO 2022 IR 87",
            JAPANESE,
            b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
        ),
        (
            "ISO 2022 IR 13\\ISO 2022 IR 87",
            KATAKANA,
            b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J"
            b"=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J",
        ),
        (
            "\\ISO 2022 IR 149",
            KOREAN,
            b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7"
            b"=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
        ),
        ("ISO_IR 100", "Äneas^Rüdiger", b"\xc4neas^R\xfcdiger"),
        ("ISO_IR 127", "قباني^لنزار", b"\xe2\xc8\xc7\xe6\xea^\xe4\xe6\xd2\xc7\xd1"),
        (
            "GB18030",
            "Wang^XiaoDong=王^小东",
            b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab",
        ),
    ],
)
def test_text_is_written_as_the_standard_writes_it(wanted, name, bytes_):
    assert charset.encode(name, wanted) == bytes_


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ("", "Müller"),
        ("ISO_IR 6", "Müller"),
        ("\\ISO 2022 IR 87", "Müller"),
        ("ISO_IR 100", "山田"),
        ("ISO_IR 13", "山田"),
        ("ISO 2022 IR 13\\ISO 2022 IR 87", "홍"),
        ("no such", "Müller"),
    ],
)
def test_what_a_set_does_not_have_is_written_in_unicode(wanted, text):
    assert charset.encode(text, wanted) is None
    back = read(encode({NAME: Key("PN", text)}, EXPLICIT, character_set=wanted), EXPLICIT)
    assert (back.SpecificCharacterSet, str(back.PatientName)) == ("ISO_IR 192", text)


@pytest.mark.parametrize(("text", "written_as"), [("a\ud800", b"a?"), ("a\x1b$B", b"a\x1b$B")])
def test_what_no_set_has_still_gets_an_answer(text, written_as):
    assert charset.encode(text, "ISO_IR 192") is None
    assert encode({NAME: Key("PN", text)}, EXPLICIT).rstrip(b" ").endswith(written_as)


def test_no_character_set_is_named_where_all_text_is_plain_and_none_was_asked_for():
    data = encode({NAME: Key("PN", "Doe^Jane")}, EXPLICIT)
    assert data == b"\x10\x00\x10\x00PN\x08\x00Doe^Jane"
    told = encode({NAME: Key("PN", "Doe^Jane")}, EXPLICIT, character_set="ISO_IR 100")
    assert told == b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100" + data
    assert encode({NAME: Key("PN", "Doe^Jane")}, EXPLICIT, character_set="no such") == data


def test_an_item_may_have_a_character_set_of_its_own():
    asked, item = Dataset(), Dataset()
    asked.SpecificCharacterSet = "ISO_IR 100"
    item.SpecificCharacterSet = "ISO_IR 192"
    item.CodeMeaning = "山田"
    plain = Dataset()
    plain.CodeMeaning = "Rüdiger"
    asked.ProcedureCodeSequence = [item, plain]
    items = decode(written(asked, EXPLICIT), EXPLICIT)[0x00081032].value
    assert [each[0x00080104].value for each in items] == ["山田", "Rüdiger"]


def test_a_value_that_is_no_number_is_written_as_none():
    told: Identifier = {
        0x00280010: Key("US", "many"),
        0x00280011: Key("US", "70000"),
        0x00280009: Key("AT", "xyz"),
        0x00189073: Key("FD", "1e400"),
        0x00280012: Key("OW", "1"),
    }
    for syntax in SYNTAXES:
        back = decode(encode(told, syntax), syntax)
        assert {tag: key.value for tag, key in back.items() if tag != 0x00189073} == {
            tag: "" for tag in told if tag != 0x00189073
        }


def test_an_explicit_value_that_no_length_field_can_say_is_left_out():
    told = {0x00100020: Key("LO", "x" * 70_000), DESCRIPTION: Key("LO", "y")}
    assert decode(encode(told, EXPLICIT), EXPLICIT)[0x00100020].value == ""
    assert decode(encode(told, IMPLICIT), IMPLICIT)[0x00100020].value == "x" * 70_000


def nested(depth: int, *, undefined: bool) -> bytes:
    """Sequences in one another, explicit little endian, innermost empty."""
    content = b""
    for _ in range(depth):
        if undefined:
            content = (
                b"\x08\x00\x32\x10SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
                + content
                + b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
            )
        else:
            item = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(content)) + content
            content = b"\x08\x00\x32\x10SQ\0\0" + struct.pack("<I", len(item)) + item
    return content


@pytest.mark.parametrize("undefined", [False, True])
def test_nesting_is_bounded(undefined):
    found = decode(nested(DEPTH_MAX, undefined=undefined), EXPLICIT)
    for _ in range(DEPTH_MAX):
        [found] = found[0x00081032].value
    for depth in (DEPTH_MAX + 1, 3000):
        with pytest.raises(IdentifierError, match="sequences in one another"):
            decode(nested(depth, undefined=undefined), EXPLICIT)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x10\x00\x10\x00PN\xff\xffDoe", "ends inside"),
        (b"\x10\x00\x10\x00UT\0\0\xff\xff\xff\x7fDoe", "ends inside"),
        (b"\x08\x00\x32\x10SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff", "ends inside"),
        (b"\x08\x00\x32\x10SQ\0\0\x08\0\0\0\x10\x00\x10\x00PN\0\0", "item was expected"),
        (b"\x08\x00\x32\x10SQ\0\0\x08\0\0\0\xfe\xff\x00\xe0\x09\0\0\0", "longer than its sequence"),
        (bytes(SIZE_BYTES_MAX + 1), "is over"),
    ],
)
def test_what_is_no_identifier_is_refused(data, said):
    with pytest.raises(IdentifierError, match=said):
        decode(data, EXPLICIT)


@given(data=st.binary(max_size=300), syntax=st.sampled_from(SYNTAXES))
def test_no_bytes_raise_anything_else(data, syntax):
    try:
        found = decode(data, syntax)
    except IdentifierError:
        return
    encode(found, syntax)


@given(
    seed=st.integers(0, 1 << 30),
    cuts=st.lists(st.integers(0, 1000), max_size=3),
    syntax=st.sampled_from(SYNTAXES),
)
def test_no_damage_raises_anything_else(seed, cuts, syntax):
    data = bytearray(written(query(), syntax))
    rng = random.Random(seed)
    for cut in cuts:
        data[cut % len(data)] = rng.randrange(256)
    try:
        found = decode(bytes(data), syntax)
    except IdentifierError:
        return
    for other in SYNTAXES:
        encode(found, other, character_set=str(found.get(CHARACTER_SET, Key("", "")).value))
