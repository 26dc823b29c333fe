"""The resources about rejections: what is decided, what is refused, what is on record."""

import json

import pytest

from dicomweb_fakes import call, world
from unit.decisions.rejection_desk import SERIES, STUDY, desk_in

JSON = {"content-type": "application/json"}


async def asked(desk, target, **how):
    here = world(rejections=desk)
    return await call(here.app, "GET", target, **how), here


async def told(desk, target, **said):
    here = world(rejections=desk)
    body = json.dumps(said).encode()
    return await call(here.app, "POST", target, headers=JSON, body=[body])


async def test_a_node_without_a_desk_has_no_such_resource():
    reply, _ = await asked(None, "/rejections")
    assert reply.status == 404
    for target in ("/rejections", "/rejections/restore"):
        reply = await told(None, target, study_instance_uid=STUDY, code="113001")
        assert reply.status == 404


async def test_what_is_rejected_is_listed_and_the_look_at_it_is_on_record(tmp_path):
    async with desk_in(tmp_path) as behind:
        reply = await told(
            behind.desk,
            "/rejections",
            study_instance_uid=STUDY,
            sop_instance_uids=["1.9.2"],
            code="113001",
            reason="blurred",
        )
        assert (reply.status, reply.json()) == (200, {"decisions": [0]})
        reply, here = await asked(behind.desk, f"/rejections?study={STUDY}&limit=5")
        assert here.coverage.asked == [("127.0.0.1", STUDY, "rejections", "http")]
        (row,) = reply.json()["rejections"]
        assert row == {
            "decision": 0,
            "study_instance_uid": STUDY,
            "series_instance_uid": SERIES,
            "sop_instance_uids": ["1.9.2"],
            "code": "113001",
            "meaning": "Rejected for Quality Reasons",
            "reason": "blurred",
            "by": "127.0.0.1",
            "at_s": behind.clock.wall_ns() / 1e9,
            "note_sop_instance_uid": "",
            "outgrown": False,
            "restorable_until_s": None,
        }
        for query in ("before=0", "study=1.2.9", "limit=0"):
            reply, _ = await asked(behind.desk, f"/rejections?{query}")
            assert reply.json() == {"rejections": []}
        reply = await told(
            behind.desk,
            "/rejections/restore",
            study_instance_uid=STUDY,
            sop_instance_uids=["1.9.2"],
        )
        assert (reply.status, reply.json()) == (200, {"decisions": [1]})


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"study_instance_uid": "1.2.9", "code": "113001"}, 404),
        ({"study_instance_uid": STUDY, "code": "113000"}, 400),
        ({"study_instance_uid": "Doe", "code": "113001"}, 400),
        ({"study_instance_uid": STUDY}, 400),
        ({"study_instance_uid": STUDY, "code": "113001", "patient": "Doe"}, 400),
        ({"study_instance_uid": STUDY, "code": "113001", "reason": "x" * (1 << 20)}, 413),
    ],
)
async def test_what_cannot_be_rejected_is_refused(tmp_path, said, status):
    async with desk_in(tmp_path) as behind:
        reply = await told(behind.desk, "/rejections", **said)
        assert reply.status == status
        assert b"Doe" not in reply.body
        assert behind.ledger.size == 0


async def test_nothing_is_said_to_be_absent_while_the_catalog_is_incomplete(tmp_path):
    async with desk_in(tmp_path) as behind:
        behind.is_complete = False
        reply = await told(behind.desk, "/rejections", study_instance_uid="1.2.9", code="113001")
        assert reply.status == 503


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"study_instance_uid": STUDY}, 404),
        ({"study_instance_uid": "Doe"}, 400),
        ({"study_instance_uid": STUDY, "code": "113001"}, 400),
    ],
)
async def test_what_cannot_be_restored_is_refused(tmp_path, said, status):
    async with desk_in(tmp_path) as behind:
        reply = await told(behind.desk, "/rejections/restore", **said)
        assert reply.status == status
        assert behind.ledger.size == 0


@pytest.mark.parametrize("query", ["limit=x", "before=-1", "limit=1e3", "study=Doe", "study="])
async def test_a_query_that_says_nothing_is_refused(tmp_path, query):
    async with desk_in(tmp_path) as behind:
        reply, here = await asked(behind.desk, f"/rejections?{query}")
        assert (reply.status, here.coverage.asked) == (400, [])
