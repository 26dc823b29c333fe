"""Hostile instances, made: each a Part 10 file or what claims to be one, and what is to become
of it.

The classes are those of docs/hostile-input.md: 1 preambles, 2 files that end too early, 3 lengths
that lie, 4 nesting, 8 UIDs, 18 other UIDs announced. The others are in hostile_images.py.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from fileroom.dicom.part10 import write_header
from instances import CT_IMAGE_STORAGE, EXPLICIT_LITTLE, uids

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
UNDEFINED = 0xFFFFFFFF
STUDY = 700  # number of the study that all of them claim to be of
LONG = (b"OB", b"OW", b"SQ", b"UN", b"UT", b"UC")
SEQUENCE = 0x00081115  # Referenced Series Sequence: before the identification
LATE_SEQUENCE = 0x20500020  # behind it: Presentation LUT Sequence
ITEM, ITEM_END, SEQUENCE_END = (
    struct.pack("<HHI", 0xFFFE, number, length)
    for number, length in ((0xE000, UNDEFINED), (0xE00D, 0), (0xE0DD, 0))
)


def tag_of(tag: int) -> bytes:
    return struct.pack("<HH", tag >> 16, tag & 0xFFFF)


def element(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    """One element, explicit little endian; with a `length` that may be a lie."""
    said = len(value) if length is None else length
    if vr in LONG:
        return tag_of(tag) + vr + struct.pack("<HI", 0, said) + value
    return tag_of(tag) + vr + struct.pack("<H", said) + value


def implicit(tag: int, value: bytes, length: int | None = None) -> bytes:
    return tag_of(tag) + struct.pack("<I", len(value) if length is None else length) + value


def even(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return data + b"\0" * (len(data) % 2)


@dataclass(frozen=True)
class Hostile:
    """One attack.

    Attributes:
        kept: whether it is a legitimate instance all the same, to be served bit for bit; else
            it is refused.
        whole: what to send by STOW-RS in the place of a file made of the other fields.
        announced: SOP Instance UID of the file meta group and the C-STORE command.
        uid: SOP Instance UID of the data set.
    """

    name: str
    kept: bool
    data_set: bytes
    uid: str
    announced: str | bytes
    preamble: bytes = bytes(128)
    transfer_syntax: str = EXPLICIT_LITTLE
    sop_class: str = CT_IMAGE_STORAGE
    whole: bytes | None = None

    @property
    def says(self) -> dict[str, str | bytes]:
        """What a C-STORE announces of it."""
        return {
            "announced": self.announced,
            "sop_class": self.sop_class,
            "syntax": self.transfer_syntax,
        }

    @property
    def file(self) -> bytes:
        if self.whole is not None:
            return self.whole
        announced = self.announced
        claimed = "1.2.3" if isinstance(announced, bytes) or not announced.isascii() else announced
        head = write_header(self.sop_class, claimed, self.transfer_syntax, source_ae_title=None)
        return self.preamble + head[128:] + self.data_set


class Maker:
    """Makes attacks, each under a SOP Instance UID of its own.

    Args:
        first: number of the first UID.
    """

    def __init__(self, *, first: int = 0) -> None:
        self.made: list[Hostile] = []
        self._first = first

    def uid(self) -> str:
        return uids(STUDY, 0, self._first + len(self.made))[2]

    def body(
        self,
        *,
        front: bytes = b"",
        middle: bytes = b"",
        back: bytes = b"",
        study: str | bytes = uids(STUDY, 0, 0)[0],
        series: str | bytes = uids(STUDY, 0, 0)[1],
        uid: str | bytes | None = None,
        sop_class: str = CT_IMAGE_STORAGE,
    ) -> bytes:
        """A data set with something in group 0008, before the study's UID, or at the end."""
        return b"".join(
            (
                element(0x00080016, b"UI", even(sop_class)),
                element(0x00080018, b"UI", even(self.uid() if uid is None else uid)),
                front,
                element(0x00100010, b"PN", b"Hostile^Henrietta "),
                element(0x00100020, b"LO", b"H-1 "),
                middle,
                element(0x0020000D, b"UI", even(study)),
                element(0x0020000E, b"UI", even(series)),
                back,
            )
        )

    def add(self, name: str, *, kept: bool, data_set: bytes | None = None, **other: object) -> None:
        made = Hostile(
            name=name,
            kept=kept,
            data_set=self.body() if data_set is None else data_set,
            uid=self.uid(),
            announced=self.uid(),
        )
        self.made.append(replace(made, **other))


def pixels(rows: int = 8, *, length: int | None = None, value: bytes | None = None) -> bytes:
    """An image of `rows` rows of eight pixels, its length perhaps a lie."""
    return b"".join(
        (
            element(0x00280002, b"US", b"\1\0"),
            element(0x00280004, b"CS", b"MONOCHROME2 "),
            element(0x00280010, b"US", struct.pack("<H", rows)),
            element(0x00280011, b"US", b"\x08\0"),
            element(0x00280100, b"US", b"\x08\0"),
            element(0x00280101, b"US", b"\x08\0"),
            element(0x00280102, b"US", b"\x07\0"),
            element(0x00280103, b"US", b"\0\0"),
            element(0x7FE00010, b"OB", bytes(rows * 8) if value is None else value, length),
        )
    )


def fragments(*lengths: int, cut: int = 0, end: bool = True) -> bytes:
    """Encapsulated pixel data of these fragments, `cut` bytes missing at the end."""
    items = b"".join(
        struct.pack("<HHI", 0xFFFE, 0xE000, length) + b"\xff\xd8" + bytes(length - 2)
        for length in lengths
    )
    table = struct.pack("<HHI", 0xFFFE, 0xE000, 0)
    whole = table + items + (SEQUENCE_END if end else b"")
    return whole[: len(whole) - cut]


def preambles(make: Maker) -> None:
    """Class 1: a file that is another program's file too. It is kept, its preamble apart."""
    for name, start in (
        ("MZ", b"MZ\x90\0\3\0\0\0\4\0\0\0\xff\xff"),
        ("ELF", b"\x7fELF\2\1\1\0"),
        ("Mach-O", b"\xcf\xfa\xed\xfe\7\0\0\1"),
        ("#!", b"#!/bin/sh\nrm -rf /\n"),
        ("ZIP", b"PK\3\4\x14\0"),
        ("PDF", b"%PDF-1.7\n"),
        ("HTML", b"<html><script>alert(1)</script>"),
        ("little TIFF", b"II*\0\x10\0\0\0"),
        ("big TIFF", b"MM\0*\0\0\0\x10"),
        ("of all ones", b"\xff" * 128),
    ):
        make.add(f"1 preamble {name}", kept=True, preamble=start.ljust(128, b"\0"))


def early_ends(make: Maker) -> None:
    """Class 2: what is no file, and files that end too early."""
    file = make.body(back=pixels())
    head = write_header(CT_IMAGE_STORAGE, make.uid(), EXPLICIT_LITTLE, source_ae_title=None)
    for name, whole in (
        ("no bytes", b""),
        ("one byte", b"D"),
        ("a preamble", bytes(128)),
        ("a preamble and DICM", bytes(128) + b"DICM"),
        ("no DICM", bytes(128) + b"CIDM" + head[132:] + file),
        ("no preamble", head[128:] + file),
        ("no file meta group", bytes(128) + b"DICM" + file),
        ("text", b"The quick brown fox jumps over the lazy dog. " * 40),
        ("cut in the file meta group", head[:-5]),
        ("nothing behind the file meta group", head),
    ):
        make.add(f"2 {name}", kept=False, whole=whole)
    whole = make.body()
    name_at, study_at = whole.index(b"\x10\0\x10\0PN"), whole.index(b"\x20\0\x0d\0UI")
    for name, end in (
        ("in a tag", name_at + 2),
        ("in a VR", name_at + 5),
        ("in a length", name_at + 7),
        ("in a value", name_at + 12),
        ("before the study", study_at),
        ("in the study's UID", study_at + 12),
    ):
        make.add(f"2 cut {name}", kept=False, data_set=whole[:end])
    for name, value in (
        ("a fragment", fragments(400, 300, cut=208)),
        ("a fragment's header", fragments(400, 300, cut=305)),
        ("the delimiter", fragments(400, 300, cut=5)),
        ("no delimiter", fragments(400, 300, end=False)),
    ):
        make.add(
            f"2 cut in {name}",
            kept=True,
            data_set=make.body(back=pixels(value=value, length=UNDEFINED)),
            transfer_syntax=JPEG_BASELINE,
        )
    make.add("2 cut in native pixels", kept=True, data_set=make.body(back=pixels())[:-9])


def lying_lengths(make: Maker) -> None:
    """Class 3: lengths over what is there, undefined ones where none may be, odd ones."""
    torn = element(0x00081030, b"LO", b"CT", 0xFFF0)
    endless = element(0x00081030, b"UT", b"CT", UNDEFINED)
    for where, kept in (("front", False), ("back", True)):
        late = {} if where == "front" else {"tag": 0x00420010}
        tag = late.get("tag", 0x00081030)
        for name, lie in (
            ("over the end", element(tag, b"UT", b"CT", 0x7FFFFFF0)),
            ("undefined of a text", element(tag, b"UT", b"CT", UNDEFINED)),
            ("undefined of bytes that are no items", element(tag, b"UN", b"CT" * 9, UNDEFINED)),
            ("of a sequence, over the end", element(tag, b"SQ", ITEM, 0x00FFFFFF)),
            ("of an item, over its sequence", element(tag, b"SQ", ITEM[:4] + b"\xf0\xff\0\0")),
        ):
            # The last is one that nobody who steps over the sequence by its length can meet.
            steps_over = name.startswith("of an item")
            make.add(
                f"3 length {name}, {where}",
                kept=kept or steps_over,
                data_set=make.body(**{where: lie}),
            )
    make.add("3 length of 65520 of a short text", kept=False, data_set=make.body(front=torn))
    make.add("3 undefined twice", kept=False, data_set=make.body(front=endless, back=endless))
    make.add("3 no such VR", kept=False, data_set=make.body(front=element(0x00081030, b"@!", b"x")))
    odd = element(0x00081030, b"LO", b"odd") + element(0x00081050, b"PN", b"X")
    make.add("3 odd lengths", kept=True, data_set=make.body(front=odd))
    for size in (0xFFFFFFFE, 0x7FFFFFFF, 513):
        make.add(
            f"3 pixels of {size} B that are 64",
            kept=True,
            data_set=make.body(back=pixels(length=size)),
        )
    name_only = implicit(0x00080016, even(CT_IMAGE_STORAGE)) + implicit(
        0x00080018, even(make.uid())
    )
    make.add(
        "3 undefined length of a name, implicit",
        kept=False,
        data_set=name_only + implicit(0x00100010, b"Hostile^H ", UNDEFINED),
        transfer_syntax=IMPLICIT_LITTLE,
    )


def nested(make: Maker) -> None:
    """Class 4: sequences in sequences, and very many items."""
    deep = 10_000
    opening = element(SEQUENCE, b"SQ", b"", UNDEFINED) + ITEM
    late_opening = element(LATE_SEQUENCE, b"SQ", b"", UNDEFINED) + ITEM
    closing = ITEM_END + SEQUENCE_END
    make.add(
        "4 10,000 deep before the identification",
        kept=False,
        data_set=make.body(front=opening * deep + closing * deep),
    )
    make.add(
        "4 10,000 deep behind it",
        kept=True,
        data_set=make.body(back=late_opening * deep + closing * deep),
    )
    make.add(
        "4 10,000 deep and never closed", kept=True, data_set=make.body(back=late_opening * deep)
    )
    inner = b""
    for _ in range(2_000):  # 20 bytes more a level: the lengths say 40 kB at most
        inner = element(SEQUENCE, b"SQ", ITEM[:4] + struct.pack("<I", len(inner)) + inner)
    make.add("4 2,000 deep of defined lengths", kept=True, data_set=make.body(front=inner))
    empty, many, most = ITEM[:4] + bytes(4), 250_000, 1_000_000
    items = element(SEQUENCE, b"SQ", empty * most)
    make.add("4 a million empty items", kept=True, data_set=make.body(front=items))
    for where, tag, count in (("front", SEQUENCE, most), ("back", LATE_SEQUENCE, many)):
        items = element(tag, b"SQ", (ITEM + ITEM_END) * count, UNDEFINED) + SEQUENCE_END
        make.add(
            f"4 {count} empty items of undefined length, {where}",
            kept=where == "back",
            data_set=make.body(**{where: items}),
        )


def much_to_tell(make: Maker) -> None:
    """Class 4 too: as many fragments as a few megabytes hold, each a frame; texts that are short
    enough to be metadata, each by itself."""
    text = element(0x00420010, b"UT", b"x" * ((4 << 20) - 2))
    texts = b"".join(text[:2] + struct.pack("<H", 0x1010 + n) + text[4:] for n in range(9))
    make.add("4 nine texts of 4 MiB", kept=True, data_set=make.body(back=texts))
    count = 200_000
    fragment = struct.pack("<HHI", 0xFFFE, 0xE000, 2) + b"\xff\xd8"
    table = struct.pack("<HHI", 0xFFFE, 0xE000, 0)
    image = pixels(value=table + fragment * count + SEQUENCE_END, length=UNDEFINED)
    frames = element(0x00280008, b"IS", even(str(count)))
    make.add(
        f"4 {count} frames of two bytes",
        kept=True,
        data_set=make.body(back=frames + image),
        transfer_syntax=JPEG_BASELINE,
    )


BAD_UIDS: tuple[str | bytes, ...] = (
    "../../x",
    "/etc/x",
    "..",
    "1.2." + "3" * 61,
    b"1.2\0.3",
    b"1.2.3\r\nX-Evil: 1",
    b"1.2.3\n",
    "1.2.٣",
    "1.2.3;reboot",
    "$(id)",
    "1.2.3' OR '1'='1",
    "%2e%2e%2f",
    "1..2",
    ".1",
    "1.",
    "one",
)


def wrong_uids(make: Maker) -> None:
    """Class 8: UIDs that are none, in each of the four places."""
    for bad in BAD_UIDS:
        shown = repr(bad)[:24]
        make.add(f"8 study {shown}", kept=False, data_set=make.body(study=bad))
        make.add(f"8 series {shown}", kept=False, data_set=make.body(series=bad))
        make.add(f"8 instance {shown}", kept=False, data_set=make.body(uid=bad), announced=bad)
    for name in ("study", "series", "uid"):
        make.add(f"8 empty {name}", kept=False, data_set=make.body(**{name: ""}))


def other_uids(make: Maker) -> None:
    """Class 18: the data set is another instance than was announced. By STOW-RS the data set
    decides; nothing was announced there but by the file itself."""
    make.add("18 another instance announced", kept=True, announced=uids(STUDY, 1, 999)[2])
    make.add(
        "18 another SOP class announced",
        kept=True,
        data_set=make.body(sop_class="1.2.840.10008.5.1.4.1.1.4"),
    )


CLASSES = (
    *(preambles, early_ends, lying_lengths, nested, much_to_tell),
    *(wrong_uids, other_uids),
)


def attacks() -> Iterator[Hostile]:
    make = Maker()
    for each in CLASSES:
        each(make)
    return iter(make.made)


ATTACKS = tuple(attacks())
