"""C-FIND: how many instances of a study a peer has (PS3.4 §C.6.2, Study Root).

A peer's answers are bounded and never trusted: what is not asked for is passed over, what is no
number is none, and what is too much ends the association.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from fileroom.dicom import identifier
from fileroom.dicom.identifier import Identifier, Key
from fileroom.dicom.instance_error import InstanceError
from fileroom.dicom.uid import is_safe
from fileroom.peer.association import (
    BrokenOffError,
    NotNegotiatedError,
    PeerAssociation,
    associate,
)
from fileroom.peer.status import refuse_failure
from fileroom.wire.message import DATA_SET, CommandField, encode_command
from fileroom.wire.sop_class import STUDY_ROOT_FIND
from fileroom.wire.status import Outcome, outcome
from fileroom.wire.transfer_syntax import EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN

TIMEOUT_S = 10.0
MATCHES_MAX = 10_000  # series of one study
COUNT_MAX = 100_000_000

QUERY_RETRIEVE_LEVEL = 0x00080052
MODALITY = 0x00080060
STUDY_INSTANCE_UID = 0x0020000D
SERIES_INSTANCE_UID = 0x0020000E
NUMBER_OF_STUDY_RELATED_INSTANCES = 0x00201208
NUMBER_OF_SERIES_RELATED_INSTANCES = 0x00201209


class Counts(NamedTuple):
    """What a peer says of a study.

    Attributes:
        instances: of the study; None: it does not say, or has no such study.
        series: modality and instances of each series, by UID; None: it does not say.
    """

    instances: int | None
    series: dict[str, tuple[str, int | None]]


async def counts(
    host: str,
    port: int,
    study_instance_uids: Sequence[str],
    *,
    calling: str,
    called: str,
    timeout_s: float = TIMEOUT_S,
) -> AsyncIterator[Counts]:
    """What the peer says of each of the studies, in order, over one association.

    Raises:
        NotNegotiatedError: the peer does not take Study Root queries.
        FailedStatusError: it answered one with a failure.
        UnreachableError, BusyError, RejectedError, BrokenOffError.
    """
    async with associate(
        host,
        port,
        calling=calling,
        called=called,
        contexts=[(STUDY_ROOT_FIND, (EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN))],
        timeout_s=timeout_s,
    ) as association:
        if not association.contexts:
            raise NotNegotiatedError("the peer does not take queries of the Study Root model")
        asking = _Asking(association)
        for uid in study_instance_uids:
            yield await asking.of(uid)


class _Asking:
    def __init__(self, association: PeerAssociation) -> None:
        self._association = association
        ((self._context_id, self._context),) = association.contexts.items()
        self._message_id = 0

    async def of(self, study: str) -> Counts:
        instances: int | None = None
        asked = {NUMBER_OF_STUDY_RELATED_INSTANCES: Key("IS", "")}
        async for match in self._matches("STUDY", study, asked):
            instances = _count(match.get(NUMBER_OF_STUDY_RELATED_INSTANCES))
        series: dict[str, tuple[str, int | None]] = {}
        asked = {
            SERIES_INSTANCE_UID: Key("UI", ""),
            MODALITY: Key("CS", ""),
            NUMBER_OF_SERIES_RELATED_INSTANCES: Key("IS", ""),
        }
        async for match in self._matches("SERIES", study, asked):
            uid = _text(match.get(SERIES_INSTANCE_UID))
            if is_safe(uid):
                number = _count(match.get(NUMBER_OF_SERIES_RELATED_INSTANCES))
                series[uid] = (_text(match.get(MODALITY))[:16], number)
        return Counts(instances, series)

    async def _matches(
        self, level: str, study: str, asked: Identifier
    ) -> AsyncIterator[Identifier]:
        """What matches at one level; answers about another study are passed over."""
        self._message_id += 1
        syntax = self._context.transfer_syntax
        command = encode_command(
            {
                "AffectedSOPClassUID": STUDY_ROOT_FIND,
                "CommandField": CommandField.C_FIND_RQ,
                "MessageID": self._message_id,
                "Priority": 0,
                "CommandDataSetType": DATA_SET,
            }
        )
        named = {QUERY_RETRIEVE_LEVEL: Key("CS", level), STUDY_INSTANCE_UID: Key("UI", study)}
        matches = 0
        async for answer, data in self._association.ask_for_many(
            self._context_id,
            command,
            identifier.encode(named | asked, syntax),
            size_bytes_max=identifier.SIZE_BYTES_MAX,
        ):
            if outcome(answer.number("Status")) is not Outcome.PENDING:
                refuse_failure(answer)
                return
            matches += 1
            if matches > MATCHES_MAX:
                raise BrokenOffError(f"the peer answered with over {MATCHES_MAX} matches")
            try:
                match = await asyncio.to_thread(identifier.decode, data, syntax)
            except InstanceError as error:
                raise BrokenOffError(f"an answer of the peer is no identifier: {error}") from error
            if _text(match.get(STUDY_INSTANCE_UID)) == study:
                yield match


def _text(key: Key | None) -> str:
    return key.value if key is not None and isinstance(key.value, str) else ""


def _count(key: Key | None) -> int | None:
    """A number of instances; None where it is none that one could mean."""
    text = _text(key)
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        return None
    return int(text) if int(text) <= COUNT_MAX else None
