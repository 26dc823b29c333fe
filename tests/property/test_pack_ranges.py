"""Any instances, cut in any way, read in any range; any damage is found."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fileroom.pack.format import DamagedPackError
from fileroom.pack.segment import Segments, ciphertext_size_bytes
from fileroom.pack.writer import PackWriter
from unit.pack.packs import HEAD, STUDY_KEY, SUBJECT, Made, entry, make_pack, tink_open

PATTERN = bytes(range(251)) * 1100

pieces = st.lists(st.integers(0, 70_000), max_size=4).map(
    lambda sizes: [PATTERN[size % 251 :][:size] for size in sizes]
)


def made_of(instances: list[list[bytes]]) -> Made:
    out = bytearray()
    writer = PackWriter(out.extend, key=STUDY_KEY, subject=SUBJECT)
    bodies = [b"".join(cut) for cut in instances]
    for number, (cut, body) in enumerate(zip(instances, bodies, strict=True), 1):
        writer.add_instance(
            head=HEAD,
            body=cut,
            body_size_bytes=len(body),
            crc32=None,
            entry=entry(number, body),
        )
    written = writer.finish()
    return Made(bytes(out), written, bodies)


@given(st.lists(pieces, max_size=4), st.data())
@settings(max_examples=60, deadline=None)
def test_every_range_of_every_pack_is_what_tink_reads(instances, data):
    made = made_of(instances)
    plain, reader = tink_open(made.data), made.reader()
    metadata = reader.verify(sha256=made.written.sha256)
    for instance, body in zip(metadata.instances, made.bodies, strict=True):
        assert reader.read(instance.start, instance.end) == HEAD + body
    start = data.draw(st.integers(0, len(plain)))
    end = data.draw(st.integers(start, len(plain)))
    assert reader.read(start, end) == plain[start:end]


@given(st.integers(1, 1 << 45))
def test_sizes_and_segments_agree(plaintext_size):
    segments = Segments(ciphertext_size_bytes(plaintext_size))
    assert segments.plaintext_size_bytes == plaintext_size
    last = plaintext_size - 1
    assert segments.plan(last, plaintext_size) == range(segments.count - 1, segments.count)
    start, end = segments.ciphertext_range(range(segments.count))
    assert (start, end) == (40, segments.size_bytes)


@given(st.integers(0, 1 << 40))
def test_no_two_plaintext_sizes_give_one_ciphertext_size(size):
    try:
        plaintext_size = Segments(size).plaintext_size_bytes
    except DamagedPackError:
        return
    assert ciphertext_size_bytes(plaintext_size) == size


DAMAGED = make_pack([PATTERN[:70_000], PATTERN[:5]])


@given(st.integers(0, len(DAMAGED.data) - 1), st.integers(1, 255))
@settings(max_examples=200, deadline=None)
def test_a_changed_byte_is_found_wherever_it_is(at, change):
    changed = bytearray(DAMAGED.data)
    changed[at] ^= change
    with pytest.raises(DamagedPackError):
        DAMAGED.reader(data=bytes(changed)).verify(sha256=DAMAGED.written.sha256)


@given(st.integers(0, len(DAMAGED.data) - 1))
@settings(max_examples=100, deadline=None)
def test_a_pack_of_any_other_length_is_refused_even_without_a_catalog(size):
    cut = DAMAGED.data[:size]
    facts = {"data": cut, "tink_header": cut[:40], "size_bytes": size}
    with pytest.raises(DamagedPackError):
        DAMAGED.reader(**facts).verify(sha256=hashlib.sha256(cut).digest())
