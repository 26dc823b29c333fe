"""Rules and destinations of forwarding as an operator writes them."""

import pytest

from fileroom.node.config import ConfigError, load, reload
from fileroom.node.forwarding import NoAuthorizationError, rules_of, web_destination
from fileroom.node.settings import WebPeerSettings
from fileroom.policy.forwarding import Rule, window

PEER = "[peers.pacs]\nae_title = 'PACS'\nhost = '192.0.2.7'\nport = 104\n"


def loaded(tmp_path, text: str):
    path = tmp_path / "fileroom.toml"
    path.write_text(text)
    return load(file=str(path), environment={})


def problem_of(tmp_path, text: str) -> str:
    with pytest.raises(ConfigError) as refused:
        loaded(tmp_path, text)
    (problem,) = refused.value.problems
    return problem


def test_rules_stand_in_the_order_of_the_file(tmp_path):
    settings = loaded(
        tmp_path,
        PEER
        + "[forward.urgent]\nto = 'pacs'\ndescriptions = ['*stroke*']\nmodalities = ['CT']\n"
        + "[forward.all]\nto = 'pacs'\nsenders = ['CT1 ']\nhours = ['mon-fri 18:00-06:00']\n",
    )
    assert rules_of(settings) == (
        Rule("urgent", "pacs", modalities=("CT",), descriptions=("*stroke*",)),
        Rule("all", "pacs", senders=("CT1",), hours=(window("mon-fri 18:00-06:00"),)),
    )


def test_a_running_node_takes_rules_and_destinations_over(tmp_path):
    settings = loaded(tmp_path, PEER)
    web = "[webpeers.ai]\nurl = 'https://ai.example/dicom-web'\n"
    loaded(tmp_path, PEER + web + "[forward.all]\nto = 'ai'\n")
    found = reload(settings)
    assert set(found.changed) == {"webpeers", "forward"}
    assert [each.to for each in rules_of(found.settings)] == ["ai"]


@pytest.mark.parametrize(
    "text, told",
    [
        ("[forward.all]\nto = 'nobody'\n", "[forward.all]: there is no peer 'nobody'"),
        ("[forward.all]\nto = 'pacs'\nhours = ['late']\n", "hours: 'late' is not of the form"),
        ("[forward.all]\nto = 'pacs'\nsenders = ['a\\\\b']\n", "senders: "),
        ("[webpeers.pacs]\nurl = 'http://a/b'\n", "[webpeers]: pacs is a name of [peers] too"),
        *(
            (f"[webpeers.ai]\nurl = '{url}'\n", "credentials go into authorization_file")
            for url in (
                "https://user:secret@ai.example/",
                "https://ai.example/?token=secret",
                "ftp://ai.example/",
                "ai.example",
                "https://ai.example/a b",
                "https://ai.example:0/",
            )
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(text, told, tmp_path):
    assert told in problem_of(tmp_path, PEER + text)


def test_credentials_come_from_a_file_that_counts_from_the_settings_and_is_read_each_time(tmp_path):
    settings = loaded(
        tmp_path, "[webpeers.ai]\nurl = 'https://ai.example/'\nauthorization_file = 'token'\n"
    )
    peer = settings.webpeers["ai"]
    with pytest.raises(NoAuthorizationError):
        web_destination(peer)
    token = tmp_path / "token"
    for text in ("Bearer one", "Bearer two"):
        token.write_text(f"{text}\nanother line\n")
        assert web_destination(peer).authorization == text


@pytest.mark.parametrize("content", [b"", b"\n", b"Bearer \xff\n", b"Bearer \x00\n"])
def test_a_file_without_credentials_is_told_and_never_quoted(content, tmp_path):
    token = tmp_path / "token"
    token.write_bytes(content)
    peer = WebPeerSettings(url="https://ai.example/", authorization_file=str(token))
    with pytest.raises(NoAuthorizationError) as told:
        web_destination(peer)
    assert "Bearer" not in str(told.value)
