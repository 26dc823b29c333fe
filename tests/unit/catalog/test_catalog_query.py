import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileroom.catalog.errors import UnmatchableError
from fileroom.catalog.query import (
    Column,
    Level,
    Narrowing,
    Operation,
    Search,
    folded_groups,
    plan,
)
from fileroom.dicom.match import parse


def planned(level: Level = Level.STUDY, *, combined: bool = True, **keys: str):
    conditions = tuple(parse(keyword, text) for keyword, text in keys.items())
    return plan(
        Search(
            level=level,
            partition="main",
            limit=10,
            conditions=conditions,
            combined_datetime=combined,
        )
    )


def test_a_whole_value_is_decided_by_its_index():
    found = planned(PatientID="P1")
    assert found.narrowings == (Narrowing(Column.PATIENT_ID, Operation.EQUAL, ("P1",)),)
    assert found.first is Column.PATIENT_ID
    assert found.exact


def test_universal_matching_asks_nothing():
    for text in ("", "*", "**"):
        found = planned(PatientID=text, PatientName=text, StudyDescription=text)
        assert (found.narrowings, found.checks, found.exact) == ((), (), True)
        assert found.first is Column.STUDY_DATE


def test_a_pattern_is_a_glob_behind_a_range_and_brackets_are_text():
    found = planned(AccessionNumber="A[1]*?")
    assert found.narrowings == (
        Narrowing(Column.ACCESSION_NUMBER, Operation.FROM, ("A[1]",)),
        Narrowing(Column.ACCESSION_NUMBER, Operation.BELOW, ("A[1^",)),
        Narrowing(Column.ACCESSION_NUMBER, Operation.GLOB, ("A[[]1]*?",)),
    )
    assert planned(AccessionNumber="*1").first is Column.STUDY_DATE


def test_a_name_is_narrowed_folded_and_then_checked():
    found = planned(PatientName="MÜLLER^J*")
    assert [each.operands for each in found.narrowings] == [
        ("muller^j",),
        ("muller^k",),
        ("muller^j*",),
    ]
    assert [check.keyword for check in found.checks] == ["PatientName"]
    assert found.first is Column.NAME


def test_a_whole_value_comes_before_a_beginning_and_a_beginning_before_a_date():
    keys = {"StudyDate": "20240101-20240131", "PatientName": "D*"}
    assert planned(**keys).first is Column.NAME
    assert planned(**keys, AccessionNumber="A1").first is Column.ACCESSION_NUMBER
    assert planned(StudyDate="20240101-").first is Column.STUDY_DATE


def test_ranges_of_date_and_time_are_one_if_they_have_one_form():
    keys = {"StudyDate": "20240101-20240131", "StudyTime": "10-12"}
    [pair] = planned(**keys).moments
    assert [each.keyword for each in pair] == ["StudyDate", "StudyTime"]
    assert planned(**keys).checks == ()
    assert planned(combined=False, **keys).moments == ()
    apart = planned(StudyDate="20240101-", StudyTime="10-12")
    assert apart.moments == ()
    assert [check.keyword for check in apart.checks] == ["StudyTime"]


@pytest.mark.parametrize(
    ("date", "time", "inside"),
    [
        ("20060705", "0959", False),
        ("20060705", "10", True),
        ("20060706", "0300", True),
        ("20060707", "1759", True),
        ("20060707", "1900", False),
        ("20060705", "", True),
        ("20060708", "", False),
        ("", "1200", False),
    ],
)
def test_the_standards_example_of_a_combined_range(date, time, inside):
    # PS3.4 §C.2.2.2.5.4, note: July 5, 10am until July 7, 6pm
    found = planned(StudyDate="20060705-20060707", StudyTime="1000-1800")
    assert found.admits({"StudyDate": date, "StudyTime": time}) is inside


def test_one_of_several_values_is_enough():
    found = planned(Level.SERIES, ScheduledProcedureStepID="SPS2")
    assert found.admits({"ScheduledProcedureStepID": "SPS1\\SPS2"})
    assert not found.admits({"ScheduledProcedureStepID": "SPS1\\SPS3"})
    assert not found.admits({})


def test_a_key_of_another_level_is_refused_by_name():
    with pytest.raises(UnmatchableError, match="Modality"):
        planned(Modality="CT")
    assert planned(Level.SERIES, Modality="CT").checks


def test_a_name_is_kept_by_component_group():
    assert folded_groups("Yamada^Tarou=山田^太郎=") == ("yamada^tarou", "山田^太郎")
    assert folded_groups("Doe^Jane^^") == folded_groups("DOE^JANE")
    assert folded_groups("") == ()


letters = st.characters(exclude_characters="*?\\\0 ", exclude_categories=["Cs"])


@given(
    prefix=st.text(letters, min_size=1, max_size=5) | st.just("a\U0010ffff") | st.just("\ud7ff"),
    rest=st.text(max_size=5),
    other=st.text(max_size=9),
)
def test_a_range_holds_exactly_what_begins_so(prefix, rest, other):
    narrowings = planned(AccessionNumber=f"{prefix}*").narrowings
    bounds = {each.operation: each.operands[0] for each in narrowings}

    def inside(text: str) -> bool:
        below = bounds.get(Operation.BELOW)
        return bounds[Operation.FROM] <= text and (below is None or text < below)

    assert inside(prefix + rest)
    assert inside(other) is other.startswith(prefix)
