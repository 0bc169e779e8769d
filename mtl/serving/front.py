"""In the process that Ray Serve accepts connections in: one that does not finish a request's header is closed.

Ray Serve calls `install` there (RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH). Its HTTP server, uvicorn, waits for ever for the
rest of a header, and every connection takes a file.
"""

from __future__ import annotations

from typing import Any

from mtl.serving.requests import Limits

CALLBACK = "mtl.serving.front.install"


def install() -> list[Any]:
    """Give every connection a limit; no middleware is added."""
    from uvicorn.protocols.http import h11_impl, httptools_impl

    for protocol in (h11_impl.H11Protocol, httptools_impl.HttpToolsProtocol):
        _limit(protocol, Limits().header_seconds)
    return []


def _limit(protocol: Any, seconds: float) -> None:
    made = protocol.connection_made

    def check(connection: Any, before: Any) -> None:
        """Close it if no request has begun since `before`, and none is being answered."""
        cycle = connection.cycle
        if connection.transport.is_closing():
            return
        if cycle is before and (cycle is None or cycle.response_complete):
            connection.transport.abort()
        else:
            connection.loop.call_later(seconds, check, connection, cycle)

    def connection_made(connection: Any, transport: Any) -> None:
        made(connection, transport)
        connection.loop.call_later(seconds, check, connection, None)

    protocol.connection_made = connection_made
