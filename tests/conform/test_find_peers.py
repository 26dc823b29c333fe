"""How many instances a peer has of a study: our C-FIND SCU against programs of others, and against
peers that answer what they should not."""

import asyncio
from contextlib import contextmanager
from itertools import count
from types import SimpleNamespace

import pytest
from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind as StudyRootFind
from pynetdicom.sop_class import Verification

from fileroom.dicom.identifier import SIZE_BYTES_MAX
from fileroom.peer import find
from fileroom.peer.association import BrokenOffError, NotNegotiatedError, UnreachableError
from fileroom.peer.status import FailedStatusError
from peers import free_port

STUDY, OTHER = "1.2.826.0.1.1", "1.2.826.0.1.2"


def match(study=STUDY, **said):
    answer = Dataset()
    answer.StudyInstanceUID = study
    for keyword, value in said.items():
        setattr(answer, keyword, value)
    return answer


def series(uid, instances, *, study=STUDY, **said):
    return match(study, SeriesInstanceUID=uid, NumberOfSeriesRelatedInstances=instances, **said)


@contextmanager
def scp(answers, *, context=StudyRootFind):
    """pynetdicom as SCP; `answers` gives status and data set pairs for a level."""
    asked = []

    def handle(event):
        asked.append(event.identifier)
        yield from answers(event.identifier.QueryRetrieveLevel)

    entity = AE(ae_title="SENDER")
    entity.require_called_aet = True
    entity.add_supported_context(context)
    port = free_port()
    server = entity.start_server(
        ("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_FIND, handle)]
    )
    try:
        yield SimpleNamespace(port=port, asked=asked)
    finally:
        server.shutdown()


async def counted(port, *studies, timeout_s=10.0):
    found = find.counts(
        "127.0.0.1", port, studies, calling="FILEROOM", called="SENDER", timeout_s=timeout_s
    )
    return [each async for each in found]


async def test_a_study_is_counted_whole_and_by_series():
    def answers(level):
        if level == "STUDY":
            yield 0xFF00, match(NumberOfStudyRelatedInstances=600)
            return
        yield 0xFF00, series("1.1", 598, Modality="CT")
        yield 0xFF01, series("1.2", "", Modality="PR")
        yield 0xFF00, match(SeriesInstanceUID="1.3")

    with scp(answers) as peer:
        first, second = await counted(peer.port, STUDY, STUDY)
    assert first == second
    assert first.instances == 600
    assert first.series == {"1.1": ("CT", 598), "1.2": ("PR", None), "1.3": ("", None)}
    levels = [each.QueryRetrieveLevel for each in peer.asked]
    assert levels == ["STUDY", "SERIES"] * 2
    assert {each.StudyInstanceUID for each in peer.asked} == {STUDY}


async def test_what_is_no_answer_to_what_was_asked_is_none():
    def answers(level):
        if level == "STUDY":
            yield 0xFF00, match(OTHER, NumberOfStudyRelatedInstances=999)
            nameless = Dataset()
            nameless.NumberOfStudyRelatedInstances = 999
            yield 0xFF00, nameless
            return
        yield 0xFF00, series("1.1", 9, study=OTHER)
        yield 0xFF00, series("../../etc", 9)
        yield 0xFF00, series("1.2", "-5")
        yield 0xFF00, series("1.3", "999999999999")

    with scp(answers) as peer:
        (found,) = await counted(peer.port, STUDY)
    assert found == (None, {"1.2": ("", None), "1.3": ("", None)})


async def test_a_peer_that_has_no_such_study_says_nothing():
    with scp(lambda level: iter(())) as peer:
        assert await counted(peer.port, STUDY) == [(None, {})]


async def test_a_peer_that_refuses_is_told_from_one_that_cannot():
    with scp(lambda level: iter([(0xA700, None)])) as peer, pytest.raises(FailedStatusError):
        await counted(peer.port, STUDY)
    with scp(None, context=Verification) as peer, pytest.raises(NotNegotiatedError):
        await counted(peer.port, STUDY)
    with pytest.raises(UnreachableError):
        await counted(free_port(), STUDY)


async def test_a_peer_that_answers_without_end_is_given_up(monkeypatch):
    monkeypatch.setattr(find, "MATCHES_MAX", 20)

    def answers(level):
        for number in count():
            yield 0xFF00, match(SeriesInstanceUID=f"1.{number}")

    with scp(answers) as peer, pytest.raises(BrokenOffError, match="over 20 matches"):
        await counted(peer.port, STUDY)


async def test_an_answer_that_is_too_large_or_no_data_set_ends_it():
    huge = match(PatientComments="x" * 10_000)
    huge.add_new(0x00091010, "OB", bytes(SIZE_BYTES_MAX))
    with (
        scp(lambda level: iter([(0xFF00, huge)])) as peer,
        pytest.raises(BrokenOffError, match=f"over {SIZE_BYTES_MAX} B"),
    ):
        await counted(peer.port, STUDY)


async def test_a_peer_that_never_answers_costs_its_timeout():
    release = asyncio.Event()

    async def silence(reader, writer):
        await reader.read(10)
        await release.wait()
        writer.close()

    listener = await asyncio.start_server(silence, "127.0.0.1", 0)
    try:
        with pytest.raises(UnreachableError):
            await counted(listener.sockets[0].getsockname()[1], STUDY, timeout_s=0.3)
    finally:
        release.set()
        listener.close()
