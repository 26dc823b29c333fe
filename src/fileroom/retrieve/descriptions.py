"""What spooled data sets say of themselves: found out when it is asked for, and kept for a while.

A pack has its instances described already. A spooled data set has to be walked for it, so nothing
that can be answered from its header waits for that: searches and whole instances do not ask.
"""

import asyncio
from collections import OrderedDict
from threading import Lock

import msgspec

from fileroom.pack.description import Describer
from fileroom.pack.metadata import EncapsulatedFrames, Frames
from fileroom.spool.reader import SpooledInstance
from fileroom.spool.record import Place

HELD_MAX = 2048
HELD_BYTES_MAX = 32 << 20  # of them together, but for one that is larger
FRAME_HELD_BYTES = 256  # the Python objects of an encapsulated frame of one fragment


class Described(msgspec.Struct, frozen=True):
    """What was found out.

    `frames` count from the start of the Part 10 file.
    """

    dicom_json: bytes
    frames: Frames

    @property
    def held_bytes(self) -> int:
        """What it takes in memory, about."""
        held_bytes = len(self.dicom_json)
        if isinstance(self.frames, EncapsulatedFrames):
            held_bytes += FRAME_HELD_BYTES * len(self.frames.frames)
        return held_bytes


class Descriptions:
    """Describes spooled data sets, in one thread at a time.

    Invariant: what is held is at most `HELD_MAX` descriptions of `HELD_BYTES_MAX` together.
    """

    def __init__(self) -> None:
        self._describer = Describer()
        self._describing = Lock()
        self._held: OrderedDict[Place, Described] = OrderedDict()
        self._held_bytes = 0

    async def of(self, opened: SpooledInstance) -> Described:
        """The description of a spooled data set."""
        held = self._held.get(opened.record.place)
        if held is not None:
            return held
        return await asyncio.to_thread(self._find_out, opened)

    def _find_out(self, opened: SpooledInstance) -> Described:
        record = opened.record
        of = (opened.read, record.size_bytes, record.description.transfer_syntax_uid)
        with self._describing:
            held = self._held.get(record.place)
            if held is not None:
                return held
            described = Described(
                self._describer.dicom_json(*of),
                self._describer.frames(*of, dataset_offset=len(record.description.head)),
            )
            self._held[record.place] = described
            self._held_bytes += described.held_bytes
            while len(self._held) > HELD_MAX or (
                self._held_bytes > HELD_BYTES_MAX and len(self._held) > 1
            ):
                _, dropped = self._held.popitem(last=False)
                self._held_bytes -= dropped.held_bytes
        return described
