"""Data sets with pixels for tests of rendering, made by pydicom, and pictures as arrays."""

import warnings
from io import BytesIO
from typing import Any

import imagecodecs
import numpy
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.pixels import pixel_array
from pydicom.pixels.processing import (
    apply_color_lut,
    apply_modality_lut,
    apply_voi,
    apply_windowing,
)
from pydicom.sequence import Sequence

from fileroom.dicom.dataset_index import open_data_set
from fileroom.dicom.frame_table import PackedBitFrames
from fileroom.dicom.frames import pixel_layout
from fileroom.dicom.part10 import Part10Splitter
from fileroom.pixels.presentation import Presentation, presentation
from fileroom.pixels.rendering import render
from fileroom.pixels.view import PNG, View

EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
AS_PNG = View(media_type=PNG)
PIXEL_DATA = {"f4": "FloatPixelData", "f8": "DoubleFloatPixelData"}


def image(pixels: numpy.ndarray, **attributes: Any) -> Dataset:
    """A data set of one frame, or of as many as its Number of Frames says.

    Args:
        pixels: rows by columns, by samples if there are several, frames first if there are
            several; in the cells that they are to lie in.
    """
    data_set = Dataset()
    data_set.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    data_set.StudyInstanceUID, data_set.SeriesInstanceUID = "1.2.3", "1.2.3.1"
    data_set.SOPInstanceUID = "1.2.3.1.1"
    shape = pixels.shape[1:] if "NumberOfFrames" in attributes else pixels.shape
    data_set.Rows, data_set.Columns = shape[:2]
    data_set.SamplesPerPixel = shape[2] if len(shape) > 2 else 1
    data_set.PhotometricInterpretation = "RGB" if len(shape) > 2 else "MONOCHROME2"
    if len(shape) > 2:
        data_set.PlanarConfiguration = 0
    bits = 8 * pixels.dtype.itemsize
    data_set.BitsAllocated = data_set.BitsStored = bits
    data_set.HighBit = bits - 1
    data_set.PixelRepresentation = int(pixels.dtype.kind == "i")
    keyword = PIXEL_DATA.get(pixels.dtype.str[1:], "PixelData")
    data = pixels.tobytes()
    data += bytes(len(data) % 2)
    for name, value in attributes.items():
        setattr(data_set, name, value)
    if "BitsStored" in attributes and "HighBit" not in attributes:
        data_set.HighBit = data_set.BitsStored - 1
    setattr(data_set, keyword, attributes.get("PixelData", data))
    if keyword == "PixelData":
        data_set["PixelData"].VR = "OW" if bits > 8 else "OB"
    return data_set


def item(**attributes: Any) -> Sequence:
    """A sequence of one item."""
    inside = Dataset()
    for name, value in attributes.items():
        setattr(inside, name, value)
    return Sequence([inside])


def lut_item(descriptor: list[int], entries: list[int], *, signed: bool = False) -> Sequence:
    """A Modality or VOI LUT Sequence."""
    inside = Dataset()
    inside.add_new(0x00283002, "SS" if signed else "US", descriptor)
    inside.add_new(0x00283006, "OW", numpy.array(entries, "<u2").tobytes())
    return Sequence([inside])


def file_of(data_set: Dataset, transfer_syntax_uid: str = EXPLICIT) -> bytes:
    """Its Part 10 file."""
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = transfer_syntax_uid
    out = BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcmwrite(out, data_set, enforce_file_format=True)
    return out.getvalue()


def bytes_of(data_set: Dataset, transfer_syntax_uid: str = EXPLICIT) -> bytes:
    """Its data set, without what stands around it in a file."""
    part10 = file_of(data_set, transfer_syntax_uid)
    splitter = Part10Splitter()
    start = splitter.feed(part10) or splitter.finish()
    return part10[start.dataset_offset :]


def shown_of(data: bytes, transfer_syntax_uid: str, frame: int = 0) -> Presentation:
    """How a frame of a data set, not deflated, is to be shown."""
    read = memoryview(data)
    opened = open_data_set(lambda start, end: read[start:end], len(data), transfer_syntax_uid)
    shown = presentation(opened, frame)
    assert shown is not None
    return shown


def stored_frame(data: bytes, transfer_syntax_uid: str, frame: int = 0) -> bytes:
    """The bytes of a frame, its fragments joined."""
    read = memoryview(data)
    table = pixel_layout(lambda start, end: read[start:end], len(data), transfer_syntax_uid)
    parts = [data[start:end] for start, end in table.ranges(frame)]
    if isinstance(table, PackedBitFrames):
        return table.cut(parts[0], frame, 0, table.frame_length_bytes)
    return b"".join(parts)


def picture_of(
    data: bytes, transfer_syntax_uid: str, frame: int = 0, view: View = AS_PNG
) -> numpy.ndarray:
    """A frame of a data set as a picture, decoded again."""
    shown = shown_of(data, transfer_syntax_uid, frame)
    made = render(stored_frame(data, transfer_syntax_uid, frame), shown, transfer_syntax_uid, view)
    return decoded(made, view.media_type)


def decoded(made: bytes, media_type: str) -> numpy.ndarray:
    """The pixels of a picture."""
    codec = imagecodecs.png_decode if media_type == PNG else imagecodecs.jpeg8_decode
    return codec(made)


def shown(
    data_set: Dataset,
    frame: int = 0,
    *,
    transfer_syntax_uid: str = EXPLICIT,
    **options: Any,
) -> list[Any]:
    """A frame of a data set that pydicom writes, as the numbers of a PNG; options are a view's."""
    data = bytes_of(data_set, transfer_syntax_uid)
    view = View(media_type=PNG, **options)
    return picture_of(data, transfer_syntax_uid, frame, view).tolist()


def by_pydicom(data_set: Dataset) -> numpy.ndarray:
    """The first frame as pydicom would have it shown. Raises what pydicom does, and ValueError
    where the frame is of one grey."""
    pixels = pixel_array(data_set, index=0)
    if data_set.PhotometricInterpretation == "PALETTE COLOR":
        coloured = apply_color_lut(pixels, data_set)
        return coloured >> 8 if coloured.dtype.itemsize == 2 else coloured
    if data_set.get("SamplesPerPixel", 1) == 3:
        bits = data_set.BitsStored
        return pixels >> (bits - 8) if bits > 8 else pixels
    seen = _seen_by_pydicom(data_set, pixels)
    grey = numpy.rint(numpy.clip(seen, 0, 1) * 255).astype(int)
    shape = data_set.get("PresentationLUTShape")
    turned = shape == "INVERSE" if shape else data_set.PhotometricInterpretation == "MONOCHROME1"
    return 255 - grey if turned else grey


def _seen_by_pydicom(data_set: Dataset, pixels: numpy.ndarray) -> numpy.ndarray:
    """0 to 1, or outside where it is cut off."""
    modal = apply_modality_lut(pixels, data_set)
    if data_set.get("VOILUTSequence"):
        bits = data_set.VOILUTSequence[0].LUTDescriptor[2]
        return apply_voi(modal.astype(int), data_set) / (2**bits - 1)
    if data_set.get("WindowWidth") not in (None, ""):
        ends = apply_windowing(numpy.array([-1e12, 1e12]), data_set)
        low, high = min(ends), max(ends)
        return (apply_windowing(modal, data_set) - low) / (high - low)
    plain = modal is pixels or numpy.array_equal(modal, pixels)
    if pixels.dtype.kind == "u" and data_set.BitsStored <= 8 and plain:
        return pixels / (2**data_set.BitsStored - 1)
    counted = modal
    if "PixelPaddingValue" in data_set:
        counted = modal[pixels != data_set.PixelPaddingValue]
    if counted.min() == counted.max():
        raise ValueError("one grey says nothing")
    return (modal - counted.min()) / (counted.max() - counted.min())
