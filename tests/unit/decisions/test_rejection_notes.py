"""Which Key Object Selections in the spool reject something, and when."""

import logging
from types import SimpleNamespace

import pytest

from conform.catalog_samples import NODE, header, spooled
from fileroom.access.identity import of_address
from fileroom.catalog.errors import CatalogBusyError
from fileroom.catalog.rejections import Scope
from fileroom.catalog.rows import NewSpooled
from fileroom.decisions.decider import by
from fileroom.decisions.rejection_notes import NoteStage
from fileroom.dicom.inflate import InflatedTooLargeError
from fileroom.dicom.uid import digest
from fileroom.spool.failure import DamagedSegmentError, SegmentGoneError
from fileroom.spool.record import Origin, Place
from rejection_parts import KEY_OBJECT_SELECTION, data_set_of, note_of
from unit.decisions.rejection_desk import OTHER, SERIES, STUDY, desk_in

MAY, MAY_NOT = "QA-STATION", "CT-ROOM-1"
NOTE = "1.3.1"
REFERENCES = {(STUDY, SERIES): ["1.9.1"], (STUDY, OTHER): ["1.9.3", "1.9.7"]}


class Spool:
    """What lies in the spool, by place; an error in place of what does not open."""

    def __init__(self):
        self.held = {}

    def open(self, place):
        found = self.held[Place(*place)]
        if isinstance(found, Exception):
            raise found
        return found


def rejecter(origin):
    if origin.calling_ae_title != MAY:
        return None
    return by(of_address(origin.address), channel=origin.channel)


class Arriving:
    """Notes on their way through the spool, and the stage that looks at them."""

    def __init__(self, behind):
        self.behind = behind
        self.spool = Spool()
        self.stage = NoteStage(
            catalog=behind.catalog, spool=self.spool, desk=behind.desk, rejecter=rejecter
        )

    def note(self, place, *, sender=MAY, uid=NOTE, references=REFERENCES, **how):
        made = note_of(references, uid=uid, **how)
        data = data_set_of(made)
        said = header(uid, series=f"{uid}.1", sop_class=KEY_OBJECT_SELECTION)
        self.spool.held[Place(*place)] = SimpleNamespace(
            record=SimpleNamespace(
                description=SimpleNamespace(
                    origin=Origin("dimse", sender, "192.0.2.7", "c1"),
                    header=said,
                    transfer_syntax_uid=str(made.file_meta.TransferSyntaxUID),
                ),
                size_bytes=len(data),
            ),
            read=lambda start, end: data[start:end],
        )
        row = NewSpooled(
            segment=place[0],
            offset=place[1],
            partition="main",
            header=said,
            size_bytes=len(data),
            sha256=b"n" * 32,
            received_at_ns=1,
        )
        self.behind.catalog.record_spooled([row], node_id=NODE)

    @property
    def waiting(self):
        return self.behind.catalog.waiting_notes(limit=9)


async def test_a_note_hides_what_it_references_here_or_not_yet(tmp_path):
    async with desk_in(tmp_path) as behind:
        arriving = Arriving(behind)
        arriving.note((3, 0))
        assert await arriving.stage.round() == 1
        assert arriving.waiting == []
        assert behind.scopes() == [
            Scope(STUDY, OTHER, ("1.9.3", "1.9.7")),
            Scope(STUDY, SERIES, ("1.9.1",)),
        ]
        (row, _) = behind.catalog.rejections(limit=9)
        assert (row.note_uid, row.code, row.decided_by) == (NOTE, "113001", "192.0.2.7")
        late = spooled((4, 0), "1.9.7", series=OTHER)
        behind.catalog.record_spooled([late], node_id=NODE)
        assert behind.catalog.locate(digest("1.9.7")).spooled is None


async def test_a_note_of_who_may_not_reject_is_an_instance_and_no_more(tmp_path):
    async with desk_in(tmp_path) as behind:
        arriving = Arriving(behind)
        arriving.note((3, 0), sender=MAY_NOT)
        assert await arriving.stage.round() == 0
        assert (arriving.waiting, behind.scopes(), behind.ledger.size) == ([], [], 0)


async def test_a_key_object_selection_with_another_title_rejects_nothing(tmp_path):
    async with desk_in(tmp_path) as behind:
        arriving = Arriving(behind)
        arriving.note((3, 0), title="113000")
        assert await arriving.stage.round() == 0
        assert (arriving.waiting, behind.ledger.size) == ([], 0)


async def test_a_note_is_followed_once_and_never_again_after_it_was_undone(tmp_path):
    async with desk_in(tmp_path) as behind:
        arriving = Arriving(behind)
        arriving.note((3, 0))
        await arriving.stage.round()
        await behind.restore(STUDY, everything=True)
        arriving.note((3, 0))  # a start goes through the spool once more
        arriving.note((5, 0))  # the sender tries again
        assert await arriving.stage.round() == 0
        assert (arriving.waiting, behind.scopes()) == ([], [])


async def test_a_note_that_was_followed_in_part_is_followed_to_its_end(tmp_path, monkeypatch):
    async with desk_in(tmp_path) as behind:
        arriving = Arriving(behind)
        arriving.note((3, 0))
        kept, record = [], behind.catalog.record_rejected

        def busy_at_the_second(rejection):
            kept.append(rejection)
            if len(kept) == 2:
                raise CatalogBusyError("busy")
            record(rejection)

        monkeypatch.setattr(behind.catalog, "record_rejected", busy_at_the_second)
        with pytest.raises(CatalogBusyError):
            await arriving.stage.round()
        assert len(arriving.waiting) == 1
        assert await arriving.stage.round() in (0, 1)
        assert {each[1] for each in behind.scopes()} == {SERIES, OTHER}
        assert arriving.waiting == []


@pytest.mark.parametrize(
    "error",
    [
        SegmentGoneError("gone"),
        DamagedSegmentError("bad", segment=3, offset=0),
        InflatedTooLargeError("over 256 MiB"),
    ],
)
async def test_a_note_that_does_not_open_is_given_up_and_said_so(tmp_path, error, caplog):
    async with desk_in(tmp_path) as behind:
        arriving = Arriving(behind)
        arriving.note((3, 0))
        arriving.spool.held[Place(3, 0)] = error
        arriving.note((3, 1), uid="1.3.2")
        with caplog.at_level(logging.ERROR):
            assert await arriving.stage.round() == 1, "the next one is followed"
        assert arriving.waiting == []
        assert "a rejection note at 3:0 is not followed" in caplog.text


async def test_a_note_that_cannot_be_read_changes_nothing(tmp_path, caplog):
    async with desk_in(tmp_path) as behind:
        arriving = Arriving(behind)
        arriving.note((3, 0), references={(STUDY, SERIES): []})
        with caplog.at_level(logging.ERROR):
            assert await arriving.stage.round() == 0
        assert (arriving.waiting, behind.ledger.size) == ([], 0)
        assert "is not followed" in caplog.text
