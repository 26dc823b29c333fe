"""unpack.py alone, as a hospital runs it: a bucket, a kit, one file, one package."""

import ast
import hashlib
import io
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pydicom
import pytest

from fileroom.pack import unpack
from unit.pack.packs import GOLDEN, HEAD, STUDY_KEY, STUDY_KEY_ID, golden_pack, make_pack, tink_seal

PASSPHRASE = "R\u00f6ntgen room 7"
RECOVERY_KEY = bytes(range(0x40, 0x60)).hex()
KEY = ["--key", STUDY_KEY.hex()]
REFUSED, NO_FILE, DAMAGED = 4, 6, 7  # as docs/exit-codes.md has them


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def run(*arguments: object) -> int:
    return unpack.main([str(each) for each in arguments])


def pack_of(zip_bytes: bytes, tmp_path: Path) -> Path:
    sealed = tink_seal(zip_bytes)
    path = tmp_path / hashlib.sha256(sealed).hexdigest()
    path.write_bytes(sealed)
    return path


def test_it_needs_no_fileroom_and_only_one_package():
    tree = ast.parse(Path(unpack.__file__).read_text())
    imported = {
        (node.module or "").split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
    } | {
        alias.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert imported - set(sys.stdlib_module_names) == {"cryptography"}


def test_a_copy_of_it_opens_a_bucket_with_the_passphrase(tmp_path, out):
    shutil.copy(unpack.__file__, tmp_path / "unpack.py")
    (tmp_path / "passphrase").write_text(PASSPHRASE + "\n")
    command = [sys.executable, "-I", "unpack.py", golden_pack(), "--keyring", GOLDEN / "keyring"]
    command += ["--passphrase-file", "passphrase", "-o", out]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert answer.stderr == ""
    assert answer.stdout == "2 DICOM files written and checked\n"
    assert sorted(path.name for path in out.iterdir()) == ["000001.dcm", "000002.dcm"]
    first, second = (pydicom.dcmread(path) for path in sorted(out.iterdir()))
    assert first.pixel_array.shape == (200, 200)
    assert second.pixel_array.shape == (2, 16, 16)
    assert second.PatientID == "G-1"


@pytest.mark.parametrize(
    "arguments",
    [
        KEY,
        ["--keyring", GOLDEN / "keyring", "--recovery-key", RECOVERY_KEY],
        ["--keyring", GOLDEN / "keyring", "--recovery-key", RECOVERY_KEY.upper()],
    ],
)
def test_it_opens_a_pack_with_the_study_key_or_the_recovery_key(arguments, out):
    assert run(golden_pack(), *arguments, "-o", out) == 0
    assert len(list(out.iterdir())) == 2


def test_keys_can_come_from_files(tmp_path, out):
    (tmp_path / "key").write_text(STUDY_KEY.hex() + "\n")
    assert run(golden_pack(), "--key", tmp_path / "key", "-o", out) == 0


def test_a_decomposed_passphrase_is_the_same(tmp_path, out):
    (tmp_path / "passphrase").write_text("Ro\u0308ntgen room 7")
    arguments = ["--keyring", GOLDEN / "keyring", "--passphrase-file", tmp_path / "passphrase"]
    assert run(golden_pack(), *arguments, "-o", out) == 0


def test_a_pack_outside_of_its_folder_needs_its_key_id(tmp_path, out, capsys):
    moved = shutil.copy(golden_pack(), tmp_path)
    arguments = [moved, "--keyring", GOLDEN / "keyring", "--recovery-key", RECOVERY_KEY, "-o", out]
    assert run(*arguments) == REFUSED
    assert "--study-key-id" in capsys.readouterr().err
    assert run(*arguments, "--study-key-id", STUDY_KEY_ID.hex()) == 0


def test_what_comes_out_is_what_went_in(tmp_path, out):
    made = make_pack([b"a" * 70_000, b"", b"c"])
    path = tmp_path / made.written.sha256.hex()
    path.write_bytes(made.data)
    assert run(path, *KEY, "-o", out) == 0
    written = [path.read_bytes() for path in sorted(out.iterdir())]
    assert written == [HEAD + body for body in made.bodies]
    assert out.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in out.iterdir())


def test_a_file_that_is_there_is_not_overwritten(out):
    out.mkdir()
    (out / "000001.dcm").write_text("mine")
    assert run(golden_pack(), *KEY, "-o", out) == REFUSED
    assert (out / "000001.dcm").read_text() == "mine"
    assert [path.name for path in out.iterdir()] == ["000001.dcm"]


def test_a_pack_under_another_packs_name_is_damaged(tmp_path, out, capsys):
    path = tmp_path / ("0" * 64)
    path.write_bytes(golden_pack().read_bytes())
    assert run(path, *KEY, "-o", out) == DAMAGED
    assert "not its name" in capsys.readouterr().err
    assert not out.exists()


def test_two_packs_that_changed_places_are_damaged_and_are_whole_by_themselves(tmp_path, out):
    made = [make_pack([body]) for body in (b"one", b"other")]
    paths = [tmp_path / each.written.sha256.hex() for each in made]
    for path, each in zip(paths, reversed(made), strict=True):
        path.write_bytes(each.data)
        assert run(path, *KEY, "-o", out) == DAMAGED
    assert not out.exists()
    paths[0].rename(tmp_path / "between")
    assert run(tmp_path / "between", *KEY, "-o", out) == 0


def test_a_pack_without_a_digest_for_a_name_is_opened_with_a_note(tmp_path, out, capsys):
    path = tmp_path / "some.pack"
    path.write_bytes(golden_pack().read_bytes())
    assert run(path, *KEY, "-o", out) == 0
    assert golden_pack().name in capsys.readouterr().err


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("size", [0, 39, 40, 56, 65_536, 65_540, 83_639])
def test_a_cut_pack_is_damaged(tmp_path, out, size, named):
    path = tmp_path / (golden_pack().name if named else "cut")
    path.write_bytes(golden_pack().read_bytes()[:size])
    assert run(path, *KEY, "-o", out) == DAMAGED
    assert not list(out.glob("*"))


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("at", [0, 5, 36, 40, 1000, 65_530, 65_540, -20, -1])
def test_a_flipped_bit_is_damage_and_leaves_no_file_that_looks_whole(tmp_path, out, at, named):
    data = bytearray(golden_pack().read_bytes())
    data[at] ^= 1
    path = tmp_path / (golden_pack().name if named else "flipped")
    path.write_bytes(data)
    assert run(path, *KEY, "-o", out) == DAMAGED
    assert not list(out.glob("*"))


@pytest.mark.parametrize("arguments", [["--key", "00" * 32], ["--key", "xyz"], ["--key", ""]])
def test_a_wrong_key_is_refused(out, arguments, capsys):
    assert run(golden_pack(), *arguments, "-o", out) == REFUSED
    assert "refused" in capsys.readouterr().err


def test_what_does_not_open_and_has_no_digest_for_a_name_counts_as_damaged(tmp_path, out, capsys):
    """It may be the key, too; but nobody shall read from the exit code that the pack is whole."""
    path = tmp_path / "some.pack"
    path.write_bytes(golden_pack().read_bytes())
    assert run(path, "--key", "00" * 32, "-o", out) == DAMAGED
    assert "or another key" in capsys.readouterr().err


def test_a_wrong_passphrase_and_a_wrong_recovery_key_are_refused(tmp_path, out, capsys):
    (tmp_path / "passphrase").write_text("another")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for code, *arguments in (
        (REFUSED, "--passphrase-file", tmp_path / "passphrase"),
        (REFUSED, "--passphrase-file", tmp_path / "binary"),
        (NO_FILE, "--passphrase-file", tmp_path / "absent"),
        (REFUSED, "--recovery-key", "00" * 32),
        (REFUSED, "--recovery-key", tmp_path / "binary"),
    ):
        arguments = ["--keyring", GOLDEN / "keyring", *arguments]
        assert run(golden_pack(), *arguments, "-o", out) == code
        assert "refused" in capsys.readouterr().err


def test_wrong_arguments_exit_with_2(out):
    for arguments in ([], [golden_pack(), "-o", out], [golden_pack(), *KEY]):
        with pytest.raises(SystemExit) as caught:
            run(*arguments)
        assert caught.value.code == 2


def damaged_keyring(tmp_path: Path, change) -> Path:
    keyring = tmp_path / "keyring"
    shutil.copytree(GOLDEN / "keyring", keyring)
    change(keyring)
    return keyring


def rename_to_digest(path: Path, generation: int) -> None:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.rename(path.with_name(f"{generation}-{digest}.json"))


def test_a_key_object_whose_digest_is_wrong_is_not_used(tmp_path, out, capsys):
    def change(keyring: Path) -> None:
        [path] = (keyring / "site").iterdir()
        path.write_bytes(path.read_bytes() + b"\n")

    keyring = damaged_keyring(tmp_path, change)
    arguments = ["--keyring", keyring, "--recovery-key", RECOVERY_KEY, "-o", out]
    assert run(golden_pack(), *arguments) == DAMAGED
    assert "no undamaged" in capsys.readouterr().err
    assert run(golden_pack(), "--keyring", tmp_path, *arguments[2:]) == REFUSED


@pytest.mark.parametrize("text", ["[]", "{}", "x", '{"format":{"major":2}}', "[" * 100_000])
def test_a_key_object_that_is_not_version_1_is_not_used(tmp_path, out, text):
    def change(keyring: Path) -> None:
        path = keyring / "site" / "x"
        path.write_text(text)
        rename_to_digest(path, 2)

    keyring = damaged_keyring(tmp_path, change)
    arguments = ["--keyring", keyring, "--recovery-key", RECOVERY_KEY, "-o", out]
    assert run(golden_pack(), *arguments) == (REFUSED if "major" in text else DAMAGED)


def test_another_studys_key_object_is_refused(tmp_path, out, capsys):
    def change(keyring: Path) -> None:
        (keyring / STUDY_KEY_ID.hex()).rename(keyring / ("0" * 32))

    keyring = damaged_keyring(tmp_path, change)
    arguments = ["--keyring", keyring, "--recovery-key", RECOVERY_KEY, "-o", out]
    assert run(golden_pack(), *arguments, "--study-key-id", "0" * 32) == REFUSED
    assert "does not open" in capsys.readouterr().err


def zip_of(metadata: object, members: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr("metadata.json", json.dumps(metadata))
    return data.getvalue()


def described(file: str, **changed: object) -> dict[str, object]:
    instance = {
        "file": file,
        "dataset_offset": 0,
        "stored_sha256": hashlib.sha256(b"x").hexdigest(),
    }
    return {"format": {"major": 1, "minor": 0}, "instances": [instance | changed]}


@pytest.mark.parametrize("name", ["../evil.dcm", "/tmp/evil.dcm", "instances/../../evil", "a\\b"])
def test_a_member_with_another_name_is_never_written(tmp_path, out, name):
    data = zip_of(described(name), {name: b"x"})
    assert run(pack_of(data, tmp_path), *KEY, "-o", out) == DAMAGED
    assert not list(tmp_path.rglob("*evil*"))


@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        (described("instances/000001.dcm", stored_sha256="0" * 64), DAMAGED),
        (described("instances/000001.dcm", dataset_offset="x"), DAMAGED),
        (described("instances/000001.dcm", stored_sha256=None), DAMAGED),
        (described("instances/000001.dcm") | {"format": {"major": 2}}, REFUSED),
        (described("instances/000001.dcm") | {"instances": []}, DAMAGED),
        (described("instances/000001.dcm") | {"instances": None}, DAMAGED),
        ([], DAMAGED),
        (None, DAMAGED),
    ],
)
def test_metadata_that_does_not_fit_is_not_believed(tmp_path, out, metadata, code):
    data = zip_of(metadata, {"instances/000001.dcm": b"x"})
    assert run(pack_of(data, tmp_path), *KEY, "-o", out) == code
    assert not list(out.glob("*"))


def test_what_is_no_zip_is_damaged(tmp_path, out):
    assert run(pack_of(b"x" * 1000, tmp_path), *KEY, "-o", out) == DAMAGED


def test_a_metadata_bomb_is_refused(tmp_path, out, monkeypatch):
    monkeypatch.setattr(unpack, "METADATA_MAX", 10)
    data = zip_of(described("instances/000001.dcm"), {"instances/000001.dcm": b"x"})
    assert run(pack_of(data, tmp_path), *KEY, "-o", out) == DAMAGED


def test_a_transformed_instance_is_written_with_a_note(tmp_path, out, capsys):
    metadata = described("instances/000001.dcm", transform={"codec": "htj2k"})
    data = zip_of(metadata, {"instances/000001.dcm": b"x"})
    assert run(pack_of(data, tmp_path), *KEY, "-o", out) == 0
    assert "transformed" in capsys.readouterr().err
