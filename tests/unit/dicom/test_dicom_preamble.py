"""Preambles: what makes a file a program too, and what makes it a TIFF file too."""

import io
import sys
import zipfile
from pathlib import Path

import pytest

from corpus import pydicom_files
from dicom_samples import EXPLICIT, explicit
from fileroom.dicom.part10 import write_header
from fileroom.dicom.preamble import is_tiff, program_in, tiff_head

SAID = {"sop_class_uid": "1.2", "sop_instance_uid": "1.2.3", "transfer_syntax_uid": EXPLICIT}
HEAD = write_header("1.2", "1.2.3", EXPLICIT, source_ae_title=None)
LITTLE = b"II*\0\x10\0\0\0"


def behind(preamble: bytes, head: bytes = HEAD) -> bytes:
    """A head with another preamble."""
    return preamble.ljust(128, b"\0") + head[128:]


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.class", b"x" * 100)
    return out.getvalue()


@pytest.mark.parametrize(
    ("preamble", "word"),
    [
        (Path(sys.executable).read_bytes()[:128], "Unix"),  # a real one
        (zipped(), "archive"),
        (b"MZ\x90\0\3\0\0\0\4\0\0\0\xff\xff", "Windows"),
        (b"\xcf\xfa\xed\xfe\7\0\0\1", "macOS"),
        (b"\xca\xfe\xba\xbe\0\0\0\x34", "Java"),
        (b"#!/bin/sh\nrm -rf /\n", "script"),
        (b"\r\n@ECHO OFF\r\n", "script"),
        (b"%PDF-1.7\n", "document"),
        (b"<html><script>alert(1)</script>", "document"),
        (b"\xef\xbb\xbf \n<!DOCTYPE html>", "document"),
        (b"<?php system('id');", "script"),
    ],
)
def test_what_else_runs_a_file_is_known_by_its_first_bytes(preamble: bytes, word: str) -> None:
    found = program_in(preamble[:128].ljust(128, b"\0"))
    assert found is not None
    assert word in found


@pytest.mark.parametrize(
    "preamble", [b"", bytes(128), b"\xff" * 128, LITTLE, b"VENDOR 1.0", b"PK "]
)
def test_what_nothing_runs_is_no_program(preamble: bytes) -> None:
    assert program_in(preamble) is None


def test_no_file_that_pydicom_ships_is_a_program_and_some_are_tiff_files() -> None:
    files = [each.path.read_bytes() for each in pydicom_files()]
    preambles = [file[:128] for file in files if file[128:132] == b"DICM"]
    assert {program_in(each) for each in preambles} == {None}
    assert any(map(is_tiff, preambles))


@pytest.mark.parametrize(
    "start", [LITTLE, b"MM\0*\0\0\0\x10", b"II+\0\x08\0\0\0", b"MM\0+\0\x08\0\0"]
)
def test_the_head_of_a_tiff_file_is_kept_as_it_came(start: bytes) -> None:
    private = explicit(0x00020100, "UI", b"1.2.3.4\0") + explicit(0x00020102, "OB", b"\7" * 40)
    length = int.from_bytes(HEAD[140:144], "little") + len(private)
    longer = HEAD[:140] + length.to_bytes(4, "little") + HEAD[144:] + private
    for head in (behind(start), behind(start, longer)):
        assert tiff_head(head, **SAID) == head


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (HEAD, {}),
        (b"", {}),
        (behind(b"MZ"), {}),
        (behind(LITTLE), {"sop_instance_uid": "1.2.4"}),
        (behind(LITTLE), {"sop_class_uid": "1.2.4"}),
        (behind(LITTLE), {"transfer_syntax_uid": "1.2.840.10008.1.2"}),
        (behind(LITTLE, HEAD[:140] + b"\x10\0\0\0" + HEAD[144:]), {}),  # another group length
        (behind(LITTLE, HEAD[:132] + HEAD[144:]), {}),  # none
        (behind(LITTLE) + explicit(0x00080016, "UI", b"1.2\0"), {}),  # more than a head
        (behind(LITTLE)[:-3], {}),
    ],
)
def test_a_head_that_is_no_tiff_files_or_says_what_is_not_so_is_made_anew(
    head: bytes, said: dict[str, str]
) -> None:
    assert tiff_head(head, **SAID | said) == b""
