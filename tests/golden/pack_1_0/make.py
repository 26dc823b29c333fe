"""How the golden bucket beside this file was made: from docs/format alone, without fileroom.

Tink encrypts the pack and wraps the keys, `zipfile` writes the ZIP, `openssl kdf` derives, pydicom
writes the DICOM files. Tink draws its own salts and nonces, so a second run gives another bucket;
this one is kept as the vectors of version 1.0 and must open for ever. Run in an empty folder.
"""

import base64
import hashlib
import io
import json
import struct
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import generate_fragments
from tink import aead, json_proto_keyset_format, secret_key_access, streaming_aead

RECOVERY_KEY = bytes(range(0x40, 0x60))
SITE_KEY = bytes(range(0x60, 0x80))
STUDY_KEY = bytes(range(0x80, 0xA0))
SITE_KEY_ID = "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"
STUDY_KEY_ID = "b0b1b2b3b4b5b6b7b8b9babbbcbdbebf"
INNER = {
    purpose: hashlib.sha256(purpose.encode()).digest()
    for purpose in ("spool", "catalog", "cache", "ledger-body", "ledger-signing")
}
PASSPHRASE = "R\u00f6ntgen room 7"
PBKDF2_SALT = bytes(range(0x10, 0x20))
ITERATIONS = 1000
PARTITION = "radiology"
STUDY, SERIES = "2.25.1001", "2.25.1002"
EXPLICIT_LE, RLE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5"
MR_IMAGE, CT_IMAGE = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.2"


def primitive(type_name: str, value: bytes, kind: type) -> object:
    """Tink's primitive for one RAW key whose protocol buffer is `value`."""
    keyset = {
        "primaryKeyId": 1,
        "key": [
            {
                "keyId": 1,
                "status": "ENABLED",
                "outputPrefixType": "RAW",
                "keyData": {
                    "typeUrl": f"type.googleapis.com/google.crypto.tink.{type_name}",
                    "keyMaterialType": "SYMMETRIC",
                    "value": base64.b64encode(value).decode(),
                },
            }
        ],
    }
    return json_proto_keyset_format.parse(json.dumps(keyset), secret_key_access.TOKEN).primitive(
        kind
    )


def seal(study_key: bytes, plaintext: bytes) -> bytes:
    """Tink's streaming encryption with the parameters of pack.md §2."""
    prefix = bytes.fromhex("12080880800410201803 1a20")
    tool = primitive("AesGcmHkdfStreamingKey", prefix + study_key, streaming_aead.StreamingAead)
    out = io.BytesIO()
    out.close = lambda: None  # Tink closes what it writes to
    with tool.new_encrypting_stream(out, b"fileroom-pack-v1") as stream:
        stream.write(plaintext)
    return out.getvalue()


def wrap(by: bytes, key: bytes, *lines: str) -> bytes:
    """Tink's AES-GCM, RAW: nonce, ciphertext, tag (keyring.md §1)."""
    return primitive("AesGcmKey", b"\x1a\x20" + by, aead.Aead).encrypt(
        key, "\n".join(("fileroom-keyring-v1", *lines)).encode()
    )


def kdf(name: str, *options: str) -> bytes:
    """32 bytes from `openssl kdf`."""
    arguments = [part for option in options for part in ("-kdfopt", option)]
    command = ["openssl", "kdf", "-keylen", "32", "-binary", *arguments, name]
    return subprocess.run(command, check=True, capture_output=True).stdout


def dicom_file(number: int, *, sop_class: str, size: int, frames: int, rle: bool) -> bytes:
    """One Part 10 file with a zero preamble, made by pydicom."""
    noise = np.random.default_rng(number)
    dataset = Dataset()
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = f"2.25.200{number}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY, SERIES
    dataset.PatientName, dataset.PatientID = "GOLDEN^PACK", "G-1"
    dataset.InstanceNumber = number
    if frames > 1:
        dataset.NumberOfFrames = frames
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows = dataset.Columns = size
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = EXPLICIT_LE
    pixels = noise.integers(0, 4096, (frames, size, size), dtype=np.uint16)
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OW"
    if rle:
        dataset.compress(RLE, generate_instance_uid=False)
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()


def instance(number: int, data: bytes, start: int) -> dict:
    """The metadata.json entry of a file, by reading it with pydicom (pack.md §4)."""
    read = pydicom.dcmread(io.BytesIO(data))
    group_length = read.file_meta.FileMetaInformationGroupLength
    dataset_offset = 128 + 4 + 12 + group_length
    digest = hashlib.sha256(data[dataset_offset:]).hexdigest()
    pixels = read.PixelData
    if read.file_meta.TransferSyntaxUID == RLE:
        at, ranges = data.index(pixels), []
        for fragment in list(generate_fragments(pixels))[1:]:
            begin = at + pixels.index(fragment)
            ranges.append([[begin, begin + len(fragment)]])
        frames = {"kind": "encapsulated", "frames": ranges}
    else:
        frames = {
            "kind": "native",
            "offset": len(data) - len(pixels),
            "frame_length_bytes": len(pixels),
            "frame_count": 1,
        }
    attributes = {"PatientName": "GOLDEN^PACK", "PatientID": "G-1", "InstanceNumber": str(number)}
    entry = {
        "file": f"instances/{number:06d}.dcm",
        "start": start,
        "end": start + len(data),
        "dataset_offset": dataset_offset,
        "sop_class_uid": read.SOPClassUID,
        "sop_instance_uid": read.SOPInstanceUID,
        "transfer_syntax_uid": read.file_meta.TransferSyntaxUID,
        "original_sha256": digest,
        "stored_sha256": digest,
        "transform": None,
        "frames": frames,
        "received_at": "2026-11-24T05:48:12.000000001Z",
        "received_from": {
            "channel": "dimse",
            "calling_ae_title": "CT1",
            "address": "192.0.2.7",
            "conversation": "c" * 32,
        },
        "attributes": attributes,
        "dicom_json": read.to_json_dict(
            bulk_data_threshold=1024, bulk_data_element_handler=lambda _: "bulkdata/7FE00010"
        ),
    }
    if number == 2:
        entry["preamble"] = base64.b64encode(b"MZ" + bytes(126)).decode()
    return entry


def plaintext(files: list[bytes]) -> bytes:
    """The ZIP of pack.md §3, by zipfile."""
    out, start, entries = io.BytesIO(), 0, []
    with zipfile.ZipFile(out, "w") as archive:
        for number, data in enumerate(files, 1):
            entries.append(instance(number, data, start + 30 + 20))
            archive.writestr(zipfile.ZipInfo(entries[-1]["file"]), data)
            start += 30 + 20 + len(data)
        metadata = {
            "format": {"major": 1, "minor": 0},
            "writer": "make.py",
            "site": "golden",
            "partition": PARTITION,
            "study_instance_uid": STUDY,
            "series_instance_uid": SERIES,
            "instances": entries,
        }
        member = zipfile.ZipInfo("metadata.json")
        member.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(member, json.dumps(metadata))
    return out.getvalue()


def site_object() -> dict:
    salt = PBKDF2_SALT.hex()
    derived = kdf(
        "PBKDF2", "digest:SHA256", f"pass:{PASSPHRASE}", f"hexsalt:{salt}", f"iter:{ITERATIONS}"
    )
    blob = b"\x01" + struct.pack(">I", ITERATIONS) + PBKDF2_SALT
    blob += wrap(derived, SITE_KEY, "site", SITE_KEY_ID, "port")
    inner = {
        purpose: base64.b64encode(wrap(SITE_KEY, key, "inner", SITE_KEY_ID, purpose)).decode()
        for purpose, key in INNER.items()
    }
    recovery = wrap(RECOVERY_KEY, SITE_KEY, "site", SITE_KEY_ID, "recovery")
    print("PBKDF2 key", derived.hex())
    return {
        "format": {"major": 1, "minor": 0},
        "object": "site",
        "generation": 1,
        "site_key_id": SITE_KEY_ID,
        "port": "passphrase",
        "wrapped_by_port": base64.b64encode(blob).decode(),
        "wrapped_by_recovery_key": base64.b64encode(recovery).decode(),
        "inner": inner,
    }


def study_object() -> dict:
    wrapped = wrap(SITE_KEY, STUDY_KEY, "study", STUDY_KEY_ID, "1", PARTITION)
    return {
        "format": {"major": 1, "minor": 0},
        "object": "study",
        "generation": 1,
        "study_key_id": STUDY_KEY_ID,
        "partition": PARTITION,
        "site_key_id": SITE_KEY_ID,
        "wrapped": base64.b64encode(wrapped).decode(),
    }


def put(folder: str, data: bytes, name: str) -> None:
    target = Path(folder) / name.replace("@", hashlib.sha256(data).hexdigest())
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    print(target)


def main() -> None:
    streaming_aead.register()
    aead.register()
    files = [
        dicom_file(1, sop_class=CT_IMAGE, size=200, frames=1, rle=False),
        dicom_file(2, sop_class=MR_IMAGE, size=16, frames=2, rle=True),
    ]
    plain = plaintext(files)
    sealed = seal(STUDY_KEY, plain)
    put("packs", sealed, f"{STUDY_KEY_ID}/@")
    for folder, value in (("site", site_object()), (STUDY_KEY_ID, study_object())):
        put("keyring", json.dumps(value, indent=1).encode(), f"{folder}/1-@.json")
    salt, info = sealed[1:33].hex(), b"fileroom-pack-v1".hex()
    options = ("digest:SHA256", f"hexkey:{STUDY_KEY.hex()}", f"hexsalt:{salt}", f"hexinfo:{info}")
    print("pack header", sealed[:40].hex(), "pack key", kdf("HKDF", *options).hex(), len(sealed))
    for text in (b"Fileroom\n", bytes(i % 251 for i in range(200_000))):
        vector = seal(STUDY_KEY, text)
        salt = vector[1:33].hex()
        options = (*options[:2], f"hexsalt:{salt}", options[3])
        print(len(text), vector[:65].hex(), kdf("HKDF", *options).hex(), len(vector))
        print("  sha256", hashlib.sha256(vector).hexdigest())


if __name__ == "__main__":
    main()
