"""Where data may come from: kinds of stores that are known, and no server that only this machine can reach.

A machine in a cloud finds its own credentials under a link-local address; what listens on loopback trusts who is on it. An
address in a document, or where a server sends on to, must not lead there.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from mtl.errors import DataError

SCHEMES = ("http", "https", "s3", "s3a", "gs", "gcs", "abfs", "az")
LOCAL = "MTL_LOCAL_SERVERS"
"""Of the environment: 1 to read from servers of this machine and of the networks that no route leads to from outside."""


def refuse_url(url: str) -> None:
    """Nothing, of a path, or of a URL of a kind that is read.

    Raises:
        DataError: it is another, or a chain of several.
    """
    scheme, separator, _ = url.partition("://")
    if "::" in url.split("://", 1)[0] or (separator and scheme.lower() not in SCHEMES):
        raise DataError("this kind of URL is not read", found=url[:100], fix=f"a path, or one of {', '.join(SCHEMES)}")


def options(url: str) -> dict[str, Any]:
    """What fsspec needs to open it: of a web server, connections that lead nowhere else.

    Raises:
        DataError: it is of a kind that is not read, or leads to this machine.
    """
    refuse_url(url)
    if urlsplit(url).scheme.lower() not in ("http", "https"):
        return {}
    declared = _addresses(urlsplit(url).hostname or "")
    for address in declared:  # said here too, for fsspec takes any error for a missing file
        refuse_address(address, private=True)
    return {"get_client": _client(any(ipaddress.ip_address(address).is_private for address in declared))}


@lru_cache
def _client(private: bool) -> Any:
    """A function that makes fsspec's session, whose sockets are looked at before they connect: names may lead anywhere."""

    async def make(**given: Any) -> Any:
        import aiohttp

        def socket_of(address: Any) -> socket.socket:
            refuse_address(str(address[4][0]), private=private)
            family, kind, protocol = address[:3]
            return socket.socket(family, kind, protocol)

        given.setdefault("trust_env", False)
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(socket_factory=socket_of), **given)

    return make


def refuse_address(address: str, *, private: bool) -> None:
    """Nothing, of an address that data may come from.

    Args:
        private: whether the URL that was declared is of a private network.

    Raises:
        DataError: it is of this machine alone; or of a private network, and somebody else sent us there.
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    found = getattr(found, "ipv4_mapped", None) or found
    own = found.is_loopback or found.is_link_local or found.is_unspecified or found.is_multicast
    if os.environ.get(LOCAL) == "1" and not found.is_link_local:
        return
    if own or (found.is_private and not private):
        raise DataError(
            "a URL leads to a server of this machine or of a private network",
            found=address,
            fix=f"{LOCAL}=1 in the environment, if it is yours",
        )


def _addresses(host: str) -> list[str]:
    """Of a host; none if nobody knows it."""
    try:
        return [str(one[4][0]).partition("%")[0] for one in socket.getaddrinfo(host, None)]
    except (OSError, UnicodeError):
        return []
