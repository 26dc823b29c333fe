"""A seeded synthetic corpus for the benchmark: `python bench/corpus.py OUT`.

ct/    1,000 CT slices of 512 × 512 (5 studies × 2 series × 100), 527 KB each
enh/   one Enhanced CT of 200 frames, 105 MB
tiny/  30,000 CT slices of 32 × 32 (3,000 studies of 10), for searches

Every UID holds the run number 100000, so that a sender can make other studies of the same
bytes by writing another number of six digits over it.
"""

import argparse
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

ROOT = "1.2.826.0.1.3680043.10.999"
RUN = 100000
CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2.1"
FAMILY = ["Smith", "Johnson", "Garcia", "Mueller", "Rossi", "Tanaka", "Nguyen", "Okafor"]
FAMILY += ["Kowalski", "Silva", "Ivanov", "Larsen", "Dubois", "Haddad", "Chen", "Patel"]
FAMILY += ["Murphy", "Svensson", "Novak", "Costa"]
GIVEN = ["Anna", "Ben", "Carla", "David", "Elena", "Frank", "Grace", "Hugo", "Ines", "Jonas"]
GIVEN += ["Karin", "Luca", "Maria", "Nils", "Olga", "Paul", "Rita", "Sven", "Tara", "Viktor"]


def uid(*parts: int) -> str:
    return ".".join([ROOT, str(RUN), *map(str, parts)])


def code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "99LOCAL", meaning
    return item


def reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
    return item


def blank(sop_class_uid: str, sop_instance_uid: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class_uid
    meta.MediaStorageSOPInstanceUID = sop_instance_uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = ROOT + ".1"
    d = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    d.SOPClassUID, d.SOPInstanceUID = sop_class_uid, sop_instance_uid
    return d


def image(
    patient: int, study: int, series: int, number: int, *, description: str, sop_class_uid: str
) -> FileDataset:
    """The attributes around the pixels, as many and as long as a scanner writes."""
    d = blank(sop_class_uid, uid(patient, study, series, number))
    random = np.random.default_rng(patient * 7919 + 13)
    date = f"20{15 + study % 10:02d}{1 + study * 7 % 12:02d}{1 + study * 11 % 28:02d}"
    time = f"{8 + study % 10:02d}{study * 13 % 60:02d}15.123000"
    d.SpecificCharacterSet = "ISO_IR 100"
    d.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"]
    d.InstanceCreationDate, d.InstanceCreationTime = date, time
    for each in ("Study", "Series", "Acquisition", "Content"):
        setattr(d, each + "Date", date)
        setattr(d, each + "Time", time)
    d.AccessionNumber, d.Modality, d.Manufacturer = f"ACC{study:08d}", "CT", "SIEMENS"
    d.InstitutionName = "University Hospital Bench"
    d.InstitutionAddress = "Teststrasse 1, 12345 Berlin"
    d.ReferringPhysicianName, d.StationName = "Weber^Hans^^Dr.", "CTAWP73491"
    d.StudyDescription, d.SeriesDescription = description, "AXIAL 1.0 B30f"
    d.ProcedureCodeSequence = Sequence([code("CTTHAB", description)])
    d.InstitutionalDepartmentName, d.PerformingPhysicianName = "Radiology", "Meyer^Eva"
    d.NameOfPhysiciansReadingStudy, d.OperatorsName = "Schulz^Max", "TECH^A"
    d.ManufacturerModelName = "SOMATOM Definition AS+"
    d.ReferencedStudySequence = Sequence(
        [reference("1.2.840.10008.3.1.2.3.1", uid(patient, study, 0, 99))]
    )
    d.ReferencedImageSequence = Sequence(
        [reference(sop_class_uid, uid(patient, study, 1, n)) for n in (1, 2)]
    )
    d.DerivationDescription = "none"
    d.PatientName = f"{FAMILY[patient % 20]}^{GIVEN[patient // 20 % 20]}"
    d.PatientID, d.IssuerOfPatientID = f"PID{patient:07d}", "BENCH"
    d.PatientBirthDate = f"19{30 + patient % 60:02d}0{1 + patient % 9}1{patient % 10}"
    d.PatientSex, d.PatientAge = "MF"[patient % 2], f"0{20 + patient % 70}Y"
    d.PatientSize, d.PatientWeight = "1.75", "78.0"
    d.ContrastBolusAgent, d.BodyPartExamined = "APPLIED", "CHEST"
    d.DeviceSerialNumber, d.SoftwareVersions = "73491", "syngo CT 2012B"
    d.ProtocolName, d.PatientPosition = "Thorax_Abd_Routine", "HFS"
    d.StudyInstanceUID = uid(patient, study)
    d.SeriesInstanceUID = uid(patient, study, series)
    d.StudyID, d.SeriesNumber, d.AcquisitionNumber, d.InstanceNumber = str(study), series, 2, number
    d.FrameOfReferenceUID, d.PositionReferenceIndicator = uid(patient, study, 0, 1), ""
    d.RequestingPhysician, d.RequestedProcedureDescription = "Weber^Hans", description
    d.PerformedProcedureStepStartDate, d.PerformedProcedureStepStartTime = date, time
    d.PerformedProcedureStepID = f"PPS{study}"
    asked = Dataset()
    asked.ScheduledProcedureStepDescription = description
    asked.ScheduledProcedureStepID, asked.RequestedProcedureID = f"SPS{study}", f"RP{study}"
    d.RequestAttributesSequence = Sequence([asked])
    block = d.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    block.add_new(0x08, "CS", "SOM 5")
    block.add_new(0x10, "OB", random.integers(0, 256, 512, dtype=np.uint8).tobytes())
    block = d.private_block(0x0019, "SIEMENS CT VA0  COAD", create=True)
    for element in range(0x90, 0x98):
        block.add_new(element, "DS", str(round(float(random.random()), 4)))
    return d


def scanned(d: FileDataset, number: int) -> None:
    """The attributes of one CT slice's acquisition."""
    d.SliceThickness, d.KVP, d.DataCollectionDiameter = "1.0", "120", "500"
    d.ReconstructionDiameter, d.DistanceSourceToDetector = "380", "1085.6"
    d.DistanceSourceToPatient, d.GantryDetectorTilt, d.TableHeight = "595", "0", "163"
    d.RotationDirection, d.ExposureTime, d.XRayTubeCurrent = "CW", "500", "230"
    d.Exposure, d.FilterType, d.GeneratorPower, d.FocalSpots = "115", "FLAT", "27", "1.2"
    d.ConvolutionKernel, d.CTDIvol = "B30f", 7.77
    position = f"{-100.5 - number:.1f}"
    d.ImagePositionPatient = ["-189.62890625", "-352.62890625", position]
    d.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    d.SliceLocation, d.PixelSpacing = position, ["0.7421875", "0.7421875"]
    d.WindowCenter, d.WindowWidth = ["40", "-600"], ["400", "1200"]
    d.RescaleIntercept, d.RescaleSlope, d.RescaleType = "-1024", "1", "HU"


def pixels_of(d: FileDataset, rows: int, columns: int, pixels: bytes) -> None:
    d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
    d.Rows, d.Columns = rows, columns
    d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 16, 12, 11, 0
    d.PixelData = pixels


def phantom(size: int, z: float, random: np.random.Generator) -> np.ndarray:
    """A body section with lungs, spine, ribs and correlated noise, in Hounsfield units."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j].astype(np.float32)

    def ellipse(cx: float, cy: float, a: float, b: float) -> np.ndarray:
        return ((x - cx) / a) ** 2 + ((y - cy) / b) ** 2 < 1

    s = 1 + 0.06 * np.sin(z * 6.28)
    hu = np.full((size, size), -1000, np.float32)
    hu[ellipse(0, 0, 0.88 * s, 0.66 * s)] = -90
    hu[ellipse(0, 0, 0.82 * s, 0.6 * s)] = 45
    for side in (-0.38, 0.38):
        hu[ellipse(side, -0.05, 0.27 * s, 0.4 * s * (1 - 0.3 * z))] = -850
    hu[ellipse(0.08, -0.02, 0.17, 0.19)] = 165 if z > 0.3 else 55
    hu[ellipse(0, 0.43, 0.09, 0.1)] = 420
    for k in range(12):
        hu[
            ellipse(0.78 * s * np.cos(k * 0.52 + z), 0.56 * s * np.sin(k * 0.52 + z), 0.035, 0.028)
        ] = 600
    noise = random.standard_normal((size, size), dtype=np.float32)
    noise += 0.5 * np.roll(noise, 1, -1) + 0.5 * np.roll(noise, 1, -2)
    hu += noise * 18
    hu[x * x + y * y > 1] = -1024
    return np.asarray(np.clip(hu, -1024, 3071) + 1024, dtype=np.uint16)


def save(d: FileDataset, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    d.save_as(path, enforce_file_format=True)


def make_ct(out: Path) -> None:
    random = np.random.default_rng(20240601)
    count = 0
    for study in range(1, 6):
        for series in (1, 2):
            for number in range(1, 101):
                d = image(
                    study, study, series, number,
                    description="CT THORAX/ABDOMEN W CONTRAST", sop_class_uid=CT_IMAGE_STORAGE,
                )  # fmt: skip
                scanned(d, number)
                pixels_of(d, 512, 512, phantom(512, number / 100, random).tobytes())
                save(d, out / "ct" / f"{count:05d}.dcm")
                count += 1


def make_enhanced(out: Path) -> None:
    random = np.random.default_rng(7)
    d = image(30, 30, 1, 1, description="CT ENHANCED", sop_class_uid=ENHANCED_CT_IMAGE_STORAGE)
    d.NumberOfFrames = 200
    measures, values, shared = Dataset(), Dataset(), Dataset()
    measures.SliceThickness, measures.PixelSpacing = "1", ["0.74", "0.74"]
    values.RescaleIntercept, values.RescaleSlope, values.RescaleType = "-1024", "1", "HU"
    shared.PixelMeasuresSequence = Sequence([measures])
    shared.PixelValueTransformationSequence = Sequence([values])
    d.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for i in range(200):
        content, position, frame = Dataset(), Dataset(), Dataset()
        content.FrameAcquisitionNumber, content.StackID = i + 1, "1"
        content.InStackPositionNumber, content.DimensionIndexValues = i + 1, [1, i + 1]
        position.ImagePositionPatient = ["-189.6", "-352.6", str(-100 - i)]
        frame.FrameContentSequence = Sequence([content])
        frame.PlanePositionSequence = Sequence([position])
        frames.append(frame)
    d.PerFrameFunctionalGroupsSequence = Sequence(frames)
    body = b"".join(phantom(512, i / 200, random).tobytes() for i in range(200))
    pixels_of(d, 512, 512, body)
    save(d, out / "enh" / "00000.dcm")


def make_tiny(out: Path, count: int) -> None:
    random = np.random.default_rng(9)
    parts = ("HEAD", "THORAX", "ABDOMEN", "SPINE")
    for k in range(count):
        study = 1000 + k // 10
        patient = 1000 + (k // 10) % max(1, count // 20)
        d = image(
            patient, study, 1, k % 10 + 1,
            description=f"CT {parts[study % 4]}", sop_class_uid=CT_IMAGE_STORAGE,
        )  # fmt: skip
        scanned(d, k % 10)
        pixels_of(d, 32, 32, random.integers(0, 4096, 1024, dtype=np.uint16).tobytes())
        save(d, out / "tiny" / f"{k:06d}.dcm")


def make(out: Path, *, tiny_count: int = 30000) -> None:
    """Make what is missing of the corpus; a finished part has a mark beside it."""
    for name, build in (
        ("ct", make_ct),
        ("enh", make_enhanced),
        ("tiny", lambda folder: make_tiny(folder, tiny_count)),
    ):
        mark = out / f"{name}.made"
        if not mark.exists():
            build(out)
            mark.touch()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tiny", type=int, default=30000)
    asked = parser.parse_args()
    make(asked.out, tiny_count=asked.tiny)
