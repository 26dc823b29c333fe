"""The parts of a STOW-RS body with metadata: metadata of one or many instances, or one value."""

from typing import Final, Protocol

from fileroom.dicom.json_reading import JSON_DEPTH_MAX, PIECES_MAX, elements_of
from fileroom.dicom.xml_reading import native_elements
from fileroom.dicomweb.negotiate import DICOM_JSON, DICOM_XML, JSON, OCTETS
from fileroom.dicomweb.stow.bulk_parts import BulkPart
from fileroom.dicomweb.stow.described import ElementsOf
from fileroom.errors import FileroomError
from fileroom.http.refusals import TooLargeError, UnsupportedMediaTypeError, without_frames
from fileroom.http.request import Limits
from fileroom.wire import media_type
from fileroom.wire.json_array import JsonArrayError, JsonArraySplitter, JsonTooLargeError
from fileroom.wire.media_type import MediaType, MediaTypeError

# What parts with metadata call themselves.
_METADATA: Final = {
    DICOM_JSON: frozenset({DICOM_JSON, JSON}),
    DICOM_XML: frozenset({DICOM_XML, "application/xml", "text/xml"}),
}
_BINARY: Final = frozenset({"binary", "8bit", "7bit"})


class Arriving(Protocol):
    """One part on its way in."""

    async def write(self, data: memoryview) -> None: ...

    async def end(self) -> None: ...


class Taking(Protocol):
    """What takes what parts bring."""

    limits: Limits

    def add_metadata(self, size_bytes: int) -> None: ...

    async def take_metadata(self, text: bytes, elements_of: ElementsOf) -> None: ...

    def lose_metadata(self, error: FileroomError) -> None: ...

    async def set_aside(self, data: memoryview) -> int: ...

    async def take_value(self, location: str, part: BulkPart) -> None: ...

    def refuse(self, error: FileroomError) -> None: ...


def kind_of(headers: dict[str, str], metadata: str) -> tuple[MediaType, bool]:
    """The media type of a part, and whether it is metadata in a body with `metadata`.

    Raises:
        UnsupportedMediaTypeError: it has none, or is encoded.
    """
    try:
        kind = media_type.parse(headers.get("content-type", OCTETS))
    except MediaTypeError as error:
        raise UnsupportedMediaTypeError(str(error)) from error
    coded = headers.get("content-encoding", "identity").lower() != "identity"
    if coded or headers.get("content-transfer-encoding", "binary").lower() not in _BINARY:
        raise UnsupportedMediaTypeError("a part is not in binary")
    return kind, kind.name in _METADATA[metadata]


def metadata_part(taking: Taking, metadata: str) -> Arriving:
    """A part with metadata in a body of that media type."""
    return JsonPart(taking) if metadata == DICOM_JSON else XmlPart(taking)


class JsonPart:
    """Metadata of many instances. Where it breaks, those before the break are taken."""

    def __init__(self, taking: Taking) -> None:
        self._taking = taking
        self._splitter = JsonArraySplitter(
            object_bytes_max=taking.limits.instance_metadata_bytes_max,
            depth_max=JSON_DEPTH_MAX,
            brackets_max=3 * PIECES_MAX,  # of an element its object and its array; of an item its
        )
        self._is_broken = False

    async def write(self, data: memoryview) -> None:
        self._taking.add_metadata(len(data))
        if self._is_broken:
            return
        self._splitter.feed(data)
        try:
            while (text := self._splitter.next_object()) is not None:
                await self._taking.take_metadata(text, elements_of)
        except JsonTooLargeError as error:
            raise TooLargeError(str(error)) from error
        except JsonArrayError as error:
            self._break(error)

    async def end(self) -> None:
        if not self._is_broken:
            try:
                self._splitter.finish()
            except JsonArrayError as error:
                self._break(error)

    def _break(self, error: FileroomError) -> None:
        self._is_broken = True
        self._taking.lose_metadata(error)


class XmlPart:
    """Metadata of one instance."""

    def __init__(self, taking: Taking) -> None:
        self._taking = taking
        self._text = bytearray()

    async def write(self, data: memoryview) -> None:
        self._taking.add_metadata(len(data))
        self._text += data
        if len(self._text) > self._taking.limits.instance_metadata_bytes_max:
            raise TooLargeError(
                f"metadata of an instance is over "
                f"{self._taking.limits.instance_metadata_bytes_max} B"
            )

    async def end(self) -> None:
        await self._taking.take_metadata(bytes(self._text), native_elements)


class ValuePart:
    """One value, set aside. Whether it is of any use shows later."""

    def __init__(self, taking: Taking, location: str, part: BulkPart) -> None:
        self._taking = taking
        self._location = location
        self._part = part

    async def write(self, data: memoryview) -> None:
        if self._part.error is None:
            try:
                self._part.end = await self._taking.set_aside(data)
            except FileroomError as error:
                self._part.error = without_frames(error)

    async def end(self) -> None:
        await self._taking.take_value(self._location, self._part)


class Unusable:
    """A part that is read and dropped; `error` is None where nobody needs to be told."""

    def __init__(self, taking: Taking, error: FileroomError | None) -> None:
        self._taking = taking
        self._error = error

    async def write(self, data: memoryview) -> None:
        return

    async def end(self) -> None:
        if self._error is not None:
            self._taking.refuse(self._error)
