"""The resources about conflicts: who is shown what, and what is on record before it is."""

import json

import pytest

from dicomweb_fakes import call, world
from unit.decisions.desks import FIRST, STRANGER, STUDY, UID, desk_in

JSON = {"content-type": "application/json"}


async def asked(desk, target, **how):
    here = world(conflicts=desk)
    return await call(here.app, "GET", target, **how), here


@pytest.mark.parametrize(
    "target", ["/conflicts", "/conflicts/studies", f"/conflicts/{UID}", f"/conflicts/{UID}/values"]
)
async def test_a_node_without_a_desk_has_no_such_resource(target):
    reply, _ = await asked(None, target)
    assert reply.status == 404


async def test_what_is_shown_is_on_record_first(tmp_path):
    async with desk_in(tmp_path) as behind:
        for target, study in (
            ("/conflicts", ""),
            ("/conflicts/studies", ""),
            (f"/conflicts/{UID}", STUDY),
            (f"/conflicts/{UID}/values", STUDY),
        ):
            reply, here = await asked(behind.desk, target)
            assert reply.status == 200
            assert here.coverage.asked == [("127.0.0.1", study, "conflict", "http")]


async def test_values_stay_on_this_machine(tmp_path):
    async with desk_in(tmp_path) as behind:
        reply, _ = await asked(behind.desk, f"/conflicts/{UID}/values")
        first, second = reply.json()["values"]
        assert first["00100010"]["Value"] == [{"Alphabetic": "Zauberfluss^Quirinius"}]
        assert second["00100010"]["Value"] == [{"Alphabetic": "Zauberfluse^Quirinius"}]
        reply, here = await asked(
            behind.desk, f"/conflicts/{UID}/values", client=("192.0.2.7", 40000)
        )
        assert (reply.status, here.coverage.asked) == (403, [])
        reply, _ = await asked(behind.desk, f"/conflicts/{UID}")
        assert b"Zauberflus" not in reply.body


async def test_a_decision_is_taken_by_the_place_that_was_shown(tmp_path):
    async with desk_in(tmp_path) as behind:
        reply, here = await asked(behind.desk, f"/conflicts/{UID}")
        second = reply.json()["data_sets"][1]
        body = json.dumps({"serve": second["sha256"], "reason": "it is whole"}).encode()
        reply = await call(here.app, "POST", f"/conflicts/{UID}/settle", headers=JSON, body=[body])
        assert (reply.status, reply.json()) == (200, {"ledger_index": 0})
        reply, _ = await asked(behind.desk, f"/conflicts/{UID}")
        assert [each["is_served"] for each in reply.json()["data_sets"]] == [False, True]
        elsewhere = json.dumps({"serve": "00" * 32, "reason": "x"}).encode()
        for uid, sent in ((UID, elsewhere), ("1.2.3", body)):
            reply = await call(
                here.app, "POST", f"/conflicts/{uid}/settle", headers=JSON, body=[sent]
            )
            assert reply.status == 404
        behind.is_complete = False
        reply = await call(here.app, "POST", f"/conflicts/{UID}/settle", headers=JSON, body=[body])
        assert reply.status == 503


async def test_a_list_names_studies_and_tags_and_no_patient(tmp_path):
    async with desk_in(tmp_path) as behind:
        behind.seal(FIRST, at_s=30, conflict=True, patients=(STRANGER,))
        reply, _ = await asked(behind.desk, "/conflicts/studies?limit=5")
        (study,) = reply.json()["studies"]
        assert study["study_instance_uid"] == STUDY
        assert b"Roe" not in reply.body
        reply, _ = await asked(behind.desk, f"/conflicts/studies?after={study['key']}")
        assert reply.json() == {"studies": []}


@pytest.mark.parametrize("query", ["limit=x", "limit=-1", "after=zz", "limit=1" + "0" * 30])
async def test_a_query_that_says_nothing_is_refused(tmp_path, query):
    async with desk_in(tmp_path) as behind:
        reply, _ = await asked(behind.desk, f"/conflicts?{query}")
        assert reply.status == 400
