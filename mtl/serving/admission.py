"""Who may call the endpoint, and how much of it one caller may hold while others wait."""

from __future__ import annotations

import ipaddress
import socket
from collections import Counter
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from urllib.parse import urlsplit

from mtl.serving.limits import Limits, Refused


def allowed_hosts(listens: str, further: str) -> frozenset[str]:
    """Names under which the endpoint is called; addresses are always taken, for no web page can make a name of its own
    lead to them.

    Args:
        listens: the address that it listens on.
        further: names, with commas.
    """
    own = ["localhost", listens, *([] if _is_address(listens) else [socket.gethostname()])]
    own += [socket.gethostname()] if listens in ("0.0.0.0", "::") else []  # looked for, not bound
    return frozenset(name.strip().lower() for name in (*own, *further.split(",")) if name.strip())


def refuse_stranger(headers: Iterable[tuple[str, str]], allowed: frozenset[str]) -> None:
    """Nothing, of a request under one of our names, and from no other's page.

    Raises:
        Refused: a web page may have made a name of its own lead here, or calls from elsewhere.
    """
    given = dict(headers)
    host, origin = given.get("host", ""), given.get("origin", "")
    if not _is_ours(f"//{host}", allowed):
        fix = "call it by its address or a name in MTL_ENDPOINT_HOSTS"
        raise Refused(421, "this host name is not the endpoint's", found=host[:100], fix=fix)
    if origin and not _is_ours(origin, allowed):
        fix = "call it from its own page, from a program, or from a name in MTL_ENDPOINT_HOSTS"
        raise Refused(403, "another web page's requests are not taken", found=origin[:100], fix=fix)


def _is_ours(url: str, allowed: frozenset[str]) -> bool:
    try:
        name = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return name.rstrip(".").lower() in allowed or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Admission:
    """What all callers hold at this time, of something that there is only so much of."""

    def __init__(self, what: str, most: int, limits: Limits) -> None:
        self._what, self._most, self._share = what, most, int(most * limits.share)
        self._total = 0
        self._by_caller = Counter[str]()

    @contextmanager
    def held(self, caller: str) -> Generator[Holding]:
        """While it lasts, what is taken counts."""
        holding = Holding(self, caller)
        try:
            yield holding
        finally:
            self._take(caller, -holding.number)

    def _take(self, caller: str, number: int) -> None:
        self._total += number
        self._by_caller[caller] += number
        if not self._by_caller[caller]:
            del self._by_caller[caller]

    def take(self, caller: str, number: int) -> None:
        """Take more.

        Raises:
            Refused: there is not enough for all, or for this caller.
        """
        mine = self._by_caller[caller] + number
        if self._total + number > self._most or (mine > self._share and mine > number):
            found = f"{self._total} {self._what} held, {self._by_caller[caller]} of them by this caller"
            fix = f"wait a second, and ask again: {self._most} are allowed, {self._share} a caller"
            raise Refused(503, "the endpoint is busy", found=found, fix=fix)
        self._take(caller, number)


class Holding:
    """What one request holds."""

    def __init__(self, of: Admission, caller: str) -> None:
        self._of, self._caller, self.number = of, caller, 0

    def more(self, number: int) -> None:
        """Take more of it.

        Raises:
            Refused: there is not enough.
        """
        self._of.take(self._caller, number)
        self.number += number
