"""UIDs: validity, safety, storable classes, digests."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fileroom.dicom import uid


@pytest.mark.parametrize(
    "text", ["1.2.840.10008.1.2", "0.0", "2.25." + "9" * 39, "1", "1." + "2" * 62]
)
def test_a_uid_of_the_standard_is_valid_and_safe(text: str) -> None:
    assert uid.is_valid(text)
    assert uid.is_safe(text)


@pytest.mark.parametrize("text", ["1.02.3", "01.2", "1.2.00"])
def test_leading_zeros_are_not_valid_but_safe(text: str) -> None:
    assert not uid.is_valid(text)
    assert uid.is_safe(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "1.",
        ".1",
        "1..2",
        "1.2\n",
        "1.2\0",
        " 1.2",
        "1.2 ",
        "../../etc/passwd",
        "/etc/x",
        "1.2\\1.3",
        "1.2;DROP",
        "1.2.$(id)",
        "1.٣",
        "1.2a",
        "1." + "2" * 63,
    ],
)
def test_what_is_no_uid_is_neither_valid_nor_safe(text: str) -> None:
    assert not uid.is_valid(text)
    assert not uid.is_safe(text)


def test_our_implementation_class_is_a_uuid_derived_uid() -> None:
    assert uid.is_valid(uid.IMPLEMENTATION_CLASS_UID)
    assert int(uid.IMPLEMENTATION_CLASS_UID.removeprefix("2.25.")) < 1 << 128
    assert len(uid.IMPLEMENTATION_VERSION_NAME) <= 16


def test_every_storage_class_that_pydicom_knows_is_storable() -> None:
    from pydicom._uid_dict import UID_dictionary

    storage = {
        known
        for known, (name, kind, *_) in UID_dictionary.items()
        if kind == "SOP Class"
        and ("Storage" in name or known.startswith(uid.STORAGE_ROOT))
        and "Storage Commitment" not in name
        and known != "1.2.840.10008.1.3.10"  # media storage directories are no instances
    }
    assert len(storage) > 150
    assert [each for each in storage if not uid.is_storable_sop_class(each)] == []


@pytest.mark.parametrize(
    "text",
    [
        "1.2.840.10008.1.1",  # verification
        "1.2.840.10008.1.3.10",
        "1.2.840.10008.1.20.1",
        "1.2.840.10008.5.1.4.1.2.2.1",  # study root find
        "1.2.840.10008.5.1.4.1.1.x",
        "1.2.840.10008.5.1.4.1.1",
        "",
    ],
)
def test_other_classes_are_not_storable(text: str) -> None:
    assert not uid.is_storable_sop_class(text)


def test_classes_of_later_editions_are_storable_already() -> None:
    assert uid.is_storable_sop_class("1.2.840.10008.5.1.4.1.1.999.7")


def test_a_digest_is_the_first_half_of_the_sha_256() -> None:
    text = "1.2.840.10008.1.2"
    assert uid.digest(text) == hashlib.sha256(text.encode()).digest()[:16]
    assert len(uid.digest("not ascii: ü\ud800")) == 16


def test_the_hot_path_loads_without_pydicom() -> None:
    modules = ["header", "part10", "json_model", "frames", "match", "uid", "reading_order"]
    code = "import sys\n" + "".join(f"import fileroom.dicom.{each}\n" for each in modules)
    code += "assert 'pydicom' not in sys.modules and 'numpy' not in sys.modules"
    source = Path(uid.__file__).parents[2]
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(source)}
    )


def test_classes_of_other_services_are_told_from_those_of_storage() -> None:
    """By the names that pydicom's dictionary has for them."""
    from pydicom._uid_dict import UID_dictionary

    names = {number: name for number, (name, *_) in UID_dictionary.items()}
    others = {number for number in names if uid.is_of_another_service(number)}
    assert not [each for each in others if uid.is_storable_sop_class(each)]
    assert [names[each] for each in others if names[each].endswith("Storage")] == [
        "Media Storage Directory Storage"
    ]
    for number in ("1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.3.1.2.3.3"):
        assert number in others
    assert not uid.is_of_another_service("1.2.3")
    assert not uid.is_of_another_service("1.2.840.10008.5.1.4.77.1")  # of an edition to come
