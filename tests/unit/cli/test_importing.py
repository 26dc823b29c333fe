"""`import`: every file ends stored, refused, skipped or stored before, and a second run goes on."""

import json
import shutil
import zipfile
from pathlib import Path

import pydicom.data
import pytest
from pydicom import dcmread

from fileroom.cli.client import NodeUnavailableError, NoRoomError, Stored, UnreadableError
from fileroom.cli.importing import (
    BATCH_FILES_MAX,
    INDEX,
    NOT_DICOM,
    Importer,
    report_lines,
    sop_instance_uid_of,
    why_failed,
)
from fileroom.cli.journal import Journal
from fileroom.cli.media import Item, items
from fileroom.cli.progress import Progress

FILES = Path(pydicom.data.__file__).parent / "test_files"
CT = FILES / "CT_small.dcm"


class FakeNode:
    """Reads what it is sent, as the node does, and answers by the SOP Instance UID."""

    def __init__(self):
        self.requests = []
        self.fail = {}
        self.errors = []

    def store(self, parts):
        if self.errors:
            raise self.errors.pop(0)
        answer = Stored()
        uids = []
        for number, part in enumerate(parts):
            with part.open() as stream:
                data = stream.read()
            if len(data) != part.size_bytes:
                raise UnreadableError("it ends early", number=number)
            with part.open() as stream:
                uid = str(dcmread(stream, stop_before_pixels=True, force=True).SOPInstanceUID)
            uids.append(uid)
            if uid in self.fail:
                answer.failed[uid] = self.fail[uid]
            else:
                answer.accepted.add(uid)
        self.requests.append(uids)
        return answer


@pytest.fixture
def node():
    return FakeNode()


@pytest.fixture
def run(node, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    slept = []

    def import_(*paths, again=False):
        progress = Progress(paths, shown=False)
        journal = Journal(data)
        importer = Importer(node, journal, again=again, progress=progress, sleep=slept.append)
        try:
            importer.run([Path(path) for path in paths])
        finally:
            importer.finish()
        return importer.report

    import_.slept = slept
    return import_


def variants(folder, count):
    """CT slices that differ in their UIDs."""
    folder.mkdir(exist_ok=True)
    dataset = dcmread(CT)
    for number in range(count):
        uid = f"1.2.3.{number + 1}"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
        dataset.save_as(folder / f"{number:04}")
    return folder


def test_every_file_is_sent_once_in_batches(run, node, tmp_path):
    report = run(variants(tmp_path / "in", BATCH_FILES_MAX + 3))
    assert report.stored == BATCH_FILES_MAX + 3
    assert [len(uids) for uids in node.requests] == [BATCH_FILES_MAX, 3]
    assert report.refused == report.skipped == []


def test_a_second_run_sends_only_what_is_new(run, node, tmp_path):
    folder = variants(tmp_path / "in", 3)
    run(folder)
    variants(tmp_path / "more", 1)
    shutil.copy(tmp_path / "more" / "0000", folder / "late")
    report = run(folder)
    assert (report.stored, report.stored_before) == (1, 3)
    assert run(folder, again=True).stored == 4


def test_the_index_of_a_medium_is_skipped_under_any_name_and_in_a_zip(run, tmp_path):
    """Whoever zips a CD zips its DICOMDIR too."""
    index = FILES / "dicomdirtests" / "DICOMDIR"
    shutil.copy(index, tmp_path / "old-index")
    with zipfile.ZipFile(tmp_path / "cd.zip", "w") as medium:
        medium.write(index, "DICOMDIR")
        medium.write(CT, "IM1")
    report = run(tmp_path / "old-index", tmp_path / "cd.zip")
    assert (report.stored, report.refused) == (1, [])
    assert [each.reason for each in report.skipped] == [INDEX, INDEX]


def test_a_run_that_is_broken_off_keeps_what_was_stored(run, node, tmp_path):
    folder = variants(tmp_path / "in", BATCH_FILES_MAX + 1)
    store = node.store

    def fail_second(parts):
        if node.requests:
            raise NoRoomError("full")
        return store(parts)

    node.store = fail_second
    with pytest.raises(NoRoomError):
        run(folder)
    node.store = store
    report = run(folder)
    assert (report.stored, report.stored_before) == (1, BATCH_FILES_MAX)


def test_a_node_that_cannot_just_now_is_asked_again(run, node):
    node.errors = [NodeUnavailableError("503")] * 2
    assert run(CT).stored == 1
    assert run.slept == [1, 2]


def test_a_node_that_stays_away_ends_the_run(run, node):
    node.errors = [NodeUnavailableError("503")] * 6
    with pytest.raises(NodeUnavailableError):
        run(CT)
    assert len(run.slept) == 5


def test_a_refused_instance_is_told_with_its_reason_and_is_not_noted_as_stored(run, node):
    uid = str(dcmread(CT).SOPInstanceUID)
    node.fail = {uid: 0xC000}
    report = run(CT)
    assert [(e.name, e.reason) for e in report.refused] == [(str(CT), "it cannot be read")]
    node.fail = {}
    assert run(CT).stored == 1


def test_what_is_no_instance_is_skipped_and_told(run, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "README.TXT").write_text("how to view")
    (tmp_path / "in" / "empty").touch()
    report = run(tmp_path / "in")
    assert report.stored == 0
    assert [each.reason for each in report.skipped] == [NOT_DICOM, NOT_DICOM]
    assert report.refused == []


def test_a_header_that_cannot_be_read_is_refused(run, tmp_path):
    (tmp_path / "a").write_bytes(bytes(128) + b"DICM" + b"\2\0\0\0UL\xff\xff")
    report = run(tmp_path / "a")
    assert len(report.refused) == 1


def test_two_files_with_one_uid_go_in_two_requests(run, node, tmp_path):
    shutil.copy(CT, tmp_path / "a")
    shutil.copy(CT, tmp_path / "b")
    assert run(tmp_path / "a", tmp_path / "b").stored == 2
    assert [len(uids) for uids in node.requests] == [1, 1]


def test_a_file_whose_data_set_has_another_uid_is_asked_for_alone(run, node, tmp_path):
    folder = variants(tmp_path / "in", 2)
    dataset = dcmread(folder / "0000")
    dataset.SOPInstanceUID = "1.2.3.99"  # and the header keeps 1.2.3.1
    dataset.save_as(folder / "0000")
    node.fail = {"1.2.3.99": 0xA900}
    report = run(folder)
    assert report.stored == 1
    assert [each.reason for each in report.refused] == [why_failed(0xA900)]
    assert node.requests[-1] == ["1.2.3.99"]


def test_a_file_that_changes_while_it_is_read_does_not_spoil_the_others(run, node, tmp_path):
    folder = variants(tmp_path / "in", 3)
    listed = list(items([folder]))
    (folder / "0001").write_bytes((folder / "0001").read_bytes()[:-10])
    importer = Importer(
        node,
        Journal(tmp_path / "data"),
        again=False,
        progress=Progress([], shown=False),
    )
    for item in listed:
        importer._take(item)
    importer._send()
    assert importer.report.stored == 2
    assert [Path(each.name).name for each in importer.report.refused] == ["0001"]


def test_the_report_counts_by_reason_and_names_the_refused(run, node, tmp_path):
    node.fail = {str(dcmread(CT).SOPInstanceUID): 0xA7FF}
    (tmp_path / "note").write_text("x")
    text = "\n".join(report_lines(run(CT, tmp_path / "note")))
    assert "0 stored" in text
    assert "1 refused: the node is out of room (A7FFH)" in text
    assert f"1 skipped: {NOT_DICOM}" in text
    assert f"  {CT}: the node is out of room (A7FFH)" in text


def test_the_journal_holds_no_name_and_survives_a_torn_record(run, tmp_path):
    run(variants(tmp_path / "DOE^JOHN", 2))
    journal = tmp_path / "data" / "import" / "journal"
    assert b"DOE" not in journal.read_bytes()
    assert journal.stat().st_size == 32
    assert journal.stat().st_mode & 0o777 == 0o600
    with journal.open("ab") as file:
        file.write(b"torn")
    assert run(tmp_path / "DOE^JOHN").stored_before == 2
    assert journal.stat().st_size == 32


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (0xA700, "the node is out of room"),
        (0xC123, "it cannot be read (C123H)"),
        (0x0122, "SOP class not supported"),
        (0xB000, "refused by the node (B000H)"),
    ],
)
def test_a_failure_reason_is_told_in_words(reason, text):
    assert why_failed(reason) == text


def test_the_uid_of_every_file_that_pydicom_reads_is_the_one_in_its_header():
    checked = 0
    for path in sorted(FILES.glob("*.dcm")):
        try:
            expected = dcmread(path, stop_before_pixels=True).file_meta.MediaStorageSOPInstanceUID
        except Exception:
            continue
        (item,) = items([path])
        assert isinstance(item, Item)
        assert sop_instance_uid_of(item) == expected
        checked += 1
    assert checked > 50


def test_a_report_is_json(run):
    from fileroom.cli.importing import _document

    document = json.loads(json.dumps(_document(run(CT), whole=True)))
    assert document["stored"] == 1
    assert document["skipped_files"] == []
