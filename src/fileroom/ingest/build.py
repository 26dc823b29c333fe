"""Build: spool records become one pack file, re-read from the disk before anybody trusts it.

This is the part of sealing that costs processor time, so it runs in a worker process of its own
at a lower priority and a modality never waits for it. It knows no catalog: a job comes in as a
value, the finished file's facts go out as one.
"""

import os
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec

from fileroom.catalog.conflicts import said_patients
from fileroom.catalog.levels import describe
from fileroom.catalog.rows import SaidPatient
from fileroom.dicom import reading_order
from fileroom.disk import Disk
from fileroom.errors import FileroomError, IntegrityError
from fileroom.pack import metadata
from fileroom.pack.description import Describer
from fileroom.pack.format import object_name
from fileroom.pack.metadata import Subject
from fileroom.pack.reader import PackReader
from fileroom.pack.writer import PackWriter, WrittenPack
from fileroom.spool.reader import SpooledInstance, SpoolReader
from fileroom.spool.record import Place

TEMPORARY_SUFFIX = ".building"


class BuildJob(msgspec.Struct, frozen=True):
    """One pack to build.

    Attributes:
        places: (segment, offset) of the spool records, in any order; the pack holds them in
            reading order.
        sha256s: of the data set that each of them must hold.
        conflicts: those of `places` that shall not be served.
        replacements: those that shall be, whatever other packs hold under their UIDs.
    """

    places: tuple[tuple[int, int], ...]
    sha256s: tuple[bytes, ...]
    conflicts: frozenset[tuple[int, int]]
    replacements: frozenset[tuple[int, int]]
    subject: Subject
    study_key_id: bytes
    study_key: bytes


class BuiltPack(msgspec.Struct, frozen=True):
    """A pack file that lies under its final name, synced and re-read.

    Attributes:
        places: those of the job that are in the pack, in the order of its ordinals. A pack that
            was full before its time holds fewer than were asked for.
        patients: whom its instances say that they show.
    """

    written: WrittenPack
    places: tuple[tuple[int, int], ...]
    patients: tuple[SaidPatient, ...]


class Builder:
    """Builds packs from one node's spool into its folder of local packs."""

    def __init__(
        self, *, spool_directory: Path, spool_key: bytes, packs_directory: Path, disk: Disk
    ) -> None:
        self._spool = SpoolReader(spool_directory, key=spool_key)
        self._packs_directory = packs_directory
        self._disk = disk
        self._describer = Describer()

    def build(self, job: BuildJob) -> BuiltPack:
        """Write, sync, re-read and name the pack of `job`.

        Raises:
            IntegrityError: a spool record, or the file just written, is not what it was.
            TransientError, OSError: the disk would not take it; nothing stays under a final name.
        """
        opened = [
            self._opened(Place(*place), sha256)
            for place, sha256 in zip(job.places, job.sha256s, strict=True)
        ]
        opened.sort(key=lambda each: reading_order.order_key(each.record.description.header))
        temporary = self._packs_directory / (secrets.token_hex(8) + TEMPORARY_SUFFIX)
        descriptor = self._disk.create(temporary)
        try:
            written = self._write(job, opened, descriptor)
            self._disk.sync(descriptor)
            # Invariant 2: the pages just synced are forgotten, so that what is checked is what
            # the disk holds.
            self._disk.drop_cached(descriptor)
            reread(descriptor, written, study_key=job.study_key)
        except BaseException:
            self._disk.close(descriptor)
            with suppress(FileroomError, OSError):
                self._disk.unlink(temporary)
            raise
        self._disk.close(descriptor)
        final = local_path(self._packs_directory, job.study_key_id, written.sha256)
        self._disk.make_directory(final.parent)
        # Commit point of the file. A crash before it leaves a temporary that the next start
        # sweeps; after it, a file that the next start adopts if the catalog never heard of it.
        self._disk.publish(temporary, final)
        kept = opened[: written.instance_count]
        return BuiltPack(
            written,
            tuple((*each.record.place,) for each in kept),
            said_patients(describe(each.record.description.header) for each in kept),
        )

    def _opened(self, place: Place, sha256: bytes) -> SpooledInstance:
        opened = self._spool.open(place)
        if opened.record.sha256 != sha256:
            raise IntegrityError(f"the spool record at {place} is another one's")
        return opened

    def _write(
        self, job: BuildJob, opened: Sequence[SpooledInstance], descriptor: int
    ) -> WrittenPack:
        position = 0

        def sink(data: memoryview) -> None:
            nonlocal position
            self._disk.write(descriptor, [data], position)
            position += len(data)

        writer = PackWriter(sink, key=job.study_key, subject=job.subject)
        for instance in opened:
            if writer.full:
                break
            self._add(writer, instance, job)
        return writer.finish()

    def _add(self, writer: PackWriter, instance: SpooledInstance, job: BuildJob) -> None:
        record = instance.record
        head = record.description.head
        writer.add_instance(
            head=head,
            body=instance.chunks,
            body_size_bytes=record.size_bytes,
            crc32=None,
            entry=self._entry(instance, job, dataset_offset=len(head)),
        )

    def _entry(
        self, instance: SpooledInstance, job: BuildJob, *, dataset_offset: int
    ) -> metadata.Entry:
        record = instance.record
        place = (*record.place,)
        description = record.description
        transfer_syntax_uid = description.transfer_syntax_uid
        read, size_bytes = instance.read, record.size_bytes
        described = self._describer.dicom_json(read, size_bytes, transfer_syntax_uid)
        origin = description.origin
        return metadata.Entry(
            sop_class_uid=description.header.sop_class_uid,
            sop_instance_uid=description.header.sop_instance_uid,
            transfer_syntax_uid=transfer_syntax_uid,
            original_sha256=record.sha256.hex(),
            stored_sha256=record.sha256.hex(),
            transform=None,
            preamble=description.preamble,
            conflict=place in job.conflicts,
            replacement=place in job.replacements,
            received_at=metadata.timestamp(description.received_at_ns),
            received_from=metadata.ReceivedFrom(
                channel=origin.channel,
                calling_ae_title=origin.calling_ae_title,
                address=origin.address,
                conversation=origin.conversation,
            ),
            frames=self._describer.frames(
                read, size_bytes, transfer_syntax_uid, dataset_offset=dataset_offset
            ),
            attributes=description.header.attributes,
            dicom_json=msgspec.Raw(described),
        )


def reread(descriptor: int, written: WrittenPack, *, study_key: bytes) -> None:
    """Check every byte of the file as the disk now gives it. Raises IntegrityError."""
    reader = PackReader(
        partial(_pread, descriptor),
        key=study_key,
        tink_header=written.tink_header,
        size_bytes=written.size_bytes,
    )
    reader.verify(sha256=None)


def _pread(descriptor: int, start: int, end: int) -> bytes:
    return os.pread(descriptor, end - start, start)


def local_path(packs_directory: Path, study_key_id: bytes, sha256: bytes) -> Path:
    """Where a pack lies on this node: its object name, below the data folder."""
    return packs_directory.parent / object_name(study_key_id, sha256)


def sweep(packs_directory: Path, disk: Disk) -> None:
    """Remove what a stopped build left. Call while nothing builds."""
    for path in packs_directory.glob(f"*{TEMPORARY_SUFFIX}"):
        disk.unlink(path)


BuildCall = Callable[[BuildJob], BuiltPack]
