"""Byte ranges of a representation (RFC 9110 §14). Pure."""

from fileroom.errors import RefusedError

RANGES_MAX = 16
DIGITS_MAX = 19


class UnsatisfiableRangeError(RefusedError):
    """None of the ranges asked for lies in the representation (RFC 9110 §15.5.17).

    Attributes:
        size_bytes: of the whole representation, for Content-Range.
    """

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"no range asked for lies within {size_bytes} B")
        self.size_bytes = size_bytes


def parse(text: str, size_bytes: int) -> list[tuple[int, int]]:
    """The ranges of a Range field, in the order asked.

    Args:
        text: the field's value, "bytes=0-499,-500".
        size_bytes: of the whole representation.

    Returns:
        Half-open [start, end) pairs with 0 <= start < end <= size_bytes; ranges outside are left
        out. An empty list means that the field is to be ignored and the whole sent (RFC 9110
        §14.2): another unit, bad syntax, over RANGES_MAX ranges, or more bytes than there are.

    Raises:
        UnsatisfiableRangeError: the field is right and every range lies outside.
    """
    unit, equals, ranges = text.partition("=")
    if not equals or unit.strip(" \t").lower() != "bytes":
        return []
    pieces = [piece.strip(" \t") for piece in ranges.split(",", RANGES_MAX)]
    if len(pieces) > RANGES_MAX:
        return []
    found: list[tuple[int, int]] = []
    for piece in pieces:
        first, hyphen, last = piece.partition("-")
        if not hyphen or not (_is_number(first) or (first == "" and _is_number(last))):
            return []
        if first == "":
            start, end = max(0, size_bytes - int(last)), size_bytes
        else:
            if last and not (_is_number(last) and int(last) >= int(first)):
                return []
            start, end = int(first), min(int(last) + 1 if last else size_bytes, size_bytes)
        if start < end:
            found.append((start, end))
    if not found:
        raise UnsatisfiableRangeError(size_bytes)
    # Overlapping ranges can ask for a small file many times over (RFC 9110 §17.15).
    if sum(end - start for start, end in found) > size_bytes:
        return []
    return found


def content_range(start: int, end: int, size_bytes: int) -> str:
    """The Content-Range field for bytes [start, end) of `size_bytes`."""
    return f"bytes {start}-{end - 1}/{size_bytes}"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= DIGITS_MAX
