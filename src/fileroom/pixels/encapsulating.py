"""Pixel data that comes apart from its data set: whether the data set describes it (PS3.3
§C.7.6.3), how compressed frames become its value (PS3.5 §A.4), and what a frame says of its
transfer syntax (T.81 §B, T.87 §C, T.800 §A). Pure."""

from collections.abc import Sequence
from struct import Struct
from typing import Final

from fileroom.dicom.dataset_index import Window, data_set_of
from fileroom.dicom.encoding import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    ITEM,
    LITTLE,
    PIXEL_DATA,
    UNDEFINED,
)
from fileroom.dicom.frames import native_layout
from fileroom.dicom.instance_error import InstanceError
from fileroom.dicom.json_reading import element_head, mark
from fileroom.pixels.image_pixel import image_pixel

FRAGMENT_BYTES_MAX: Final = 0xFFFFFFFE
HEAD_BYTES: Final = 256 * 1024  # of a frame: thumbnails and colour profiles stand before its header
_OFFSET_MAX: Final = 0xFFFFFFFF
_JPEG: Final = "1.2.840.10008.1.2.4."
# By the marker of the frame header: baseline, extended, lossless, JPEG-LS.
_BASELINE, _EXTENDED, _LOSSLESS, _JPEG_LS = 0xC0, 0xC1, 0xC3, 0xF7
_FRAME_HEADERS: Final = frozenset({*range(0xC0, 0xD0), _JPEG_LS} - {0xC4, 0xC8, 0xCC})
_SCAN: Final = 0xDA
_CODING_STYLE: Final = 0x52
_TRANSFORM: Final = 9  # the byte of COD, behind its length, that names the wavelet
_FIRST_TILE: Final = 0x90
_FIRST_ORDER: Final = 1  # the predictor of a lossless JPEG that has a transfer syntax of its own


class UnknownSyntaxError(InstanceError):
    """Neither its media type nor the frame itself says which transfer syntax a frame is of."""


class ImagePixelError(InstanceError):
    """The Image Pixel attributes do not describe the pixel data."""


def excess_bytes(before: bytes, size_bytes: int) -> int:
    """How much longer native pixel data is than its description asks for, beside padding.

    Args:
        before: all elements that stand before the pixel data.

    Raises:
        ImagePixelError: an attribute is missing or cannot be, or the pixel data is shorter.
    """
    data = before + element_head(PIXEL_DATA, "OW", size_bytes)

    def read(start: int, end: int) -> bytes:
        return data[start:end].ljust(end - start, b"\0")  # what the pixels are does not matter

    try:
        layout = native_layout(read, len(data) + size_bytes, EXPLICIT_VR_LITTLE_ENDIAN)
    except InstanceError as error:
        raise ImagePixelError(str(error)) from error
    needed_bytes = layout.ranges(layout.count - 1)[-1][1] - layout.offset
    return max(0, size_bytes - needed_bytes - needed_bytes % 2)


def refuse_undescribed(before: bytes) -> None:
    """Raise ImagePixelError unless the elements before compressed pixel data describe an image."""
    window = Window.over(before + element_head(PIXEL_DATA, "OB", 0))
    try:
        image_pixel(data_set_of(window, implicit=False, order=LITTLE))
    except InstanceError as error:
        raise ImagePixelError(str(error)) from error


def pixel_data_head(sizes_bytes: Sequence[int]) -> bytes:
    """What stands before the first frame: the element and its Basic Offset Table, which is empty
    for one frame, and where an offset would not fit (PS3.5 §A.4).

    Args:
        sizes_bytes: of the frames, each of which becomes one fragment.
    """
    offsets = []
    offset = 0
    for size_bytes in sizes_bytes:
        offsets.append(offset)
        offset += 8 + size_bytes + size_bytes % 2
    fits = len(offsets) > 1 and offsets[-1] <= _OFFSET_MAX
    table = Struct(f"<{len(offsets)}I").pack(*offsets) if fits else b""
    return element_head(PIXEL_DATA, "OB", UNDEFINED) + mark(ITEM, len(table)) + table


def shown_syntax(media_type: str, head: bytes) -> str:
    """The transfer syntax of a frame whose part does not name it.

    Of JPEG 2000 it is the lossless one, which is the default (PS3.18 Table 8.7.3-5), unless the
    wavelet rules that out.

    Args:
        head: the first HEAD_BYTES of the frame, or all of it.

    Raises:
        UnknownSyntaxError: it does not show.
    """
    if media_type in ("image/jpeg", "image/jls"):
        return _of_jpeg(head)
    if media_type in ("image/jp2", "image/jpx", "image/jphc"):
        reversible = _is_reversible(head)
        of_type = {"image/jp2": (91, 90), "image/jpx": (93, 92), "image/jphc": (203, 201)}
        return f"{_JPEG}{of_type[media_type][reversible]}"
    raise UnknownSyntaxError("a compressed frame whose part names no transfer syntax")


def _of_jpeg(head: bytes) -> str:
    frame_header = 0
    for marker, segment in _segments(head, b"\xff\xd8"):
        if marker in _FRAME_HEADERS:
            frame_header = marker
        if frame_header in (_BASELINE, _EXTENDED):
            return f"{_JPEG}{50 if frame_header == _BASELINE else 51}"
        if marker == _SCAN and segment and len(segment) > 1 + 2 * segment[0]:
            selection = segment[1 + 2 * segment[0]]  # Ss; in JPEG-LS how far it may be off
            if frame_header == _LOSSLESS:
                return f"{_JPEG}{70 if selection == _FIRST_ORDER else 57}"
            if frame_header == _JPEG_LS:
                return f"{_JPEG}{80 if selection == 0 else 81}"
    raise UnknownSyntaxError("a JPEG frame that is of no process with a transfer syntax")


def _is_reversible(head: bytes) -> bool:
    for marker, segment in _segments(head, b"\xff\x4f"):
        if marker == _CODING_STYLE and len(segment) > _TRANSFORM:
            return segment[_TRANSFORM] == 1
        if marker == _FIRST_TILE:
            break
    raise UnknownSyntaxError("a JPEG 2000 frame that does not say how it is coded")


def _segments(head: bytes, start: bytes) -> list[tuple[int, bytes]]:
    """The marker segments of a frame up to its first scan or tile."""
    if not head.startswith(start):
        raise UnknownSyntaxError("a frame that does not begin as its media type does")
    found = []
    position = len(start)
    while position + 4 <= len(head) and head[position] == 0xFF:
        marker = head[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        length = int.from_bytes(head[position + 2 : position + 4], "big")
        found.append((marker, head[position + 4 : position + 2 + length]))
        if marker in (_SCAN, _FIRST_TILE) or length < 2:
            break
        position += 2 + length
    return found
