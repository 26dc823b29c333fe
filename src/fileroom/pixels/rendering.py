"""One frame as a picture: stored samples, grey or colours, region and size, JPEG or PNG (PS3.18
§8.7.4; the order of steps is that of PS3.4 §N.2). Pure.

    size = picture_size(shown, view)  # refuses what is too large, before the frame is read
    cost = cost_bytes(shown, transfer_syntax_uid, view, stored_bytes)
    data = render(frame, shown, transfer_syntax_uid, view)
"""

from typing import TYPE_CHECKING, Final

from fileroom.dicom.encoding import NATIVE
from fileroom.errors import RefusedError
from fileroom.pixels import colour, decoding, grayscale, samples, scaling
from fileroom.pixels.decoding import DecodingError
from fileroom.pixels.presentation import Presentation
from fileroom.pixels.view import JPEG, SIDE_MAX, View

if TYPE_CHECKING:
    from fileroom.pixels.samples import Array

STRIP_BYTES: Final = 64 << 20
PIXELS_MAX: Final = 1 << 26  # of a frame, and of a picture: 8192 x 8192
RENDERABLE: Final = NATIVE | decoding.DECODABLE
"""Transfer syntaxes whose frames can be rendered."""
_FULL_CHROMA_QUALITY: Final = 90  # from here on JPEG keeps all of the colours
_PNG_LEVEL: Final = 1  # higher ones take twice the time for a twentieth of the bytes
_MONOCHROME: Final = frozenset({"MONOCHROME1", "MONOCHROME2", ""})
_PALETTE: Final = "PALETTE COLOR"


class RenderingTooLargeError(RefusedError):
    """The frame, or the picture that is asked for, is over what is rendered."""


def picture_size(shown: Presentation, view: View) -> tuple[int, int]:
    """Columns and rows of the picture.

    Raises:
        RenderingTooLargeError: it, or the frame, has too many pixels.
        DecodingError: frames of this layout are not rendered.
        ViewError: the region lies outside of the image.
    """
    image = shown.image
    if image.rows * image.columns > PIXELS_MAX:
        raise RenderingTooLargeError(
            f"a frame of {image.rows * image.columns} pixels is over {PIXELS_MAX}"
        )
    if image.frame_bytes > decoding.FRAME_BYTES_MAX:
        raise RenderingTooLargeError(
            f"a frame of {image.frame_bytes} B is over {decoding.FRAME_BYTES_MAX} B"
        )
    if not shown.float_bits:
        decoding.check_layout(image)
    elif image.bits_allocated != shown.float_bits or image.samples != 1:
        raise DecodingError(f"numbers of {shown.float_bits} bits in {image.bits_allocated}")
    if shown.big_endian and image.bits_allocated > 16:
        # Senders swap their words in two ways, and nobody can say in which.
        raise DecodingError(f"big-endian pixels of {image.bits_allocated} bits")
    columns, rows = _fitted(shown, view)
    if columns * rows > PIXELS_MAX:
        raise RenderingTooLargeError(f"{columns} x {rows} pixels are over {PIXELS_MAX}")
    if max(columns, rows) > SIDE_MAX and view.media_type == JPEG:
        raise RenderingTooLargeError(f"no JPEG has {columns} x {rows} pixels")
    return columns, rows


def _fitted(shown: Presentation, view: View) -> tuple[int, int]:
    width, height = _region(shown, view)[2:]
    return scaling.fitted(width, height, shown.aspect, view.columns_max, view.rows_max)


def _region(shown: Presentation, view: View) -> tuple[float, float, float, float]:
    image = shown.image
    if view.region is None:
        return 0, 0, image.columns, image.rows
    return view.region.within(image.columns, image.rows)


def cost_bytes(shown: Presentation, transfer_syntax_uid: str, view: View, stored_bytes: int) -> int:
    """What `render` takes in memory at most, about: the frame as it is stored and as cells, its
    pixels as bytes, the picture, the file, and what a strip takes in between. Codecs give another
    copy and take one themselves, that of JPEG 2000 four bytes a sample.

    Args:
        stored_bytes: of the frame.
    """
    image = shown.image
    columns, rows = _fitted(shown, view)
    channels = 1 if _is_grey(shown) else 3
    pixels = image.rows * image.columns
    codec_bytes = 0
    if transfer_syntax_uid in decoding.JPEG_2000:
        codec_bytes = 4 * pixels * image.samples + image.frame_bytes
    elif transfer_syntax_uid in decoding.DECODABLE:
        codec_bytes = 2 * image.frame_bytes
    of_frame = stored_bytes + codec_bytes + image.frame_bytes + channels * pixels
    return of_frame + 2 * channels * columns * rows + STRIP_BYTES


def render(frame: bytes, shown: Presentation, transfer_syntax_uid: str, view: View) -> bytes:
    """A frame as a JPEG or PNG file.

    Args:
        frame: as it is stored, of compressed pixel data its fragments joined; `picture_size` has
            passed it.
        transfer_syntax_uid: one of `RENDERABLE`.

    Raises:
        InstanceError: it is damaged, or is of a colour space that is not shown.
    """
    columns, rows = picture_size(shown, view)
    stored = samples.stored_samples(frame, shown, transfer_syntax_uid)
    left, top, width, height = _region(shown, view)
    # Whole pixels around the region; what is not shown is not coloured either.
    first_column, first_row = int(left), int(top)
    behind_column, behind_row = -int(-(left + width) // 1), -int(-(top + height) // 1)
    part = stored[first_row:behind_row, first_column:behind_column]
    picture = _coloured(stored, part, shown, transfer_syntax_uid, view)
    region = left - first_column, top - first_row, width, height
    picture = scaling.scaled(picture, region, columns, rows)
    if view.flipped_horizontally:
        picture = picture[:, ::-1]
    if view.flipped_vertically:
        picture = picture[::-1]
    return _encoded(picture, view)


def _is_grey(shown: Presentation) -> bool:
    image = shown.image
    return image.samples == 1 and image.photometric != _PALETTE


def _coloured(
    stored: "Array", part: "Array", shown: Presentation, transfer_syntax_uid: str, view: View
) -> "Array":
    """Part of the stored samples as bytes of grey or of colours."""
    image = shown.image
    if image.samples == 3:
        photometric = decoding.decoded_photometric(image, transfer_syntax_uid)
        return colour.rgb(part, image.bits_stored, photometric)
    if image.photometric == _PALETTE:
        return colour.painted(part, shown)
    if image.photometric not in _MONOCHROME:
        raise DecodingError("one sample of a Photometric Interpretation that is not shown")
    return grayscale.shading(stored, shown, view.window)(part)


def _encoded(picture: "Array", view: View) -> bytes:
    import imagecodecs
    import numpy

    picture = numpy.ascontiguousarray(picture)
    try:
        if view.media_type == JPEG:
            fine = view.quality >= _FULL_CHROMA_QUALITY
            return bytes(
                imagecodecs.jpeg8_encode(
                    picture, level=view.quality, subsampling="444" if fine else "420"
                )
            )
        return bytes(imagecodecs.png_encode(picture, level=_PNG_LEVEL))
    except (RuntimeError, ValueError) as error:
        raise DecodingError(f"the encoder refuses it by {type(error).__name__}") from None
