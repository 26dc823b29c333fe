"""The settings of what is taken in. Pure."""

from typing import Annotated, Literal

from msgspec import Meta

from fileroom.node.section import Section


class Receive(Section, frozen=True):
    """What is taken in, by whatever door."""

    programs: Annotated[
        Literal["zero", "refuse"],
        Meta(
            description="A file whose preamble begins as a program does: `zero` takes it, keeps "
            "the preamble apart and serves zeros in its place; `refuse` does not take it."
        ),
    ] = "zero"
