"""Connections of the endpoint: one that does not finish a request's header is closed.

uvicorn waits for ever for the rest of a header, and every connection takes a file.
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from mtl.serving.limits import Limits


class Impatient(AutoHTTPProtocol):
    """A connection with a limit for each header."""

    def connection_made(self, transport: Any) -> None:
        """As uvicorn's, and the clock runs."""
        super().connection_made(transport)
        _check_later(self, None)


def _check_later(connection: Any, before: Any) -> None:
    connection.loop.call_later(Limits().header_seconds, _check, connection, before)


def _check(connection: Any, before: Any) -> None:
    """Close it if no request has begun since `before`, and none is being answered."""
    cycle = connection.cycle
    if connection.transport.is_closing():
        return
    if cycle is before and (cycle is None or cycle.response_complete):
        connection.transport.abort()
    else:
        _check_later(connection, cycle)
