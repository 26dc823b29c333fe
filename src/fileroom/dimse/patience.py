"""How long an association may keep us waiting. Pure: the time comes in as an argument."""

from enum import IntFlag

from fileroom.wire.event import Timer


class Hold(IntFlag):
    """Why nothing is read from the socket."""

    LANDING = 1
    WINDOW = 2
    WRITING = 4


class Patience:
    """The timers of one connection: ARTIM, the close, and the silence of the peer.

    Args:
        now_s: when the connection was opened.
    """

    def __init__(self, now_s: float) -> None:
        self._artim_since_s: float | None = None
        self._closing_since_s: float | None = None
        self._heard_at_s = now_s
        self._progress_seen = 0

    def artim(self, timer: Timer, now_s: float) -> None:
        """Start or stop the ARTIM timer (PS3.8 §9.1.5)."""
        self._artim_since_s = now_s if timer is Timer.START else None

    def closing(self, now_s: float) -> None:
        """The connection is to close as soon as all is sent."""
        if self._closing_since_s is None:
            self._closing_since_s = now_s

    @property
    def is_closing(self) -> bool:
        """Whether `closing` was called."""
        return self._closing_since_s is not None

    def artim_is_over(self, now_s: float, artim_s: float) -> bool:
        """Whether the ARTIM timer has run out; told once."""
        if self._artim_since_s is None or now_s - self._artim_since_s < artim_s:
            return False
        self._artim_since_s = None
        return True

    def close_is_overdue(self, now_s: float, artim_s: float) -> bool:
        """Whether the peer reads not even our goodbye."""
        return self._closing_since_s is not None and now_s - self._closing_since_s >= artim_s

    def silence_s(self, now_s: float, *, progress: int, ours: bool) -> float:
        """For how long the peer owes us something and gives nothing.

        Args:
            progress: a count that grows with all that is read and written.
            ours: whether it is we who keep the peer waiting.
        """
        if ours or progress != self._progress_seen:
            self._progress_seen = progress
            self._heard_at_s = now_s
        return now_s - self._heard_at_s
