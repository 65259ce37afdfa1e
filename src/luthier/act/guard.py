"""Which hosts may be reached: an allow-list of names, and no private address behind any of them.

Addresses are checked where the connection is made, and the one that was checked is the one connected to: a name
that answers with another address a moment later gains nothing.
"""

import ipaddress
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpcore

from luthier.act.tool import CallError

PORTS = {"http": 80, "https": 443}
NAT64 = ipaddress.ip_network("64:ff9b::/96")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Guard:
    """What may be reached."""

    hosts: tuple[str, ...]
    """`name`, `name:port`, or `*.name` for what is below it; without a port, the usual one of the scheme."""
    allow_private: bool = False
    """Whether private, loopback and link-local addresses may be reached."""

    def check(self, url: str) -> None:
        """Raise CallError if an address is none of http or https, or its host is not on the list."""
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower().rstrip("."), parts.port or PORTS.get(parts.scheme, 0)
        except ValueError as error:
            raise CallError(f"the address cannot be read: {error}", where=url[:200], mend="mend the address") from None
        if parts.scheme not in PORTS or not host or "@" in parts.netloc:
            raise CallError(
                "the address is no plain http:// or https:// one", where=url[:200], mend="use an http or https address"
            )
        if not any(_matches(allowed, host, port, PORTS[parts.scheme]) for allowed in self.hosts):
            raise CallError(
                f"the host {host}:{port} is not on the list",
                where=url[:200],
                mend=f"only a person can add it to allow_hosts; on the list: {', '.join(self.hosts) or 'none'}",
            )

    def addresses(self, host: str, port: int) -> list[str]:
        """Give the addresses of a name. Raises CallError if it has none, or if one of them may not be reached."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise CallError(
                f"{host} has no address: {error}", where=host, mend="see whether the name is right"
            ) from None
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        for address in addresses:
            if not self.allow_private and not is_public(ipaddress.ip_address(address.partition("%")[0])):
                raise CallError(
                    f"{host} has the address {address}, which is not public",
                    where=host,
                    mend="only a person can allow it, with allow_private=true",
                )
        return addresses


def _matches(allowed: str, host: str, port: int, usual: int) -> bool:
    name, bracket, rest = allowed.lower().partition("]") if allowed.startswith("[") else ("", "", "")
    if bracket:  # [::1]:8080
        name, given = name[1:], rest.removeprefix(":")
    else:
        name, _, given = allowed.lower().partition(":")
    if port != (int(given) if given.isdigit() else usual):
        return False
    return host.endswith(name[1:]) and host != name[2:] if name.startswith("*.") else host == name.rstrip(".")


def is_public(address: Address) -> bool:
    """Whether an address is one of the open internet, also what an IPv6 address carries of IPv4 within it."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if address in NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast


class GuardedNetwork(httpcore.NetworkBackend):
    """Connects to checked addresses only."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._network = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of a name that answers."""
        failed: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        for address in self._guard.addresses(host, port):
            try:
                return self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed or httpcore.ConnectError(f"{host} has no address")

    def sleep(self, seconds: float) -> None:
        """Wait."""
        self._network.sleep(seconds)


def open_pool(guard: Guard) -> httpcore.ConnectionPool:
    """Give connections that reach what the guard allows, and no proxy."""
    context = ssl.create_default_context()
    return httpcore.ConnectionPool(ssl_context=context, network_backend=GuardedNetwork(guard), max_connections=4)
