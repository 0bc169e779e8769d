"""The chain of champions: many processes at once, crashes between two writes, hands in MLflow. SQLite and Postgres."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlflow
import pytest

from mtl.config import RegistryError
from mtl.promotion import CHAMPION, Promotions
from mtl.registry import Registry
from tests.conftest import ROOT, clean_environment, free_port

RACER = """
import sys
from mtl.config import RegistryError
from mtl.registry import Registry
promotions = Registry(sys.argv[1], "model").promotions
won = 0
while won < int(sys.argv[2]):
    champion = promotions.champion()
    version = (champion or 0) % 4 + 1
    try:
        entry = promotions.promote(version, champion)
    except RegistryError as error:
        assert "has changed meanwhile" in str(error), error
        continue
    won += 1
    print(entry["from"], version, flush=True)
"""


def postgres(folder: Path) -> Iterator[str]:
    """A server of our own, for as long as a test."""
    if shutil.which("initdb") is None:
        pytest.skip("Postgres is not installed")
    port, data = free_port(), folder / "data"
    # It refuses to run as root: then as nobody, in a folder of its own.
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.getuid() == 0 else []
    shutil.chown(folder, 65534, 65534) if user else None
    for parent in folder.parents if user else []:
        if parent.stat().st_uid == 0 and parent.stat().st_mode & 0o001 == 0:
            parent.chmod(parent.stat().st_mode | 0o011)
    initdb = [*user, "initdb", "-D", str(data), "-U", "mtl", "-A", "trust"]
    subprocess.run(initdb, check=True, capture_output=True, cwd=folder)
    words = [*user, "postgres", "-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", str(folder)]
    server = subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            if not subprocess.run(["pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)], check=False).returncode:
                break
            time.sleep(0.2)
        made = ["createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "mtl", "mlflow"]
        subprocess.run(made, check=True, capture_output=True)
        yield f"postgresql+psycopg2://mtl@127.0.0.1:{port}/mlflow"
    finally:
        server.send_signal(signal.SIGINT)  # it does not wait for clients
        server.wait(20)


@pytest.fixture(params=["sqlite", "postgres"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A registry's database with a model of four versions."""
    found = iter([f"sqlite:///{tmp_path}/mlflow.db"]) if request.param == "sqlite" else postgres(tmp_path)
    address = next(found)
    client = mlflow.MlflowClient(address)
    client.create_registered_model("model")
    run = client.create_run("0").info
    for _ in range(4):
        client.create_model_version("model", f"{run.artifact_uri}/model", run.run_id)
    yield address
    next(found, None)


def test_racing_promotions_form_one_chain(uri: str) -> None:
    environment = clean_environment() | {"PYTHONPATH": str(ROOT)}

    def race(number: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", RACER, uri, str(number)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(race, [13] * 4))
    assert all(racer.returncode == 0 for racer in done), "\n".join(racer.stderr[-1500:] for racer in done)
    said = [tuple(line.split()) for racer in done for line in racer.stdout.splitlines()]
    promotions = Registry(uri, "model").promotions
    history = promotions.history()
    assert len(history) == len(said) == 52
    assert [entry["number"] for entry in history] == list(range(1, len(history) + 1))
    assert sorted((str(e["from"]), str(e["to"])) for e in history) == sorted(said)
    assert all(later["from"] == earlier["to"] for earlier, later in itertools.pairwise(history))
    alias = mlflow.MlflowClient(uri).get_model_version_by_alias("model", CHAMPION)
    assert int(alias.version) == history[-1]["to"]


@pytest.mark.parametrize("uri", ["sqlite"], indirect=True)
def test_a_promotion_on_old_evidence_changes_nothing(uri: str) -> None:
    promotions = Registry(uri, "model").promotions
    promotions.promote(1, None)
    promotions.promote(2, 1, flow_run="x", why="better")
    with pytest.raises(RegistryError, match="has changed meanwhile") as caught:
        promotions.promote(3, 1)
    assert "version 2 instead of 1" in str(caught.value)
    assert [(e["from"], e["to"], e["why"]) for e in promotions.history()] == [(None, 1, ""), (1, 2, "better")]
    assert promotions.champion() == 2


@pytest.mark.parametrize("uri", ["sqlite"], indirect=True)
def test_a_crash_between_entry_and_alias_is_mended(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    promotions = Registry(uri, "model").promotions
    promotions.promote(1, None)

    def crash(self: Promotions) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Promotions, "_settle", crash)
        with pytest.raises(KeyboardInterrupt):
            promotions.promote(2, 1)
    assert int(promotions.client.get_model_version_by_alias("model", CHAMPION).version) == 1
    again = Registry(uri, "model").promotions
    assert again.champion() == 2
    assert int(again.client.get_model_version_by_alias("model", CHAMPION).version) == 2
    assert len(again.history()) == 2


@pytest.mark.parametrize("uri", ["sqlite"], indirect=True)
def test_an_alias_moved_by_hand_is_set_back(uri: str) -> None:
    promotions = Registry(uri, "model").promotions
    promotions.client.set_registered_model_alias("model", CHAMPION, "3")
    assert promotions.champion() == 3  # before there was a ledger: it is taken over
    promotions.promote(1, 3)
    promotions.client.set_registered_model_alias("model", CHAMPION, "4")
    assert promotions.champion() == 1
    assert int(promotions.client.get_model_version_by_alias("model", CHAMPION).version) == 1
    assert [(e["kind"], e["from"], e["to"]) for e in promotions.history()] == [
        ("outside", None, 3),
        ("promotion", 3, 1),
    ]
