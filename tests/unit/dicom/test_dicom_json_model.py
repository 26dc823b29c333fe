"""The DICOM JSON Model: pydicom's values on every file, and an answer to every data set."""

import base64
import json
import struct
import time
import zlib
from typing import Any

import pytest

from dicom_json_oracle import json_by_pydicom
from dicom_samples import (
    BIG_ENDIAN,
    CT_ELEMENTS,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    ct_big_endian,
    ct_explicit,
    ct_implicit,
    even,
    explicit,
    implicit,
    item,
    samples,
    undefined_sequence,
    with_element,
)
from fileroom.dicom import json_item
from fileroom.dicom.dataset_index import bulk_range
from fileroom.dicom.inflate import InflatedDataSet
from fileroom.dicom.json_model import JsonWriter, element, instance_json

# Where pydicom gives something else, and why we do not follow it.
CUT_OFF = {  # the data set ends inside this element: UN with the bytes that are there
    "DICOMDIR-nooffset": "00041220",
    "rtplan_truncated.dcm": "300A00B0",
    "TC1141_oob_len_len_2GB.dcm": "00100010",
    "TC1143_oob_len_len_4GB.dcm": "00100010",
}
TOO_DEEP = {"nested-sq-100.dcm"}  # UN from level 65 on
# pydicom raises RecursionError, or holds 600 MiB.
TOO_MUCH_FOR_PYDICOM = {"nested-sq-5000.dcm", "nested-sq-40000.dcm", "deflate-bomb-600MiB.dcm"}
# pydicom drops the whole data set because its pixel data does not end.
DROPPED_BY_PYDICOM = {"trailing-garbage.dcm", "emri_small_jpeg_2k_lossless_too_short.dcm"}


def written(data: bytes, transfer_syntax_uid: str = EXPLICIT) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(instance_json(data, transfer_syntax_uid))
    return found


def one(tag: int, vr: str, value: bytes) -> dict[str, Any]:
    """The JSON of one element that stands in a data set alone."""
    found: dict[str, Any] = written(
        explicit(0x00080005, "CS", b"ISO_IR 192") + explicit(tag, vr, value)
    )
    return found[f"{tag:08X}"]  # type: ignore[no-any-return]


def test_every_file_gives_what_pydicom_gives() -> None:
    writer = JsonWriter()
    wrong: list[str] = []
    failed_by_pydicom = equal = 0
    for sample in samples():
        ours = json.loads(writer.instance_json(sample.data_set, sample.transfer_syntax_uid))
        assert list(ours) == sorted(ours), sample.name
        if sample.name in TOO_DEEP | DROPPED_BY_PYDICOM | TOO_MUCH_FOR_PYDICOM:
            assert len(ours) > 10, sample.name
            continue
        try:
            theirs = json_by_pydicom(sample.data_set, sample.transfer_syntax_uid)
        except Exception:
            failed_by_pydicom += 1
            continue
        if sample.name in CUT_OFF:
            torn = CUT_OFF[sample.name]
            assert ours.pop(torn)["vr"] == "UN", sample.name
            theirs.pop(torn)
        if ours != theirs:
            wrong += [f"{sample.name}: {t}" for t in theirs if ours.get(t) != theirs[t]]
            wrong += [f"{sample.name}: {t} is ours alone" for t in ours.keys() - theirs.keys()]
        else:
            equal += 1
    assert wrong == []
    assert failed_by_pydicom <= 5
    assert equal >= 60


def test_a_writer_that_has_seen_other_files_gives_the_same() -> None:
    used = JsonWriter()
    for sample in samples():
        if sample.hostile:
            continue
        used.instance_json(sample.data_set, sample.transfer_syntax_uid)
        if len(sample.data_set) < 20_000:
            again = used.instance_json(sample.data_set, sample.transfer_syntax_uid)
            assert again == instance_json(sample.data_set, sample.transfer_syntax_uid), sample.name


def test_every_encoding_gives_the_same_object() -> None:
    stream = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    deflated = stream.compress(ct_explicit()) + stream.flush()
    expected = written(ct_explicit())
    assert expected["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": "Müller^Anna"}]}
    assert expected["7FE00010"] == {"vr": "OW", "BulkDataURI": "bulkdata/7FE00010"}
    assert written(ct_implicit(), IMPLICIT) == expected
    assert written(ct_big_endian(), BIG_ENDIAN) == expected
    assert written(deflated, DEFLATED) == expected


def test_the_bytes_are_these() -> None:
    data = explicit(0x00080005, "CS", b"ISO_IR 100") + explicit(0x00100020, "LO", b"A\\\xe9 ")
    assert (
        instance_json(data, EXPLICIT)
        == (
            '{"00080005":{"vr":"CS","Value":["ISO_IR 100"]},'
            '"00100020":{"vr":"LO","Value":["A","é"]}}'
        ).encode()
    )


def test_the_placeholder_is_written_as_the_doors_look_for_it() -> None:
    assert b'"BulkDataURI":"bulkdata/7FE00010"' in instance_json(ct_explicit(), EXPLICIT)


def test_attributes_are_in_order_and_group_lengths_left_out() -> None:
    data = ct_explicit([CT_ELEMENTS[11], (0x00080000, "UL", b"\x08\0\0\0"), CT_ELEMENTS[6]])
    assert list(written(data)) == ["00080050", "00100020"]


@pytest.mark.parametrize(
    ("tag", "vr", "value", "expected"),
    [
        (0x00080008, "CS", b"A\\\\B ", ["A", None, "B"]),
        (0x00080050, "SH", b"  ", None),
        (0x00100010, "PN", b"A^B=\xe5\xb1\xb1\\=X\\", "names"),
        (0x00180050, "DS", b"1.50\\-2e3 ", [1.5, -2000.0]),
        (0x00180050, "DS", b"1\\\\2 ", [1.0, None, 2.0]),
        (0x00180050, "DS", b"1,5\\2 ", ["1,5", "2"]),
        (0x00180050, "DS", b"nan ", ["nan"]),
        (0x00180050, "DS", b"1e999 ", ["1e999"]),
        (0x00200013, "IS", b"+007", [7]),
        (0x00200013, "IS", b"1.0 ", [1]),
        (0x00200013, "IS", b"1.5 ", ["1.5"]),
        (0x00200013, "IS", b"9" * 5000, ["9" * 5000]),
        (0x00081190, "UR", b"http://x/a\\b  ", ["http://x/a\\b"]),
        (0x00204000, "LT", b"a\\b\r\n ", ["a\\b\r\n"]),
        (0x00081140, "AT", b"\x08\0\x05\0\xe0\x7f\x10\0", ["00080005", "7FE00010"]),
        (0x00720082, "SV", struct.pack("<q", -(1 << 62)), [-(1 << 62)]),
        (0x00189073, "FD", struct.pack("<d", 0.1), [0.1]),
        (0x00281101, "SS", b"\x00\x80\x00\x00\x10\x00", [32768, 0, 16]),
    ],
)
def test_values_are_of_the_type_that_the_standard_asks_for(
    tag: int, vr: str, value: bytes, expected: Any
) -> None:
    if expected == "names":
        expected = [{"Alphabetic": "A^B", "Ideographic": "山"}, {"Ideographic": "X"}, None]
    found = one(tag, vr, value)
    assert found == ({"vr": vr} if expected is None else {"vr": vr, "Value": expected})


@pytest.mark.parametrize(
    ("vr", "value"), [("US", b"\1\2\3"), ("FD", b"1234"), ("AT", b"\1\2\3\4\5\6"), ("ZZ", b"ab")]
)
def test_what_cannot_be_read_by_its_vr_keeps_its_bytes(vr: str, value: bytes) -> None:
    found = one(0x00110099, vr, value)
    assert found["vr"] == "UN"
    assert base64.b64decode(found["InlineBinary"]) == value


def test_numbers_that_json_cannot_hold_are_fetched_apart() -> None:
    found = one(0x00189073, "FD", struct.pack("<dd", float("nan"), 1.0))
    assert found == {"vr": "FD", "BulkDataURI": "bulkdata/00189073"}


def test_binary_values_go_apart_above_a_kibibyte() -> None:
    assert "InlineBinary" in one(0x00420011, "OB", bytes(1024))
    assert one(0x00420011, "OB", bytes(1026)) == {"vr": "OB", "BulkDataURI": "bulkdata/00420011"}
    assert one(0x7FE00010, "OW", bytes(2)) == {"vr": "OW", "BulkDataURI": "bulkdata/7FE00010"}
    assert one(0x7FE00010, "OW", b"") == {"vr": "OW"}


def test_pixel_representation_decides_wherever_it_stands() -> None:
    values = implicit(0x00280106, b"\xff\xff")
    nested = implicit(0x00081140, item(implicit(0x00280107, b"\xfe\xff")))
    for representation, vr, low, high in ((b"\0\0", "US", 65535, 65534), (b"\1\0", "SS", -1, -2)):
        found = written(nested + implicit(0x00280103, representation) + values, IMPLICIT)
        assert found["00280106"] == {"vr": vr, "Value": [low]}
        assert found["00081140"]["Value"] == [{"00280107": {"vr": vr, "Value": [high]}}]


def test_a_memory_of_one_instance_does_not_leak_into_another() -> None:
    writer = JsonWriter()
    nested = implicit(0x00081140, item(implicit(0x00280107, b"\xfe\xff")))
    for representation in (b"\0\0", b"\1\0", b"\0\0"):
        data = nested + implicit(0x00280103, representation)
        assert writer.instance_json(data, IMPLICIT) == instance_json(data, IMPLICIT)
    for charset in (b"ISO_IR 100", b"ISO_IR 192", b"ISO_IR 100"):
        data = explicit(0x00080005, "CS", charset) + explicit(0x00100020, "LO", b"\xc3\xbc")
        assert writer.instance_json(data, EXPLICIT) == instance_json(data, EXPLICIT)
    for creator in (b"SIEMENS CT VA0  COAD", b"SOMEBODY"):
        data = implicit(0x00190010, creator) + implicit(0x001910B0, b"1\\2 ")
        assert writer.instance_json(data, IMPLICIT) == instance_json(data, IMPLICIT)
    inside = undefined_sequence(0x00880200, item(explicit(0x7FE00010, "OW", bytes(4))))
    for data in (inside, undefined_sequence(0x00081140, item(inside)), inside):
        assert writer.instance_json(data, EXPLICIT) == instance_json(data, EXPLICIT)


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_item, "MEMO_BYTES_MAX", 10_000)
    writer = JsonWriter()
    for number in range(500):
        writer.instance_json(with_element(0x00200013, "IS", even(str(number))), EXPLICIT)
        held = sum(len(k) + len(v) for m in writer._memory._memos.values() for k, v in m.items())
        assert held < 11_000


def nested_undefined(depth: int) -> bytes:
    head = explicit(0x00081140, "SQ", b"", length=0xFFFFFFFF) + bytes.fromhex("FEFF00E0FFFFFFFF")
    return head * depth + bytes.fromhex("FEFF0DE000000000FEFFDDE000000000") * depth


def nested_defined(depth: int) -> bytes:
    inside = b""
    for _ in range(depth):
        inside = explicit(0x00081140, "SQ", item(inside))
    return inside


@pytest.mark.parametrize("nested", [nested_undefined, nested_defined])
@pytest.mark.parametrize("depth", [1, 64, 65, 2_000])
def test_any_depth_gives_an_answer_and_nothing_behind_it_is_lost(nested: Any, depth: int) -> None:
    data = nested(depth) + explicit(0x00100020, "LO", b"PID1")
    found = written(data)
    assert found["00100020"]["Value"] == ["PID1"]
    level, at = 0, found["00081140"]
    while at.get("vr") == "SQ" and "Value" in at and at["Value"][0]:
        at = at["Value"][0]["00081140"]
        level += 1
    assert level == min(depth - 1, 64)
    assert at["vr"] == ("SQ" if depth <= 64 else "UN")


def test_a_sequence_that_is_no_items_keeps_its_bytes() -> None:
    found = written(explicit(0x00081140, "SQ", b"not items") + explicit(0x00100020, "LO", b"P1"))
    assert found["00081140"] == {"vr": "UN", "InlineBinary": "bm90IGl0ZW1z"}
    assert found["00100020"]["Value"] == ["P1"]


def test_what_is_cut_off_keeps_the_bytes_that_are_there() -> None:
    found = written(explicit(0x00100020, "LO", b"PID1", length=100))
    assert found == {"00100020": {"vr": "UN", "InlineBinary": "UElEMQ=="}}
    found = written(explicit(0x7FE00010, "OW", b"1234", length=100))
    assert found == {"7FE00010": {"vr": "OW", "BulkDataURI": "bulkdata/7FE00010"}}
    assert written(b"") == {}
    assert written(b"\x08\x00\x05") == {}


def test_a_data_set_cut_anywhere_gives_an_object() -> None:
    data = undefined_sequence(0x00081140, item(explicit(0x00100020, "LO", b"X "), defined=False))
    data = explicit(0x00080005, "CS", b"ISO_IR 100") + data + ct_explicit(CT_ELEMENTS[10:])
    for end in range(len(data)):
        written(data[:end])


def test_large_sequences_and_values_go_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    sequence = undefined_sequence(0x52009230, *[item(explicit(0x00200013, "IS", b"1 "))] * 500)
    text = explicit(0x00420010, "ST", b"x" * 5000) + explicit(0x00420012, "LO", b"x" * 5000)
    monkeypatch.setattr(json_item, "SEQUENCE_BYTES_MAX", 1000)
    monkeypatch.setattr(json_item, "VALUE_BYTES_MAX", 1000)
    found = written(text + sequence)
    assert found["52009230"] == {"vr": "UN", "BulkDataURI": "bulkdata/52009230"}
    assert found["00420010"] == {"vr": "ST", "BulkDataURI": "bulkdata/00420010"}
    assert found["00420012"] == {"vr": "UN", "BulkDataURI": "bulkdata/00420012"}
    monkeypatch.setattr(json_item, "SEQUENCE_BYTES_MAX", 1 << 20)
    monkeypatch.setattr(json_item, "JSON_BYTES_MAX", 1000)
    assert written(sequence)["52009230"]["vr"] == "UN"


def test_an_instance_whose_values_add_up_has_placeholders_for_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(json_item, "JSON_BYTES_MAX", 10_000)
    texts = [explicit(0x00420010 + n, "ST", b"x" * 900) for n in range(20)]
    names = [explicit(0x00440010 + n, "PN", b"A^B ") for n in range(20)]
    writer = JsonWriter()
    data = b"".join(texts + names)
    found = json.loads(writer.instance_json(data, EXPLICIT))
    assert found["00420010"] == {"vr": "ST", "Value": ["x" * 900]}
    assert found["00420023"] == {"vr": "ST", "BulkDataURI": "bulkdata/00420023"}
    assert found["00440010"] == {"vr": "UN", "BulkDataURI": "bulkdata/00440010"}
    again = json.loads(writer.instance_json(texts[19] + names[0], EXPLICIT))
    assert again["00420023"]["Value"] == ["x" * 900]  # nothing of it is remembered
    assert again["00440010"]["Value"] == [{"Alphabetic": "A^B"}]


def test_many_small_things_take_seconds_at_most() -> None:
    began = time.perf_counter()
    items = undefined_sequence(0x00081140, item(b"") * 200_000)
    assert len(written(items)["00081140"]["Value"]) == 200_000
    zeros = written(explicit(0x00100020, "LO", b"P1") + bytes(400_000))
    assert zeros["00100020"]["Value"] == ["P1"]
    many = b"".join(explicit(0x00100000 + n, "SH", b"") for n in range(0x1000, 0xC000)) * 2
    assert len(written(many)) == 0xB000
    assert time.perf_counter() - began < 10


def test_pixel_bytes_are_not_asked_for() -> None:
    asked: list[tuple[int, int]] = []
    head = ct_explicit(CT_ELEMENTS[:-1])
    size = 1 << 33
    pixels = explicit(0x7FE00010, "OW", b"", length=(1 << 32) - 2)
    trailing = explicit(0xFFFCFFFC, "OB", b"\0\0")
    end = len(head) + len(pixels) + (1 << 32) - 2

    def read(start: int, stop: int) -> bytes:
        asked.append((start, stop))
        whole = {0: head + pixels, end: trailing}
        for origin, data in whole.items():
            if origin <= start < origin + len(data):
                return data[start - origin : stop - origin] + bytes(stop - origin - len(data))
        return bytes(stop - start)

    found = json.loads(JsonWriter().instance(read, end + len(trailing), EXPLICIT))
    assert found["FFFCFFFC"] == {"vr": "OB", "InlineBinary": "AAA="}
    assert size > sum(stop - start for start, stop in asked) * 10_000


@pytest.mark.parametrize(
    ("keyword", "text", "expected"),
    [
        ("PatientName", "Wang^X=王^小東=", {"Alphabetic": "Wang^X", "Ideographic": "王^小東"}),
        ("PatientName", "A\\B", [{"Alphabetic": "A"}, {"Alphabetic": "B"}]),
        ("ModalitiesInStudy", "CT\\MR", ["CT", "MR"]),
        ("NumberOfStudyRelatedInstances", "12", [12]),
        ("SeriesNumber", "x", ["x"]),
        ("Rows", "512", [512]),
        ("ImagePositionPatient", "1\\-2.5\\3", [1.0, -2.5, 3.0]),
        ("StudyInstanceUID", "1.2", ["1.2"]),
        ("RetrieveURL", "http://x/1\\2", ["http://x/1\\2"]),
        ("PatientID", "", None),
        ("StudyDate", "20240131", ["20240131"]),
        ("PatientComments", "a\\b", ["a\\b"]),
        ("ManufacturerModelName", "M", ["M"]),
    ],
)
def test_an_element_is_made_from_its_text(keyword: str, text: str, expected: Any) -> None:
    found = element(keyword, text)
    if expected is None:
        assert "Value" not in found
        return
    assert found["Value"] == (expected if isinstance(expected, list) else [expected])


def test_bulk_data_is_found_behind_its_placeholder() -> None:
    pixels = explicit(0x7FE00010, "OW", b"nested pixels!")
    inside = undefined_sequence(
        0x00880200, item(explicit(0x00280010, "US", b"\1\0")), item(pixels, defined=False)
    )
    data = inside + explicit(0x00420011, "OB", b"%PDF" * 1000) + ct_explicit(CT_ELEMENTS[-1:])
    found = written(data)
    paths = [
        found["00880200"]["Value"][1]["7FE00010"]["BulkDataURI"],
        found["00420011"]["BulkDataURI"],
    ]
    assert paths == ["bulkdata/00880200/2/7FE00010", "bulkdata/00420011"]
    for path, expected in zip(paths, (b"nested pixels!", b"%PDF" * 1000), strict=True):
        start, end = bulk_range(
            lambda a, b: data[a:b], len(data), EXPLICIT, path.removeprefix("bulkdata/")
        )
        assert data[start:end] == expected


def test_every_placeholder_of_every_file_leads_to_bytes() -> None:
    def placeholders(found: dict[str, Any]) -> list[str]:
        paths = []
        for each in found.values():
            paths += [each["BulkDataURI"]] if "BulkDataURI" in each else []
            for inside in each.get("Value", []) if each["vr"] == "SQ" else []:
                paths += placeholders(inside)
        return paths

    seen = 0
    for sample in samples():
        if sample.hostile and len(sample.data_set) > 100_000:
            continue
        data, size = sample.data_set, len(sample.data_set)
        inflated = None
        if sample.transfer_syntax_uid == DEFLATED:
            inflated = InflatedDataSet(lambda a, b, data=data: data[a:b], size)
        for path in placeholders(written(data, sample.transfer_syntax_uid))[:20]:
            start, end = bulk_range(
                lambda a, b, data=data: data[a:b],
                size,
                sample.transfer_syntax_uid,
                path.removeprefix("bulkdata/"),
            )
            assert 0 <= start < end <= (inflated.size_bytes if inflated else size)
            seen += 1
    assert seen > 40
