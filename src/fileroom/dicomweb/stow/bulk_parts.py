"""Parts of a STOW-RS body that hold one value each, by the names that metadata has for them.

PS3.18 §10.5.1.4 and §8.7.3.3: a part's Content-Location is the BulkDataURI of its element. Frames
of compressed pixel data are a part each: several under one name in their order, or each under
that name and `/frames/<number>`. A video is one part whatever its frames.
"""

import re
from typing import Final

from fileroom.dicom.encoding import BARE_PIXELS, EXPLICIT_VR_LITTLE_ENDIAN
from fileroom.dicomweb.negotiate import ALIASES, FRAME_MEDIA_TYPE, OCTETS
from fileroom.errors import FileroomError, RefusedError
from fileroom.wire.media_type import MediaType

# PS3.18 Table 8.7.3-5: the default of a media type whose frames do not show their transfer syntax.
_DEFAULT_SYNTAX: Final = {
    "image/dicom-rle": "1.2.840.10008.1.2.5",
    "video/mpeg": "1.2.840.10008.1.2.4.100",
    "video/mp4": "1.2.840.10008.1.2.4.102",
    "video/H265": "1.2.840.10008.1.2.4.107",
}
_SHOWN: Final = frozenset({"image/jpeg", "image/jls", "image/jp2", "image/jpx", "image/jphc"})
_FRAME: Final = re.compile(r"(.+)/frames/([1-9][0-9]{0,8})")


class PixelMediaTypeError(RefusedError):
    """Pixel data came as a media type that no transfer syntax we store is of."""


class BulkPart:
    """One part.

    Attributes:
        start, end: where its bytes were set aside.
        error: why they were not.
        taken: whether an instance has it.
    """

    __slots__ = ("_media_type", "end", "error", "start", "taken")

    def __init__(self, media_type: MediaType, *, start: int) -> None:
        self._media_type = media_type
        self.start = self.end = start
        self.error: FileroomError | None = None
        self.taken = False

    @property
    def size_bytes(self) -> int:
        return self.end - self.start

    @property
    def name(self) -> str:
        """The media type, under the name that the standard has for it."""
        return ALIASES.get(self._media_type.name, self._media_type.name)

    def stated_syntax(self) -> str | None:
        """The transfer syntax of pixel data in this part: Explicit VR Little Endian where it is
        native. None: compressed, and the frame shows it.

        Raises:
            PixelMediaTypeError: there is none.
        """
        name = self.name
        stated = self._media_type.parameter("transfer-syntax")
        if name == OCTETS and (stated is None or stated in BARE_PIXELS):
            return EXPLICIT_VR_LITTLE_ENDIAN
        if stated is None and name in _SHOWN:
            return None
        syntax = _DEFAULT_SYNTAX.get(name) if stated is None else stated
        of_type = FRAME_MEDIA_TYPE.get(syntax or "")
        if syntax is None or of_type is None or name not in (of_type, OCTETS):
            raise PixelMediaTypeError("pixel data is of no media type and transfer syntax we store")
        return syntax

    def holds_one_frame(self) -> bool:
        """Whether it is one frame of compressed pixel data. Raises as `stated_syntax`."""
        syntax = self.stated_syntax()
        if syntax == EXPLICIT_VR_LITTLE_ENDIAN:
            return False
        return not FRAME_MEDIA_TYPE.get(syntax or "", self.name).startswith("video/")


class BulkParts:
    """All parts that have come, in the order in which they came."""

    def __init__(self) -> None:
        self._named: dict[str, list[BulkPart]] = {}
        self._frames: dict[str, dict[int, BulkPart]] = {}

    def add(self, location: str, part: BulkPart) -> None:
        """Take a part that is complete."""
        self._named.setdefault(location, []).append(part)
        frame = _FRAME.fullmatch(location)
        if frame is not None:
            self._frames.setdefault(frame[1], {}).setdefault(int(frame[2]), part)

    def value(self, uri: str) -> list[BulkPart] | None:
        """The part that is the value of an element, or None: it has not come. Of several under
        one name the first counts."""
        named = self._named.get(uri)
        return named and named[:1]

    def pixels(self, uri: str, frames: int) -> list[BulkPart] | None:
        """The parts that are the pixel data of that many frames, or None: one has not come.

        Raises:
            PixelMediaTypeError: one is of no media type for pixels.
        """
        named = self._named.get(uri)
        if named is not None:
            wanted = frames if named[0].holds_one_frame() else 1
            return named[:wanted] if len(named) >= wanted else None
        numbered = self._frames.get(uri, {})
        if len(numbered) < frames or any(n not in numbered for n in range(1, frames + 1)):
            return None
        return [numbered[n] for n in range(1, frames + 1)]

    def give_up(self, uri: str) -> None:
        """Know that whoever refers to that name is not stored for another reason."""
        for part in (*self._named.get(uri, ()), *self._frames.get(uri, {}).values()):
            part.taken = True

    def left_over(self) -> int:
        """How many parts no instance has taken."""
        return sum(not part.taken for parts in self._named.values() for part in parts)


def referred(location: str) -> tuple[str, ...]:
    """The names by which metadata may refer to a part."""
    frame = _FRAME.fullmatch(location)
    return (location,) if frame is None else (location, frame[1])
