"""What `import` finds on media, friendly and hostile."""

import os
import struct
import zipfile
from pathlib import Path

import pydicom.data
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from fileroom.cli import media
from fileroom.cli.dicomdir import DicomdirError, referenced_files
from fileroom.cli.media import Item, Passed, items

MEDIUM = Path(pydicom.data.__file__).parent / "test_files" / "dicomdirtests"


def found(*paths):
    everything = list(items([Path(path) for path in paths]))
    instances = [each for each in everything if isinstance(each, Item)]
    passed = [each for each in everything if isinstance(each, Passed)]
    return instances, passed


def read(item):
    with item.open() as stream:
        return stream.read()


def zipped(path, members, **how):
    with zipfile.ZipFile(path, "w", **how) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def test_a_folder_is_walked_in_order_to_its_depth(tmp_path):
    for name in ("b/2", "a/1", "c", "a/z/0"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(name)
    instances, passed = found(tmp_path)
    assert [Path(e.name).relative_to(tmp_path).as_posix() for e in instances] == [
        "c",
        "a/1",
        "a/z/0",
        "b/2",
    ]
    assert [read(each) for each in instances] == [b"c", b"a/1", b"a/z/0", b"b/2"]
    assert passed == []


def test_links_and_special_files_are_not_followed(tmp_path):
    (tmp_path / "secret").write_text("x")
    medium = tmp_path / "medium"
    medium.mkdir()
    (medium / "link").symlink_to(tmp_path / "secret")
    (medium / "loop").symlink_to(medium)
    os.mkfifo(medium / "pipe")
    instances, passed = found(medium)
    assert instances == []
    assert {(Path(e.name).name, e.refused) for e in passed} == {
        ("link", False),
        ("loop", False),
        ("pipe", False),
    }


def test_a_path_that_is_not_there_is_refused(tmp_path):
    _, (passed,) = found(tmp_path / "none")
    assert passed.refused


def test_the_members_of_a_zip_are_read_without_being_extracted(tmp_path):
    path = zipped(tmp_path / "a.zip", [("d/one", b"1" * 5000), ("../../two", b"2")])
    instances, passed = found(path)
    assert passed == []
    assert [(each.name, each.size_bytes) for each in instances] == [
        (f"{path}!d/one", 5000),
        (f"{path}!../../two", 1),
    ]
    assert [read(each) for each in instances] == [b"1" * 5000, b"2"]
    assert sorted(tmp_path.iterdir()) == [path]


def test_a_zip_inside_a_folder_is_opened_and_one_inside_a_zip_is_not(tmp_path):
    inner = zipped(tmp_path / "in.zip", [("x", b"x")]).read_bytes()
    (tmp_path / "in.zip").unlink()
    zipped(tmp_path / "out.zip", [("in.zip", inner), ("y", b"y")])
    instances, _ = found(tmp_path)
    assert [each.name.rpartition("!")[2] for each in instances] == ["in.zip", "y"]


def test_a_zip_that_would_expand_too_far_is_refused_unread(tmp_path):
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("zeros", "w", force_zip64=True) as member:
            for _ in range(65):
                member.write(bytes(1 << 20))
        archive.writestr("small", b"fine")
    instances, (passed,) = found(bomb)
    assert [each.name for each in instances] == [f"{bomb}!small"]
    assert passed.refused
    assert "would expand" in passed.reason


def test_a_zip_whose_sizes_are_forged_gives_no_more_than_it_states(tmp_path):
    path = zipped(tmp_path / "a.zip", [("x", bytes(100_000))], compression=zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\1\2")
    struct.pack_into("<I", data, at + 24, 10)  # uncompressed size, APPNOTE.TXT §4.3.12
    path.write_bytes(data)
    (item,), _ = found(path)
    assert item.size_bytes == 10
    with pytest.raises(zipfile.BadZipFile):
        read(item)


def test_a_zip_that_states_impossibly_much_is_refused_as_a_whole(tmp_path):
    path = zipped(tmp_path / "a.zip", [("x", b"x"), ("y", b"y")])
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2")
    struct.pack_into("<I", data, at + 24, 0xFFFFFFF0)
    path.write_bytes(data)
    assert found(path)[0] == []
    assert "expand" in found(path)[1][0].reason


def test_a_zip_with_a_huge_directory_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = zipped(tmp_path / "a.zip", [(str(n), b"") for n in range(100)])
    monkeypatch.setattr(media, "CENTRAL_DIRECTORY_BYTES_MAX", 1000)
    assert found(path) == (
        [],
        [Passed(str(path), "ZIP file with too many members", refused=True)],
    )


@pytest.mark.parametrize("cut", [4, 30, 60])
def test_a_cut_zip_is_refused(tmp_path, cut):
    path = zipped(tmp_path / "a.zip", [("x", b"x")])
    path.write_bytes(path.read_bytes()[:-cut])
    instances, (passed,) = found(path)
    assert instances == []
    assert passed.refused


def test_an_encrypted_member_is_refused_by_name(tmp_path):
    path = zipped(tmp_path / "a.zip", [("x", b"x")])
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1  # general purpose bit 0, APPNOTE.TXT §4.4.4
    path.write_bytes(data)
    assert found(path) == ([], [Passed(f"{path}!x", "encrypted ZIP member", refused=True)])


def test_a_name_cannot_steer_the_terminal(tmp_path):
    zipped(tmp_path / "a.zip", [("x\x1b[2J\n", b"x")])
    (tmp_path / os.fsdecode(b"\xff\n")).touch()
    instances, _ = found(tmp_path)
    assert all(each.name.isprintable() for each in instances)


def test_a_file_keeps_its_fingerprint_until_it_changes(tmp_path):
    path = tmp_path / "a"
    path.write_text("x")
    os.utime(path, ns=(0, 1))
    (first,), _ = found(path)
    assert found(tmp_path)[0][0].fingerprint == first.fingerprint
    os.utime(path, ns=(0, 2))
    assert found(path)[0][0].fingerprint != first.fingerprint


def test_a_dicomdir_gives_the_files_that_it_names():
    instances, passed = found(MEDIUM / "DICOMDIR")
    assert len(instances) == len(list(MEDIUM.glob("[0-9]*/**/*[0-9]"))) - 0 or len(instances) > 20
    assert all(dcmread(each.name).SOPInstanceUID for each in instances[:3])
    assert [each.reason for each in passed if each.refused] == []


def test_a_folder_with_a_dicomdir_is_imported_whole(tmp_path):
    whole, _ = found(MEDIUM)
    named, _ = found(MEDIUM / "DICOMDIR")
    assert {each.name for each in named} < {each.name for each in whole}
    assert not any(each.name.endswith("DICOMDIR") for each in whole)


def dicomdir(path, *references):
    """A DICOMDIR as pydicom writes one, naming these files."""
    dataset = Dataset()
    records = []
    for reference in references:
        record = Dataset()
        record.add_new(0x00041500, "CS", list(reference))
        record.DirectoryRecordType = "IMAGE"
        records.append(record)
    dataset.DirectoryRecordSequence = Sequence(records)
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize(
    "reference",
    [
        ("..", "secret"),
        ("IMAGES", "..", "..", "secret"),
        ("/etc", "passwd"),
        ("", "etc", "passwd"),
        ("..\\secret",),
        ("link", "secret"),
    ],
)
def test_a_dicomdir_cannot_name_files_outside_its_medium(tmp_path, reference):
    (tmp_path / "secret").write_text("x")
    medium = tmp_path / "medium"
    (medium / "IMAGES").mkdir(parents=True)
    (medium / "link").symlink_to(tmp_path)
    instances, passed = found(dicomdir(medium / "DICOMDIR", reference))
    assert instances == []
    assert [each.reason for each in passed if each.refused]


def test_a_dicomdir_finds_files_that_the_drive_shows_in_other_letters(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "im1.;1").write_text("x")
    instances, passed = found(dicomdir(tmp_path / "DICOMDIR", ("IMAGES", "IM1"), ("IMAGES", "IM2")))
    assert [Path(each.name).name for each in instances] == ["im1.;1"]
    assert ["not there" in each.reason for each in passed if each.refused] == [True]


@pytest.mark.parametrize("data", [b"", b"x" * 200, bytes(128) + b"DICM", bytes(128) + b"DICM" * 99])
def test_what_is_no_dicomdir_is_refused(tmp_path, data):
    (tmp_path / "DICOMDIR").write_bytes(data)
    instances, passed = found(tmp_path / "DICOMDIR")
    assert instances == []
    assert [each.refused for each in passed][-1:] in ([True], [False])


def test_a_deflated_or_huge_dicomdir_is_refused_before_it_is_read(tmp_path):
    path = dicomdir(tmp_path / "DICOMDIR", ("A",))
    deflated = path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99"[:20])
    path.write_bytes(deflated.replace(b"1.2.840.10008.1.2.1.", b"1.2.840.10008.1.2.2\0"))
    with pytest.raises(DicomdirError, match="transfer syntax"):
        referenced_files(path)
    with path.open("r+b") as file:
        file.truncate(33 << 20)
    with pytest.raises(DicomdirError, match="more than"):
        referenced_files(path)
