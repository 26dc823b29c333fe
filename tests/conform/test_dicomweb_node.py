"""dicomweb-client against a whole node: the same answers from the spool and from a pack."""

from io import BytesIO
from pathlib import Path

import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom import dcmread, dcmwrite
from pydicom.data import get_testdata_file
from pydicom.encaps import generate_frames

from dicomweb_fakes import data_set_of
from nodes import Reached, running

NAMES = (
    "CT_small.dcm",
    "MR_small.dcm",
    "ExplVR_BigEnd.dcm",
    "rtdose.dcm",
    "SC_rgb_rle_2frame.dcm",
    "JPEG2000.dcm",
    "reportsi.dcm",
)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory):
    with running(tmp_path_factory.mktemp("node") / "data", seal__quiet_s="0.5") as reached:
        yield reached


def shipped(name: str) -> bytes:
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str)
    return Path(path).read_bytes()


def answers(node: Reached) -> dict[str, bytes]:
    """What the node gives for every resource of every file, by path."""
    found = {}
    for name in NAMES:
        data_set = dcmread(BytesIO(shipped(name)))
        study = f"/studies/{data_set.StudyInstanceUID}"
        instance = (
            f"{study}/series/{data_set.SeriesInstanceUID}/instances/{data_set.SOPInstanceUID}"
        )
        for path, accept in (
            (instance, "application/dicom"),
            (f"{study}/metadata", "application/dicom+json"),
            (f"{instance}/metadata", "application/dicom+json"),
            (f"{study}/series", "application/dicom+json"),
            (f"{study}/instances?includefield=all", "application/dicom+json"),
        ):
            status, body, _ = node.get(path, accept)
            assert status == 200, (name, path)
            found[path] = body
        if "PixelData" in data_set:
            for path in (f"{instance}/frames/1", f"{instance}/bulkdata/7FE00010"):
                status, body, fields = node.get(path)
                assert status == 200, (name, path)
                boundary = fields["content-type"].split('boundary="')[1].rstrip('"')
                found[path] = body.replace(boundary.encode(), b"")
    return found


def test_a_node_answers_the_same_from_its_spool_and_from_its_packs(node: Reached):
    client = DICOMwebClient(node.web)
    for name in NAMES:
        response = client._http_post_multipart_application_dicom(
            f"{node.web}/studies", [shipped(name)]
        )
        assert len(response.ReferencedSOPSequence) == 1, name
    spooled = answers(node)
    node.wait_committed(len(NAMES))
    packed = answers(node)
    assert packed == spooled


def test_a_node_gives_back_the_data_sets_it_was_given(node: Reached):
    for name in NAMES:
        file = shipped(name)
        data_set = dcmread(BytesIO(file))
        status, body, fields = node.get(
            f"/studies/{data_set.StudyInstanceUID}/series/{data_set.SeriesInstanceUID}"
            f"/instances/{data_set.SOPInstanceUID}",
            "application/dicom; transfer-syntax=*",
        )
        assert status == 200
        assert data_set_of(body) == data_set_of(file), name
        syntax = data_set.file_meta.TransferSyntaxUID
        assert fields["content-type"] == f"application/dicom; transfer-syntax={syntax}"


def test_dicomweb_client_reads_frames_of_a_node(node: Reached):
    client = DICOMwebClient(node.web)
    dose = dcmread(BytesIO(shipped("rtdose.dcm")))
    uids = (dose.StudyInstanceUID, dose.SeriesInstanceUID, dose.SOPInstanceUID)
    size = len(dose.PixelData) // 15
    assert client.retrieve_instance_frames(*uids, frame_numbers=[15, 2]) == [
        dose.PixelData[14 * size :],
        dose.PixelData[size : 2 * size],
    ]
    rle = dcmread(BytesIO(shipped("SC_rgb_rle_2frame.dcm")))
    uids = (rle.StudyInstanceUID, rle.SeriesInstanceUID, rle.SOPInstanceUID)
    frames = list(generate_frames(rle.PixelData, number_of_frames=2))
    assert (
        client.retrieve_instance_frames(
            *uids, frame_numbers=[1, 2], media_types=(("image/dicom-rle", "1.2.840.10008.1.2.5"),)
        )
        == frames
    )


def test_dicomweb_client_searches_a_node(node: Reached):
    client = DICOMwebClient(node.web)
    ct = dcmread(BytesIO(shipped("CT_small.dcm")))
    assert len(client.search_for_studies()) == len(
        {dcmread(BytesIO(shipped(name))).StudyInstanceUID for name in NAMES}
    )
    for filters in (
        {"PatientID": ct.PatientID},
        {"PatientName": "CompressedSamples^CT*"},
        {"PatientName": "compressedsamples^ct1"},
        {"StudyInstanceUID": ct.StudyInstanceUID},
        {"StudyDate": "20040101-20040131", "ModalitiesInStudy": "CT"},
        {"00200010": ct.StudyID},
    ):
        (row,) = client.search_for_studies(search_filters=filters)
        assert row["0020000D"]["Value"] == [ct.StudyInstanceUID], filters
    (row,) = client.search_for_series(search_filters={"Modality": "CT"})
    assert row["0020000E"]["Value"] == [ct.SeriesInstanceUID]
    (row,) = client.search_for_instances(search_filters={"SOPInstanceUID": ct.SOPInstanceUID})
    assert row["00280010"]["Value"] == [ct.Rows]
    assert client.search_for_studies(search_filters={"PatientID": "nobody"}) == []


def test_a_node_refuses_an_instance_of_another_study_and_keeps_nothing_of_it(node: Reached):
    data_set = dcmread(BytesIO(shipped("CT_small.dcm")))
    data_set.StudyInstanceUID = "1.2.826.0.1.3680043.8.498.77"
    data_set.SOPInstanceUID = data_set.file_meta.MediaStorageSOPInstanceUID = "1.2.3.77"
    out = BytesIO()
    dcmwrite(out, data_set)
    status, body, _ = node.request(
        "POST",
        "/dicomweb/studies/1.2.3.4",
        {"Content-Type": "application/dicom"},
        out.getvalue(),
    )
    assert status == 409
    assert b"00081198" in body
    assert node.get(f"/studies/{data_set.StudyInstanceUID}")[0] == 404
