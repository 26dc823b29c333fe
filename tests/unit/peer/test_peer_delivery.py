"""What is proposed to a destination, and when another association is needed."""

from contextlib import asynccontextmanager

import pytest

from fileroom.peer import delivery
from fileroom.peer.association import BrokenOffError, RejectedError
from fileroom.peer.delivery import Delivery, Destination, Kind, proposals
from fileroom.wire.message import Command, decode_command, store_elements
from fileroom.wire.presentation import AcceptedContext

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
EXPLICIT, IMPLICIT, BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
RLE, JPEG_LS = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80"
PACS = Destination("PACS", "192.0.2.7", 104)
ELEMENTS = store_elements(sop_class_uid=CT, sop_instance_uid="1.2.3")


def test_each_stored_form_is_proposed_and_the_uncompressed_besides():
    kinds = [Kind(CT, RLE), Kind(MR, EXPLICIT), Kind(CT, JPEG_LS), Kind(CT, RLE)]
    assert proposals(kinds) == [
        (CT, (RLE,)),
        (CT, (JPEG_LS,)),
        (CT, (EXPLICIT, IMPLICIT)),
        (MR, (EXPLICIT,)),
        (MR, (IMPLICIT,)),
    ]
    assert proposals([Kind(CT, IMPLICIT), Kind(CT, EXPLICIT)]) == [
        (CT, (IMPLICIT,)),
        (CT, (EXPLICIT,)),
    ]


def test_big_endian_is_never_proposed():
    assert proposals([Kind(CT, BIG)]) == [(CT, (EXPLICIT, IMPLICIT))]


class Pacs:
    """A destination that takes everything.

    Attributes:
        proposed: of each association that was opened.
        ended: how each of them ended.
    """

    def __init__(self, *, refuses: int = 0) -> None:
        self.proposed: list[list[delivery.Proposal]] = []
        self.ended: list[str] = []
        self.commands: list[dict] = []
        self.error: Exception | None = None
        self._refuses = refuses

    @asynccontextmanager
    async def associate(self, host, port, *, calling, called, contexts, timeout_s):
        assert (called, host, port, calling) == (*PACS, "FILEROOM")
        if self._refuses:
            self._refuses -= 1
            raise RejectedError("the peer rejected the association")
        assert len(contexts) <= 128
        self.proposed.append(list(contexts))
        self.contexts = {
            2 * n + 1: AcceptedContext(2 * n + 1, sop_class, syntaxes[0])
            for n, (sop_class, syntaxes) in enumerate(contexts)
        }
        self.ended.append("")
        yield self
        self.ended[-1] = self.ended[-1] or "released"

    async def ask(self, context_id, command, dataset):
        self.commands.append(decode_command(command))
        async for _ in dataset:
            if self.error is not None:
                raise self.error
        return Command(context_id, {"Status": 0})

    async def abort(self):
        self.ended[-1] = "aborted"


@pytest.fixture
def pacs(monkeypatch) -> Pacs:
    made = Pacs()
    monkeypatch.setattr(delivery, "associate", made.associate)
    return made


async def _pieces():
    yield b"\0\0"


async def test_one_association_takes_what_was_proposed_and_another_one_that_and_more(pacs):
    to = Delivery(PACS, calling="FILEROOM")
    await to.propose([Kind(CT, RLE)])
    await to.propose([Kind(CT, RLE)])
    assert await to.store(next(iter(to.contexts)), ELEMENTS, _pieces()) == 0
    await to.propose([Kind(MR, RLE)])
    await to.propose([Kind(CT, RLE), Kind(MR, RLE)])
    await to.end()
    assert [len(each) for each in pacs.proposed] == [2, 4]
    assert pacs.ended == ["released", "released"]


async def test_more_kinds_than_contexts_take_several_associations(pacs):
    kinds = [Kind(f"1.2.{number}", RLE) for number in range(100)]
    to = Delivery(PACS, calling="FILEROOM")
    await to.propose(kinds)
    assert [len(each) for each in pacs.proposed] == [128]
    for kind in kinds:
        await to.propose([kind])
        assert kind.sop_class_uid in {each.abstract_syntax for each in to.contexts}
    assert len(pacs.proposed) <= 1 + 36
    await to.end()


async def test_an_instance_that_breaks_off_costs_the_association_and_the_next_opens_another(pacs):
    to = Delivery(PACS, calling="FILEROOM")
    await to.propose([Kind(CT, RLE)])
    pacs.error = BrokenOffError("the peer aborted")
    context = next(iter(to.contexts))
    with pytest.raises(BrokenOffError):
        await to.store(context, ELEMENTS, _pieces())
    assert (pacs.ended, list(to.contexts)) == (["aborted"], [])
    with pytest.raises(BrokenOffError):
        await to.store(context, ELEMENTS, _pieces())
    pacs.error = None
    await to.propose([Kind(CT, RLE)])
    assert await to.store(next(iter(to.contexts)), ELEMENTS, _pieces()) == 0
    assert [each["MessageID"] for each in pacs.commands] == [1, 2]
    await to.end()


async def test_a_destination_that_rejects_leaves_no_association(monkeypatch):
    refusing = Pacs(refuses=1)
    monkeypatch.setattr(delivery, "associate", refusing.associate)
    to = Delivery(PACS, calling="FILEROOM")
    with pytest.raises(RejectedError):
        await to.propose([Kind(CT, RLE)])
    assert list(to.contexts) == []
    await to.propose([Kind(CT, RLE)])
    assert refusing.proposed
    await to.end()
