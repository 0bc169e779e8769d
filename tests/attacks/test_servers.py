"""Prefect's and MLflow's pages on loopback: for their owner alone, whoever else reaches the port."""

from __future__ import annotations

import http.server
import inspect
import json
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from flows.settings import own_password
from mtl.errors import MtlError
from tests.attacks.network import beyond_loopback, inside, listeners
from tests.browser import Browser
from tests.conftest import ROOT, clean_environment, free_port
from tests.flows.watch import Watched


@dataclass
class Pages:
    """A running `mtl ui`."""

    mlflow: str
    prefect: str
    login: str
    home: Path

    @property
    def basic(self) -> dict[str, str]:
        """The header of whoever knows the password."""
        return {"authorization": "Basic " + b64encode(self.login.encode()).decode()}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    home = tmp_path_factory.mktemp("home")
    ports = [free_port(), free_port(), free_port()]
    command = ["-m", "flows.cli", "ui", "--mlflow-port", str(ports[0]), "--prefect-port", str(ports[1])]
    command += ["--port", str(ports[2])]
    own = clean_environment() | {"PYTHONPATH": str(ROOT), "MTL_HOME": str(home)}
    watched = Watched([sys.executable, *command], ROOT, own)
    try:
        watched.until("Ctrl-C", 240)
        login = watched.output.split("/login#")[1].split()[0]
        yield Pages(f"http://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}", login, home)
    finally:
        watched.end()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[str]:
    """Another origin, with an empty page; of another port alone, so that browsers take it for the same site."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><body>prize</body>")

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


TRIES = """
window.found = null;
(async () => {
  const tries = [];
  for (const [url, body] of %s)
    for (const mode of ["cors", "no-cors"])
      for (const type of ["text/plain", "application/json"]) {
        try {
          const answer = await fetch(url, {method: body ? "POST" : "GET", mode, credentials: "include", body: body || undefined,
                                           headers: body ? {"content-type": type} : {}});
          tries.push((await answer.text()).length);
        } catch (error) { tries.push(0); }
      }
  window.found = tries;
})(); true
"""


@pytest.mark.slow
@pytest.mark.attack(boundary="web page", attack="read and change Prefect's and MLflow's records from another origin")
def test_a_page_of_another_origin_reads_and_writes_nothing(pages: Pages, elsewhere: str, tmp_path: Path) -> None:
    flow = json.dumps({"name": "planted"})
    experiment = json.dumps({"name": "planted"})
    calls = [
        (f"{pages.prefect}/api/flows/filter", "{}"),
        (f"{pages.prefect}/api/flows/", flow),
        (f"{pages.prefect}/api/admin/version", ""),
        (f"{pages.mlflow}/api/2.0/mlflow/experiments/create", experiment),
        (f"{pages.mlflow}/ajax-api/2.0/mlflow/experiments/create", experiment),
        (f"{pages.mlflow}/api/2.0/mlflow/experiments/search?max_results=5", ""),
    ]
    with Browser(tmp_path) as browser:
        for place in (pages.mlflow, pages.prefect):  # the owner is logged in
            browser.open(f"{place}/login#{pages.login}")
            browser.wait_for("location.pathname != '/login'")
        browser.open(elsewhere)
        browser.evaluate(TRIES % json.dumps(calls))
        browser.wait_for("window.found !== null")
        assert browser.evaluate("Math.max(...window.found)") == 0  # an opaque answer has no length either
    assert _names(pages) == {"Default"}


def _names(pages: Pages) -> set[str]:
    """What is recorded in both."""
    flows = httpx.post(f"{pages.prefect}/api/flows/filter", json={}, headers=pages.basic).json()
    search = f"{pages.mlflow}/api/2.0/mlflow/experiments/search?max_results=5"
    experiments = httpx.get(search, headers=pages.basic).json()["experiments"]
    return {flow["name"] for flow in flows} | {experiment["name"] for experiment in experiments}


@pytest.mark.slow
def test_the_pages_open_logged_in(pages: Pages, tmp_path: Path) -> None:
    with Browser(tmp_path) as browser:
        browser.open(f"{pages.mlflow}/login#{pages.login}")
        browser.wait_for("document.body.innerText.includes('Experiments')")
        browser.open(f"{pages.prefect}/login#{pages.login}")
        browser.wait_for(
            "document.body.innerText.includes('Flow Runs') || document.body.innerText.includes('Dashboard')"
        )
        assert "password" not in browser.evaluate("document.body.innerText").lower()


@pytest.mark.slow
@pytest.mark.attack(boundary="web page", attack="reach the servers under another name (DNS rebinding)")
@pytest.mark.parametrize("host", ["evil.example:4200", "evil.example", "127.0.0.1", "127.0.0.1.evil.example:5000", ""])
def test_another_name_leads_nowhere(pages: Pages, host: str) -> None:
    for place in (pages.prefect, pages.mlflow):
        for path in ("/", "/login", "/api/health", "/health", "/api/2.0/mlflow/experiments/search"):
            answer = httpx.get(f"{place}{path}", headers=pages.basic | {"host": host})
            assert answer.status_code in (400, 403), (place, path)


@pytest.mark.slow
@pytest.mark.attack(boundary="local user", attack="use Prefect's and MLflow's ports without the password")
@pytest.mark.parametrize("login", ["", "mtl:", "mtl:wrong", "admin:password1234", "Bearer x", "\u00e9"])
def test_without_the_password_nothing_is_told(pages: Pages, login: str) -> None:
    given = {"authorization": "Basic " + b64encode(login.encode()).decode()} if login else {}
    for place, path in (
        (pages.prefect, "/api/flows/filter"),
        (pages.prefect, "/api/deployments/"),
        (pages.prefect, "/api/admin/settings"),
        (pages.mlflow, "/api/2.0/mlflow/experiments/create"),
        (pages.mlflow, "/graphql"),
        (pages.mlflow, "/"),
    ):
        assert httpx.post(f"{place}{path}", json={"name": "x"}, headers=given).status_code == 401, path
    assert httpx.post(f"{pages.prefect}/login", content=login.encode()).status_code == 401
    cookie = {b"cookie": f"mtl-{pages.prefect.rsplit(':', 1)[1]}={login or 'x'}".encode()}
    assert httpx.get(f"{pages.prefect}/api/admin/version", headers=cookie).status_code == 401


@pytest.mark.slow
@pytest.mark.attack(boundary="local user", attack="listen to Prefect's events without the password")
def test_events_are_for_the_owner(pages: Pages) -> None:
    from websockets.exceptions import WebSocketException
    from websockets.sync.client import connect

    url = f"{pages.prefect.replace('http', 'ws')}/api/events/out"
    for headers in ({}, pages.basic | {"origin": "http://evil.example"}):
        with pytest.raises(WebSocketException):
            connect(url, additional_headers=headers, subprotocols=["prefect"])  # type: ignore[list-item]
    connect(url, additional_headers=pages.basic, subprotocols=["prefect"]).close()  # type: ignore[list-item]


@pytest.mark.slow
@pytest.mark.attack(boundary="neighbour", attack="reach the pages of mtl ui and the server of mtl serve")
@pytest.mark.parametrize("command", ["ui", "serve"])
def test_they_are_on_loopback_alone(command: str, tmp_path: Path) -> None:
    own = clean_environment() | {"PYTHONPATH": str(ROOT), "MTL_HOME": str(tmp_path)}
    watched = Watched(inside(sys.executable, "-m", "flows.cli", command), ROOT, own)
    try:
        watched.until("Ctrl-C" if command == "ui" else "schedule ", 240)
        time.sleep(0 if command == "ui" else 20)  # for the runner, which says nothing once it runs
        began = time.monotonic()
        while not listeners(watched.process.pid):
            assert time.monotonic() - began < 120, "nobody listens"
            time.sleep(1)
        assert beyond_loopback(watched.process.pid) == []
    finally:
        watched.end()


FLOW = """
from flows.settings import enter_checkout
enter_checkout()
import signal, time
signal.signal(signal.SIGTERM, signal.default_int_handler)  # as mtl does: Prefect's server ends with it
from prefect import flow
from prefect.client.orchestration import get_client

@flow
def waits():
    with get_client(sync_client=True) as client:
        print("server", client.api_url, flush=True)
    time.sleep(60)

waits()
"""


@pytest.mark.slow
@pytest.mark.attack(boundary="local user", attack="use the Prefect server that a flow embeds")
def test_an_embedded_server_asks_for_the_password(tmp_path: Path) -> None:
    own = clean_environment() | {"PYTHONPATH": str(ROOT), "MTL_HOME": str(tmp_path)}
    watched = Watched([sys.executable, "-c", FLOW], ROOT, own)
    try:
        watched.until("server http", 120)
        api = watched.output.split("server ")[-1].split()[0].rstrip("/")
        answer = httpx.post(f"{api}/flow_runs/filter", json={}, headers={"origin": "http://evil.example"})
        assert answer.status_code == 401
        assert "access-control-allow-origin" not in answer.headers
        login = b64encode(f"mtl:{own_password(tmp_path)}".encode()).decode()
        known = httpx.post(f"{api}/flow_runs/filter", json={}, headers={"authorization": f"Basic {login}"})
        assert len(known.json()) == 1
    finally:
        watched.end()


@pytest.mark.attack(boundary="local user", attack="plant or read the embedded servers' password")
def test_a_password_that_others_may_know_is_refused(tmp_path: Path) -> None:
    found = own_password(tmp_path)
    assert (tmp_path / "password").stat().st_mode & 0o777 == 0o600
    assert own_password(tmp_path) == found
    assert [path.name for path in tmp_path.iterdir()] == ["password"]
    (tmp_path / "password").chmod(0o644)
    with pytest.raises(MtlError, match="may be known to others"):
        own_password(tmp_path)
    (tmp_path / "password").unlink()
    (tmp_path / "theirs").write_text("known")
    (tmp_path / "password").symlink_to(tmp_path / "theirs")
    with pytest.raises(MtlError, match="may be known to others"):
        own_password(tmp_path)


@pytest.mark.attack(boundary="local user", attack="start a flow run on a folder of one's own (the parameter root)")
def test_no_parameter_says_whose_code_runs() -> None:
    from flows.retraining.flow import retrain
    from flows.retraining.monitor import monitor

    for flow in (retrain, monitor):
        assert {"root", "folder", "path"}.isdisjoint(flow.parameters.properties)
        with pytest.raises(TypeError, match="root"):
            inspect.signature(flow.fn).bind(root="/tmp/mine")
