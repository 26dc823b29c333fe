"""Reads a pack: ranges of the plaintext, its metadata, and the proof that it is whole."""

import zlib
from collections.abc import Callable, Iterator
from hashlib import sha256 as new_sha256

from fileroom.pack import metadata, zip_records
from fileroom.pack.format import (
    HEADER_SIZE_BYTES,
    MEMBER_COUNT_MAX,
    METADATA_SIZE_BYTES_MAX,
    SEGMENT_SIZE_BYTES,
    TAG_SIZE_BYTES,
    DamagedPackError,
    instance_name,
)
from fileroom.pack.metadata import Instance, Metadata
from fileroom.pack.segment import PLAINTEXT_SIZE_BYTES, Buffer, SegmentCipher, Segments
from fileroom.pack.zip_records import Directory, Member

Read = Callable[[int, int], Buffer]
Progress = Callable[[int], object]

BLOCK_SEGMENTS = 16


class PackReader:
    """One pack that can be read by range. Threads may share a reader.

    Args:
        read: gives the ciphertext bytes [start, end), all of them.
        key: the study key.
        tink_header, size_bytes: from the catalog, never from whoever stores the pack; a rebuild,
            which has no catalog, takes them from the object and calls `metadata` or `verify`.

    Raises:
        DamagedPackError: no pack has this header or size.
    """

    def __init__(self, read: Read, *, key: bytes, tink_header: bytes, size_bytes: int) -> None:
        self._read = read
        self._header = tink_header
        self._cipher = SegmentCipher(key, tink_header)
        self.segments = Segments(size_bytes)

    @property
    def plaintext_size_bytes(self) -> int:
        return self.segments.plaintext_size_bytes

    def plan(self, start: int, end: int) -> tuple[int, int]:
        """The ciphertext [start, end) that `open` needs for the plaintext [start, end)."""
        return self.segments.ciphertext_range(self.segments.plan(start, end))

    def open(self, start: int, end: int, ciphertext: Buffer) -> bytes:
        """Plaintext bytes [start, end) from the ciphertext that `plan` asked for.

        Raises:
            DamagedPackError: a segment does not open, or the ciphertext has another length.
        """
        wanted = self.segments.plan(start, end)
        from_, to = self.segments.ciphertext_range(wanted)
        if len(ciphertext) != to - from_:
            raise DamagedPackError(f"{len(ciphertext)} B came for [{from_}, {to}) of a pack")
        view, last = memoryview(ciphertext), self.segments.count - 1
        parts: list[Buffer] = []
        position = 0
        for index in wanted:
            following = (index + 1) * SEGMENT_SIZE_BYTES - from_
            parts.append(self._cipher.open(index, index == last, view[position:following]))
            position = following
        # Cut what was not asked for: at the end first, as one segment may be both first and last.
        surplus = self.segments.plaintext_start(wanted[-1]) + len(parts[-1]) - end
        parts[-1] = memoryview(parts[-1])[: len(parts[-1]) - surplus]
        parts[0] = memoryview(parts[0])[start - self.segments.plaintext_start(wanted[0]) :]
        return b"".join(parts)

    def read(self, start: int, end: int) -> bytes:
        """Plaintext bytes [start, end), with one ciphertext read. Raises as `open` does."""
        if start == end:
            return b""
        return self.open(start, end, self._read(*self.plan(start, end)))

    def metadata(self, at: tuple[int, int] | None = None) -> Metadata:
        """What metadata.json says.

        Args:
            at: plaintext range of its deflated bytes, from the catalog; without it, it is found
                through the end of the pack, which also proves the pack's size.

        Raises:
            DamagedPackError, NewerPackError
        """
        if at is None:
            return self._metadata_through_directory(self._directory())
        data = metadata.inflate(self.read(*at))
        return metadata.decode(data, plaintext_size_bytes=self.plaintext_size_bytes)

    def verify(self, *, sha256: bytes | None, progress: Progress | None = None) -> Metadata:
        """Read the whole pack and check all that docs/format/pack.md §5 asks.

        Args:
            sha256: of the ciphertext, from the object's name. None for whoever hashed it while
                writing it just now: the tags show that these are the bytes that were written,
                for one key, nonce and plaintext have one ciphertext.
            progress: called with the ciphertext bytes done after each MiB; may raise to cancel.

        Returns:
            The metadata.

        Raises:
            DamagedPackError: something is not as it was sealed.
            NewerPackError: a higher major version.
        """
        directory = self._directory()
        described = self._metadata_through_directory(directory)
        entries = self.read(directory.offset, directory.offset + directory.size_bytes)
        instances = iter(enumerate(described.instances))
        stream = _Sequential(self, progress, hashing=sha256 is not None)
        for member in zip_records.read_directory(entries, directory):
            if member.offset != stream.position:
                raise DamagedPackError(f"a member at {member.offset} follows {stream.position}")
            stream.expect(zip_records.local_header(member))
            if member.name.startswith(b"instances/"):
                ordinal, instance = next(instances, (0, None))
                if instance is None:
                    raise DamagedPackError("there are more members than instances described")
                _check_place(ordinal, instance, member, stream.position)
                _check_instance(ordinal, instance, member, stream)
            else:
                stream.skip(member.stored_size_bytes)
        if stream.position != directory.offset:
            raise DamagedPackError(f"bytes {stream.position} to {directory.offset} are no member's")
        if next(instances, None):
            raise DamagedPackError("an instance is described that has no member")
        if stream.finish() != (sha256 or b""):
            raise DamagedPackError("SHA-256 of the pack is not the one it was sealed with")
        return described

    def blocks(self) -> Iterator[tuple[Buffer, memoryview]]:
        """The whole pack, MiB by MiB: ciphertext (from offset 0) and its plaintext.

        The plaintext's memory is used again for the next block.
        """
        total, last = self.segments.size_bytes, self.segments.count - 1
        out = memoryview(bytearray(BLOCK_SEGMENTS * PLAINTEXT_SIZE_BYTES))
        block_size_bytes = BLOCK_SEGMENTS * SEGMENT_SIZE_BYTES
        for start in range(0, total, block_size_bytes):
            end = min(start + block_size_bytes, total)
            ciphertext = self._read(start, end)
            if len(ciphertext) != end - start:
                raise DamagedPackError(f"{len(ciphertext)} B came for [{start}, {end}) of a pack")
            view, position, filled_bytes = memoryview(ciphertext), 0, 0
            if start == 0:
                position = HEADER_SIZE_BYTES
                if view[:position] != self._header:
                    raise DamagedPackError("the header is not the one the pack was sealed with")
            index = start // SEGMENT_SIZE_BYTES
            while position < end - start:
                following = min(
                    (position // SEGMENT_SIZE_BYTES + 1) * SEGMENT_SIZE_BYTES, len(view)
                )
                size_bytes = following - position - TAG_SIZE_BYTES
                plaintext = out[filled_bytes : filled_bytes + size_bytes]
                self._cipher.open_into(index, index == last, view[position:following], plaintext)
                position, filled_bytes, index = following, filled_bytes + size_bytes, index + 1
            yield ciphertext, out[:filled_bytes]

    def _directory(self) -> Directory:
        size_bytes = self.plaintext_size_bytes
        tail = self.read(max(0, size_bytes - zip_records.END_SIZE_BYTES_MAX), size_bytes)
        directory = zip_records.read_end(tail, size_bytes)
        entry_size_bytes = directory.size_bytes // max(1, directory.member_count)
        if not 1 <= directory.member_count <= MEMBER_COUNT_MAX or (
            entry_size_bytes > zip_records.ENTRY_SIZE_BYTES_MAX
        ):
            count, size_bytes = directory.member_count, directory.size_bytes
            raise DamagedPackError(f"a directory of {count} members in {size_bytes} B")
        return directory

    def metadata_range(self) -> tuple[int, int]:
        """Where metadata.json's deflated bytes lie in the plaintext, found through the end of the
        pack; for a rebuild. Raises DamagedPackError."""
        return self._metadata_place(self._directory())[1]

    def _metadata_place(self, directory: Directory) -> tuple[Member, tuple[int, int]]:
        end = directory.offset + directory.size_bytes
        start = max(directory.offset, end - zip_records.ENTRY_SIZE_BYTES_MAX)
        member = zip_records.read_last_entry(self.read(start, end))
        if max(member.stored_size_bytes, member.size_bytes) > METADATA_SIZE_BYTES_MAX:
            raise DamagedPackError(f"metadata.json of {member.size_bytes} B is over the limit")
        start = member.offset + len(zip_records.local_header(member))
        if start + member.stored_size_bytes != directory.offset:
            raise DamagedPackError("metadata.json does not end where the directory starts")
        return member, (start, directory.offset)

    def _metadata_through_directory(self, directory: Directory) -> Metadata:
        member, place = self._metadata_place(directory)
        data = metadata.inflate(self.read(*place))
        if (len(data), zlib.crc32(data)) != (member.size_bytes, member.crc32):
            raise DamagedPackError("size or CRC-32 of metadata.json is wrong")
        return metadata.decode(data, plaintext_size_bytes=self.plaintext_size_bytes)


class _Sequential:
    """The plaintext from its start, with the SHA-256 of the ciphertext as it goes by, if asked."""

    def __init__(self, reader: PackReader, progress: Progress | None, *, hashing: bool) -> None:
        self._blocks = reader.blocks()
        self._progress = progress
        self._sha256 = new_sha256() if hashing else None
        self._ciphertext_bytes = 0
        self._held = memoryview(b"")
        self.position = 0

    def chunks(self, size_bytes: int) -> Iterator[memoryview]:
        """The next bytes of the plaintext, in pieces that are valid until the following one."""
        while size_bytes:
            if not len(self._held) and not self._advance():
                raise DamagedPackError(f"the plaintext ends {size_bytes} B early")
            piece = self._held[:size_bytes]
            self._held = self._held[len(piece) :]
            self.position += len(piece)
            size_bytes -= len(piece)
            yield piece

    def expect(self, data: bytes) -> None:
        """Check that the next bytes are `data`."""
        offset = self.position
        if b"".join(bytes(piece) for piece in self.chunks(len(data))) != data:
            raise DamagedPackError(f"the local header at {offset} and the directory differ")

    def skip(self, size_bytes: int) -> None:
        for _ in self.chunks(size_bytes):
            pass

    def finish(self) -> bytes:
        """Go through the rest and return the SHA-256 of the ciphertext; nothing if not asked."""
        while self._advance():
            pass
        return self._sha256.digest() if self._sha256 else b""

    def _advance(self) -> bool:
        for ciphertext, plaintext in self._blocks:
            if self._sha256:
                self._sha256.update(ciphertext)
            self._held = plaintext
            self._ciphertext_bytes += len(ciphertext)
            if self._progress:
                self._progress(self._ciphertext_bytes)
            return True
        return False


def _check_place(ordinal: int, instance: Instance, member: Member, position: int) -> None:
    named = instance.file == instance_name(ordinal) == member.name.decode("ascii", "replace")
    placed = (instance.start, instance.size_bytes) == (position, member.stored_size_bytes)
    plain = member.method == zip_records.STORED and member.stored_size_bytes == member.size_bytes
    if not (named and placed and plain):
        raise DamagedPackError(f"metadata.json and the ZIP differ about instance {ordinal}")


def _check_instance(ordinal: int, instance: Instance, member: Member, stream: _Sequential) -> None:
    crc32, digest = 0, new_sha256()
    for piece in stream.chunks(instance.dataset_offset):
        crc32 = zlib.crc32(piece, crc32)
    for piece in stream.chunks(instance.size_bytes - instance.dataset_offset):
        crc32 = zlib.crc32(piece, crc32)
        digest.update(piece)
    if crc32 != member.crc32:
        raise DamagedPackError(f"CRC-32 of instance {ordinal} is wrong")
    if digest.hexdigest() != instance.stored_sha256:
        raise DamagedPackError(f"SHA-256 of the data set of instance {ordinal} is wrong")
