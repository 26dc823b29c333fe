"""What a data set says of how one of its frames is to be shown (PS3.3 §C.7.6.3, §C.11.1, §C.11.2;
of Enhanced images §C.7.6.16.2). Pure.

What cannot be used is passed over, for an image is wanted all the same: a window without a
width, a table that is shorter than it says.
"""

import math
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from msgspec import Struct

from fileroom.dicom.dataset_index import DataSet, Element, Window, elements, items
from fileroom.dicom.encoding import BIG, PIXEL_DATA, ByteOrder
from fileroom.dicom.frames import PIXELS
from fileroom.dicom.instance_error import InstanceError
from fileroom.pixels import image_pixel, lut, view
from fileroom.pixels.image_pixel import ImagePixel, image_pixel_of
from fileroom.pixels.lut import DATA_BYTES_MAX, SEGMENTS_BYTES_MAX, Lut

_PIXEL_PADDING_VALUE: Final = 0x00280120
_PIXEL_PADDING_RANGE_LIMIT: Final = 0x00280121
_WINDOW_CENTER: Final = 0x00281050
_WINDOW_WIDTH: Final = 0x00281051
_RESCALE_INTERCEPT: Final = 0x00281052
_RESCALE_SLOPE: Final = 0x00281053
_VOI_LUT_FUNCTION: Final = 0x00281056
_MODALITY_LUT_SEQUENCE: Final = 0x00283000
_LUT_DESCRIPTOR: Final = 0x00283002
_LUT_DATA: Final = 0x00283006
_VOI_LUT_SEQUENCE: Final = 0x00283010
_PRESENTATION_LUT_SHAPE: Final = 0x20500020
_DESCRIPTORS: Final = (0x00281101, 0x00281102, 0x00281103)
_PALETTES: Final = (0x00281201, 0x00281202, 0x00281203)
_SEGMENTED_PALETTES: Final = (0x00281221, 0x00281222, 0x00281223)
# Each says how high a pixel is, then how wide.
_ASPECTS: Final = (0x00280034, 0x00280030, 0x00181164)

_SHARED_GROUPS: Final = 0x52009229
_PER_FRAME_GROUPS: Final = 0x52009230
# Pixel Measures, Frame VOI LUT, Pixel Value Transformation.
_GROUPS: Final = frozenset({0x00289110, 0x00289132, 0x00289145})

_TAGS: Final = {
    *(*image_pixel.ATTRIBUTES, *_GROUPS),
    *(_PIXEL_PADDING_VALUE, _PIXEL_PADDING_RANGE_LIMIT, _WINDOW_CENTER, _WINDOW_WIDTH),
    *(_RESCALE_INTERCEPT, _RESCALE_SLOPE, _VOI_LUT_FUNCTION, _MODALITY_LUT_SEQUENCE),
    *(_LUT_DESCRIPTOR, _LUT_DATA, _VOI_LUT_SEQUENCE, _PRESENTATION_LUT_SHAPE),
    *(*_DESCRIPTORS, *_PALETTES, *_SEGMENTED_PALETTES, *_ASPECTS),
    *(_SHARED_GROUPS, _PER_FRAME_GROUPS),
}
_SHORT_BYTES_MAX: Final = 1024


class Presentation(Struct, frozen=True, kw_only=True):
    """How one frame of a data set is to be shown.

    Attributes:
        image: how its pixels are laid out.
        float_bits: of a pixel that is a floating point number; else 0.
        big_endian: whether the words of native pixels are.
        in_words: whether native pixels of up to 8 bits lie in words of 16.
        slope, intercept: make of a stored value what it stands for, where `modality_lut` does not.
        padding: the lowest and highest stored value that is no image.
        inverted: whether the least value is white.
        palette: red, green and blue.
        aspect: how high a pixel is where it is 1 wide.
    """

    image: ImagePixel
    float_bits: int = 0
    big_endian: bool = False
    in_words: bool = False
    slope: float = 1.0
    intercept: float = 0.0
    modality_lut: Lut | None = None
    window: view.Window | None = None
    voi_lut: Lut | None = None
    padding: tuple[int, int] | None = None
    inverted: bool = False
    palette: tuple[Lut, Lut, Lut] | None = None
    aspect: float = 1.0


def presentation(data_set: DataSet, frame: int) -> Presentation | None:
    """How a frame is to be shown; None where the data set has no pixel data.

    Args:
        frame: counts from 0.

    Raises:
        InstanceError: the Image Pixel attributes cannot be.
    """
    top = _Attributes(data_set.window, data_set.order, data_set.implicit)
    pixels = top.take(data_set.elements(until=PIXELS))
    if pixels is None:
        return None
    stated = {tag: (each.element.vr, each.value) for tag, each in top.found.items()}
    image = image_pixel_of(stated, data_set.order)
    shown = top.copy()
    for sequence, item in ((_SHARED_GROUPS, 0), (_PER_FRAME_GROUPS, frame)):
        # A frame's own values go before those of all frames, and these before the data set's.
        with suppress(InstanceError):
            for group in top.item(sequence, item):
                for each in group.first_items(_GROUPS):
                    shown.found.update(each.found)
    shape = shown.text(_PRESENTATION_LUT_SHAPE)
    big_endian = data_set.order is BIG
    slope, intercept = shown.number(_RESCALE_SLOPE), shown.number(_RESCALE_INTERCEPT)
    return Presentation(
        image=image,
        float_bits={0x7FE00008: 32, 0x7FE00009: 64}.get(pixels.tag, 0),
        big_endian=big_endian,
        in_words=big_endian and pixels.tag == PIXEL_DATA and pixels.vr != b"OB",
        slope=slope or 1.0,
        intercept=intercept or 0.0,
        modality_lut=shown.table(_MODALITY_LUT_SEQUENCE, signed=image.signed),
        window=_window(shown),
        voi_lut=shown.table(_VOI_LUT_SEQUENCE, signed=image.signed),
        padding=_padding(shown, image),
        # Shape says what Photometric Interpretation says; where both are there it was set last.
        inverted=shape == "INVERSE" if shape else image.photometric == "MONOCHROME1",
        palette=_palette(shown, image) if image.photometric == "PALETTE COLOR" else None,
        aspect=_aspect(shown),
    )


class _Found(Struct, frozen=True, gc=False):
    """An element, and its value if that is short: it is read in passing."""

    element: Element
    value: bytes


class _Attributes:
    """Elements of a data set or item by tag; long values are read when they are asked for."""

    def __init__(self, window: Window, order: ByteOrder, implicit: bool) -> None:
        self._window = window
        self._order = order
        self._implicit = implicit
        self.found: dict[int, _Found] = {}

    def copy(self) -> "_Attributes":
        """The same elements, to be replaced by others."""
        copied = _Attributes(self._window, self._order, self._implicit)
        copied.found = dict(self.found)
        return copied

    def take(self, elements_: Iterator[Element]) -> Element | None:
        """Keep elements. Returns the pixel data, if it is among them."""
        for element in elements_:
            if element.tag in PIXELS:
                return element
            if element.tag in _TAGS and not element.torn:
                start, end = element.value_start, element.value_end
                is_short = end - start <= _SHORT_BYTES_MAX
                value = self._window.get(start, end) if is_short else b""
                self.found[element.tag] = _Found(element, value)
        return None

    def item(self, sequence: int, number: int) -> Iterator["_Attributes"]:
        """The item of that number, from 0, of a sequence here, if there is one. Raises
        InstanceError where the sequence cannot be walked."""
        held = self.found.get(sequence)
        if held is None:
            return
        start, end, order = held.element.value_start, held.element.value_end, self._order
        inside = items(self._window, start, end, implicit=self._implicit, order=order)
        for count, each in enumerate(inside):
            if count == number:
                implicit, window = each.implicit, self._window
                taken = _Attributes(window, order, implicit)
                taken.take(elements(window, each.start, each.end, implicit=implicit, order=order))
                yield taken
                return

    def first_items(self, sequences: frozenset[int]) -> Iterator["_Attributes"]:
        """The first item of each of these sequences."""
        for tag in sorted(sequences & self.found.keys()):
            yield from self.item(tag, 0)

    def value(self, tag: int, size_bytes_max: int = _SHORT_BYTES_MAX) -> bytes:
        """A value; empty where it is absent or longer."""
        held = self.found.get(tag)
        if held is None or held.value:
            return b"" if held is None else held.value
        start, end = held.element.value_start, held.element.value_end
        return self._window.get(start, end) if end - start <= size_bytes_max else b""

    def text(self, tag: int) -> str:
        """The first value of a text."""
        return self.value(tag).split(b"\\")[0].decode("latin-1").strip(" \0")

    def numbers(self, tag: int) -> list[float]:
        """The values of a decimal or integer string."""
        found = []
        for each in self.value(tag).split(b"\\"):
            try:
                number = float(each.strip(b" \0"))
            except ValueError:
                return []
            if not math.isfinite(number):
                return []
            found.append(number)
        return found

    def number(self, tag: int) -> float | None:
        """The first of them."""
        numbers = self.numbers(tag)
        return numbers[0] if numbers else None

    def words(self, tag: int, *, signed: bool) -> list[int]:
        """The values of an US or SS, of which two are one VR in the dictionary: the pixels say
        which, for senders are known to state the other one."""
        value = self.value(tag)
        code = "h" if signed else "H"
        return list(struct.unpack_from(f"{self._order.mark}{len(value) // 2}{code}", value))

    def descriptor(self, tag: int, *, signed: bool) -> list[int]:
        """The three values of a descriptor, of which the second may be signed though the first
        and the last never are (PS3.3 §C.11.1.1)."""
        values = self.words(tag, signed=False)
        stated = self.found[tag].element.vr if values else b""
        if len(values) > 1 and values[1] > 0x7FFF and (signed or stated == b"SS"):
            values[1] -= 0x10000
        return values

    def table(self, sequence: int, *, signed: bool) -> Lut | None:
        """The table in the first item of a sequence; None where there is none of use."""
        with suppress(InstanceError):
            for each in self.item(sequence, 0):
                descriptor = each.descriptor(_LUT_DESCRIPTOR, signed=signed)
                data = each.value(_LUT_DATA, DATA_BYTES_MAX)
                return lut.lut(descriptor, data, big_endian=self._swaps(each, _LUT_DATA))
        return None

    def palette(self, place: int, *, signed: bool) -> Lut:
        """The table of one colour. Raises LutError."""
        descriptor = self.descriptor(_DESCRIPTORS[place], signed=signed)
        tag = _PALETTES[place]
        if data := self.value(tag, DATA_BYTES_MAX):
            return lut.lut(descriptor, data, big_endian=self._swaps(self, tag))
        tag = _SEGMENTED_PALETTES[place]
        data = self.value(tag, SEGMENTS_BYTES_MAX)
        return lut.segmented(descriptor, data, big_endian=self._swaps(self, tag))

    def _swaps(self, of: "_Attributes", tag: int) -> bool:
        return self._order is BIG and tag in of.found and of.found[tag].element.vr != b"OB"


def _window(shown: _Attributes) -> view.Window | None:
    """The first window (PS3.3 §C.11.2.1.2), if it can be used."""
    center, width = shown.number(_WINDOW_CENTER), shown.number(_WINDOW_WIDTH)
    if center is None or width is None:
        return None
    window = view.Window(center, width, shown.text(_VOI_LUT_FUNCTION) or "LINEAR")
    return window if window.valid else None


def _padding(shown: _Attributes, image: ImagePixel) -> tuple[int, int] | None:
    """PS3.3 §C.7.5.1.1.2: a value, or what lies between two in either order."""
    ends = [
        each
        for tag in (_PIXEL_PADDING_VALUE, _PIXEL_PADDING_RANGE_LIMIT)
        for each in shown.words(tag, signed=image.signed)[:1]
    ]
    return (min(ends), max(ends)) if ends else None


def _palette(shown: _Attributes, image: ImagePixel) -> tuple[Lut, Lut, Lut]:
    red, green, blue = (shown.palette(place, signed=image.signed) for place in range(3))
    return red, green, blue


def _aspect(shown: _Attributes) -> float:
    for tag in _ASPECTS:
        numbers = shown.numbers(tag)
        if len(numbers) >= 2 and min(numbers[:2]) > 0:
            return max(0.01, min(100.0, numbers[0] / numbers[1]))
    return 1.0
