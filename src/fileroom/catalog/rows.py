"""What goes into the catalog and what comes out, as values. Times are Unix nanoseconds.

Pure.
"""

from enum import StrEnum
from typing import NamedTuple

import msgspec

from fileroom.catalog.lifecycle import CopyState, PackState, TaskState
from fileroom.dicom.header import Header


class SpoolPlace(NamedTuple):
    """Where an instance's COMMIT frame lies in the spool."""

    segment: int
    offset: int


class InstancePlace(NamedTuple):
    """Where an instance lies among the packs; ordinals count from 1."""

    pack: int
    ordinal: int


class Sealed(NamedTuple):
    """One instance of a pack that is being recorded.

    Attributes:
        spooled_id: the row it came from; None where no spool is involved (a rebuild).
        sha256: of the data set as it came.
        replacement: whether it was decided at sealing that it is served, because what came before
            could not be read any more.
    """

    spooled_id: int | None
    uid_digest: bytes
    ordinal: int
    sha256: bytes = b""
    replacement: bool = False


class Standing(StrEnum):
    """How a data set in a pack stands to the others under its SOP Instance UID."""

    SERVED = "served"
    CONFLICT = "conflict"  # another one is served; kept
    REPEATED = "repeated"  # what is served, or a conflict, once more: kept with its pack


class Moved(NamedTuple):
    """A data set of another pack that stands otherwise from now on; it is not served."""

    uid_digest: bytes
    place: InstancePlace
    standing: Standing


class SeriesPlace(NamedTuple):
    """The row numbers of a series and of its study."""

    study: int
    series: int


class Lease(NamedTuple):
    """The right to work on one subject; `token` grows with every lease ever given."""

    kind: str
    subject: str
    holder: str
    token: int


class NewSpooled(msgspec.Struct, frozen=True, kw_only=True):
    """An instance that is durable in the spool and shall be found by a search."""

    segment: int
    offset: int
    partition: str
    header: Header
    size_bytes: int
    sha256: bytes
    received_at_ns: int


class SpooledRow(msgspec.Struct, frozen=True):
    """An instance that lies in the spool and in no pack yet."""

    id: int
    place: SpoolPlace
    series: int
    uid_digest: bytes
    size_bytes: int
    sha256: bytes
    received_at_ns: int


class HeldRecord(NamedTuple):
    """A spool record that the catalog counts on; `set_aside`: it could not be read once."""

    id: int
    place: SpoolPlace
    set_aside: bool


class SeriesToSeal(msgspec.Struct, frozen=True):
    """A series with spooled instances whose time to be sealed has come."""

    series: int
    study: int
    study_instance_uid: str
    series_instance_uid: str
    partition: str
    study_key_id: bytes | None
    spooled_count: int
    spooled_bytes: int
    oldest_ns: int
    newest_ns: int


class SaidPatient(NamedTuple):
    """Whom `instances` of a pack say that they show. Texts as the catalog keeps them."""

    patient_id: str
    issuer: str
    name: str
    birth_date: str
    instances: int

    @property
    def identity(self) -> tuple[str, str, str, str]:
        return (self.patient_id, self.issuer, self.name, self.birth_date)


class NewPack(msgspec.Struct, frozen=True, kw_only=True):
    """A finished pack file.

    Attributes:
        sha256: of the ciphertext, 32 bytes; it names the object.
        metadata_offset, metadata_size_bytes: the deflated metadata member in the plaintext.
        received_oldest_ns: when its oldest instance came.
        state, local: a rebuild records packs that lie at a provider only.
        providers: those whose listing showed it; each gets a copy to be verified.
        patients: whom its instances say that they show.
    """

    study: int
    series: int
    sha256: bytes
    study_key_id: bytes
    tink_header: bytes
    size_bytes: int
    plaintext_size_bytes: int
    metadata_offset: int
    metadata_size_bytes: int
    received_oldest_ns: int
    sealed_at_ns: int
    node_id: str
    state: PackState = PackState.SEALED
    local: bool = True
    providers: tuple[str, ...] = ()
    patients: tuple[SaidPatient, ...] = ()


class PackRow(msgspec.Struct, frozen=True):
    """A pack. `instance_count` is all of its members, `conflict_count` those never served."""

    number: int
    study: int
    series: int
    sha256: bytes
    study_key_id: bytes
    tink_header: bytes
    size_bytes: int
    plaintext_size_bytes: int
    metadata_offset: int
    metadata_size_bytes: int
    instance_count: int
    conflict_count: int
    state: PackState
    local: bool
    node_id: str
    received_oldest_ns: int
    sealed_at_ns: int


class CopyRow(msgspec.Struct, frozen=True):
    """A pack's copy at one provider.

    Attributes:
        checksum_kind: what VERIFIED rests on ("read-back", "SHA-256", ...); empty until then.
        version_id, storage_class: as the provider gave them; empty where it has none.
        verified_at_ns: 0 until then.
    """

    pack: int
    provider: str
    state: CopyState
    checksum_kind: str
    version_id: str
    storage_class: str
    verified_at_ns: int


class KeyCopyRow(msgspec.Struct, frozen=True):
    """A wrapped study key's copy at one provider."""

    study_key_id: bytes
    generation: int
    provider: str
    state: CopyState
    verified_at_ns: int


class Conflict(msgspec.Struct, frozen=True):
    """A second data set under a SOP Instance UID that another one held first."""

    uid_digest: bytes
    pack: int
    ordinal: int


class Located(msgspec.Struct, frozen=True):
    """Where one instance lies. Where both are given the pack's is the first: serve that."""

    spooled: SpooledRow | None = None
    pack: PackRow | None = None
    ordinal: int = 0


class SeriesRow(msgspec.Struct, frozen=True):
    """A series and what is known of it."""

    series: int
    study: int
    series_instance_uid: str
    attributes: dict[str, str]


class Holdings(msgspec.Struct, frozen=True):
    """All that has to be read to serve a study or a series. Empty: there is none.

    What is rejected counts as a conflict does.

    Attributes:
        conflicts: members of `packs` that must not be served: (pack, ordinal).
        spooled: instances that no pack holds, one row for each SOP Instance UID.
    """

    series: list[SeriesRow] = []
    packs: list[PackRow] = []
    conflicts: frozenset[InstancePlace] = frozenset()
    spooled: list[SpooledRow] = []


class Tally(msgspec.Struct, frozen=True):
    """How much of something there is."""

    packs: int = 0
    instances: int = 0
    size_bytes: int = 0


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """What `fileroom status` counts.

    Attributes:
        received: spooled and in no pack yet; its bytes are those of the data sets, the packs'
            are those of the objects.
        set_aside: spooled records that could not be read; never dropped.
        states, local: packs by state; and those whose file lies on this node.
        copies: by provider and state of the copy.
        oldest_uncommitted_ns: when the oldest instance came that is not COMMITTED.
    """

    patients: int
    studies: int
    series: int
    conflicts: int
    received: Tally
    set_aside: Tally
    states: dict[PackState, Tally]
    local: Tally
    copies: dict[str, dict[CopyState, Tally]]
    oldest_uncommitted_ns: int | None


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """The record of one long task.

    Attributes:
        cursor: where it goes on after a restart; only the task's own code reads it.
        ledger_index: the ledger entry that decided on it.
    """

    id: str
    kind: str
    subject: str = ""
    state: TaskState = TaskState.WAITING
    percent: float = 0.0
    bytes_done: int = 0
    bytes_total: int = 0
    rate_bytes_per_s: float = 0.0
    eta_s: float | None = None
    cursor: str = ""
    last_error: str = ""
    ledger_index: int | None = None
    created_at_ns: int = 0
    updated_at_ns: int = 0


class RefusedCaller(msgspec.Struct, frozen=True, kw_only=True):
    """A caller that was turned away, and how often."""

    address: str
    calling_ae_title: str
    called_ae_title: str
    reason: str
    count: int = 1
    first_at_ns: int = 0
    last_at_ns: int
