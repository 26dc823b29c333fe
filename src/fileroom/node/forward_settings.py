"""The settings of forwarding: rules, and destinations that are reached by HTTP. Pure."""

import re
from typing import Annotated

import msgspec
from msgspec import Meta

from fileroom.node.section import Section, is_ae_title, require
from fileroom.policy.forwarding import HoursError, Rule, window

# Without user name, query and fragment: a URL stands in the ledger, in status and in logs.
URL = re.compile(
    r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[1-9][0-9]{0,4})?(/[A-Za-z0-9._~!$&'()*+,;=:@/-]*)?"
)


class WebPeerSettings(Section, frozen=True):
    """Another archive that takes STOW-RS. One table per peer; it shares its names with [peers]."""

    url: Annotated[
        str,
        Meta(description="Its DICOMweb service, such as `https://pacs.example/dicom-web`."),
    ]
    authorization_file: Annotated[
        str,
        Meta(
            description="File whose first line is sent as Authorization, such as `Bearer …` or "
            "`Basic …`; read anew for each connection. Empty: none is sent."
        ),
    ] = ""
    ca_file: Annotated[
        str,
        Meta(description="Certificates to trust in place of this machine's, as PEM."),
    ] = ""

    def __post_init__(self) -> None:
        require(
            URL.fullmatch(self.url) is not None,
            "url must be of the form https://host/path; credentials go into authorization_file",
        )


class ForwardSettings(Section, frozen=True):
    """What goes on to a peer. One table per rule; of a peer's rules the first that fits counts."""

    to: Annotated[str, Meta(description="Name of the peer that it goes to.")]
    senders: Annotated[
        list[str], Meta(description="AE titles that instances came from. Empty: any sender.")
    ] = msgspec.field(default_factory=list)
    modalities: Annotated[
        list[str], Meta(description="Modalities of series, such as CT. Empty: all.")
    ] = msgspec.field(default_factory=list)
    descriptions: Annotated[
        list[str],
        Meta(
            description="Study or Series Descriptions, with * and ?, whatever the case. Empty: all."
        ),
    ] = msgspec.field(default_factory=list)
    hours: Annotated[
        list[str],
        Meta(
            description="When it is sent, such as `mon-fri 18:00-06:00` or `sat,sun`, in the time "
            "zone of [site], else the machine's; at other times it waits. Empty: at once."
        ),
    ] = msgspec.field(default_factory=list)

    def __post_init__(self) -> None:
        require(self.to != "", "to must name a peer")
        for each in self.senders:
            require(is_ae_title(each), f"senders: {each!r} is no AE title")
        for each in self.hours:
            try:
                window(each)
            except HoursError as error:
                raise ValueError(f"hours: {error}") from error

    def rule(self, name: str) -> Rule:
        """The rule that it says."""
        return Rule(
            name,
            self.to,
            senders=tuple(each.strip() for each in self.senders),
            modalities=tuple(self.modalities),
            descriptions=tuple(self.descriptions),
            hours=tuple(window(each) for each in self.hours),
        )
