"""The refusals of an instance that cannot be understood. Pure."""

from fileroom.errors import RefusedError


class InstanceError(RefusedError):
    """These bytes are not a data set we can identify or walk. Sending them again changes nothing.

    Attributes:
        tag: the data element at fault as 0xGGGGEEEE, where known.
        offset: where it begins, in bytes from the start of what was read, where known.
    """

    def __init__(self, message: str, *, tag: int | None = None, offset: int | None = None) -> None:
        place = "" if tag is None else f" at ({tag >> 16:04X},{tag & 0xFFFF:04X})"
        if offset is not None:
            place += f" at byte {offset}"
        super().__init__(message + place)
        self.tag = tag
        self.offset = offset


class IdentityError(InstanceError):
    """One of the four UIDs is missing or is none: nothing says which instance this is."""


class TransferSyntaxError(InstanceError):
    """What names the transfer syntax is no UID."""
