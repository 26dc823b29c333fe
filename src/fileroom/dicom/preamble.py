"""What the first 128 bytes of a DICOM file make it besides: PS3.10 §7.1, §7.5. Pure.

A file whose preamble begins as a program does is one, and runs where somebody opens it under
another name (CVE-2019-11687). The one use that the field makes of the preamble is a TIFF header.
"""

from typing import Final

from fileroom.dicom.instance_error import InstanceError
from fileroom.dicom.part10 import META_START, Part10Splitter

TIFF: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # TIFF 6.0, and BigTIFF of large slides

WINDOWS: Final = "a program for Windows"
UNIX: Final = "a program for Linux or another Unix"
MACOS: Final = "a program for macOS"
JAVA: Final = "a program for the Java machine"  # a universal one for macOS begins as it does
WEB: Final = "a program for browsers"
SCRIPT: Final = "a script"
ARCHIVE: Final = "an archive, as packed programs are"
DOCUMENT: Final = "a document that may run scripts"

# Whatever a computer of the last thirty years runs, or opens in something that runs scripts.
_BEGINNINGS: Final = (
    (b"MZ", WINDOWS),
    (b"ZM", WINDOWS),  # DOS takes the letters in both orders
    (b"\x4c\0\0\0\x01\x14\x02\0", WINDOWS),  # a shortcut, which runs what it names
    (b"\x7fELF", UNIX),
    (b"\xfe\xed\xfa\xce", MACOS),
    (b"\xfe\xed\xfa\xcf", MACOS),
    (b"\xce\xfa\xed\xfe", MACOS),
    (b"\xcf\xfa\xed\xfe", MACOS),
    (b"\xca\xfe\xba\xbe", JAVA),
    (b"\xca\xfe\xba\xbf", MACOS),
    (b"dex\n", JAVA),  # of Android
    (b"\0asm", WEB),
    (b"#!", SCRIPT),
    (b"PK\x03\x04", ARCHIVE),  # ZIP: Java, Android, Office, self-extracting
    (b"PK\x05\x06", ARCHIVE),
    (b"MSCF", ARCHIVE),
    (b"Rar!", ARCHIVE),
    (b"7z\xbc\xaf\x27\x1c", ARCHIVE),
    (b"\x1f\x8b", ARCHIVE),
    (b"!<arch>\n", ARCHIVE),  # Debian packages
    (b"\xed\xab\xee\xdb", ARCHIVE),  # RPM
    (b"%PDF-", DOCUMENT),
    (b"%!PS", DOCUMENT),
    (b"{\\rtf", DOCUMENT),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", DOCUMENT),  # Office before 2007, and installers
)
# Text is taken for a script or a page whatever blanks stand before it.
_TEXT_BEGINNINGS: Final = (
    (b"@echo", SCRIPT),
    (b"rem ", SCRIPT),
    (b"<?php", SCRIPT),
    (b"<%", SCRIPT),
    (b"<", DOCUMENT),  # HTML, SVG and other XML
)
_BLANKS: Final = b"\xef\xbb\xbf \t\r\n\f"


def is_tiff(preamble: bytes) -> bool:
    """Whether the file is a TIFF file too, as some whole slide images are."""
    return preamble.startswith(TIFF)


def program_in(preamble: bytes) -> str | None:
    """What else than an image the file is to whoever opens it, in words; None: nothing known."""
    for beginning, what in _BEGINNINGS:
        if preamble.startswith(beginning):
            return what
    text = preamble.lstrip(_BLANKS).lower()
    for beginning, what in _TEXT_BEGINNINGS:
        if text.startswith(beginning):
            return what
    return None


def tiff_head(
    head: bytes, *, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str
) -> bytes:
    """`head` where it is that of a TIFF file too and says of its data set what is true; else b"".

    What a TIFF header points to is counted from the start of the file. So such a file is one as
    long as all that precedes its data set stays as it came.

    Args:
        head: preamble, prefix and file meta information of a file.
    """
    if not is_tiff(head):
        return b""
    # A reader may go by the group length: it must find the same data set as we did.
    length = head[META_START : META_START + 12]
    if length[:8] != b"\2\0\0\0UL\4\0" or int.from_bytes(length[8:], "little") != (
        len(head) - META_START - 12
    ):
        return b""
    try:
        splitter = Part10Splitter()
        start = splitter.feed(head) or splitter.finish()
    except InstanceError:
        return b""
    said = (start.sop_class_uid, start.sop_instance_uid, start.transfer_syntax_uid)
    is_true = said == (sop_class_uid, sop_instance_uid, transfer_syntax_uid)
    return head if is_true and start.head == head else b""
