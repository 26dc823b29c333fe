"""Ending what is done for a caller who has gone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fileroom.http.refusals import DisconnectedError
from fileroom.http.request import Receive

WATCH_AFTER_S = 0.25  # what is answered sooner is not worth a task


@asynccontextmanager
async def while_connected(receive: Receive) -> AsyncIterator[None]:
    """Cancel the body, wherever it waits, once the caller hangs up.

    The server drops in silence what is sent to nobody, so that a study would be read to its end.
    For requests without a body only: its messages would be taken away from who reads it.

    Raises:
        DisconnectedError: the caller hung up, and the body has ended by it.
    """
    loop = asyncio.get_running_loop()
    watch: asyncio.Task[None] | None = None

    async def watching() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        given.reschedule(loop.time())

    def begin() -> None:
        nonlocal watch
        watch = loop.create_task(watching())

    later = loop.call_later(WATCH_AFTER_S, begin)
    try:
        async with asyncio.timeout(None) as given:
            yield
    except TimeoutError:
        if given.expired():
            raise DisconnectedError("the caller hung up") from None
        raise
    finally:
        later.cancel()
        if watch is not None:
            watch.cancel()
