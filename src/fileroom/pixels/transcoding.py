"""An instance's data set in another transfer syntax: uncompressed, little endian. Pure.

    transcoding = Transcoding(read, size_bytes, stored_uid, wanted_uid)
    for _ in transcoding.check(): ...     # all that can be refused is refused here
    for piece in transcoding.pieces(): ...

Memory: one frame, before and after it is decoded, and a piece. No UID changes, for nothing is
lost: pixels are what they were, and what was compressed with loss goes on saying so.
"""

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from fileroom.dicom.dataset_index import (
    DataSet,
    Element,
    Read,
    Window,
    data_set_of,
    elements,
    items,
)
from fileroom.dicom.encoding import (
    BIG,
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    NATIVE,
    PIXEL_DATA,
    encoding_of,
)
from fileroom.dicom.frame_table import EncapsulatedFrames
from fileroom.dicom.frames import (
    OFFSET_TABLE,
    OFFSET_TABLE_LENGTHS,
    PHOTOMETRIC_INTERPRETATION,
    pixel_layout,
)
from fileroom.dicom.inflate import InflatedDataSet
from fileroom.dicom.instance_error import InstanceError
from fileroom.dicom.rewriting import Part, Rewriter, swapped
from fileroom.pixels import decoding
from fileroom.pixels.image_pixel import (
    LOSSY_IMAGE_COMPRESSION,
    PLANAR_CONFIGURATION,
    ImagePixel,
    image_pixel,
)

PIECE_BYTES: Final = 256 * 1024
TARGETS: Final = frozenset({EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN})
SOURCES: Final = NATIVE | decoding.DECODABLE
_LENGTH_BYTES_MAX: Final = 0xFFFFFFFE  # of a native value (PS3.5 §7.1.2)
_ICON_IMAGE_SEQUENCE: Final = 0x00880200
# (7FE0,0001) to (7FE0,0003) are of encapsulated pixel data only (PS3.3 §C.7.6.3).
_OF_FRAGMENTS: Final = frozenset({OFFSET_TABLE, OFFSET_TABLE_LENGTHS, 0x7FE00003})


def can_transcode(stored_uid: str, wanted_uid: str) -> bool:
    """Whether instances of one transfer syntax can be given in another one.

    Only as a rule: a single instance may be damaged, or too large.
    """
    return wanted_uid in TARGETS and stored_uid in SOURCES


class Decoding(Struct, frozen=True):
    """Compressed pixel data and what is to become of it."""

    image: ImagePixel
    frames: EncapsulatedFrames

    @property
    def size_bytes(self) -> int:
        """Of the value of the decoded pixel data, without padding."""
        return (self.image.frame_bits * self.frames.count + 7) // 8


class Transcoding:
    """One data set on its way into another transfer syntax. Blocks: use it in a thread.

    Args:
        read: gives bytes [start, end) of the data set as it is stored.
        stored_uid, wanted_uid: transfer syntaxes for which `can_transcode`.
    """

    def __init__(self, read: Read, size_bytes: int, stored_uid: str, wanted_uid: str) -> None:
        assert can_transcode(stored_uid, wanted_uid)
        self._stored_uid = stored_uid
        self._implicit = wanted_uid == IMPLICIT_VR_LITTLE_ENDIAN
        self._read = read
        self._size_bytes = size_bytes
        self._inflated: InflatedDataSet | None = None
        if stored_uid == DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN:
            self._inflated = InflatedDataSet(read, size_bytes)
            self._read = self._inflated.read
        self._decoding: Decoding | None = None
        self._decoded: tuple[int, bytes] | None = None  # the frame that was decoded last

    def check(self) -> Iterator[None]:
        """Find out whether `pieces` will give all of it: every frame is decoded. Gives nothing,
        after each frame, so that others may have their turn.

        Raises:
            InstanceError: it is damaged, cannot be walked, or cannot be said in the other syntax.
        """
        if self._inflated is not None:
            self._size_bytes = self._inflated.size_bytes
            if not self._inflated.whole:
                raise InstanceError(f"the deflated data set ends after {self._size_bytes} B")
        data_set = self._data_set()
        if self._stored_uid not in NATIVE:
            self._decoding = self._plan(data_set)
        elif data_set.order is BIG:
            _refuse_wide_words(data_set)
        for part in self._parts():
            if part is None:
                for frame in range(self._frame_count):
                    self._frame(frame)
                    yield

    def pieces(self) -> Iterator[bytes]:
        """The data set in pieces of about PIECE_BYTES, or of a frame, if that is more."""
        gathered: list[bytes] = []
        gathered_bytes = 0
        for data in self._data():
            gathered.append(data)
            gathered_bytes += len(data)
            if gathered_bytes >= PIECE_BYTES:
                yield b"".join(gathered)
                gathered.clear()
                gathered_bytes = 0
        if gathered:
            yield b"".join(gathered)

    def _data(self) -> Iterator[bytes]:
        for part in self._parts():
            if part is None:
                yield from self._pixels()
            elif isinstance(part, bytes):
                yield part
            else:
                for start in range(part.start, part.end, PIECE_BYTES):
                    end = min(start + PIECE_BYTES, part.end)
                    yield swapped(bytes(self._read(start, end)), part.width)

    def _data_set(self) -> DataSet:
        encoding = encoding_of(self._stored_uid)
        window = Window(self._read, self._size_bytes)
        return data_set_of(window, implicit=encoding.implicit, order=encoding.order)

    def _plan(self, data_set: DataSet) -> Decoding | None:
        """How the pixel data is to be decoded; None where there is none."""
        image = image_pixel(data_set)
        if image is None:
            return None
        decoding.check_layout(image)
        frames = pixel_layout(self._read, self._size_bytes, self._stored_uid)
        if not isinstance(frames, EncapsulatedFrames):
            raise InstanceError("the pixel data is not encapsulated, against its transfer syntax")
        plan = Decoding(image, frames)
        if plan.size_bytes > _LENGTH_BYTES_MAX:
            raise InstanceError(f"{plan.size_bytes} B of pixels are more than a value may have")
        return plan

    def _parts(self) -> Iterator[Part | None]:
        """What is written, in order; None stands for the decoded pixels."""
        data_set = self._data_set()
        writer = Rewriter(data_set, implicit=self._implicit)
        if self._decoding is None:
            for element in data_set.elements():
                yield from writer.element(element)
            return
        changes = _changes(self._decoding.image, self._stored_uid, writer)
        for element in data_set.elements():
            tag = element.tag
            for changed in [each for each in changes if each <= tag]:
                if new := changes.pop(changed):
                    yield new
                if changed == tag:
                    break
            else:
                if tag == PIXEL_DATA:
                    yield from self._pixel_data(writer, self._decoding)
                elif not _is_icon_of_fragments(data_set, element):
                    yield from writer.element(element)

    def _pixel_data(self, writer: Rewriter, plan: Decoding) -> Iterator[bytes | None]:
        padding = plan.size_bytes % 2
        vr = "OW" if plan.image.bits_allocated > 8 else "OB"
        yield writer.head(PIXEL_DATA, vr, plan.size_bytes + padding)
        yield None
        yield bytes(padding)

    @property
    def _frame_count(self) -> int:
        return 0 if self._decoding is None else self._decoding.frames.count

    def _pixels(self) -> Iterator[bytes]:
        assert self._decoding is not None
        frames = (self._frame(frame) for frame in range(self._frame_count))
        return decoding.joined(frames, self._decoding.image)

    def _frame(self, frame: int) -> bytes:
        """A decoded frame. The last one is kept: for most instances it is the only one."""
        if self._decoded is None or self._decoded[0] != frame:
            assert self._decoding is not None
            self._decoded = None
            ranges = self._decoding.frames.ranges(frame)
            size_bytes = sum(end - start for start, end in ranges)
            if size_bytes > decoding.FRAME_BYTES_MAX:
                raise InstanceError(f"a compressed frame of {size_bytes} B is too large")
            data = b"".join(bytes(self._read(start, end)) for start, end in ranges)
            image = self._decoding.image
            self._decoded = frame, decoding.decode(data, image, self._stored_uid)
        return self._decoded[1]


def _changes(image: ImagePixel, stored_uid: str, writer: Rewriter) -> dict[int, bytes]:
    """Elements that are other ones once the pixels are decoded, in ascending order; of no bytes:
    left out."""
    changes: dict[int, bytes] = {}
    photometric = decoding.decoded_photometric(image, stored_uid)
    if photometric != image.photometric:
        changes[PHOTOMETRIC_INTERPRETATION] = _text(writer, PHOTOMETRIC_INTERPRETATION, photometric)
    if image.samples > 1 and stored_uid not in decoding.AS_THEY_ARE:
        by_pixel = (0).to_bytes(2, "little")
        head = writer.head(PLANAR_CONFIGURATION, "US", len(by_pixel))
        changes[PLANAR_CONFIGURATION] = head + by_pixel
    if decoding.is_lossy(stored_uid) and not image.lossy:
        # The transfer syntax no longer tells (PS3.3 §C.7.6.1.1.5).
        changes[LOSSY_IMAGE_COMPRESSION] = _text(writer, LOSSY_IMAGE_COMPRESSION, "01")
    return changes | dict.fromkeys(sorted(_OF_FRAGMENTS), b"")


def _text(writer: Rewriter, tag: int, text: str) -> bytes:
    value = text.encode("ascii") + b" " * (len(text) % 2)
    return writer.head(tag, "CS", len(value)) + value


def _is_icon_of_fragments(data_set: DataSet, element: Element) -> bool:
    """Whether this is an icon that is compressed like the image; it is optional (PS3.3
    §C.7.6.1.1.6), and left out rather than decoded."""
    if element.tag != _ICON_IMAGE_SEQUENCE or element.torn:
        return False
    window, order = data_set.window, data_set.order
    start, end = element.value_start, element.value_end
    return any(
        inner.tag == PIXEL_DATA and inner.undefined
        for item in items(window, start, end, implicit=data_set.implicit, order=order)
        for inner in elements(window, item.start, item.end, implicit=item.implicit, order=order)
    )


def _refuse_wide_words(data_set: DataSet) -> None:
    """Refuse big-endian pixels of which nobody can say how they are to be turned round: of cells
    over 16 bits the standard swaps each word (PS3.5 §6.2) and senders swap the cell."""
    image = image_pixel(data_set)
    if image is None:
        return
    for element in data_set.elements(until=frozenset({PIXEL_DATA})):
        if element.tag == PIXEL_DATA:
            bits_max = 8 if element.vr == b"OB" else 16
            if image.bits_allocated > bits_max:
                raise InstanceError(f"big-endian pixels of {image.bits_allocated} bits")
