"""Look-up tables: what their descriptors promise, and segments as pydicom expands them."""

import struct

import pytest
from pydicom.pixels.processing import _expand_segmented_lut

from fileroom.pixels.lut import Lut, LutError, lut, segmented


def words(*numbers: int, order: str = "<") -> bytes:
    return struct.pack(f"{order}{len(numbers)}H", *numbers)


def test_entries_are_words():
    assert lut([3, 0, 16], words(1, 2, 65535)) == Lut(0, 16, (1, 2, 65535))
    assert lut([3, 0, 12], words(1, 2, 3, order=">"), big_endian=True) == Lut(0, 12, (1, 2, 3))


def test_entries_of_8_bits_are_bytes_or_words():
    assert lut([4, 0, 8], bytes([1, 2, 3, 255])) == Lut(0, 8, (1, 2, 3, 255))
    assert lut([4, 0, 8], words(1, 2, 3, 255)) == Lut(0, 8, (1, 2, 3, 255))
    # Two of them in a word, of which the first is the lower one (PS3.5 §7.3).
    assert lut([4, 0, 8], bytes([2, 1, 4, 3]), big_endian=True).entries == (1, 2, 3, 4)


def test_entries_have_at_least_the_bits_of_the_greatest():
    assert lut([2, 0, 8], words(1, 4095)).bits == 12
    assert lut([2, 0, 12], words(1, 2)).bits == 12


def test_no_entries_stand_for_65536():
    data = words(*range(65536))
    assert len(lut([0, 0, 16], data).entries) == 65536
    with pytest.raises(LutError):
        lut([0, 0, 16], data[:-2])


@pytest.mark.parametrize(
    ("descriptor", "data"),
    [
        ([], words(1)),
        ([1, 0], words(1)),
        ([2, 0, 16], words(1)),
        ([3, 0, 8], bytes(2)),
        ([1, 0, 0], words(1)),
        ([1, 0, 17], words(1)),
        ([1, 0, 32], words(1)),
        ([1, 0, 16], b""),
    ],
)
def test_what_is_shorter_than_its_descriptor_says_is_no_table(descriptor, data):
    with pytest.raises(LutError):
        lut(descriptor, data)


# Discrete, linear up and down, and both again (PS3.3 §C.7.9.2).
SEGMENTS = [0, 3, 10, 20, 40, 1, 5, 90, 1, 4, 0, 0, 1, 77, 1, 3, 8]


# The first two of them again; an offset is four bytes.
AGAIN = {8: [2, 2, 0, 0, 0, 0], 16: [2, 2, 0, 0]}


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("segments", [SEGMENTS, [0, 1, 200, 1, 7, 201], [0, 2, 0, 255, 1, 255, 0]])
def test_segments_are_expanded_as_pydicom_does(segments, again, bits):
    segments = segments + AGAIN[bits] if again else segments
    expected = _expand_segmented_lut(tuple(segments), "<B" if bits == 8 else "<H")
    data = bytes(segments) if bits == 8 else words(*segments)
    made = segmented([len(expected), 5, bits], data)
    assert (made.first, made.bits) == (5, bits)
    assert list(made.entries) == [int(each) for each in expected]


@pytest.mark.parametrize("offset", [10, 5])  # in bytes, as the standard has it, and in words
def test_an_indirect_segment_leads_to_one_before_it(offset):
    segments = [0, 3, 10, 20, 40, 1, 5, 90, 2, 1, offset, 0]
    made = segmented([13, 0, 16], words(*segments))
    assert list(made.entries) == [10, 20, 40, 50, 60, 70, 80, 90, 90, 90, 90, 90, 90]


@pytest.mark.parametrize(
    "segments",
    [
        [],
        [0],
        [0, 2, 1],
        [1, 2, 1],  # nothing before it
        [0, 1, 5, 1, 2],
        [3, 1, 1],
        [2, 1, 0, 0],  # leads to itself
        [0, 1, 5, 2, 1, 9, 0],  # leads forward
        [0, 1, 5, 2, 3, 0, 0],  # takes itself in
        [0, 1, 5, 1, 0, 7],  # of no entries
    ],
)
def test_segments_that_cannot_be_are_refused(segments):
    with pytest.raises(LutError):
        segmented([64, 0, 16], words(*segments))


def test_segments_never_become_more_than_the_table_has():
    # Each indirect segment asks for all before it again: 2 to the 20th entries if it were done.
    segments = [0, 1, 1, 1, 60000, 2]
    segments += [2, 65535, 0, 0] * 100
    assert len(segmented([0, 0, 16], words(*segments)).entries) == 65536
