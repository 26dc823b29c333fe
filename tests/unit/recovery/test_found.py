"""Packs that a listing shows: which they are, and how a thread reads them."""

import asyncio
import errno
import hashlib
import threading
from collections.abc import Callable

import pytest

from fileroom.pack.format import object_name
from fileroom.provider.port import ObjectStat, UnreachableError
from fileroom.recovery import found
from fileroom.recovery.found import FoundPack, at_provider, is_whole

NAME = object_name(b"k" * 16, b"p" * 32)


class Provider:
    """Gives what it is asked for, or never answers."""

    name = "b"

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.answers = True

    async def get(self, name: str, start: int, end: int, *, call: object) -> bytes:
        self.asked.set()
        if not self.answers:
            await asyncio.Event().wait()
        return f"{name}:{start}:{end}:{call}".encode()


def shown(provider: Provider, name: str = NAME) -> FoundPack | None:
    return at_provider(provider, ObjectStat(name, 5000, 1))


async def test_an_object_with_the_name_of_a_pack_is_read_through_the_loop():
    pack = shown(Provider())
    assert pack is not None
    assert (pack.provider, pack.local, pack.size_bytes) == ("b", False, 5000)
    data = await asyncio.to_thread(pack.read, 7, 9)
    assert data == f"{NAME}:7:9:{found.CALL}".encode()
    assert shown(Provider(), "packs/README.txt") is None


def test_a_thread_does_not_wait_for_a_node_that_has_ended(monkeypatch):
    monkeypatch.setattr(found, "LOOK_S", 0.01)
    provider = Provider()
    provider.answers = False
    loop = asyncio.new_event_loop()

    async def listed() -> FoundPack | None:
        return shown(provider)

    pack = loop.run_until_complete(listed())
    assert pack is not None
    node = threading.Thread(target=loop.run_forever)
    node.start()
    told: list[BaseException] = []

    def read() -> None:
        with pytest.raises(UnreachableError, match="the node ended") as caught:
            pack.read(0, 40)
        told.append(caught.value)

    reader = threading.Thread(target=read)
    reader.start()
    assert provider.asked.wait(10)
    loop.call_soon_threadsafe(loop.stop)
    node.join(10)
    reader.join(10)
    assert told
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def test_a_pack_is_whole_when_all_of_it_is_there_and_is_what_its_name_tells_of(monkeypatch):
    monkeypatch.setattr(found, "PIECE_BYTES", 4)
    content = b"ten bytes."

    def pack(read: Callable[[int, int], bytes]) -> FoundPack:
        name = hashlib.sha256(content).digest()
        return FoundPack(
            sha256=name, study_key_id=b"k" * 16, size_bytes=len(content), provider="", read=read
        )

    def bad_sector(start: int, end: int) -> bytes:
        if start:
            raise OSError(errno.EIO, "injected")
        return content[start:end]

    assert is_whole(pack(lambda start, end: content[start:end]))
    assert not is_whole(pack(lambda start, end: content[:9][start:end]))
    assert not is_whole(pack(lambda start, end: (content[:9] + b"!")[start:end]))
    assert not is_whole(pack(bad_sector))
