"""Settings: where they come from, which wins, and how mistakes are told."""

import pytest

from fileroom.node.config import (
    ConfigError,
    find_file,
    load,
    read_passphrase,
    reload,
    sections,
)
from fileroom.node.settings import Settings


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "fileroom.toml"

    def write(text):
        path.write_text(text)
        return str(path)

    return write


def problems_of(**places):
    with pytest.raises(ConfigError) as refused:
        load(**{"environment": {}, **places})
    return refused.value.problems


def test_without_any_place_the_defaults_hold():
    settings = load(environment={})
    assert (settings.dimse.host, settings.dimse.port) == ("127.0.0.1", 11112)
    assert (settings.http.host, settings.http.port) == ("127.0.0.1", 8642)
    assert settings.dimse.ae_title == "FILEROOM"
    assert settings.seal.quiet_s == 20
    assert settings.config_file is None


def test_a_flag_wins_over_a_variable_and_a_variable_over_the_file(file):
    path = file("[dimse]\nport = 1\nassociations_max = 1\n[http]\nport = 1\n")
    settings = load(
        file=path,
        environment={"FILEROOM_DIMSE_PORT": "2", "FILEROOM_HTTP_PORT": "2"},
        overrides={"http.port": "3"},
    )
    assert settings.dimse.associations_max == 1
    assert settings.dimse.port == 2
    assert settings.http.port == 3


def test_an_unknown_key_is_told_with_the_nearest_one(file):
    path = file("[dimse]\naetitle = 'X'\n")
    assert problems_of(file=path) == [
        f"{path}: [dimse] has no key 'aetitle'; did you mean 'ae_title'?"
    ]


def test_an_unknown_table_is_told_with_the_nearest_one(file):
    path = file("[dicomse]\nport = 1\n")
    assert problems_of(file=path) == [f"{path}: unknown table [dicomse]; did you mean 'dimse'?"]


def test_an_unknown_variable_of_ours_is_refused_and_those_of_others_are_not_read():
    told = problems_of(environment={"FILEROOM_DIMSE_PROT": "1", "HOME": "/root", "LANG": "C"})
    assert told == ["FILEROOM_DIMSE_PROT: unknown; did you mean 'FILEROOM_DIMSE_PORT'?"]


def test_all_mistakes_are_told_at_once(file):
    path = file("[dimse]\nprot = 1\n[htp]\n[peers.a]\nhots = 'x'\n")
    told = problems_of(file=path, environment={"FILEROOM_HTTP_PORT": "many"})
    assert len(told) == 4


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[dimse]\nport = 70000\n", "[dimse] port: Expected `int` <= 65535"),
        ("[dimse]\nport = '1'\n", "[dimse] port: Expected `int`, got `str`"),
        ("[log]\nlevel = 'loud'\n", "[log] level: Invalid enum value 'loud'; one of debug, info,"),
        ("[dimse]\nae_title = 'a\\\\b'\n", "[dimse]: ae_title must be 1 to 16 printable"),
        ("[dimse]\nae_title = '12345678901234567'\n", "[dimse]: ae_title must be 1 to 16"),
        ("[site]\nname = 'North Wing'\n", "[site]: name must be 1 to 63 of a-z"),
        ("[site]\ntimezone = 'Mars/Olympus'\n", "[site]: timezone must be a zone of the IANA"),
        ("[site]\ntimezone = '../../etc/passwd'\n", "[site]: timezone must be a zone of the IANA"),
        ("[http]\nprefix = 'images/'\n", "[http]: prefix must be empty or a path"),
        ("[http]\ntrusted_proxies = ['10.0.0.0/33']\n", "[http]: trusted_proxies: "),
        ("[http]\ncors_origins = ['viewer']\n", "[http]: cors_origins must hold scheme and host"),
        ("[placement]\ncopies_min = 2\n", "[placement] copies_min is 2, and there are 1 providers"),
        ("[providers.a]\nkind = 's4'\npath = 'x'\n", "[providers.a] kind: Invalid enum value 's4'"),
        (
            "[peers.a]\nae_title = 'A'\nhost = 'h'\n",
            "[peers.a]: Object missing required field `port`",
        ),
        (
            "[peers.a]\nae_title = 'A'\nhost = 'pacs.example'\nport = 104\nrights = ['echo']\n",
            "[peers.a]: a peer with rights must have addresses, or an address as its host",
        ),
        (
            "[peers.a]\nae_title = 'A'\nhost = '::1'\nport = 104\naddresses = ['10.0.0.1/8']\n",
            "[peers.a]: addresses: 10.0.0.1/8 has host bits set",
        ),
        (
            "[peers.a]\nae_title = 'A'\nhost = '::1'\nport = 104\nrights = ['delete']\n",
            "[peers.a] rights: Invalid enum value 'delete'; one of echo, store, find, get, move,",
        ),
        ("[titles.a]\nae_title = 'A'\n", "[titles.a]: Object missing required field `rights`"),
        (
            "[titles.a]\nae_title = 'A'\nrights = []\n[titles.b]\nae_title = 'A '\nrights = []\n",
            "[titles]: two tables have one AE title",
        ),
        ("dimse = 3\n", ": [dimse] must be a table"),
        ("[peers]\na = 3\n", ": [peers.a] must be a table"),
        ("[source]\nfile = 'x'\n", ": unknown table [source]"),
    ],
)
def test_a_wrong_value_is_told_with_its_table_and_key(file, text, told):
    (problem,) = problems_of(file=file(text))
    assert told in problem


def test_a_file_that_is_not_toml_or_not_there_is_told_by_name(file, tmp_path):
    assert "is not TOML" in problems_of(file=file("[dimse\n"))[0]
    assert "cannot read" in problems_of(file=str(tmp_path / "other.toml"))[0]
    (tmp_path / "latin.toml").write_bytes(b"# \xe9\n")
    assert "is not TOML" in problems_of(file=str(tmp_path / "latin.toml"))[0]


def test_a_named_table_can_be_given_by_variables_alone():
    settings = load(
        environment={
            "FILEROOM_PEERS_OLD_PACS_AE_TITLE": "OLD",
            "FILEROOM_PEERS_OLD_PACS_HOST": "192.0.2.7",
            "FILEROOM_PEERS_OLD_PACS_PORT": "104",
            "FILEROOM_PEERS_OLD_PACS_RIGHTS": "echo, store",
            "FILEROOM_HTTP_TRUSTED_PROXIES": "::1, 10.0.0.0/8",
        }
    )
    assert settings.peers["old-pacs"].ae_title == "OLD"
    assert settings.peers["old-pacs"].rights == ["echo", "store"]
    assert settings.http.trusted_proxies == ["::1", "10.0.0.0/8"]


def test_a_relative_path_of_the_file_counts_from_its_folder(file, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    path = file(
        "[data]\ndirectory = 'd'\n[keys]\npassphrase_file = '../p'\n"
        "[providers.a]\nkind = 'directory'\npath = 'x/y'\n"
    )
    settings = load(file=path, environment={})
    assert settings.data_directory == tmp_path / "d"
    assert settings.keys.passphrase_file == str(tmp_path.parent / "p")
    assert settings.providers["a"].path == str(tmp_path / "x" / "y")


def test_a_relative_path_of_a_flag_counts_from_the_working_directory(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = file("[data]\ndirectory = '/elsewhere'\n")
    settings = load(file=path, environment={}, overrides={"data.directory": "here"})
    assert settings.data_directory == tmp_path / "here"


def test_without_a_provider_one_folder_in_the_data_folder_is_used():
    settings = load(environment={}, overrides={"data.directory": "/srv/f"})
    assert {name: each.path for name, each in settings.providers_in_use.items()} == {
        "bucket": "/srv/f/bucket"
    }


def test_the_file_is_searched_in_the_documented_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fileroom.node.config.SYSTEM_FILE", tmp_path / "system.toml")
    for place in ("fileroom-data", "data", "."):
        (tmp_path / place).mkdir(exist_ok=True)

    def found(config=None, data=None, **environment):
        return find_file(config=config, data=data, environment=environment)

    assert found() is None
    (tmp_path / "fileroom-data" / "fileroom.toml").touch()
    assert found() == "fileroom-data/fileroom.toml"
    (tmp_path / "system.toml").touch()
    assert found() == str(tmp_path / "system.toml")
    (tmp_path / "fileroom.toml").touch()
    assert found() == "fileroom.toml"
    assert found(data="data") is None
    (tmp_path / "data" / "fileroom.toml").touch()
    assert found(data="data") == "data/fileroom.toml"
    assert found(data="data", FILEROOM_CONFIG="v.toml") == "v.toml"
    assert found(config="c.toml", data="data", FILEROOM_CONFIG="v.toml") == "c.toml"


def test_a_reload_takes_over_live_keys_and_names_those_that_wait(file):
    path = file(
        "[dimse]\nassociations_max = 4\nport = 1\n[peers.a]\nae_title='A'\nhost='h'\nport=1\n"
    )
    before = load(file=path, environment={}, overrides={"http.port": "9"})
    file("[dimse]\nassociations_max = 8\nport = 2\n[providers.x]\nkind='directory'\npath='x'\n")
    reloaded = reload(before)
    assert set(reloaded.changed) == {"dimse.associations_max", "peers"}
    assert set(reloaded.restart) == {"dimse.port", "providers"}
    assert reloaded.settings.dimse.associations_max == 8
    assert reloaded.settings.dimse.port == 1
    assert reloaded.settings.http.port == 9
    assert reloaded.settings.peers == {}
    assert reloaded.settings.providers == {}
    assert reload(reloaded.settings).changed == ()


def test_a_reload_of_wrong_settings_is_refused(file):
    before = load(file=file(""), environment={})
    file("[dimse]\nprot = 1\n")
    with pytest.raises(ConfigError):
        reload(before)


def test_the_passphrase_comes_from_the_first_place_that_has_one(tmp_path):
    settings = load(environment={}, overrides={"data.directory": str(tmp_path / "d")})
    credentials = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert read_passphrase(settings, environment=credentials) is None
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "passphrase").write_text("in the data folder\nnot this\n")
    assert read_passphrase(settings, environment=credentials) == "in the data folder"
    (tmp_path / "fileroom-passphrase").write_text("credential\r\n")
    assert read_passphrase(settings, environment=credentials) == "credential"
    assert read_passphrase(settings, environment={}) == "in the data folder"
    named = load(environment={}, overrides={"keys.passphrase_file": str(tmp_path / "p")})
    (tmp_path / "p").write_text("grüße \n")
    assert read_passphrase(named, environment=credentials) == "grüße "


def test_a_configured_passphrase_file_that_is_missing_or_empty_is_told(tmp_path):
    settings = load(environment={}, overrides={"keys.passphrase_file": str(tmp_path / "p")})
    with pytest.raises(ConfigError, match="No such file"):
        read_passphrase(settings)
    (tmp_path / "p").touch()
    with pytest.raises(ConfigError, match="is empty"):
        read_passphrase(settings)


@pytest.mark.parametrize("configured", [True, False])
def test_a_passphrase_that_is_there_and_cannot_be_read_is_told(tmp_path, configured):
    flags = {"keys.passphrase_file": str(tmp_path / "passphrase")} if configured else {}
    settings = load(environment={}, overrides={"data.directory": str(tmp_path), **flags})
    path = tmp_path / "passphrase"
    path.write_bytes(b"\xff\xfe\n")
    with pytest.raises(ConfigError, match="is not UTF-8"):
        read_passphrase(settings, environment={})
    path.unlink()
    path.mkdir()
    with pytest.raises(ConfigError, match="Is a directory"):
        read_passphrase(settings, environment={})


def test_every_key_has_a_sentence_and_its_unit_stands_last():
    units = ("_s", "_bytes", "_bytes_max", "_max", "_min")
    for table, struct in sections():
        assert (struct.__doc__ or "").splitlines()[0].endswith(".")
        for key in struct.__struct_fields__:
            if any(word in key for word in ("timeout", "quiet", "artim")):
                assert key.endswith("_s"), (table, key)
            if "size" in key or "reserve" in key:
                assert key.endswith(units), (table, key)


def test_the_defaults_are_valid_settings():
    assert load(environment={}).dimse == Settings().dimse
