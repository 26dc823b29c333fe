"""What can go wrong in the spool, by what the caller should do."""

import copy

from fileroom.errors import FileroomError, IntegrityError, RefusedError, TransientError


class SpaceError(RefusedError):
    """The disk is full, or fuller than the reserve allows. Nothing was accepted."""


class SpoolError(TransientError):
    """The instance could not be made durable. The sender is not told success and may retry."""


class InstanceTooLargeError(RefusedError):
    """The instance has more data frames than a commit frame may name."""


class SegmentInUseError(RefusedError):
    """The segment takes instances, or keeps its number from being used again."""


class SegmentGoneError(TransientError):
    """The segment is no longer in the spool: the instance has moved on. Locate it again."""


class SpoolKeyError(RefusedError):
    """No segment opens with this key: it is another spool's."""


class NewerFormatError(RefusedError):
    """The segment was written by a newer Fileroom."""


class DamagedSegmentError(IntegrityError):
    """Bytes of the spool are not what was written.

    Attributes:
        segment: number of the segment.
        offset: where in the file the damaged header or frame begins.
    """

    def __init__(self, message: str, *, segment: int, offset: int) -> None:
        super().__init__(f"{message} (segment {segment}, offset {offset})")
        self.segment = segment
        self.offset = offset


class WrongKeyError(DamagedSegmentError):
    """A whole segment header whose key does not open with the spool key."""


def again(error: FileroomError) -> FileroomError:
    """`error` once more, for another caller to raise."""
    same = copy.copy(error)
    same.__cause__ = error.__cause__
    return same
