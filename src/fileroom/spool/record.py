"""What the spool knows of an instance, and where it lies. Pure."""

from typing import NamedTuple

import msgspec

from fileroom.dicom.header import Header
from fileroom.dicom.part10 import write_header


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


class Description(msgspec.Struct, omit_defaults=True):
    """What travels with the bytes of a data set.

    Attributes:
        preamble: the file's first 128 bytes, or b"" where they were zero or there was no file.
        file_head: all that preceded the data set in its file, where that is kept as it came:
            see `dicom.preamble.tiff_head`; else b"".
    """

    partition: str
    header: Header
    transfer_syntax_uid: str
    preamble: bytes
    origin: Origin
    received_at_ns: int
    file_head: bytes = b""

    @property
    def head(self) -> bytes:
        """What precedes the data set in the file that is served and sealed."""
        return self.file_head or write_header(
            self.header.sop_class_uid,
            self.header.sop_instance_uid,
            self.transfer_syntax_uid,
            source_ae_title=self.origin.calling_ae_title or None,
        )


class Spooled(msgspec.Struct):
    """A durable instance.

    Attributes:
        size_bytes, sha256: of the data set as received.
    """

    place: Place
    description: Description
    size_bytes: int
    sha256: bytes
