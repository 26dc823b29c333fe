"""Instances beyond 4 GiB stream through in bounded memory."""

import tracemalloc

import pytest

from fileroom.pack.reader import PackReader
from fileroom.pack.writer import PackWriter
from unit.pack.packs import HEAD, STUDY_KEY, SUBJECT, entry


class Ends:
    """A sink that keeps the first and the last MiB of a pack."""

    def __init__(self, kept_bytes: int = 1 << 20) -> None:
        self._kept_bytes = kept_bytes
        self.size_bytes = 0
        self._first, self._last = bytearray(), bytearray()

    def __call__(self, block: memoryview) -> None:
        self._first += block[: self._kept_bytes - len(self._first)]
        self._last = (self._last + block)[-self._kept_bytes :]
        self.size_bytes += len(block)

    def read(self, start: int, end: int) -> bytes:
        if end <= len(self._first):
            return bytes(self._first[start:end])
        start, end = start - self.size_bytes, end - self.size_bytes
        assert start >= -len(self._last)
        return bytes(self._last[start : end or None])


def write_zeros(size_bytes: int) -> tuple[Ends, PackReader]:
    """A pack of an instance of zeros and a small one behind it."""
    sink, zeros = Ends(), bytes(1 << 20)
    writer = PackWriter(sink, key=STUDY_KEY, subject=SUBJECT)

    def body():
        yield from (zeros for _ in range(size_bytes >> 20))
        yield zeros[: size_bytes & 0xFFFFF]

    for number, each, size in ((1, body, size_bytes), (2, [b"behind"], 6)):
        writer.add_instance(
            head=HEAD,
            body=each,
            body_size_bytes=size,
            crc32=None if number == 2 else 1,
            entry=entry(number, b"behind"),
        )
    written = writer.finish()
    assert sink.size_bytes == written.size_bytes
    facts = {"tink_header": written.tink_header, "size_bytes": written.size_bytes}
    return sink, PackReader(sink.read, key=STUDY_KEY, **facts)


def check(reader: PackReader, size_bytes: int) -> None:
    first, second = reader.metadata().instances
    wide = 20 if size_bytes + len(HEAD) >= 0xFFFFFFFF else 0
    assert (first.start, first.size_bytes) == (50 + wide, size_bytes + len(HEAD))
    assert reader.read(first.start, first.start + 200) == HEAD + bytes(200 - len(HEAD))
    assert reader.read(second.start, second.end) == HEAD + b"behind"


def test_an_instance_of_40_mib_is_not_held():
    size_bytes = (40 << 20) + 12_345
    tracemalloc.start()
    try:
        _, reader = write_zeros(size_bytes)
        check(reader, size_bytes)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 8 << 20


@pytest.mark.slow
def test_an_instance_over_4_gib_has_wide_sizes_and_offsets():
    size_bytes = (1 << 32) + 12_345
    _, reader = write_zeros(size_bytes)
    check(reader, size_bytes)
    assert reader.read(14 + 4, 14 + 12) == b"\xff" * 8
    assert reader.metadata().instances[1].start > 1 << 32
