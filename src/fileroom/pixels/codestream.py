"""What compressed frames say of themselves: JPEG and JPEG-LS (T.81 §B, T.87 §C), JPEG 2000
(T.800 §A) and RLE (PS3.5 §G). Pure.

Read before a decoder is given the frame: decoders make room for whatever image a frame claims,
and those of JPEG give an image of half a frame without a word. So nothing is passed over here that
a decoder reads, and nothing is read that it passes over.
"""

from struct import Struct
from typing import Final, NamedTuple

from fileroom.dicom.instance_error import InstanceError

SEGMENTS_MAX: Final = 1000  # before the frame header; real ones have under twenty
SCANS_MAX: Final = 100  # each is a pass over the whole image; real ones have up to twenty
TAIL_BYTES: Final = 10  # padding may follow the end marker

_END: Final = b"\xff\xd9"  # EOI, EOC
_SCAN: Final = b"\xff\xda"
_JPEG_LS: Final = 0xF7
_LOSSLESS: Final = 0xC3
# SOF0 to SOF15 without DHT, JPG and DAC, and SOF55 of JPEG-LS.
_FRAME_HEADERS: Final = frozenset({*range(0xC0, 0xD0), _JPEG_LS} - {0xC4, 0xC8, 0xCC})
# A length follows all markers but these: RST, SOI and EOI (T.81 §B.1.1.3); nor are there others
# below SOF0 with which a frame header is to be had (Table B.1).
_WITHOUT_LENGTH: Final = frozenset({*range(0xC0), *range(0xD0, 0xDA), 0xFF})
_APP0, _APP14 = 0xE0, 0xEE
_RGB_IDS: Final = (b"RGB", b"rgb")
_SIZE: Final = Struct(">HHIIIIIIIIH")  # Lsiz, Rsiz, grid, offset, tile, tile offset, Csiz
_CODESTREAM_START: Final = b"\xff\x4f\xff\x51"  # SOC, SIZ
_JP2_SIGNATURE: Final = b"\0\0\0\x0cjP  "
_BOXES_BYTES_MAX: Final = 64 * 1024
_SEGMENT_COUNT: Final = Struct("<I")


class CodestreamError(InstanceError):
    """The frame is damaged, or is not of its transfer syntax."""


class Codestream(NamedTuple):
    """The image in a frame.

    Attributes:
        signed: whether its samples are signed numbers.
        lossless: whether a JPEG frame is of the lossless process.
        is_rgb: what a JPEG frame of three components says of its colours; None: nothing.
        start: where it begins in the frame.
    """

    columns: int
    rows: int
    components: int
    precision_bits: int
    signed: bool = False
    lossless: bool = False
    is_rgb: bool | None = None
    start: int = 0


def of_jpeg(frame: bytes) -> Codestream:
    """The image in a JPEG or JPEG-LS frame that has come to its end.

    Raises:
        CodestreamError: none, cut off, or of more scans than any image needs.
    """
    if not frame.startswith(b"\xff\xd8"):
        raise CodestreamError("a frame that does not begin as JPEG does")
    if _END not in frame[-TAIL_BYTES:]:
        raise CodestreamError("a JPEG frame without its end")
    if frame.count(_SCAN) > SCANS_MAX:
        raise CodestreamError(f"a JPEG frame of over {SCANS_MAX} scans")
    position = 2
    is_rgb: bool | None = None
    for _ in range(SEGMENTS_MAX):
        while frame[position : position + 2] == b"\xff\xff":
            position += 1  # fill bytes (T.81 §B.1.1.2)
        header = frame[position : position + 4]
        if len(header) < 4 or header[0] != 0xFF:
            break
        marker, length_bytes = header[1], int.from_bytes(header[2:], "big")
        segment = frame[position + 4 : position + 2 + length_bytes]
        if marker in _WITHOUT_LENGTH or length_bytes < 2:
            raise CodestreamError(f"a marker {marker:02X}H before the frame header of a JPEG frame")
        if marker in _FRAME_HEADERS:
            return _of_frame_header(marker, segment, is_rgb)
        if marker == _APP14 and segment.startswith(b"Adobe") and len(segment) >= 12:
            is_rgb = segment[11] == 0  # its transform flag
        elif marker == _APP0 and segment.startswith(b"JFIF\0") and is_rgb is None:
            is_rgb = False
        position += 2 + length_bytes
    raise CodestreamError("a JPEG frame without a frame header")


def _of_frame_header(marker: int, segment: bytes, is_rgb: bool | None) -> Codestream:
    if len(segment) < 6 or len(segment) < 6 + 3 * segment[5]:
        raise CodestreamError("a JPEG frame header that is cut off")
    components = segment[5]
    if segment[6::3][:components] in _RGB_IDS:
        is_rgb = True
    return Codestream(
        columns=int.from_bytes(segment[3:5], "big"),
        rows=int.from_bytes(segment[1:3], "big"),
        components=components,
        precision_bits=segment[0],
        lossless=marker == _LOSSLESS,
        is_rgb=is_rgb,
    )


def of_jpeg_2000(frame: bytes) -> Codestream:
    """The image in a JPEG 2000 or HTJ2K frame that has come to its end; some senders wrap it in a
    JP2 file, against PS3.5 §A.4.4.

    Raises:
        CodestreamError: none, or its components differ in precision or size.
    """
    start = 0
    if frame.startswith(_JP2_SIGNATURE):
        start = max(frame.find(_CODESTREAM_START, 0, _BOXES_BYTES_MAX), 0)
    if frame[start : start + 4] != _CODESTREAM_START:
        raise CodestreamError("a frame that does not begin as JPEG 2000 does")
    if _END not in frame[-TAIL_BYTES:]:
        raise CodestreamError("a JPEG 2000 frame without its end")
    if len(frame) < start + 4 + _SIZE.size:
        raise CodestreamError("a JPEG 2000 size that is cut off")
    fields = _SIZE.unpack_from(frame, start + 4)
    _, _, right, bottom, left, top, _, _, _, _, components = fields
    described = frame[start + 4 + _SIZE.size :][: 3 * components]
    kinds = {described[at : at + 3] for at in range(0, len(described), 3)}
    if len(described) < 3 * components or len(kinds) != 1:
        raise CodestreamError(f"{components} components that are not alike")
    (kind,) = kinds
    if kind[1:] != b"\1\1":
        raise CodestreamError("components of fewer samples than the image has pixels")
    return Codestream(
        columns=right - left,
        rows=bottom - top,
        components=components,
        precision_bits=(kind[0] & 0x7F) + 1,
        signed=kind[0] & 0x80 != 0,
        start=start,
    )


def rle_segments(frame: bytes) -> int:
    """How many byte planes an RLE frame has (PS3.5 §G.5). Raises CodestreamError."""
    if len(frame) < 64:
        raise CodestreamError(f"an RLE frame of {len(frame)} B")
    return int(_SEGMENT_COUNT.unpack_from(frame)[0])
