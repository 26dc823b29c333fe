"""DICOM files for tests: what pydicom ships, and a larger corpus if it lies beside the checkout."""

import csv
from dataclasses import dataclass
from pathlib import Path

import pydicom.data
from pydicom.data import get_testdata_file

BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"


@dataclass(frozen=True)
class CorpusFile:
    """One file. `origin` is "pydicom" or the folder of the larger corpus."""

    path: Path
    origin: str
    note: str = ""

    @property
    def hostile(self) -> bool:
        """Whether the file is meant to be refused or is known to be damaged."""
        return bool({"hostile", "fuzz-sample", "bad"} & set(self.path.parts))


def pydicom_files() -> list[CorpusFile]:
    """Files inside pydicom's own package; nothing is downloaded."""
    roots = [Path(pydicom.data.__file__).parent / "test_files"]
    found = [
        path for root in roots for path in sorted(root.rglob("*")) if path.suffix in {".dcm", ""}
    ]
    return [CorpusFile(path, "pydicom") for path in found if path.is_file()]


def beside_files() -> list[CorpusFile]:
    """The larger corpus, or an empty list where it does not lie beside the checkout."""
    manifest = BESIDE / "MANIFEST.csv"
    if not manifest.is_file():
        return []
    with manifest.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    return [CorpusFile(BESIDE / r["path"], r["path"].split("/")[0], r["notes"]) for r in rows]


def dicom_files() -> list[CorpusFile]:
    """All of them, pydicom's first."""
    return pydicom_files() + beside_files()


def ct_small() -> Path:
    """A real CT slice that pydicom ships."""
    found = get_testdata_file("CT_small.dcm", download=False)
    assert isinstance(found, str)
    return Path(found)
