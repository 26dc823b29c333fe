"""Who calls, by which host name, and from which web page."""

import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache

from fileroom.access.identity import Principal, of_address
from fileroom.http.refusals import BadRequestError, ForbiddenError, MisdirectedError
from fileroom.http.request import Scope, header_of

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,255})(?::[0-9]{1,5})?")


class Callers:
    """Names callers from their connections.

    Args:
        trusted_proxies: addresses and networks whose X-Forwarded-* fields are believed.
        host_names: names, besides bare addresses, by which callers may reach this node directly.
            A page of another site can make its own name point here and then read our answers as
            its own; such a request carries that name, and is refused.
        cors_origins: origins of pages that may read answers, as "https://viewer.example".
    """

    def __init__(
        self,
        *,
        trusted_proxies: Iterable[str],
        host_names: Iterable[str],
        cors_origins: Iterable[str],
    ) -> None:
        self._proxies = [ipaddress.ip_network(each) for each in trusted_proxies]
        self._host_names = {name.lower() for name in host_names}
        self._cors_origins = frozenset(cors_origins)

    def principal(self, scope: Scope) -> Principal:
        """The caller: the connection's address, or what a trusted proxy says of it."""
        peer = _peer(scope)
        if self._is_proxy(peer):
            peer = self._forwarded(scope, peer)
        return of_address(peer)

    def origin(self, scope: Scope) -> str:
        """Scheme, host and port by which the caller reached us, as "http://127.0.0.1:8642".

        Raises:
            BadRequestError: there is no usable Host field.
            MisdirectedError: it is a name we do not answer for.
        """
        proxied = self._is_proxy(_peer(scope))
        host = (proxied and header_of(scope, b"x-forwarded-host")) or header_of(scope, b"host")
        matched = _HOST.fullmatch(host or "")
        if host is None or matched is None:
            raise BadRequestError("the request names no host")
        if not proxied:
            self._check_host(matched.group(1).lower())
        said = (proxied and header_of(scope, b"x-forwarded-proto")) or scope["scheme"]
        scheme = "https" if said == "https" else "http"
        if not proxied and host == matched.group(1):
            host += _port_left_out(scope, host.lower(), scheme)
        return f"{scheme}://{host}"

    def cors(self, scope: Scope, own: str) -> list[tuple[bytes, bytes]]:
        """Header fields for a page of another origin; none where there is no such page.

        Raises:
            ForbiddenError: a page that may not read answers sends data.
        """
        origin = header_of(scope, b"origin")
        if origin is None or origin == own:
            return []
        if origin in self._cors_origins:
            return [
                (b"access-control-allow-origin", origin.encode("latin-1")),
                (b"access-control-expose-headers", b"*"),
                (b"vary", b"origin"),
            ]
        if scope["method"] not in ("GET", "HEAD"):
            raise ForbiddenError("pages of this origin may not send anything here")
        return []

    def _check_host(self, host: str) -> None:
        if host in self._host_names or host.startswith("["):
            return
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            raise MisdirectedError("this node does not answer for that host name") from None

    def _is_proxy(self, peer: str) -> bool:
        if not self._proxies:
            return False
        address = _address(peer)
        return address is not None and any(address in each for each in self._proxies)

    def _forwarded(self, scope: Scope, peer: str) -> str:
        """The last address in X-Forwarded-For that no trusted proxy stands for: what is left of
        it, the caller may have made up."""
        for each in reversed((header_of(scope, b"x-forwarded-for") or "").split(",")):
            address = _address(each.strip(" \t"))
            if address is None:
                return ""
            peer = str(address)
            if not any(address in each for each in self._proxies):
                break
        return peer


def _port_left_out(scope: Scope, host: str, scheme: str) -> str:
    """The port of our socket where a caller left it out of Host, as dicomweb-client does.

    Without one, Host means port 80; that may be true behind a port that is mapped to ours, but
    then the socket's own address is not the one in Host.
    """
    address, port = scope.get("server") or ("", None)
    own = {str(address).lower(), f"[{address}]".lower()}
    if host in own or (host == "localhost" and address in ("127.0.0.1", "::1")):
        return "" if port in (None, {"http": 80, "https": 443}[scheme]) else f":{port}"
    return ""


def _peer(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""


@lru_cache(maxsize=1024)
def _address(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
