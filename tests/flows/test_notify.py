"""Webhooks and notifications of a new champion: signed, tried again, and never a reason to stop."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from flows.observe.notify import announce, signature
from mtl.reports.change import Change

ENTRY = Change.model_validate(
    {
        "from": 1,
        "to": 2,
        "kind": "promotion",
        "why": "better",
        "who": "tester",
        "when": "2026-01-01T00:00:00+00:00",
        "flow_run": "",
        "id": "abc",
    }
)


class Receiver:
    """A server that answers with a list of statuses, the last for ever, and keeps what it was sent."""

    def __init__(self, *statuses: int) -> None:
        self.statuses, self.requests = list(statuses), list[tuple[dict[str, str], bytes]]()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.requests.append(({key.lower(): value for key, value in self.headers.items()}, body))
                self.send_response(receiver.statuses.pop(0) if len(receiver.statuses) > 1 else receiver.statuses[0])
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?token=hidden"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    found = Receiver(*getattr(request, "param", (200,)))
    monkeypatch.setenv("MTL_WEBHOOK_URLS", found.url)
    monkeypatch.setenv("MTL_WEBHOOK_SECRET", "secret")
    yield found
    found.server.shutdown()
    found.server.server_close()


def test_a_promotion_is_told_and_signed(receiver: Receiver) -> None:
    said = announce("multitask", ENTRY)
    assert not said
    ((headers, body),) = receiver.requests
    found = json.loads(body)
    assert found["type"] == "model.promoted"
    assert found["data"] == {
        "model": "multitask",
        "version": 2,
        "replaces": 1,
        "who": "tester",
        "when": ENTRY.when,
        "why": "better",
        "flow_run": "",
    }
    assert headers["webhook-id"] == "abc"
    assert headers["webhook-signature"] == signature("secret", "abc", int(headers["webhook-timestamp"]), body)
    assert headers["webhook-signature"] != signature("other", "abc", int(headers["webhook-timestamp"]), body)


def test_the_signature_is_that_of_the_standard() -> None:
    # The example in the documentation of the standard's libraries.
    secret, identifier = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek"
    found = signature(secret, identifier, 1614265330, b'{"test": 2432232314}')
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("receiver", [(503, 503, 200)], indirect=True)
def test_a_receiver_that_is_away_for_a_moment_is_asked_again(receiver: Receiver) -> None:
    said = announce("multitask", ENTRY.model_copy(update={"kind": "rollback"}))
    assert not said
    assert len(receiver.requests) == 3
    assert {headers["webhook-id"] for headers, _ in receiver.requests} == {"abc"}
    assert json.loads(receiver.requests[-1][1])["type"] == "model.rolled_back"


@pytest.mark.parametrize("receiver", [(500,)], indirect=True)
def test_one_that_stays_away_is_named_without_its_token(receiver: Receiver) -> None:
    said = announce("multitask", ENTRY)
    (line,) = said
    assert "127.0.0.1 was not delivered" in line
    assert "hidden" not in line


def test_nothing_is_sent_unsigned(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MTL_WEBHOOK_SECRET")
    said = announce("multitask", ENTRY)
    assert not receiver.requests
    assert "MTL_WEBHOOK_SECRET is not set" in said[0]


def test_apprise_reaches_what_it_knows(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MTL_WEBHOOK_URLS")
    monkeypatch.setenv("MTL_APPRISE_URLS", f"json://127.0.0.1:{receiver.server.server_port}/ nonsense://x")
    said = announce("multitask", ENTRY)
    assert "version 2 is champion" in json.loads(receiver.requests[0][1])["title"]
    assert said == ["notification by nonsense was not delivered"]
