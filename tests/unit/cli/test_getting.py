"""`get`: files have their names once they are whole."""

import pytest

from fileroom.cli.client import NodeUnavailableError
from fileroom.cli.getting import write_series
from fileroom.cli.main import main


class FakeNode:
    def __init__(self, *pieces, fail=False):
        self.pieces = pieces
        self.fail = fail

    def retrieve_series(self, study, series):
        assert (study, series) == ("1.2", "1.3")
        yield from self.pieces
        if self.fail:
            raise NodeUnavailableError("gone")


def test_a_series_is_written_as_numbered_files(tmp_path):
    node = FakeNode(b"on", b"e", None, b"two", None)
    assert write_series(node, "1.2", "1.3", tmp_path / "series-0001") == (2, 6)
    written = {p.name: p.read_bytes() for p in (tmp_path / "series-0001").iterdir()}
    assert written == {"000001.dcm": b"one", "000002.dcm": b"two"}


def test_what_is_broken_off_has_no_name_of_a_file(tmp_path):
    with pytest.raises(NodeUnavailableError):
        write_series(FakeNode(b"one", None, b"t", fail=True), "1.2", "1.3", tmp_path / "s")
    assert sorted(p.name for p in (tmp_path / "s").iterdir()) == ["000001.dcm", "next.part"]


@pytest.mark.parametrize("study", ["../../etc", "1.2.3/..", "01.2", "x", "1" * 65, "1.2\n"])
def test_what_is_no_uid_is_refused_before_anything_is_done(study, tmp_path, capsys):
    assert main(["get", study, "-o", str(tmp_path / "out"), "--data", str(tmp_path)]) == 4
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_not_empty_is_refused(tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    data = str(tmp_path)
    assert main(["get", "1.2.3", "-o", str(tmp_path / "out"), "--data", data]) == 4
    assert "is not empty" in capsys.readouterr().err


def test_without_a_data_folder_there_is_nothing_to_get(tmp_path, capsys):
    words = ["get", "1.2.3", "-o", str(tmp_path / "out"), "--data", str(tmp_path / "none")]
    assert main(words) == 5
    assert not (tmp_path / "none").exists()
