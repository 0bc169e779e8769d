"""Servers that refuse, or are something else than their address says."""

from __future__ import annotations

import http.server
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from flows.processes.embedded import start_prefect
from flows.settings import Settings, reach_prefect
from mtl.errors import MtlError, RegistryError, StageError
from mtl.registry.tracking import explained
from tests.conftest import ROOT, free_port, mtl
from tests.errors.commands import Commands
from tests.servers import SECRET, postgres, running


class Answer(http.server.BaseHTTPRequestHandler):
    """With the status that the path begins with, and a page."""

    def do_GET(self) -> None:
        status, page = int(self.path.split("/")[1]), b"<html>a page</html>"
        self.send_response(status)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *words: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.mark.parametrize(
    ("status", "what", "fix"),
    [
        (401, "the Prefect server at .* refuses", "PREFECT_API_AUTH_STRING"),
        (404, "the Prefect server at .* refuses", "ends in /api"),
        (200, "what answers at .* is no Prefect server", "ends in /api"),
    ],
)
def test_prefect_says_what_is_wrong_with_its_address(
    server: str, tmp_path: Path, status: int, what: str, fix: str
) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    url = f"{server}/{status}"
    with temporary_settings({PREFECT_API_URL: url}), pytest.raises(MtlError, match=what) as caught:
        reach_prefect(Settings(tmp_path, tmp_path, "", url))
    assert caught.value.found and fix in caught.value.fix


@pytest.mark.parametrize(
    ("does", "found", "fix"),
    [
        ("sleep 60", "no answer in 1 s", "_SECONDS=600"),
        ("exit 3", "it ended by itself, 3 times", "/prefect away: another"),
    ],
)
def test_an_embedded_server_that_does_not_start_is_named(
    does: str, found: str, fix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.server.api.server import SubprocessASGIServer
    from prefect.settings import PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS, temporary_settings

    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{does}\n")
    python.chmod(0o700)
    monkeypatch.setattr("sys.executable", str(python))
    with temporary_settings({PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS: 1}), pytest.raises(StageError) as caught:
        start_prefect(Settings(tmp_path, tmp_path, "", None))
    assert "that this command embeds does not start" in caught.value.what
    assert found in caught.value.found and fix in caught.value.fix
    assert None not in SubprocessASGIServer._instances  # another try begins anew


@pytest.mark.slow
def test_retrain_without_its_server_ends_in_what_found_and_fix(retrained: Path) -> None:
    words = ("retrain", "--set", "seed=99")
    done = mtl(retrained, *words, PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS="1")
    assert done.returncode == 2, done.stderr
    for said in ("error: the Prefect server that this command embeds", "found: no answer in 1 s", "fix:", "log:"):
        assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_database_that_refuses_is_named() -> None:
    uri = f"postgresql://user:secret@127.0.0.1:{free_port()}/mlflow"
    with pytest.raises(RegistryError, match=r"MLflow's database at .* refused") as caught, explained(uri):
        sa.create_engine(uri).connect()
    assert "Connection refused" in caught.value.found and "MLFLOW_TRACKING_URI" in caught.value.fix
    assert "secret" not in str(caught.value)


@pytest.mark.slow
def test_a_wrong_password_of_postgres_ends_in_what_found_and_fix() -> None:
    """As a user meets it; neither password is said."""
    commands = Commands()
    with tempfile.TemporaryDirectory() as scratch:  # not pytest's own folder, which others close to Postgres' account
        folder = Path(scratch, "project")
        folder.mkdir()
        for name in ("params.yaml", "dvc.yaml"):
            shutil.copy(ROOT / name, folder / name)
        with running(postgres(Path(scratch, "postgres"))) as server:
            uri = server.address.replace(SECRET, "not-the-one")
            ended = commands.run(folder, "history", MLFLOW_TRACKING_URI=uri)
    commands.close()
    assert ended.code == 2 and "Traceback" not in ended.err
    for said in ("error: MLflow's database at", "password authentication failed", "fix:", "MLFLOW_TRACKING_URI"):
        assert said in ended.err
    assert "not-the-one" not in ended.err and SECRET not in ended.err
