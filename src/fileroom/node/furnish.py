"""Furnish: every bucket holds what a stranger needs to read it, a page and one program."""

import hashlib
from collections.abc import Iterable
from importlib import resources

from fileroom.errors import FileroomError, TransientError, UncertainError
from fileroom.provider.port import Call, DifferentObjectError, Lane, Provider

CALL = Call(Lane.NEW, "furnish", "")


async def furnish(providers: Iterable[Provider]) -> None:
    """Put README.txt and unpack.py to each provider. What an earlier release put there stays.

    Raises:
        TransientError, UncertainError: not at every provider yet; call again.
    """
    failed: FileroomError | None = None
    for provider in providers:
        try:
            await _furnish(provider)
        except (TransientError, UncertainError) as error:
            failed = error  # the others shall not wait for this one
    if failed is not None:
        raise failed


async def _furnish(provider: Provider) -> None:
    for name, data in belongings().items():
        sha256 = hashlib.sha256(data).digest()
        try:
            await provider.put_if_absent(name, data, sha256=sha256, call=CALL)
        except DifferentObjectError:
            continue  # an earlier release's, which reads what was written then


def belongings() -> dict[str, bytes]:
    """Names and bytes of what lies in every bucket beside the archive itself."""
    return {
        "README.txt": resources.files("fileroom.node").joinpath("bucket_readme.txt").read_bytes(),
        "unpack.py": resources.files("fileroom.pack").joinpath("unpack.py").read_bytes(),
    }
