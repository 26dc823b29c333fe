"""Talks to a running node over HTTP: status, STOW-RS, QIDO-RS and WADO-RS, from the node's side
of the door. Data streams both ways; no instance is held in memory.
"""

import http.client
import json
import lzma
import secrets
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from fileroom.cli.exit_codes import NotFoundError
from fileroom.errors import PeerError, RefusedError, TransientError
from fileroom.wire.multipart import (
    Finished,
    MultipartParser,
    PartData,
    PartStarted,
    closing,
    part_header,
)

CHUNK_BYTES = 1 << 20
ANSWER_BYTES_MAX = 64 << 20
TIMEOUT_S = 120.0
SAID_LENGTH_MAX = 300
READ_ERRORS = (  # a file on a damaged medium, or a damaged ZIP member
    EOFError,
    NotImplementedError,
    OSError,
    lzma.LZMAError,
    zipfile.BadZipFile,
    zlib.error,
)
PART_TYPE = ("Content-Type", "application/dicom")


class NoRoomError(TransientError):
    """The node refuses new work: its disk is below the reserve (HTTP 507)."""


class NodeUnavailableError(TransientError):
    """The node does not answer, or says that it cannot just now (HTTP 503)."""


class UnreadableError(RefusedError):
    """A file that was to be sent cannot be read to its end.

    Attributes:
        number: which of the parts it is.
    """

    def __init__(self, message: str, *, number: int) -> None:
        super().__init__(message)
        self.number = number


@dataclass(frozen=True, slots=True)
class Part:
    """One PS3.10 file to store; opened when its turn comes."""

    open: Callable[[], IO[bytes]]
    size_bytes: int


@dataclass(slots=True)
class Stored:
    """What a STOW-RS answer says: the instances that are durable, and why others are not."""

    accepted: set[str] = field(default_factory=set)
    failed: dict[str, int] = field(default_factory=dict)  # UID to Failure Reason (0008,1197)
    failed_without_uid: list[int] = field(default_factory=list)


class NodeClient:
    """One connection to the node at `host`:`port`; not for several threads."""

    def __init__(self, host: str, port: int, *, prefix: str = "") -> None:
        any_to_loopback = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104
        self.host = any_to_loopback.get(host, host)
        self.port = port
        self._prefix = prefix
        self._connection = http.client.HTTPConnection(self.host, port, timeout=TIMEOUT_S)

    @property
    def address(self) -> str:
        """The address to open in a browser."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}{self._prefix}/"

    def close(self) -> None:
        self._connection.close()

    def status(self) -> dict[str, Any]:
        """The node's own status document."""
        document: dict[str, Any] = self._json("/status")
        return document

    def note_task(self, id: str, note: dict[str, Any]) -> None:
        """Say how far a long task is; `id` is hexadecimal."""
        self.post(f"/tasks/{id}", note)

    def document(self, path: str) -> dict[str, Any]:
        """One of the node's own resources."""
        found: dict[str, Any] = self._json(path)
        return found

    def post(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        """Ask one of the node's own resources to do something."""
        body = json.dumps(document).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        answer = self._ask("POST", path, headers=headers, body=iter([body]))
        self._check(answer)
        done: dict[str, Any] = _document(answer)
        return done

    def completeness(self, study_instance_uid: str) -> Any:
        """How much of a study has come. Raises NotFoundError where there is no such study."""
        return self._json(f"/studies/{study_instance_uid}/completeness")

    def series_of(self, study_instance_uid: str) -> list[str]:
        """Series Instance UIDs of a study, as the node lists them."""
        found = self._json(f"/dicomweb/studies/{study_instance_uid}/series")
        return [row["0020000E"]["Value"][0] for row in found]

    def retrieve_series(
        self, study_instance_uid: str, series_instance_uid: str
    ) -> Iterator[bytes | None]:
        """The PS3.10 files of a series: pieces of a file, and None at the end of each."""
        path = f"/dicomweb/studies/{study_instance_uid}/series/{series_instance_uid}"
        wanted = 'multipart/related; type="application/dicom"; transfer-syntax=*'
        answer = self._ask("GET", path, headers={"Accept": wanted})
        self._check(answer)
        boundary = answer.msg.get_boundary()
        if not boundary:
            answer.read()
            raise PeerError("the answer is not multipart/related")
        parser = MultipartParser(boundary)
        finished = False
        while piece := answer.read(CHUNK_BYTES):
            parser.feed(piece)
            while (event := parser.next_event()) is not None:
                if isinstance(event, PartData):
                    yield bytes(event.data)
                elif isinstance(event, Finished):
                    finished = True
                elif not isinstance(event, PartStarted):
                    yield None
        if not finished:
            raise NodeUnavailableError("the node broke off in the middle of a series")

    def store(self, parts: Sequence[Part]) -> Stored:
        """Send files in one STOW-RS request. Success means durable at the node."""
        boundary = f"fileroom-{secrets.token_hex(16)}"
        heads = [
            part_header(boundary, [PART_TYPE], first=number == 0) for number in range(len(parts))
        ]
        tail = closing(boundary)
        size_bytes = sum(map(len, heads)) + sum(p.size_bytes for p in parts) + len(tail)
        headers = {
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            "Content-Length": str(size_bytes),
            "Accept": "application/dicom+json",
        }
        body = _pieces(parts, heads, tail)
        answer = self._ask("POST", "/dicomweb/studies", headers=headers, body=body)
        if answer.status not in {200, 202, 409}:  # PS3.18 §10.5.3.1: these have a result data set
            self._check(answer)
        return _stored(_document(answer))

    def _json(self, path: str) -> Any:
        answer = self._ask("GET", path, headers={"Accept": "application/json"})
        self._check(answer)
        return _document(answer)

    def _ask(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str],
        body: Iterator[bytes] | None = None,
    ) -> http.client.HTTPResponse:
        connection = self._connection
        try:
            connection.putrequest(method, self._prefix + path)
            # A node that trusts a proxy on this machine takes us for that proxy, and asks on
            # whose behalf we come: on this machine's own.
            connection.putheader("X-Forwarded-For", "127.0.0.1")
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            try:
                for piece in body or ():
                    connection.send(piece)
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused before it was read; the answer says why
            return connection.getresponse()
        except UnreadableError:
            connection.close()  # the request is torn; the node drops what it has of it
            raise
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            told = f"no answer from the node at port {self.port} ({type(error).__name__})"
            raise NodeUnavailableError(told) from error

    def _check(self, answer: http.client.HTTPResponse) -> None:
        """Turn an HTTP status that is no success into the error it means."""
        if answer.status in {200, 204}:
            return
        said = _said(answer)
        self._connection.close()
        if answer.status == 404:
            raise NotFoundError(f"the node has nothing of that name{said}")
        if answer.status == 507:
            raise NoRoomError("the node refuses new work: its disk is below the reserve")
        if answer.status == 503:
            after = answer.headers.get("Retry-After", "")
            later = f"; retry after {after} s" if after.isdigit() else ""
            raise NodeUnavailableError(f"the node cannot just now (503){later}")
        if answer.status >= 500:
            raise PeerError(f"the node failed (HTTP {answer.status})")
        raise RefusedError(f"the node refuses (HTTP {answer.status}){said}")


def _pieces(parts: Sequence[Part], heads: Sequence[bytes], tail: bytes) -> Iterator[bytes]:
    for number, (head, part) in enumerate(zip(heads, parts, strict=True)):
        yield head
        left = part.size_bytes
        try:
            with part.open() as stream:
                while left:
                    piece = stream.read(min(CHUNK_BYTES, left))
                    if not piece:
                        raise UnreadableError(f"it ends {left} B too early", number=number)
                    left -= len(piece)
                    yield piece
                if stream.read(1):
                    raise UnreadableError("it grows while it is read", number=number)
        except READ_ERRORS as error:
            text = f"it cannot be read ({type(error).__name__})"
            raise UnreadableError(text, number=number) from error
    yield tail


def _said(answer: http.client.HTTPResponse) -> str:
    """What a refusal says, as the end of a sentence."""
    try:
        said = json.loads(answer.read(ANSWER_BYTES_MAX))["reason"]
    except (ValueError, LookupError, TypeError):
        return ""
    is_short = isinstance(said, str) and len(said) <= SAID_LENGTH_MAX and said.isprintable()
    return f": {said}" if is_short else ""


def _document(answer: http.client.HTTPResponse) -> Any:
    data = answer.read(ANSWER_BYTES_MAX)
    try:
        return json.loads(data) if data else []
    except ValueError as error:
        raise PeerError("the node's answer is not JSON") from error


def _items(document: Any, tag: str) -> list[Any]:
    items: list[Any] = document.get(tag, {}).get("Value", [])
    return items


def _stored(document: Any) -> Stored:
    """The result data set of PS3.18 §10.5.3.1, in JSON.

    An instance that failed stands in Failed SOP Sequence (0008,1198), or in Other Failures
    Sequence (0008,119A) where it could not be told which one it is (PS3.18 Table I.1-1).
    """
    result = Stored()
    try:
        for item in _items(document, "00081199"):
            result.accepted.add(item["00081155"]["Value"][0])
        for item in [*_items(document, "00081198"), *_items(document, "0008119A")]:
            reason = item["00081197"]["Value"][0]
            uids = item.get("00081155", {}).get("Value")
            if uids:
                result.failed[uids[0]] = reason
            else:
                result.failed_without_uid.append(reason)
    except (AttributeError, LookupError, TypeError) as error:
        raise PeerError("the node's answer is not a STOW-RS result") from error
    return result
