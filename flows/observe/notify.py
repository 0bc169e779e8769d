"""Whoever wants to know of a new champion: signed webhooks (standardwebhooks.com), and all that apprise can reach.

MTL_WEBHOOK_URLS and MTL_APPRISE_URLS hold addresses with blanks between them, MTL_WEBHOOK_SECRET the key of the signature.
A message is sent at least once; its `webhook-id` is the ledger entry's, so a receiver knows it when it comes again.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time
from urllib.parse import urlsplit

import httpx
from tenacity import RetryError, Retrying, stop_after_attempt, wait_random_exponential

from mtl.registry.promotion import ROLLBACK
from mtl.reports.change import Change

ATTEMPTS = 3
SECONDS = 10.0


def announce(model: str, entry: Change) -> list[str]:
    """Tell of one change of the champion. Who could not be reached, in words: that stops nothing."""
    failed: list[str] = []
    kind = "model.rolled_back" if entry.kind == ROLLBACK else "model.promoted"
    data = {"model": model, "version": entry.to, "replaces": entry.replaces}
    data |= {"who": entry.who, "when": entry.when, "why": entry.why, "flow_run": entry.flow_run}
    body = json.dumps({"type": kind, "timestamp": entry.when, "data": data}, sort_keys=True).encode()
    secret = os.environ.get("MTL_WEBHOOK_SECRET", "")
    for url in os.environ.get("MTL_WEBHOOK_URLS", "").split():
        problem = _post(url, body, entry.id, secret) if secret else "MTL_WEBHOOK_SECRET is not set"
        if problem:
            failed.append(f"webhook to {urlsplit(url).hostname} was not delivered: {problem}")
    addresses = os.environ.get("MTL_APPRISE_URLS", "").split()
    if addresses:
        import apprise

        title = f"{model}: version {entry.to} is champion" + (" again" if entry.kind == ROLLBACK else "")
        text = f"in place of {entry.replaces or 'none'}, by {entry.who}\n{entry.why}"
        for address in addresses:
            notifier = apprise.Apprise()
            if not notifier.add(address) or not notifier.notify(body=text, title=title):
                failed.append(f"notification by {address.split(':')[0]} was not delivered")
    return failed


def signature(secret: str, identifier: str, timestamp: int, body: bytes) -> str:
    """`v1,` and HMAC-SHA256 of id.timestamp.body in base64. After `whsec_` a secret is base64, as the standard writes it."""
    encoded = secret.removeprefix("whsec_")
    key = base64.b64decode(encoded) if encoded != secret else secret.encode()
    signed = f"{identifier}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def _post(url: str, body: bytes, identifier: str, secret: str) -> str:
    """Send it; why that failed, or nothing."""

    def once() -> None:
        now = int(time.time())
        headers = {
            "content-type": "application/json",
            "webhook-id": identifier,
            "webhook-timestamp": str(now),
            "webhook-signature": signature(secret, identifier, now, body),
        }
        httpx.post(url, content=body, headers=headers, timeout=SECONDS).raise_for_status()

    try:
        Retrying(stop=stop_after_attempt(ATTEMPTS), wait=wait_random_exponential(max=4))(once)
    except RetryError as error:
        return f"{type(error.last_attempt.exception()).__name__}, {ATTEMPTS} attempts"  # an address may hold a token
    return ""
