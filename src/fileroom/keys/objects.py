"""Key objects: their names and their JSON, docs/format/keyring.md §2. Pure."""

import re
from hashlib import sha256
from typing import NamedTuple, TypeVar

import msgspec

from fileroom.keys.port import DamagedKeyError, NewerKeyringError

MAJOR, MINOR = 1, 0
PREFIX = "keyring/"
SITE = "site"
SITE_KEY = SITE.encode()  # stands where a study key's id stands; those have 16 bytes
OBJECT_SIZE_BYTES_MAX = 1 << 20

_NAME = re.compile(r"keyring/(site|[0-9a-f]{32})/([1-9][0-9]{0,8})-([0-9a-f]{64})\.json", re.ASCII)


class Format(msgspec.Struct, frozen=True):
    """The version of the format that an object is written in."""

    major: int
    minor: int


class SiteObject(msgspec.Struct, frozen=True, tag_field="object", tag="site", kw_only=True):
    """The site key, wrapped twice, and the inner keys that it wraps."""

    format: Format
    generation: int
    site_key_id: str
    port: str
    wrapped_by_port: bytes
    wrapped_by_recovery_key: bytes
    inner: dict[str, bytes]


class StudyObject(msgspec.Struct, frozen=True, tag_field="object", tag="study", kw_only=True):
    """One study key, wrapped by the site key."""

    format: Format
    generation: int
    study_key_id: str
    partition: str
    site_key_id: str
    wrapped: bytes


class ObjectName(NamedTuple):
    """A key object's name in its parts; `owner` is "site" or a study key id. Sorts by age."""

    owner: str
    generation: int
    sha256: str

    def __str__(self) -> str:
        return f"{PREFIX}{self.owner}/{self.generation}-{self.sha256}.json"


class _Versioned(msgspec.Struct):
    format: Format


KeyObject = TypeVar("KeyObject", SiteObject, StudyObject)


def parse_name(name: str) -> ObjectName | None:
    """The parts of a key object's name, or None if it is not one."""
    found = _NAME.fullmatch(name)
    return ObjectName(found[1], int(found[2]), found[3]) if found else None


def encode(value: SiteObject | StudyObject) -> tuple[str, bytes]:
    """The object's name and bytes."""
    data = msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"
    owner = SITE if isinstance(value, SiteObject) else value.study_key_id
    return str(ObjectName(owner, value.generation, sha256(data).hexdigest())), data


def decode(kind: type[KeyObject], name: ObjectName, data: bytes) -> KeyObject:
    """The object, if its bytes are those that its name says.

    Raises:
        NewerKeyringError: `format.major` is higher than ours.
        DamagedKeyError: anything else that is not as it was written.
    """
    check_digest(name, data)
    try:
        if msgspec.json.decode(data, type=_Versioned).format.major > MAJOR:
            raise NewerKeyringError(f"a key object of a format newer than {MAJOR}.{MINOR}")
        value = msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise DamagedKeyError("a key object is not what version 1 says") from None
    owner = SITE if isinstance(value, SiteObject) else value.study_key_id
    if (owner, value.generation) != (name.owner, name.generation):
        raise DamagedKeyError("a key object is not the one its name says")
    return value


def check_digest(name: ObjectName, data: bytes) -> None:
    """Raise DamagedKeyError unless the name's digest is that of `data`."""
    if len(data) > OBJECT_SIZE_BYTES_MAX or sha256(data).hexdigest() != name.sha256:
        raise DamagedKeyError(f"a key object of {len(data)} B is not what its name says")
