"""The keyring: what opens it, what it hands out, what a crash and a rotten disk leave."""

import hashlib
import json
import os
import threading
from pathlib import Path

import pytest

from fileroom.disk import Disk
from fileroom.errors import IntegrityError
from fileroom.keys import keyring as keyring_module
from fileroom.keys.keyfile import LazyKeyFile
from fileroom.keys.keyring import Keyring
from fileroom.keys.objects import parse_name
from fileroom.keys.port import (
    DamagedKeyError,
    KeyMissingError,
    KeyringExistsError,
    KeysLockedError,
    NewerKeyringError,
    WrongSecretError,
)
from unit.keys.golden_keys import (
    RECOVERY_KEY,
    STUDY_KEY,
    STUDY_KEY_ID,
    golden_copy,
    inner_key,
    quick,
)

DISK = Disk()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "keyring"


def create(folder: Path) -> Keyring:
    return Keyring.create(folder, quick(), disk=DISK, recovery_key=RECOVERY_KEY)


def reopen(folder: Path) -> Keyring:
    return Keyring.open(folder, quick(), disk=DISK)


def inner_keys(keyring: Keyring) -> list[bytes]:
    return [
        keyring.spool_key,
        keyring.catalog_key,
        keyring.cache_key,
        keyring.ledger_body_key,
        keyring.ledger_signing_seed,
    ]


def put(folder: Path, owner: str, generation: int, data: bytes) -> Path:
    digest = hashlib.sha256(data).hexdigest()
    path = folder / owner / f"{generation}-{digest}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


# The golden keyring, which was made without this code.


def test_the_golden_keyring_opens_by_passphrase_and_by_recovery_key(tmp_path):
    folder = golden_copy(tmp_path)
    by_recovery = Keyring.open_with_recovery_key(folder, RECOVERY_KEY, disk=DISK)
    for keyring in (reopen(folder), by_recovery):
        purposes = ("spool", "catalog", "cache", "ledger-body", "ledger-signing")
        assert inner_keys(keyring) == [inner_key(purpose) for purpose in purposes]
        assert keyring.study_key(STUDY_KEY_ID) == STUDY_KEY
        assert list(keyring.study_key_ids()) == [STUDY_KEY_ID]


def test_reading_writes_nothing(tmp_path):
    folder = golden_copy(tmp_path)
    before = sorted(folder.rglob("*"))
    keyring = reopen(folder)
    keyring.study_key(STUDY_KEY_ID)
    keyring.site_objects()
    assert sorted(folder.rglob("*")) == before


# A keyring of our own.


def test_what_was_made_is_there_after_a_restart(folder):
    made = create(folder)
    keys = [made.new_study_key("radiology") for _ in range(3)]
    opened = reopen(folder)
    assert inner_keys(opened) == inner_keys(made)
    assert [opened.study_key(key.id) for key in keys] == [key.key for key in keys]
    assert sorted(opened.study_key_ids()) == sorted(key.id for key in keys)


def test_all_keys_are_different_and_256_bits(folder):
    made = create(folder)
    keys = [*inner_keys(made), *(made.new_study_key("p").key for _ in range(3))]
    assert len({*keys}) == 8
    assert {len(key) for key in keys} == {32}


def test_a_second_keyring_in_the_folder_is_refused(folder):
    create(folder)
    with pytest.raises(KeyringExistsError):
        create(folder)


def test_a_wrong_passphrase_or_recovery_key_or_port_is_refused(folder):
    create(folder)
    with pytest.raises(WrongSecretError):
        Keyring.open(folder, quick("another"), disk=DISK)
    with pytest.raises(WrongSecretError):
        Keyring.open_with_recovery_key(folder, bytes(32), disk=DISK)
    port = quick()
    port.name = "another"
    with pytest.raises(WrongSecretError):
        Keyring.open(folder, port, disk=DISK)


def away() -> str:
    raise KeysLockedError("away")


def test_a_port_that_is_away_locks_the_keys(folder):
    create(folder)
    with pytest.raises(KeysLockedError):
        Keyring.open(folder, LazyKeyFile(away), disk=DISK)


def test_what_is_wrong_with_the_keyring_itself_is_told_also_while_the_port_is_away(folder):
    with pytest.raises(KeyMissingError):
        Keyring.open(folder, LazyKeyFile(away), disk=DISK)
    create(folder)
    (site,) = (folder / "site").iterdir()
    site.write_bytes(site.read_bytes()[:-1])
    with pytest.raises(DamagedKeyError):
        Keyring.open(folder, LazyKeyFile(away), disk=DISK)


def test_no_keyring_is_missing_keys(folder):
    with pytest.raises(KeyMissingError):
        reopen(folder)


def test_a_new_study_key_is_an_object_a_provider_can_keep(folder):
    keyring = create(folder)
    key = keyring.new_study_key("radiology")
    name = parse_name(key.object_name)
    assert key.object_name.startswith(f"keyring/{key.id.hex()}/1-")
    assert name.sha256 == hashlib.sha256(key.object_bytes).hexdigest()
    assert (folder / key.object_name.removeprefix("keyring/")).read_bytes() == key.object_bytes
    assert keyring.key_object(key.id) == [(key.object_name, key.object_bytes)]
    value = json.loads(key.object_bytes)
    assert value["partition"] == "radiology"
    assert value["format"] == {"major": 1, "minor": 0}
    assert value["object"] == "study"
    assert list((folder / "tmp").iterdir()) == []


@pytest.mark.parametrize("partition", ["", "x" * 256, "\u00e4" * 128])
def test_a_partition_without_a_usable_name_is_our_mistake(folder, partition):
    with pytest.raises(ValueError):
        create(folder).new_study_key(partition)


def test_a_partition_may_hold_a_line_end(folder):
    key = create(folder).new_study_key("a\nb")
    assert reopen(folder).study_key(key.id) == key.key


def test_a_study_key_that_is_not_there_is_missing(folder):
    keyring = create(folder)
    (folder / ("0" * 32)).mkdir()  # what a crash leaves
    with pytest.raises(KeyMissingError):
        keyring.study_key(bytes(16))
    assert list(keyring.study_key_ids()) == []
    assert issubclass(KeyMissingError, IntegrityError)


def test_opened_study_keys_are_kept_up_to_a_number(folder, monkeypatch):
    monkeypatch.setattr(keyring_module, "OPENED_COUNT_MAX", 2)
    keyring = create(folder)
    first, *others = (keyring.new_study_key("p") for _ in range(3))
    (folder / first.object_name.removeprefix("keyring/")).unlink()
    assert [keyring.study_key(key.id) for key in others] == [key.key for key in others]
    with pytest.raises(KeyMissingError):
        keyring.study_key(first.id)


def test_files_and_folders_are_for_the_owner_only(folder):
    create(folder).new_study_key("p")
    for path in folder.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0


def test_many_threads_make_and_read_keys(folder):
    keyring, made = create(folder), []

    def work() -> None:
        for _ in range(5):
            key = keyring.new_study_key("p")
            made.append((key.id, key.key, keyring.study_key(key.id)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 20
    assert all(key == read for _, key, read in made)


def test_nothing_shows_a_key(folder):
    keyring = create(folder)
    key = keyring.new_study_key("p")
    for shown in (repr(keyring), repr(key), str(key)):
        for secret in (key.key, *inner_keys(keyring)):
            assert secret.hex() not in shown
            assert repr(secret) not in shown


# Generations.


def test_a_new_passphrase_is_a_new_generation_with_the_same_keys(folder):
    keyring = create(folder)
    key = keyring.new_study_key("p")
    name = keyring.replace_port(quick("new"))
    assert name.startswith("keyring/site/2-")
    opened = Keyring.open(folder, quick("new"), disk=DISK)
    assert inner_keys(opened) == inner_keys(keyring)
    assert opened.study_key(key.id) == key.key
    by_recovery = Keyring.open_with_recovery_key(folder, RECOVERY_KEY, disk=DISK)
    assert inner_keys(by_recovery) == inner_keys(keyring)
    with pytest.raises(WrongSecretError):
        reopen(folder)
    names = [parse_name(name).generation for name, _ in opened.site_objects()]
    assert names == [2, 1]


def test_a_lost_passphrase_is_replaced_with_the_recovery_key(folder):
    create(folder)
    keyring = Keyring.open_with_recovery_key(folder, RECOVERY_KEY, disk=DISK)
    keyring.replace_port(quick("new"))
    assert Keyring.open(folder, quick("new"), disk=DISK).spool_key == keyring.spool_key


def test_a_rotten_newest_generation_falls_back_to_the_one_before(folder):
    keyring = create(folder)
    path = folder / keyring.replace_port(quick("new")).removeprefix("keyring/")
    path.write_bytes(path.read_bytes()[:-10])
    assert reopen(folder).spool_key == keyring.spool_key


def test_only_rotten_site_objects_are_damage(folder):
    create(folder)
    [path] = (folder / "site").iterdir()
    path.write_bytes(b"{}")
    with pytest.raises(DamagedKeyError):
        reopen(folder)


@pytest.mark.parametrize(
    "text", [b"[]", b"{}", b"x", b"\xff", b"[" * 200_000, b'{"format":{"major":1,"minor":0}}']
)
def test_an_object_that_is_not_version_1_is_passed_over(folder, text):
    keyring = create(folder)
    put(folder, "site", 2, text)
    assert reopen(folder).spool_key == keyring.spool_key


def test_an_object_of_a_higher_major_is_refused_as_newer(folder):
    keyring = create(folder)
    key = keyring.new_study_key("p")
    text = b'{"format": {"major": 2, "minor": 0}}'
    put(folder, key.id.hex(), 2, text)
    keyring = reopen(folder)
    with pytest.raises(NewerKeyringError):
        keyring.study_key(key.id)
    put(folder, "site", 2, text)
    with pytest.raises(NewerKeyringError):
        reopen(folder)


def test_an_object_of_a_higher_minor_is_read_and_not_written_over(folder):
    create(folder)
    [path] = (folder / "site").iterdir()
    value = json.loads(path.read_bytes())
    value |= {"format": {"major": 1, "minor": 1}, "generation": 2, "later": 1}
    put(folder, "site", 2, json.dumps(value).encode())
    keyring = reopen(folder)
    with pytest.raises(NewerKeyringError):
        keyring.replace_port(quick("new"))


def test_an_object_that_says_another_generation_than_its_name_is_passed_over(folder):
    keyring = create(folder)
    keyring.replace_port(quick("new"))
    old = keyring.site_objects()[1][1]
    put(folder, "site", 3, old)
    assert Keyring.open(folder, quick("new"), disk=DISK).spool_key == keyring.spool_key


def test_another_studys_object_is_damage(folder):
    keyring = create(folder)
    one, other = keyring.new_study_key("p"), keyring.new_study_key("p")
    stolen = json.loads(other.object_bytes) | {"study_key_id": one.id.hex(), "generation": 2}
    path = folder / one.object_name.removeprefix("keyring/")
    path.unlink()
    put(folder, one.id.hex(), 2, json.dumps(stolen).encode())
    with pytest.raises(DamagedKeyError):
        reopen(folder).study_key(one.id)


def test_a_site_object_without_an_inner_key_is_damage(folder):
    create(folder)
    [path] = (folder / "site").iterdir()
    value = json.loads(path.read_bytes()) | {"generation": 2}
    del value["inner"]["cache"]
    put(folder, "site", 2, json.dumps(value).encode())
    with pytest.raises(DamagedKeyError):
        reopen(folder)


def test_exchanged_inner_keys_are_damage(folder):
    create(folder)
    [path] = (folder / "site").iterdir()
    value = json.loads(path.read_bytes()) | {"generation": 2}
    inner = value["inner"]
    inner["cache"], inner["spool"] = inner["spool"], inner["cache"]
    put(folder, "site", 2, json.dumps(value).encode())
    with pytest.raises(DamagedKeyError):
        reopen(folder)


# Rebuilding from a bucket.


def all_objects(keyring: Keyring) -> list[tuple[str, bytes]]:
    found = keyring.site_objects()
    for id_ in keyring.study_key_ids():
        found += keyring.key_object(id_)
    return found


def test_a_keyring_is_rebuilt_from_its_objects(folder, tmp_path):
    keyring = create(folder)
    key = keyring.new_study_key("p")
    keyring.replace_port(quick("new"))
    rebuilt = tmp_path / "rebuilt"
    assert Keyring.import_objects(rebuilt, all_objects(keyring), disk=DISK) == []
    assert Keyring.import_objects(rebuilt, all_objects(keyring), disk=DISK) == []
    opened = Keyring.open(rebuilt, quick("new"), disk=DISK)
    assert sorted(all_objects(opened)) == sorted(all_objects(keyring))
    assert opened.study_key(key.id) == key.key


def test_what_is_no_key_object_is_not_imported(folder):
    digest = hashlib.sha256(b"x").hexdigest()
    names = [
        f"keyring/../{digest}/1-{digest}.json",
        f"keyring/site/0-{digest}.json",
        f"keyring/site/1-{digest}.json/x",
        f"/keyring/site/1-{digest}.json",
        f"keyring/SITE/1-{digest}.json",
        f"keyring/site/1-{digest}.json\n",
        "",
    ]
    refused = Keyring.import_objects(folder, [(name, b"x") for name in names], disk=DISK)
    assert refused == names
    wrong = f"keyring/site/1-{digest}.json"
    assert Keyring.import_objects(folder, [(wrong, b"y")], disk=DISK) == [wrong]
    assert not list(folder.rglob("*.json"))


def test_a_rotten_object_is_repaired_by_importing_it(folder):
    keyring = create(folder)
    key = keyring.new_study_key("p")
    path = folder / key.object_name.removeprefix("keyring/")
    path.write_bytes(b"rotten")
    with pytest.raises(DamagedKeyError):
        reopen(folder).study_key(key.id)
    Keyring.import_objects(folder, [(key.object_name, key.object_bytes)], disk=DISK)
    assert reopen(folder).study_key(key.id) == key.key


# Crashes.


class Stopped(BaseException):
    """The machine stops here."""


class StoppingDisk(Disk):
    """Stops before the durable step with number `at`, or after it."""

    def __init__(self, at: int, *, after: bool) -> None:
        self._left, self._after, self.steps = at, after, 0

    def _step(self, act):
        self.steps += 1
        self._left -= 1
        if self._left == -1 and not self._after:
            raise Stopped
        result = act()
        if self._left == -1:
            raise Stopped
        return result

    def create(self, path):
        return self._step(lambda: super(StoppingDisk, self).create(path))

    def write(self, descriptor, buffers, offset):
        return self._step(lambda: super(StoppingDisk, self).write(descriptor, buffers, offset))

    def sync(self, descriptor):
        return self._step(lambda: super(StoppingDisk, self).sync(descriptor))

    def publish(self, temporary, final):
        return self._step(lambda: super(StoppingDisk, self).publish(temporary, final))


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", range(8))
def test_a_crash_at_any_step_leaves_a_keyring_that_works(folder, at, after):
    disk, key = StoppingDisk(at, after=after), None
    try:
        keyring = Keyring.create(folder, quick(), disk=disk, recovery_key=RECOVERY_KEY)
        key = keyring.new_study_key("p")
    except Stopped:
        pass
    try:
        opened = reopen(folder)
    except KeyMissingError:
        assert at < 4  # before the site object was published
        opened = create(folder)
    if key:
        assert opened.study_key(key.id) == key.key
    another = opened.new_study_key("p")
    assert reopen(folder).study_key(another.id) == another.key
    assert list((folder / "tmp").iterdir()) == []
    assert [name for name in os.listdir(folder / "site") if "json" not in name] == []
