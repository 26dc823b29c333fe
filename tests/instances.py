"""Small made instances: real attributes around pixels, every byte known."""

import functools
import io
import random

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRLittleEndian

from fileroom.dicom.part10 import write_header

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT_LITTLE = str(ExplicitVRLittleEndian)
ROOT = "1.2.826.0.1.3680043.10.999"
PATIENT_NAME = "Zauberfluss^Quirinius"  # words that no program has in it by chance
PATIENT_ID = "QZX-90210-PATIENT"


def uids(study: int, series: int, number: int) -> tuple[str, str, str]:
    """Study, Series and SOP Instance UID; of one length for all numbers of up to four digits."""
    return (
        f"{ROOT}.1{study:04d}",
        f"{ROOT}.1{study:04d}.1{series:04d}",
        f"{ROOT}.1{study:04d}.1{series:04d}.1{number:04d}",
    )


def pixels_of(study: int, series: int, number: int, size_bytes: int) -> bytes:
    """Pixel bytes that differ for every instance and repeat nowhere."""
    return random.Random(f"{study}/{series}/{number}").randbytes(size_bytes)


@functools.cache
def _template(size_bytes: int) -> bytes:
    d = Dataset()
    d.SpecificCharacterSet = "ISO_IR 100"
    d.SOPClassUID, d.SOPInstanceUID = CT_IMAGE_STORAGE, uids(0, 0, 0)[2]
    d.StudyDate, d.StudyTime, d.AccessionNumber = "20260115", "101530", "ACC77001"
    d.Modality, d.Manufacturer, d.StudyDescription = "CT", "Made", "CT HEAD"
    d.PatientName, d.PatientID, d.PatientBirthDate, d.PatientSex = (
        PATIENT_NAME, PATIENT_ID, "19610412", "O",
    )  # fmt: skip
    d.StudyInstanceUID, d.SeriesInstanceUID = uids(0, 0, 0)[:2]
    d.StudyID, d.SeriesNumber, d.InstanceNumber = "1", "1", "0000"
    d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
    d.Rows, d.Columns = size_bytes // 256, 128
    d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 16, 16, 15, 0
    d.PixelData = bytes(size_bytes)
    d.file_meta = FileMetaDataset()
    out = DicomBytesIO()
    out.is_little_endian, out.is_implicit_VR = True, False
    write_dataset(out, d)
    return out.getvalue()


def dataset(study: int, series: int, number: int, *, size_bytes: int = 32 * 256) -> bytes:
    """The data set of one instance, explicit little endian; pixels of `size_bytes`."""
    made = _template(size_bytes)
    for old, new in zip(
        reversed(uids(0, 0, 0)), reversed(uids(study, series, number)), strict=True
    ):
        made = made.replace(old.encode(), new.encode())
    end = len(made) - size_bytes
    return made[:end] + pixels_of(study, series, number, size_bytes)


def part10(study: int, series: int, number: int, *, size_bytes: int = 32 * 256) -> bytes:
    """The same as a file."""
    head = write_header(
        CT_IMAGE_STORAGE, uids(study, series, number)[2], EXPLICIT_LITTLE, source_ae_title=None
    )
    out = io.BytesIO(head)
    out.seek(0, io.SEEK_END)
    out.write(dataset(study, series, number, size_bytes=size_bytes))
    return out.getvalue()
