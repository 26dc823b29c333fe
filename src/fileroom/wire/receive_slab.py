"""The buffer that a socket writes into and PDUs are read out of, without a copy between. Pure."""

START_CAPACITY_BYTES = 16 * 1024  # enough for most requests; idle connections stay this small


class ReceiveSlab:
    """Bytes that have arrived and not yet been taken.

    They lie in `buffer[read:write]`. Views handed out stay readable until the next `room` or
    `append`, which may move what is left to the front.
    """

    __slots__ = ("buffer", "capacity", "read", "view", "write")

    def __init__(self) -> None:
        self._renew(START_CAPACITY_BYTES)
        self.read = 0
        self.write = 0

    def room(self, least_bytes: int) -> memoryview:
        """Where the next bytes go: at least `least_bytes`, behind those that are held."""
        if self.read == self.write:
            self.read = self.write = 0
        if self.capacity - self.write < least_bytes:
            self._make_room(least_bytes)
        return self.view[self.write :]

    def append(self, data: bytes | bytearray | memoryview) -> None:
        """Hold a copy of `data` behind what is held."""
        size_bytes = len(data)
        self.room(size_bytes)[:size_bytes] = data
        self.write += size_bytes

    def reserve(self, capacity_bytes: int) -> None:
        """Grow to at least this capacity."""
        if self.capacity < capacity_bytes:
            self._move(capacity_bytes)

    def clear(self) -> None:
        """Drop what is held."""
        self.read = self.write = 0

    def _make_room(self, least_bytes: int) -> None:
        needed_bytes = self.write - self.read + least_bytes
        capacity_bytes = self.capacity
        while capacity_bytes < needed_bytes:
            capacity_bytes *= 2
        self._move(capacity_bytes)

    def _move(self, capacity_bytes: int) -> None:
        held = self.view[self.read : self.write]
        if capacity_bytes != self.capacity:
            self._renew(capacity_bytes)
        self.view[: len(held)] = held
        self.read, self.write = 0, len(held)

    def _renew(self, capacity_bytes: int) -> None:
        self.buffer = bytearray(capacity_bytes)
        self.view = memoryview(self.buffer)
        self.capacity = capacity_bytes
