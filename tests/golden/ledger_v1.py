"""Ledger format 1, field by field (docs/format/ledger.md §10).

Made with hashlib, struct and OpenSSL's AES-256-GCM and Ed25519 from the format page alone, not
with Fileroom's encoder.
"""

SITE = "general"
BODY_KEY = bytes(range(0x00, 0x20))
SALT = bytes(range(0x20, 0x40))
NONCE = bytes(range(0xA0, 0xAC))
SIGNING_SEED = bytes(range(0x60, 0x80))
TIME_NS = 1_700_000_000_000_000_000
KIND = "started"
BODY = b'{"version":"0.1.0"}'

BODY_HASH = bytes.fromhex("b260f755850c9aaf834643d1f385627effa1a818050a9ea6b94f455aa11346eb")
ENTRY = (
    b"fileroom-event-v1\n"
    b"1700000000000000000\n"
    b"started\n"
    b"smD3VYUMmq+DRkPR84Vifv+hqBgFCp6muU9FWqETRus=\n"
)
SEALED_BODY = bytes.fromhex(
    "a0a1a2a3a4a5a6a7a8a9aaab"  # nonce
    "c6395e0e61ee24984a4cadf82b57eef1409d6b23a682745ba4371cbd43964b3e"  # salt, encrypted
    "a954319add513a5231be3eea3954b2d777393b"  # body, encrypted
    "3ae4d58d2f83acc9e2f12f5f3c831eec"  # tag
)
LEAF = bytes.fromhex("a9dfd5a83b83016c894938bff316ca0546dc49240e57773946b16f8b62e5b55f")

SEGMENT_HEADER = bytes.fromhex(
    "46524c4544475231"  # FRLEDGR1
    "0000000000000001"  # segment 1
    "0000000000000000"  # first index 0, so no edge
    "0007"  # length of the site's name
    "67656e6572616c"  # general
    "6071fb5e8b15b95c1850afa2f01f738599e0fd744b5ec6e966239fd4aa388b8e"  # SHA-256 of the above
)
SEGMENT_BATCH = (
    bytes.fromhex(
        "46524c42"  # FRLB
        "000000b0"  # payload of 176 bytes
        "0000000000000000"  # first index
        "00000001"  # one record
        "5edac739c26032843d49934a4421ed8e0f4a469b0d830666d04e3dd849c61cf8"  # SHA-256, see §4
        "005b"  # entry of 91 bytes
    )
    + ENTRY
    + bytes.fromhex("0000004f")  # encrypted body of 79 bytes
    + SEALED_BODY
)

# At a provider
EVENTS_OBJECT = bytes.fromhex("0000004f") + SEALED_BODY
EVENTS_NAME = (
    "ledger/general/events/000000000000-000000000000-"
    "6e421c68b69931b4c0bffa7ca34851c9328723a92b2d868a84aed067935c7010"
)
ENTRY_BUNDLE = bytes.fromhex("005b") + ENTRY
CHECKPOINT = (
    "general\n"
    "1\n"
    "qd/VqDuDAWyJSTi/8xbKBUbcSSQOV3c5RrFvi2LltV8=\n"
    "\n"
    "— general tBlxiHOHyICwsmvl+1TRDrcCcq1i8LibL2nhW5vJOXlO3fiG0eohMTA6uFV+DTrgHnnsZRR0lyP7LCQi"
    "mhIdrCl+wwE=\n"
).encode()
VERIFIER_KEY = "general+b4197188+ARdFU7RW3d/GkI7KscEB/mqyHiuqBhd5W31DpjSCmT/V"
