"""One instance as metadata describes it, on its way to a data set in the spool.

PS3.18 §10.5.1.4: its elements come as DICOM JSON or as XML of the Native DICOM Model, and values
that metadata only refers to in parts of their own.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field

from fileroom.dicom.encoding import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    ITEM,
    PIXEL_DATA,
    SEQUENCE_DELIMITATION,
)
from fileroom.dicom.header import HeaderScanner
from fileroom.dicom.json_reading import (
    Elements,
    Reference,
    element_head,
    mark,
    text_of,
    write_data_set,
)
from fileroom.dicom.value_writing import UnwritableError, padding
from fileroom.dicomweb.stow.bulk_parts import BulkPart, BulkParts, PixelMediaTypeError
from fileroom.dicomweb.stow.report import OtherStudyError
from fileroom.errors import FileroomError
from fileroom.pixels.encapsulating import (
    FRAGMENT_BYTES_MAX,
    HEAD_BYTES,
    excess_bytes,
    pixel_data_head,
    refuse_undescribed,
    shown_syntax,
)

SOP_CLASS_UID = 0x00080016
SOP_INSTANCE_UID = 0x00080018

Read = Callable[[int, int], AsyncIterator[bytes]]
ElementsOf = Callable[[bytes], Elements]


@dataclass(slots=True, eq=False)
class Described:
    """One instance.

    Attributes:
        sop_class_uid, sop_instance_uid: as the metadata claims.
        references: to values that come apart.
        missing: those that have not come, by their names: of each name the last that is pixel data
            and the last that is not, since what is there for one is there for all of its kind.
        frames: how many it says that its pixel data has.
        framed: the name of its pixel data where that has several.
        start, size_bytes: where its data set was set aside, without those values.
        discarded: whether elements of it were left out.
        excess: whether there is more pixel data than it describes.
        error: why it is not stored.
    """

    sop_class_uid: str | None = None
    sop_instance_uid: str | None = None
    references: tuple[Reference, ...] = ()
    missing: dict[str, dict[bool, Reference]] = field(default_factory=dict)
    frames: int = 1
    framed: str = ""
    start: int = 0
    size_bytes: int = 0
    discarded: bool = False
    excess: bool = False
    error: FileroomError | None = None

    def has(self, name: str, parts: BulkParts) -> bool:
        """Whether all that it misses under that name is there. Raises PixelMediaTypeError."""
        missing = self.missing.get(name, {}).values()
        return all(_parts_of(self, reference, parts) is not None for reference in missing)


def described(text: bytes, elements_of: ElementsOf, study: str | None) -> tuple[Described, bytes]:
    """Read the metadata of one instance; what is wrong with it stands in its `error`. Slow.

    Returns:
        The instance, and its data set without the values that come apart.
    """
    instance = Described()
    data = b""
    try:
        elements = elements_of(text)
        instance.sop_class_uid = text_of(elements, SOP_CLASS_UID) or None
        instance.sop_instance_uid = text_of(elements, SOP_INSTANCE_UID) or None
        written = write_data_set(elements)
        instance.references = written.references
        for each in written.references:
            instance.missing.setdefault(each.uri, {})[_is_pixels(each)] = each
        instance.discarded = written.discarded > 0
        data = written.data
        instance.size_bytes = len(data)
        instance.frames = _identified(data, study)
        if instance.frames > 1:
            instance.framed = next((r.uri for r in written.references if _is_pixels(r)), "")
    except FileroomError as error:
        instance.error = error
    return instance, data


def _identified(data: bytes, study: str | None) -> int:
    """Refuse what is no instance, or not of the study; return its Number of Frames."""
    scanner = HeaderScanner(EXPLICIT_VR_LITTLE_ENDIAN)
    scanner.feed(data)
    header = scanner.finish()
    if study is not None and header.study_instance_uid != study:
        raise OtherStudyError("the instance is of another study than the path names")
    frames = header.attributes.get("NumberOfFrames", "")
    is_number = frames.isascii() and frames.isdecimal() and len(frames) < 10
    return max(1, int(frames)) if is_number else 1


def parts_of(instance: Described, parts: BulkParts) -> list[list[BulkPart]]:
    """The parts of each of its references, of which none is missing.

    Raises:
        UnwritableError: one is longer than a length field can say.
        SpaceError, SpoolError: one could not be set aside.
    """
    found = [_parts_of(instance, reference, parts) or [] for reference in instance.references]
    for reference, its_parts in zip(instance.references, found, strict=True):
        for part in its_parts:
            part.taken = True
            if part.error is not None:
                raise part.error
            if part.size_bytes > FRAGMENT_BYTES_MAX:
                raise UnwritableError(f"a value of {part.size_bytes} B", tag=reference.tag)
    return found


async def transfer_syntax(instance: Described, parts: list[list[BulkPart]], read: Read) -> str:
    """The transfer syntax that pixel data gives the data set, once it is sure that the data set
    describes its pixels.

    Raises:
        InstanceError: it does not.
        PixelMediaTypeError: frames are of no transfer syntax, or of several.
    """
    for reference, its_parts in zip(instance.references, parts, strict=True):
        if _is_pixels(reference):
            syntaxes = {await _syntax_of(part, read) for part in its_parts}
            if len(syntaxes) > 1:
                raise PixelMediaTypeError("frames of one instance are of several transfer syntaxes")
            before = await _joined(read(instance.start, instance.start + reference.offset))
            (syntax,) = syntaxes
            if syntax == EXPLICIT_VR_LITTLE_ENDIAN:
                size_bytes = its_parts[0].size_bytes
                instance.excess = await asyncio.to_thread(excess_bytes, before, size_bytes) > 0
            else:
                await asyncio.to_thread(refuse_undescribed, before)
            return syntax
    return EXPLICIT_VR_LITTLE_ENDIAN


async def data_set(
    instance: Described, parts: list[list[BulkPart]], syntax: str, read: Read
) -> AsyncIterator[bytes]:
    """The data set in pieces."""
    position = instance.start
    for reference, its_parts in zip(instance.references, parts, strict=True):
        async for piece in read(position, instance.start + reference.offset):
            yield piece
        position = instance.start + reference.offset
        compressed = syntax != EXPLICIT_VR_LITTLE_ENDIAN
        if _is_pixels(reference) and compressed:
            pieces = _fragments(its_parts, read)
        else:
            pieces = _value(reference, its_parts[0], read)
        async for piece in pieces:
            yield piece
    async for piece in read(position, instance.start + instance.size_bytes):
        yield piece


def _parts_of(instance: Described, reference: Reference, parts: BulkParts) -> list[BulkPart] | None:
    if _is_pixels(reference):
        return parts.pixels(reference.uri, instance.frames)
    return parts.value(reference.uri)


def _is_pixels(reference: Reference) -> bool:
    return reference.tag == PIXEL_DATA and reference.outermost


async def _syntax_of(part: BulkPart, read: Read) -> str:
    stated = part.stated_syntax()
    if stated is not None:
        return stated
    head = await _joined(read(part.start, min(part.end, part.start + HEAD_BYTES)))
    return shown_syntax(part.name, head)


async def _joined(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


async def _value(reference: Reference, part: BulkPart, read: Read) -> AsyncIterator[bytes]:
    vr = reference.vr
    if _is_pixels(reference) and vr not in ("OB", "OW"):
        vr = "OW"
    pad = padding(part.size_bytes, vr)
    yield element_head(reference.tag, vr, part.size_bytes + len(pad))
    async for piece in read(part.start, part.end):
        yield piece
    yield pad


async def _fragments(parts: Iterable[BulkPart], read: Read) -> AsyncIterator[bytes]:
    """One fragment a frame, which every transfer syntax allows (PS3.5 §A.4)."""
    yield pixel_data_head([part.size_bytes for part in parts])
    for part in parts:
        pad = padding(part.size_bytes, "OB")
        yield mark(ITEM, part.size_bytes + len(pad))
        async for piece in read(part.start, part.end):
            yield piece
        yield pad
    yield mark(SEQUENCE_DELIMITATION)
