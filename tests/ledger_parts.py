"""Parts for tests of the ledger and its copies: a log, a provider in memory, an independent
reader of what lies there."""

import base64
import contextlib
from hashlib import sha256

from fileroom.clock import ManualClock
from fileroom.disk import Disk
from fileroom.errors import UncertainError
from fileroom.ledger.log import Ledger
from fileroom.ledger.note import VerifierKey
from fileroom.provider.port import (
    DifferentObjectError,
    Digest,
    FailureDomain,
    NotThereError,
    ObjectStat,
    Put,
)
from golden import ledger_v1 as golden

SITE = golden.SITE
BODY_KEY = golden.BODY_KEY
SEED = golden.SIGNING_SEED
KEY = VerifierKey.of_seed(SITE, SEED)


class QuickDisk(Disk):
    """A disk that never waits for the medium. For tests that do not lose power."""

    def sync(self, descriptor):
        pass

    def sync_directory(self, path):
        pass

    def drop_cached(self, descriptor):
        pass


def open_ledger(directory, *, disk=None, segment_size_bytes=1 << 14, key=BODY_KEY, **options):
    return Ledger.open(
        directory,
        site=SITE,
        body_key=key,
        disk=disk or QuickDisk(),
        clock=ManualClock(wall_ns=golden.TIME_NS),
        segment_size_bytes=segment_size_bytes,
        **options,
    )


@contextlib.asynccontextmanager
async def ledger_in(directory, **options):
    ledger = open_ledger(directory, **options)
    try:
        yield ledger
    finally:
        await ledger.close()


async def append(ledger, count):
    """Append `count` events numbered from the log's size on."""
    first = ledger.size
    waiting = [ledger.append_nowait("started", {"n": first + n}) for n in range(count)]
    for number, each in enumerate(waiting, first):
        assert await each == number


def numbers(ledger):
    return [each.body["n"] for each in ledger.records(0)]


class MemoryProvider:
    """A provider whose every change can be the last, or the one whose answer is lost.

    Objects are created once; only the checkpoint is ever replaced.

    Attributes:
        changes: names in the order in which they were put or replaced.
        lose_answer_at: the change, counted from 0, that happens and raises UncertainError.
        refuse_at: the change that does not happen and raises UncertainError.
    """

    name = "memory"
    domain = FailureDomain()

    def __init__(self, objects=None):
        self.objects = dict(objects or {})
        self.changes = []
        self.lose_answer_at = self.refuse_at = None

    def copy(self):
        return MemoryProvider(self.objects)

    async def put_if_absent(self, name, source, *, sha256, call):
        assert isinstance(source, bytes)
        assert sha256 == digest_of(source)
        if name in self.objects:
            if self.objects[name] != source:
                raise DifferentObjectError("other bytes")
            return Put.EXISTED
        self._change(name, source)
        return Put.CREATED

    async def replace(self, name, data, *, call):
        assert name == f"ledger/{SITE}/checkpoint"
        self._change(name, data)

    def _change(self, name, data):
        number = len(self.changes)
        self.changes.append(name)
        if number == self.refuse_at:
            raise UncertainError("no answer")
        self.objects[name] = data
        if number == self.lose_answer_at:
            raise UncertainError("no answer")

    async def get(self, name, start, end, *, call):
        if name not in self.objects:
            raise NotThereError("nothing is there")
        return self.objects[name][start:end]

    async def stat(self, name, *, call):
        if name not in self.objects:
            return None
        return ObjectStat(name, len(self.objects[name]), 0)

    async def digest(self, name, *, call):
        data = await self.get(name, 0, 1 << 40, call=call)
        return Digest(digest_of(data), len(data))

    async def list(self, prefix, *, call, after=""):
        for name in sorted(self.objects):
            if name.startswith(prefix) and name > after:
                yield ObjectStat(name, len(self.objects[name]), 0)

    async def delete_object(self, name, *, call):
        raise AssertionError("nothing in a ledger is deleted")


def digest_of(data):
    return sha256(data).digest()


def mth(leaves):
    """The root as RFC 6962 §2.1 writes it."""
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return digest_of(b"\x01" + mth(leaves[:k]) + mth(leaves[k:]))


def number_path(index):
    digits = f"{index:09d}"
    groups = [digits[0:3], digits[3:6], digits[6:9]]
    while len(groups) > 1 and groups[0] == "000":
        groups.pop(0)
    return "/".join([*("x" + each for each in groups[:-1]), groups[-1]])


def audited_size(objects):
    """Check a provider's objects as an auditor would, by the format page and not by our code.

    Every entry, tile and body that the checkpoint covers must be there and agree. Returns the
    size of the signed tree; 0 where nothing is signed.
    """
    prefix = f"ledger/{SITE}/"
    if prefix + "checkpoint" not in objects:
        return 0
    origin, size, root, blank, signature = objects[prefix + "checkpoint"].decode().splitlines()
    assert (origin, blank) == (SITE, "")
    assert signature.startswith(f"— {SITE} ")
    size = int(size)
    leaves, bodies = [], {}
    for index in range(-(-size // 256)):
        width = min(256, size - index * 256)
        suffix = "" if width == 256 else f".p/{width}"
        data = objects[f"{prefix}tile/entries/{number_path(index)}{suffix}"]
        count = 0
        while data:
            length = int.from_bytes(data[:2], "big")
            leaves.append(digest_of(b"\x00" + data[2 : 2 + length]))
            data = data[2 + length :]
            count += 1
        assert count == width
    level, hashes = 0, leaves
    while hashes:
        for index in range(-(-len(hashes) // 256)):
            part = hashes[index * 256 : (index + 1) * 256]
            suffix = "" if len(part) == 256 else f".p/{len(part)}"
            assert objects[f"{prefix}tile/{level}/{number_path(index)}{suffix}"] == b"".join(part)
        hashes = [mth(hashes[at : at + 256]) for at in range(0, len(hashes) // 256 * 256, 256)]
        level += 1
    assert base64.b64decode(root) == mth(leaves)
    for name, data in objects.items():
        if name.startswith(prefix + "events/"):
            first, last, named = name.removeprefix(prefix + "events/").split("-")
            assert digest_of(data).hex() == named
            bodies |= dict.fromkeys(range(int(first), int(last) + 1))
    assert set(range(size)) <= set(bodies)
    return size
