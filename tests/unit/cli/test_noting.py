"""What an import tells the node about itself."""

import pytest

from fileroom.cli.client import NodeUnavailableError
from fileroom.cli.noting import Noting


class FakeNode:
    def __init__(self):
        self.notes = []
        self.closed = 0

    def note_task(self, id, note):
        self.notes.append((id, note))

    def close(self):
        self.closed += 1


@pytest.fixture
def node():
    return FakeNode()


def test_notes_are_told_now_and_then_and_at_the_end(node, tmp_path):
    now = [0.0]
    noting = Noting(node, [tmp_path], now_s=lambda: now[0])
    for files in range(1, 6):
        noting.note(files, 100 * files, 1000)
        now[0] += 0.9
    noting.end("DONE", "2 files were refused")
    told = [(each["state"], each["cursor"], each["bytes_done"]) for _, each in node.notes]
    assert told == [
        ("RUNNING", "1 files", 100),
        ("RUNNING", "4 files", 400),
        ("DONE", "5 files", 500),
    ]
    assert node.notes[-1][1]["last_error"] == "2 files were refused"
    assert node.closed == 1, "what was interrupted may have left half a request behind"


def test_the_same_import_has_the_same_record_and_its_name_says_nothing(node, tmp_path):
    for paths in ([tmp_path / "a", tmp_path / "b"], [tmp_path / "b", tmp_path / "a"]):
        Noting(node, paths).end("DONE")
    Noting(node, [tmp_path / "a"]).end("DONE")
    first, second, third = (id for id, _ in node.notes)
    assert first == second != third
    assert len(first) == 32
    assert int(first, 16) >= 0


def test_a_note_that_does_not_arrive_is_no_matter(node, tmp_path):
    def away(id, note):
        raise NodeUnavailableError("away")

    node.note_task = away
    Noting(node, [tmp_path]).note(1, 2, 3)


def test_a_reason_is_cut_and_plain(node, tmp_path):
    Noting(node, [tmp_path]).end("WAITING", "ü" + "x" * 500)
    reason = node.notes[0][1]["last_error"]
    assert reason == "?" + "x" * 199
