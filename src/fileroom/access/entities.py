"""Application entities of the settings: our AE titles with what each gives, and the peers. Pure.

An AE title is a claim and an address can be forged by whoever is on the same wire; a peer is known
by both together, which is what the field has without certificates.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from fileroom.access.grant import Action
from fileroom.access.identity import PEER, Principal, of_address, parsed

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Peer(NamedTuple):
    """An application entity that may call.

    Attributes:
        name: what the ledger calls it.
        networks: where it calls from; one address is a network of one.
        rights: what it may ask, of an AE title that gives it.
    """

    name: str
    ae_title: str
    networks: tuple[Network, ...]
    rights: frozenset[Action]

    def calls_from(self, address: str) -> bool:
        """Whether `address` is one of its own."""
        ip = parsed(address)
        return ip is not None and any(ip in network for network in self.networks)


class Entities:
    """Who is who at the DICOM door.

    Args:
        peers: without rights a peer is only called, and does not count here.

    Attributes:
        titles: our AE titles, the first one that we call others by, and what each gives.
        has_peers: whether a peer may call; then nobody else may, from this machine neither.
    """

    def __init__(self, titles: Mapping[str, frozenset[Action]], peers: Iterable[Peer] = ()) -> None:
        self.titles = dict(titles)
        self._by_title: dict[str, list[Peer]] = {}
        for each in peers:
            if each.rights:
                self._by_title.setdefault(each.ae_title, []).append(each)
        self.has_peers = bool(self._by_title)

    def peer(self, address: str, ae_title: str | None) -> Peer | None:
        """The peer that calls itself so from there; of several the first in the settings."""
        known = self._by_title.get(ae_title or "", ())
        return next((each for each in known if each.calls_from(address)), None)

    def caller(self, address: str, ae_title: str) -> Principal:
        """The principal of who calls itself `ae_title` from `address`."""
        peer = self.peer(address, ae_title)
        if peer is None:
            return of_address(address, ae_title=ae_title)
        return Principal(PEER, peer.name, address, ae_title)
