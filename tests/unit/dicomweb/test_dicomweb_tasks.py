"""POST of notes about long tasks: what is taken, and what is refused."""

import json

import pytest

from dicomweb_fakes import call, world

ID = "0123456789abcdef"
NOTE = {"kind": "import", "state": "RUNNING", "bytes_done": 5, "bytes_total": 10}
JSON = {"content-type": "application/json"}


class Kept:
    """Keeps what it is told."""

    def __init__(self):
        self.notes = []

    def note(self, id, noted):
        self.notes.append((id, noted.state, noted.bytes_done, noted.cursor))


@pytest.fixture
def kept():
    return Kept()


async def post(kept, note, *, id=ID, headers=JSON, **how):
    body = note if isinstance(note, bytes) else json.dumps(note).encode()
    app = world(tasks=kept).app
    return await call(
        app, "POST", f"/tasks/{id}", headers=headers, body=[body[:7], body[7:]], **how
    )


async def test_a_note_is_taken(kept):
    reply = await post(kept, NOTE | {"cursor": "4 files"})
    assert (reply.status, reply.json()) == (200, {})
    assert kept.notes == [(ID, "RUNNING", 5, "4 files")]


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "rebuild"},  # the node's own
        {"state": "FAILED"},
        {"bytes_done": -1},
        {"bytes_done": 1 << 63},
        {"bytes_total": "10"},
        {"last_error": "x" * 201},
        {"last_error": "a\nb"},
        {"cursor": "\u202e"},
        {"percent": 10},
    ],
)
async def test_what_is_no_note_is_refused(kept, change):
    reply = await post(kept, NOTE | change)
    assert (reply.status, kept.notes) == (400, [])
    assert b"\\n" not in reply.body


async def test_what_is_no_json_or_too_long_is_refused(kept):
    assert (await post(kept, b"{")).status == 400
    assert (await post(kept, NOTE | {"cursor": "x" * 5000})).status == 413
    assert kept.notes == []


@pytest.mark.parametrize("id", ["0123", "0123456789ABCDEF", "..", "g" * 16, "0" * 65])
async def test_an_id_that_is_none_is_refused(kept, id):
    assert (await post(kept, NOTE, id=id)).status == 400


@pytest.mark.parametrize("type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_a_type_that_any_web_page_may_send_is_refused(kept, type):
    assert (await post(kept, NOTE, headers={"content-type": type})).status == 415
    assert kept.notes == []


async def test_only_this_machine_may_say_how_its_task_does(kept):
    assert (await post(kept, NOTE, client=("10.0.0.9", 1))).status == 403


async def test_a_caller_who_hangs_up_in_a_note_has_said_nothing(kept):
    await post(kept, NOTE, hang_up=True)
    assert kept.notes == []


async def test_a_node_that_keeps_no_tasks_has_no_such_resource():
    reply = await call(world().app, "POST", f"/tasks/{ID}", headers=JSON, body=[b"{}"])
    assert reply.status == 404
