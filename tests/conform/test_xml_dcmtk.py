"""The Native DICOM Model as DCMTK's dcm2xml writes it, attribute by attribute."""

import math
import subprocess
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from corpus import CorpusFile, beside_files, pydicom_files
from fileroom.dicom.json_model import instance_json
from fileroom.dicom.part10 import Part10Splitter
from fileroom.dicom.xml_model import NAMESPACE, native_model
from peers import program

FILES = [
    each
    for each in (*pydicom_files(), *(each for each in beside_files() if each.origin == "charset"))
    if not each.hostile and each.path.read_bytes()[128:132] == b"DICM"
]
NUMBERS = {"DS", "FD", "FL", "IS"}
APART = {"BulkData", "InlineBinary"}  # dcm2xml has references only

Attribute = tuple[str, str | None, list[Any]]


# DCMTK 3.6.7 repeats the second component group of a name as the third, and leaves GB18030 alone.
NAMES_IN_SEVERAL_GROUPS = {"chrX1.dcm", "chrX2.dcm"}


def attributes(parent: ET.Element, path: str = "") -> dict[str, Attribute]:
    """VR, keyword and values of every attribute, by its tags and its creator."""
    found: dict[str, Attribute] = {}
    for each in parent.findall(f"{{{NAMESPACE}}}DicomAttribute"):
        name = f"{path}{each.get('tag')}{each.get('privateCreator', '')}"
        values: list[Any] = []
        for child in each:
            kind = child.tag.removeprefix(f"{{{NAMESPACE}}}")
            assert kind in APART or child.get("number") == str(len(values) + 1)
            if kind == "Value":
                values.append((child.text or "").strip())
            elif kind == "PersonName":
                groups = {
                    group.tag: {n.tag: n.text for n in group} for group in child if len(group)
                }
                values += [groups] if groups else []
            elif kind == "Item":
                found |= attributes(child, f"{name}/{child.get('number')}/")
                values.append("an item")
            else:
                values.append("bytes")
        found[name] = (str(each.get("vr")), each.get("keyword"), values)
    return found


def document_of(file: CorpusFile) -> bytes | None:
    """What dcm2xml makes of it, or None where it cannot or its parser cannot read the outcome."""
    tool = program("dcm2xml", package="dcmtk")
    options = ("--native-format", "--use-xml-namespace", "--charset-assume", "latin-1")
    done = subprocess.run([tool, *options, str(file.path)], capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else None


def comparable(ours: dict[str, Attribute], theirs: dict[str, Attribute]) -> set[str]:
    """What both read as the same kind of thing: DCMTK has other private dictionaries, reads what
    states UN as bytes, and has no block in the tag of an element whose creator is not there."""
    names = ours.keys() | theirs.keys()
    unknown = {name for name, each in (*ours.items(), *theirs.items()) if each[0] in ("UN", "OB")}
    last = {name: name.split("/")[-1] for name in names}
    unowned = {name for name in names if is_private(last[name]) and len(last[name]) == 8}
    left_out = tuple(f"{name}/" for name in unknown | unowned)
    return {name for name in names - unknown - unowned if not name.startswith(left_out)}


def is_private(tag: str) -> bool:
    return bool(int(tag[:4], 16) & 1)


def same(ours: Attribute, theirs: Attribute) -> bool:
    if ours[0] != theirs[0] or (ours[1] or theirs[1]) != (theirs[1] or ours[1]):
        return False
    if ours[2] == theirs[2]:
        return True
    if ours[0] not in NUMBERS or len(ours[2]) != len(theirs[2]):
        return False
    pairs = zip(map(float, ours[2]), map(float, theirs[2]), strict=True)
    return all(math.isclose(*pair, rel_tol=1e-6, abs_tol=1e-9) for pair in pairs)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.path.name)
def test_our_document_says_what_that_of_dcm2xml_says(file):
    if file.path.name in NAMES_IN_SEVERAL_GROUPS:
        pytest.skip("dcm2xml repeats a component group")
    document = document_of(file)
    if document is None:
        pytest.skip("dcm2xml does not convert this file")
    try:
        theirs = attributes(ET.fromstring(document))
    except ET.ParseError:
        pytest.skip("dcm2xml writes a character set that XML parsers do not know")
    data = file.path.read_bytes()
    splitter = Part10Splitter()
    start = splitter.feed(data) or splitter.finish()
    dicom_json = instance_json(data[start.dataset_offset :], start.transfer_syntax_uid)
    ours = attributes(ET.fromstring(native_model(dicom_json)))
    differing = {
        name: (ours.get(name), theirs.get(name))
        for name in comparable(ours, theirs)
        if name not in ours or name not in theirs or not same(ours[name], theirs[name])
    }
    assert differing == {}
