"""Deflated data sets, by range and within bounds."""

import zlib
from random import Random

import pytest

from fileroom.dicom import inflate
from fileroom.dicom.inflate import PIECE_BYTES, InflatedDataSet, Inflater
from fileroom.dicom.instance_error import InstanceError


def deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


@pytest.fixture
def plain() -> bytes:
    random = Random(3)
    return b"".join(bytes([random.randrange(8)]) * random.randrange(1, 200) for _ in range(9_000))


def opened(packed: bytes) -> InflatedDataSet:
    return InflatedDataSet(lambda start, end: packed[start:end], len(packed))


def test_any_range_reads_as_if_nothing_had_been_deflated(
    plain: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inflate, "SNAPSHOT_EVERY_BYTES", 100_000)
    found = opened(deflate(plain))
    assert (found.size_bytes, found.whole) == (len(plain), True)
    random = Random(4)
    for _ in range(100):
        start = random.randrange(len(plain))
        end = start + random.randrange(50_000)
        assert found.read(start, end) == plain[start:end]
    assert found.read(len(plain) - 1, len(plain) + 10) == plain[-1:]
    assert found.read(len(plain), len(plain) + 10) == b""


def test_a_stream_that_is_cut_off_or_damaged_ends_there(plain: bytes) -> None:
    packed = deflate(plain)
    found = opened(packed[:-100])
    assert not found.whole
    assert 0 < found.size_bytes < len(plain)
    assert found.read(0, len(plain)) == plain[: found.size_bytes]
    assert opened(b"\xff" * 100).size_bytes == 0
    assert opened(b"").size_bytes == 0


def test_what_follows_the_stream_is_not_read(plain: bytes) -> None:
    assert opened(deflate(plain) + b"\0").size_bytes == len(plain)


def test_a_bomb_ends_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inflate, "INFLATED_BYTES_MAX", 1_000_000)
    found = opened(deflate(bytes(10_000_000)))
    assert not found.whole
    assert 1_000_000 <= found.size_bytes <= 1_000_000 + 2 * PIECE_BYTES


def test_pushing_gives_pieces_of_bounded_size(plain: bytes) -> None:
    packed = deflate(plain + bytes(1_000_000))
    inflater = Inflater()
    pieces = [
        piece
        for byte in range(0, len(packed), 7)
        for piece in inflater.inflate(packed[byte : byte + 7])
    ]
    assert b"".join(pieces) == plain + bytes(1_000_000)
    assert max(map(len, pieces)) <= PIECE_BYTES
    assert inflater.ended


def test_pushing_a_damaged_stream_is_refused() -> None:
    with pytest.raises(InstanceError):
        list(Inflater().inflate(b"\xff" * 100))


def test_what_precedes_damage_is_the_same_however_the_stream_is_cut(plain: bytes) -> None:
    stream = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = stream.compress(plain) + stream.flush(zlib.Z_FULL_FLUSH)
    packed += b"\x07" + bytes(100)  # a block of the type that there is not (RFC 1951 §3.2.3)
    assert opened(packed).read(0, 1 << 30) == plain

    def pushed(step: int, found: list[bytes]) -> None:
        inflater = Inflater()
        for start in range(0, len(packed), step):
            found.extend(inflater.inflate(packed[start : start + step]))

    for step in (1, 1000, len(packed)):
        found: list[bytes] = []
        with pytest.raises(InstanceError):
            pushed(step, found)
        assert b"".join(found) == plain
