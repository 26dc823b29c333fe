"""What tests of WADO-RS and WADO-URI share: files, a door that holds them, bodies taken apart."""

import re
from io import BytesIO

from pydicom import dcmread, dcmwrite
from pydicom.data import get_testdata_file

from corpus import ct_small
from dicomweb_fakes import World, world
from fileroom.dicomweb.location import BASE


def shipped(name: str) -> bytes:
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str)
    with open(path, "rb") as file:
        return file.read()


def copies(count: int, *, rows: int = 128, study: str = "1.2.3") -> list[bytes]:
    """Slices of one series, as Part 10 files."""
    made = []
    data_set = dcmread(ct_small())
    data_set.remove_private_tags()
    data_set.StudyInstanceUID = study
    data_set.SeriesInstanceUID = f"{study}.1"
    data_set.Rows = data_set.Columns = rows
    data_set.PixelData = bytes(range(256)) * (rows * rows * 2 // 256)
    for number in range(count):
        data_set.SOPInstanceUID = data_set.file_meta.MediaStorageSOPInstanceUID = (
            f"{study}.1.{number + 1}"
        )
        data_set.InstanceNumber = number + 1
        out = BytesIO()
        dcmwrite(out, data_set)
        made.append(out.getvalue())
    return made


def holding(*files: bytes, **options) -> World:
    here = world(**options)
    for each in files:
        here.archive.add(each)
    return here


def paths_of(here: World) -> tuple[str, str, str]:
    each = next(iter(here.archive.instances.values()))
    study = f"{BASE}/studies/{each.study_instance_uid}"
    series = f"{study}/series/{each.series_instance_uid}"
    return study, series, f"{series}/instances/{each.sop_instance_uid}"


def parts_of(reply) -> list[tuple[dict[str, str], bytes]]:
    """The parts of a multipart body, split in the simplest way."""
    boundary = re.search(r'boundary="?([0-9a-f]+)', reply.header("content-type"))[1].encode()
    pieces = (b"\r\n" + reply.body).split(b"\r\n--" + boundary)
    assert pieces[0] == b""
    assert pieces[-1] == b"--\r\n"
    found = []
    for piece in pieces[1:-1]:
        head, data = piece[2:].split(b"\r\n\r\n", 1)
        headers = dict(line.decode().split(": ", 1) for line in head.split(b"\r\n"))
        found.append((headers, data))
    return found
