"""`fileroom get`: writes a study's files into a folder."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from fileroom.cli.client import NodeClient
from fileroom.cli.exit_codes import NotFoundError
from fileroom.cli.options import SHARED, Shared
from fileroom.cli.output import in_bytes, tell
from fileroom.errors import RefusedError


def get(
    study: str,
    /,
    *,
    output: Annotated[
        Path, Parameter(name=["--output", "-o"], help="A folder that is new or empty.")
    ],
    shared: Shared = SHARED,
) -> None:
    """Write a study's DICOM files into a folder, by Study Instance UID.

    The files are numbered, one folder a series: names in a folder say nothing of the patient.
    """
    from fileroom.cli.connection import node_of
    from fileroom.dicom.uid import is_valid

    if not is_valid(study):
        raise RefusedError("this is not a UID (PS3.5 §9.1)")
    settings = shared.settings()
    if not settings.data_directory.is_dir():
        raise NotFoundError(f"there is no data folder {settings.data_directory}")
    if output.is_dir() and any(output.iterdir()):
        raise RefusedError(f"{output} is not empty")
    with node_of(settings) as node:
        series = node.series_of(study)
        if not series:
            raise NotFoundError("the node has no such study")
        output.mkdir(parents=True, exist_ok=True)
        counts = [
            write_series(node, study, each, output / f"series-{number:04}")
            for number, each in enumerate(series, start=1)
        ]
    files, size_bytes = sum(c[0] for c in counts), sum(c[1] for c in counts)
    document = {
        "study": study,
        "output": str(output),
        "series": len(series),
        "files": files,
        "size_bytes": size_bytes,
    }
    line = f"files: {files}, series: {len(series)}, {in_bytes(size_bytes)}, in {output}"
    tell(document, [line], as_json=shared.json)


def write_series(node: NodeClient, study: str, series: str, folder: Path) -> tuple[int, int]:
    """Write one series as 000001.dcm and so on; returns files and bytes.

    A file has its name once it is whole; what was broken off is left as `.part`.
    """
    folder.mkdir()
    files = size_bytes = 0
    pieces: Iterator[bytes | None] = node.retrieve_series(study, series)
    part = folder / "next.part"
    target = part.open("wb")
    try:
        for piece in pieces:
            if piece is None:
                target.close()
                files += 1
                part.rename(folder / f"{files:06}.dcm")
                target = part.open("wb")
            else:
                size_bytes += target.write(piece)
    finally:
        target.close()
    part.unlink()
    return files, size_bytes
