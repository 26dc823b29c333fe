"""Writes a pack in one pass: ZIP members in, sealed 64 KiB segments out."""

import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256

import msgspec

import fileroom
from fileroom.pack import metadata, zip_records
from fileroom.pack.format import (
    DICOM_JSON_SIZE_BYTES_MAX,
    HEADER_SIZE_BYTES,
    INSTANCE_COUNT_MAX,
    METADATA_FULL_BYTES,
    METADATA_NAME,
    METADATA_SIZE_BYTES_MAX,
    NONCE_PREFIX_SIZE_BYTES,
    SALT_SIZE_BYTES,
    SEGMENT_SIZE_BYTES,
    TAG_SIZE_BYTES,
    DamagedPackError,
    PackFullError,
    instance_name,
    new_header,
)
from fileroom.pack.metadata import Entry, Subject
from fileroom.pack.segment import (
    FIRST_PLAINTEXT_SIZE_BYTES,
    PLAINTEXT_SIZE_BYTES,
    Buffer,
    SegmentCipher,
)

Sink = Callable[[memoryview], object]
Body = Iterable[Buffer] | Callable[[], Iterable[Buffer]]

BLOCK_SIZE_BYTES = 16 * SEGMENT_SIZE_BYTES
HELD_BODY_BYTES_MAX = 8 << 20


class WrittenPack(msgspec.Struct, frozen=True):
    """What the catalog keeps of a pack.

    `metadata_offset` and `metadata_size_bytes` are the range in the plaintext of metadata.json's
    deflated bytes.
    """

    sha256: bytes
    size_bytes: int
    plaintext_size_bytes: int
    tink_header: bytes
    metadata_offset: int
    metadata_size_bytes: int
    instance_count: int


class PackWriter:
    """One pack being written to `sink`, which gets ciphertext in order in blocks of up to 1 MiB.

    Invariant: apart from one body of at most 8 MiB, and the deflated metadata and central
    directory, no more than a block and a segment are held, whatever the size of an instance.

    Args:
        sink: must have taken the bytes when it returns; the memory is used again.
        key: the study key.
        subject: what all instances share.
        header: for test vectors only. Two packs with one key and one header give both away.
    """

    def __init__(
        self, sink: Sink, *, key: bytes, subject: Subject, header: bytes | None = None
    ) -> None:
        random = os.urandom(SALT_SIZE_BYTES), os.urandom(NONCE_PREFIX_SIZE_BYTES)
        self._header = header or new_header(*random)
        self._sealer = _Sealer(sink, key, self._header)
        self._directory = bytearray()
        self._deflater = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._deflated: list[bytes] = []
        self._metadata_size_bytes = 0
        self._metadata_crc32 = 0
        self._describe(metadata.encode_opening(subject, f"fileroom {fileroom.__version__}"))
        self.instance_count = 0
        self._usable = True

    @property
    def plaintext_size_bytes(self) -> int:
        """Bytes of plaintext so far, without metadata.json and the central directory."""
        return self._sealer.plaintext_size_bytes

    @property
    def full(self) -> bool:
        """Whether the pack should be finished now, however small its instances are."""
        return (
            self._metadata_size_bytes >= METADATA_FULL_BYTES
            or self.instance_count >= INSTANCE_COUNT_MAX
        )

    def add_instance(
        self, *, head: bytes, body: Body, body_size_bytes: int, crc32: int | None, entry: Entry
    ) -> int:
        """Append one DICOM file and return its ordinal.

        Args:
            head: preamble to file meta information.
            body: the data set in buffers that do not change before this returns, or a callable that
                gives them; a callable is called twice for a body over 8 MiB without a CRC-32.
            body_size_bytes: what the buffers add up to.
            crc32: of head and body together, or None: computed before the body is written.
            entry: what metadata.json says of it.

        Raises:
            PackFullError: it does not fit; the pack can still be finished.
            DamagedPackError: the body is not `body_size_bytes` long; the writer is of no more use.
        """
        assert self._usable
        ordinal = self.instance_count
        if len(memoryview(entry.dicom_json)) > DICOM_JSON_SIZE_BYTES_MAX:
            entry = msgspec.structs.replace(entry, dicom_json=metadata.NULL)
        size_bytes = len(head) + body_size_bytes
        name = instance_name(ordinal)
        # The length of a local header depends on sizes only, so the CRC-32 may still be missing.
        member = zip_records.Member(
            name.encode(), zip_records.STORED, 0, size_bytes, size_bytes, self.plaintext_size_bytes
        )
        start = member.offset + len(zip_records.local_header(member))
        described = metadata.encode_instance(
            entry, file=name, start=start, end=start + size_bytes, dataset_offset=len(head)
        )
        described = b"," + described if ordinal else described
        if ordinal >= INSTANCE_COUNT_MAX or (
            self._metadata_size_bytes + len(described) > METADATA_SIZE_BYTES_MAX - 16
        ):
            raise PackFullError(
                f"{ordinal} instances with {self._metadata_size_bytes} B of metadata are in the "
                f"pack; {len(described)} B more do not fit"
            )
        self._usable = False
        if crc32 is None:
            body, crc32 = _measured(body, body_size_bytes, zlib.crc32(head))
        member = member._replace(crc32=crc32)
        self._sealer.write(zip_records.local_header(member) + head)
        for buffer in _iterate(body):
            self._sealer.write(buffer)
        if self.plaintext_size_bytes != start + size_bytes:
            written_bytes = self.plaintext_size_bytes - start - len(head)
            raise DamagedPackError(f"a body of {body_size_bytes} B gave {written_bytes} B")
        self._directory += zip_records.central_entry(member)
        self._describe(described)
        self.instance_count = ordinal + 1
        self._usable = True
        return ordinal

    def finish(self) -> WrittenPack:
        """Append metadata.json and the central directory and hand the last bytes to the sink."""
        assert self._usable
        self._usable = False
        self._describe(metadata.CLOSING)
        self._deflated.append(self._deflater.flush())
        deflated = b"".join(self._deflated)
        member = zip_records.Member(
            METADATA_NAME.encode(),
            zip_records.DEFLATED,
            self._metadata_crc32,
            len(deflated),
            self._metadata_size_bytes,
            self.plaintext_size_bytes,
        )
        local = zip_records.local_header(member)
        self._sealer.write(local + deflated)
        self._directory += zip_records.central_entry(member)
        directory = zip_records.Directory(
            self.plaintext_size_bytes, len(self._directory), self.instance_count + 1
        )
        self._sealer.write(bytes(self._directory) + zip_records.end_records(directory))
        digest = self._sealer.finish()
        return WrittenPack(
            sha256=digest,
            size_bytes=self._sealer.size_bytes,
            plaintext_size_bytes=self.plaintext_size_bytes,
            tink_header=self._header,
            metadata_offset=member.offset + len(local),
            metadata_size_bytes=len(deflated),
            instance_count=self.instance_count,
        )

    def _describe(self, text: bytes) -> None:
        """Append to metadata.json."""
        self._metadata_size_bytes += len(text)
        self._metadata_crc32 = zlib.crc32(text, self._metadata_crc32)
        self._deflated.append(self._deflater.compress(text))


class _Sealer:
    """Cuts a stream into segments, seals them, and hands them on in blocks.

    A full segment is sealed only when a byte follows it, because the last one is sealed as such.
    """

    def __init__(self, sink: Sink, key: bytes, header: bytes) -> None:
        self._sink = sink
        self._cipher = SegmentCipher(key, header)
        self._sha256 = sha256()
        self._block = memoryview(bytearray(BLOCK_SIZE_BYTES))
        self._block[:HEADER_SIZE_BYTES] = header
        self._filled_bytes = HEADER_SIZE_BYTES
        self._held = memoryview(bytearray(PLAINTEXT_SIZE_BYTES))
        self._held_bytes = 0
        self._capacity_bytes = FIRST_PLAINTEXT_SIZE_BYTES
        self._index = 0
        self.plaintext_size_bytes = 0
        self.size_bytes = 0

    def write(self, data: Buffer) -> None:
        view = memoryview(data).cast("B")
        position, end = 0, len(view)
        self.plaintext_size_bytes += end
        while position < end:
            room_bytes = self._capacity_bytes - self._held_bytes
            if room_bytes == 0:
                self._seal(self._held[: self._held_bytes], last=False)
                self._held_bytes = 0
            elif self._held_bytes == 0 and end - position > room_bytes:
                self._seal(view[position : position + room_bytes], last=False)
                position += room_bytes
            else:
                taken = view[position : position + room_bytes]
                self._held[self._held_bytes : self._held_bytes + len(taken)] = taken
                self._held_bytes += len(taken)
                position += len(taken)

    def finish(self) -> bytes:
        self._seal(self._held[: self._held_bytes], last=True)
        self._flush()
        return self._sha256.digest()

    def _seal(self, plaintext: memoryview, *, last: bool) -> None:
        end = self._filled_bytes + len(plaintext) + TAG_SIZE_BYTES
        self._cipher.seal_into(self._index, last, plaintext, self._block[self._filled_bytes : end])
        self._filled_bytes = end
        self._index += 1
        self._capacity_bytes = PLAINTEXT_SIZE_BYTES
        if end == BLOCK_SIZE_BYTES:
            self._flush()

    def _flush(self) -> None:
        if not self._filled_bytes:
            return
        block = self._block[: self._filled_bytes]
        self._sha256.update(block)
        self._sink(block)
        self.size_bytes += self._filled_bytes
        self._filled_bytes = 0


def _iterate(body: Body) -> Iterator[Buffer]:
    return iter(body() if callable(body) else body)


def _measured(body: Body, size_bytes: int, head_crc32: int) -> tuple[Body, int]:
    """The body again and the CRC-32 of the whole member; a small body is held, a large one is read
    twice."""
    if size_bytes <= HELD_BODY_BYTES_MAX:
        body = _within(_iterate(body), size_bytes)
    else:
        assert callable(body), "a large body must be a callable, or its CRC-32 be known"
    crc32 = head_crc32
    for buffer in _iterate(body):
        crc32 = zlib.crc32(buffer, crc32)
    return body, crc32


def _within(buffers: Iterator[Buffer], size_bytes: int) -> list[Buffer]:
    """The buffers as a list, without holding more than was announced."""
    held, held_bytes = [], 0
    for buffer in buffers:
        held_bytes += len(buffer)
        if held_bytes > size_bytes:
            raise DamagedPackError(f"a body of {size_bytes} B gave {held_bytes} B and more")
        held.append(buffer)
    return held
