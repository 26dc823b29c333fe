"""The lock of a data folder: one process, and who it is."""

import os

import pytest

from fileroom.node import lock
from fileroom.node.lock import DataLock, Holder, LockedError, holder


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(lock, "BETWEEN_S", 0)


def test_nobody_holds_a_folder_that_was_never_used_or_was_released(tmp_path):
    assert holder(tmp_path) is None
    DataLock(tmp_path, verb="serve").release()
    assert holder(tmp_path) is None


def test_the_second_process_is_refused_and_told_who_was_first(tmp_path):
    first = DataLock(tmp_path, verb="serve")
    with pytest.raises(LockedError) as refused:
        DataLock(tmp_path, verb="import")
    assert refused.value.holder == Holder(pid=os.getpid(), verb="serve")
    assert str(os.getpid()) in str(refused.value)
    first.release()
    DataLock(tmp_path, verb="import").release()


def test_a_node_that_is_not_running_yet_says_what_it_waits_for(tmp_path):
    first = DataLock(tmp_path, verb="serve")
    first.announce(Holder(pid=1, verb="serve", state="keys locked", http=("::1", 8642)))
    with pytest.raises(LockedError, match="keys locked"):
        DataLock(tmp_path, verb="rebuild")
    first.release()


def test_the_holder_says_where_it_listens(tmp_path):
    held = DataLock(tmp_path, verb="serve")
    told = Holder(pid=1, verb="serve", http=("::1", 8642), dimse=("::1", 104), prefix="/x")
    held.announce(told)
    assert holder(tmp_path) == told
    held.announce(Holder(pid=1, verb="serve"))
    assert holder(tmp_path) == Holder(pid=1, verb="serve")
    held.release()


def test_a_holder_that_has_said_nothing_yet_is_a_holder(tmp_path):
    held = DataLock(tmp_path, verb="serve")
    os.truncate(tmp_path / "lock", 0)
    assert holder(tmp_path) == Holder(pid=0, verb="unknown")
    with pytest.raises(LockedError) as refused:
        DataLock(tmp_path, verb="import")
    assert refused.value.holder is None
    held.release()


def test_the_file_is_its_owners_alone(tmp_path):
    DataLock(tmp_path, verb="serve").release()
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600
