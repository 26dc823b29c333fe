"""What is asked of a connection so that no small message waits for another."""

import socket
from types import SimpleNamespace

import pytest

from fileroom.peer import nagle


class Connection:
    def __init__(self, family: int, *, error: bool = False) -> None:
        self.family = family
        self.asked: list[tuple[int, int, int]] = []
        self._error = error

    def setsockopt(self, level: int, option: int, value: int) -> None:
        if self._error:
            raise OSError("gone")
        self.asked.append((level, option, value))


def transport(connection: Connection | None):
    return SimpleNamespace(get_extra_info=lambda name: connection if name == "socket" else None)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_connection_of_tcp_sends_and_acknowledges_at_once(family):
    connection = Connection(family)
    nagle.off(transport(connection))
    nagle.acknowledge(transport(connection))
    assert connection.asked == [
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1),
    ]


def test_other_connections_and_those_that_are_gone_are_left_alone():
    unix = Connection(socket.AF_UNIX)
    for each in (None, unix):
        nagle.off(transport(each))
        nagle.acknowledge(transport(each))
    assert unix.asked == []
    nagle.acknowledge(transport(Connection(socket.AF_INET, error=True)))
