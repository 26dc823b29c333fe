"""What the spool knows of an instance, and where it lies. Pure."""

from typing import NamedTuple

import msgspec

from fileroom.dicom.header import Header


class Place(NamedTuple):
    """Where an instance lies: its segment, and the offset of its commit frame there."""

    segment: int
    offset: int


class Origin(msgspec.Struct, frozen=True):
    """From whom an instance came.

    Attributes:
        channel: "dimse", "stow" or "import".
        conversation: random id of the association or request.
    """

    channel: str
    calling_ae_title: str
    address: str
    conversation: str


class Description(msgspec.Struct):
    """What travels with the bytes of a data set.

    Attributes:
        preamble: the file's first 128 bytes, or b"" where they were zero or there was no file.
    """

    partition: str
    header: Header
    transfer_syntax_uid: str
    preamble: bytes
    origin: Origin
    received_at_ns: int


class Spooled(msgspec.Struct):
    """A durable instance.

    Attributes:
        size_bytes, sha256: of the data set as received.
    """

    place: Place
    description: Description
    size_bytes: int
    sha256: bytes
