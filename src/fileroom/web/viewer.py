"""The viewer at /viewer/: the files of an installed OHIF, and its settings for this node.

What may be asked for are the names in the manifest that `fileroom viewer install` wrote; no part of
a request becomes a path. A file is sent once its bytes have the SHA-256 that stands there.
"""

import asyncio
import re
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

from fileroom.errors import IntegrityError, TransientError
from fileroom.http.answers import answer, answer_head
from fileroom.http.refusals import Header, NotFoundError
from fileroom.http.request import Request, Service
from fileroom.web.markup import Markup, element
from fileroom.web.page import HEADERS, MEDIA_TYPE, page, place
from fileroom.web.viewer_settings import WORKER, adapted, settings_of
from fileroom.wire import entity_tag

MANIFEST: Final = "manifest.json"
FILES: Final = "files"
INDEX: Final = "index.html"
SETTINGS: Final = "app-config.js"
SCRIPT: Final = "text/javascript; charset=utf-8"
MEDIA_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "gif": "image/gif",
    "html": "text/html; charset=utf-8",
    "ico": "image/x-icon",
    "jpg": "image/jpeg",
    "js": SCRIPT,
    "json": "application/json",
    "mjs": SCRIPT,
    "png": "image/png",
    "svg": "image/svg+xml",
    "ttf": "font/ttf",
    "txt": "text/plain; charset=utf-8",
    "wasm": "application/wasm",
    "webmanifest": "application/manifest+json",
    "woff": "font/woff",
    "woff2": "font/woff2",
}
OCTETS: Final = "application/octet-stream"
# A name that holds a digest of the content is never given to another one.
_NAMED_BY_CONTENT = re.compile(r"(?:^|[./-])[0-9a-f]{16,64}\.")
FOR_EVER: Final[Header] = (b"cache-control", b"max-age=31536000, immutable")
ASKED_EACH_TIME: Final[Header] = (b"cache-control", b"no-cache")
POLICY: Final = (
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' data: blob:; object-src 'self' blob:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
# The codecs make functions of text. They run in workers, which have no page; only there may they.
POLICY_OF_WORKERS: Final = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval' 'unsafe-eval'; connect-src 'self'"
)
OF_THE_VIEWER: Final[tuple[Header, ...]] = (
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-embedder-policy", b"require-corp"),
)


class Installed(msgspec.Struct, frozen=True):
    """One file of the viewer."""

    sha256: str
    size_bytes: int


class Manifest(msgspec.Struct, frozen=True):
    """What is installed: `files` by their names below /viewer/."""

    package: str
    version: str
    files: dict[str, Installed]


class ReplacedError(TransientError):
    """The viewer was installed anew while it was being read."""


async def serve(service: Service, request: Request) -> None:
    """GET or HEAD of /viewer/ and of whatever is below it."""
    manifest = await asyncio.to_thread(installed, service.viewer_directory)
    if manifest is None or service.viewer_directory is None:
        await _missing(request)
        return
    name = request.parameters.get("file", INDEX)
    if name == SETTINGS:
        await _send(request, name, settings_of(request.prefix), ASKED_EACH_TIME)
        return
    if name not in manifest.files and "." not in name.rsplit("/", 1)[-1]:
        name = INDEX  # a place inside the viewer, which finds it by itself
    file = manifest.files.get(name)
    if file is None:
        raise NotFoundError("the viewer has no such file")
    path = service.viewer_directory / FILES / file.sha256
    stored = await asyncio.to_thread(_read, path, file)
    body = await asyncio.to_thread(adapted, name, stored, request.prefix)
    # What is adapted may come out differently from another version of ours.
    is_kept = body == stored and _NAMED_BY_CONTENT.search(name)
    await _send(request, name, body, FOR_EVER if is_kept else ASKED_EACH_TIME)


async def enter(service: Service, request: Request) -> None:
    """GET or HEAD of /viewer: its files are below it, so its address ends with a slash."""
    headers = [*HEADERS, (b"location", place(request, "/viewer/").encode("ascii"))]
    await answer_head(request, 308, headers)


def installed(directory: Path | None) -> Manifest | None:
    """What is installed in a folder; None: nothing."""
    if directory is None:
        return None
    path = directory / MANIFEST
    try:
        status = path.stat()
        return _manifest(path, status.st_mtime_ns, status.st_size, status.st_ino)
    except FileNotFoundError:
        return None


@lru_cache(maxsize=4)
def _manifest(path: Path, *version: int) -> Manifest:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except msgspec.MsgspecError:
        raise IntegrityError("the viewer's manifest is damaged; install the viewer anew") from None


def _read(path: Path, file: Installed) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ReplacedError("the viewer is being installed anew") from None
    # It is a program that shows images to physicians: it is the one that was installed, or none.
    if sha256(data).hexdigest() != file.sha256:
        raise IntegrityError("a file of the viewer is damaged; install the viewer anew")
    return data


async def _send(request: Request, name: str, body: bytes, kept: Header) -> None:
    tag = await asyncio.to_thread(entity_tag.entity_tag, [body], strong=True)
    policy = POLICY_OF_WORKERS if WORKER in body else POLICY
    headers = [
        (b"content-security-policy", policy.encode("ascii")),
        *OF_THE_VIEWER,
        kept,
        (b"etag", tag.encode("ascii")),
    ]
    known = request.header(b"if-none-match")
    if known is not None and entity_tag.lists(known, tag):
        await answer_head(request, 304, headers)
        return
    media_type = MEDIA_TYPES.get(name.rsplit(".", 1)[-1].lower(), OCTETS)
    await answer(request, 200, media_type, body, headers)


async def _missing(request: Request) -> None:
    body = page(
        request,
        "Viewer",
        element("h1", "No viewer is installed"),
        element("p", how_to_install()),
    )
    await answer(request, 404, MEDIA_TYPE, body, HEADERS)


def how_to_install() -> Markup:
    """The sentence that says how the viewer comes here."""
    return element(
        "span",
        "To install OHIF, run ",
        element("code", "npm pack @ohif/app@3.13.2"),
        " on a machine with npm, and ",
        element("code", "fileroom viewer install ohif-app-3.13.2.tgz"),
        " on this one.",
    )
