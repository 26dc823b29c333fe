"""The keys of the golden bucket, which Tink and OpenSSL wrapped, and quick ports for tests."""

import hashlib
import shutil
from pathlib import Path

from fileroom.keys.keyfile import KeyFile

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "pack_1_0" / "keyring"
RECOVERY_KEY = bytes(range(0x40, 0x60))
SITE_KEY = bytes(range(0x60, 0x80))
SITE_KEY_ID = bytes(range(0xA0, 0xB0))
STUDY_KEY = bytes(range(0x80, 0xA0))
STUDY_KEY_ID = bytes(range(0xB0, 0xC0))
PASSPHRASE = "R\u00f6ntgen room 7"


def inner_key(purpose: str) -> bytes:
    return hashlib.sha256(purpose.encode()).digest()


def quick(passphrase: str = PASSPHRASE) -> KeyFile:
    return KeyFile(passphrase, iterations=1)


def golden_copy(directory: Path) -> Path:
    return Path(shutil.copytree(GOLDEN, directory / "keyring"))
