"""A JSON array taken apart while its text arrives (RFC 8259), without decoding any of it. Pure."""

import re
from collections import deque
from typing import Final

from fileroom.errors import PeerError

# A whole string; or a bracket, or the quotation mark of a string that is not all there. Possessive,
# so that each byte is looked at once.
_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|(["{}\[\]])', re.DOTALL)
_REST_OF_STRING: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_BETWEEN: Final = re.compile(rb"[^ \t\r\n]")

# Where the text is: before the array, between two elements, inside one, behind the array.
_BEFORE, _BETWEEN_ELEMENTS, _INSIDE, _BEHIND = range(4)


class JsonArrayError(PeerError):
    """The text is no JSON array of objects."""


class JsonTooLargeError(JsonArrayError):
    """One object of the array is over its limit."""


class JsonArraySplitter:
    """Gives the objects of a JSON array one by one, each as the bytes of its text.

    Feed the text however it was cut, then call `next_object` until it returns None; at the end
    call `finish`. Brackets are counted, strings are stepped over; what is inside an object is for
    a decoder to judge. An error raised once is raised by every later call.

    Invariant: at most `object_bytes_max` and what was fed last are held; brackets are open at
    most `depth_max` deep, so that no decoder is led deeper.
    """

    def __init__(self, *, object_bytes_max: int, depth_max: int, brackets_max: int) -> None:
        self._object_bytes_max = object_bytes_max
        self._depth_max = depth_max
        self._brackets_max = brackets_max
        self._place = _BEFORE
        self._comma = False  # whether one stands before what comes next
        self._count = 0
        self._depth = 0  # inside the object
        self._brackets_left = brackets_max
        self._in_string = False
        self._escaped = False  # a backslash was the last byte
        self._held = bytearray()
        self._ready: deque[bytes] = deque()
        self._error: JsonArrayError | None = None

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes of the text."""
        text = bytes(data)
        position = 0
        try:
            while self._error is None and position < len(text):
                if self._place == _INSIDE:
                    position = self._walk(text, position)
                else:
                    position = self._step(text, position)
        except JsonArrayError as error:
            self._error = error
            self._held.clear()

    def next_object(self) -> bytes | None:
        """The next object, or None: feed more.

        Raises:
            JsonArrayError: the text is broken; objects before the break have been returned.
            JsonTooLargeError: an object is too long.
        """
        if self._ready:
            return self._ready.popleft()
        if self._error is not None:
            raise self._error
        return None

    def finish(self) -> None:
        """Say that the text has ended. Raises JsonArrayError where the array has not."""
        if self._error is not None:
            raise self._error
        if self._place != _BEHIND:
            raise JsonArrayError("the JSON text ends before its array does")

    def _step(self, text: bytes, position: int) -> int:
        """Take one byte outside of any object, blanks before it included."""
        found = _BETWEEN.search(text, position)
        if found is None:
            return len(text)
        byte, position = found[0], found.start()
        if self._place == _BEFORE and byte == b"[":
            self._place = _BETWEEN_ELEMENTS
        elif self._place != _BETWEEN_ELEMENTS:
            raise JsonArrayError("the JSON text is not one array")
        elif byte == b"{" and self._comma == (self._count > 0):
            self._place, self._comma = _INSIDE, False
            self._count += 1
            return position
        elif byte == b"," and self._count and not self._comma:
            self._comma = True
        elif byte == b"]" and not self._comma:
            self._place = _BEHIND
        else:
            raise JsonArrayError("the JSON array does not hold objects between commas")
        return position + 1

    def _walk(self, text: bytes, position: int) -> int:
        """Go through an object from `position` to its end, or to the end of the text."""
        at = self._leave_string(text, position) if self._in_string else position
        depth, left = self._depth, self._brackets_left
        depth_max = self._depth_max
        for token in _TOKEN.finditer(text, at):
            mark = token[1]
            if mark is None:  # a whole string
                continue
            if mark in b"}]":
                depth -= 1
                if not depth:
                    self._end_object(text[position : token.end()])
                    return token.end()
            elif mark == b'"':
                self._leave_string(text, token.end())
                break
            else:
                depth += 1
                left -= 1
                if depth > depth_max or left < 0:
                    raise JsonArrayError(
                        f"JSON is nested deeper than {depth_max}, or one object of it has over "
                        f"{self._brackets_max} brackets"
                    )
        self._depth, self._brackets_left = depth, left
        self._hold(text[position:])
        return len(text)

    def _leave_string(self, text: bytes, at: int) -> int:
        """Where the string that goes on at `at` ends; behind the text if it goes on there too."""
        found = _REST_OF_STRING.match(text, at + self._escaped)
        end = found.end() if found is not None else len(text)
        self._in_string = text[end : end + 1] != b'"'
        self._escaped = text[end : end + 1] == b"\\"  # of what comes next, a byte is not counted
        return end + 1

    def _end_object(self, piece: bytes) -> None:
        self._hold(piece)
        self._ready.append(bytes(self._held))
        self._held.clear()
        self._depth, self._brackets_left = 0, self._brackets_max
        self._place = _BETWEEN_ELEMENTS

    def _hold(self, piece: bytes) -> None:
        if len(self._held) + len(piece) > self._object_bytes_max:
            raise JsonTooLargeError(f"one object of the JSON is over {self._object_bytes_max} B")
        self._held += piece
