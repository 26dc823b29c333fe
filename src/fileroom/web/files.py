"""A study's files as one ZIP, written while it is sent.

The names in it are numbers, one folder a series, as `fileroom get` has them: they say nothing of
the patient. Members are stored, not deflated: most pixel data is compressed already.
"""

import io
import zipfile
from collections.abc import AsyncIterator, Sequence
from contextlib import closing

from fileroom.http.answers import Outflow
from fileroom.http.ports import Buffer, StoredInstance
from fileroom.http.refusals import Header, NotFoundError
from fileroom.http.request import Request, Service

CHANNEL = "page"
PURPOSE = "retrieve"
MEDIA_TYPE = "application/zip"
READ_BYTES = 1 << 20
HEADERS: tuple[Header, ...] = (
    (b"content-disposition", b'attachment; filename="study.zip"'),
    (b"referrer-policy", b"same-origin"),
)


async def send(service: Service, request: Request) -> None:
    """GET or HEAD of /studies/{study}/files.zip."""
    study_uid = request.parameters["study"]
    found = await service.archive.holdings(study_uid)
    if not found:
        raise NotFoundError("there is no such study")
    # The read is on record before its first byte leaves (invariant 11).
    record = await service.coverage.covers(
        request.principal, study_uid, purpose=PURPOSE, channel=CHANNEL
    )
    outflow = Outflow(request, 200, MEDIA_TYPE, None, record=record, headers=HEADERS)
    if request.is_head:
        await outflow.send_head()
    else:
        await outflow.send_all(_zipped(found, outflow))


async def _zipped(found: Sequence[StoredInstance], outflow: Outflow) -> AsyncIterator[bytes]:
    written = _Written()
    with closing(zipfile.ZipFile(written, "w", zipfile.ZIP_STORED)) as archive:
        for instance, name in zip(found, names(found), strict=True):
            outflow.instances += 1
            member = zipfile.ZipInfo(name)
            member.file_size = instance.size_bytes  # decides whether the entry is a ZIP64 one
            with archive.open(member, "w") as target:
                for start in range(0, instance.size_bytes, READ_BYTES):
                    end = min(start + READ_BYTES, instance.size_bytes)
                    target.write(await instance.read(start, end))
                    yield written.taken()
            yield written.taken()
    yield written.taken()


def names(found: Sequence[StoredInstance]) -> list[str]:
    """A name for each instance: the number of its series, and its own in that."""
    series: dict[str, list[int]] = {}
    told = []
    for instance in found:
        number, count = series.setdefault(instance.series_instance_uid, [len(series) + 1, 0])
        series[instance.series_instance_uid][1] = count + 1
        told.append(f"series-{number:04}/{count + 1:06}.dcm")
    return told


class _Written(io.RawIOBase):
    """A file that only takes: what was written waits here until it is taken away."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer, /) -> int:  # type: ignore[override]
        self._pieces.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)
