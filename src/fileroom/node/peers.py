"""Application entities by the settings: our titles, and the peers; and whether a peer answers."""

from fileroom.access.entities import Entities, Peer
from fileroom.access.grant import SERVICES, Action
from fileroom.node.settings import PeerSettings, Settings
from fileroom.peer.delivery import Destination
from fileroom.peer.echo import UnknownPeerError, echo


def peer_named(settings: Settings, name: str) -> PeerSettings:
    """The peer of that name, or the first with that AE title.

    Raises:
        UnknownPeerError: there is none.
    """
    by_ae_title = (each for each in settings.peers.values() if each.ae_title.strip() == name)
    found = settings.peers.get(name) or next(by_ae_title, None)
    if found is None:
        known = ", ".join(sorted(settings.peers)) or "none"
        raise UnknownPeerError(f"no peer of that name or AE title; known are: {known}")
    return found


def entities_of(settings: Settings) -> Entities:
    """Who is who at the DICOM door; the title of [dimse], that we call others by, comes first."""
    titles = {settings.dimse.ae_title.strip(): SERVICES}
    for title in settings.titles.values():
        titles[title.ae_title.strip()] = frozenset(map(Action, title.rights))
    peers = (
        Peer(name, each.ae_title.strip(), each.networks, frozenset(map(Action, each.rights)))
        for name, each in settings.peers.items()
    )
    return Entities(titles, peers)


class Peers:
    """The peers of a node. What SIGHUP brings counts from then on."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def reconfigured(self, settings: Settings) -> None:
        """Take over the peers of new settings."""
        self._settings = settings

    def destination(self, ae_title: str) -> Destination | None:
        """The peer with that AE title; of several the first counts."""
        for each in self._settings.peers.values():
            if each.ae_title.strip() == ae_title:
                return Destination(ae_title, each.host, each.port)
        return None

    async def echo(self, name: str) -> float:
        """Ask a peer for a C-ECHO and return how long it took, in seconds.

        Args:
            name: its name in the settings, or its AE title.

        Raises:
            UnknownPeerError; what `peer.echo.echo` raises.
        """
        peer = peer_named(self._settings, name)
        calling = self._settings.dimse.ae_title
        answered = await echo(peer.host, peer.port, calling=calling, called=peer.ae_title)
        return answered.took_s
