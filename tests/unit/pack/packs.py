"""Packs for tests: small ones of our writer, and the golden bucket made without it."""

import base64
import hashlib
import io
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec
import tink  # noqa: F401 - a test of a pack that cannot find Tink fails
from tink import json_proto_keyset_format, secret_key_access, streaming_aead

from fileroom.pack.metadata import Entry, NativeFrames, ReceivedFrom, Subject
from fileroom.pack.reader import PackReader
from fileroom.pack.writer import PackWriter, WrittenPack

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "pack_1_0"
STUDY_KEY = bytes(range(0x80, 0xA0))
STUDY_KEY_ID = bytes(range(0xB0, 0xC0))
ASSOCIATED_DATA = b"fileroom-pack-v1"
SUBJECT = Subject("site", "partition", "2.25.1", "2.25.2")
HEAD = bytes(128) + b"DICM" + b"head"
EXPLICIT_LE = "1.2.840.10008.1.2.1"


def golden_pack() -> Path:
    [path] = (GOLDEN / "packs" / STUDY_KEY_ID.hex()).iterdir()
    return path


def entry(number: int, body: bytes, **changed: object) -> Entry:
    digest = hashlib.sha256(body).hexdigest()
    made = Entry(
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        sop_instance_uid=f"2.25.3.{number}",
        transfer_syntax_uid=EXPLICIT_LE,
        original_sha256=digest,
        stored_sha256=digest,
        transform=None,
        received_at="2026-11-24T05:48:12.000000001Z",
        received_from=ReceivedFrom("dimse", "CT1", "192.0.2.7", "c1"),
        frames=NativeFrames(len(HEAD), len(body), 1),
        attributes={"PatientName": "Äpfel^Ölga", "InstanceNumber": str(number)},
        dicom_json=msgspec.Raw(b'{"00080018":{"vr":"UI","Value":["2.25.3.%d"]}}' % number),
    )
    return msgspec.structs.replace(made, **changed)


@dataclass
class Made:
    """A pack in memory."""

    data: bytes
    written: WrittenPack
    bodies: list[bytes]

    def reader(self, **changed: object) -> PackReader:
        data = changed.pop("data", self.data)
        facts = {
            "key": STUDY_KEY,
            "tink_header": self.written.tink_header,
            "size_bytes": self.written.size_bytes,
        } | changed
        return PackReader(lambda start, end: data[start:end], **facts)

    def plaintext(self) -> bytes:
        return self.reader().read(0, self.written.plaintext_size_bytes)


def make_pack(bodies: list[bytes], *, header: bytes | None = None, **changed: object) -> Made:
    out = bytearray()
    writer = PackWriter(out.extend, key=STUDY_KEY, subject=SUBJECT, header=header)
    for number, body in enumerate(bodies, 1):
        writer.add_instance(
            head=HEAD,
            body=[body],
            body_size_bytes=len(body),
            crc32=None,
            entry=entry(number, body, **changed),
        )
    written = writer.finish()
    return Made(bytes(out), written, bodies)


def random_bodies(*sizes: int) -> list[bytes]:
    return [os.urandom(size) for size in sizes]


def tink_primitive(study_key: bytes) -> streaming_aead.StreamingAead:
    """Tink over a study key, as docs/format/pack.md §2 says."""
    value = "EggIgIAEECAYAxog" + base64.b64encode(study_key).decode()
    keyset = (
        '{"primaryKeyId": 1, "key": [{"keyId": 1, "status": "ENABLED", "outputPrefixType": "RAW",'
        '"keyData": {"typeUrl": "type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey",'
        f'"keyMaterialType": "SYMMETRIC", "value": "{value}"}}}}]}}'
    )
    streaming_aead.register()
    handle = json_proto_keyset_format.parse(keyset, secret_key_access.TOKEN)
    return handle.primitive(streaming_aead.StreamingAead)


def tink_open(data: bytes, study_key: bytes = STUDY_KEY) -> bytes:
    with tink_primitive(study_key).new_decrypting_stream(
        io.BytesIO(data), ASSOCIATED_DATA
    ) as stream:
        return stream.read()


def tink_seal(plaintext: bytes, study_key: bytes = STUDY_KEY) -> bytes:
    out = io.BytesIO()
    out.close = lambda: None  # Tink closes what it writes to
    with tink_primitive(study_key).new_encrypting_stream(out, ASSOCIATED_DATA) as stream:
        stream.write(plaintext)
    return out.getvalue()
