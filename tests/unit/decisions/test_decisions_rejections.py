"""What is rejected and restored: what is recorded, what is refused, what is told of it."""

import pytest

from fileroom.audit import event
from fileroom.audit.rejected import (
    INSTANCES_REJECTED,
    INSTANCES_RESTORED,
    InstancesRejected,
    InstancesRestored,
)
from fileroom.catalog.rejections import Scope
from fileroom.decisions import rejections
from fileroom.decisions.decider import by
from fileroom.decisions.rejections import (
    BadScopeError,
    IncompleteError,
    NotKeptError,
    NotRejectedError,
    ShownRejection,
    UnknownReasonError,
)
from fileroom.dicom.rejection import Note
from fileroom.recovery.replay import Replay
from unit.decisions.rejection_desk import OTHER, SERIES, SOMEBODY, STUDY, desk_in


def told(behind):
    """The decisions that the ledger has."""
    records = behind.ledger.records(0, behind.ledger.size)
    return [event.parse(each.kind, each.body) for each in records]


async def test_a_rejection_is_in_the_ledger_and_hides_when_it_is_answered(tmp_path):
    async with desk_in(tmp_path) as behind:
        assert await behind.reject(STUDY, code="113037", reason="wrong patient") == [0]
        assert told(behind) == [
            InstancesRejected(
                by=by(SOMEBODY, channel="http"),
                reason="wrong patient",
                decided_at_ns=behind.clock.wall_ns(),
                study_instance_uid=STUDY,
                series_instance_uid="",
                sop_instance_uids=(),
                code="113037",
            )
        ]
        assert next(iter(behind.ledger.records(0, 1))).kind == INSTANCES_REJECTED
        assert not behind.catalog.is_shown_study(1)


async def test_what_is_hidden_is_told_with_who_and_why(tmp_path):
    async with desk_in(tmp_path) as behind:
        await behind.reject(STUDY, SERIES, ("1.9.2",), reason="blurred")
        (shown,) = await behind.desk.listed(study_instance_uid=None, before=None, limit=9)
        assert shown == ShownRejection(
            decision=0,
            study_instance_uid=STUDY,
            series_instance_uid=SERIES,
            sop_instance_uids=("1.9.2",),
            code="113001",
            meaning="Rejected for Quality Reasons",
            reason="blurred",
            by="127.0.0.1",
            at_s=behind.clock.wall_ns() / 1e9,
            note_sop_instance_uid="",
        )


async def test_instances_of_several_series_are_a_decision_for_each(tmp_path):
    async with desk_in(tmp_path) as behind:
        assert await behind.reject(STUDY, "", ("1.9.3", "1.9.1")) == [0, 1]
        assert behind.scopes() == [
            Scope(STUDY, OTHER, ("1.9.3",)),
            Scope(STUDY, SERIES, ("1.9.1",)),
        ]


async def test_more_instances_than_an_entry_holds_are_several_decisions(tmp_path, monkeypatch):
    monkeypatch.setattr(rejections, "NAMED_MAX", 1)
    async with desk_in(tmp_path) as behind:
        assert await behind.reject(STUDY, SERIES, ("1.9.1", "1.9.2")) == [0, 1]
        note = Note("113001", {(STUDY, SERIES): ("1.9.1", "1.9.2")})
        who = by(SOMEBODY, channel="dimse")
        assert await behind.desk.follow(note, sop_instance_uid="1.3.1", who=who) == 2
        parts = [(each.part, each.parts, each.sop_instance_uids) for each in told(behind)[2:]]
        assert parts == [(0, 2, ("1.9.1",)), (1, 2, ("1.9.2",))]
        assert await behind.restore(STUDY, "", ("1.9.1", "1.9.2")) == [4, 5]
        assert behind.scopes() == []


@pytest.mark.parametrize(
    "scope",
    [("1.2.9",), (STUDY, "1.2.9"), (STUDY, "", ("1.9.9",)), (STUDY, OTHER, ("1.9.1", "1.9.3"))],
)
async def test_what_is_not_kept_is_not_rejected(tmp_path, scope):
    async with desk_in(tmp_path) as behind:
        with pytest.raises(NotKeptError):
            await behind.reject(*scope)
        behind.is_complete = False
        with pytest.raises(IncompleteError):
            await behind.reject(*scope)
        assert told(behind) == []


async def test_what_cannot_be_a_reason_or_a_uid_is_refused_with_no_word_of_it(tmp_path):
    async with desk_in(tmp_path) as behind:
        for code, reason in (("113000", ""), ("", ""), ("113001", "x" * 1001)):
            with pytest.raises(UnknownReasonError) as refused:
                await behind.reject(STUDY, code=code, reason=reason)
            assert "xx" not in str(refused.value)
        with pytest.raises(UnknownReasonError):
            await behind.restore(STUDY, reason="x" * 1001)
        for scope in (("",), ("Doe",), (STUDY, "Doe"), (STUDY, "", ("Doe",))):
            with pytest.raises(BadScopeError) as refused:
                await behind.reject(*scope)
            assert "Doe" not in str(refused.value)
        assert told(behind) == []


async def test_what_is_hidden_is_rejected_again_for_another_reason(tmp_path):
    async with desk_in(tmp_path) as behind:
        await behind.reject(STUDY)
        await behind.reject(STUDY, code="113038")
        rows = behind.catalog.rejections(limit=9)
        assert [(each.ledger_index, each.code) for each in rows] == [(1, "113038")]


async def test_restoring_is_a_decision_too(tmp_path):
    async with desk_in(tmp_path) as behind:
        await behind.reject(STUDY)
        assert await behind.restore(STUDY, reason="it was the other one") == [1]
        assert told(behind)[1] == InstancesRestored(
            by=by(SOMEBODY, channel="http"),
            reason="it was the other one",
            decided_at_ns=behind.clock.wall_ns(),
            study_instance_uid=STUDY,
            series_instance_uid="",
            sop_instance_uids=(),
        )
        assert next(iter(behind.ledger.records(1, 2))).kind == INSTANCES_RESTORED
        assert behind.catalog.is_shown_study(1)


async def test_only_what_is_rejected_as_exactly_that_is_restored(tmp_path):
    async with desk_in(tmp_path) as behind:
        await behind.reject(STUDY, SERIES, ("1.9.1",))
        for scope in (
            ("1.2.9",),
            (STUDY, OTHER),
            (STUDY, "", ("1.9.2",)),
            (STUDY, OTHER, ("1.9.1",)),
        ):
            with pytest.raises(NotRejectedError):
                await behind.restore(*scope)
        for scope in ((STUDY,), (STUDY, SERIES)):
            with pytest.raises(NotRejectedError, match="something in it is"):
                await behind.restore(*scope)
        await behind.reject(STUDY)
        with pytest.raises(NotRejectedError, match="is rejected as a whole"):
            await behind.restore(STUDY, "", ("1.9.3",))
        assert len(told(behind)) == 2
        assert await behind.restore(STUDY, everything=True) == [2]
        assert behind.scopes() == []


async def test_an_instance_is_restored_without_a_word_of_its_series(tmp_path):
    async with desk_in(tmp_path) as behind:
        await behind.reject(STUDY, "", ("1.9.1", "1.9.3"))
        assert await behind.restore(STUDY, "", ("1.9.3",)) == [2]
        assert behind.scopes() == [Scope(STUDY, SERIES, ("1.9.1",))]


async def test_a_catalog_that_was_lost_hears_of_all_of_it_from_the_ledger(tmp_path):
    async with desk_in(tmp_path) as behind:
        await behind.reject(STUDY, SERIES, ("1.9.1", "1.9.2"))
        await behind.reject(STUDY)
        await behind.restore(STUDY)
        await behind.restore(STUDY, "", ("1.9.2",))
        known = behind.catalog.rejections(limit=9)
        behind.catalog.rejected = {}
        replay = Replay(catalog=behind.catalog, ledger=behind.ledger)
        for _ in range(2):
            replay.decide(replay.tail(whole=True))
            assert behind.catalog.rejections(limit=9) == known
