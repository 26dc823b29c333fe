"""A peer's answer to the roles that we propose for storage commitment (PS3.7 §D.3.3.4)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fileroom.dicom.commitment import Reference, Result
from fileroom.peer.association import NotNegotiatedError, UnreachableError
from fileroom.peer.commitment import tell
from fileroom.wire import message
from fileroom.wire.event import AssociateRequested, MessageFragment, ReleaseRequested
from fileroom.wire.message import Command, MessageReader
from fileroom.wire.pdu import AnsweredContext, AssociateAccept, ContextResult
from fileroom.wire.sop_class import STORAGE_COMMITMENT
from fileroom.wire.upper_layer import Association
from fileroom.wire.user_information import RoleSelection, UserInformation

IMPLICIT = "1.2.840.10008.1.2"
RESULT = Result("1.7.1", [Reference("1.2.840.10008.5.1.4.1.1.2", "1.9.1")], [None], "FILEROOM")


class Peer:
    """Accepts whatever context comes, answers about roles as it is told to, and every report."""

    def __init__(
        self, *, roles: tuple[RoleSelection, ...], accepts: bool = True, releases: bool = True
    ) -> None:
        self.roles = roles
        self.accepts = accepts
        self.releases = releases
        self.proposed: tuple[RoleSelection, ...] = ()
        self.told: list[Command] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upper, messages = Association.acceptor(), MessageReader()
        while data := await reader.read(65536):
            upper.feed(data)
            for event in iter(upper.next_event, None):
                self._take(upper, messages, event)
            writer.write(upper.data_to_send())
            await writer.drain()
        writer.close()

    def _take(self, upper: Association, messages: MessageReader, event: object) -> None:
        if isinstance(event, AssociateRequested):
            self.proposed = event.request.user.roles
            (context,) = event.request.contexts
            result = ContextResult.ACCEPTANCE if self.accepts else ContextResult.USER_REJECTION
            answered = AnsweredContext(context.context_id, result, IMPLICIT)
            user = UserInformation(16384, "1.2.3", roles=self.roles)
            upper.accept(AssociateAccept((answered,), user, titles=event.request.titles))
        elif isinstance(event, MessageFragment):
            taken = messages.take(event)
            if isinstance(taken, Command):
                self.told.append(taken)
            elif isinstance(taken, MessageFragment) and taken.is_last:
                upper.send_message(1, message.response(self.told[-1], 0))
        elif isinstance(event, ReleaseRequested) and self.releases:
            upper.reply_release()


@asynccontextmanager
async def listening(peer: Peer) -> AsyncIterator[int]:
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def told(port: int, *, timeout_s: float = 30) -> int:
    return await tell(
        "127.0.0.1", port, RESULT, calling="FILEROOM", called="CT1", timeout_s=timeout_s
    )


@pytest.mark.parametrize("scu", [False, True])
async def test_a_peer_that_lets_us_be_the_scp_is_told(scu):
    peer = Peer(roles=(RoleSelection(STORAGE_COMMITMENT, scu=scu, scp=True),))
    async with listening(peer) as port:
        assert await told(port) == 0
    assert peer.proposed == (RoleSelection(STORAGE_COMMITMENT, scu=False, scp=True),)
    (command,) = peer.told
    assert (command.number("EventTypeID"), command.number("MessageID")) == (1, 1)


async def test_a_peer_that_is_silent_about_roles_is_told():
    peer = Peer(roles=())
    async with listening(peer) as port:
        assert await told(port) == 0


async def test_a_peer_that_answers_and_then_hangs_is_told():
    async with listening(Peer(roles=(), releases=False)) as port:
        assert await told(port, timeout_s=0.2) == 0


async def test_a_peer_that_refuses_us_the_role_is_not_told():
    peer = Peer(roles=(RoleSelection(STORAGE_COMMITMENT, scu=True, scp=False),))
    async with listening(peer) as port:
        with pytest.raises(NotNegotiatedError, match="be the SCP"):
            await told(port)
    assert peer.told == []


async def test_a_peer_that_does_not_take_the_class_is_not_told():
    peer = Peer(roles=(), accepts=False)
    async with listening(peer) as port:
        with pytest.raises(NotNegotiatedError, match="results"):
            await told(port)


async def test_where_nobody_listens_it_may_work_later():
    async with listening(Peer(roles=())) as port:
        pass
    with pytest.raises(UnreachableError):
        await told(port)
