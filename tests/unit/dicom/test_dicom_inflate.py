"""Deflated data sets, by range and within bounds."""

import zlib
from random import Random

import pytest

from fileroom.dicom import inflate
from fileroom.dicom.inflate import (
    COMPRESSED_PIECE_BYTES,
    PIECE_BYTES,
    SNAPSHOT_BYTES,
    InflatedDataSet,
    InflatedTooLargeError,
    Inflater,
)
from fileroom.dicom.instance_error import InstanceError
from fileroom.errors import TransientError


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


def test_no_more_is_inflated_than_is_asked_for() -> None:
    plain = Random(8).randbytes(2_000_000)
    packed = deflate(plain)
    asked: list[int] = []

    def read(start: int, end: int) -> bytes:
        asked.append(end)
        return packed[start:end]

    found = InflatedDataSet(read, len(packed))
    assert asked == []
    assert found.read(0, 10) == plain[:10]
    assert asked == [COMPRESSED_PIECE_BYTES]
    half = len(plain) // 2
    found.reach(half)
    reached = max(asked)
    assert reached < 0.6 * len(packed)
    assert found.read(half - 10, half) == plain[half - 10 : half]
    assert max(asked) == reached


def test_snapshots_move_apart_and_stay_few(plain: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inflate, "SNAPSHOT_EVERY_BYTES", 70_000)
    monkeypatch.setattr(inflate, "SNAPSHOTS_MAX", 4)
    data = plain * 4
    found = opened(deflate(data))
    assert found.size_bytes == len(data)
    assert found.held_bytes <= 4 * SNAPSHOT_BYTES
    for start in range(0, len(data), 99_991):
        assert found.read(start, start + 100) == data[start : start + 100]


def test_what_lies_behind_the_end_or_the_limit_cannot_be_reached(
    plain: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = opened(deflate(plain))
    found.reach(len(plain))
    with pytest.raises(InstanceError, match=f"ends after {len(plain)} B"):
        found.reach(len(plain) + 1)
    assert found.read(0, 100) == plain[:100]
    with pytest.raises(InstanceError):
        opened(deflate(plain)[:1000]).reach(len(plain))
    monkeypatch.setattr(inflate, "INFLATED_BYTES_MAX", 1_000_000)
    bomb = opened(deflate(bytes(10_000_000)))
    bomb.reach(1_000_000)
    with pytest.raises(InflatedTooLargeError):
        bomb.reach(1_000_001)


def test_a_read_that_fails_can_be_done_again(plain: bytes) -> None:
    packed = deflate(plain)
    random = Random(7)

    def read(start: int, end: int) -> bytes:
        if random.random() < 0.3:
            raise TransientError("not now")
        return packed[start:end]

    found = InflatedDataSet(read, len(packed))
    parts, position = [], 0
    while position < len(plain):
        try:
            part = found.read(position, position + 70_000)
        except TransientError:
            continue
        parts.append(part)
        position += len(part)
    assert b"".join(parts) == plain


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
