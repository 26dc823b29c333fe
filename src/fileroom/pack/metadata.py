"""metadata.json of docs/format/pack.md §4: what a pack says about its instances. Pure."""

import zlib
from datetime import UTC, datetime
from typing import TypeAlias, TypeVar

import msgspec

from fileroom.pack.format import (
    MAJOR,
    METADATA_SIZE_BYTES_MAX,
    MINOR,
    DamagedPackError,
    NewerPackError,
)
from fileroom.pack.segment import Buffer

T = TypeVar("T")
NULL = msgspec.Raw(b"null")


class Format(msgspec.Struct, frozen=True, gc=False):
    """The version of the format that the pack is written in."""

    major: int
    minor: int


class ReceivedFrom(msgspec.Struct, frozen=True, gc=False):
    """Who sent an instance and how; `conversation` tells one association or request from others."""

    channel: str
    calling_ae_title: str
    address: str
    conversation: str


class Transform(msgspec.Struct, frozen=True, gc=False):
    """How the stored data set was made from the one that came."""

    codec: str
    original_transfer_syntax_uid: str
    original_size_bytes: int


class NativeFrames(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="native"):
    """Frames of one length, one behind the other, from `offset` of the DICOM file."""

    offset: int
    frame_length_bytes: int
    frame_count: int


class EncapsulatedFrames(
    msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="encapsulated"
):
    """For each frame the ranges [start, end) in the DICOM file of its fragments' contents."""

    frames: list[list[tuple[int, int]]]


Frames: TypeAlias = NativeFrames | EncapsulatedFrames | None


class _Facts(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    original_sha256: str
    stored_sha256: str
    transform: Transform | None
    preamble: bytes = b""
    conflict: bool = False
    replacement: bool = False
    received_at: str
    received_from: ReceivedFrom


class Entry(_Facts, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """What the writer is told about an instance. Digests are hexadecimal.

    `dicom_json` is the DICOM JSON object's bytes, or `NULL`; `frames` count from the start of the
    DICOM file; `received_at` is made by `timestamp`; a `conflict` is kept and not served, because
    another data set held its SOP Instance UID first; a `replacement` is served, because what came
    before it under its UID could not be read any more.
    """

    frames: Frames
    attributes: dict[str, str]
    dicom_json: msgspec.Raw


class Instance(_Facts, frozen=True, gc=False, kw_only=True):
    """What a reader learns about an instance.

    Fields ending in `_json`, which can be large, are JSON text and slices of metadata.json, so that
    an answer joins them; `attributes()` and `frames()` decode theirs.
    """

    file: str
    start: int
    end: int
    dataset_offset: int
    frames_json: msgspec.Raw = msgspec.field(name="frames")
    attributes_json: msgspec.Raw = msgspec.field(name="attributes")
    dicom_json: msgspec.Raw

    @property
    def size_bytes(self) -> int:
        """Of the DICOM file."""
        return self.end - self.start

    def attributes(self) -> dict[str, str]:
        """The attributes that a catalog searches by, keyword to text."""
        return _decode(self.attributes_json, _ATTRIBUTES)

    def frames(self) -> Frames:
        """Where the frames lie in the DICOM file; None: not known."""
        return _decode(self.frames_json, _FRAMES)


class Metadata(msgspec.Struct, frozen=True, gc=False):
    """The whole of metadata.json."""

    format: Format
    writer: str
    site: str
    partition: str
    study_instance_uid: str
    series_instance_uid: str
    instances: list[Instance]


class Subject(msgspec.Struct, frozen=True):
    """What all instances of a pack share."""

    site: str
    partition: str
    study_instance_uid: str
    series_instance_uid: str


class _Versioned(msgspec.Struct):
    format: Format


_METADATA = msgspec.json.Decoder(Metadata)
_VERSIONED = msgspec.json.Decoder(_Versioned)
_ATTRIBUTES = msgspec.json.Decoder(dict[str, str])
_FRAMES: msgspec.json.Decoder[Frames] = msgspec.json.Decoder(Frames)


def encode_opening(subject: Subject, writer: str) -> bytes:
    """metadata.json up to the first instance."""
    top = {
        "format": {"major": MAJOR, "minor": MINOR},
        "writer": writer,
        **msgspec.structs.asdict(subject),
    }
    return msgspec.json.encode(top)[:-1] + b',"instances":['


def encode_instance(entry: Entry, *, file: str, start: int, end: int, dataset_offset: int) -> bytes:
    """One element of `instances`."""
    place = b'{"file":"%s","start":%d,"end":%d,"dataset_offset":%d,'
    values = (file.encode(), start, end, dataset_offset)
    return place % values + msgspec.json.encode(entry)[1:]


CLOSING = b"]}"


def inflate(deflated: Buffer) -> bytes:
    """metadata.json from the member's deflated bytes, in bounded memory.

    Raises:
        DamagedPackError: not one whole deflate stream, or more than 256 MiB come out.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = inflater.decompress(deflated, METADATA_SIZE_BYTES_MAX + 1)
    except zlib.error:
        raise DamagedPackError("metadata.json does not inflate") from None
    if len(data) > METADATA_SIZE_BYTES_MAX:
        raise DamagedPackError(f"metadata.json inflates beyond {METADATA_SIZE_BYTES_MAX} B")
    if not inflater.eof or inflater.unused_data:
        raise DamagedPackError("metadata.json is not one whole deflate stream")
    return data


def decode(data: bytes, *, plaintext_size_bytes: int) -> Metadata:
    """metadata.json as structs; keys that are not known are ignored.

    Raises:
        NewerPackError: `format.major` is higher than ours.
        DamagedPackError: anything else that this version cannot have written.
    """
    try:
        metadata = _METADATA.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        _refuse_newer(data)
        raise DamagedPackError("metadata.json is not what version 1 says") from None
    if metadata.format.major > MAJOR:
        raise _newer(metadata.format)
    for ordinal, each in enumerate(metadata.instances):
        dataset_start = each.start + each.dataset_offset
        if not 0 <= each.start <= dataset_start <= each.end <= plaintext_size_bytes:
            raise DamagedPackError(f"instance {ordinal} lies outside of the pack")
    return metadata


def timestamp(time_ns: int) -> str:
    """Nanoseconds since the Unix epoch as RFC 3339 with nine digits, in UTC."""
    seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z"


def timestamp_ns(text: str) -> int:
    """The reverse of `timestamp`.

    Raises:
        DamagedPackError: not a time in this form.
    """
    try:
        if len(text) != 30 or text[19] != "." or text[29] != "Z" or not text[20:29].isdecimal():
            raise ValueError
        seconds = int(datetime.fromisoformat(text[:19] + "+00:00").timestamp())
    except ValueError:
        raise DamagedPackError(f"received_at is not a time ({len(text)} characters)") from None
    return seconds * 1_000_000_000 + int(text[20:29])


def _decode(raw: msgspec.Raw, decoder: msgspec.json.Decoder[T]) -> T:
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise DamagedPackError("a part of metadata.json is not what version 1 says") from None


def _refuse_newer(data: bytes) -> None:
    try:
        version = _VERSIONED.decode(data).format
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return
    if version.major > MAJOR:
        raise _newer(version)


def _newer(version: Format) -> NewerPackError:
    return NewerPackError(
        f"the pack is of format {version.major}.{version.minor}, newer than {MAJOR}.{MINOR}"
    )
