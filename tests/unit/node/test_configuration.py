"""The ledger is told of every configuration that is another one than before, and of no secret."""

import asyncio

import pytest

from conform.catalog_model import DictCatalog
from fileroom.clock import ManualClock
from fileroom.node import configuration
from fileroom.node.config import load
from fileroom.node.configuration import Configuration, effective
from fileroom.node.settings import PeerSettings
from fileroom.recovery.replay import Replay
from ledger_parts import ledger_in

PEER_KEYS = PeerSettings.__struct_fields__
PEER = '[peers.pacs]\nae_title = "PACS"\nhost = "10.0.0.1"\nport = 104\n'


@pytest.fixture
async def ledger(tmp_path):
    async with ledger_in(tmp_path / "ledger") as opened:
        yield opened


@pytest.fixture
def told(ledger):
    """Tells the ledger as a node does that has just started with the catalog as it is."""
    catalog = DictCatalog(ManualClock())

    async def tell(settings):
        replay = Replay(catalog=catalog, ledger=ledger)
        await Configuration(
            ledger, replay, node_id="0a0b", key=b"k" * 32, deciding=tell.deciding
        ).tell(settings)
        return [each.body for each in ledger.records(0)]

    tell.catalog, tell.deciding = catalog, asyncio.Lock()
    return tell


def settings(tmp_path, text="", **flags):
    file = tmp_path / "fileroom.toml"
    file.write_text(text)
    overrides = {name.replace("__", "."): value for name, value in flags.items()}
    return load(file=str(file), environment={}, overrides=overrides)


async def test_the_first_start_tells_the_whole_of_it(told, tmp_path):
    here = settings(tmp_path, PEER)
    (body,) = await told(here)
    assert body["node_id"] == "0a0b"
    assert body["before"] == {}
    assert body["after"]["dimse.ae_title"] == "FILEROOM"
    assert body["after"]["peers.pacs.host"] == "10.0.0.1"
    assert list(body["after"]) == body["changed"] == sorted(effective(here, key=b""))
    assert not [name for name in body["changed"] if name.startswith("source")]


async def test_a_start_with_the_same_settings_tells_nothing(told, tmp_path):
    for _ in range(3):
        bodies = await told(settings(tmp_path, PEER))
    assert len(bodies) == 1


async def test_what_has_changed_is_told_with_the_old_and_the_new_value(told, tmp_path):
    await told(settings(tmp_path))
    other = settings(tmp_path, PEER, dimse__port="104", http__host_names="a,b")
    bodies = await told(other)
    assert bodies[-1]["before"] == {"dimse.port": 11112, "http.host_names": ["localhost"]}
    peer = {f"peers.pacs.{key}": getattr(other.peers["pacs"], key) for key in PEER_KEYS}
    assert peer.items() >= {"peers.pacs.host": "10.0.0.1", "peers.pacs.port": 104}.items()
    assert bodies[-1]["after"] == {"dimse.port": 104, "http.host_names": ["a", "b"]} | peer
    bodies = await told(settings(tmp_path))
    assert bodies[-1]["changed"] == bodies[-2]["changed"]
    assert "peers.pacs.host" in bodies[-1]["before"]
    assert "peers.pacs.host" not in bodies[-1]["after"]
    assert bodies[-1]["sha256"] == bodies[0]["sha256"] != bodies[1]["sha256"]


async def test_of_a_secret_only_that_it_has_changed_is_told(told, tmp_path, monkeypatch):
    def is_secret(name):
        return name == "keys.credential"

    monkeypatch.setattr(configuration, "_is_secret", is_secret)
    for secret in ("one", "one", "two"):
        bodies = await told(settings(tmp_path, keys__credential=secret))
    first, second = bodies
    assert "keys.credential" in first["changed"]
    assert "keys.credential" not in first["after"]
    assert second["changed"] == ["keys.credential"]
    assert (second["before"], second["after"]) == ({}, {})
    assert "two" not in told.catalog.setting("configuration")


async def test_a_key_that_a_later_program_knew_is_not_shown(told, tmp_path):
    await told(settings(tmp_path))
    noted = told.catalog.setting("configuration")
    told.catalog.set_setting("configuration", noted.replace('"log.json"', '"s3.secret"'))
    bodies = await told(settings(tmp_path))
    assert bodies[-1]["changed"] == ["log.json", "s3.secret"]
    assert (bodies[-1]["before"], bodies[-1]["after"]) == ({}, {"log.json": False})


async def test_nobody_notes_the_ledger_as_applied_between_the_event_and_its_note(
    told, ledger, tmp_path, monkeypatch
):
    """A crash then would leave an older note, behind which the next start does not look."""
    noted = told.catalog.set_setting

    def note(name: str, value: str) -> None:
        assert ledger.size == 1
        assert told.deciding.locked(), "which whoever moves the applied index waits for"
        noted(name, value)

    monkeypatch.setattr(told.catalog, "set_setting", note)
    await told(settings(tmp_path, PEER))
    assert not told.deciding.locked()
