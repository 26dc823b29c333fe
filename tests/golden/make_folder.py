"""Writes the golden data folder of the program that runs it, at a release:

    PYTHONPATH=src:tests python -m golden.make_folder

folder_X.tar.xz is a small data folder as version X leaves it: some studies COMMITTED, with packs
here and in the bucket, one of them with a conflict; one study in the spool; the ledger published.
folder_X.json says what must come out of it, told by the bytes that went in, not by the program.
Every later version opens it: tests/conform/test_upgrade.py. A released one is never written again.
"""

import asyncio
import hashlib
import json
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from pydicom.data import get_testdata_file

import fileroom
from fileroom.dicom.part10 import Part10Splitter
from fileroom.disk import Disk
from fileroom.keys.keyfile import KeyFile
from fileroom.node import folder as data_folder
from fileroom.node.assemble import open_node
from fileroom.node.furnish import furnish
from fileroom.node.node import Node
from fileroom.spool.record import Origin
from instances import part10
from nodes import PASSPHRASE, settings_of

HERE = Path(__file__).resolve().parent
ORIGIN = Origin("stow", "", "127.0.0.1", "0f1e2d3c")
PREAMBLE = b"II*\0" + bytes(range(124))
ITERATIONS = 1000  # of PBKDF2: quick, as the words are no secret
REAL = (  # of pydicom's own files: explicit, implicit, big endian, deflated, compressed
    "SC_rgb_small_odd.dcm", "MR_small_bigendian.dcm", "rtplan.dcm", "image_dfl.dcm",
    "SC_rgb_rle_2frame.dcm", "JPEG2000.dcm",
)  # fmt: skip


class Told:
    """The account of what went in."""

    def __init__(self) -> None:
        self.instances: list[dict[str, Any]] = []

    async def store(self, node: Node, file: bytes, *, state: str) -> None:
        """Store one file, and note what must come back of it."""
        splitter = Part10Splitter()
        start = splitter.feed(file)
        assert start is not None
        data = file[start.dataset_offset :]
        conversation = node.receiver.conversation(ORIGIN)
        reception = conversation.begin(
            sop_class_uid=None,
            sop_instance_uid=None,  # some of the files are at odds with their own header
            transfer_syntax_uid=start.transfer_syntax_uid,
            head=start.head,
        )
        reception.write(data)
        received = await reception.finish()
        await conversation.close()
        self.instances.append(
            {
                "study": received.study_instance_uid,
                "series": received.series_instance_uid,
                "instance": received.sop_instance_uid,
                "transfer_syntax": start.transfer_syntax_uid,
                "size_bytes": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
                "state": state,
            }
        )


def other_pixels(file: bytes) -> bytes:
    """The same instance by its UIDs, with another last pixel."""
    return file[:-1] + bytes([file[-1] ^ 1])


async def made(root: Path) -> dict[str, Any]:
    """Make the data folder `root` and say what is in it."""
    settings = settings_of(root)
    data_folder.make(root, KeyFile(PASSPHRASE, iterations=ITERATIONS), disk=Disk())
    (root / "passphrase").write_text(PASSPHRASE + "\n")
    (root / "passphrase").chmod(0o600)
    told = Told()
    async with open_node(settings, in_process=True) as node:
        for name in REAL:
            path = get_testdata_file(name, download=False)
            assert isinstance(path, str)
            await told.store(node, Path(path).read_bytes(), state="COMMITTED")
        first = part10(1, 1, 1, size_bytes=512)
        await told.store(node, first, state="COMMITTED")
        await node.drain(60)
        await told.store(node, other_pixels(first), state="CONFLICT")
        await node.drain(60)
        for _ in range(2):  # the segment is closed, then released
            await node.evict.round()
        await furnish(node.parts.providers.values())
        for number in (1, 2):
            spooled = PREAMBLE + part10(2, 1, number, size_bytes=512)[128:]
            await told.store(node, spooled, state="RECEIVED")
        facts = {
            "version": fileroom.__version__,
            "site": settings.site.name,
            "ledger_entries": node.parts.ledger.size,
            "packs": len(node.catalog.packs(limit=99)),
        }
    (root / "lock").unlink()
    return facts | {"instances": told.instances}


def main() -> None:
    """Write the folder and what is in it beside this file."""
    name = f"folder_{fileroom.__version__.replace('.', '_')}"
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "data"
        told = asyncio.run(made(root))
        with tarfile.open(HERE / f"{name}.tar.xz", "w:xz") as into:
            into.add(root, "data", filter=without_owner)
    (HERE / f"{name}.json").write_text(json.dumps(told, indent=1) + "\n")


def without_owner(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """A member that does not say whose machine it was made on."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


if __name__ == "__main__":
    main()
