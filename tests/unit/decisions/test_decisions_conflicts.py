"""What a desk shows of conflicts, and what it lets somebody decide."""

import json

import msgspec
import pytest

from fileroom.access.identity import of_address
from fileroom.decisions.conflicts import NoConflictError, NoReasonError, UndecidableError
from fileroom.dicom.uid import digest
from fileroom.retrieve.packs import UnavailableError
from unit.decisions.desks import FIRST, SERIES, STRANGER, STUDY, UID, desk_in

WHO = of_address("127.0.0.1")
NAME, PIXELS = "00100010", "7FE00010"


async def settle(here, sha256, reason="it is whole"):
    return await here.desk.settle(UID, sha256, who=WHO, channel="http", reason=reason)


async def test_a_conflict_shows_who_sent_what_and_when_in_the_order_of_coming(tmp_path):
    async with desk_in(tmp_path) as here:
        (found,) = await here.desk.listed(after=b"", limit=9, settled=False)
        assert (found.sop_instance_uid, found.key) == (UID, digest(UID).hex())
        assert (found.is_open, found.settled) == (True, None)
        first, second = found.data_sets
        assert (first.number, first.is_served) == (1, True)
        assert (second.number, second.is_served) == (2, False)
        assert first.received_at < second.received_at
        assert (first.calling_ae_title, first.address) == ("CT1", "192.0.2.7")
        assert (first.study_instance_uid, first.series_instance_uid) == (STUDY, SERIES)
        assert first.sha256 != second.sha256


async def test_a_conflict_shows_the_tags_that_differ_and_no_value(tmp_path):
    async with desk_in(tmp_path) as here:
        found = await here.desk.show(UID)
        assert [each.differs for each in found.data_sets] == [None, (NAME, PIXELS)]
        assert "Zauberflus" not in msgspec.json.encode(found).decode()


async def test_values_are_those_of_the_tags_that_differ(tmp_path):
    async with desk_in(tmp_path) as here:
        first, second = await here.desk.values(UID)
        assert first.keys() == second.keys() == {NAME, PIXELS}
        names = [json.loads(bytes(each[NAME]))["Value"][0] for each in (first, second)]
        assert [each["Alphabetic"] for each in names] == [
            "Zauberfluss^Quirinius",
            "Zauberfluse^Quirinius",
        ]


async def test_a_pack_that_cannot_be_read_is_shown_as_such(tmp_path):
    async with desk_in(tmp_path) as here:
        here.packs.away.add(2)
        found = await here.desk.show(UID)
        by_served = {each.is_served: each for each in found.data_sets}
        assert found.sop_instance_uid == UID
        assert by_served[False].problem == "its pack cannot be read just now"
        assert by_served[False].differs is None
        said = await here.desk.values(UID)
        assert said == [{}, {}]
        here.packs.away.add(1)
        (found,) = await here.desk.listed(after=b"", limit=9, settled=False)
        assert (found.sop_instance_uid, found.key) == ("", digest(UID).hex())


async def test_what_is_decided_is_served_and_can_be_undone(tmp_path):
    async with desk_in(tmp_path) as here:
        first, second = (await here.desk.show(UID)).data_sets
        assert await settle(here, second.sha256, " it is whole ") == 0
        found = await here.desk.show(UID)
        assert [each.is_served for each in found.data_sets] == [False, True]
        assert (found.is_open, found.settled.reason) == (False, "it is whole")
        assert (found.settled.by, found.settled.ledger_index) == ("127.0.0.1", 0)
        assert found.settled.serves_sha256 == second.sha256
        assert await here.desk.listed(after=b"", limit=9, settled=False) == []
        assert await settle(here, first.sha256) == 1
        assert [each.is_served for each in (await here.desk.show(UID)).data_sets] == [True, False]


async def test_only_what_lies_there_can_be_served(tmp_path):
    async with desk_in(tmp_path) as here:
        for elsewhere in ("00" * 32, ""):
            with pytest.raises(NoConflictError):
                await settle(here, elsewhere)
        with pytest.raises(NoConflictError):
            await here.desk.show("1.2.3.4")
        with pytest.raises(NoConflictError):
            await here.desk.settle("1.2.3.4", "00" * 32, who=WHO, channel="x", reason="y")
        assert here.ledger.size == 0


@pytest.mark.parametrize("reason", ["", "  \n", "x" * 1001])
async def test_a_decision_has_a_reason(tmp_path, reason):
    async with desk_in(tmp_path) as here:
        (found,) = await here.desk.listed(after=b"", limit=9, settled=False)
        with pytest.raises(NoReasonError):
            await settle(here, found.data_sets[1].sha256, reason)
        assert here.ledger.size == 0


async def test_nothing_is_decided_while_the_catalog_does_not_know_all(tmp_path):
    async with desk_in(tmp_path) as here:
        (found,) = await here.desk.listed(after=b"", limit=9, settled=False)
        here.is_complete = False
        with pytest.raises(UndecidableError):
            await settle(here, found.data_sets[1].sha256)
        here.is_complete = True
        del here.catalog.instances[digest(UID)]  # the first waits in the spool
        with pytest.raises(UndecidableError):
            await settle(here, found.data_sets[1].sha256)
        assert here.ledger.size == 0


async def test_what_is_out_of_reach_has_to_be_back_and_what_is_lost_has_not(tmp_path):
    async with desk_in(tmp_path) as here:
        second = (await here.desk.show(UID)).data_sets[1].sha256
        here.packs.away.add(1)
        with pytest.raises(UnavailableError):
            await settle(here, second)
        assert here.ledger.size == 0
        here.packs.away.clear()
        del here.packs.packs[1]  # no copy gives it
        await settle(here, second)
        (found,) = await here.desk.listed(after=b"", limit=9, settled=True)
        assert not found.is_open
        assert [each.is_served for each in found.data_sets] == [False, True]


async def test_a_study_of_two_patients_is_told_by_tags(tmp_path):
    async with desk_in(tmp_path) as here:
        assert await here.desk.doubted(after=0, limit=9) == []
        here.seal(FIRST, at_s=30, conflict=True, patients=(STRANGER,))
        (found,) = await here.desk.doubted(after=0, limit=9)
        assert found.study_instance_uid == STUDY
        (other,) = found.others
        assert (other.series_instance_uid, other.instances) == (SERIES, 3)
        assert other.differs == (NAME, "00100020")
        assert await here.desk.doubted(after=found.key, limit=9) == []
