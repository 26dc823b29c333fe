"""A whole node: who was refused, and which settings were in force, stands in its ledger."""

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from fileroom.cli.main import main
from fileroom.node.assemble import open_node
from fileroom.node.config import PeerSettings, load
from fileroom.peer.association import RejectedError
from fileroom.peer.echo import echo
from fileroom.peer.status import FailedStatusError
from fileroom.peer.store import store_files
from instances import part10
from nodes import WAIT_S, NodeProcess, Reached, made, running, settings_of

RELATED = 'multipart/related; type="application/dicom"; boundary=B'


def told(data: Path, kind: str) -> list[dict[str, Any]]:
    """The bodies of one kind, in order, from a data folder that no node works on."""

    async def read() -> list[dict[str, Any]]:
        async with open_node(settings_of(data), in_process=True) as node:
            return [each.body for each in node.parts.ledger.records(0) if each.kind == kind]

    return asyncio.run(read())


def post(node: Reached, *parts: bytes) -> int:
    body = b"".join(b"--B\r\n\r\n" + part + b"\r\n" for part in parts) + b"--B--"
    return node.request("POST", "/dicomweb/studies", {"Content-Type": RELATED}, body)[0]


def refused_association(node: Reached, *, calling: str) -> None:
    with pytest.raises(RejectedError):
        asyncio.run(echo(*node.dimse, calling=calling, called="NOBODY"))


def test_whoever_was_refused_stands_in_the_ledger_with_the_reason(tmp_path):
    data = tmp_path / "data"
    with running(data, in_process=True) as node:
        for _ in range(3):
            refused_association(node, calling="STRANGER")
        assert post(node, part10(1, 1, 1), b"no DICOM file" * 40) == 202
        code, _, _ = node.request("GET", "/status", {"Host": "evil.example"})
        assert code == 421
        (listed,) = node.status()["refused_callers"]
        assert (listed["ae_title"], listed["count"]) == ("STRANGER", 3), "at once"
        assert node.status()["refused"]["store: the data set cannot be read"] == 1
    bodies = told(data, "refused")
    assert {each["address"] for each in bodies} == {"127.0.0.1"}
    told_of = {
        (each["channel"], each["action"], each["ae_title"], each["reason"]): each["count"]
        for each in bodies
    }
    assert told_of == {
        ("dimse", "associate", "STRANGER", "called AE title not recognized"): 3,
        ("stow", "store", None, "the data set cannot be read"): 1,
        ("http", "reach", None, "this node does not answer for that host name"): 1,
    }


def test_an_instance_that_c_store_refuses_stands_there_too(tmp_path):
    data = tmp_path / "data"
    whole = part10(1, 1, 1)
    value = whole.index(b"\x20\x00\x0d\x00UI") + 8  # of the Study Instance UID
    file = tmp_path / "file"
    file.write_bytes(whole[:value] + b"x" + whole[value + 1 :])
    with running(data, in_process=True) as node, pytest.raises(FailedStatusError):
        asyncio.run(store_files(*node.dimse, [file], calling="CT1", called="FILEROOM"))
    (body,) = told(data, "refused")
    assert (body["ae_title"], body["action"], body["channel"]) == ("CT1", "store", "dimse")
    assert body["reason"] == "the data set lacks one of its UIDs"


def test_each_change_of_the_settings_stands_in_the_ledger(tmp_path):
    data = tmp_path / "data"
    settings = made(data)
    file = data / "fileroom.toml"
    file.write_text("[dimse]\nassociations_max = 8\n")
    node = NodeProcess(load(file=str(file), overrides=overrides(settings), environment={}))
    try:
        assert main(["peer", "add", "pacs", "--ae-title", "PACS", "--address", "10.0.0.1:104",
                     "--data", str(data)]) == 0  # fmt: skip
        os.kill(node.process.pid, signal.SIGHUP)
        deadline = time.monotonic() + WAIT_S
        while "peers has a new value" not in node.log.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        assert node.terminate() == 0
    first, second, third = told(data, "configuration")  # the last one is that of `told` itself
    assert first["after"]["dimse.associations_max"] == 8
    keys = PeerSettings.__struct_fields__
    assert second["changed"] == sorted(f"peers.pacs.{each}" for each in keys)
    assert second["after"]["peers.pacs.host"] == "10.0.0.1"
    assert "dimse.associations_max" in third["changed"]


def overrides(settings) -> dict[str, str]:
    return {"data.directory": str(settings.data_directory), "site.name": settings.site.name}
