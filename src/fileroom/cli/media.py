"""What lies on the media that `fileroom import` is given: folders, ZIP files, DICOMDIR media.

Nothing is extracted to disk, so a ZIP member's name is only shown, never used as a path. Sizes
and expansion of a ZIP are bounded before a byte of it is inflated. Symbolic links are not
followed and special files not opened.
"""

import hashlib
import os
import struct
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fileroom.cli.dicomdir import DicomdirError, referenced_files

INSTANCE_SIZE_BYTES_MAX = 64 << 30
EXPANSION_MAX = 200  # of a member above EXPANSION_FREE_BYTES, or of a whole archive above 1 GiB
EXPANSION_FREE_BYTES = 64 << 20
ARCHIVE_FREE_BYTES = 1 << 30
CENTRAL_DIRECTORY_BYTES_MAX = 64 << 20  # about half a million members; each costs memory
METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
ENCRYPTED = 0x1  # general purpose bit 0


@dataclass(frozen=True, slots=True)
class Item:
    """One file that may be an instance.

    Attributes:
        name: what to show a person: the path, and of a ZIP member `archive!member`.
        fingerprint: 16 bytes of SHA-256 over path, size and time; says nothing of the content.
    """

    name: str
    size_bytes: int
    fingerprint: bytes
    open: Callable[[], IO[bytes]]


@dataclass(frozen=True, slots=True)
class Passed:
    """Something that is not stored. `refused`: it should have been an instance."""

    name: str
    reason: str
    refused: bool


def items(paths: Sequence[Path]) -> Iterator[Item | Passed]:
    """Everything below `paths`, in order of the names."""
    for path in paths:
        if path.is_dir():
            yield from _folder(path)
        elif not path.is_file():
            yield Passed(shown(path), "there is no such file or folder", refused=True)
        elif path.name.upper() == "DICOMDIR":
            yield from _medium(path)
        elif _begins_as_zip(path):
            yield from _archive(path)
        else:
            yield _file(path)


def shown(name: str | Path) -> str:
    """A name as it may go to a terminal: what is not printable is escaped."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _file(path: Path) -> Item:
    status = path.stat()
    return Item(
        name=shown(path),
        size_bytes=status.st_size,
        fingerprint=_fingerprint(path, status),
        open=lambda: path.open("rb"),
    )


def _fingerprint(path: Path, status: os.stat_result, member: bytes = b"") -> bytes:
    told = b"\0".join([os.fsencode(path.absolute()), member])
    facts = struct.pack(">QQ", status.st_size, status.st_mtime_ns)
    return hashlib.sha256(facts + told).digest()[:16]


def _folder(root: Path) -> Iterator[Item | Passed]:
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda each: each.name)
        except OSError as error:
            yield Passed(shown(folder), f"cannot be listed: {error.strerror}", refused=True)
            continue
        for entry in entries:
            path = Path(entry.path)
            if entry.is_symlink():
                yield Passed(shown(path), "symbolic link, not followed", refused=False)
            elif entry.is_dir():
                continue
            elif not entry.is_file():
                yield Passed(shown(path), "not a regular file", refused=False)
            elif entry.name.upper() == "DICOMDIR":
                yield from (each for each in _medium(path) if isinstance(each, Passed))
            elif path.suffix.lower() == ".zip" and _begins_as_zip(path):
                yield from _archive(path)
            else:
                yield _file(path)
        below = [Path(e.path) for e in entries if e.is_dir(follow_symlinks=False)]
        waiting.extend(reversed(below))


def _medium(dicomdir: Path) -> Iterator[Item | Passed]:
    """The files that a DICOMDIR names; what is missing or outside the medium is told."""
    yield Passed(shown(dicomdir), "index of a medium, not an instance", refused=False)
    try:
        references = referenced_files(dicomdir)
    except (DicomdirError, OSError) as error:
        yield Passed(shown(dicomdir), f"cannot be read as a DICOMDIR: {error}", refused=True)
        return
    root = dicomdir.parent.resolve()
    for components in references:
        name = shown(dicomdir.parent / "/".join(components))
        path = _inside(root, components)
        if path is None:
            yield Passed(name, "the DICOMDIR names it, outside the medium", refused=True)
        elif not path.is_file():
            yield Passed(name, "the DICOMDIR names it, and it is not there", refused=True)
        else:
            yield _file(path)


def _inside(root: Path, components: tuple[str, ...]) -> Path | None:
    """The file of a Referenced File ID below `root`; None if it would leave it."""
    path = root
    for each in components:
        if each in {"", ".", ".."} or "/" in each or "\\" in each or "\0" in each:
            return None
        exact = path / each
        path = exact if exact.exists() else _whatever_case(path, each) or exact
    return path if path.resolve().is_relative_to(root) else None


def _whatever_case(folder: Path, name: str) -> Path | None:
    """The entry that a CD's file system shows in other letters, or with a version behind it."""
    if not folder.is_dir():
        return None
    wanted = name.upper()
    found = (e for e in folder.iterdir() if e.name.upper().partition(";")[0].rstrip(".") == wanted)
    return next(found, None)


def _begins_as_zip(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) in {b"PK\3\4", b"PK\5\6"}
    except OSError:
        return False


def _archive(path: Path) -> Iterator[Item | Passed]:
    """The members of a ZIP file. The archive stays open while one of its items is alive."""
    name = shown(path)
    try:
        status = path.stat()
        if _central_directory_bytes(path, status.st_size) > CENTRAL_DIRECTORY_BYTES_MAX:
            yield Passed(name, "ZIP file with too many members", refused=True)
            return
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile, struct.error, NotImplementedError) as error:
        yield Passed(name, f"not a ZIP file that can be read: {type(error).__name__}", refused=True)
        return
    members = [each for each in archive.infolist() if not each.is_dir()]
    expanded = sum(each.file_size for each in members)
    if expanded > max(ARCHIVE_FREE_BYTES, EXPANSION_MAX * status.st_size):
        yield Passed(name, f"ZIP file that would expand to {expanded} B", refused=True)
        return
    for number, member in enumerate(members):
        inner = f"{name}!{shown(member.filename)}"
        wrong = _why_not(member)
        if wrong:
            yield Passed(inner, wrong, refused=True)
            continue
        told = f"{number}\0{member.filename}".encode(errors="backslashreplace")
        yield Item(
            name=inner,
            size_bytes=member.file_size,
            fingerprint=_fingerprint(path, status, told),
            open=_opener(archive, member),
        )


def _opener(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Callable[[], IO[bytes]]:
    return lambda: archive.open(member)


def _why_not(member: zipfile.ZipInfo) -> str | None:
    """Why a ZIP member is refused unread; None: it may be read."""
    if member.flag_bits & ENCRYPTED:
        return "encrypted ZIP member"
    if member.compress_type not in METHODS:
        return f"ZIP member with compression method {member.compress_type}"
    expansion = member.file_size / max(member.compress_size, 1)
    if member.file_size > EXPANSION_FREE_BYTES and expansion > EXPANSION_MAX:
        return f"ZIP member that would expand {expansion:.0f} times"
    return None


def _central_directory_bytes(path: Path, size_bytes: int) -> int:
    """The size that the end of the archive states (APPNOTE.TXT §4.3.14 and §4.3.16)."""
    with path.open("rb") as file:
        file.seek(max(0, size_bytes - 65_557))
        tail = file.read()
        end = tail.rfind(b"PK\5\6")
        if end < 0:
            raise zipfile.BadZipFile("no end of central directory")
        (directory_bytes,) = struct.unpack_from("<I", tail, end + 12)
        if directory_bytes == 0xFFFFFFFF and end >= 20 and tail[end - 20 : end - 16] == b"PK\6\7":
            (offset,) = struct.unpack_from("<Q", tail, end - 12)
            file.seek(min(offset, size_bytes))
            (directory_bytes,) = struct.unpack_from("<Q", file.read(56), 40)
    return int(directory_bytes)
