"""C-STORE: sends files to a peer as they are, in the transfer syntax that they have (PS3.4 §B)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fileroom.dicom.instance_error import InstanceError
from fileroom.dicom.part10 import Part10Splitter
from fileroom.peer.association import NotNegotiatedError, PeerAssociation, associate
from fileroom.peer.status import FailedStatusError
from fileroom.wire import message
from fileroom.wire.message import status_text
from fileroom.wire.pdu import CONTEXTS_MAX
from fileroom.wire.status import Outcome, outcome

TIMEOUT_S = 60.0
PIECE_BYTES = 1 << 20
META_PIECE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class FileToStore:
    """A Part 10 file and what its file meta information says (PS3.10 §7.1)."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    dataset_offset: int

    @classmethod
    def read(cls, path: Path) -> "FileToStore":
        """Raises InstanceError where the file does not say what it is."""
        splitter, start = Part10Splitter(), None
        with path.open("rb") as source:
            while start is None:
                piece = source.read(META_PIECE_BYTES)
                start = splitter.feed(piece) if piece else splitter.finish()
        if start.sop_class_uid is None or start.sop_instance_uid is None:
            raise InstanceError("the file meta information names no instance")
        return cls(
            path,
            start.sop_class_uid,
            start.sop_instance_uid,
            start.transfer_syntax_uid,
            start.dataset_offset,
        )

    @property
    def syntaxes(self) -> tuple[str, str]:
        """Abstract and transfer syntax."""
        return self.sop_class_uid, self.transfer_syntax_uid

    def dataset(self) -> Iterator[bytes]:
        """The data set in pieces."""
        with self.path.open("rb") as source:
            source.seek(self.dataset_offset)
            while piece := source.read(PIECE_BYTES):
                yield piece


async def store_files(
    host: str,
    port: int,
    paths: Sequence[Path],
    *,
    calling: str,
    called: str,
    timeout_s: float = TIMEOUT_S,
) -> int:
    """Store every file at the peer and return how many there were; success or a warning for each.

    One association takes as many files as its 128 contexts allow, in the order given.

    Raises:
        NotNegotiatedError: the peer does not take one of them in its transfer syntax.
        FailedStatusError: the peer refused some; the others are stored.
        InstanceError, UnreachableError, BusyError, RejectedError, BrokenOffError.
    """
    files = [FileToStore.read(path) for path in paths]
    refused: list[int] = []
    for batch in _batches(files):
        contexts = list(dict.fromkeys(each.syntaxes for each in batch))
        async with associate(
            host,
            port,
            calling=calling,
            called=called,
            contexts=[(abstract, (transfer,)) for abstract, transfer in contexts],
            timeout_s=timeout_s,
        ) as association:
            for number, file in enumerate(batch):
                status = await _store(association, number % 0xFFFF + 1, file)
                if outcome(status) not in (Outcome.SUCCESS, Outcome.WARNING):
                    refused.append(status)
    if refused:
        text = f"{len(refused)} of {len(files)} refused, the first with {status_text(refused[0])}"
        raise FailedStatusError(text, status=refused[0])
    return len(files)


async def _store(association: PeerAssociation, message_id: int, file: FileToStore) -> int:
    for context in association.contexts.values():
        if (context.abstract_syntax, context.transfer_syntax) == file.syntaxes:
            break
    else:
        raise NotNegotiatedError("the peer does not take an instance in its transfer syntax")
    command = message.store_request(
        message_id, sop_class_uid=file.sop_class_uid, sop_instance_uid=file.sop_instance_uid
    )
    answer = await association.ask(context.context_id, command, file.dataset())
    return answer.number("Status")


def _batches(files: Sequence[FileToStore]) -> Iterator[list[FileToStore]]:
    batch: list[FileToStore] = []
    syntaxes: set[tuple[str, str]] = set()
    for file in files:
        if file.syntaxes not in syntaxes and len(syntaxes) == CONTEXTS_MAX:
            yield batch
            batch, syntaxes = [], set()
        batch.append(file)
        syntaxes.add(file.syntaxes)
    if batch:
        yield batch
