"""`fileroom unpack`: what it ends with, by what it was given."""

import json
import shutil
from pathlib import Path

import pytest

from fileroom.cli.exit_codes import ExitCode
from fileroom.cli.main import main
from unit.pack.packs import GOLDEN, STUDY_KEY, golden_pack, make_pack

RECOVERY_KEY = bytes(range(0x40, 0x60)).hex()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def unpacked(pack: Path, out: Path, *flags: object) -> int:
    words = ["unpack", pack, "-o", out, *(flags or ("--key", STUDY_KEY.hex()))]
    return main([str(each) for each in words])


def copy_of(data: bytes, path: Path) -> Path:
    path.write_bytes(data)
    return path


def test_a_whole_pack_is_written(out):
    assert unpacked(golden_pack(), out) == ExitCode.OK
    assert len(list(out.iterdir())) == 2


def damaged(tmp_path: Path) -> dict[str, Path]:
    whole, name = golden_pack().read_bytes(), golden_pack().name
    flipped = bytearray(whole)
    flipped[1000] ^= 1
    other = make_pack([b"another"]).data
    (tmp_path / "folder").mkdir()
    return {
        "cut, under its name": copy_of(whole[:-1], tmp_path / name),
        "cut at a segment": copy_of(whole[:65_536], tmp_path / "cut"),
        "a flipped bit": copy_of(bytes(flipped), tmp_path / "flipped"),
        "renamed": copy_of(whole, tmp_path / ("0" * 64)),
        "swapped with another": copy_of(other, tmp_path / "folder" / name),
        "empty": copy_of(b"", tmp_path / "empty"),
    }


def test_a_damaged_pack_is_told_from_a_refusal_by_the_exit_code(tmp_path, out, capsys):
    for what, pack in damaged(tmp_path).items():
        assert unpacked(pack, out) == ExitCode.INTEGRITY, what
        assert not list(out.glob("*")), what
    capsys.readouterr()
    assert unpacked(pack, out, "--key", STUDY_KEY.hex(), "--json") == ExitCode.INTEGRITY
    told = json.loads(capsys.readouterr().out)
    assert (told["exit_code"], told["meaning"]) == (7, ExitCode.INTEGRITY.meaning)


def test_what_is_refused_is_no_damage(tmp_path, out):
    assert unpacked(golden_pack(), out, "--key", "00" * 32) == ExitCode.REFUSED
    ring = ("--keyring", GOLDEN / "keyring")
    assert unpacked(golden_pack(), out, *ring, "--recovery-key", "00" * 32) == ExitCode.REFUSED
    binary = copy_of(b"\xff\xfe", tmp_path / "binary")
    assert unpacked(golden_pack(), out, *ring, "--passphrase-file", binary) == ExitCode.REFUSED
    assert unpacked(tmp_path / "absent", out) == ExitCode.NOT_FOUND
    absent = tmp_path / "absent"
    assert unpacked(golden_pack(), out, *ring, "--passphrase-file", absent) == ExitCode.UNAVAILABLE
    out.mkdir()
    (out / "000001.dcm").write_text("mine")
    assert unpacked(golden_pack(), out) == ExitCode.REFUSED


def test_a_keyring_without_a_whole_object_is_damaged(tmp_path, out):
    keyring = tmp_path / "keyring"
    shutil.copytree(GOLDEN / "keyring", keyring)
    (site,) = (keyring / "site").iterdir()
    site.write_bytes(site.read_bytes() + b"\n")
    flags = ("--keyring", keyring, "--recovery-key", RECOVERY_KEY)
    assert unpacked(golden_pack(), out, *flags) == ExitCode.INTEGRITY
