"""How 00000001.seg beside this file was made: from docs/format/spool.md alone, without fileroom.

A clean segment with two instances of 40 and 0 bytes and one landing that never ended. It is kept
as the vector of version 1.0 and must open for ever. `python make.py` writes it again, the same.
"""

import hashlib
import zlib
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SPOOL_KEY = bytes(range(0x00, 0x20))
SEGMENT_KEY = bytes(range(0x20, 0x40))
HEADER_NONCE = bytes(range(0x40, 0x4C))
DATA_SET = b"forty bytes, as a modality would send it"
RECEIVED_AT_NS = 1_764_000_000_123_456_789
BLOCK = 4096


def big(number, size):
    return number.to_bytes(size, "big")


def text(value):  # MessagePack fixstr and str 8
    data = value.encode()
    return (bytes([0xA0 | len(data)]) if len(data) < 32 else bytes([0xD9, len(data)])) + data


def mapping(pairs):  # MessagePack fixmap
    return bytes([0x80 | len(pairs)]) + b"".join(text(key) + value for key, value in pairs)


def description(number, preamble):
    return mapping(
        [
            ("partition", text("radiology")),
            (
                "header",
                mapping(
                    [
                        ("sop_class_uid", text("1.2.840.10008.5.1.4.1.1.2")),
                        ("sop_instance_uid", text(f"2.25.30{number}")),
                        ("study_instance_uid", text("2.25.10")),
                        ("series_instance_uid", text("2.25.20")),
                        (
                            "attributes",
                            mapping(
                                [("PatientName", text("Müller^Änne")), ("Modality", text("CT"))]
                            ),
                        ),
                    ]
                ),
            ),
            ("transfer_syntax_uid", text("1.2.840.10008.1.2.1")),
            ("preamble", bytes([0xC4, len(preamble)]) + preamble),  # bin 8
            (
                "origin",
                mapping(
                    [
                        ("channel", text("dimse")),
                        ("calling_ae_title", text("CT_ROOM_2")),
                        ("address", text("192.0.2.7")),
                        ("conversation", text("8d7c")),
                    ]
                ),
            ),
            ("received_at_ns", b"\xcf" + big(RECEIVED_AT_NS, 8)),  # uint 64
            ("a_key_of_a_later_version", b"\xc0"),  # nil; readers ignore it
        ]
    )


def frame(kind, plaintext, offset, landing, ordinal):
    head = kind + big(len(plaintext), 4) + big(offset, 8) + big(landing, 8) + big(ordinal, 4)
    head += big(zlib.crc32(head), 4)
    nonce = bytes(4) + big(offset, 8)
    return head + AESGCM(SEGMENT_KEY).encrypt(nonce, plaintext, head)


def commit(data_set, mark, offsets, described):
    return (
        big(len(data_set), 8)
        + hashlib.sha256(data_set).digest()
        + big(mark, 8)
        + big(len(offsets), 4)
        + big(len(described), 4)
        + b"".join(big(offset, 8) for offset in offsets)
        + described
    )


def segment():
    head = b"FRSPOOL\0" + big(1, 2) + big(0, 2) + big(1, 4) + big(RECEIVED_AT_NS, 8)
    fields = (
        head
        + HEADER_NONCE
        + AESGCM(SPOOL_KEY).encrypt(HEADER_NONCE, SEGMENT_KEY, b"fileroom-spool-v1" + head)
    )
    blocks = [
        fields + big(zlib.crc32(fields), 4),
        frame(b"FRSD", DATA_SET, 1 * BLOCK, 0, 0),
        frame(b"FRSD", b"its sender went away", 2 * BLOCK, 1, 0),
        frame(b"FRSC", commit(DATA_SET, BLOCK, [BLOCK], description(1, b"")), 3 * BLOCK, 0, 1),
        frame(
            b"FRSC", commit(b"", 4 * BLOCK, [], description(2, bytes(127) + b"P")), 4 * BLOCK, 2, 0
        ),
    ]
    end = frame(b"FRSE", big(2, 8), 5 * BLOCK, 0, 0)
    return b"".join(block.ljust(BLOCK, b"\0") for block in blocks) + end


if __name__ == "__main__":
    (Path(__file__).parent / "00000001.seg").write_bytes(segment())
