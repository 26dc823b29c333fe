"""The ZIP records of docs/format/pack.md §3, written and read. Pure.

A pack's ZIP is exact: from names, sizes and CRC-32 follow all other bytes. So a reader that has the
central directory knows every local header and compares instead of parsing.
"""

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from fileroom.pack.format import METADATA_NAME, DamagedPackError
from fileroom.pack.segment import Buffer

STORED, DEFLATED = 0, 8
METADATA = METADATA_NAME.encode()
LIMIT_32 = 0xFFFFFFFF
LIMIT_16 = 0xFFFF
DATE = 0x0021  # 1980-01-01
MODE = 0o600 << 16
UNIX = 3 << 8

LOCAL = Struct("<4sHHHHHIIIHH")
CENTRAL = Struct("<4sHHHHHHIIIHHHHHII")
END = Struct("<4sHHHHIIH")
END_64 = Struct("<4sQHHIIQQQQ")
LOCATOR_64 = Struct("<4sIQI")
END_SIZE_BYTES_MAX = END_64.size + LOCATOR_64.size + END.size
ENTRY_SIZE_BYTES_MAX = CENTRAL.size + 32 + 28


class Member(NamedTuple):
    """A member of the ZIP; `offset` is that of its local header in the plaintext."""

    name: bytes
    method: int
    crc32: int
    stored_size_bytes: int
    size_bytes: int
    offset: int


class Directory(NamedTuple):
    """Where the central directory lies in the plaintext and how many members it names."""

    offset: int
    size_bytes: int
    member_count: int


def local_header(member: Member) -> bytes:
    """The bytes before a member's data."""
    sizes = member.stored_size_bytes, member.size_bytes
    extra = b""
    if max(sizes) >= LIMIT_32:
        extra = Struct("<HHQQ").pack(1, 16, member.size_bytes, member.stored_size_bytes)
        sizes = LIMIT_32, LIMIT_32
    version = 45 if extra else 20
    fixed = LOCAL.pack(
        b"PK\3\4", version, 0, member.method, 0, DATE, member.crc32, *sizes, len(member.name),
        len(extra),
    )  # fmt: skip
    return fixed + member.name + extra


def central_entry(member: Member) -> bytes:
    """The member's entry in the central directory."""
    sizes = member.stored_size_bytes, member.size_bytes
    offset = member.offset
    wide: list[int] = []
    if max(sizes) >= LIMIT_32:
        wide += [member.size_bytes, member.stored_size_bytes]
        sizes = LIMIT_32, LIMIT_32
    if offset >= LIMIT_32:
        wide.append(offset)
        offset = LIMIT_32
    extra = Struct(f"<HH{len(wide)}Q").pack(1, 8 * len(wide), *wide) if wide else b""
    version = 45 if extra else 20
    fixed = CENTRAL.pack(
        b"PK\1\2", UNIX | version, version, 0, member.method, 0, DATE, member.crc32, *sizes,
        len(member.name), len(extra), 0, 0, 0, MODE, offset,
    )  # fmt: skip
    return fixed + member.name + extra


def end_records(directory: Directory) -> bytes:
    """What follows the central directory."""
    offset, size_bytes, count = directory
    wide = b""
    if count >= LIMIT_16 or max(offset, size_bytes) >= LIMIT_32:
        wide = END_64.pack(
            b"PK\6\6", END_64.size - 12, UNIX | 45, 45, 0, 0, count, count, size_bytes, offset
        ) + LOCATOR_64.pack(b"PK\6\7", 0, offset + size_bytes, 1)
    narrow = min(count, LIMIT_16)
    return wide + END.pack(
        b"PK\5\6", 0, 0, narrow, narrow, min(size_bytes, LIMIT_32), min(offset, LIMIT_32), 0
    )


def read_end(tail: bytes, plaintext_size_bytes: int) -> Directory:
    """The directory's place from the last bytes of the plaintext.

    Args:
        tail: the last `END_SIZE_BYTES_MAX` bytes, or all there are.

    Raises:
        DamagedPackError: these are not the end records of a pack.
    """
    if len(tail) >= END.size:
        _, _, _, _, count, size_bytes, offset, _ = END.unpack_from(tail, len(tail) - END.size)
        narrow = count < LIMIT_16 and max(offset, size_bytes) < LIMIT_32
        if not narrow and len(tail) >= END_SIZE_BYTES_MAX:
            wide = END_64.unpack_from(tail, len(tail) - END_SIZE_BYTES_MAX)
            *_, count, size_bytes, offset = wide
        directory = Directory(offset, size_bytes, count)
        if offset + size_bytes <= plaintext_size_bytes:
            records = end_records(directory)
            in_place = offset + size_bytes + len(records) == plaintext_size_bytes
            if in_place and tail.endswith(records):
                return directory
    raise DamagedPackError("the plaintext does not end as the ZIP of a pack does")


def read_directory(data: Buffer, directory: Directory) -> Iterator[Member]:
    """The members that the central directory's bytes name.

    Raises:
        DamagedPackError: an entry is not as a pack's writer writes it, or the count is wrong.
    """
    position, count = 0, 0
    while position < len(data):
        if len(data) - position < CENTRAL.size:
            raise DamagedPackError(f"the central directory is cut at entry {count}")
        fixed = CENTRAL.unpack_from(data, position)
        _, _, _, _, method, _, _, crc32, stored, size, name_length, extra_length, *_, offset = fixed
        end_of_name = position + CENTRAL.size + name_length
        end = end_of_name + extra_length
        wide = _wide_sizes(bytes(data[end_of_name:end]))
        if LIMIT_32 in (size, stored):
            size, stored = next(wide, -1), next(wide, -1)
        if offset == LIMIT_32:
            offset = next(wide, -1)
        name = bytes(data[end_of_name - name_length : end_of_name])
        member = Member(name, method, crc32, stored, size, offset)
        if min(size, stored, offset) < 0 or central_entry(member) != data[position:end]:
            raise DamagedPackError(f"entry {count} of the central directory is malformed")
        yield member
        position, count = end, count + 1
    if count != directory.member_count:
        raise DamagedPackError(f"{count} members in a directory of {directory.member_count}")


def read_last_entry(tail: bytes) -> Member:
    """The member of the directory's last entry, metadata.json's, from the directory's last bytes.

    Its name is known and its sizes are narrow, so that the entry has one of two lengths; where the
    longer one has its time and date (bytes 12 to 15), no signature can stand.

    Raises:
        DamagedPackError: the last entry is not metadata.json's.
    """
    for size_bytes in (CENTRAL.size + len(METADATA), CENTRAL.size + len(METADATA) + 12):
        entry = tail[-size_bytes:]
        if len(entry) == size_bytes and entry.startswith(b"PK\1\2"):
            member = next(read_directory(entry, Directory(0, size_bytes, 1)))
            if member.name == METADATA and member.method == DEFLATED:
                return member
    raise DamagedPackError("the last member is not metadata.json")


def _wide_sizes(extra: bytes) -> Iterator[int]:
    """The 64-bit numbers of a ZIP64 field, as many as are there."""
    for at in range(4, len(extra) - 7, 8):
        yield int.from_bytes(extra[at : at + 8], "little")
