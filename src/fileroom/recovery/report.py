"""What a start or a rebuild found, as values. Pure."""

import msgspec


class Report(msgspec.Struct, kw_only=True):
    """What a start or a rebuild found.

    Attributes:
        adopted: packs that the catalog did not know.
        spooled: instances in the spool, all of them replayed.
        missing: packs whose local file was gone, and that nobody had decided to evict.
        resealed: those of them that had no copy yet; their instances are in the spool still and
            will be sealed again.
        lost: instances that the catalog has in the spool and the spool has not; set aside.
        found: instances that were set aside and are in the spool; taken up again.
        unreadable: packs that no place gave whole; they stay where they are.
        absent: packs that the ledger tells of and that were found nowhere; 0 while a provider is
            awaited, which may have them.
        awaited: providers that were away, by name; what lies there is still to be taken up.
    """

    adopted: int = 0
    spooled: int = 0
    missing: int = 0
    resealed: int = 0
    returned: int = 0
    lost: int = 0
    found: int = 0
    unreadable: int = 0
    absent: int = 0
    keys: int = 0
    awaited: list[str] = []
