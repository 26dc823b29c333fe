"""Character sets: pydicom's results, and nothing a hostile value could do with them."""

import warnings

import pytest
from pydicom.charset import convert_encodings, decode_bytes, python_encoding
from pydicom.valuerep import TEXT_VR_DELIMS

from fileroom.dicom.charset import character_set, decode

# PS3.5 §H.3.1 and §H.3.2, PS3.5 §I.2, PS3.5 §K.2: names as the standard prints them.
STANDARD_NAMES = [
    (
        "\\ISO 2022 IR 87",
        bytes.fromhex(
            "59616D6164615E5461726F753D1B2442 3B3345441B28425E1B2442 42404F3A1B2842"
            "3D1B2442 2464245E24401B28425E1B2442 243F246D24261B2842".replace(" ", "")
        ),
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
    ),
    (
        "ISO 2022 IR 13\\ISO 2022 IR 87",
        bytes.fromhex(
            "D4CFC0DE5EC0DBB33D1B2442 3B3345441B284A5E1B2442 42404F3A1B284A"
            "3D1B2442 2464245E24401B284A5E1B2442 243F246D24261B284A".replace(" ", "")
        ),
        "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    ),
    (
        "\\ISO 2022 IR 149",
        bytes.fromhex(
            "486F6E675E47696C646F6E673D1B242943FBF3 5E1B242943D1CED4D7"
            "3D1B242943C8AB5E1B242943B1E6B5BF".replace(" ", "")
        ),
        "Hong^Gildong=洪^吉洞=홍^길동",
    ),
    (
        "ISO_IR 192",
        "Wang^XiaoDong=王^小東=".encode(),
        "Wang^XiaoDong=王^小東=",
    ),
    (
        "GB18030",
        bytes.fromhex("57616E675E5869616F446F6E673DCDF55ED0A1B6AB3D"),
        "Wang^XiaoDong=王^小东=",
    ),
]


@pytest.mark.parametrize(("terms", "value", "text"), STANDARD_NAMES)
def test_names_of_the_standard_are_decoded(terms: str, value: bytes, text: str) -> None:
    assert decode(value, terms, "PN") == (text, True)


def test_every_defined_term_decodes_as_pydicom_does() -> None:
    every_byte = bytes(range(0x20, 0x7F)) + bytes(range(0xA0, 0x100))
    for term in python_encoding:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            want = decode_bytes(every_byte, convert_encodings(term), TEXT_VR_DELIMS)
        assert decode(every_byte, term, "LO").text == want, term


@pytest.mark.parametrize(
    "terms", ["ISO-IR 100", "ISO IR 192", "ISO_2022_IR_87", "utf-8", "UTF8", "latin-1", "cp1252"]
)
def test_misspelt_terms_are_understood_as_pydicom_does(terms: str) -> None:
    value = "Müller".encode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = decode_bytes(value, convert_encodings(terms.split("\\")), TEXT_VR_DELIMS)
    assert decode(value, terms, "PN").text == want


@pytest.mark.parametrize(
    "terms",
    [
        "idna",  # quadratic
        "punycode",
        "zlib",
        "rot13",
        "undefined",  # raises even when asked to replace
        "unicode_escape",
        "utf-16",
        "mbcs",
        "../../x",
        "a\0b",
        "ü",
        "x" * 100_000,
        "\\" * 100_000,
        "ISO_IR 999",
    ],
)
def test_other_codecs_cannot_be_chosen(terms: str) -> None:
    assert decode(b"A\xfcB\\u0041", terms, "LO").text == "AüB\\u0041"


@pytest.mark.parametrize(
    ("terms", "value", "text"),
    [
        ("ISO_IR 192", b"M\xfcller", "M\ufffdller"),
        ("ISO_IR 192", b"\x1b$Bx", "\x1b$Bx"),
        ("GB18030", b"\x81", "\ufffd"),
        ("\\ISO 2022 IR 87", b"A\x1b$B\xff\xff", "A\x1b$Bÿÿ"),
        ("ISO_IR 100", b"a\x1b", "a\x1b"),
        ("ISO_IR 100", b"\x1b(Zx", "\x1b(Zx"),
    ],
)
def test_bytes_without_a_meaning_are_replaced_and_flagged(
    terms: str, value: bytes, text: str
) -> None:
    assert decode(value, terms, "LO") == (text, False)


def test_an_escape_holds_until_the_end_of_its_line() -> None:
    value = b"\x1b-Fabc\xe1\r\n\xe1"
    assert decode(value, "ISO_IR 100\\ISO 2022 IR 126", "LT").text == "abcα\r\ná"


def test_only_some_representations_follow_the_character_set() -> None:
    assert decode(b"\xc3\xbc", "ISO_IR 192", "CS").text == "Ã¼"
    assert decode(b"\xc3\xbc", "ISO_IR 192", "LO").text == "ü"
    assert decode(b"\xc3\xbc", None, "LO").text == "Ã¼"


def test_a_set_that_stands_alone_ignores_the_others() -> None:
    assert decode(b"\xc3\xbc", "ISO_IR 192\\ISO 2022 IR 87", "LO").text == "ü"
    assert decode(b"\xe9", "\\ISO_IR 192", "LO").text == "é"


def test_character_sets_are_remembered() -> None:
    assert character_set("ISO_IR 144") is character_set("ISO_IR 144")
