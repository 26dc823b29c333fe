"""AE titles with rights and peers known by AE title and address, with callers of others."""

import asyncio
import os
import re
import signal
import time
from pathlib import Path

import pytest
from pydicom import dcmread
from pynetdicom import AE

from corpus import ct_small
from fileroom.node.config import load
from nodes import WAIT_S, NodeProcess, made
from peers import free_port, program, run, until_listening

CT = "1.2.840.10008.5.1.4.1.1.2"
VERIFICATION = "1.2.840.10008.1.1"
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
HERE = 'host = "127.0.0.1"\nport = {}\nrights = {}\n'
TITLES = """
[titles.research]
ae_title = "RESEARCH"
rights = ["echo", "find", "move"]
"""


def peer(name, rights, *, port=104, addresses=""):
    told = f'[peers.{name.lower()}]\nae_title = "{name}"\n'
    return told + HERE.format(port, rights) + (f"addresses = {addresses}\n" if addresses else "")


MODALITY = peer("CT1", '["echo", "store"]')
ELSEWHERE = peer("CT2", '["echo", "store"]', addresses='["192.0.2.0/24"]')


def reading(port):
    return peer("READING", '["echo", "find", "get", "move"]', port=port)


class Configured:
    """A node with a settings file that can be changed while it runs."""

    def __init__(self, folder: Path, text: str) -> None:
        folder.mkdir(exist_ok=True)
        self.file = folder / "data" / "fileroom.toml"
        settings = made(folder / "data")
        self.file.write_text(text)
        flags = {
            "data.directory": str(settings.data_directory),
            "site.name": settings.site.name,
            "seal.quiet_s": "0.2",
        }
        self.process = NodeProcess(load(file=str(self.file), environment={}, overrides=flags))
        self.host, self.port = self.process.reached.dimse

    def reload(self, text: str, said: str) -> None:
        self.file.write_text(text)
        os.kill(self.process.process.pid, signal.SIGHUP)
        deadline = time.monotonic() + WAIT_S
        while said not in self.process.log.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.fixture
def node(tmp_path):
    started = []

    def start(text):
        started.append(Configured(tmp_path / "node", text))
        return started[-1]

    yield start
    for each in started:
        assert each.process.terminate() == 0


def dcmtk(node, tool, *options, calling, called="FILEROOM"):
    target = ("-aet", calling, "-aec", called, node.host, str(node.port))
    found = program(tool, package="dcmtk")
    files = [each for each in options if each.endswith(".dcm")]
    flags = [each for each in options if not each.endswith(".dcm")]
    return asyncio.run(run(found, "-v", *flags, *target, *files))


def associated(node, *contexts, calling, called="FILEROOM"):
    entity = AE(ae_title=calling)
    for each in contexts:
        entity.add_requested_context(each)
    return entity.associate(node.host, node.port, ae_title=called)


def test_each_title_gives_what_its_table_says_to_the_peers_that_may(node, tmp_path):
    here = node(TITLES + MODALITY + ELSEWHERE + reading(104))
    file = str(ct_small())
    code, said = dcmtk(here, "storescu", file, calling="CT1")
    assert code == 0, said
    code, said = dcmtk(here, "storescu", file, calling="CT1", called="RESEARCH")
    assert code != 0
    assert "No Acceptable Presentation Contexts" in said
    code, said = dcmtk(here, "echoscu", calling="CT1", called="RESEARCH")
    assert code == 0, said
    for calling, called, told in (
        ("CT1", "OTHER", "Called AE Title Not Recognized"),
        ("STRANGER", "FILEROOM", "Calling AE Title Not Recognized"),
        ("CT2", "FILEROOM", "Calling AE Title Not Recognized"),
    ):
        code, said = dcmtk(here, "echoscu", calling=calling, called=called)
        assert code != 0
        assert told in said
    link = associated(here, VERIFICATION, CT, STUDY_ROOT_FIND, calling="CT1")
    assert link.is_established
    assert {each.abstract_syntax for each in link.accepted_contexts} == {VERIFICATION, CT}
    assert {each.result for each in link.rejected_contexts} == {1}  # user rejection
    link.release()


def test_answers_name_the_title_that_was_called_and_a_move_is_sent_by_it(node, tmp_path):
    port = free_port()
    here = node(TITLES + MODALITY + reading(port))
    code, said = dcmtk(here, "storescu", str(ct_small()), calling="CT1")
    assert code == 0, said
    study = str(dcmread(ct_small()).StudyInstanceUID)
    keys = ("-S", "-k", "0008,0052=STUDY", "-k", f"0020,000d={study}", "-k", "0008,0054")
    for called in ("FILEROOM", "RESEARCH"):
        code, said = dcmtk(here, "findscu", *keys, calling="READING", called=called)
        assert code == 0, said
        assert f"[{called}" in said.partition("Find Response")[2]
    received = tmp_path / "received"
    received.mkdir()

    async def moved():
        process = await asyncio.create_subprocess_exec(
            program("storescp", package="dcmtk"),
            *("-d", "-od", str(received), str(port)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            await until_listening(port)
            target = ("-aet", "READING", "-aec", "RESEARCH", "-aem", "READING")
            code, said = await run(
                program("movescu", package="dcmtk"),
                *("-v", "-S", "-k", "0008,0052=STUDY", "-k", f"0020,000d={study}", *target),
                *(here.host, str(here.port)),
            )
        finally:
            process.terminate()
            heard, _ = await process.communicate()
        return code, said, heard.decode()

    code, said, heard = asyncio.run(moved())
    assert code == 0, said
    assert re.search("Calling Application Name: +RESEARCH", heard), heard[:3000]
    assert len(list(received.iterdir())) == 1


def test_a_right_that_is_taken_away_is_refused_in_an_association_that_is_open(node):
    here = node(MODALITY)
    link = associated(here, VERIFICATION, CT, calling="CT1")
    data_set = dcmread(ct_small())
    assert link.send_c_echo().Status == 0
    assert link.send_c_store(data_set).Status == 0
    here.reload(MODALITY.replace(', "store"', ""), "peers has a new value")
    assert link.send_c_echo().Status == 0
    assert link.send_c_store(data_set).Status == 0x0124
    here.reload(TITLES + MODALITY.replace("CT1", "CT9"), "titles has a new value")
    assert link.send_c_echo().Status == 0x0124
    link.release()
    assert associated(here, VERIFICATION, calling="CT9", called="RESEARCH").is_established


def test_until_a_peer_has_rights_programs_of_this_machine_may_ask_for_everything(node):
    here = node(TITLES + peer("PACS", "[]"))
    code, said = dcmtk(here, "storescu", str(ct_small()), calling="ANYONE")
    assert code == 0, said
    link = associated(here, CT, STUDY_ROOT_FIND, STUDY_ROOT_MOVE, calling="ANY", called="RESEARCH")
    found = {each.abstract_syntax for each in link.accepted_contexts}
    assert found == {STUDY_ROOT_FIND, STUDY_ROOT_MOVE}
    link.release()
