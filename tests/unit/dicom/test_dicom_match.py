"""Attribute matching as PS3.4 §C.2.2.2 has it."""

import time

import pytest

from fileroom.dicom.match import Condition, fold, fuzzy, parse, wildcard_matches


@pytest.mark.parametrize(
    ("keyword", "text", "kind", "values"),
    [
        ("PatientName", "", "universal", ()),
        ("PatientName", "  ", "universal", ()),
        ("PatientName", "Smith^John", "single", ("Smith^John",)),
        ("PatientName", "Smith*", "wildcard", ("Smith*",)),
        ("PatientID", "A?1 ", "wildcard", ("A?1",)),
        ("StudyDate", "20240131", "single", ("20240131",)),
        ("StudyDate", "2024.01.31", "single", ("20240131",)),
        ("StudyDate", "20240101-20240131", "range", ("20240101", "20240131")),
        ("StudyDate", "-20240131", "range", ("", "20240131")),
        ("StudyDate", "20240101-", "range", ("20240101", "")),
        ("StudyDate", "-", "universal", ()),
        ("StudyTime", "10:15-11", "range", ("1015", "11")),
        ("StudyInstanceUID", "1.2\\1.3\\1.2\\", "uid_list", ("1.2", "1.3")),
        ("SOPInstanceUID", "1.2", "uid_list", ("1.2",)),
        ("SeriesNumber", "1*", "single", ("1*",)),
        ("ModalitiesInStudy", "CT", "single", ("CT",)),
        ("NoSuchKeyword", "x*", "wildcard", ("x*",)),
        ("AcquisitionDateTime", "20240101100000-0500", "single", ("20240101100000-0500",)),
        ("AcquisitionDateTime", "20240101-20240102", "range", ("20240101", "20240102")),
        (
            "AcquisitionDateTime",
            "20240101100000-0500-20240102100000-0500",
            "range",
            ("20240101100000-0500", "20240102100000-0500"),
        ),
    ],
)
def test_a_text_is_parsed_by_its_representation(
    keyword: str, text: str, kind: str, values: tuple[str, ...]
) -> None:
    assert parse(keyword, text) == Condition(keyword, kind, values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("keyword", "text", "value", "expected"),
    [
        # single values
        ("PatientID", "PID1", "PID1", True),
        ("PatientID", "pid1", "PID1", False),
        ("PatientID", "PID1", "PID1 ", True),
        ("PatientID", "PID", "PID1", False),
        ("PatientID", "PID1", None, False),
        ("PatientID", "PID1", "", False),
        ("SeriesNumber", "1", "01", True),
        ("SeriesNumber", "1", "+1", True),
        ("SeriesNumber", "1", "10", False),
        ("SeriesNumber", "x", "x", True),
        ("Rows", "512", "512", True),
        ("StudyDate", "20240131", "2024.01.31", True),
        ("StudyTime", "101500", "10:15:00", True),
        # universal
        ("PatientID", "", None, True),
        ("PatientID", "*", None, True),
        ("PatientID", "**", "", True),
        ("PatientID", "?", "", False),
        # wildcards
        ("PatientID", "P*1", "PID1", True),
        ("PatientID", "P?1", "PID1", False),
        ("PatientID", "P??1", "PID1", True),
        ("PatientID", "p*", "PID1", False),
        ("AccessionNumber", "*C*", "ACC", True),
        ("AccessionNumber", "[A]*", "ACC", False),
        # several values
        ("ModalitiesInStudy", "CT", "MR\\CT", True),
        ("ModalitiesInStudy", "PT", "MR\\CT", False),
        ("ModalitiesInStudy", "C*", "MR\\CT", True),
        # UIDs
        ("StudyInstanceUID", "1.2\\1.3", "1.3", True),
        ("StudyInstanceUID", "1.2\\1.3", "1.4", False),
        # names
        ("PatientName", "smith^john", "Smith^John", True),
        ("PatientName", "Smith", "Smith^John", False),
        ("PatientName", "Smith^John", "Smith^John^^", True),
        ("PatientName", "Smith^John^", "Smith^John", True),
        ("PatientName", "muller*", "Müller^Anna", True),
        ("PatientName", "MÜLLER*", "Muller^Anna", True),
        ("PatientName", "*^anna", "Müller^Anna", True),
        ("PatientName", "山田*", "Yamada^Tarou=山田^太郎=やまだ^たろう", True),
        ("PatientName", "*=山田*", "Yamada^Tarou=山田^太郎", True),
        ("PatientName", "Tanaka*=山田*", "Yamada^Tarou=山田^太郎", False),
        ("PatientName", "=山田^太郎", "Yamada^Tarou=山田^太郎", True),
        ("PatientName", "Yamada^Tarou=山田", "Yamada^Tarou", False),
        # ranges
        ("StudyDate", "20240101-20240131", "20240101", True),
        ("StudyDate", "20240101-20240131", "20240131", True),
        ("StudyDate", "20240101-20240131", "20240201", False),
        ("StudyDate", "20240101-20240131", "20231231", False),
        ("StudyDate", "-20240131", "19000101", True),
        ("StudyDate", "20240101-", "99991231", True),
        ("StudyDate", "20240101-20240131", "2024.01.15", True),
        ("StudyDate", "20240101-20240131", None, False),
        ("StudyDate", "20240101-20240131", "unknown", False),
        ("StudyTime", "10-11", "105959.999", True),
        ("StudyTime", "10-11", "115959", True),
        ("StudyTime", "1000-1100", "110059.5", True),
        ("StudyTime", "1000-1100", "1101", False),
        ("StudyTime", "100000-100000", "100000.5", True),
        ("StudyTime", "1030-", "10", True),
    ],
)
def test_a_condition_matches_as_the_standard_says(
    keyword: str, text: str, value: str | None, expected: bool
) -> None:
    assert parse(keyword, text).matches(value) is expected


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Müller", "muller"),
        ("ŁÓDŹ", "lodz"),
        ("Straße", "strasse"),
        ("Ægir Øre", "aegir ore"),
        ("İstanbul", "istanbul"),
        ("ΜΑΪΟΣ", "μαιοσ"),
        ("ﾔﾏﾀﾞ", "ヤマダ"),
        ("홍길동", "홍길동"),
        ("ガ", "ガ"),
        ("כָּתַב", "כתב"),
    ],
)
def test_folding_leaves_case_accents_and_width_out(text: str, folded: str) -> None:
    assert fold(text) == folded
    assert fold(folded) == folded


def test_no_pattern_and_no_text_takes_long() -> None:
    began = time.perf_counter()
    text = "a" * 65_536
    assert not wildcard_matches("*a" * 500 + "b", text)
    assert not wildcard_matches("*" + "?a" * 500 + "b*", text)
    assert not wildcard_matches("?*" * 500 + "b", text)
    assert not parse("PatientName", "*" * 100_000 + "b").matches(text)
    assert not parse("PatientID", "*" * 100_000 + "b").matches(text)
    fold("a" + "\u0300\u3099\u0316" * 50_000)
    assert time.perf_counter() - began < 2


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("doe jane", "Doe^Jane^Q", True),
        ("JANE DOE", "Doe^Jane", True),
        ("doe, j", "Doe^Jane", True),
        ("doe john", "Doe^Jane", False),
        ("ane", "Doe^Jane", False),
        ("mueller", "Müller^Jörg", True),
        ("muller", "Mueller^Joerg", True),
        ("obrien", "O'Brien^Pat", True),
        ("o brien", "OBrien^Pat", True),
        ("van der berg", "Berg^Jan^van der", True),
        ("山田太郎", "Yamada^Tarou=山田^太郎", True),
        ("yamada 太郎", "Yamada^Tarou=山田^太郎", False),
        ("=太郎", "Yamada^Tarou=山田^太郎", True),
        ("=yamada", "Yamada^Tarou=山田^太郎", False),
        ("doe*", "Doe^Jane", True),  # wildcards are what they always are
        ("jane*", "Doe^Jane", False),
        ("^", "Doe^Jane", False),
    ],
)
def test_a_name_is_fuzzily_another(key: str, value: str, expected: bool) -> None:
    assert fuzzy("PatientName", key).matches(value) is expected


def test_fuzzy_matching_is_bounded() -> None:
    assert fuzzy("PatientName", "a " * 16).kind == "fuzzy"
    assert fuzzy("PatientName", "a " * 17).kind == "single"


@pytest.mark.parametrize(
    ("vr", "text", "value", "expected"),
    [
        ("DS", "1.50", "1.5", True),
        ("DA", "20240101-", "20240102", True),
        ("PN", "muller*", "Müller", True),
        ("UI", "1.2\\1.3", "1.3", True),
        ("CS", "a*", "A", False),
    ],
)
def test_a_stated_representation_decides(vr: str, text: str, value: str, expected: bool) -> None:
    assert parse("NoSuchKeyword", text, vr=vr).matches(value) is expected
