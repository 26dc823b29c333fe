from conform.catalog_samples import header
from fileroom.catalog.levels import TEXT_LENGTH_MAX, describe, plain_date


def test_a_header_is_taken_apart_by_level():
    described = describe(
        header("1.9.1", IssuerOfPatientID="NHS", SeriesDescription="AX", Rows="512")
    )
    assert (described.patient_id, described.issuer) == ("P-1", "NHS")
    assert (described.study_date, described.accession_number) == ("20240131", "A-1")
    assert described.patient == {
        "PatientName": "Doe^Jane",
        "PatientBirthDate": "19610412",
        "PatientSex": "F",
    }
    assert described.study == described.patient | {"StudyTime": "101530"}
    assert described.series == {"Modality": "CT", "SeriesNumber": "2", "SeriesDescription": "AX"}


def test_absent_attributes_are_empty_and_left_out():
    described = describe(header("1.9.1", PatientID="", PatientName="", StudyDate=""))
    assert (described.patient_id, described.study_date) == ("", "")
    assert "PatientName" not in described.study


def test_the_old_dotted_date_is_rewritten():
    assert plain_date("1994.01.31") == "19940131"
    assert plain_date("19940131") == "19940131"
    assert plain_date("around 1994") == plain_date("199401") == plain_date("") == ""


def test_what_is_no_date_is_shown_and_not_searched():
    described = describe(header("1.9.1", StudyDate="spring 1994"))
    assert (described.study_date, described.study["StudyDate"]) == ("", "spring 1994")
    assert "StudyDate" not in describe(header("1.9.1")).study


def test_shown_text_is_bounded_and_an_identity_is_not():
    described = describe(header("1.9.1", PatientID="9" * 5000, StudyDescription="x" * 5000))
    assert len(described.patient_id) == 5000
    assert len(described.study["StudyDescription"]) == TEXT_LENGTH_MAX
