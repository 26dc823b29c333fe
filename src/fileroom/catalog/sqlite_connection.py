"""A connection whose statements leave nothing behind.

apsw (3.54) counts a reference too many to a cursor that is closed, and to one that is there while
another is dropped. It is never freed then, and every further statement of its connection goes
through the list of all such: after 16,000 reads each statement took 0.06 ms more, and so on without
an end. So a connection has two cursors for its whole life, and nobody else makes one.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import apsw

Row = tuple[Any, ...]


class Rows(list[Row]):
    """The rows that a statement gave."""

    def fetchone(self) -> Row | None:
        """The first row; None where there is none."""
        return self[0] if self else None

    def fetchall(self) -> list[Row]:
        """All rows."""
        return self


class Connection(apsw.Connection):
    """As apsw's, but that `execute` reads all rows at once. Raises as apsw's."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._cursor = self.cursor()
        self._streaming = self.cursor()

    def execute(self, statements: str, bindings: Any = None) -> Rows:  # type: ignore[override]
        """Execute statements and return the rows that they gave, which must be few."""
        return Rows(self._cursor.execute(statements, bindings))

    def executemany(self, statements: str, sequence: Any) -> Rows:  # type: ignore[override]
        """As `execute`, once for each element of `sequence`."""
        return Rows(self._cursor.executemany(statements, sequence))

    @contextmanager
    def stream(self, statement: str, bindings: Sequence[Any]) -> Iterator[Iterator[Row]]:
        """The rows of a statement one by one, for as long as somebody wants them. One at a time."""
        try:
            yield self._streaming.execute(statement, bindings)
        finally:
            with suppress(apsw.CursorClosedError):  # a connection that was given up meanwhile
                self._streaming.execute("")  # lets go of a statement that was left unfinished
