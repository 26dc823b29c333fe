"""Whatever happens to the bytes of a segment, what is read is right or refused."""

import asyncio
import tempfile
from functools import cache
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from fileroom.spool.failure import DamagedSegmentError
from fileroom.spool.format import segment_name
from fileroom.spool.reader import SpoolReader
from spool_parts import KEY, data_set, land, name_of, open_spool

SIZES = {"1": 10, "2": 0, "3": 270_000, "4": 5000}
FOLDER = tempfile.TemporaryDirectory(prefix="fileroom-spool-")


@cache
def segment(clean: bool) -> bytes:
    """A segment with the instances of SIZES, as closed or as killed."""

    async def made(directory: Path) -> bytes:
        spool = open_spool(directory, segment_size_bytes=400_000)
        for name, size_bytes in SIZES.items():
            await land(spool, name, data_set(name, size_bytes))
        killed = (directory / segment_name(1)).read_bytes()
        await spool.close()
        return (directory / segment_name(1)).read_bytes() if clean else killed

    with tempfile.TemporaryDirectory() as directory:
        return asyncio.run(made(Path(directory)))


def check(content: bytes) -> set[str]:
    """The names of the instances that can be read; all of them rightly, and no other is lost
    without a word but the last ones of a segment that ends in zeros."""
    directory = Path(FOLDER.name)
    for path in directory.iterdir():
        path.unlink()
    (directory / segment_name(1)).write_bytes(content)
    spool = open_spool(directory)
    reader = SpoolReader(directory, key=KEY)
    whole, told = set(), set()
    for spooled in spool.recovered():
        name = name_of(spooled)
        try:
            data = b"".join(reader.open(spooled.place).chunks())
        except DamagedSegmentError:
            told.add(name)
            continue
        assert data == data_set(name, SIZES[name])
        assert name not in whole
        whole.add(name)
    lost = SIZES.keys() - whole - told
    last = max(whole | told, default="0")
    clean = content.endswith(segment(True)[-56:])
    assert spool.damage or not any(name < last or clean for name in lost)
    return whole


@given(
    clean=st.booleans(),
    changes=st.lists(st.tuples(st.integers(4096, 310_000), st.binary(min_size=1, max_size=600))),
)
@settings(deadline=None, max_examples=150)
def test_overwritten_bytes_are_never_served(clean: bool, changes: list[tuple[int, bytes]]) -> None:
    content = bytearray(segment(clean))
    for offset, data in changes:
        content[offset : offset + len(data)] = data
    check(bytes(content[: len(segment(clean))]))


@given(clean=st.booleans(), data=st.data())
@settings(deadline=None, max_examples=100)
def test_a_segment_cut_anywhere_serves_what_is_whole(clean: bool, data: st.DataObject) -> None:
    content = segment(clean)
    size_bytes = data.draw(st.integers(4096, len(content)))
    whole = check(content[:size_bytes])
    assert len(whole) == len(SIZES) or size_bytes < 310_000


@given(clean=st.booleans(), data=st.data())
@settings(deadline=None, max_examples=100)
def test_blocks_swapped_or_repeated_are_never_served(clean: bool, data: st.DataObject) -> None:
    content = bytearray(segment(clean))
    blocks = st.integers(1, len(content) // 4096 - 1)
    for one, other in data.draw(st.lists(st.tuples(blocks, blocks), max_size=4)):
        content[one * 4096 : one * 4096 + 4096] = content[other * 4096 : other * 4096 + 4096]
    check(bytes(content))
