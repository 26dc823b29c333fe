"""The configuration in force, as the ledger tells of it: one event whenever it is another one."""

import asyncio
import hashlib
import hmac
from typing import Any

import msgspec

from fileroom.audit import event
from fileroom.ledger.log import Ledger
from fileroom.node.config import meta_of, sections
from fileroom.node.settings import SECRET, Settings
from fileroom.recovery.replay import Replay

_json = msgspec.json.Encoder(order="sorted")


class Configuration:
    """Tells the ledger of configurations.

    Args:
        key: what stands for a secret value is made with it: it shows whether the value has changed,
            and nothing else.
        deciding: held while one is told and noted.
    """

    def __init__(
        self, ledger: Ledger, replay: Replay, *, node_id: str, key: bytes, deciding: asyncio.Lock
    ) -> None:
        self._ledger = ledger
        self._replay = replay
        self._node_id = node_id
        self._key = key
        self._deciding = deciding

    async def tell(self, settings: Settings) -> None:
        """Append one event, unless these settings are those that the ledger was told of last.

        Raises:
            LedgerWriteError: it is not durable.
        """
        after = effective(settings, key=self._key)
        before = await asyncio.to_thread(self._replay.configuration)
        changed = sorted(
            name
            for name in before.keys() | after.keys()
            if (name in before, before.get(name)) != (name in after, after.get(name))
        )
        if not changed:
            return
        shown = [name for name in changed if not _is_secret(name)]
        told = event.Configuration(
            node_id=self._node_id,
            sha256=hashlib.sha256(_json.encode(after)).hexdigest(),
            changed=tuple(changed),
            before={name: before[name] for name in shown if name in before},
            after={name: after[name] for name in shown if name in after},
        )
        async with self._deciding:
            # Commit point. A crash behind it leaves a note that the next start takes from the
            # ledger.
            await self._ledger.append(event.kind(told), event.body(told))
            await asyncio.to_thread(self._replay.note_configuration, after)


def effective(settings: Settings, *, key: bytes) -> dict[str, Any]:
    """All values by name, as "dimse.port" or "peers.pacs.host"; for a secret one what stands for
    it."""
    whole = msgspec.to_builtins(settings)
    found: dict[str, Any] = {}
    for title, _ in sections():
        table, _, named = title.partition(".")
        tables = whole[table] if named else {"": whole[table]}
        for name, values in tables.items():
            prefix = f"{table}.{name}" if named else table
            found |= {f"{prefix}.{each}": value for each, value in values.items()}
    for name, value in found.items():
        if _is_secret(name):
            found[name] = hmac.digest(key, _json.encode([name, value]), "sha256").hex()
    return found


def _is_secret(name: str) -> bool:
    """Whether a value may not be shown; so also one of a key that this program does not know."""
    table, key = name.partition(".")[0], name.rpartition(".")[2]
    struct = {title.partition(".")[0]: struct for title, struct in sections()}.get(table)
    if struct is None or key not in struct.__struct_fields__:
        return True
    return meta_of(struct, key).extra == SECRET
