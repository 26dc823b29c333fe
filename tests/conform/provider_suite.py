"""What every provider does. A subclass gives the fixture `provider`."""

import asyncio
import hashlib
from pathlib import Path

import pytest

from fileroom.provider.port import (
    Call,
    DifferentObjectError,
    Lane,
    NameRefusedError,
    NotThereError,
    Provider,
    Put,
    SourceChangedError,
)

CALL = Call(Lane.NEW, "test", "00ff")
NAME = "packs/00ff/abc"
BAD_NAMES = [
    "",
    "/",
    "/packs/a",
    "packs/",
    "packs//a",
    ".",
    "..",
    "../a",
    "packs/../a",
    "packs/./a",
    ".incoming/a",
    "packs/.hidden",
    "packs/a.",
    "packs/a b",
    "packs/a\0b",
    "packs/a\nb",
    "packs\\a",
    "packs/ä",
    "packs/ａ",
    "C:/a",
    "packs/a\N{COMBINING ACUTE ACCENT}",
    "packs/" + "a" * 129,
    "/".join(["a"] * 300),
]


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


async def put(provider: Provider, name: str, data: bytes) -> Put:
    return await provider.put_if_absent(name, data, sha256=sha256(data), call=CALL)


async def names(provider: Provider, prefix: str, after: str = "") -> list[str]:
    return [each.name async for each in provider.list(prefix, call=CALL, after=after)]


class ProviderSuite:
    """Run by every adapter and every fake."""

    @pytest.mark.parametrize("size_bytes", [0, 1, 4096, 1_048_576, 3_000_001])
    async def test_what_was_put_is_there_bit_for_bit(
        self, provider: Provider, size_bytes: int
    ) -> None:
        data = (b"0123456789abcdef" * (size_bytes // 16 + 1))[:size_bytes]
        assert await put(provider, NAME, data) is Put.CREATED
        assert await provider.get(NAME, 0, size_bytes, call=CALL) == data
        assert await provider.digest(NAME, call=CALL) == (sha256(data), size_bytes)
        found = await provider.stat(NAME, call=CALL)
        assert found is not None
        assert (found.name, found.size_bytes) == (NAME, size_bytes)
        assert found.modified_ns > 0

    async def test_a_file_is_put_like_bytes(self, provider: Provider, tmp_path: Path) -> None:
        data = b"x" * 2_500_000
        (tmp_path / "source").write_bytes(data)
        created = await provider.put_if_absent(
            NAME, tmp_path / "source", sha256=sha256(data), call=CALL
        )
        assert created is Put.CREATED
        assert await provider.digest(NAME, call=CALL) == (sha256(data), len(data))

    async def test_the_same_bytes_again_are_told_as_existing(self, provider: Provider) -> None:
        assert await put(provider, NAME, b"data") is Put.CREATED
        assert await put(provider, NAME, b"data") is Put.EXISTED

    @pytest.mark.parametrize("other", [b"DATA", b"longer data", b""])
    async def test_other_bytes_under_the_name_are_refused_and_change_nothing(
        self, provider: Provider, other: bytes
    ) -> None:
        await put(provider, NAME, b"data")
        with pytest.raises(DifferentObjectError):
            await put(provider, NAME, other)
        assert await provider.get(NAME, 0, 100, call=CALL) == b"data"

    async def test_bytes_that_are_not_those_announced_are_not_put(
        self, provider: Provider, tmp_path: Path
    ) -> None:
        (tmp_path / "source").write_bytes(b"changed")
        for source in (b"changed", tmp_path / "source"):
            with pytest.raises(SourceChangedError):
                await provider.put_if_absent(NAME, source, sha256=sha256(b"data"), call=CALL)
        assert await provider.stat(NAME, call=CALL) is None
        assert await names(provider, "") == []

    async def test_of_many_puts_at_once_one_creates(self, provider: Provider) -> None:
        answers = await asyncio.gather(*[put(provider, NAME, b"data") for _ in range(12)])
        assert sorted(answer.value for answer in answers) == ["created"] + ["existed"] * 11
        assert await names(provider, "") == [NAME]

    async def test_a_range_ends_with_the_object(self, provider: Provider) -> None:
        await put(provider, NAME, b"0123456789")
        for start, end in ((0, 10), (3, 5), (9, 10), (4, 4), (5, 99), (10, 20), (50, 60)):
            assert await provider.get(NAME, start, end, call=CALL) == b"0123456789"[start:end]

    async def test_what_is_not_there_is_told(self, provider: Provider) -> None:
        await put(provider, NAME, b"data")
        for name in ("packs/00ff/abd", "packs/00ff", "packs", f"{NAME}/below"):
            assert await provider.stat(name, call=CALL) is None
            with pytest.raises(NotThereError):
                await provider.get(name, 0, 1, call=CALL)
            with pytest.raises(NotThereError):
                await provider.digest(name, call=CALL)

    async def test_a_deleted_object_is_gone_and_deleting_again_is_no_error(
        self, provider: Provider
    ) -> None:
        await put(provider, NAME, b"data")
        await put(provider, NAME + "d", b"stays")
        for _ in range(2):
            await provider.delete_object(NAME, call=CALL)
            assert await provider.stat(NAME, call=CALL) is None
        assert await names(provider, "packs/") == [NAME + "d"]
        assert await put(provider, NAME, b"data") is Put.CREATED

    async def test_a_listing_is_in_order_of_name_and_goes_on_after_any(
        self, provider: Provider
    ) -> None:
        # "-" and "." sort before "/", "0" behind it.
        given = ["a/b", "a-c", "a.d", "a0", "a/b0/c", "a/b-c", "b", "A/z", "a/b0/-", "README.txt"]
        for name in given:
            await put(provider, name, name.encode())
        assert await names(provider, "") == sorted(given)
        for prefix in ("a", "a/", "a/b", "a/b0/", "a/b0", "z", "READ", "b/"):
            wanted = sorted(name for name in given if name.startswith(prefix))
            assert await names(provider, prefix) == wanted
        for after in (*given, "a", "a/b0", "zz", "a/b0/a"):
            wanted = sorted(name for name in given if name > after)
            assert await names(provider, "", after) == wanted

    async def test_a_listing_tells_sizes(self, provider: Provider) -> None:
        await put(provider, NAME, b"12345")
        assert [each.size_bytes async for each in provider.list("", call=CALL)] == [5]

    async def test_the_checkpoint_is_replaced_and_nothing_else_is(self, provider: Provider) -> None:
        checkpoint = "ledger/site-1/checkpoint"
        for data in (b"one", b"two and longer", b""):
            await provider.replace(checkpoint, data, call=CALL)
            assert await provider.get(checkpoint, 0, 100, call=CALL) == data
        for name in (NAME, "ledger/checkpoint", "ledger/a/b/checkpoint", "ledger/a/checkpoint2"):
            with pytest.raises(NameRefusedError):
                await provider.replace(name, b"data", call=CALL)
        assert await names(provider, "") == [checkpoint]

    @pytest.mark.parametrize("name", BAD_NAMES)
    async def test_a_name_outside_the_grammar_is_refused_by_every_method(
        self, provider: Provider, name: str
    ) -> None:
        for call in (
            put(provider, name, b"data"),
            provider.get(name, 0, 1, call=CALL),
            provider.stat(name, call=CALL),
            provider.delete_object(name, call=CALL),
            provider.replace(name, b"data", call=CALL),
            provider.digest(name, call=CALL),
        ):
            with pytest.raises(NameRefusedError):
                await call
        assert await names(provider, "") == []

    @pytest.mark.parametrize("prefix", ["..", "a/../", ".incoming", "a/.", "a b", "ä"])
    async def test_a_prefix_that_no_name_has_is_refused(
        self, provider: Provider, prefix: str
    ) -> None:
        with pytest.raises(NameRefusedError):
            await names(provider, prefix)
