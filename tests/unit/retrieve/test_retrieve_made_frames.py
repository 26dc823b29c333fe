"""Frames that are made, of every sample and of hostile images: they are given or refused by type,
and what was given is the image."""

import pytest

from dicom_samples import Sample, samples
from fileroom.dicom.dataset_index import Window, data_set_of
from fileroom.dicom.encoding import LITTLE, PIXEL_DATA
from fileroom.dicom.instance_error import InstanceError
from fileroom.errors import RefusedError
from fileroom.pack.description import Describer
from fileroom.pixels.transcoding import Transcoding
from fileroom.retrieve.made_frames import forms_of
from fileroom.retrieve.opened import NoFramesError, OpenedDataSets
from fileroom.retrieve.stored import _frames
from fileroom.retrieve.transcode import Transcoder
from hostile_images import ATTACKS as IMAGES

EXPLICIT = "1.2.840.10008.1.2.1"


class Held:
    """A data set as a stored instance."""

    def __init__(self, data_set: bytes, transfer_syntax_uid: str) -> None:
        self._data_set = data_set
        self.transfer_syntax_uid = transfer_syntax_uid
        self.size_bytes = len(data_set)
        self._described = b""

    async def read(self, start: int, end: int) -> bytes:
        return self._data_set[start:end]

    def _read(self, start: int, end: int) -> bytes:
        return self._data_set[start:end]

    async def dicom_json(self) -> bytes:
        if not self._described:
            of = (self._read, self.size_bytes, self.transfer_syntax_uid)
            self._described = Describer().dicom_json(*of)
        return self._described

    def data_set(self):
        return OpenedDataSets().open(
            1, self.read, size_bytes=self.size_bytes, transfer_syntax_uid=self.transfer_syntax_uid
        )

    async def frames(self):
        told = Describer().frames(
            self._read, self.size_bytes, self.transfer_syntax_uid, dataset_offset=0
        )
        return await _frames(self, told)


def transcoded_pixels(sample: Sample) -> bytes:
    """The pixel data of the whole data set in explicit little endian."""
    data = sample.data_set
    found = Transcoding(
        lambda start, end: data[start:end], len(data), sample.transfer_syntax_uid, EXPLICIT
    )
    for _ in found.check():
        pass
    whole = b"".join(found.pieces())
    window = Window(lambda start, end: whole[start:end], len(whole))
    for element in data_set_of(window, implicit=False, order=LITTLE).elements():
        if element.tag == PIXEL_DATA:
            return whole[element.value_start : element.value_end]
    return b""


def made() -> list[Sample]:
    """Samples whose frames as they are stored are no pixels."""
    return [
        each
        for each in samples()
        if not each.hostile and EXPLICIT in forms_of(each.transfer_syntax_uid)
    ]


@pytest.mark.parametrize("sample", made(), ids=lambda each: each.name[:50])
async def test_frames_as_pixels_are_the_transcoded_pixel_data(sample):
    held = Held(sample.data_set, sample.transfer_syntax_uid)
    try:
        pixels = transcoded_pixels(sample)
    except InstanceError:
        pixels = b""
    try:
        frames = await Transcoder().frames(held, EXPLICIT)
        given = b"".join([await frames.frame(each) for each in range(frames.count)])
    except (InstanceError, NoFramesError):
        assert not pixels
        return
    (first,), size = await frames.ranges(0), len(given) // frames.count
    assert first == (0, size)
    assert bytes(await frames.read(size // 3, size // 2)) == given[size // 3 : size // 2]
    if pixels and not frames._image.planar and size * 8 == frames._image.frame_bits:
        assert pixels[: len(given)] == given
        assert len(pixels) - len(given) < 2


# Class 5 is data sets that inflate beyond all bounds: to describe them is what is slow.
HOSTILE = [each for each in IMAGES if not each.name.startswith("5 ")]


@pytest.mark.parametrize("attack", HOSTILE, ids=lambda each: each.name[:60])
async def test_hostile_images_are_given_or_refused_by_type(attack):
    held = Held(attack.data_set, attack.transfer_syntax)
    for form in sorted(forms_of(attack.transfer_syntax)):
        try:
            frames = await Transcoder().frames(held, form)
            for frame in range(min(frames.count, 3)):
                assert await frames.frame(frame)
        except RefusedError:
            continue
