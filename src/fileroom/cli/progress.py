"""How far `fileroom import` is: a bar on a terminal, and whoever wants to hear of it."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from fileroom.cli.media import Item, items
from fileroom.cli.output import complain

Heard = Callable[[int, int, int], None]  # files and bytes dealt with, bytes in all or 0


class Progress:
    """A bar with files, bytes, rate and time left on a terminal; silent elsewhere."""

    def __init__(self, paths: Sequence[Path], *, shown: bool, heard: Heard | None = None) -> None:
        self._bars = ExitStack()
        self._heard = heard
        self._bytes_done = 0
        self._bytes_total = 0
        self._files = 0
        self._files_total = 0
        if not shown:
            return
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )
        from rich.progress import Progress as Bars

        complain("counting")
        found = [each.size_bytes for each in items(paths) if isinstance(each, Item)]
        self._files_total, self._bytes_total = len(found), sum(found)
        self._rich = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task = self._rich.add_task("", total=self._bytes_total)
        self._bars.enter_context(self._rich)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.close()

    def advance(self, size_bytes: int) -> None:
        """One more file of this size is dealt with."""
        self._files += 1
        self._bytes_done += size_bytes
        if self._heard is not None:
            self._heard(self._files, self._bytes_done, self._bytes_total)
        if self._files_total:
            told = f"{self._files} of {self._files_total} files"
            self._rich.update(self._task, advance=size_bytes, description=told)
