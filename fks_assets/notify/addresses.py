"""Which addresses messages may go to: https to public hosts; a setting allows loopback, for tests and nothing else."""

import asyncio
import ipaddress
import re
import socket
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult

from fks_assets.errors import InvalidInput

_NAME = re.compile(r"(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE)
_LOCAL_NAMES = ("localhost", "local", "internal", "intranet", "lan", "home", "corp", "localdomain")
_EMBEDDED = (
    # An IPv4 address in the last 32 bits, or behind the prefix of 6to4.
    (ipaddress.ip_network("64:ff9b::/96"), 0),
    (ipaddress.ip_network("64:ff9b:1::/48"), 0),
    (ipaddress.ip_network("::/96"), 0),
    (ipaddress.ip_network("2002::/16"), 80),
)


def check_url(url: str, *, loopback: bool = False, hosts: tuple[str, ...] = ()) -> str:
    """Return the host of an address that messages may go to.

    Raises InvalidInput, in words without the address, unless it is https to a public host (one of `hosts`, if any are given)
    without a user in it; `loopback` allows http and https to 127.0.0.1, ::1 and localhost as well.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise InvalidInput("the address cannot be read") from None
    if url != url.strip() or any(each.isspace() or not each.isprintable() for each in url) or "\\" in url:
        raise InvalidInput("the address has spaces, control characters or backslashes in it")
    if "@" in parts.netloc:
        raise InvalidInput("the address has a user in it")
    if loopback and parts.scheme in ("http", "https") and _is_loopback_name(host):
        return host
    if parts.scheme != "https":
        raise InvalidInput(f"the address begins with {parts.scheme or 'nothing'}: it should be https")
    literal = _literal(host)
    if literal is not None:
        if not is_public(literal):
            raise InvalidInput(f"{host} is not a public address")
    elif not _NAME.fullmatch(host) or host.lower().rsplit(".", 1)[-1] in _LOCAL_NAMES:
        # Also numbers that a resolver would take for an address: 2130706433, 0x7f.1, 127.1.
        raise InvalidInput(f"{host[:60]!r} is not the name of a public host")
    if hosts and host.lower() not in hosts:
        raise InvalidInput(f"{host} is not one of {', '.join(hosts)}")
    return host


def is_public(address: str) -> bool:
    """Return whether an IP address is one of the public internet, also the one that is wrapped inside it."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return is_public(str(found.ipv4_mapped))
        for network, shift in _EMBEDDED:
            if found in network:
                inner = ipaddress.IPv4Address((int(found) >> shift) & 0xFFFFFFFF)
                return found.is_global and is_public(str(inner))
        if found.teredo is not None:
            return False
    return found.is_global and not found.is_multicast and not found.is_reserved


class PublicResolver(AbstractResolver):
    """Resolves a name once for each connection and refuses it if any of its addresses is not public.

    The connection goes to the addresses that were judged, so that an answer that changes meanwhile changes nothing.
    """

    def __init__(self, *, loopback: bool = False) -> None:
        self._loopback = loopback

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        """Return the addresses of a host. Raises OSError for a name that is unknown or leads to a place that is not public."""
        loop = asyncio.get_running_loop()
        infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family, flags=socket.AI_ADDRCONFIG)
        results: list[ResolveResult] = []
        for found_family, _, protocol, _, address in infos:
            ip = str(address[0])
            if not is_public(ip) and not (self._loopback and _is_loopback_name(host)):
                raise OSError(None, "its name leads to an address that is not public")
            results.append(
                ResolveResult(hostname=host, host=ip, port=port, family=found_family, proto=protocol, flags=socket.AI_NUMERICHOST)
            )
        return results

    async def close(self) -> None:
        """Nothing is held."""


def _literal(host: str) -> str | None:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None


def _is_loopback_name(host: str) -> bool:
    return host in ("127.0.0.1", "::1", "localhost")
