"""Who is who by the settings."""

from fileroom.access.decide import Action, Object, decide
from fileroom.access.grant import SERVICES
from fileroom.cli.main import main
from fileroom.node.config import load
from fileroom.node.peers import Peers, entities_of


def settings(tmp_path, text):
    file = tmp_path / "fileroom.toml"
    file.write_text(text)
    return load(file=str(file), environment={})


def test_without_tables_the_one_title_gives_everything_and_no_peer_may_call(tmp_path):
    known = entities_of(settings(tmp_path, "[dimse]\nae_title = 'OURS '\n"))
    assert known.titles == {"OURS": SERVICES}
    assert not known.has_peers


def test_a_table_of_the_main_title_gives_what_it_says_and_stays_first(tmp_path):
    text = "[titles.out]\nae_title = 'OUT'\nrights = ['find', 'move']\n"
    text += "[titles.main]\nae_title = 'FILEROOM'\nrights = ['echo', 'store']\n"
    known = entities_of(settings(tmp_path, text))
    assert list(known.titles) == ["FILEROOM", "OUT"]
    assert known.titles["FILEROOM"] == {Action.ECHO, Action.STORE}
    assert known.titles["OUT"] == {Action.FIND, Action.MOVE}


def test_a_peer_calls_from_its_host_or_where_its_table_says(tmp_path):
    text = "[peers.{}]\nae_title = '{}'\nhost = '{}'\nport = 104\nrights = ['echo']\n"
    told = text.format("a", "A", "192.0.2.1") + text.format("b", "B", "pacs.example")
    known = entities_of(settings(tmp_path, told + "addresses = ['192.0.2.2', '2001:db8::/32']\n"))
    for address, title in (("192.0.2.1", "A"), ("192.0.2.2", "B"), ("2001:db8::9", "B")):
        caller = known.caller(address, title)
        assert decide(caller, Action.ECHO, Object(ae_title="FILEROOM"), known).allowed
    assert known.peer("192.0.2.2", "A") is None


def test_a_peer_that_the_verb_writes_is_the_peer_that_was_meant(tmp_path, capsys):
    data = ("--data", str(tmp_path))
    (tmp_path / "fileroom.toml").write_text("")
    added = ("peer", "add", "ct1", "--ae-title", "CT1", "--address", "192.0.2.21:104")
    assert main([*added, "--rights", "echo, store", "--from", "192.0.2.0/28", *data]) == 0
    (peer,) = load(file=str(tmp_path / "fileroom.toml"), environment={}).peers.values()
    assert (peer.rights, peer.addresses) == (["echo", "store"], ["192.0.2.0/28"])
    capsys.readouterr()
    assert main(["peer", "list", *data]) == 0
    listed = capsys.readouterr().out
    assert "may echo, store from 192.0.2.0/28" in listed
    assert "FILEROOM          is ours and gives commit, echo, find, get, move, store" in listed
    wrong = ("peer", "add", "ct2", "--ae-title", "CT2", "--address", "192.0.2.22:104")
    assert main([*wrong, "--rights", "delete", *data]) != 0


def test_destinations_are_peers_with_or_without_rights(tmp_path):
    text = "[peers.a]\nae_title = 'A'\nhost = 'pacs.example'\nport = 104\n"
    found = Peers(settings(tmp_path, text)).destination("A")
    assert found == ("A", "pacs.example", 104)
