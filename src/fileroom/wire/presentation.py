"""Presentation contexts in use, and the data values that carry a message in one. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from struct import Struct

from fileroom.wire import pdu
from fileroom.wire.item import invalid

Buffer = bytes | bytearray | memoryview

SEND_LENGTH_BYTES_MAX = 128 * 1024  # ours, where the peer takes more or anything
FIRST_VALUE = Struct(">BxIIBB")  # pdu.HEADER and pdu.VALUE_HEADER in one
COMMAND = 1  # bits of the message control header (PS3.8 §E.2)
LAST = 2


@dataclass(frozen=True, slots=True)
class AcceptedContext:
    """A presentation context that both sides agreed on.

    Attributes:
        extended: the extended behaviour of its SOP class as it was agreed (PS3.7 §D.3.3.5).
        requestor_is_scp: whether the requestor takes the SCP role (PS3.7 §D.3.3.4).
    """

    context_id: int
    abstract_syntax: str
    transfer_syntax: str
    extended: bytes = b""
    requestor_is_scp: bool = False


def agreed(
    request: pdu.AssociateRequest, answer: pdu.AssociateAccept
) -> dict[int, AcceptedContext]:
    """The accepted contexts by ID.

    Raises:
        MalformedPduError: the answer accepts what was not proposed.
    """
    proposed = {each.context_id: each for each in request.contexts}
    extended = {each.sop_class_uid: each.information for each in answer.user.extended}
    scps = {each.sop_class_uid for each in answer.user.roles if each.scp}
    contexts = {}
    for each in answer.contexts:
        asked = proposed.get(each.context_id)
        if asked is None:
            raise invalid(f"presentation context {each.context_id} was not proposed")
        if each.result != pdu.ContextResult.ACCEPTANCE:
            continue
        if each.transfer_syntax not in asked.transfer_syntaxes:
            raise invalid(f"presentation context {each.context_id}: syntax was not proposed")
        contexts[each.context_id] = AcceptedContext(
            each.context_id,
            asked.abstract_syntax,
            each.transfer_syntax,
            extended.get(asked.abstract_syntax, b""),
            asked.abstract_syntax in scps,
        )
    return contexts


class DataCutter:
    """Cuts a command set or a data set into P-DATA-TF PDUs of one value each, as it comes.

    Holds less than one PDU.

    Args:
        length_bytes_max: what the peer announced; 0: any (PS3.8 §D.1).
    """

    def __init__(self, context_id: int, *, is_command: bool, length_bytes_max: int) -> None:
        length_bytes_max = min(length_bytes_max or SEND_LENGTH_BYTES_MAX, SEND_LENGTH_BYTES_MAX)
        # Values of an even size, as data sets are; peers exist that refuse others.
        self._size_bytes = max((length_bytes_max - pdu.VALUE_HEADER.size) & ~1, 1)
        self._context_id = context_id
        self._control = COMMAND if is_command else 0
        self._waiting = bytearray()

    def push(self, piece: Buffer) -> Iterator[bytes]:
        """Take the next bytes, cut anywhere; give the PDUs that are full."""
        waiting, size_bytes = self._waiting, self._size_bytes
        waiting += piece
        start = 0
        with memoryview(waiting) as view:
            while len(waiting) - start > size_bytes:  # never all of it: the last is marked so
                yield _data_pdu(self._context_id, self._control, view[start : start + size_bytes])
                start += size_bytes
        del waiting[:start]

    def finish(self) -> bytes:
        """The last PDU; of no bytes where none came."""
        return _data_pdu(self._context_id, self._control | LAST, self._waiting)


def data_pdus(
    context_id: int, pieces: Iterable[Buffer], *, is_command: bool, length_bytes_max: int
) -> Iterator[bytes]:
    """P-DATA-TF PDUs of one value each that carry a command set or a data set.

    Args:
        pieces: the bytes in order, cut anywhere; none at all still gives one PDU.
        length_bytes_max: what the peer announced; 0: any (PS3.8 §D.1).
    """
    cutter = DataCutter(context_id, is_command=is_command, length_bytes_max=length_bytes_max)
    for piece in pieces:
        yield from cutter.push(piece)
    yield cutter.finish()


def _data_pdu(context_id: int, control: int, data: Buffer) -> bytes:
    length_bytes = len(data) + pdu.VALUE_HEADER.size
    header = FIRST_VALUE.pack(
        pdu.PduType.P_DATA_TF, length_bytes, length_bytes - 4, context_id, control
    )
    return b"".join((header, data))
