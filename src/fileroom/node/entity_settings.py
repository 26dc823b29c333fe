"""The settings of application entities: our own AE titles, and the peers. Pure."""

import ipaddress
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from fileroom.node.section import Section, require, require_ae_title

Right = Literal["echo", "store", "find", "get", "move", "commit"]
RIGHTS: tuple[Right, ...] = ("echo", "store", "find", "get", "move", "commit")


class TitleSettings(Section, frozen=True):
    """An AE title that we answer to, and what it gives. One table per title."""

    ae_title: Annotated[
        str,
        Meta(description="AE title. That of [dimse] gives everything unless it has a table too."),
    ]
    rights: Annotated[
        list[Right],
        Meta(description="What may be asked of it: echo, store, find, get, move, commit."),
    ]

    def __post_init__(self) -> None:
        require_ae_title(self.ae_title)


class PeerSettings(Section, frozen=True):
    """Another archive or a modality that we know. One table per peer."""

    ae_title: Annotated[str, Meta(description="Its AE title.")]
    host: Annotated[str, Meta(description="Its address.")]
    port: Annotated[int, Meta(ge=1, le=65535, description="Its DICOM port.")]
    addresses: Annotated[
        list[str],
        Meta(
            description="Addresses and networks, such as 192.0.2.0/28, that it calls from. Empty: "
            "`host` alone, which must be an address then."
        ),
    ] = msgspec.field(default_factory=list)
    rights: Annotated[
        list[Right],
        Meta(
            description="What it may ask: echo, store, find, get, move, commit. Once one peer has "
            "a right, only peers may call, from this machine too. Empty: it is only called."
        ),
    ] = msgspec.field(default_factory=list)
    find: Annotated[
        bool,
        Meta(
            description="Whether it is asked (C-FIND) how many instances the studies have that it "
            "sends, to tell when all have come."
        ),
    ] = False
    reject: Annotated[
        bool,
        Meta(
            description="Whether its rejection notes (IHE IOCM) are followed: what they reference "
            "is hidden."
        ),
    ] = False
    commit: Annotated[
        Literal["placement", "local"],
        Meta(
            description="What storage commitment tells it as safe: the copies that [placement] "
            "asks for, or what only this node's disk holds, of which status warns."
        ),
    ] = "placement"

    def __post_init__(self) -> None:
        require_ae_title(self.ae_title)
        require(self.host != "", "host must not be empty")
        for each in self.addresses:
            try:
                ipaddress.ip_network(each)
            except ValueError as error:
                raise ValueError(f"addresses: {error}") from error
        require(
            not self.rights or bool(self.networks),
            "a peer with rights must have addresses, or an address as its host",
        )

    @property
    def networks(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """Where it calls from."""
        if self.addresses:
            return tuple(map(ipaddress.ip_network, self.addresses))
        try:
            return (ipaddress.ip_network(self.host),)
        except ValueError:
            return ()
