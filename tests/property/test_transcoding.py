"""Whatever a data set holds: it is given whole in the other transfer syntax, or refused before."""

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_samples import IMPLICIT, Sample, samples
from fileroom.dicom.dataset_index import Window, elements
from fileroom.dicom.encoding import LITTLE
from fileroom.dicom.inflate import InflatedTooLargeError
from fileroom.dicom.instance_error import InstanceError
from fileroom.pixels.decoding import joined
from fileroom.pixels.transcoding import SOURCES, TARGETS, Transcoding

SIZE_BYTES_MAX = 60_000


@cache
def small() -> list[Sample]:
    return [
        each
        for each in samples()
        if each.transfer_syntax_uid in SOURCES and 0 < len(each.data_set) < SIZE_BYTES_MAX
    ]


def transcode(data: bytes, stored: str, wanted: str) -> bytes | None:
    """What comes of a data set; None where it is refused."""
    found = Transcoding(lambda start, end: data[start:end], len(data), stored, wanted)
    try:
        for _ in found.check():
            pass
    except (InstanceError, InflatedTooLargeError):
        return None
    return b"".join(found.pieces())  # and nothing is refused any more


@given(st.data())
def test_a_damaged_data_set_is_given_whole_or_refused_before(data):
    sample = small()[data.draw(st.integers(0, len(small()) - 1))]
    damaged = bytearray(sample.data_set)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, max(len(damaged) - 1, 0)))
        match data.draw(st.integers(0, 3)):
            case 0:
                damaged[at : at + 1] = bytes([data.draw(st.integers(0, 255))])
            case 1:
                del damaged[at : at + data.draw(st.integers(1, 40))]
            case 2:
                damaged[at:at] = data.draw(st.binary(max_size=12))
            case _:
                del damaged[max(at, 1) :]
    wanted = data.draw(st.sampled_from(sorted(TARGETS)))
    given_ = transcode(bytes(damaged), sample.transfer_syntax_uid, wanted)
    if given_:
        implicit = wanted == IMPLICIT
        found = list(elements(Window.over(given_), 0, len(given_), implicit=implicit, order=LITTLE))
        assert not any(each.torn for each in found)
        assert found[-1].end == len(given_)


@given(st.binary(max_size=400), st.sampled_from(sorted(SOURCES)), st.sampled_from(sorted(TARGETS)))
def test_any_bytes_are_given_or_refused(data, stored, wanted):
    transcode(data, stored, wanted)


@given(st.integers(1, 40), st.lists(st.integers(0, 1 << 40), min_size=1, max_size=9))
def test_frames_of_bits_are_joined_as_one_number(frame_bits, numbers):
    class Image:
        pass

    image = Image()
    image.frame_bits = frame_bits
    values = [number & (1 << frame_bits) - 1 for number in numbers]
    size_bytes = (frame_bits + 7) // 8
    frames = [value.to_bytes(size_bytes, "little") for value in values]
    whole = sum(value << frame_bits * at for at, value in enumerate(values))
    expected = whole.to_bytes((frame_bits * len(values) + 7) // 8, "little")
    assert b"".join(joined(frames, image)) == expected


@pytest.mark.parametrize("syntax", sorted(TARGETS))
def test_nothing_becomes_nothing(syntax):
    assert transcode(b"", syntax, next(iter(TARGETS - {syntax}))) == b""
