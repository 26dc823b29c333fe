"""Multipart bodies, sans-I/O (RFC 2046 §5.1, RFC 2387): a push parser and what a writer sends.

Nothing of a part is copied but the few bytes at the end of a fed buffer that may be the start of
a delimiter. Pure.
"""

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from fileroom.errors import PeerError

Buffer = bytes | bytearray | memoryview

HEADER_BYTES_MAX = 16 * 1024
HEADERS_MAX = 32
PREAMBLE_BYTES_MAX = 16 * 1024
PADDING_BYTES_MAX = 64
BOUNDARY_LENGTH_MAX = 200  # RFC 2046 §5.1.1 allows 70; Orthanc's STOW-RS client sends 73

_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,\-./:=? ]*[0-9A-Za-z'()+_,\-./:=?]")


class MultipartError(PeerError):
    """The body is not the multipart message it was announced as."""


@dataclass(frozen=True, slots=True)
class PartStarted:
    """A part begins. Header names are in lower case; of a repeated one the first counts."""

    headers: dict[str, str]


class PartData(NamedTuple):
    """The next bytes of the part; a view into what was fed, so use it before feeding again."""

    data: memoryview


@dataclass(frozen=True, slots=True)
class PartEnded:
    """The part is complete."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The closing delimiter has come; what follows it is ignored (RFC 2046 §5.1.1)."""


Event = PartStarted | PartData | PartEnded | Finished

_PART_ENDED = PartEnded()
_FINISHED = Finished()
_EMPTY = memoryview(b"")

# Where the parser is. Preamble and part data are searched for the next delimiter alike.
_PREAMBLE, _HEADERS, _DATA, _EPILOGUE = range(4)

# What may follow a delimiter: nothing decided yet, it was data after all, next part, last part.
_UNDECIDED, _NO_DELIMITER, _NEXT_PART, _CLOSE = range(4)


class MultipartParser:
    """Fed with the body however the transport cut it, pulled for events.

    Call `feed`, then `next_event` until it returns None; at the end of the body call `finish`.
    Events do not depend on the cuts, except that a part's data may come in any number of
    `PartData`. An error raised once is raised by every later call.

    Invariant: once `next_event` has returned None, at most HEADER_BYTES_MAX are held.

    Raises:
        MultipartError: from the constructor too, where `boundary` is none (RFC 2046 §5.1.1).
    """

    def __init__(self, boundary: str) -> None:
        raw = boundary.encode("utf-8")
        if len(raw) > BOUNDARY_LENGTH_MAX or _BOUNDARY.fullmatch(raw) is None:
            raise MultipartError(f"a boundary of {len(raw)} characters is not one of RFC 2046")
        self._delimiter = b"\r\n--" + raw
        self._state = _PREAMBLE
        # A delimiter at the very start has no line end before it; this stands for it.
        self._held = b"\r\n"
        self._header = bytearray()
        self._skipped_bytes = 0
        self._data: bytes | bytearray = b""
        self._view = _EMPTY
        self._position = 0
        self._ready: deque[Event] = deque()
        self._error: MultipartError | None = None

    def feed(self, data: Buffer) -> None:
        """Take the next bytes; all events of the last must have been pulled."""
        assert self._position >= len(self._data) or self._state == _EPILOGUE or self._error
        self._data = data if isinstance(data, bytes | bytearray) else bytes(data)
        self._view = memoryview(self._data)
        self._position = 0

    def next_event(self) -> Event | None:
        """The next event of what was fed, or None: feed more.

        Raises:
            MultipartError: the body is broken; events before the break have been returned.
        """
        while not self._ready:
            if self._error is not None:
                raise self._error
            if self._state == _EPILOGUE or self._position >= len(self._data):
                return None
            try:
                if self._state == _HEADERS:
                    self._read_headers()
                elif self._held:
                    self._resolve_held()
                else:
                    self._search()
            except MultipartError as error:
                self._error = error
        return self._ready.popleft()

    def finish(self) -> None:
        """Say that the body has ended.

        Raises:
            MultipartError: it ended before its closing delimiter.
        """
        if self._error is not None:
            raise self._error
        if self._state != _EPILOGUE:
            where = ("before the first part", "in the headers of a part", "in a part")[self._state]
            raise MultipartError(f"the body ended {where}")

    def _search(self) -> None:
        """Look for the next delimiter from the position on; everything before it is data."""
        data, start, delimiter = self._data, self._position, self._delimiter
        found = data.find(delimiter, start)
        while found >= 0:
            after = found + len(delimiter)
            verdict, end = _judge(data, after)
            if verdict == _UNDECIDED:
                self._emit(self._view[start:found])
                self._hold(data[found:])
                return
            if verdict != _NO_DELIMITER:
                self._emit(self._view[start:found])
                self._position = end
                self._delimit(verdict)
                return
            found = data.find(delimiter, after)
        # A delimiter has one carriage return, its first byte: only the last one here can begin one.
        tail = data.rfind(b"\r", max(start, len(data) - len(delimiter) + 1))
        if tail >= 0 and delimiter.startswith(data[tail:]):
            self._emit(self._view[start:tail])
            self._hold(data[tail:])
        else:
            self._emit(self._view[start:])
            self._position = len(data)

    def _hold(self, tail: Buffer) -> None:
        self._held = bytes(tail)
        self._position = len(self._data)

    def _resolve_held(self) -> None:
        """Decide with the bytes that follow whether those held back are a delimiter."""
        held, position, delimiter = self._held, self._position, self._delimiter
        needed = len(delimiter) + PADDING_BYTES_MAX + 2 - len(held)
        joint = held + self._data[position : position + needed]
        if len(joint) < len(delimiter):
            verdict = _UNDECIDED if delimiter.startswith(joint) else _NO_DELIMITER
            end = 0
        elif joint.startswith(delimiter):
            verdict, end = _judge(joint, len(delimiter))
        else:
            verdict, end = _NO_DELIMITER, 0
        if verdict == _UNDECIDED:
            self._hold(joint)
        elif verdict == _NO_DELIMITER:
            # Data after all, up to where the next delimiter may begin.
            restart = held.rfind(b"\r", 1)
            self._held = held[restart:] if restart > 0 else b""
            self._emit(memoryview(held)[: restart if restart > 0 else len(held)])
        else:
            self._held = b""
            self._position = position + end - len(held)
            self._delimit(verdict)

    def _emit(self, data: memoryview) -> None:
        if self._state == _DATA:
            if len(data):
                self._ready.append(PartData(data))
            return
        self._skipped_bytes += len(data)
        if self._skipped_bytes > PREAMBLE_BYTES_MAX:
            raise MultipartError(f"no boundary in the first {PREAMBLE_BYTES_MAX} B of the body")

    def _delimit(self, verdict: int) -> None:
        if self._state == _DATA:
            self._ready.append(_PART_ENDED)
        if verdict == _CLOSE:
            self._state = _EPILOGUE
            self._ready.append(_FINISHED)
        else:
            self._state = _HEADERS

    def _read_headers(self) -> None:
        """Take bytes until the blank line that ends the part's headers."""
        header, data, position = self._header, self._data, self._position
        before = len(header)
        header += data[position : position + HEADER_BYTES_MAX - before]
        if header.startswith(b"\r\n"):
            block, end = b"", 2
        else:
            found = header.find(b"\r\n\r\n", max(0, before - 3))
            if found < 0:
                if len(header) >= HEADER_BYTES_MAX:
                    raise MultipartError(f"a part has over {HEADER_BYTES_MAX} B of headers")
                self._position = len(data)
                return
            block, end = bytes(header[:found]), found + 4
        self._position = position + end - before
        header.clear()
        self._ready.append(PartStarted(_parse_headers(block)))
        self._state = _DATA


def _judge(data: bytes | bytearray, after: int) -> tuple[int, int]:
    """What the bytes from `after`, behind a delimiter, make of it, and where they end.

    RFC 2046 §5.1.1 lets blanks stand behind a delimiter (transport padding). Anything else there
    means that the delimiter's bytes happened to be in the data.
    """
    first = data[after : after + 2]
    if first == b"\r\n":
        return _NEXT_PART, after + 2
    if first == b"--":
        return _CLOSE, after + 2
    limit = after + PADDING_BYTES_MAX
    end = after
    while end < limit and data[end : end + 1] in (b" ", b"\t"):
        end += 1
    rest = data[end : end + 2]
    if rest == b"\r\n":
        return _NEXT_PART, end + 2
    if rest in (b"", b"\r") or (rest == b"-" and end == after):
        return _UNDECIDED, 0
    return _NO_DELIMITER, 0


def _parse_headers(block: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    lines = block.split(b"\r\n") if block else []
    if len(lines) > HEADERS_MAX:
        raise MultipartError(f"a part has {len(lines)} header lines, more than {HEADERS_MAX}")
    unfolded: list[bytes] = []
    for line in lines:
        if line[:1] in (b" ", b"\t") and unfolded:
            unfolded[-1] += b" " + line.strip(b" \t")
        else:
            unfolded.append(line)
    for line in unfolded:
        name, colon, value = line.partition(b":")
        if not colon or not name.strip(b" \t"):
            raise MultipartError(f"a part has a header line of {len(line)} B without a name")
        key = name.strip(b" \t").decode("latin-1").lower()
        headers.setdefault(key, value.strip(b" \t").decode("latin-1"))
    return headers


def part_header(boundary: str, headers: Iterable[tuple[str, str]], *, first: bool) -> bytes:
    """What stands before a part's data: delimiter, headers, blank line.

    Args:
        first: whether this is the body's first part, which has no line end before its delimiter.
    """
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
    text = f"\r\n--{boundary}\r\n{lines}\r\n"
    return (text[2:] if first else text).encode("latin-1")


def closing(boundary: str) -> bytes:
    """What stands behind the last part's data."""
    return f"\r\n--{boundary}--\r\n".encode("ascii")
