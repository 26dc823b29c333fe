"""Frames in another form than the stored one: as pixels, or compressed anew without loss.

A frame is made when it is asked for, in a thread and in memory, and only the last one is kept:
whoever sends it reads it in pieces.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final, Protocol

import msgspec

from fileroom.dicom.encoding import (
    BARE_PIXELS,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    PIXEL_DATA,
    Buffer,
)
from fileroom.dicom.rewriting import swapped
from fileroom.pixels import decoding
from fileroom.pixels.decoding import DecodingError
from fileroom.pixels.encoding import ENCODABLE, EncodingError, by_pixel, by_plane, encode
from fileroom.pixels.image_pixel import ATTRIBUTES, ImagePixel, described_by

InTurn = Callable[[Callable[[], bytes]], Coroutine[Any, Any, bytes]]
Ranges = Sequence[tuple[int, int]]

_WORD_BITS: Final = 16  # of wider cells senders swap the words or the cells (PS3.5 §6.2)


class Table(Protocol):
    """The frames of an instance as they are stored; frames count from 0."""

    @property
    def count(self) -> int: ...

    async def ranges(self, frame: int) -> Ranges: ...

    async def read(self, start: int, end: int) -> Buffer: ...


class Framed(Protocol):
    """One instance of the archive."""

    @property
    def transfer_syntax_uid(self) -> str: ...

    async def dicom_json(self) -> bytes: ...

    async def frames(self) -> Table: ...


def forms_of(stored_uid: str) -> frozenset[str]:
    """Transfer syntaxes in which frames can be made that are stored in `stored_uid`. Only as a
    rule: a single frame may be damaged, or of a layout that a codec has no room for."""
    if stored_uid in BARE_PIXELS:
        return ENCODABLE
    if stored_uid in decoding.DECODABLE or stored_uid == EXPLICIT_VR_BIG_ENDIAN:
        return (ENCODABLE | {EXPLICIT_VR_LITTLE_ENDIAN}) - {stored_uid}
    return frozenset()


class MadeFrames:
    """Frames of one instance, made one by one. What `ranges` and `read` count are the bytes of
    all frames as pixels, one behind the other; nothing is read before a frame is.

    Attributes:
        count: how many there are.
    """

    def __init__(
        self,
        table: Table,
        image: ImagePixel,
        *,
        stored_uid: str,
        wanted_uid: str,
        octets: bool,
        in_turn: InTurn,
    ) -> None:
        self._table = table
        self._image = image
        self._stored_uid = stored_uid
        self._wanted_uid = wanted_uid
        self._octets = octets
        self._in_turn = in_turn
        self._last: tuple[int, bytes] | None = None
        self.count = table.count

    async def ranges(self, frame: int) -> Ranges:
        """The byte range [start, end) of a frame as pixels; frames count from 0."""
        size = self._image.frame_bytes
        return [(frame * size, frame * size + size)]

    async def read(self, start: int, end: int) -> Buffer:
        """Bytes [start, end) of what `ranges` count, within one frame. Raises as `frame` does."""
        frame, first = divmod(start, self._image.frame_bytes)
        return memoryview(await self.frame(frame))[first : first + end - start]

    async def frame(self, frame: int) -> bytes:
        """One frame; frames count from 0.

        Raises:
            InstanceError: it is damaged, or cannot be made in that form.
            UnavailableError, IntegrityError: as reading does.
        """
        if self._last is None or self._last[0] != frame:
            self._last = None
            ranges = await self._table.ranges(frame)
            making = partial(self._made, ranges, asyncio.get_running_loop())
            self._last = frame, await self._in_turn(making)
        return self._last[1]

    def _made(self, ranges: Ranges, loop: asyncio.AbstractEventLoop) -> bytes:
        async def reading(start: int, end: int) -> Buffer:
            return await self._table.read(start, end)

        size_bytes = sum(end - start for start, end in ranges)
        if size_bytes > decoding.FRAME_BYTES_MAX:
            raise DecodingError(f"a frame of {size_bytes} B is over {decoding.FRAME_BYTES_MAX} B")
        stored = b"".join(
            bytes(asyncio.run_coroutine_threadsafe(reading(*each), loop).result())
            for each in ranges
        )
        pixels, laid_out = self._pixels(stored)
        if self._wanted_uid == EXPLICIT_VR_LITTLE_ENDIAN:
            return pixels if laid_out else by_plane(pixels, self._image)
        return encode(
            by_pixel(pixels, self._image) if laid_out else pixels, self._image, self._wanted_uid
        )

    def _pixels(self, stored: bytes) -> tuple[bytes, bool]:
        """Little-endian pixels, and whether they are laid out as the data set says, planes
        included; else they are by pixel."""
        if self._stored_uid in decoding.DECODABLE:
            pixels = decoding.decode(stored, self._image, self._stored_uid)
            return pixels, self._stored_uid in decoding.AS_THEY_ARE
        if self._stored_uid == EXPLICIT_VR_BIG_ENDIAN and not self._octets:
            stored = swapped(stored, 2)
        if len(stored) < self._image.frame_bytes:
            raise DecodingError(f"a frame of {len(stored)} B, under {self._image.frame_bytes} B")
        return stored[: self._image.frame_bytes], True


async def made_frames(instance: Framed, wanted_uid: str, in_turn: InTurn) -> MadeFrames:
    """The frames of an instance in one of `forms_of` its transfer syntax.

    Args:
        in_turn: has some work done in a thread.

    Raises:
        InstanceError: the data set does not describe an image, or one that cannot be made so.
        NoFramesError, UnavailableError: as `instance.frames` does.
    """
    stored_uid = instance.transfer_syntax_uid
    image, vr = _described(await instance.dicom_json())
    if stored_uid in decoding.DECODABLE:
        decoding.check_layout(image)
    elif stored_uid == EXPLICIT_VR_BIG_ENDIAN and image.bits_allocated > _WORD_BITS:
        raise DecodingError(f"big-endian pixels of {image.bits_allocated} bits")
    if wanted_uid != EXPLICIT_VR_LITTLE_ENDIAN:
        decoded = decoding.decoded_photometric(image, stored_uid)
        # Whoever asks for the frame has its colours from the metadata, which stay.
        if stored_uid in decoding.DECODABLE and decoded != image.photometric:
            raise EncodingError("the colours of the decoded image are others than the stored ones")
    return MadeFrames(
        await instance.frames(),
        image,
        stored_uid=stored_uid,
        wanted_uid=wanted_uid,
        octets=vr == "OB",
        in_turn=in_turn,
    )


class _Element(msgspec.Struct):
    vr: str = ""
    values: list[int | float | str | None] = msgspec.field(name="Value", default_factory=list)


def _described(dicom_json: bytes) -> tuple[ImagePixel, str]:
    """The layout of the pixel data, and its VR, by the metadata of an instance."""
    told = msgspec.json.decode(dicom_json, type=dict[str, msgspec.Raw])
    found: dict[int, str] = {}
    for tag in ATTRIBUTES:
        raw = told.get(f"{tag:08X}")
        if raw is not None:
            values = msgspec.json.decode(raw, type=_Element).values
            found[tag] = "" if not values or values[0] is None else str(values[0])
    raw = told.get(f"{PIXEL_DATA:08X}")
    vr = "" if raw is None else msgspec.json.decode(raw, type=_Element).vr
    return described_by(found), vr
