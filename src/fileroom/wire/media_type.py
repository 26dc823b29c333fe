"""Media types as Content-Type and Accept carry them (RFC 9110 §8.3.1 and §12.5.1). Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fileroom.errors import PeerError

TEXT_LENGTH_MAX = 8192
RANGES_MAX = 64
PARAMETERS_MAX = 16


class MediaTypeError(PeerError):
    """The text is no media type, or no list of media ranges."""


@dataclass(frozen=True, slots=True)
class MediaType:
    """One media type or media range.

    Attributes:
        name: "type/subtype" in lower case; either half may be "*" in a range.
        parameters: names in lower case, values as sent without their quotes; "q" is not among them.
        weight: the q value, 0 to 1.
    """

    name: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    weight: float = 1.0

    def parameter(self, name: str) -> str | None:
        """The value of a parameter, or None where it was not sent."""
        return self.parameters.get(name)


def parse(text: str) -> MediaType:
    """Read one media type, as in Content-Type.

    Raises:
        MediaTypeError: it is none.
    """
    return _media_type(_split(text, ";"))


def parse_accept(text: str) -> tuple[MediaType, ...]:
    """Read an Accept field into the ranges it allows, the most wanted first.

    Ranges of equal weight keep the order they were sent in; those of weight 0 are left out.

    Raises:
        MediaTypeError: one of them is none, or there are more than RANGES_MAX.
    """
    return tuple(sorted((each for each in _ranges(text) if each.weight > 0), key=_by_weight))


def parse_refused(text: str) -> tuple[MediaType, ...]:
    """The ranges of an Accept field that it does not allow: those of weight 0. Raises as
    `parse_accept`."""
    return tuple(each for each in _ranges(text) if each.weight == 0)


def _ranges(text: str) -> list[MediaType]:
    pieces = [piece for piece in _split(text, ",") if piece.strip(" \t")]
    if len(pieces) > RANGES_MAX:
        raise MediaTypeError(f"Accept lists {len(pieces)} ranges, more than {RANGES_MAX}")
    return [_media_type(_split(piece, ";")) for piece in pieces]


def _by_weight(each: MediaType) -> float:
    return -each.weight


def _media_type(pieces: list[str]) -> MediaType:
    name = pieces[0].strip(" \t").lower()
    kind, slash, subtype = name.partition("/")
    if not (slash and _is_token(kind) and _is_token(subtype)):
        raise MediaTypeError(f"a media type of {len(name)} characters is not type/subtype")
    if len(pieces) > PARAMETERS_MAX + 1:
        raise MediaTypeError(f"a media type has {len(pieces) - 1} parameters")
    parameters: dict[str, str] = {}
    weight = 1.0
    for piece in pieces[1:]:
        stripped = piece.strip(" \t")
        if not stripped:
            continue
        key, equals, value = stripped.partition("=")
        key = key.strip(" \t").lower()
        if not equals or not _is_token(key):
            raise MediaTypeError("a media type has a parameter that is not name=value")
        value = _unquoted(value.strip(" \t"))
        if key == "q":
            weight = _weight(value)
        else:
            parameters.setdefault(key, value)
    return MediaType(name, parameters, weight)


def _is_token(text: str) -> bool:
    return bool(text) and text.isascii() and not any(c in ' \t"(),/:;<=>?@[\\]{}' for c in text)


def _unquoted(value: str) -> str:
    """The value without its quotes. Unquoted values may hold "/", which RFC 9110 forbids and
    viewers send (`type=application/octet-stream`)."""
    if not value.startswith('"'):
        return value
    if len(value) < 2 or not value.endswith('"'):
        raise MediaTypeError("a quoted parameter of a media type does not end")
    inner = value[1:-1]
    if "\\" not in inner:
        return inner
    unescaped = []
    characters = iter(inner)
    for each in characters:
        unescaped.append(next(characters, "") if each == "\\" else each)
    return "".join(unescaped)


def _weight(value: str) -> float:
    """RFC 9110 §12.4.2: 0 to 1 with at most three decimals."""
    whole, dot, decimals = value.partition(".")
    digits = decimals if dot else ""
    right = whole in {"0", "1"} and len(digits) <= 3 and (digits == "" or digits.isdecimal())
    if not right or not value.isascii() or float(value) > 1:
        raise MediaTypeError("a media range has a q that is no weight from 0 to 1")
    return float(value)


def _split(text: str, separator: str) -> list[str]:
    """Split at `separator` outside quoted strings."""
    if len(text) > TEXT_LENGTH_MAX:
        raise MediaTypeError(f"a media type field of {len(text)} characters")
    if '"' not in text:
        return text.split(separator)
    pieces: list[str] = []
    start = position = 0
    quoted = False
    while position < len(text):
        each = text[position]
        if each == '"':
            quoted = not quoted
        elif each == "\\" and quoted:
            position += 1
        elif each == separator and not quoted:
            pieces.append(text[start:position])
            start = position + 1
        position += 1
    pieces.append(text[start:])
    return pieces
