"""Verify: a copy counts once its bytes were read back in a later request than the put's."""

import asyncio
import logging
from collections.abc import Mapping
from hashlib import sha256

from fileroom.audit import event
from fileroom.catalog.lifecycle import CopyState, PackState
from fileroom.catalog.port import Catalog
from fileroom.catalog.rows import PackRow
from fileroom.clock import Clock
from fileroom.errors import IntegrityError, RefusedError, TransientError, UncertainError
from fileroom.ingest.telling import tell
from fileroom.keys.keyring import Keyring
from fileroom.keys.objects import SITE_KEY, parse_name
from fileroom.ledger.log import Ledger
from fileroom.pack.format import object_name
from fileroom.provider.port import Call, Lane, NotThereError, Provider

PACKS_A_ROUND = 32
PACKS_LOOKED_AT = 4096  # those that wait for one provider must not hide the ones behind them
PURPOSE = "verify"
READ_BACK = "read-back"

log = logging.getLogger(__name__)


class VerifyStage:
    """Reads back what replicate put."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        keyring: Keyring,
        ledger: Ledger,
        clock: Clock,
        providers: Mapping[str, Provider],
    ) -> None:
        self._catalog = catalog
        self._keyring = keyring
        self._ledger = ledger
        self._clock = clock
        self._providers = providers
        self._away: set[str] = set()  # providers that failed in this round

    async def round(self) -> int:
        """Verify a batch of replicated packs and return how many moved on, for good or bad."""
        self._away.clear()
        done = 0
        for provider in self._providers.values():
            done += await self._site(provider)
        packs = await asyncio.to_thread(
            self._catalog.packs, state=PackState.REPLICATED, limit=PACKS_LOOKED_AT
        )
        for pack in packs:
            done += await self._pack(pack)
            if done >= PACKS_A_ROUND:
                return done
        for provider in self._providers.values():
            done += await self._behind(provider)
        return done

    async def _behind(self, provider: Provider) -> int:
        """Verify copies that came when their pack had moved on already."""
        waiting = await asyncio.to_thread(
            self._catalog.unverified_copies,
            provider.name,
            CopyState.REPLICATED,
            limit=PACKS_LOOKED_AT,
        )
        numbers = [each.pack for each in waiting]
        packs = await asyncio.to_thread(self._catalog.packs, numbers=numbers, limit=len(numbers))
        done = 0
        for pack in packs:
            if provider.name in self._away or done >= PACKS_A_ROUND:
                break
            if pack.state not in (PackState.VERIFIED, PackState.COMMITTED):
                continue
            try:
                await self._key(pack.study_key_id, provider)
                await self._copy(pack, provider)
            except (TransientError, UncertainError) as error:
                log.warning("pack %d waits for %s: %s", pack.number, provider.name, error)
                self._away.add(provider.name)
                continue
            except (IntegrityError, RefusedError) as error:
                log.critical("pack %d at %s: %s", pack.number, provider.name, error)
                await asyncio.to_thread(
                    self._catalog.set_pack_state, pack.number, pack.state, PackState.AT_RISK
                )
            done += 1
        return done

    async def _pack(self, pack: PackRow) -> int:
        good, bad = 0, 0
        for copy in await asyncio.to_thread(self._catalog.copies, pack.number):
            provider = self._providers.get(copy.provider)
            if provider is None:
                continue  # it is not in use any more, and what it holds counts for nothing
            if copy.state is not CopyState.REPLICATED:
                # Left by a round that was stopped before it could move the pack.
                good += copy.state is CopyState.VERIFIED
                bad += copy.state in (CopyState.SUSPECT, CopyState.LOST)
                continue
            if copy.provider in self._away:
                return 0
            try:
                await self._key(pack.study_key_id, provider)
                await self._copy(pack, provider)
                good += 1
            except (TransientError, UncertainError) as error:
                log.warning("pack %d waits for %s: %s", pack.number, copy.provider, error)
                self._away.add(copy.provider)
                return 0
            except (IntegrityError, RefusedError) as error:
                log.critical("pack %d at %s: %s", pack.number, copy.provider, error)
                bad += 1
        # Invariant 4: VERIFIED rests on bytes that were read back, so on one copy at least.
        to = PackState.VERIFIED if good and not bad else PackState.AT_RISK
        # Commit point of VERIFIED (or AT_RISK). A crash before it reads the copies again.
        await asyncio.to_thread(self._catalog.set_pack_state, pack.number, PackState.REPLICATED, to)
        return 1

    async def _copy(self, pack: PackRow, provider: Provider) -> None:
        name = object_name(pack.study_key_id, pack.sha256)
        call = Call(Lane.NEW, PURPOSE, pack.study_key_id.hex())
        try:
            digest, size_bytes = await provider.digest(name, call=call)
        except NotThereError:
            digest, size_bytes = b"", -1
        good = digest == pack.sha256 and size_bytes == pack.size_bytes
        if good:
            await asyncio.to_thread(
                self._catalog.set_copy,
                pack.number,
                provider.name,
                CopyState.REPLICATED,
                CopyState.VERIFIED,
                checksum_kind=READ_BACK,
                verified_at_ns=self._clock.wall_ns(),
            )
            tell(
                self._ledger,
                event.Verified(pack=name, provider=provider.name, checksum_kind=READ_BACK),
            )
            return
        to = CopyState.SUSPECT if size_bytes >= 0 else CopyState.LOST
        await asyncio.to_thread(
            self._catalog.set_copy, pack.number, provider.name, CopyState.REPLICATED, to
        )
        tell(self._ledger, event.CopyFailed(pack=name, provider=provider.name, state=str(to)))
        raise IntegrityError(f"a copy of {size_bytes} B is not the {pack.size_bytes} B put there")

    async def _key(self, study_key_id: bytes, provider: Provider) -> None:
        """Read back the wrapped key: a pack is worth nothing without it (invariant 5)."""
        waiting = await self._unread(study_key_id, provider)
        if not waiting:
            return
        call = Call(Lane.NEW, PURPOSE, study_key_id.hex())
        for name, data in await asyncio.to_thread(self._keyring.key_object, study_key_id):
            parsed = parse_name(name)
            if parsed is None or parsed.generation not in waiting:
                continue
            found = await _read(provider, name, len(data), call=call)
            if found != data:
                raise IntegrityError(f"a wrapped key of {len(data)} B came back as {len(found)} B")
            await self._key_read(study_key_id, parsed.generation, provider, CopyState.VERIFIED)

    async def _site(self, provider: Provider) -> int:
        """Read back the wrapped site key, without which nothing there opens (invariant 5).

        A copy that is not what was put is replicated again; until it is good, no pack becomes
        COMMITTED by what this provider holds.
        """
        waiting = await self._unread(SITE_KEY, provider)
        if not waiting:
            return 0
        found: dict[int, CopyState] = {}
        for name, data in await asyncio.to_thread(self._keyring.site_objects):
            parsed = parse_name(name)
            if parsed is None or parsed.generation not in waiting:
                continue
            try:
                read = await _read(provider, name, len(data), call=Call(Lane.NEW, PURPOSE))
            except (TransientError, UncertainError) as error:
                log.warning("the site key waits for %s: %s", provider.name, error)
                self._away.add(provider.name)
                return 0
            # By its name, and not by this node's file of it, which may have rotted meanwhile.
            if sha256(read).hexdigest() != parsed.sha256:
                log.critical("the site key at %s came back as %d B", provider.name, len(read))
                found[parsed.generation] = CopyState.SUSPECT if read else CopyState.LOST
            else:
                found.setdefault(parsed.generation, CopyState.VERIFIED)
        for generation, state in found.items():
            await self._key_read(SITE_KEY, generation, provider, state)
        return len(found)

    async def _unread(self, owner: bytes, provider: Provider) -> set[int]:
        """Generations of a wrapped key that are at `provider` and were not read back."""
        return {
            copy.generation
            for copy in await asyncio.to_thread(self._catalog.key_copies, owner)
            if copy.provider == provider.name and copy.state is CopyState.REPLICATED
        }

    async def _key_read(
        self, owner: bytes, generation: int, provider: Provider, state: CopyState
    ) -> None:
        await asyncio.to_thread(
            self._catalog.set_key_copy,
            owner,
            generation,
            provider.name,
            CopyState.REPLICATED,
            state,
            verified_at_ns=self._clock.wall_ns() if state is CopyState.VERIFIED else None,
        )


async def _read(provider: Provider, name: str, size_bytes: int, *, call: Call) -> bytes:
    """A small object, with one byte more where it is longer; nothing where it is not there."""
    try:
        return await provider.get(name, 0, size_bytes + 1, call=call)
    except NotThereError:
        return b""
