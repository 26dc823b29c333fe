"""The settings of rejections. Pure."""

from typing import Annotated, Literal

from msgspec import Meta

from fileroom.node.section import LIVE, Section


class Reject(Section, frozen=True):
    """Rejections: what is hidden and kept."""

    notes: Annotated[
        Literal["peers", "anyone"],
        Meta(
            description="Whose rejection notes (IHE IOCM) are followed: of `peers` with "
            "`reject = true`, or of `anyone` who may store.",
            extra=LIVE,
        ),
    ] = "peers"
