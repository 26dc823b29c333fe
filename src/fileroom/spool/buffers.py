"""Buffers that are used again, so that receiving allocates nothing in its steady state."""

from fileroom.spool.format import DATA_FRAME_BYTES

FREE_MAX = 64  # 16 MiB


class FrameBuffer:
    """Room for one data frame, or for one chunk of plaintext."""

    __slots__ = ("view",)

    def __init__(self) -> None:
        self.view = memoryview(bytearray(DATA_FRAME_BYTES))


class BufferPool:
    """Free buffers, most recently used first; for one thread."""

    def __init__(self) -> None:
        self._free: list[FrameBuffer] = []

    def take(self) -> FrameBuffer:
        """A buffer whose content is whatever it was."""
        return self._free.pop() if self._free else FrameBuffer()

    def give_back(self, buffer: FrameBuffer) -> None:
        """Let the next `take` have `buffer`. Its old content stays in it."""
        if len(self._free) < FREE_MAX:
            self._free.append(buffer)
