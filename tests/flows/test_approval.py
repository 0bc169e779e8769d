"""A person's yes: a flow run that really pauses on a real server, and the command that answers it."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.processes.ui import start_prefect, wait_until_up
from flows.retraining.approval import refuse_unanswerable
from flows.settings import Settings, own_password
from mtl.config.params import Config
from mtl.errors import ConfigError
from tests.conftest import ROOT, clean_environment, free_port, mtl
from tests.flows.watch import Watched

SCRIPT = """
import sys
from prefect import flow
from flows.retraining.approval import ask
from flows.settings import enter_checkout
from mtl.reports import Decision
enter_checkout()

@flow
def waits():
    before = Decision(promote=True, champion=1, summary="promoted (against champion version 1): better", rules=())
    from prefect.runtime import flow_run
    print("waiting", flow_run.id, flush=True)
    print("DECISION", ask(before, 2, float(sys.argv[1])).model_dump_json(), flush=True)

waits()
"""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a Prefect server with a database of its own."""
    for key in ("PREFECT_API_URL", "PREFECT_HOME"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    port = free_port()
    (tmp_path / "home").mkdir()
    process = start_prefect(port, f"mtl:{own_password(tmp_path / 'home')}")
    try:
        wait_until_up(f"http://127.0.0.1:{port}/api/health", process, "Prefect")
        yield f"http://127.0.0.1:{port}/api"
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)


@pytest.mark.slow
def test_yes_no_and_no_answer(server: str, tmp_path: Path) -> None:
    environment = {
        "PREFECT_API_URL": server,
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "MTL_HOME": str(tmp_path / "home"),
    }
    runs: dict[str, tuple[Watched, str]] = {}
    for answer, minutes in (("yes", "5"), ("no", "5"), ("silence", "0.2")):
        command = [sys.executable, "-c", SCRIPT, minutes]
        watched = Watched(command, ROOT, clean_environment() | environment | {"PYTHONPATH": str(ROOT)})
        watched.until("waiting", 120)
        found = re.search(r"waiting (\S+)", watched.output)
        assert found
        runs[answer] = (watched, found[1])
    for answer, words in (("yes", ()), ("no", ("--no",))):
        watched, run = runs[answer]
        watched.until("Pausing flow", 60)
        done = mtl(ROOT, "approve", run, "--why", "looked at it", *words, **environment, MTL_ACTOR="maria")
        assert done.returncode == 0, done.stderr
    decisions = {}
    for answer, (watched, _) in runs.items():
        watched.until("DECISION", 90)
        decisions[answer] = json.loads(watched.output.split("DECISION ")[1].splitlines()[0])
    assert [decisions[a]["promote"] for a in ("yes", "no", "silence")] == [True, False, False]
    assert re.fullmatch(r"yes, by \S+ \(maria\): looked at it", decisions["yes"]["rules"][0]["found"])
    assert re.search(r"found no, by \S+ \(maria\)", decisions["no"]["summary"])
    assert "no answer" in decisions["silence"]["summary"]
    again = mtl(ROOT, "approve", runs["yes"][1], **environment)
    assert again.returncode == 2
    assert "takes no answer" in again.stderr


def test_an_embedded_server_is_refused(config: Config, tmp_path: Path) -> None:
    asking = config.model_copy(update={"gate": config.gate.model_copy(update={"approval_minutes": 5})})
    embedded = Settings(ROOT, tmp_path, "sqlite://", None)
    refuse_unanswerable(config, embedded)
    refuse_unanswerable(asking, Settings(ROOT, tmp_path, "sqlite://", "http://127.0.0.1:4200/api"))
    with pytest.raises(ConfigError, match="nobody could answer"):
        refuse_unanswerable(asking, embedded)
