"""Settings files as the verbs write them."""

import pytest

from fileroom.cli.main import main
from fileroom.cli.settings_file import text_of, write_new
from fileroom.node.config import load, sections


def test_a_written_file_gives_the_same_settings_again(tmp_path):
    flags = {
        "data.directory": str(tmp_path / "data"),
        "site.name": "north",
        "dimse.port": "104",
        "http.trusted_proxies": "::1,127.0.0.1",
        "log.json": "true",
    }
    environment = {
        "FILEROOM_PEERS_A_AE_TITLE": 'A "B"',
        "FILEROOM_PEERS_A_HOST": "::1",
        "FILEROOM_PEERS_A_PORT": "104",
        "FILEROOM_PROVIDERS_B_KIND": "directory",
        "FILEROOM_PROVIDERS_B_PATH": "/mnt/copies",
    }
    settings = load(environment=environment, overrides=flags)
    text = text_of(settings, relative_to=tmp_path)
    write_new(tmp_path / "fileroom.toml", text)
    again = load(file=str(tmp_path / "fileroom.toml"), environment={})
    for table in (*(name for name, _ in sections() if "." not in name), "peers", "providers"):
        assert getattr(again, table) == getattr(settings, table), table
    assert 'directory = "data"' in text
    assert (tmp_path / "fileroom.toml").stat().st_mode & 0o777 == 0o600


def test_every_key_is_explained_in_a_written_file(tmp_path):
    text = text_of(load(environment={}), relative_to=tmp_path)
    for table, struct in sections():
        if not table.endswith(".NAME"):
            assert f"\n[{table}]\n" in text
            assert all(
                f"# {key} = " in text or f"\n{key} = " in text for key in struct.__struct_fields__
            )


def test_a_settings_file_is_never_overwritten(tmp_path):
    write_new(tmp_path / "f", "x")
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "f", "y")


def peers_of(tmp_path):
    return load(file=str(tmp_path / "fileroom.toml"), environment={}).peers


def add(tmp_path, *words):
    return main(["peer", "add", *words, "--data", str(tmp_path)])


def test_a_peer_is_added_to_the_file_and_what_stood_there_stays(tmp_path, capsys):
    path = tmp_path / "fileroom.toml"
    path.write_text("# mine\n[dimse]\nport = 104  # ours\n")
    path.chmod(0o640)
    assert add(tmp_path, "pacs", "--ae-title", "PACS", "--address", "[::1]:104") == 0
    assert add(tmp_path, "ct1", "--ae-title", "CT1", "--address", "192.0.2.7:11112") == 0
    assert path.read_text().startswith("# mine\n[dimse]\nport = 104  # ours\n")
    assert {name: (p.ae_title, p.host, p.port) for name, p in peers_of(tmp_path).items()} == {
        "pacs": ("PACS", "::1", 104),
        "ct1": ("CT1", "192.0.2.7", 11112),
    }
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(each.name for each in tmp_path.iterdir()) == ["fileroom.toml"]
    capsys.readouterr()
    assert main(["peer", "list", "--data", str(tmp_path)]) == 0
    assert "192.0.2.7:11112" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["pacs", "--ae-title", "X", "--address", "h:1"], 3),
        (["Pacs!", "--ae-title", "X", "--address", "h:1"], 3),
        (["b", "--ae-title", "X" * 17, "--address", "h:1"], 3),
        (["b", "--ae-title", "X", "--address", "h"], 3),
        (["b", "--ae-title", "X", "--address", "h:70000"], 3),
    ],
)
def test_a_peer_that_is_wrong_or_there_already_changes_nothing(tmp_path, words, code, capsys):
    add(tmp_path, "pacs", "--ae-title", "PACS", "--address", "h:104")
    before = (tmp_path / "fileroom.toml").read_text()
    assert add(tmp_path, *words) == code
    assert (tmp_path / "fileroom.toml").read_text() == before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["fileroom.toml"]


def test_testing_a_peer_that_is_not_known_says_which_are(tmp_path, capsys):
    add(tmp_path, "pacs", "--ae-title", "PACS", "--address", "h:104")
    assert main(["peer", "test", "pasc", "--data", str(tmp_path)]) == 5
    assert "known are: pacs" in capsys.readouterr().err
