"""`fileroom viewer install`: OHIF from its npm package, checked and unpacked for /viewer/.

The package is another project's program that will show images to physicians, so one release is
known here by the SHA-512 that its registry states, and no other is taken. Files are kept under the
SHA-256 of their bytes, and the manifest names them: no name in the package becomes a path.
"""

import base64
import gzip
import hashlib
import os
import re
import tarfile
import zlib
from collections.abc import Iterator
from io import BufferedIOBase, BufferedReader
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from fileroom.cli.exit_codes import NotFoundError
from fileroom.cli.options import SHARED, Shared
from fileroom.cli.output import in_bytes, tell
from fileroom.errors import RefusedError
from fileroom.web.viewer import FILES, INDEX, MANIFEST, Installed, Manifest

PACKAGE = "@ohif/app"
VERSION = "3.13.2"
INTEGRITY = (
    "sha512-WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5P"
    "Pe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA=="
)
PACKED_BYTES_MAX = 512 << 20
UNPACKED_BYTES_MAX = 1 << 30
FILES_MAX = 10_000
INSIDE = "package/dist/"
# Maps are for those who work on OHIF; `ort` is a model runtime for segmentation by click, two
# thirds of the whole; our settings are made for each request.
LEFT_OUT = re.compile(r".*\.map|ort/.*|app-config\.js")
NAME = re.compile(r"(?:[A-Za-z0-9_@+-][A-Za-z0-9._@+ -]*/)*[A-Za-z0-9_@+-][A-Za-z0-9._@+ -]*")


def install(
    package: Annotated[Path, Parameter(help=f"What `npm pack {PACKAGE}@{VERSION}` wrote.")],
    /,
    *,
    shared: Shared = SHARED,
) -> None:
    """Unpack OHIF into the data folder, for the page at /viewer/.

    A running node serves it at once. What was installed before is replaced.
    """
    from fileroom.node.folder import Folder

    settings = shared.settings()
    if not settings.data_directory.is_dir():
        raise NotFoundError(f"there is no data folder {settings.data_directory}")
    if not package.is_file():
        raise NotFoundError(f"there is no file {package}")
    target = Folder(settings.data_directory).viewer
    manifest = unpack(package, target, integrity=INTEGRITY)
    size_bytes = sum(each.size_bytes for each in manifest.files.values())
    document = {
        "package": manifest.package,
        "version": manifest.version,
        "files": len(manifest.files),
        "size_bytes": size_bytes,
        "directory": str(target),
    }
    line = f"OHIF {manifest.version}: {len(manifest.files)} files, {in_bytes(size_bytes)}"
    tell(document, [f"{line}, in {target}; it is at /viewer/"], as_json=shared.json)


def unpack(package: Path, target: Path, *, integrity: str) -> Manifest:
    """Take a package's files into a folder and return what is installed.

    The manifest is replaced at once and last: up to then what was installed before is served, and
    files that it no longer names go after that.

    Raises:
        RefusedError: the package is another one, or holds what no release does.
    """
    files = target / FILES
    with package.open("rb") as source:
        _check(source, integrity)
        files.mkdir(mode=0o755, parents=True, exist_ok=True)
        named = {name: _keep(files, data) for name, data in _members(source)}
    if INDEX not in named:
        raise RefusedError(f"the package has no {INSIDE}{INDEX}")
    manifest = Manifest(package=PACKAGE, version=VERSION, files=named)
    _replace(target / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1))
    kept = {each.sha256 for each in named.values()}
    for each in files.iterdir():
        if each.name not in kept:
            each.unlink()
    return manifest


def _check(source: BufferedReader, integrity: str) -> None:
    """Refuse any other bytes than those of the release (a hash of W3C Subresource Integrity)."""
    if os.fstat(source.fileno()).st_size > PACKED_BYTES_MAX:
        raise RefusedError(f"the package is over {PACKED_BYTES_MAX} B")
    found = hashlib.file_digest(source, "sha512").digest()
    if f"sha512-{base64.b64encode(found).decode('ascii')}" != integrity:
        raise RefusedError(
            f"this is not the package of {PACKAGE} {VERSION}: its SHA-512 is another one"
        )
    source.seek(0)


def _members(source: BufferedReader) -> Iterator[tuple[str, bytes]]:
    """The files that are served, by their names below /viewer/."""
    try:
        with (
            gzip.GzipFile(fileobj=source) as unpacked,
            tarfile.open(fileobj=_Bounded(unpacked), mode="r|") as archive,
        ):
            for count, member in enumerate(archive):
                if count >= FILES_MAX:
                    raise RefusedError(f"the package has over {FILES_MAX} files")
                name = member.name.removeprefix(INSIDE)
                if member.isdir() or name == member.name or LEFT_OUT.fullmatch(name):
                    continue
                # Links too are refused: none is needed, and they are how an archive reaches out.
                stream = archive.extractfile(member) if member.isreg() else None
                if stream is None or NAME.fullmatch(name) is None:
                    raise RefusedError("the package has a member that is no plain file")
                yield name, stream.read()
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise RefusedError("the package is no npm package") from error


class _Bounded(BufferedIOBase):
    """Reads a stream that has an end within reason."""

    def __init__(self, stream: BufferedIOBase) -> None:
        self._stream = stream
        self._left_bytes = UNPACKED_BYTES_MAX

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = self._left_bytes + 1 if size is None or size < 0 else size
        data = self._stream.read(min(wanted, self._left_bytes + 1))
        self._left_bytes -= len(data)
        if self._left_bytes < 0:
            raise RefusedError(f"the package unpacks to over {UNPACKED_BYTES_MAX} B")
        return data


def _keep(files: Path, data: bytes) -> Installed:
    digest = hashlib.sha256(data).hexdigest()
    path = files / digest
    if not path.is_file() or path.stat().st_size != len(data):
        _replace(path, data)
    return Installed(sha256=digest, size_bytes=len(data))


def _replace(path: Path, data: bytes) -> None:
    part = path.with_name("next.part")
    part.write_bytes(data)
    part.replace(path)
