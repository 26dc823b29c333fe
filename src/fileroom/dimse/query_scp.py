"""C-FIND: an identifier becomes a search, and each match an answer (PS3.4 §C.4.1, PS3.7 §9.1.2).

Matches go out as they are found, a page of them in memory at a time. Between two of them the loop
has its turn, so that a C-CANCEL is heard; one that comes while the catalog is asked is answered
at once.
"""

import asyncio
from collections.abc import AsyncIterator, Callable

from fileroom.access.identity import Principal
from fileroom.catalog.errors import SearchTooBroadError
from fileroom.catalog.query import Level as SearchLevel
from fileroom.catalog.query import Search
from fileroom.dicom.identifier import Identifier, IdentifierError
from fileroom.dimse import query_keys
from fileroom.dimse.by_identifier import ByIdentifier, Failures, failure, refused
from fileroom.dimse.instance_keys import InstanceKeys
from fileroom.dimse.operation import Answer, GoneError, Refused, Talk
from fileroom.dimse.provision import Provision, ReadRecord
from fileroom.dimse.query_answer import Answers
from fileroom.dimse.query_keys import Level, MismatchedIdentifierError, Query
from fileroom.errors import FileroomError, IntegrityError, TransientError, UncertainError
from fileroom.wire.message import Command
from fileroom.wire.presentation import AcceptedContext
from fileroom.wire.status import Status

CHANNEL = "dimse-find"
PURPOSE = "search"
SEARCHED = {Level.PATIENT: SearchLevel.PATIENT, Level.STUDY: SearchLevel.STUDY}

# From errors to PS3.4 Table C.4-1; the first row that fits counts.
FAILURES: Failures = (
    (MismatchedIdentifierError, Status.IDENTIFIER_DOES_NOT_MATCH_SOP_CLASS),
    (IdentifierError, Status.UNABLE_TO_PROCESS),
    (SearchTooBroadError, Status.OUT_OF_RESOURCES),
    (TransientError, Status.OUT_OF_RESOURCES),
    (UncertainError, Status.OUT_OF_RESOURCES),
    (IntegrityError, Status.OUT_OF_RESOURCES),
)


class Find(ByIdentifier):
    """One C-FIND until it is answered.

    Args:
        provision: raises TransientError while nothing can be read.
    """

    def __init__(
        self,
        command: Command,
        context: AcceptedContext,
        provision: Callable[[], Provision],
        principal: Principal,
    ) -> None:
        super().__init__(command, context)
        self._provision = provision
        self._principal = principal
        self._cancelled = asyncio.Event()

    def cancel(self) -> None:
        """Stop looking."""
        self._cancelled.set()

    async def perform(self, talk: Talk) -> Answer:
        """Send all matches. Raises GoneError where the peer has left."""
        answering = asyncio.ensure_future(self._perform(talk))
        cancelled = asyncio.ensure_future(self._cancelled.wait())
        try:
            await asyncio.wait((answering, cancelled), return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                return answering.result()
            # What runs in a thread comes to its bounded end alone.
            return Answer(Status.CANCEL)
        finally:
            cancelled.cancel()
            answering.cancel()

    async def _perform(self, talk: Talk) -> Answer:
        try:
            provision = self._provision()
            query = await asyncio.to_thread(self._read, provision)
            self._data.clear()
            # Attributes are read too: the search is on record before its first match leaves
            # (invariant 11), under the study that it asks about, or under none.
            record = await provision.coverage.covers(
                self._principal, query.study_instance_uid, purpose=PURPOSE, channel=CHANNEL
            )
            if query.unambiguous:
                await _require_one_patient(query, provision)
            return await self._answer_all(talk, query, provision, record)
        except GoneError:
            raise
        except FileroomError as error:
            return failure(error, FAILURES)

    def _read(self, provision: Provision) -> Query:
        context = self._context
        return query_keys.read(
            self._asked(), context.abstract_syntax, context.extended, site=provision.timezone
        )

    async def _answer_all(
        self, talk: Talk, query: Query, provision: Provision, record: ReadRecord
    ) -> Answer:
        answers = Answers(
            query,
            ae_title=provision.ae_title,
            transfer_syntax_uid=self._context.transfer_syntax,
        )
        search = _search(query, provision.partition, answers.computed)
        status = Status.PENDING_WITHOUT_OPTIONAL_KEYS if query.ignored else Status.PENDING
        async for attributes, own in _matches(query, search, provision):
            # What an instance says may be much, and is looked at off the loop.
            data_set = (
                await asyncio.to_thread(answers.of, attributes, own)
                if own
                else answers.of(attributes, own)
            )
            if data_set is None:
                continue
            record.count(bytes=len(data_set))
            await talk.respond(self.command, Answer(status, data_set=data_set))
            await asyncio.sleep(0)
            if self._cancelled.is_set():
                return Answer(Status.CANCEL)
        return Answer(Status.SUCCESS)


def begin(
    command: Command,
    context: AcceptedContext,
    provision: Callable[[], Provision],
    principal: Principal,
) -> Find | Refused:
    """Begin a C-FIND."""
    no = refused(command, context)
    if no is not None:
        return no
    return Find(command, context, provision, principal)


def _search(query: Query, partition: str, computed: frozenset[str]) -> Search:
    return Search(
        level=SEARCHED.get(query.level, SearchLevel.SERIES),
        partition=partition,
        limit=1,  # which the archive sets for each page
        conditions=(*query.conditions, *query.item_conditions),
        computed=computed,
        combined_datetime=query.extended.combined_datetime,
        zone=query.zone,
    )


async def _require_one_patient(query: Query, provision: Provision) -> None:
    """Raise an error where several patients have the Patient ID: its studies would be mixed."""
    identity = tuple(
        each for each in query.conditions if each.keyword in ("PatientID", "IssuerOfPatientID")
    )
    search = Search(
        level=SearchLevel.PATIENT,
        partition=provision.partition,
        limit=2,
        conditions=identity,
        computed=frozenset(),
    )
    if len(await provision.archive.search(search)) > 1:
        raise MismatchedIdentifierError(
            "several patients have this Patient ID; name its issuer",
            tags=(query_keys.PATIENT_ID,),
        )


async def _matches(
    query: Query, search: Search, provision: Provision
) -> AsyncIterator[tuple[dict[str, str], Identifier]]:
    """The attributes of each match, and what its data set answers."""
    if query.level is not Level.IMAGE:
        async for row in provision.archive.matches(search):
            yield row.attributes, {}
        return
    keys = InstanceKeys(query)
    async for row, instance in provision.archive.instance_matches(search):
        own: Identifier | None = {}
        if keys:
            own = await asyncio.to_thread(keys.matches, await instance.dicom_json())
        if own is not None:
            yield row.attributes, own
