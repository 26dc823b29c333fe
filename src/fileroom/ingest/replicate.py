"""Replicate: the wrapped keys, then the pack, to every provider that placement asks for."""

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path

from fileroom.audit import event
from fileroom.catalog.lifecycle import CopyState, PackState
from fileroom.catalog.port import Catalog
from fileroom.catalog.rows import PackRow
from fileroom.errors import (
    FileroomError,
    IntegrityError,
    RefusedError,
    TransientError,
    UncertainError,
)
from fileroom.ingest.build import local_path
from fileroom.ingest.telling import tell
from fileroom.keys.keyring import Keyring
from fileroom.keys.objects import SITE_KEY, parse_name
from fileroom.ledger.log import Ledger
from fileroom.pack.format import object_name
from fileroom.provider import readback
from fileroom.provider.port import Call, Lane, Provider, Put

PACKS_A_ROUND = 32
PACKS_LOOKED_AT = 4096  # those that wait for one provider must not keep others from the rest
PURPOSE = "replicate"
THERE = frozenset({CopyState.REPLICATED, CopyState.VERIFIED})

log = logging.getLogger(__name__)


class ReplicateStage:
    """Puts sealed packs and their keys to providers.

    Args:
        providers: by name, those that new packs go to.
        copies_min: with so many copies a pack moves on; the other providers get theirs when they
            can be reached.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        keyring: Keyring,
        ledger: Ledger,
        providers: Mapping[str, Provider],
        packs_directory: Path,
        copies_min: int,
    ) -> None:
        self._catalog = catalog
        self._keyring = keyring
        self._ledger = ledger
        self._providers = providers
        self._packs_directory = packs_directory
        self._copies_min = copies_min
        self._site_at: set[str] = set()  # providers that were given the site key since the start
        self._away: set[str] = set()  # providers that failed in this round

    async def round(self) -> int:
        """Replicate a batch of packs and return how many copies were made, or packs moved without.

        A provider that is away is asked once a round, and holds up no other one.
        """
        self._away.clear()
        for provider in self._providers.values():
            try:
                await self._site(provider)
            except FileroomError as error:  # no pack can be opened there without it
                log.error("provider %s has not the site key: %s", provider.name, error)
                self._away.add(provider.name)
        packs = await asyncio.to_thread(
            self._catalog.packs, state=PackState.SEALED, limit=PACKS_LOOKED_AT
        )
        done = 0
        for pack in packs:
            done += await self._pack(pack)
            if done >= PACKS_A_ROUND:
                return done
        for provider in self._providers.values():
            done += await self._behind(provider)
        return done

    async def _pack(self, pack: PackRow) -> int:
        copies = await asyncio.to_thread(self._catalog.copies, pack.number)
        states = {copy.provider: copy.state for copy in copies}
        done, there = 0, 0
        for name, provider in self._providers.items():
            if states.get(name) in THERE:
                there += 1
                continue
            if states.get(name) is None:
                # What is owed stands in the catalog before the pack may move on without it.
                await self._move(pack, provider, None, CopyState.PENDING)
            if name in self._away:
                continue
            try:
                await self._key(pack.study_key_id, provider)
                await self._copy(pack, provider, states.get(name) or CopyState.PENDING)
                done, there = done + 1, there + 1
            except (TransientError, UncertainError) as error:
                log.warning("pack %d waits for provider %s: %s", pack.number, name, error)
                self._away.add(name)
            except (IntegrityError, RefusedError) as error:
                log.critical("pack %d cannot go to provider %s: %s", pack.number, name, error)
                await self._fail(pack, provider)
                return 1
        if there < self._copies_min:
            return done
        # Commit point of REPLICATED. A crash before it repeats the round; every put is of a name
        # that says its content, so a repeated one finds the object there.
        await asyncio.to_thread(
            self._catalog.set_pack_state, pack.number, PackState.SEALED, PackState.REPLICATED
        )
        return done or 1

    async def _behind(self, provider: Provider) -> int:
        """Bring a provider the copies that packs have moved on without."""
        owed = await asyncio.to_thread(
            self._catalog.unverified_copies,
            provider.name,
            CopyState.PENDING,
            limit=PACKS_LOOKED_AT,
        )
        numbers = [each.pack for each in owed]
        packs = await asyncio.to_thread(self._catalog.packs, numbers=numbers, limit=len(numbers))
        done = 0
        for pack in packs:
            if provider.name in self._away or done >= PACKS_A_ROUND:
                break
            if pack.state not in (PackState.SEALED, PackState.AT_RISK) and pack.local:
                try:
                    await self._key(pack.study_key_id, provider)
                    await self._copy(pack, provider, CopyState.PENDING)
                    done += 1
                except FileroomError as error:
                    log.warning("pack %d waits for %s: %s", pack.number, provider.name, error)
                    self._away.add(provider.name)
        return done

    async def _site(self, provider: Provider) -> None:
        """Put the wrapped site key: the bucket and a passphrase must be enough to open it.

        Once at each start, which finds out whether it is still there, and again where it was
        found not to be.
        """
        held = await self._key_states(SITE_KEY, provider)
        if provider.name in self._site_at and THERE.issuperset(held.values()):
            return
        call = Call(Lane.NEW, PURPOSE)
        for name, data in await asyncio.to_thread(self._keyring.site_objects):
            sha256 = hashlib.sha256(data).digest()
            if sha256.hex() not in name:
                continue  # it has rotted here; under its name only its own bytes may lie
            generation, state = _generation(name), held.get(_generation(name))
            try:
                found = await put(
                    provider, name, data, sha256=sha256, size_bytes=len(data), call=call
                )
            except IntegrityError:
                if state in THERE:
                    await self._move_key(SITE_KEY, generation, provider, state, CopyState.SUSPECT)
                raise
            if state in THERE and found is Put.CREATED:
                log.critical("the site key was gone from %s and is put there again", provider.name)
                await self._move_key(SITE_KEY, generation, provider, state, CopyState.LOST)
                state = CopyState.LOST
            await self._key_is_there(SITE_KEY, generation, provider, state)
        self._site_at.add(provider.name)

    async def _key(self, study_key_id: bytes, provider: Provider) -> None:
        """Put the study key's objects, each read back before it counts: they go before packs."""
        call = Call(Lane.NEW, PURPOSE, study_key_id.hex())
        held = await self._key_states(study_key_id, provider)
        for name, data in await asyncio.to_thread(self._keyring.key_object, study_key_id):
            state = held.get(_generation(name))
            if state in THERE:
                continue
            sha256 = hashlib.sha256(data).digest()
            await put(provider, name, data, sha256=sha256, size_bytes=len(data), call=call)
            await self._key_is_there(study_key_id, _generation(name), provider, state)

    async def _key_states(self, owner: bytes, provider: Provider) -> dict[int, CopyState]:
        """How far each generation of a wrapped key has come at `provider`."""
        copies = await asyncio.to_thread(self._catalog.key_copies, owner)
        return {each.generation: each.state for each in copies if each.provider == provider.name}

    async def _key_is_there(
        self, owner: bytes, generation: int, provider: Provider, state: CopyState | None
    ) -> None:
        """Note that a key object was put, or found where it had been put before."""
        if state in THERE:
            return
        if state in (CopyState.SUSPECT, CopyState.LOST):
            await self._move_key(owner, generation, provider, state, CopyState.PENDING)
            state = CopyState.PENDING
        await self._move_key(owner, generation, provider, state, CopyState.REPLICATED)

    async def _move_key(
        self,
        owner: bytes,
        generation: int,
        provider: Provider,
        from_: CopyState | None,
        to: CopyState,
    ) -> None:
        await asyncio.to_thread(
            self._catalog.set_key_copy, owner, generation, provider.name, from_, to
        )

    async def _copy(self, pack: PackRow, provider: Provider, state: CopyState) -> None:
        name = object_name(pack.study_key_id, pack.sha256)
        path = local_path(self._packs_directory, pack.study_key_id, pack.sha256)
        if state in (CopyState.SUSPECT, CopyState.LOST):
            await self._move(pack, provider, state, CopyState.PENDING)
        call = Call(Lane.NEW, PURPOSE, pack.study_key_id.hex())
        await put(provider, name, path, sha256=pack.sha256, size_bytes=pack.size_bytes, call=call)
        await self._move(pack, provider, CopyState.PENDING, CopyState.REPLICATED)
        tell(self._ledger, event.Replicated(pack=name, provider=provider.name))

    async def _fail(self, pack: PackRow, provider: Provider) -> None:
        """Neither the pack's file nor what lies under its name at the provider can be trusted
        by itself: nothing is evicted, and a person or repair decides."""
        await asyncio.to_thread(
            self._catalog.set_pack_state, pack.number, PackState.SEALED, PackState.AT_RISK
        )
        name = object_name(pack.study_key_id, pack.sha256)
        state = str(CopyState.PENDING)
        tell(self._ledger, event.CopyFailed(pack=name, provider=provider.name, state=state))

    async def _move(
        self, pack: PackRow, provider: Provider, from_: CopyState | None, to: CopyState
    ) -> None:
        await asyncio.to_thread(self._catalog.set_copy, pack.number, provider.name, from_, to)


def _generation(name: str) -> int:
    parsed = parse_name(name)
    assert parsed is not None, "the keyring names its own objects"
    return parsed.generation


async def put(
    provider: Provider,
    name: str,
    source: Path | bytes,
    *,
    sha256: bytes,
    size_bytes: int,
    call: Call,
) -> Put:
    """Put an object that is there for certain when this returns (invariant 3).

    Returns:
        EXISTED where it was there before, as far as is known.

    Raises:
        TransientError: it is not there; try again at the next round.
        IntegrityError: other bytes lie under the name.
    """
    try:
        return await provider.put_if_absent(name, source, sha256=sha256, call=call)
    except UncertainError as error:
        log.warning("the answer to a put was lost: %s", error)
    found = await provider.stat(name, call=call)
    verdict = readback.after_uncertain_put(
        found_size_bytes=None if found is None else found.size_bytes, size_bytes=size_bytes
    )
    if verdict is readback.Verdict.READ and found is not None:
        digest, _ = await provider.digest(name, call=call)
        verdict = readback.after_digest(found=digest, expected=sha256)
    if verdict is readback.Verdict.RETRY:
        raise TransientError("the put left nothing behind")
    if verdict is readback.Verdict.CORRUPT:
        raise IntegrityError(f"other bytes than the {size_bytes} B put lie under the name")
    return Put.CREATED
