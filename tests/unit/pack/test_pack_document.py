"""docs/format/pack.md is not only read: its program runs, its numbers are the code's."""

import re
import subprocess
import sys
from pathlib import Path

from fileroom.pack import format as pack_format
from unit.pack.packs import STUDY_KEY, golden_pack, make_pack

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "format" / "pack.md"


def test_the_program_of_the_document_opens_our_packs_with_tink(tmp_path):
    [program] = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.S)
    pack = tmp_path / "sealed"
    for data in (make_pack([b"x" * 100_000]).data, golden_pack().read_bytes()):
        pack.write_bytes(data)
        command = [sys.executable, "-c", program, STUDY_KEY.hex(), str(pack)]
        subprocess.run(command, check=True, cwd=tmp_path)
        subprocess.run(["unzip", "-tq", "pack.zip"], check=True, cwd=tmp_path, capture_output=True)


def test_the_limits_of_the_document_are_the_codes():
    text = DOCUMENT.read_text()
    assert f"{pack_format.MEMBER_COUNT_MAX:,} members" in text
    assert f"{pack_format.METADATA_SIZE_BYTES_MAX >> 20} MiB of metadata.json" in text
    assert f"passes {pack_format.METADATA_FULL_BYTES >> 20} MiB" in text
    assert f"over {pack_format.DICOM_JSON_SIZE_BYTES_MAX >> 20} MiB stores null" in text
    assert f"`{pack_format.ASSOCIATED_DATA.decode()}`" in text
    assert f"# Pack, version {pack_format.MAJOR}.{pack_format.MINOR}" in text
