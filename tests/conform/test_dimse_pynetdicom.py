"""pynetdicom as SCU against the DICOM door, and as SCP against our SCUs."""

import asyncio
from contextlib import contextmanager
from pathlib import Path

import pytest
from dimse_door import data_set_of, door
from pynetdicom import AE, AllStoragePresentationContexts, _config, build_role, evt
from pynetdicom.pdu_primitives import (
    AsynchronousOperationsWindowNegotiation,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)
from pynetdicom.sop_class import CTImageStorage, Verification

from corpus import ct_small, pydicom_files
from fileroom.dicom.instance_error import InstanceError
from fileroom.peer.association import (
    BrokenOffError,
    NotNegotiatedError,
    RejectedError,
    UnreachableError,
)
from fileroom.peer.echo import echo
from fileroom.peer.status import FailedStatusError
from fileroom.peer.store import FileToStore, store_files
from fileroom.wire.sop_class import VERIFICATION
from peers import free_port

EXPLICIT = "1.2.840.10008.1.2.1"


@pytest.fixture(autouse=True)
def _raw_files(monkeypatch):
    """pynetdicom sends a file's bytes as they are only when it sends in chunks."""
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)


def storable() -> list[FileToStore]:
    """pydicom's files that say what they are, one for each instance."""
    found = {}
    for each in pydicom_files():
        try:
            file = FileToStore.read(each.path)
        except InstanceError:
            continue
        if file.sop_class_uid.startswith("1.2.840.10008.5.1.4.1.1."):
            found.setdefault(file.sop_instance_uid, file)
    return list(found.values())


def scu(*contexts, calling: str = "PYNETDICOM", pdu_size_bytes: int = 16382) -> AE:
    entity = AE(ae_title=calling)
    entity.maximum_pdu_size = pdu_size_bytes
    entity.dimse_timeout = entity.acse_timeout = entity.network_timeout = 20
    for abstract, transfer in contexts:
        entity.add_requested_context(abstract, transfer)
    return entity


async def test_files_of_every_kind_arrive_bit_for_bit_in_one_association():
    files = storable()
    syntaxes = sorted({each.syntaxes for each in files})
    assert len(syntaxes) <= 128

    def send(port: int) -> list[int]:
        association = scu(*syntaxes).associate("127.0.0.1", port, ae_title="FILEROOM")
        assert association.is_established
        statuses = [association.send_c_store(str(each.path)).Status for each in files]
        association.release()
        return statuses

    async with door() as opened:
        statuses = await asyncio.to_thread(send, opened.port)
        assert set(statuses) == {0}
        for file, landed in zip(files, opened.receiver.landed, strict=True):
            assert landed.data == data_set_of(file.path), file.path.name
            assert landed.transfer_syntax_uid == file.transfer_syntax_uid
            assert landed.sop_instance_uid == file.sop_instance_uid
        assert len(opened.receiver.conversations) == 1


async def test_every_kind_of_negotiation_is_answered():
    window = AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked = 0
    window.maximum_number_operations_performed = 5
    extended = SOPClassExtendedNegotiation()
    extended.sop_class_uid = CTImageStorage
    extended.service_class_application_information = b"\x02\x00\x03\x00\x01\x00"
    common = SOPClassCommonExtendedNegotiation()
    common.sop_class_uid = "1.2.999.1"
    common.service_class_uid = "1.2.840.10008.4.2"
    identity = UserIdentityNegotiation()
    identity.user_identity_type = 2
    identity.primary_field = b"user"
    identity.secondary_field = b"passcode"
    role = build_role(CTImageStorage, scu_role=True, scp_role=True)

    def talk(port: int):
        entity = scu((CTImageStorage, EXPLICIT), (Verification, EXPLICIT), ("1.2.999.1", EXPLICIT))
        association = entity.associate(
            "127.0.0.1",
            port,
            ae_title="FILEROOM",
            ext_neg=[window, extended, common, identity, role],
        )
        assert association.is_established
        status = association.send_c_echo().Status
        accepted = {str(each.abstract_syntax): each for each in association.accepted_contexts}
        association.release()
        return status, accepted, association.acceptor

    async with door(operations_max=3) as opened:
        status, accepted, acceptor = await asyncio.to_thread(talk, opened.port)
    assert status == 0
    assert accepted.keys() == {CTImageStorage, Verification, "1.2.999.1"}
    # The role of an SCP is for instances that are sent to the requestor (C-GET).
    assert {uid for uid, each in accepted.items() if each.as_scp} == {CTImageStorage}
    assert acceptor.asynchronous_operations == (3, 1)
    assert acceptor.sop_class_extended == {CTImageStorage: bytes([2, 0, 3, 0, 0, 0])}


async def test_four_associations_at_once_do_not_mix():
    files = [each for each in storable() if each.path.stat().st_size < 300_000][:12]

    def send(port: int, number: int) -> None:
        entity = scu(*sorted({each.syntaxes for each in files}), calling=f"SENDER{number}")
        association = entity.associate("127.0.0.1", port, ae_title="FILEROOM")
        for each in files:
            assert association.send_c_store(str(each.path)).Status == 0
        association.release()

    async with door() as opened:
        await asyncio.gather(*(asyncio.to_thread(send, opened.port, n) for n in range(4)))
        by_caller: dict[str, list[bytes]] = {}
        for landed in opened.receiver.landed:
            by_caller.setdefault(landed.origin.calling_ae_title, []).append(landed.data)
        expected = [data_set_of(each.path) for each in files]
        assert by_caller == {f"SENDER{n}": expected for n in range(4)}


async def test_an_abort_of_pynetdicom_leaves_the_door_open():
    def talk(port: int) -> int:
        entity = scu((Verification, EXPLICIT))
        entity.associate("127.0.0.1", port, ae_title="FILEROOM").abort()
        association = entity.associate("127.0.0.1", port, ae_title="FILEROOM")
        status = association.send_c_echo().Status
        association.release()
        return status

    async with door() as opened:
        assert await asyncio.to_thread(talk, opened.port) == 0


@contextmanager
def scp(*, status: int = 0, keep: list[bytes] | None = None, verification: bool = True):
    """pynetdicom as SCP; `keep` gets the data sets as they came."""

    def stored(event: evt.Event) -> int:
        if keep is not None:
            keep.append(event.request.DataSet.getvalue())
        return status

    entity = AE(ae_title="PACS")
    entity.require_called_aet = True
    if verification:
        entity.add_supported_context(Verification)
    for context in AllStoragePresentationContexts:
        entity.add_supported_context(context.abstract_syntax, EXPLICIT)
    port = free_port()
    handlers = [(evt.EVT_C_STORE, stored), (evt.EVT_C_ECHO, lambda _: status)]
    server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    try:
        yield port
    finally:
        server.shutdown()


async def test_our_echo_is_answered_by_pynetdicom():
    with scp() as port:
        result = await echo("127.0.0.1", port, calling="FILEROOM", called="PACS", timeout_s=10)
    assert result.status == 0
    assert result.took_s > 0


async def test_our_echo_says_what_went_wrong():
    ask = {"calling": "FILEROOM", "timeout_s": 10}
    with scp() as port, pytest.raises(RejectedError, match="called AE title not recognized"):
        await echo("127.0.0.1", port, called="OTHER", **ask)
    with scp(verification=False) as port, pytest.raises(NotNegotiatedError):
        await echo("127.0.0.1", port, called="PACS", **ask)
    failed = pytest.raises(FailedStatusError, match="0122H SOP_CLASS_NOT_SUPPORTED")
    with scp(status=0x0122) as port, failed:
        await echo("127.0.0.1", port, called="PACS", **ask)
    with pytest.raises(UnreachableError):
        await echo("127.0.0.1", free_port(), called="PACS", **ask)


async def test_a_peer_that_says_nothing_or_nonsense_is_given_up():
    async def nonsense(reader, writer):
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async def silence(reader, writer):
        await reader.read()
        writer.close()

    for behaviour, error in ((nonsense, BrokenOffError), (silence, UnreachableError)):
        listener = await asyncio.start_server(behaviour, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        with pytest.raises(error):
            await echo("127.0.0.1", port, calling="FILEROOM", called="PACS", timeout_s=0.3)
        listener.close()
        await listener.wait_closed()


async def test_our_store_arrives_at_pynetdicom_bit_for_bit():
    files = [each.path for each in storable() if each.transfer_syntax_uid == EXPLICIT]
    kept: list[bytes] = []
    with scp(keep=kept) as port:
        count = await store_files("127.0.0.1", port, files, calling="FILEROOM", called="PACS")
    assert count == len(files)
    assert kept == [data_set_of(path) for path in files]


async def test_our_store_says_what_was_refused():
    failed = pytest.raises(FailedStatusError, match="1 of 1 refused")
    with scp(status=0xA700) as port, failed as refused:
        await store_files("127.0.0.1", port, [ct_small()], calling="FILEROOM", called="PACS")
    assert refused.value.status == 0xA700


async def test_our_store_and_our_door_fit_one_another():
    files = storable()
    async with door() as opened:
        await store_files(
            *("127.0.0.1", opened.port, [each.path for each in files]),
            calling="FILEROOM",
            called="FILEROOM",
        )
        assert opened.data_sets() == [data_set_of(each.path) for each in files]
        assert (await echo("127.0.0.1", opened.port, calling="A", called="FILEROOM")).status == 0


def test_verification_is_the_class_that_pynetdicom_names():
    assert Verification == VERIFICATION


def test_a_file_that_does_not_say_what_it_is_is_no_instance(tmp_path: Path):
    (tmp_path / "x").write_bytes(b"not DICOM")
    with pytest.raises(InstanceError):
        FileToStore.read(tmp_path / "x")
