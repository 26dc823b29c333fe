"""Unique identifiers: what is valid, what is safe to take in, which classes we store. Pure."""

import re
from hashlib import sha256

LENGTH_MAX = 64

# Derived from a random UUID, PS3.5 §B.2. It names this implementation, not a version of it.
IMPLEMENTATION_CLASS_UID = "2.25.214372966619645717725172493443405052377"
IMPLEMENTATION_VERSION_NAME = "FILEROOM_0_1"  # at most 16 characters, PS3.7 §D.3.3.2.4

STORAGE_ROOT = "1.2.840.10008.5.1.4.1.1."
# Storage SOP classes of PS3.4 §B.5, §GG.3 and retired ones that lie outside STORAGE_ROOT, and
# private ones that modalities send every day. Media Storage Directory is not stored by C-STORE.
STORAGE_ELSEWHERE = frozenset(
    {
        "1.2.840.10008.5.1.1.27",  # Stored Print Storage (retired)
        "1.2.840.10008.5.1.1.29",  # Hardcopy Grayscale Image Storage (retired)
        "1.2.840.10008.5.1.1.30",  # Hardcopy Color Image Storage (retired)
        "1.2.840.10008.5.1.4.34.1",  # RT Beams Delivery Instruction Storage - Trial (retired)
        "1.2.840.10008.5.1.4.34.7",  # RT Beams Delivery Instruction Storage
        "1.2.840.10008.5.1.4.34.10",  # RT Brachy Application Setup Delivery Instruction Storage
        "1.2.840.10008.5.1.4.38.1",  # Hanging Protocol Storage
        "1.2.840.10008.5.1.4.39.1",  # Color Palette Storage
        "1.2.840.10008.5.1.4.43.1",  # Generic Implant Template Storage
        "1.2.840.10008.5.1.4.44.1",  # Implant Assembly Template Storage
        "1.2.840.10008.5.1.4.45.1",  # Implant Template Group Storage
        "1.2.392.200036.9125.1.1.2",  # private: Fuji CR Image Storage
        "1.2.840.113543.6.6.1.3.10002",  # private: Philips 3D Volume Storage
        "1.3.12.2.1107.5.9.1",  # private: Siemens CSA Non-Image Storage
    }
)

# Under which the standard has classes whose instances are not stored: verification, commitment,
# media directories, managed print, procedure steps, queries, worklists. Not all of them; but no
# class of storage that a later edition adds will be among them.
_OF_OTHER_SERVICES = (
    "1.2.840.10008.1.",
    "1.2.840.10008.3.",
    "1.2.840.10008.5.1.1.",
    "1.2.840.10008.5.1.4.1.2.",
    "1.2.840.10008.5.1.4.31",
    "1.2.840.10008.5.1.4.32.",
    "1.2.840.10008.5.1.4.33",
    "1.2.840.10008.5.1.4.37.",
)

_SAFE = re.compile(r"[0-9]+(?:\.[0-9]+)*")
_VALID = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))*")


def is_valid(uid: str) -> bool:
    """Whether `uid` obeys PS3.5 §9.1: at most 64 characters, numeric components without
    leading zeros. What we make ourselves must be valid; what we receive must be safe."""
    return len(uid) <= LENGTH_MAX and _VALID.fullmatch(uid) is not None


def is_safe(uid: str) -> bool:
    """Whether `uid` names an instance without ambiguity and without danger.

    Receiving requires this and no more: digits and dots, at most 64 characters, no empty
    component. Components with leading zeros are against PS3.5 §9.1, yet modalities in service
    send them and other archives keep them.
    """
    return len(uid) <= LENGTH_MAX and _SAFE.fullmatch(uid) is not None


def is_storable_sop_class(uid: str) -> bool:
    """Whether instances of SOP class `uid` are stored: all storage classes of PS3.6 §A, and
    those that later editions add under the same root."""
    return (uid.startswith(STORAGE_ROOT) and is_safe(uid)) or uid in STORAGE_ELSEWHERE


def is_of_another_service(uid: str) -> bool:
    """Whether the standard has SOP class `uid` for something else than storage."""
    return uid.startswith(_OF_OTHER_SERVICES) and not is_storable_sop_class(uid)


def digest(uid: str) -> bytes:
    """The 16 bytes that stand for `uid` in the catalog: the first half of its SHA-256."""
    return sha256(uid.encode("utf-8", "surrogatepass")).digest()[:16]
