"""Who a caller is, as far as this node can tell."""

import ipaddress
from functools import lru_cache
from typing import NamedTuple

ADDRESS = "address"

LOOPBACK = "loopback"
NETWORK = "network"
UNKNOWN = "unknown"


class Principal(NamedTuple):
    """A caller.

    Attributes:
        kind: how it was recognised; "address" is by nothing but where it calls from.
        name: what the ledger calls it; one name is one principal.
        address: where it calls from, as the socket or a trusted proxy said.
        ae_title: the calling AE title it claims (DIMSE only). A claim, not a proof: nothing is
            granted for it.
    """

    kind: str
    name: str
    address: str
    ae_title: str | None


def of_address(address: str, *, ae_title: str | None = None) -> Principal:
    """The principal that calls from `address` and proves nothing else."""
    return Principal(ADDRESS, address, address, ae_title)


def place(principal: Principal) -> str:
    """Where a principal calls from: "loopback", "network", or "unknown".

    An address may carry an IPv6 scope (`fe80::1%eth0`) or be IPv4 mapped into IPv6
    (`::ffff:127.0.0.1`). What is no IP address, a Unix socket's name for one, is unknown, and so
    is a principal recognised in a way that this version does not have.
    """
    return _place(principal.address) if principal.kind == ADDRESS else UNKNOWN


@lru_cache(maxsize=1024)
def _place(address: str) -> str:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return UNKNOWN
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return LOOPBACK if ip.is_loopback else NETWORK
