"""Prefect's and MLflow's server on loopback, for their owner alone: `python -m flows.processes.guard mlflow|prefect PORT`.

Whoever shares the machine reaches a port of loopback, and so does any page in the owner's browser. Requests must name this
server as their host (else a name that leads here would do), come from its own pages if they come from a page, and have the
login of MTL_LOGIN (`user:password`): in the header of basic authentication, or as the cookie that /login gives for it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any

LOGIN = "MTL_LOGIN"
_LONGEST = 1000
"""Bytes of a login."""
_SCRIPT = """
const login = decodeURIComponent(location.hash.slice(1)) || prompt("mtl:PASSWORD, whose password is in MTL_HOME/password");
const to = new URL(new URLSearchParams(location.search).get("to") || "/", location.origin);
history.replaceState(null, "", "/login");
fetch("/login", {method: "POST", body: login}).then(answer => {
  if (!answer.ok) { document.title = document.body.textContent = "refused"; return; }
  localStorage.setItem("prefect-password", btoa(login));
  location.replace(to.origin === location.origin ? to.href : "/");
});
"""
_PAGE = f"<!doctype html><html><head><title>login</title></head><body><script>{_SCRIPT}</script></body></html>".encode()
_SCRIPT_DIGEST = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
_POLICY = f"default-src 'none'; script-src 'sha256-{_SCRIPT_DIGEST}'; connect-src 'self'; frame-ancestors 'none'"
_CLOSED = b"<!doctype html><html><body>Open the address that <code>mtl ui</code> has said, or /login.</body></html>"

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


class Guard:
    """An ASGI application before another."""

    def __init__(self, app: Application, port: int, login: str) -> None:
        self.app, self.login, self.cookie = app, login, f"mtl-{port}"
        self.hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
        # Browsers show a cookie to all ports of a host: it is worth nothing once this process has ended.
        self.session = secrets.token_urlsafe(32)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass on what may pass."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        if host not in self.hosts or headers.get("origin", f"http://{host}") != f"http://{host}":
            await _refuse(scope, send, 403, b"not this server's page")
        elif scope["type"] == "http" and scope["path"] == "/login":
            await self._log_in(scope, receive, send)
        elif self._knows(headers):
            await self.app(scope, receive, _closed_to_others(send))
        else:
            await _refuse(scope, send, 401, _CLOSED)

    def _knows(self, headers: dict[str, str]) -> bool:
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
            given = base64.b64decode(headers.get("authorization", "").removeprefix("Basic "), validate=True)
        except (CookieError, binascii.Error):
            return False
        return hmac.compare_digest(given, self.login.encode()) or (
            cookie is not None and hmac.compare_digest(cookie.value.encode(), self.session.encode())
        )

    async def _log_in(self, scope: Message, receive: Receive, send: Send) -> None:
        """The page that takes the login from the address; the cookie in return for it."""
        if scope["method"] != "POST":
            await _answer(send, 200, _PAGE, (b"content-security-policy", _POLICY.encode()))
            return
        given, more = b"", True
        while more and len(given) <= _LONGEST:
            message = await receive()
            given, more = given + message.get("body", b""), message.get("more_body", False)
        if hmac.compare_digest(given, self.login.encode()):
            cookie = f"{self.cookie}={self.session}; Path=/; HttpOnly; SameSite=Strict"
            await _answer(send, 204, b"", (b"set-cookie", cookie.encode()))
        else:
            await _answer(send, 401, b"")


def _closed_to_others(send: Send) -> Send:
    """No other origin may read the answers or show them in a frame, whatever the server allows."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [(n, v) for n, v in message.get("headers", ()) if not n.lower().startswith(b"access-control-")]
            message["headers"] = [*kept, (b"x-frame-options", b"SAMEORIGIN")]
        await send(message)

    return sent


async def _refuse(scope: Message, send: Send, status: int, body: bytes) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
    else:
        await _answer(send, status, body)


async def _answer(send: Send, status: int, body: bytes, *more: tuple[bytes, bytes]) -> None:
    headers = [(b"content-type", b"text/html"), (b"cache-control", b"no-store"), *more]
    if status != 204:
        headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _server(name: str) -> Any:
    if name == "mlflow":
        from mlflow.server.fastapi_app import app

        return app
    from prefect.server.api.server import create_app

    return create_app(final=True)


def main(name: str, port: int) -> None:
    """Serve until told to end."""
    import uvicorn

    login = os.environ.pop(LOGIN)
    uvicorn.run(Guard(_server(name), port, login), host="127.0.0.1", port=port, log_level="error")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
