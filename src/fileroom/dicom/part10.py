"""The file format around a data set: preamble and file meta information, PS3.10 §7.1. Pure."""

from struct import Struct
from typing import Final, NamedTuple

from fileroom.dicom.encoding import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    LITTLE,
    LONG_VRS,
    SHORT_VRS,
    UNDEFINED,
    Buffer,
    element_header,
)
from fileroom.dicom.instance_error import InstanceError
from fileroom.dicom.uid import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

PREAMBLE_BYTES: Final = 128
PREFIX: Final = b"DICM"
META_START: Final = PREAMBLE_BYTES + len(PREFIX)
META_BYTES_MAX: Final = 64 * 1024

MEDIA_STORAGE_SOP_CLASS_UID: Final = 0x00020002
MEDIA_STORAGE_SOP_INSTANCE_UID: Final = 0x00020003
TRANSFER_SYNTAX_UID: Final = 0x00020010

_SHORT = Struct("<HH2sH")
_LONG = Struct("<HH2sHI")


def _element(element: int, vr: bytes, value: bytes) -> bytes:
    """One element of group 0002H, padded to even length (UI with NUL, others with a space)."""
    if len(value) % 2:
        value += b"\0" if vr == b"UI" else b" "
    if vr in LONG_VRS:
        return _LONG.pack(2, element, vr, 0, len(value)) + value
    return _SHORT.pack(2, element, vr, len(value)) + value


def write_header(
    sop_class_uid: str,
    sop_instance_uid: str,
    transfer_syntax_uid: str,
    *,
    source_ae_title: str | None,
) -> bytes:
    """All that precedes a data set in a file: zero preamble, prefix, file meta information.

    The same arguments always give the same bytes. Source: PS3.10 §7.1.
    """
    group = b"".join(
        [
            _element(0x0001, b"OB", b"\0\1"),
            _element(0x0002, b"UI", sop_class_uid.encode("ascii")),
            _element(0x0003, b"UI", sop_instance_uid.encode("ascii")),
            _element(0x0010, b"UI", transfer_syntax_uid.encode("ascii")),
            _element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID.encode("ascii")),
            _element(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME.encode("ascii")),
        ]
    )
    if source_ae_title:
        group += _element(0x0016, b"AE", source_ae_title.encode("ascii", "replace")[:16])
    length = _element(0x0000, b"UL", len(group).to_bytes(4, "little"))
    return bytes(PREAMBLE_BYTES) + PREFIX + length + group


class Part10Start(NamedTuple):
    """What a file says before its data set. The UIDs are claims: the data set decides.

    Attributes:
        head: all of it, as it came: preamble, prefix, file meta information.
    """

    head: bytes
    sop_class_uid: str | None
    sop_instance_uid: str | None
    transfer_syntax_uid: str

    @property
    def preamble(self) -> bytes:
        return self.head[:PREAMBLE_BYTES]

    @property
    def dataset_offset(self) -> int:
        return len(self.head)


class Part10Splitter:
    """Takes the beginning of a file, in pieces of any size, and says where its data set begins.

    The end of group 0002H is where another group begins: the group length is often wrong and
    is not used. A file without a Transfer Syntax UID gets the one its first element shows.

    Invariant: at most `META_BYTES_MAX` and one piece are held.
    """

    def __init__(self) -> None:
        self._held = bytearray()
        self._position = 0
        self._values: dict[int, bytes] = {}
        self._start: Part10Start | None = None

    @property
    def remainder(self) -> memoryview:
        """Bytes of the data set that came with the pieces fed so far; empty before the start
        is known."""
        if self._start is None:
            return memoryview(b"")
        return memoryview(self._held)[self._start.dataset_offset :]

    def feed(self, data: Buffer) -> Part10Start | None:
        """Take the next piece. Returns the start as soon as it is known, once; the pieces
        after that one belong to the data set and are not fed.

        Raises:
            InstanceError: no DICM prefix, a length beyond `META_BYTES_MAX`, or no group 0002H.
        """
        assert self._start is None, "the data set is fed elsewhere"
        self._held += data
        return self._advance(at_end=False)

    def finish(self) -> Part10Start:
        """The start of a file that ends here, without a byte of data set.

        Raises:
            InstanceError: the file ends inside its preamble or file meta information.
        """
        start = self._start or self._advance(at_end=True)
        if start is None:
            raise InstanceError(
                "the file ends inside its file meta information", offset=len(self._held)
            )
        return start

    def _advance(self, *, at_end: bool) -> Part10Start | None:
        held = self._held
        if self._position == 0:
            if len(held) < META_START:
                return None
            if held[PREAMBLE_BYTES:META_START] != PREFIX:
                raise InstanceError("the prefix DICM is missing", offset=PREAMBLE_BYTES)
            self._position = META_START
        while len(held) >= self._position + 8:
            header = element_header(held, self._position, False, LITTLE)
            if header is None:
                return None
            tag, _, header_bytes, length = header
            if tag >> 16 != 2:
                return self._complete()
            end = self._position + header_bytes + length
            if length == UNDEFINED or end > META_BYTES_MAX:
                raise InstanceError(
                    f"file meta information is over {META_BYTES_MAX} B",
                    tag=tag,
                    offset=self._position,
                )
            if len(held) < end:
                return None
            self._values[tag] = bytes(held[self._position + header_bytes : end])
            self._position = end
        return self._complete() if at_end and len(held) == self._position else None

    def _complete(self) -> Part10Start:
        if not self._values:
            raise InstanceError("file meta information is missing", offset=self._position)
        syntax = self._uid(TRANSFER_SYNTAX_UID) or shown_transfer_syntax(
            self._held[self._position : self._position + 8]
        )
        self._start = Part10Start(
            bytes(self._held[: self._position]),
            self._uid(MEDIA_STORAGE_SOP_CLASS_UID),
            self._uid(MEDIA_STORAGE_SOP_INSTANCE_UID),
            syntax,
        )
        return self._start

    def _uid(self, tag: int) -> str | None:
        return self._values.get(tag, b"").decode("latin-1").strip(" \0") or None


def shown_transfer_syntax(data: Buffer) -> str:
    """The native transfer syntax that the first element of a data set shows.

    Args:
        data: at least the first eight bytes, or all of them.
    """
    if len(data) < 8:
        return IMPLICIT_VR_LITTLE_ENDIAN
    group, _, vr, _ = LITTLE.explicit(data, 0)
    if vr not in SHORT_VRS and vr not in LONG_VRS:
        return IMPLICIT_VR_LITTLE_ENDIAN
    # Group 0008H in big endian reads as 0800H; no data set begins at such a high group.
    return EXPLICIT_VR_BIG_ENDIAN if group >= 0x0400 else EXPLICIT_VR_LITTLE_ENDIAN
