"""Text of a data set to Unicode and back, by its Specific Character Set, PS3.3 §C.12.1.1.2. Pure.

The terms and escape sequences are pydicom's tables, and the results are pydicom's; the decoding
is done here because a hostile value must neither raise nor choose any codec of the machine
(pydicom takes every codec name for a character set, `idna` and `zlib` included), and because
its warnings go to standard error. pydicom is loaded only when the four usual sets do not do.
"""

import codecs
import re
from functools import lru_cache
from typing import Final, NamedTuple

ESCAPE: Final = 0x1B
_DEFAULT: Final = "latin_1"  # ISO_IR 6 is ASCII; what senders put beyond it is nearly always this
_USUAL: Final = {
    "": _DEFAULT,
    "ISO_IR 6": _DEFAULT,
    "ISO_IR 100": _DEFAULT,
    "ISO_IR 192": "utf_8",
}
# Codecs by Python's name that may be named instead of a defined term.
_TOLERATED: Final = re.compile(
    r"ascii|utf-8|iso8859-\d{1,2}|cp125\d|koi8-[ru]|shift_jis|euc_(kr|jp)|gbk|gb2312|gb18030|big5"
)
_MISSPELT: Final = re.compile(r"ISO.(2022.)?IR.(\d{1,3})")
_TERM_CHARACTERS_MAX: Final = 16  # CS, PS3.5 §6.2
_ASCII_FIRST: Final = frozenset({"", "ISO_IR 6", "ISO 2022 IR 6"})
# Where the initial set comes back without an escape sequence, PS3.5 §6.1.2.5.3.
_DELIMITERS: Final = re.compile(r"([\\^=\r\n\t\f])")
_TO_ASCII, _TO_JIS_ROMAN = b"\x1b(B", b"\x1b(J"
_FRAGMENT: Final = re.compile(rb"^[^\x1b]+|\x1b[^\x1b]*")
_TEXT_DELIMITERS: Final = re.compile(rb"[\r\n\t\f]")


class Decoded(NamedTuple):
    """Text, and whether every byte had a meaning in the character set."""

    text: str
    exact: bool


class CharacterSet:
    """The codecs of one value of Specific Character Set; the first one is the initial one."""

    def __init__(self, codec_names: tuple[str, ...]) -> None:
        self._codecs = codec_names
        self._initial = codec_names[0]

    def decode(self, value: bytes) -> Decoded:
        """Decode a whole value, delimiters and padding included. Never raises."""
        if ESCAPE in value:
            return self._decode_escaped(value)
        try:
            return Decoded(value.decode(self._initial), True)
        except UnicodeError:
            return Decoded(value.decode(self._initial, "replace"), False)

    def text(self, value: bytes) -> str:
        """As `decode`, without the flag."""
        if value.isascii() and ESCAPE not in value:
            return value.decode("ascii")
        return self.decode(value).text

    def _decode_escaped(self, value: bytes) -> Decoded:
        """Each escape sequence switches the set until the next one (PS3.5 §6.1.2.5)."""
        parts: list[str] = []
        exact = True
        for fragment in _FRAGMENT.findall(value):
            try:
                parts.append(self._fragment(fragment))
            except (UnicodeError, LookupError):
                parts.append(fragment.decode(self._initial, "replace"))
                exact = False
        return Decoded("".join(parts), exact)

    def _fragment(self, fragment: bytes) -> str:
        from pydicom.charset import CODES_TO_ENCODINGS, default_encoding, handled_encodings

        if fragment[0] != ESCAPE:
            return fragment.decode(self._initial)
        width = 4 if fragment[:3] in (b"\x1b$(", b"\x1b$)") else 3
        codec = CODES_TO_ENCODINGS[fragment[:width]]
        if codec not in self._codecs and codec != default_encoding:
            raise LookupError
        if codec in handled_encodings:
            return fragment.decode(codec)
        rest = fragment[width:]
        # A control character resets to the initial set.
        delimiter = _TEXT_DELIMITERS.search(rest)
        end = delimiter.start() if delimiter else len(rest)
        return rest[:end].decode(codec) + rest[end:].decode(self._initial)


@lru_cache(maxsize=256)
def character_set(specific_character_set: str) -> CharacterSet:
    """The decoder for a value of (0008,0005), its terms joined by backslash. Terms that are
    not defined count as the default repertoire."""
    usual = _USUAL.get(specific_character_set)
    if usual is not None:
        return CharacterSet((usual,))
    from pydicom.charset import STAND_ALONE_ENCODINGS

    terms = [term.strip(" \0") for term in specific_character_set.split("\\")][:16]
    if len(terms) > 1:  # no code extensions beside these, PS3.3 §C.12.1.1.2
        if terms[0] in STAND_ALONE_ENCODINGS:
            terms = terms[:1]
        else:
            terms = terms[:1] + [t for t in terms[1:] if t not in STAND_ALONE_ENCODINGS]
    return CharacterSet(tuple(_codec(term) for term in terms))


def _codec(term: str) -> str:
    """Python's name of the codec for one term."""
    from pydicom.charset import python_encoding

    misspelt = _MISSPELT.fullmatch(term)
    if term not in python_encoding and misspelt:
        term = ("ISO 2022 IR " if misspelt[1] else "ISO_IR ") + misspelt[2]
    if term in python_encoding:
        return str(python_encoding[term])
    if not term.isascii() or not 0 < len(term) <= _TERM_CHARACTERS_MAX or "\0" in term:
        return _DEFAULT
    try:
        name = codecs.lookup(term).name
    except (LookupError, ValueError):
        return _DEFAULT
    return name if _TOLERATED.fullmatch(name) else _DEFAULT


def decode(value: bytes, specific_character_set: str | None, vr: str) -> Decoded:
    """The text of `value`, an element of representation `vr`. Never raises: bytes without a
    meaning become U+FFFD and clear `exact`.

    Args:
        specific_character_set: the text of (0008,0005) that holds for the element; it has an
            effect on LO, LT, PN, SH, ST, UC and UT only, PS3.5 §6.1.2.3.
    """
    if vr not in ("LO", "LT", "PN", "SH", "ST", "UC", "UT"):
        return Decoded(value.decode(_DEFAULT), True)
    return character_set(specific_character_set or "").decode(value)


@lru_cache(maxsize=256)
def is_defined(specific_character_set: str) -> bool:
    """Whether every term of a value of (0008,0005) is a defined one (PS3.3 §C.12.1.1.2)."""
    if specific_character_set in _USUAL:
        return True
    from pydicom.charset import python_encoding

    return all(term.strip(" \0") in python_encoding for term in specific_character_set.split("\\"))


def encode(text: str, specific_character_set: str) -> bytes | None:
    """`text` in that character set; None where it cannot be written so that it reads as it was.

    Args:
        text: one or several values, with their delimiters.
    """
    escapes = "\x1b" in text
    if text.isascii() and not escapes:
        return text.encode("ascii")
    if specific_character_set in _USUAL:  # without pydicom, as an event loop calls this
        usual = (
            "ascii" if specific_character_set in _ASCII_FIRST else _USUAL[specific_character_set]
        )
        try:
            return None if escapes else text.encode(usual)
        except UnicodeError:
            return None
    if not is_defined(specific_character_set):
        return None
    charset = character_set(specific_character_set)
    initial, *others = charset._codecs
    if specific_character_set.split("\\")[0].strip(" \0") in _ASCII_FIRST:
        initial = "ascii"  # which is read as Latin-1 only because senders are careless
    parts = [_encoded_part(part, initial, others) for part in _DELIMITERS.split(text)]
    encoded = b"".join(part for part in parts if part is not None)
    if None in parts or charset.decode(encoded) != (text, True):
        return None
    return encoded


def _encoded_part(part: str, initial: str, others: list[str]) -> bytes | None:
    """Text without delimiters in the initial set, or in one of those behind an escape sequence."""
    from pydicom.charset import ENCODINGS_TO_CODES, handled_encodings

    for codec in (initial, *others):
        try:
            encoded = part.encode(codec)
        except UnicodeError:
            continue
        if codec == "shift_jis" and len(encoded) != len(part):
            continue  # JIS X 0201 is what of this codec has one byte
        if codec == initial:
            return encoded
        if codec not in handled_encodings:
            return ENCODINGS_TO_CODES[codec] + encoded
        if initial == "shift_jis" and encoded.endswith(_TO_ASCII):
            return encoded.removesuffix(_TO_ASCII) + _TO_JIS_ROMAN
        return encoded
    return None
