"""A desk for conflicts over a catalog of dictionaries, a real ledger and packs in memory."""

import asyncio
import io
from contextlib import asynccontextmanager
from hashlib import sha256
from json import dumps
from types import SimpleNamespace

import msgspec
from pydicom import dcmread

from conform.catalog_model import DictCatalog
from conform.catalog_samples import header, new_pack
from fileroom.catalog.rows import SaidPatient, Sealed
from fileroom.clock import ManualClock
from fileroom.decisions.conflicts import ConflictDesk
from fileroom.decisions.decider import Decider
from fileroom.dicom.uid import digest
from fileroom.errors import IntegrityError
from fileroom.pack.metadata import ReceivedFrom, timestamp
from fileroom.retrieve.packs import UnavailableError
from instances import EXPLICIT_LITTLE, part10, uids
from ledger_parts import ledger_in

STUDY, SERIES, UID = uids(1, 1, 1)
STRANGER = SaidPatient("P-2", "", "Roe^Richard", "19610412", 3)
SECOND_NS = 1_000_000_000


class Packs:
    """What packs say of their instances, and their data sets."""

    def __init__(self):
        self.packs = {}
        self.away = set()

    def put(self, number, file, *, at_s):
        data_set = dcmread(io.BytesIO(file))
        data = file[-_length(file) :]
        pixels = data_set.pop("PixelData")
        json = {**data_set.to_json_dict(), "7FE00010": {"vr": pixels.VR}}
        instance = SimpleNamespace(
            sop_instance_uid=UID,
            sop_class_uid=str(data_set.SOPClassUID),
            transfer_syntax_uid=EXPLICIT_LITTLE,
            original_sha256=sha256(data).hexdigest(),
            received_at=timestamp(at_s * SECOND_NS),
            received_from=ReceivedFrom("dimse", "CT1", "192.0.2.7", "c1"),
            size_bytes=len(file),
            dataset_offset=len(file) - len(data),
            dicom_json=msgspec.Raw(dumps(json).encode()),
        )
        pack = SimpleNamespace(
            study_instance_uid=STUDY, series_instance_uid=SERIES, instances=[instance]
        )
        self.packs[number] = (pack, data)

    async def metadata(self, pack):
        if pack in self.away:
            raise UnavailableError("the provider is away")
        if pack not in self.packs:
            raise IntegrityError("no copy gives it")
        return self.packs[pack][0]

    async def data_set(self, place, *, size_bytes_max):
        await self.metadata(place.pack)
        data = self.packs[place.pack][1]
        return EXPLICIT_LITTLE, data if len(data) <= size_bytes_max else None


class Desk:
    """A desk, and what lies behind it."""

    def __init__(self, ledger):
        self.clock = ManualClock()
        self.catalog = DictCatalog(self.clock)
        self.ledger = ledger
        self.packs = Packs()
        self.is_complete = True
        self.desk = ConflictDesk(
            catalog=self.catalog,
            decider=Decider(catalog=self.catalog, ledger=ledger, deciding=asyncio.Lock()),
            clock=self.clock,
            packed=self.packs,
            complete=lambda: self.is_complete,
        )

    def seal(self, file, *, at_s, conflict=False, patients=()):
        """Record a pack with one data set under UID."""
        place = self.catalog.record_series("main", header(UID, study=STUDY, series=SERIES))
        name = f"pack {len(self.packs.packs)}"
        data_set = file[-_length(file) :]
        sealed = [Sealed(None, digest(UID), 0, sha256(data_set).digest())]
        number = self.catalog.record_sealed(
            new_pack(place.study, place.series, name, patients=patients),
            members=() if conflict else sealed,
            conflicts=sealed if conflict else (),
            lease=None,
        )
        self.packs.put(number, file, at_s=at_s)
        return number


FIRST = part10(1, 1, 1, size_bytes=512)
# The same instance of another patient, with another last pixel.
SECOND = FIRST[:-1].replace(b"Zauberfluss^", b"Zauberfluse^") + bytes([FIRST[-1] ^ 1])


@asynccontextmanager
async def desk_in(folder):
    """A desk before which two data sets of one UID lie."""
    async with ledger_in(folder) as ledger:
        found = Desk(ledger)
        found.seal(FIRST, at_s=10)
        found.seal(SECOND, at_s=20, conflict=True)
        yield found


def _length(file):
    """Of the data set in a file."""
    meta_bytes = int.from_bytes(file[140:144], "little")
    return len(file) - 144 - meta_bytes
