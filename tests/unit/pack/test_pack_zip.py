"""The ZIP layer against `zipfile`, `unzip` and `zipinfo`, up to sizes beyond 32 bits."""

import io
import subprocess
import zipfile

import pytest

from fileroom.pack import zip_records
from fileroom.pack.format import DamagedPackError
from fileroom.pack.zip_records import DEFLATED, STORED, Directory, Member
from unit.pack.packs import HEAD, make_pack, random_bodies, tink_open

FOUR_GIB = 1 << 32


class Sparse(io.RawIOBase):
    """A file of zeros with a few pieces of bytes in it."""

    def __init__(self, size: int, pieces: dict[int, bytes]) -> None:
        self._size, self._pieces, self._position = size, pieces, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = offset + (0, self._position, self._size)[whence]
        return self._position

    def read(self, size: int = -1) -> bytes:
        size = min(size if size >= 0 else FOUR_GIB, self._size - self._position)
        assert size < 1 << 20, "nobody reads the zeros"
        data = bytearray(size)
        for start, piece in self._pieces.items():
            end = min(start + len(piece), self._position + size)
            for at in range(max(start, self._position), end):
                data[at - self._position] = piece[at - start]
        self._position += size
        return bytes(data)


def sparse_zip(*sizes: int) -> tuple[Sparse, list[Member], int]:
    """A ZIP whose stored members are zeros, with metadata.json of two bytes last."""
    pieces, members, offset = {}, [], 0
    for number, size in enumerate(sizes, 1):
        member = Member(f"instances/{number:06d}.dcm".encode(), STORED, 7, size, size, offset)
        pieces[offset] = zip_records.local_header(member)
        offset += len(pieces[offset]) + size
        members.append(member)
    members.append(Member(b"metadata.json", DEFLATED, 0, 2, 0, offset))
    pieces[offset] = zip_records.local_header(members[-1]) + b"\x03\x00"
    offset += len(pieces[offset])
    entries = b"".join(zip_records.central_entry(member) for member in members)
    directory = Directory(offset, len(entries), len(members))
    pieces[offset] = entries + zip_records.end_records(directory)
    return Sparse(offset + len(pieces[offset]), pieces), members, offset + len(pieces[offset])


def test_the_plaintext_is_byte_for_byte_what_zipfile_writes():
    made = make_pack(random_bodies(10, 70_000, 0))
    plain = tink_open(made.data)
    start, size = made.written.metadata_offset, made.written.metadata_size_bytes
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, zipfile.ZipFile(io.BytesIO(plain)) as ours:
        for number, body in enumerate(made.bodies, 1):
            archive.writestr(zipfile.ZipInfo(f"instances/{number:06d}.dcm"), HEAD + body)
        info = zipfile.ZipInfo("metadata.json")
        info.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(info, ours.read("metadata.json"), compresslevel=6)
    expected = out.getvalue()
    assert expected[start : start + size] == plain[start : start + size]
    assert expected == plain


def test_unzip_tests_the_plaintext(tmp_path):
    made = make_pack(random_bodies(1, 65_480, 200_000))
    path = tmp_path / "pack.zip"
    path.write_bytes(tink_open(made.data))
    answer = subprocess.run(["unzip", "-t", path], capture_output=True, text=True)
    assert answer.returncode == 0
    assert "No errors detected" in answer.stdout


def test_a_local_header_is_the_documented_bytes():
    member = Member(b"instances/000001.dcm", STORED, 0x11223344, 0x0A, 0x0A, 0)
    assert (
        zip_records.local_header(member)
        == bytes.fromhex(
            "504b0304"  # signature
            "1400"  # version needed 20
            "0000"  # flags
            "0000"  # stored
            "00002100"  # 1980-01-01 00:00:00
            "44332211"  # CRC-32
            "0a000000"  # compressed size
            "0a000000"  # uncompressed size
            "1400"  # name length 20
            "0000"  # extra length
        )
        + b"instances/000001.dcm"
    )


def test_a_wide_local_header_is_the_documented_bytes():
    size = FOUR_GIB + 5
    member = Member(b"instances/000001.dcm", STORED, 0x11223344, size, size, 0)
    assert zip_records.local_header(member) == bytes.fromhex(
        "504b0304 2d00 0000 0000 00002100 44332211ffffffff ffffffff 1400 1400"
    ) + b"instances/000001.dcm" + bytes.fromhex(
        "0100"  # ZIP64 field
        "1000"  # 16 bytes
        "0500000001000000"  # uncompressed size
        "0500000001000000"  # compressed size
    )


def test_a_wide_central_entry_holds_only_what_does_not_fit():
    member = Member(b"metadata.json", DEFLATED, 1, 2, 3, FOUR_GIB)
    assert zip_records.central_entry(member) == bytes.fromhex(
        "504b0102 2d03 2d00 0000 0800 00002100 01000000 02000000 03000000"
        "0d00 0c00 0000 0000 0000 00008001 ffffffff"
    ) + b"metadata.json" + bytes.fromhex("0100 0800 0000000001000000")


@pytest.mark.parametrize(
    "sizes",
    [
        (5,),
        (FOUR_GIB - 2,),
        (FOUR_GIB - 1,),
        (FOUR_GIB + 1, 7),
        (3 << 30, 3 << 30, 9),
        (1 << 40, 1),
    ],
)
def test_zipfile_reads_members_and_offsets_of_any_size(sizes):
    file, members, _ = sparse_zip(*sizes)
    with zipfile.ZipFile(file) as archive:
        for info, member in zip(archive.infolist(), members, strict=True):
            assert info.filename.encode() == member.name
            assert (info.file_size, info.header_offset) == (member.size_bytes, member.offset)
            archive.open(info).close()  # compares the local header with the directory
        assert archive.read("metadata.json") == b""


@pytest.mark.parametrize("sizes", [(5,), (FOUR_GIB + 1, 7), (3 << 30, 3 << 30, 9)])
def test_our_reader_finds_what_was_written_at_any_size(sizes):
    file, members, size = sparse_zip(*sizes)
    file.seek(max(0, size - zip_records.END_SIZE_BYTES_MAX))
    directory = zip_records.read_end(file.read(zip_records.END_SIZE_BYTES_MAX), size)
    file.seek(directory.offset)
    entries = file.read(directory.size_bytes)
    assert list(zip_records.read_directory(entries, directory)) == members
    assert zip_records.read_last_entry(entries) == members[-1]


def test_zipinfo_lists_a_sparse_file_of_five_gib(tmp_path):
    file, members, size = sparse_zip(FOUR_GIB + 1, 1 << 30)
    path = tmp_path / "sparse.zip"
    with path.open("wb") as out:
        for start, piece in file._pieces.items():
            out.seek(start)
            out.write(piece)
    assert path.stat().st_size == size
    assert path.stat().st_blocks * 512 < 1 << 20
    answer = subprocess.run(["zipinfo", "-l", path], capture_output=True, text=True)
    assert answer.returncode == 0
    assert "4294967297" in answer.stdout
    assert f"{len(members)} files" in answer.stdout


def test_70_000_members_are_counted_in_64_bits():
    entries = b"".join(
        zip_records.central_entry(Member(f"{n:06d}".encode(), STORED, 0, 0, 0, n * 36))
        for n in range(70_000)
    )
    directory = Directory(70_000 * 36, len(entries), 70_000)
    end = zip_records.end_records(directory)
    pieces = {directory.offset: entries + end}
    whole = bytes(directory.offset) + pieces[directory.offset]
    assert len(zipfile.ZipFile(io.BytesIO(whole)).infolist()) == 70_000
    assert zip_records.read_end(whole[-98:], len(whole)) == directory


def test_a_last_entry_that_contains_a_signature_is_found():
    signature = int.from_bytes(b"PK\1\2", "little")
    for offset in (signature, FOUR_GIB + signature):
        member = Member(b"metadata.json", DEFLATED, signature, signature, signature, offset)
        entries = zip_records.central_entry(member._replace(name=b"instances/000001.dcm"))
        assert zip_records.read_last_entry(entries + zip_records.central_entry(member)) == member


@pytest.mark.parametrize("tail", [b"", bytes(22), bytes(98), b"PK\5\6" + bytes(17)])
def test_an_end_that_is_no_zips_is_refused(tail):
    with pytest.raises(DamagedPackError):
        zip_records.read_end(tail, max(len(tail), 500))


def test_every_changed_byte_of_the_directory_is_refused_or_another_directory():
    member = Member(b"metadata.json", DEFLATED, 1, 2, 3, 0)
    entry = zip_records.central_entry(member)
    for at in range(len(entry)):
        changed = bytearray(entry)
        changed[at] ^= 0x40
        try:
            [found] = zip_records.read_directory(bytes(changed), Directory(0, 0, 1))
        except DamagedPackError:
            continue
        assert zip_records.central_entry(found) == changed
