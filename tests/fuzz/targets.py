"""What hostile bytes meet first, each as a function of bytes that raises nothing but our mistakes.

A target gives its bytes to a reader, passes over the refusals that the reader may raise by its
contract, and asserts what must hold whatever the bytes are. The first byte chooses between forms
where there are several.
"""

import contextlib
import json
from collections.abc import Callable
from urllib.parse import parse_qsl

from fileroom.dicom import identifier
from fileroom.dicom.commitment import TooManyReferencesError, read_request
from fileroom.dicom.dataset_index import Window, data_set_of, index
from fileroom.dicom.encoding import LITTLE
from fileroom.dicom.frame_table import FrameTableError
from fileroom.dicom.frames import inflated_layout, pixel_layout
from fileroom.dicom.header import HeaderScanner
from fileroom.dicom.inflate import InflatedDataSet, InflatedTooLargeError
from fileroom.dicom.instance_error import InstanceError
from fileroom.dicom.json_model import JsonWriter
from fileroom.dicom.json_reading import elements_of, write_data_set
from fileroom.dicom.part10 import META_BYTES_MAX, Part10Splitter
from fileroom.dicom.preamble import program_in, tiff_head
from fileroom.dicom.rejection import REASONS, read_note
from fileroom.dicom.rejection import TooManyReferencesError as TooManyNotedError
from fileroom.dicom.uid import is_safe
from fileroom.dicom.xml_model import native_model
from fileroom.dicom.xml_reading import native_elements
from fileroom.dicomweb import negotiate
from fileroom.dicomweb.qido import query
from fileroom.dicomweb.qido.keys import Found
from fileroom.http.refusals import BadRequestError
from fileroom.pixels import codestream, decoding
from fileroom.pixels.image_pixel import ImagePixel
from fileroom.pixels.transcoding import SOURCES, TARGETS, Transcoding
from fileroom.wire import byte_range, content_coding, entity_tag, negotiation
from fileroom.wire.byte_range import UnsatisfiableRangeError
from fileroom.wire.event import AssociateRequested, MessageFragment
from fileroom.wire.json_array import JsonArrayError, JsonArraySplitter
from fileroom.wire.media_type import MediaTypeError
from fileroom.wire.message import MalformedMessageError, MessageReader
from fileroom.wire.multipart import HEADER_BYTES_MAX, MultipartError, MultipartParser, PartData
from fileroom.wire.upper_layer import SLAB_BYTES, Association
from wire_talk import LENGTH_BYTES_MAX, acceptor

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
DEFLATED, BIG = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"
JPEG, RLE = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.5"
SYNTAXES = (EXPLICIT, IMPLICIT, DEFLATED, BIG, JPEG, RLE)
COMPRESSED = (JPEG, RLE, *(f"1.2.840.10008.1.2.4.{each}" for each in (57, 70, 80, 81, 90, 91, 201)))
BOUNDARY = "b-1"
PIECE = 7  # how inputs are cut, beside being given whole
OFFER = negotiation.Offer(
    is_storable=lambda _: True,
    others={},
    extended={},
    storage=True,
    retrieval=False,
    max_length_bytes=LENGTH_BYTES_MAX,
    operations_max=2,
    implementation_class_uid="1.2.4",
    implementation_version_name="",
)


def pieces(data: bytes) -> list[bytes]:
    return [data[at : at + PIECE] for at in range(0, len(data), PIECE)]


def formed(data: bytes, forms: tuple[str, ...] = SYNTAXES) -> tuple[str, bytes]:
    """The form that the first byte chooses, and the rest."""
    return forms[data[0] % len(forms)] if data else forms[0], data[1:]


def pdu(data: bytes) -> None:
    """An association from its first byte, or one that is established already."""
    association = acceptor() if data[:1] == b"\x01" else Association.acceptor()
    reader = MessageReader()
    for piece in pieces(data[1:]):
        association.feed(piece)
        while (event := association.next_event()) is not None:
            if isinstance(event, AssociateRequested):
                association.accept(negotiation.answer(event.request, OFFER))
            elif isinstance(event, MessageFragment):
                try:
                    reader.take(event)
                except MalformedMessageError as problem:
                    association.abort_for(problem)
        association.data_to_send()
        assert len(association.receive_view().obj) <= max(SLAB_BYTES, 2 * LENGTH_BYTES_MAX)


def header(data: bytes) -> None:
    """The scanner of what arrives; in one piece and in many it says the same."""
    syntax, data = formed(data)

    def outcome(cut: list[bytes]) -> object:
        scanner = HeaderScanner(syntax)
        try:
            for each in cut:
                scanner.feed(each)
            return scanner.finish()
        except InstanceError as error:
            return str(error)

    whole = outcome([data])
    assert outcome(pieces(data)) == whole
    if not isinstance(whole, str):
        assert is_safe(whole.study_instance_uid)
        assert is_safe(whole.series_instance_uid)
        assert is_safe(whole.sop_instance_uid)
        assert is_safe(whole.sop_class_uid)


def part10(data: bytes) -> None:
    """The beginning of a file."""

    def outcome(cut: list[bytes]) -> object:
        splitter = Part10Splitter()
        try:
            for number, each in enumerate(cut):
                start = splitter.feed(each)
                if start is not None:
                    return start, bytes(splitter.remainder) + b"".join(cut[number + 1 :])
            return splitter.finish(), b""
        except InstanceError as error:
            return str(error)

    whole = outcome([data])
    assert outcome(pieces(data)) == whole
    program_in(data[:128])
    if not isinstance(whole, str):
        start, rest = whole
        assert start.head + rest == data
        assert len(start.head) <= META_BYTES_MAX + 8
        kept = tiff_head(
            start.head, sop_class_uid="1.2", sop_instance_uid="1.2.3", transfer_syntax_uid=EXPLICIT
        )
        assert kept in (b"", start.head)


def multipart(data: bytes) -> None:
    """The body of a STOW-RS request."""

    def outcome(cut: list[bytes]) -> object:
        parser = MultipartParser(BOUNDARY)
        found: list[object] = []
        try:
            for each in cut:
                parser.feed(each)
                while (event := parser.next_event()) is not None:
                    if not isinstance(event, PartData):
                        found.append(event)
                    elif found and isinstance(found[-1], bytes):
                        found[-1] += bytes(event.data)
                    else:
                        found.append(bytes(event.data))
                assert len(parser._held) + len(parser._header) <= HEADER_BYTES_MAX
            parser.finish()
        except MultipartError as error:
            found.append(str(error))
        return found

    assert outcome(pieces(data)) == outcome([data])


def frames(data: bytes) -> None:
    """The locator of frames: ranges in the data set, or a refusal."""
    syntax, data = formed(data)

    def read(start: int, end: int) -> bytes:
        assert 0 <= start <= end
        return data[start:end]

    if syntax == DEFLATED:
        with contextlib.suppress(FrameTableError, InflatedTooLargeError):
            inflated_layout(InflatedDataSet(read, len(data)))
    try:
        table = pixel_layout(read, len(data), syntax)
    except FrameTableError:
        return
    if syntax != DEFLATED:
        for frame in {0, table.count // 2, table.count - 1}:
            assert all(0 <= start <= end <= len(data) for start, end in table.ranges(frame))


def described(data: bytes) -> None:
    """What is told of a data set: JSON that is JSON, and XML that is read again or refused."""
    syntax, data = formed(data)
    for each in index(lambda start, end: data[start:end], len(data), syntax):
        assert each.start <= each.value_start <= each.value_end <= each.end
    told = JsonWriter().instance_json(data, syntax)
    json.loads(told)
    with contextlib.suppress(InstanceError):
        native_elements(native_model(told))


def json_metadata(data: bytes) -> None:
    """DICOM JSON of a STOW-RS request: split, read, written as a data set that can be walked."""
    splitter = JsonArraySplitter(object_bytes_max=1 << 20, depth_max=200, brackets_max=1 << 16)
    found = []
    with contextlib.suppress(JsonArrayError):
        for piece in pieces(data):
            splitter.feed(piece)
            while (each := splitter.next_object()) is not None:
                found.append(each)
        splitter.finish()
    for text in (*found, data):
        with contextlib.suppress(InstanceError):
            _assert_walks(write_data_set(elements_of(text)).data)


def xml_metadata(data: bytes) -> None:
    """The same as XML of the Native DICOM Model."""
    with contextlib.suppress(InstanceError):
        _assert_walks(write_data_set(native_elements(data)).data)


def _assert_walks(data: bytes) -> None:
    found = list(data_set_of(Window.over(data), implicit=False, order=LITTLE).elements())
    tags = [each.tag for each in found]
    assert tags == sorted(set(tags))
    JsonWriter().instance_json(data, EXPLICIT)


def queried(data: bytes) -> None:
    """The identifier of a C-FIND; what was read can be written and read again."""
    syntax, data = formed(data, (EXPLICIT, IMPLICIT, BIG))
    try:
        found = identifier.decode(data, syntax)
    except InstanceError:
        return
    with contextlib.suppress(InstanceError):
        identifier.decode(identifier.encode(found, syntax), syntax)


def commitment(data: bytes) -> None:
    """The request of an N-ACTION."""
    syntax, data = formed(data, (EXPLICIT, IMPLICIT, BIG))
    with contextlib.suppress(InstanceError, TooManyReferencesError):
        read_request(data, syntax)


def rejection(data: bytes) -> None:
    """A Key Object Selection that may take instances away."""
    syntax, data = formed(data, (EXPLICIT, IMPLICIT, BIG, DEFLATED))
    try:
        note = read_note(lambda start, end: data[start:end], len(data), syntax)
    except (InstanceError, TooManyNotedError, InflatedTooLargeError):
        return
    if note is not None:
        assert note.code in REASONS
        assert note.references
        for (study, series), uids in note.references.items():
            assert uids
            assert all(map(is_safe, (study, series, *uids)))


def accept(data: bytes) -> None:
    """Header fields that choose what is sent."""
    text = data.decode("latin-1")
    with contextlib.suppress(MediaTypeError):
        negotiate.wanted(text)
        for single in (True, False):
            for stored in SYNTAXES:
                negotiate.choose_frames((text,), stored, single=single)
            negotiate.choose_model((text,), single=single)
    with contextlib.suppress(UnsatisfiableRangeError):
        for start, end in byte_range.parse(text, 1000):
            assert 0 <= start < end <= 1000
    content_coding.choose(text)
    entity_tag.lists(text, '"abc"')
    entity_tag.names(text, 'W/"abc"')


def searched(data: bytes) -> None:
    """The query of a search."""
    fields = parse_qsl(data.decode("latin-1"), keep_blank_values=True)
    for found in Found:
        with contextlib.suppress(BadRequestError):
            query.read(fields, found, limit_default=1000, limit_max=10_000)


def look_ahead(data: bytes) -> None:
    """What a codestream says of itself, before a codec makes room for it."""
    for read in (codestream.of_jpeg, codestream.of_jpeg_2000, codestream.rle_segments):
        with contextlib.suppress(InstanceError):
            read(data)


def decoded(data: bytes) -> None:
    """A frame of 8 by 8 pixels; whatever a codec makes of it is that, or refused."""
    syntax, data = formed(data, COMPRESSED)
    image = ImagePixel(
        rows=8,
        columns=8,
        samples=1,
        bits_allocated=8,
        bits_stored=8,
        high_bit=7,
        signed=False,
        photometric="MONOCHROME2",
        planar=False,
        lossy="",
    )
    with contextlib.suppress(InstanceError):
        assert len(decoding.decode(data, image, syntax)) == 64


def transcoded(data: bytes) -> None:
    """A data set into another syntax: refused before the first byte, or given whole."""
    stored, data = formed(data, tuple(sorted(SOURCES)))
    for wanted in TARGETS:
        made = Transcoding(lambda start, end: data[start:end], len(data), stored, wanted)
        try:
            for _ in made.check():
                pass
        except (InstanceError, InflatedTooLargeError):
            continue
        for _ in made.pieces():
            pass


TARGETS_BY_NAME: dict[str, Callable[[bytes], None]] = {
    each.__name__: each
    for each in (
        *(pdu, header, part10, multipart, frames, described, json_metadata, xml_metadata),
        *(queried, commitment, rejection, accept, searched, look_ahead, decoded, transcoded),
    )
}
