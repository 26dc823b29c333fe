"""The Image Pixel attributes that say how pixel data is laid out, PS3.3 §C.7.6.3. Pure."""

from collections.abc import Mapping
from typing import Final, TypeAlias

from msgspec import Struct

from fileroom.dicom.dataset_index import DataSet
from fileroom.dicom.encoding import ByteOrder
from fileroom.dicom.frames import (
    BITS_ALLOCATED,
    COLUMNS,
    PHOTOMETRIC_INTERPRETATION,
    PIXELS,
    ROWS,
    SAMPLES_PER_PIXEL,
)
from fileroom.dicom.header_attributes import number_text
from fileroom.dicom.instance_error import InstanceError

PLANAR_CONFIGURATION: Final = 0x00280006
BITS_STORED: Final = 0x00280101
HIGH_BIT: Final = 0x00280102
PIXEL_REPRESENTATION: Final = 0x00280103
LOSSY_IMAGE_COMPRESSION: Final = 0x00282110
_TEXTS: Final = frozenset({PHOTOMETRIC_INTERPRETATION, LOSSY_IMAGE_COMPRESSION})
_NUMBERS: Final = frozenset(
    {
        SAMPLES_PER_PIXEL,
        PLANAR_CONFIGURATION,
        ROWS,
        COLUMNS,
        BITS_ALLOCATED,
        BITS_STORED,
        HIGH_BIT,
        PIXEL_REPRESENTATION,
    }
)
ATTRIBUTES: Final = _NUMBERS | _TEXTS
_VALUE_BYTES_MAX: Final = 64
Stated: TypeAlias = tuple[bytes, bytes]


class ImagePixel(Struct, frozen=True, kw_only=True):
    """How the pixels of one instance are laid out.

    Attributes:
        high_bit: of the sample in its cell.
        signed: whether samples are two's complement.
        photometric: Photometric Interpretation; empty where there is none.
        planar: whether the colours are plane by plane, as Planar Configuration says.
        lossy: Lossy Image Compression as it stands; empty where it does not.
    """

    rows: int
    columns: int
    samples: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    photometric: str
    planar: bool
    lossy: str

    @property
    def frame_bits(self) -> int:
        """Of one frame that is not compressed, without subsampling."""
        return self.rows * self.columns * self.samples * self.bits_allocated

    @property
    def frame_bytes(self) -> int:
        """The same in bytes, the last of which may not be full."""
        return (self.frame_bits + 7) // 8


def image_pixel(data_set: DataSet) -> ImagePixel | None:
    """The layout of the pixel data of `data_set`; None where it has none.

    Raises:
        InstanceError: a number is missing or cannot be.
    """
    stated: dict[int, Stated] = {}
    for element in data_set.elements(until=PIXELS):
        if element.tag in PIXELS:
            return image_pixel_of(stated, data_set.order)
        size_bytes = element.value_end - element.value_start
        if element.tag in ATTRIBUTES and not element.torn and size_bytes <= _VALUE_BYTES_MAX:
            value = data_set.window.get(element.value_start, element.value_end)
            stated[element.tag] = element.vr, value
    return None


def image_pixel_of(stated: Mapping[int, Stated], order: ByteOrder) -> ImagePixel:
    """The same from VR and value of each of `ATTRIBUTES` that is there. Raises InstanceError."""
    found: dict[int, str] = {}
    for tag in ATTRIBUTES & stated.keys():
        vr, value = stated[tag]
        if tag in _NUMBERS:
            value = number_text(value, vr, order)
        found[tag] = value.decode("latin-1").strip(" \0")
    return described_by(found)


def _number(found: Mapping[int, str], tag: int, *, least: int, most: int, default: int = -1) -> int:
    text = found.get(tag, "")
    if not text and default >= 0:
        return default
    if not (text.isascii() and text.isdigit()) or not least <= int(text) <= most:
        raise InstanceError("the number is missing or cannot be", tag=tag)
    return int(text)


def described_by(found: Mapping[int, str]) -> ImagePixel:
    """The same from the texts of `ATTRIBUTES`, numbers in decimal. Raises InstanceError."""
    bits_allocated = _number(found, BITS_ALLOCATED, least=1, most=64)
    bits_stored = _number(found, BITS_STORED, least=1, most=bits_allocated, default=bits_allocated)
    return ImagePixel(
        rows=_number(found, ROWS, least=1, most=0xFFFF),
        columns=_number(found, COLUMNS, least=1, most=0xFFFF),
        samples=_number(found, SAMPLES_PER_PIXEL, least=1, most=4, default=1),
        bits_allocated=bits_allocated,
        bits_stored=bits_stored,
        high_bit=_number(
            found, HIGH_BIT, least=0, most=bits_allocated - 1, default=bits_stored - 1
        ),
        signed=_number(found, PIXEL_REPRESENTATION, least=0, most=1, default=0) == 1,
        photometric=found.get(PHOTOMETRIC_INTERPRETATION, ""),
        planar=_number(found, PLANAR_CONFIGURATION, least=0, most=1, default=0) == 1,
        lossy=found.get(LOSSY_IMAGE_COMPRESSION, ""),
    )
