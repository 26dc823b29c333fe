"""`fileroom viewer install`: one package and no other, unpacked without reaching anywhere."""

import base64
import gzip
import hashlib
import io
import json
import tarfile

import pytest

from fileroom.cli import viewer
from fileroom.cli.exit_codes import ExitCode
from fileroom.cli.main import main
from fileroom.errors import RefusedError
from fileroom.web.viewer import FILES, MANIFEST

INDEX = b"<!doctype html><title>made</title>"
PLAIN = {
    "package/package.json": b"{}",
    "package/dist/index.html": INDEX,
    "package/dist/app.bundle.js": b"run()",
    "package/dist/app.bundle.js.map": b"map",
    "package/dist/ort/model.wasm": b"model",
    "package/dist/app-config.js": b"theirs",
    "package/dist/assets/images/logo @2x.png": b"png",
}


def packed(path, members):
    """A package of these members: bytes are files, other values TarInfo with a type."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(data, bytes):
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
            else:
                info.type, info.linkname = data
                archive.addfile(info)
    return written(path, out.getvalue())


def written(path, data):
    path.write_bytes(data)
    return path, "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()


def unpack(tmp_path, members):
    package, integrity = packed(tmp_path / "package.tgz", members)
    return viewer.unpack(package, tmp_path / "viewer", integrity=integrity)


def test_what_is_served_is_kept_under_its_digest_and_the_rest_left_out(tmp_path):
    manifest = unpack(tmp_path, PLAIN)
    assert set(manifest.files) == {"index.html", "app.bundle.js", "assets/images/logo @2x.png"}
    kept = {each.name: each.read_bytes() for each in (tmp_path / "viewer" / FILES).iterdir()}
    assert kept == {hashlib.sha256(data).hexdigest(): data for data in kept.values()}
    assert kept[manifest.files["app.bundle.js"].sha256] == b"run()"
    told = json.loads((tmp_path / "viewer" / MANIFEST).read_bytes())
    assert (told["package"], told["version"]) == ("@ohif/app", viewer.VERSION)


def test_installing_again_replaces_what_is_there(tmp_path):
    unpack(tmp_path, PLAIN)
    manifest = unpack(tmp_path, {**PLAIN, "package/dist/app.bundle.js": b"other()"})
    kept = {each.name for each in (tmp_path / "viewer" / FILES).iterdir()}
    assert kept == {each.sha256 for each in manifest.files.values()}


def test_another_package_is_refused_before_anything_is_unpacked(tmp_path):
    package, _ = packed(tmp_path / "package.tgz", PLAIN)
    with pytest.raises(RefusedError, match="SHA-512"):
        viewer.unpack(package, tmp_path / "viewer", integrity=viewer.INTEGRITY)
    assert not (tmp_path / "viewer").exists()


@pytest.mark.parametrize(
    "members",
    [
        {"package/dist/../../outside.js": b"x"},
        {"package/dist//etc/outside.js": b"x"},
        {"package/dist/a/./b.js": b"x"},
        {"package/dist/.hidden": b"x"},
        {"package/dist/a\\b.js": b"x"},
        {"package/dist/a\nb.js": b"x"},
        {"package/dist/é.js": b"x"},
        {"package/dist/link.js": (tarfile.SYMTYPE, "/etc/passwd")},
        {"package/dist/link.js": (tarfile.LNKTYPE, "package/dist/index.html")},
        {"package/dist/pipe.js": (tarfile.FIFOTYPE, "")},
        {"package/dist/device.js": (tarfile.CHRTYPE, "")},
        {"package/readme": b"no first page"},
    ],
)
def test_a_package_that_reaches_out_is_refused_and_what_was_there_stays(tmp_path, members):
    unpack(tmp_path, PLAIN)
    before = (tmp_path / "viewer" / MANIFEST).read_bytes()
    index = {} if "package/readme" in members else {"package/dist/index.html": INDEX}
    with pytest.raises(RefusedError):
        unpack(tmp_path, {**index, **members})
    assert (tmp_path / "viewer" / MANIFEST).read_bytes() == before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["package.tgz", "viewer"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no gzip",
        gzip.compress(b"no tar" * 1000, mtime=0),
        gzip.compress(b"\0" * 10240, mtime=0)[:-20],
        gzip.compress(bytes(10240), mtime=0),
    ],
    ids=["empty", "no gzip", "no tar", "cut off", "no member"],
)
def test_what_is_no_package_is_refused(tmp_path, data):
    package, integrity = written(tmp_path / "package.tgz", data)
    with pytest.raises(RefusedError):
        viewer.unpack(package, tmp_path / "viewer", integrity=integrity)


def test_a_package_that_unpacks_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(viewer, "UNPACKED_BYTES_MAX", 1 << 20)
    with pytest.raises(RefusedError, match="1048576"):
        unpack(tmp_path, {**PLAIN, "package/dist/zeros.js": bytes(8 << 20)})


def test_a_package_of_too_many_files_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(viewer, "FILES_MAX", 5)
    with pytest.raises(RefusedError, match="5 files"):
        unpack(tmp_path, PLAIN)


def test_the_verb_says_what_it_installed_and_what_it_does_not_find(tmp_path, monkeypatch, capsys):
    package, integrity = packed(tmp_path / "package.tgz", PLAIN)
    monkeypatch.setattr(viewer, "INTEGRITY", integrity)
    data = tmp_path / "data"
    words = ["viewer", "install", str(package), "--data", str(data), "--json"]
    assert main(words) == ExitCode.NOT_FOUND
    data.mkdir()
    capsys.readouterr()
    assert main(words) == ExitCode.OK
    told = json.loads(capsys.readouterr().out)
    assert (told["files"], told["directory"]) == (3, str(data / "viewer"))
    assert main([*words[:2], str(tmp_path / "nothing.tgz"), *words[3:]]) == ExitCode.NOT_FOUND
