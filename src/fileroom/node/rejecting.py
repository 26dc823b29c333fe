"""Who may take instances away by a rejection note, by the settings."""

from fileroom.access.entities import Entities, Peer
from fileroom.access.grant import Action
from fileroom.access.identity import Principal, of_address
from fileroom.audit.decided import By
from fileroom.decisions.decider import by
from fileroom.node.settings import Settings
from fileroom.spool.record import Origin

DIMSE = "dimse"


class Rejecters:
    """The senders whose notes are followed. What SIGHUP brings counts from then on."""

    def __init__(self, settings: Settings) -> None:
        self.reconfigured(settings)

    def reconfigured(self, settings: Settings) -> None:
        """Take over who may reject by new settings."""
        peers = (
            Peer(name, each.ae_title.strip(), each.networks, frozenset({Action.STORE}))
            for name, each in settings.peers.items()
            if each.reject
        )
        self._peers = Entities({}, peers)
        self._anyone = settings.reject.notes == "anyone"

    def rejecter(self, origin: Origin) -> By | None:
        """As whom the sender of an instance rejects; None: it may not."""
        address, ae_title = origin.address, origin.calling_ae_title
        principal: Principal | None = None
        if origin.channel == DIMSE and self._peers.peer(address, ae_title) is not None:
            principal = self._peers.caller(address, ae_title)
        elif self._anyone:
            principal = of_address(address, ae_title=ae_title)
        return None if principal is None else by(principal, channel=origin.channel)
