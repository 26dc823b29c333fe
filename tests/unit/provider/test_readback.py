"""After a put whose answer was lost: one object in the end, whatever happened."""

import hashlib
from typing import Literal

import pytest

from conform.memory_provider import MemoryProvider
from fileroom.errors import UncertainError
from fileroom.provider.port import Call, Lane, Put
from fileroom.provider.readback import Verdict, after_digest, after_uncertain_put

CALL = Call(Lane.NEW, "test")
DATA = b"data"
SHA256 = hashlib.sha256(DATA).digest()


def test_nothing_there_means_again_and_the_size_alone_never_means_created() -> None:
    assert after_uncertain_put(found_size_bytes=None, size_bytes=4) is Verdict.RETRY
    assert after_uncertain_put(found_size_bytes=4, size_bytes=4) is Verdict.READ
    assert after_uncertain_put(found_size_bytes=3, size_bytes=4) is Verdict.CORRUPT
    assert after_uncertain_put(found_size_bytes=0, size_bytes=4) is Verdict.CORRUPT
    assert after_uncertain_put(found_size_bytes=0, size_bytes=0) is Verdict.READ


def test_the_bytes_decide() -> None:
    assert after_digest(found=SHA256, expected=SHA256) is Verdict.CREATED
    assert after_digest(found=bytes(32), expected=SHA256) is Verdict.CORRUPT


async def settled(provider: MemoryProvider) -> tuple[Verdict, int]:
    """Put until it is known to be there; the last verdict and how many puts it took."""
    for attempt in range(1, 5):
        try:
            await provider.put_if_absent("packs/a", DATA, sha256=SHA256, call=CALL)
            return Verdict.CREATED, attempt
        except UncertainError:
            found = await provider.stat("packs/a", call=CALL)
        verdict = after_uncertain_put(
            found_size_bytes=found.size_bytes if found else None, size_bytes=len(DATA)
        )
        if verdict is Verdict.READ:
            digest = await provider.digest("packs/a", call=CALL)
            verdict = after_digest(found=digest.sha256, expected=SHA256)
        if verdict is not Verdict.RETRY:
            return verdict, attempt
    raise AssertionError("never settled")


@pytest.mark.parametrize(
    ("faults", "puts"),
    [(["before"], 2), (["after"], 1), (["before", "after"], 2), (["before", "before"], 3)],
)
async def test_a_put_whose_answer_is_lost_ends_as_one_object(
    faults: list[Literal["before", "after"]], puts: int
) -> None:
    provider = MemoryProvider()
    provider.lose_answers(*faults)
    assert await settled(provider) == (Verdict.CREATED, puts)
    assert provider.objects == {"packs/a": DATA}


@pytest.mark.parametrize("damaged", [b"dat", b"dat\0"])
async def test_other_bytes_are_never_taken_for_ours(damaged: bytes) -> None:
    provider = MemoryProvider()
    provider.lose_answers("before")
    provider.objects["packs/a"] = damaged
    assert (await settled(provider))[0] is Verdict.CORRUPT


async def test_the_fake_refuses_to_rewrite_an_object() -> None:
    provider = MemoryProvider()
    assert await provider.put_if_absent("packs/a", DATA, sha256=SHA256, call=CALL) is Put.CREATED
    await provider.delete_object("packs/a", call=CALL)
    other = hashlib.sha256(b"other").digest()
    with pytest.raises(AssertionError, match="written before"):
        await provider.put_if_absent("packs/a", b"other", sha256=other, call=CALL)
    with pytest.raises(AssertionError, match="purpose"):
        await provider.stat("packs/a", call=Call(Lane.NEW, ""))
