"""Small messages without Nagle's algorithm: our own, and those of peers that leave it on."""

import asyncio
import socket
from contextlib import suppress

QUICK = getattr(socket, "TCP_QUICKACK", None)  # Linux; the kernel forgets it again
TCP = (socket.AF_INET, socket.AF_INET6)


def off(transport: asyncio.BaseTransport) -> None:
    """Send what we write at once."""
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.family in TCP:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def acknowledge(transport: asyncio.BaseTransport) -> None:
    """Acknowledge what has come so far, while we wait for the rest of an answer.

    Peers that write an answer in two pieces and leave the algorithm on, as DCMTK's do, send the
    second one when the first is acknowledged; and a kernel that has nothing to send keeps that for
    40 ms. Each answer would cost as much.
    """
    connection = transport.get_extra_info("socket")
    if QUICK is not None and connection is not None and connection.family in TCP:
        with suppress(OSError):  # the connection is gone, and whoever reads is told so
            connection.setsockopt(socket.IPPROTO_TCP, QUICK, 1)
