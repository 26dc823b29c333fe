"""The settings of whether all of a study has come. Pure."""

from typing import Annotated

from msgspec import Meta

from fileroom.node.section import LIVE, Section


class Completeness(Section, frozen=True):
    """When a study counts as no longer arriving. Nothing is held or refused because of it."""

    quiet_s: Annotated[
        float,
        Meta(
            gt=0,
            le=86_400,
            description="Time without an instance after which a study is incomplete, if its sender "
            "or its instances say that there are more, and else quiet.",
            extra=LIVE,
        ),
    ] = 300.0
