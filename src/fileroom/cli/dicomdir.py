"""Reads which files a DICOMDIR names (PS3.3 §F.3.2.2), through pydicom."""

import struct
from pathlib import Path
from typing import Any

from fileroom.errors import RefusedError

SIZE_BYTES_MAX = 32 << 20  # a medium of 10,000 instances has about 8 MB
UNCOMPRESSED = {"1.2.840.10008.1.2.1", "1.2.840.10008.1.2"}  # PS3.10 §8.6 asks for the first
DAMAGE = (  # what pydicom raises on input that is not what it claims
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)


class DicomdirError(RefusedError):
    """The file is not a DICOMDIR that can be read."""


def referenced_files(path: Path) -> list[tuple[str, ...]]:
    """The components of every Referenced File ID (0004,1500), in order of the records.

    Raises:
        DicomdirError: it is too big, compressed, malformed or nested too deep.
    """
    size_bytes = path.stat().st_size
    if size_bytes > SIZE_BYTES_MAX:
        raise DicomdirError(f"it has {size_bytes} B, more than {SIZE_BYTES_MAX} B")
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError
    from pydicom.filereader import read_file_meta_info

    try:
        # A deflated one could inflate without end, so look before reading.
        syntax = read_file_meta_info(path).get("TransferSyntaxUID", "1.2.840.10008.1.2.1")
        if syntax not in UNCOMPRESSED:
            raise DicomdirError("its transfer syntax is not one for a DICOMDIR")
        records = dcmread(path).get("DirectoryRecordSequence") or []
        return [_components(r.ReferencedFileID) for r in records if r.get("ReferencedFileID")]
    except InvalidDicomError as error:
        raise DicomdirError("it has no DICM prefix") from error
    except DAMAGE as error:
        raise DicomdirError(f"it is damaged ({type(error).__name__})") from error


def _components(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(str(each) for each in value)
