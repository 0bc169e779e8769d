"""The home page of a project: what it says where nothing is, or nothing answers, and who may see what."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
import uvicorn
from starlette.testclient import TestClient

from flows.home.__main__ import IMPATIENT
from flows.home.app import app_of
from flows.home.links import Links
from flows.home.overview import Home
from flows.processes.guard import Guard
from flows.settings import Settings
from tests.browser import Browser
from tests.conftest import ROOT, free_port

NOWHERE = "http://127.0.0.1:9"
LOGIN = "mtl:secret+&word"


def client_of(root: Path, *, uri: str | None = None, prefect: str | None = f"{NOWHERE}/api") -> TestClient:
    (root / "home").mkdir(exist_ok=True)
    if not (root / "params.yaml").exists():
        (root / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    settings = Settings(root, root / "home", uri or f"sqlite:///{root}/home/mlflow.db", None)
    return TestClient(app_of(Home(settings, prefect), Links(NOWHERE, None)))


def test_an_empty_project_has_a_page(tmp_path: Path) -> None:
    answer = client_of(tmp_path).get("/")
    assert answer.status_code == 200
    for said in ("there is no version yet", "none yet", "the Prefect server does not say", "Nobody has looked"):
        assert said in answer.text
    assert [path.name for path in (tmp_path / "home").iterdir()] == []  # looking makes nothing
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-store"


def test_what_cannot_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in IMPATIENT.items():
        monkeypatch.setenv(name, value)
    client = client_of(tmp_path, uri=NOWHERE, prefect=None)
    (tmp_path / "home" / "last_run.json").write_text("{")
    (tmp_path / "home" / "monitor").mkdir()
    (tmp_path / "home" / "monitor" / "state.json").write_text("[]")
    text = client.get("/").text
    assert text.count("Not known:") >= 4  # versions, changes, the last run, looks
    assert "there is no version yet" not in text
    (tmp_path / "params.yaml").write_text("seed: what\n")
    answer = client.get("/")
    assert answer.status_code == 200
    assert "none yet" not in answer.text


def test_versions_that_nobody_signed_say_so(tmp_path: Path) -> None:
    client = client_of(tmp_path)
    model, registry = "multitask", mlflow.MlflowClient(f"sqlite:///{tmp_path}/home/mlflow.db")
    registry.create_registered_model(model)
    run = registry.create_run("0").info
    for number in range(2):
        tags = {"mtl.data": str(number), "mtl.decision": "<b>promoted</b>"}
        registry.create_model_version(model, f"{run.artifact_uri}/model", run.run_id, tags=tags)
    text = client.get("/").text
    assert text.count('<span class="no">unverified</span>') == 2
    assert "<b>promoted</b>" not in text
    assert "version 2 was made of new data" in text
    assert "<p>champion</p><b>none</b>" in text


def test_only_pages_of_the_home_are_served(tmp_path: Path) -> None:
    client, home = client_of(tmp_path), tmp_path / "home"
    (home / "reports").mkdir()
    (home / "reports" / "version-1.html").write_text("<p>one</p>")
    (home / "monitor" / "abcdef12").mkdir(parents=True)
    (home / "monitor" / "abcdef12" / "page.html").write_text("<p>look</p>")
    (home / "password").write_text("s3cret")
    (home / "reports" / "version-2.html").symlink_to(home / "password")
    assert client.get("/versions/1").text == "<p>one</p>"
    assert client.get("/looks/abcdef12").text == "<p>look</p>"
    assert "script-src 'sha256-" in client.get("/versions/1").headers["content-security-policy"]
    for path in (
        "/versions/2",
        "/versions/3",
        "/versions/..%2fpassword",
        "/looks/%2e%2e%2fpassword",
        "/data",
        "/password",
    ):
        answer = client.get(path)
        assert answer.status_code == 404, path
        assert "s3cret" not in answer.text
    assert client.post("/").status_code == 405


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[str]:
    """A page behind the guard: its address."""
    port, app = free_port(), client_of(tmp_path).app
    server = uvicorn.Server(uvicorn.Config(Guard(app, port, LOGIN), host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)


@pytest.mark.attack(boundary="web page", attack="lead whoever logs in on to another site")
def test_a_link_logs_in_and_leads_nowhere_else(guarded: str, browser: Browser) -> None:
    browser.look()
    browser.open(guarded)
    assert "mtl ui" in browser.evaluate("document.body.innerText")  # without the login: nothing
    links = Links(guarded, None, LOGIN)
    browser.open(links.version("m/odel", 3) or "")
    browser.wait_for("location.pathname === '/' && document.title.includes('home')")
    assert browser.evaluate("location.hash") == "#/models/m%2Fodel/versions/3"
    for to in ("//evil.example/", "https:evil.example", "javascript:document.title=1", "https://evil.example"):
        browser.open(f"{guarded}/login?to={to}#{LOGIN}")
        browser.wait_for("document.title.includes('home')")
        assert browser.evaluate("location.origin") == guarded
