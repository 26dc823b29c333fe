"""The doctor: what it finds on a folder that a test has prepared."""

import errno
import socket

import pytest

from fileroom.node import machine
from fileroom.node.config import load
from fileroom.node.doctor import examine, is_loopback, worst
from fileroom.node.health import KEYS_LOCKED
from fileroom.node.lock import DataLock, Holder
from fileroom.node.machine import Finding, port_finding
from nodes import made


@pytest.fixture
def settings(tmp_path):
    def made(**flags):
        overrides = {"data.directory": str(tmp_path / "data"), "dimse.port": "0", "http.port": "0"}
        overrides |= {name.replace("__", "."): text for name, text in flags.items()}
        return load(environment={}, overrides=overrides)

    return made


def found(settings, check):
    return [each for each in examine(settings) if each.check == check]


def test_the_worst_finding_is_what_counts():
    levels = ["ok", "warning", "note"]
    findings = [Finding(check="x", level=level, text="") for level in levels]
    assert worst(findings) == "warning"
    assert worst([]) == "ok"


def test_a_data_folder_that_is_not_there_is_no_fault(settings, tmp_path):
    (finding,) = found(settings(), "data folder")
    assert finding.level == "note"
    assert not (tmp_path / "data").exists()


def test_a_data_folder_that_others_may_read_is_told(settings, tmp_path):
    (tmp_path / "data").mkdir(mode=0o755)
    (finding,) = found(settings(), "data folder")
    assert (finding.level, "0755" in finding.text) == ("warning", True)
    (tmp_path / "data").chmod(0o700)
    (finding,) = found(settings(), "data folder")
    assert finding.level == "ok"


def test_a_data_folder_of_a_newer_program_is_an_error(settings, tmp_path):
    (tmp_path / "data").mkdir(mode=0o700)
    assert found(settings(), "data folder format") == []
    mark = tmp_path / "data" / "fileroom.json"
    mark.write_text('{"format": 1, "node_id": "0", "writer": "fileroom 0.1.0"}')
    assert [each.level for each in found(settings(), "data folder format")] == ["ok"]
    mark.write_text('{"format": 99, "node_id": "0", "writer": "fileroom 9"}')
    assert [each.level for each in found(settings(), "data folder format")] == ["error"]


def test_a_passphrase_in_the_data_folder_or_open_to_others_is_told(settings, tmp_path):
    (tmp_path / "data").mkdir(mode=0o700)
    inside = tmp_path / "data" / "passphrase"
    inside.write_text("x\n")
    inside.chmod(0o600)
    assert [each.level for each in found(settings(), "passphrase")] == ["warning"]
    apart = tmp_path / "passphrase"
    apart.write_text("x\n")
    apart.chmod(0o644)
    levels = [e.level for e in found(settings(keys__passphrase_file=str(apart)), "passphrase")]
    assert levels == ["error", "ok"]
    apart.chmod(0o600)
    levels = [e.level for e in found(settings(keys__passphrase_file=str(apart)), "passphrase")]
    assert levels == ["ok"]


def test_whether_the_site_key_opens_is_told_where_there_are_keys(settings, tmp_path):
    assert found(settings(), "keys") == []
    data = made(tmp_path / "data").data_directory
    assert [each.level for each in found(settings(), "keys")] == ["ok"]
    secret = (data / "passphrase").rename(tmp_path / "secret")
    apart = settings(keys__passphrase_file=str(secret))
    assert [each.level for each in found(apart, "keys")] == ["ok"]
    secret.write_text("another\n")
    (finding,) = found(apart, "keys")
    assert (finding.level, finding.text[:12]) == ("error", "keys locked:")
    secret.unlink()
    (finding,) = found(apart, "keys")
    assert (finding.level, finding.text[:12]) == ("error", "keys locked:")


def test_a_passphrase_that_only_the_service_can_see_is_no_error_unless_its_node_is_locked(
    settings, tmp_path
):
    data = made(tmp_path / "data").data_directory
    (data / "passphrase").unlink()
    held = DataLock(data, verb="serve")
    held.announce(Holder(pid=1, verb="serve"))
    (finding,) = found(settings(), "keys")
    assert finding.level == "warning"
    assert "credential" in finding.text
    held.announce(Holder(pid=1, verb="serve", state=KEYS_LOCKED))
    (finding,) = found(settings(), "keys")
    assert (finding.level, finding.text[:12]) == ("error", "keys locked:")
    held.release()


def test_a_configured_passphrase_file_that_is_not_there_is_an_error(settings, tmp_path):
    missing = settings(keys__passphrase_file=str(tmp_path / "none"))
    assert [each.level for each in found(missing, "passphrase")] == ["error"]


def test_the_speed_of_durable_writes_is_measured_and_nothing_is_left(settings, tmp_path):
    (tmp_path / "data").mkdir(mode=0o700)
    (finding,) = found(settings(), "durable writes")
    assert "median" in finding.text
    assert list((tmp_path / "data").iterdir()) == []


def test_a_disk_that_fails_to_sync_is_an_error(settings, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir(mode=0o700)

    def failing(_descriptor):
        raise OSError(errno.EIO, "I/O error")

    monkeypatch.setattr("os.fdatasync", failing)
    (finding,) = found(settings(), "durable writes")
    assert finding.level == "error"
    assert list((tmp_path / "data").iterdir()) == []


def test_a_disk_below_the_reserve_is_an_error(settings):
    (finding,) = found(settings(spool__reserve_bytes=str(1 << 62)), "disk space")
    assert finding.level == "error"


def test_one_copy_on_the_same_disk_is_told_in_these_words(settings):
    (finding,) = found(settings(), "copies")
    assert (finding.level, finding.text) == ("warning", "one copy, same disk")


def test_a_port_that_another_process_holds_is_told_with_its_name():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        finding = port_finding("web port", "127.0.0.1", port, ours=None)
        assert finding.level == "error"
        assert f"{port} is held by process" in finding.text
        ours = port_finding("web port", "127.0.0.1", port, ours=machine.os.getpid())
        assert ours.level == "ok"
    assert port_finding("web port", "127.0.0.1", port, ours=None).level == "ok"


def test_an_address_that_is_not_this_machines_is_told():
    finding = port_finding("web port", "192.0.2.1", 8642, ours=None)
    assert finding.level == "error"
    assert "not an address of this machine" in finding.text


def test_a_door_open_to_others_is_told(settings):
    assert [e.level for e in found(settings(http__host="0.0.0.0"), "web reach")] == ["note"]
    assert found(settings(http__host="::1"), "web reach") == []
    assert [is_loopback(each) for each in ("127.0.0.9", "::1", "localhost", "::", "h")] == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_an_encrypted_volume_is_seen_through_the_layers_over_it(tmp_path, monkeypatch):
    crypt = tmp_path / "dm-0"
    (crypt / "dm").mkdir(parents=True)
    (crypt / "dm" / "uuid").write_text("CRYPT-LUKS2-1\n")
    over = tmp_path / "dm-1"
    (over / "dm").mkdir(parents=True)
    (over / "dm" / "uuid").write_text("LVM-1\n")
    (over / "slaves").mkdir()
    (over / "slaves" / "dm-0").symlink_to(crypt)
    monkeypatch.setattr(machine, "_block_device", lambda _path: over)
    assert machine.encryption_finding(tmp_path).level == "ok"
    (crypt / "dm" / "uuid").write_text("LVM-2\n")
    finding = machine.encryption_finding(tmp_path)
    assert (finding.level, "cannot be seen" in finding.text) == ("note", True)
    monkeypatch.setattr(machine, "_block_device", lambda _path: None)
    assert "cannot tell" in machine.encryption_finding(tmp_path).text


def test_what_cannot_be_asked_is_said_to_be_unknown(monkeypatch):
    monkeypatch.setattr(machine.shutil, "which", lambda _name: None)
    findings = list(
        machine.clock_findings(wall_s=machine.time.time(), monotonic_s=machine.time.monotonic())
    )
    assert [(f.check, f.level) for f in findings] == [("clock steps", "ok"), ("clock sync", "note")]


def test_a_clock_that_was_set_meanwhile_is_told():
    now = machine.time.time()
    findings = list(machine.clock_findings(wall_s=now - 60, monotonic_s=machine.time.monotonic()))
    assert findings[0].level == "warning"


def test_a_provider_whose_disk_is_not_mounted_is_an_error_once_copies_went_there(
    settings, tmp_path
):
    copies = tmp_path / "copies"
    flags = {"FILEROOM_PROVIDERS_NAS_KIND": "directory", "FILEROOM_PROVIDERS_NAS_PATH": str(copies)}
    configured = load(
        environment=flags, overrides={"data.directory": str(tmp_path / "data"), "http.port": "0"}
    )
    assert [each.level for each in found(configured, "provider nas")] == ["ok"]
    (tmp_path / "data").mkdir(mode=0o700)
    mark = '{"format": 1, "node_id": "0", "writer": "fileroom 0.1.0", "providers": ["nas"]}'
    (tmp_path / "data" / "fileroom.json").write_text(mark)
    assert [each.level for each in found(configured, "provider nas")] == ["error"]
    copies.mkdir()  # the mount point without its disk
    assert [each.level for each in found(configured, "provider nas")] == ["error"]
    (copies / "README.txt").write_text("")
    assert [each.level for each in found(configured, "provider nas")] == ["ok"]
