"""Instances as a peer takes them: chosen, begun, and read in bounded pieces."""

import asyncio
import threading
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from fileroom.dicom.instance_error import InstanceError
from fileroom.retrieve import transcode
from fileroom.retrieve.packs import UnavailableError
from fileroom.retrieve.transcode import PIECE_BYTES, Transcoder, chosen_context
from fileroom.wire.presentation import AcceptedContext
from instances import part10
from retrieve_fakes import HeldInstance

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
EXPLICIT, IMPLICIT, BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
DEFLATED, RLE, MPEG2 = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.100"


def shipped(name: str) -> HeldInstance:
    return HeldInstance(Path(str(get_testdata_file(name, download=False))).read_bytes())


@pytest.mark.parametrize(
    ("stored", "accepted", "chosen"),
    [
        (EXPLICIT, (IMPLICIT, EXPLICIT), EXPLICIT),
        (IMPLICIT, (EXPLICIT, IMPLICIT), IMPLICIT),
        (EXPLICIT, (IMPLICIT,), IMPLICIT),
        (RLE, (EXPLICIT, RLE), RLE),
        (RLE, (IMPLICIT, EXPLICIT), EXPLICIT),
        (DEFLATED, (EXPLICIT, DEFLATED), DEFLATED),
        (DEFLATED, (EXPLICIT,), EXPLICIT),
        (EXPLICIT, (DEFLATED, RLE), None),
        (BIG, (BIG,), None),
        (BIG, (BIG, EXPLICIT), EXPLICIT),
        (MPEG2, (EXPLICIT, IMPLICIT), None),
        (MPEG2, (EXPLICIT, MPEG2), MPEG2),
        ("1.2.3", (EXPLICIT,), None),
    ],
)
def test_the_context_is_that_of_the_stored_form_or_the_best_that_can_be_made(
    stored, accepted, chosen
):
    contexts = [AcceptedContext(1, MR, stored)]
    contexts += [AcceptedContext(2 * n + 3, CT, each) for n, each in enumerate(accepted)]
    found = chosen_context(contexts, CT, stored)
    assert (found.transfer_syntax if found else None) == chosen
    assert found is None or found.abstract_syntax == CT


async def test_the_stored_form_is_read_as_it_is_in_pieces():
    instance = HeldInstance(part10(1, 1, 1, size_bytes=5 << 19))
    pieces = [each async for each in await Transcoder().opened(instance, EXPLICIT)]
    assert b"".join(pieces) == instance.data_set
    assert {len(each) for each in pieces[:-1]} == {PIECE_BYTES}
    assert instance.read_bytes == len(instance.data_set)


async def test_what_cannot_be_given_is_refused_before_the_first_piece():
    away = HeldInstance(part10(1, 1, 1))
    away.error = UnavailableError("a provider is away")
    with pytest.raises(UnavailableError):
        await Transcoder().opened(away, EXPLICIT)
    with pytest.raises(UnavailableError):
        await Transcoder().opened(away, IMPLICIT)
    damaged = HeldInstance(shipped("MR_small_RLE.dcm").file[:-100])
    with pytest.raises(InstanceError):
        await Transcoder().opened(damaged, EXPLICIT)


async def test_transcoding_leaves_the_loop_free_and_reads_on_it():
    instance = shipped("MR_small_RLE.dcm")
    threads = set()
    instance.before_read = lambda: threads.add(threading.get_ident())
    pieces = [each async for each in await Transcoder().opened(instance, EXPLICIT)]
    plain = shipped("MR_small.dcm").data_set
    assert plain[-8192:] in b"".join(pieces)
    assert threads == {threading.get_ident()}


async def test_all_pieces_of_what_is_transcoded_are_given():
    instance = HeldInstance(part10(1, 1, 1, size_bytes=5 << 19))
    pieces = [each async for each in await Transcoder().opened(instance, IMPLICIT)]
    assert len(pieces) > 8
    assert b"".join(pieces).endswith(instance.file[-(5 << 19) :])


async def test_a_deflated_data_set_is_padded_to_an_even_length():
    instance = shipped("image_dfl.dcm")
    assert len(instance.data_set) % 2 == 1
    given = b"".join([each async for each in await Transcoder().opened(instance, DEFLATED)])
    assert given == instance.data_set + b"\0"


async def test_more_at_once_than_there_are_turns_wait_and_none_hangs(monkeypatch):
    monkeypatch.setattr(transcode, "TURNS_MAX", 1)
    transcoder, instance = Transcoder(), shipped("SC_rgb_rle_2frame.dcm")

    async def given() -> bytes:
        return b"".join([each async for each in await transcoder.opened(instance, EXPLICIT)])

    async with asyncio.timeout(30):
        found = await asyncio.gather(*(given() for _ in range(8)))
    assert len(set(found)) == 1


async def test_who_gives_up_keeps_the_turn_until_the_thread_has_ended(monkeypatch):
    monkeypatch.setattr(transcode, "TURNS_MAX", 1)
    transcoder, instance = Transcoder(), shipped("MR_small_RLE.dcm")
    inside, let_go = threading.Event(), threading.Event()

    def check(_):
        inside.set()
        let_go.wait()
        yield

    monkeypatch.setattr(transcode.Transcoding, "check", check)
    given_up = asyncio.ensure_future(transcoder.opened(instance, EXPLICIT))
    await asyncio.to_thread(inside.wait)
    given_up.cancel()
    await asyncio.wait((given_up,))
    waiting = asyncio.ensure_future(transcoder._turns.acquire())
    for _ in range(20):
        await asyncio.sleep(0)
    assert not waiting.done()
    let_go.set()
    async with asyncio.timeout(30):
        await waiting
