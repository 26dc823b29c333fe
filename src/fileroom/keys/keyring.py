"""The keyring of a node: opened once at start, it gives the keys everything else is sealed with.

Write order: a key object is durable here before its key is handed out, so a pack never exists whose
key does not. A crash between the two leaves a key that nothing uses.
"""

import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from fileroom.disk import Disk
from fileroom.keys.folder import KeyFolder
from fileroom.keys.objects import (
    MAJOR,
    MINOR,
    SITE,
    Format,
    SiteObject,
    StudyObject,
    check_digest,
    encode,
    parse_name,
)
from fileroom.keys.port import (
    DamagedKeyError,
    KeyEncryption,
    KeyMissingError,
    KeyringExistsError,
    NewerKeyringError,
    WrongSecretError,
)
from fileroom.keys.wrapping import (
    KEY_SIZE_BYTES,
    NONCE_SIZE_BYTES,
    context_of,
    unwrap,
    wrap,
)

ID_SIZE_BYTES = 16
PARTITION_SIZE_BYTES_MAX = 255
OPENED_COUNT_MAX = 4096
SPOOL, CATALOG, CACHE = "spool", "catalog", "cache"
LEDGER_BODY, LEDGER_SIGNING = "ledger-body", "ledger-signing"
INNER_PURPOSES = (SPOOL, CATALOG, CACHE, LEDGER_BODY, LEDGER_SIGNING)


@dataclass(frozen=True)
class StudyKey:
    """A new study key and the object that holds it wrapped."""

    id: bytes
    key: bytes = field(repr=False)
    generation: int
    object_name: str
    object_bytes: bytes = field(repr=False)


class Keyring:
    """The open keyring in a folder. Threads may share it; one process writes.

    Invariant: every key this hands out has an object in the folder that wraps it.
    """

    def __init__(self, folder: KeyFolder, site: SiteObject, site_key: bytes) -> None:
        self._folder = folder
        self._site = site
        self._site_key = site_key
        self._inner = {
            purpose: unwrap(
                site_key, wrapped, context=context_of("inner", site.site_key_id, purpose)
            )
            for purpose, wrapped in site.inner.items()
            if purpose in INNER_PURPOSES
        }
        if missing := set(INNER_PURPOSES) - self._inner.keys():
            raise DamagedKeyError(f"the site object lacks {len(missing)} inner keys")
        self._lock = Lock()
        self._opened: OrderedDict[bytes, bytes] = OrderedDict()

    @classmethod
    def create(
        cls, directory: Path, port: KeyEncryption, *, disk: Disk, recovery_key: bytes
    ) -> "Keyring":
        """Make a site key and the inner keys, durable on return.

        Args:
            recovery_key: 32 random bytes, which the caller shows to the hospital and forgets.

        Raises:
            KeyringExistsError, KeysLockedError
        """
        assert len(recovery_key) == KEY_SIZE_BYTES
        folder = KeyFolder(directory, disk)
        if folder.names(SITE):
            raise KeyringExistsError("there is a keyring in this folder")
        site_key_id = os.urandom(ID_SIZE_BYTES).hex()
        site_key = os.urandom(KEY_SIZE_BYTES)
        site = SiteObject(
            format=Format(MAJOR, MINOR),
            generation=1,
            site_key_id=site_key_id,
            port=port.name,
            wrapped_by_port=port.wrap(site_key, context=_site_context(site_key_id, "port")),
            wrapped_by_recovery_key=_wrap(
                recovery_key, site_key, _site_context(site_key_id, "recovery")
            ),
            inner={
                purpose: _wrap(
                    site_key, os.urandom(KEY_SIZE_BYTES), context_of("inner", site_key_id, purpose)
                )
                for purpose in INNER_PURPOSES
            },
        )
        folder.put(*encode(site))
        return cls(folder, site, site_key)

    @classmethod
    def open(cls, directory: Path, port: KeyEncryption, *, disk: Disk) -> "Keyring":
        """Open the newest undamaged generation through the key port.

        Raises:
            KeysLockedError: the port cannot be reached.
            WrongSecretError: it does not open the site key.
            KeyMissingError, DamagedKeyError: no site object, or none that is whole.
            NewerKeyringError: a later program wrote it.
        """
        folder = KeyFolder(directory, disk)
        site = folder.newest_site()
        if site.port != port.name:
            raise WrongSecretError("the site key is wrapped by another key port")
        context = _site_context(site.site_key_id, "port")
        return cls(folder, site, port.unwrap(site.wrapped_by_port, context=context))

    @classmethod
    def open_with_recovery_key(
        cls, directory: Path, recovery_key: bytes, *, disk: Disk
    ) -> "Keyring":
        """Open without the key port. Raises as `open` does, but never KeysLockedError."""
        folder = KeyFolder(directory, disk)
        site = folder.newest_site()
        context = _site_context(site.site_key_id, "recovery")
        try:
            site_key = unwrap(recovery_key, site.wrapped_by_recovery_key, context=context)
        except DamagedKeyError:
            raise WrongSecretError("the recovery key does not open the site key") from None
        return cls(folder, site, site_key)

    @staticmethod
    def import_objects(
        directory: Path, objects: Iterable[tuple[str, bytes]], *, disk: Disk
    ) -> list[str]:
        """Put objects from a provider into a folder, before it is opened or while it is.

        Returns:
            Names that were refused: not a key object's, or bytes that are not the name's.
        """
        folder, refused = KeyFolder(directory, disk), []
        for name, data in objects:
            parsed = parse_name(name)
            try:
                if parsed is None:
                    raise DamagedKeyError("not the name of a key object")
                check_digest(parsed, data)
            except DamagedKeyError:
                refused.append(name)
            else:
                folder.put(name, data)
        return refused

    @property
    def spool_key(self) -> bytes:
        return self._inner[SPOOL]

    @property
    def catalog_key(self) -> bytes:
        return self._inner[CATALOG]

    @property
    def cache_key(self) -> bytes:
        return self._inner[CACHE]

    @property
    def ledger_body_key(self) -> bytes:
        return self._inner[LEDGER_BODY]

    @property
    def ledger_signing_seed(self) -> bytes:
        """The 32-byte Ed25519 seed of the ledger's signing key."""
        return self._inner[LEDGER_SIGNING]

    def new_study_key(self, partition: str) -> StudyKey:
        """A new random study key whose object is durable in the folder on return."""
        if not 1 <= len(partition.encode()) <= PARTITION_SIZE_BYTES_MAX:
            raise ValueError(f"a partition's name has 1 to {PARTITION_SIZE_BYTES_MAX} bytes")
        id_, key = os.urandom(ID_SIZE_BYTES), os.urandom(KEY_SIZE_BYTES)
        value = StudyObject(
            format=Format(MAJOR, MINOR),
            generation=1,
            study_key_id=id_.hex(),
            partition=partition,
            site_key_id=self._site.site_key_id,
            wrapped=_wrap(self._site_key, key, _study_context(id_.hex(), 1, partition)),
        )
        name, data = encode(value)
        # Commit point. A crash before it leaves an empty folder; after it the key can be used.
        self._folder.put(name, data)
        self._remember(id_, key)
        return StudyKey(id_, key, 1, name, data)

    def study_key(self, study_key_id: bytes) -> bytes:
        """The study key with this id, from its newest generation that opens.

        Raises:
            KeyMissingError: there is no object of it.
            DamagedKeyError: there are objects, and none opens.
        """
        with self._lock:
            if (key := self._opened.get(study_key_id)) is not None:
                self._opened.move_to_end(study_key_id)
                return key
        owner = study_key_id.hex()
        names = self._folder.names(owner)
        if not names:
            raise KeyMissingError("no object of a study key is in the keyring")
        for name in names:
            try:
                value = self._folder.get(StudyObject, name)
                context = _study_context(owner, value.generation, value.partition)
                key = unwrap(self._site_key, value.wrapped, context=context)
            except DamagedKeyError:
                continue
            self._remember(study_key_id, key)
            return key
        raise DamagedKeyError(f"none of {len(names)} objects of a study key opens")

    def study_key_ids(self) -> Iterator[bytes]:
        """Ids of all study keys that have objects in the folder, in no order."""
        return self._folder.study_key_ids()

    def site_objects(self) -> list[tuple[str, bytes]]:
        """Names and bytes of the site objects, newest first, as a provider keeps them."""
        return self._folder.objects(SITE)

    def key_object(self, study_key_id: bytes) -> list[tuple[str, bytes]]:
        """Names and bytes of a study key's objects, newest first."""
        return self._folder.objects(study_key_id.hex())

    def replace_port(self, port: KeyEncryption) -> str:
        """Wrap the site key by another port or passphrase, durable on return.

        The site key, the recovery key and all study keys stay; what the old port opens is this
        site key still.

        Returns:
            The name of the new site object.
        """
        if self._site.format.minor > MINOR:
            raise NewerKeyringError("a later program wrote the site object; it is not replaced")
        context = _site_context(self._site.site_key_id, "port")
        site = SiteObject(
            format=Format(MAJOR, MINOR),
            generation=self._site.generation + 1,
            site_key_id=self._site.site_key_id,
            port=port.name,
            wrapped_by_port=port.wrap(self._site_key, context=context),
            wrapped_by_recovery_key=self._site.wrapped_by_recovery_key,
            inner=self._site.inner,
        )
        name, data = encode(site)
        self._folder.put(name, data)
        self._site = site
        return name

    def _remember(self, study_key_id: bytes, key: bytes) -> None:
        with self._lock:
            self._opened[study_key_id] = key
            self._opened.move_to_end(study_key_id)
            while len(self._opened) > OPENED_COUNT_MAX:
                self._opened.popitem(last=False)


def _site_context(site_key_id: str, by: str) -> bytes:
    return context_of("site", site_key_id, by)


def _study_context(study_key_id: str, generation: int, partition: str) -> bytes:
    return context_of("study", study_key_id, str(generation), partition)


def _wrap(by: bytes, key: bytes, context: bytes) -> bytes:
    return wrap(by, key, context=context, nonce=os.urandom(NONCE_SIZE_BYTES))
