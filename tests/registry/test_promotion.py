"""The chain of champions: many processes at once, crashes between two writes, hands in MLflow. SQLite and Postgres."""

from __future__ import annotations

import contextlib
import http.server
import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from mtl.errors import RegistryError
from mtl.registry import promotion
from mtl.registry.ledger import Entry
from mtl.registry.promotion import CHAMPION, Promotions
from mtl.registry.registry import Registry
from mtl.registry.trust import Trust
from mtl.reports.change import Change
from tests.conftest import ROOT, clean_environment
from tests.servers import postgres, running

RACER = """
import sys
from mtl.config import RegistryError
from pathlib import Path
from mtl.registry.registry import Registry
from mtl.reports.change import Change
from mtl.registry.trust import Trust
promotions = Registry(sys.argv[1], "model", Trust(own=Path(sys.argv[3]))).promotions
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
    print(entry.replaces, version, flush=True)
"""


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A registry's database with a model of four versions."""
    with contextlib.ExitStack() as held:
        address = f"sqlite:///{tmp_path}/mlflow.db"
        if request.param == "postgres":
            address = held.enter_context(running(postgres(tmp_path / "postgres"))).address
        yield _filled(address)


def _filled(address: str) -> str:
    client = mlflow.MlflowClient(address)
    client.create_registered_model("model")
    run = client.create_run("0").info
    for _ in range(4):
        client.create_model_version("model", f"{run.artifact_uri}/model", run.run_id)
    return address


def test_racing_promotions_form_one_chain(uri: str, trust: Trust) -> None:
    environment = clean_environment() | {"PYTHONPATH": str(ROOT)}

    def race(number: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", RACER, uri, str(number), str(trust.own)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(race, [13] * 4))
    assert all(racer.returncode == 0 for racer in done), "\n".join(racer.stderr[-1500:] for racer in done)
    said = [tuple(line.split()) for racer in done for line in racer.stdout.splitlines()]
    promotions = Registry(uri, "model", trust).promotions
    history = promotions.history()
    assert len(history) == len(said) == 52
    assert [entry.number for entry in history] == list(range(1, len(history) + 1))
    assert sorted((str(e.replaces), str(e.to)) for e in history) == sorted(said)
    assert all(later.replaces == earlier.to for earlier, later in itertools.pairwise(history))
    alias = mlflow.MlflowClient(uri).get_model_version_by_alias("model", CHAMPION)
    assert int(alias.version) == history[-1].to


PARAMS = """
import sys, time
from mtl.registry.tracking import Tracker
tracker = Tracker(sys.argv[1], "params")
while time.time() < float(sys.argv[3]):
    pass
tracker.log_params(sys.argv[2], {"a": {f"key{i}": i for i in range(350)}})
"""


def test_two_flows_that_log_one_runs_params_both_succeed(uri: str) -> None:
    from mtl.registry.tracking import Tracker

    tracker = Tracker(uri, "params")
    run = tracker.client.create_run(tracker.experiment).info.run_id
    environment = clean_environment() | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PARAMS, uri, run, str(time.time() + 12)]
    racers = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    problems = [racer.communicate()[1] for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0], problems
    assert tracker.client.get_run(run).data.params == {f"a.key{i}": str(i) for i in range(350)}


@pytest.mark.parametrize("uri", ["sqlite"], indirect=True)
def test_a_promotion_on_old_evidence_changes_nothing(uri: str, trust: Trust) -> None:
    promotions = Registry(uri, "model", trust).promotions
    promotions.promote(1, None)
    promotions.promote(2, 1, flow_run="x", why="better")
    with pytest.raises(RegistryError, match="has changed meanwhile") as caught:
        promotions.promote(3, 1)
    assert "version 2 instead of 1" in str(caught.value)
    assert [(e.replaces, e.to, e.why) for e in promotions.history()] == [(None, 1, ""), (1, 2, "better")]
    assert promotions.champion() == 2
    promotions.promote(3, 2, why="因为更好" * 2000)  # more than an entry holds
    assert promotions.history()[-1].why.startswith("因为更好因为")


@pytest.mark.parametrize("uri", ["sqlite"], indirect=True)
def test_a_crash_between_entry_and_alias_is_mended(uri: str, trust: Trust, monkeypatch: pytest.MonkeyPatch) -> None:
    promotions = Registry(uri, "model", trust).promotions
    promotions.promote(1, None)

    def crash(self: Promotions) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Promotions, "_settle", crash)
        with pytest.raises(KeyboardInterrupt):
            promotions.promote(2, 1)
    assert int(promotions.client.get_model_version_by_alias("model", CHAMPION).version) == 1
    again = Registry(uri, "model", trust).promotions
    assert again.champion() == 2
    assert int(again.client.get_model_version_by_alias("model", CHAMPION).version) == 2
    assert len(again.history()) == 2


@pytest.mark.parametrize("uri", ["sqlite"], indirect=True)
def test_an_alias_inserted_concurrently_is_still_set(uri: str, trust: Trust, monkeypatch: pytest.MonkeyPatch) -> None:
    promotions = Registry(uri, "model", trust).promotions
    real, refused = promotions.client.set_registered_model_alias, [1]

    def clash(*words: str) -> None:
        if refused:
            refused.pop()
            raise MlflowException("duplicate key value violates unique constraint")
        real(*words)

    monkeypatch.setattr(promotions.client, "set_registered_model_alias", clash)
    promotions.promote(1, None)
    assert int(promotions.client.get_model_version_by_alias("model", CHAMPION).version) == 1


@pytest.mark.parametrize("uri", ["sqlite"], indirect=True)
@pytest.mark.parametrize("first", ["history", "alias"])
def test_a_promotion_while_another_looks_is_seen(
    uri: str, trust: Trust, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    promotions, others = Registry(uri, "model", trust).promotions, Registry(uri, "model", trust).promotions
    look, waiting = promotion.aliased, [first]

    def promote_once(after: str) -> None:
        if after in waiting:
            waiting.remove(after)
            others.promote(1, None)

    def history() -> list[Change]:
        entries = Promotions.history(promotions)
        promote_once("history")
        return entries

    def aliased(*words: Any) -> Any:
        alias = look(*words)
        promote_once("alias")
        return alias

    monkeypatch.setattr(promotions, "history", history)
    monkeypatch.setattr(promotion, "aliased", aliased)
    assert promotions.champion() == (1 if first == "alias" else None)  # what it was when the ledger was read
    assert promotions.champion() == 1
    assert [(e.kind, e.replaces, e.to) for e in others.history()] == [("promotion", None, 1)]


@pytest.mark.parametrize("uri", ["sqlite"], indirect=True)
def test_two_that_take_an_alias_over_at_once_enter_it_once(
    uri: str, trust: Trust, monkeypatch: pytest.MonkeyPatch
) -> None:
    promotions, others = Registry(uri, "model", trust).promotions, Registry(uri, "model", trust).promotions
    trust.unverified = True
    promotions.client.set_registered_model_alias("model", CHAMPION, "3")
    real = promotions.ledger.write

    def late(key: str, value: dict[str, Any]) -> Entry:
        assert others.champion() == 3
        return real(key, value)

    monkeypatch.setattr(promotions.ledger, "write", late)
    assert promotions.champion() == 3
    assert [(e.kind, e.replaces, e.to) for e in promotions.history()] == [("outside", None, 3)]


@pytest.mark.parametrize("uri", ["sqlite"], indirect=True)
def test_an_alias_moved_by_hand_is_set_back(uri: str, trust: Trust) -> None:
    promotions = Registry(uri, "model", trust).promotions
    promotions.client.set_registered_model_alias("model", CHAMPION, "3")
    with pytest.raises(RegistryError, match="nobody who is trusted has made it champion"):
        promotions.champion()
    trust.unverified = True
    assert promotions.champion() == 3  # before there was a ledger: it is taken over
    trust.unverified = False
    promotions.promote(1, 3)
    promotions.client.set_registered_model_alias("model", CHAMPION, "4")
    assert promotions.champion() == 1
    assert int(promotions.client.get_model_version_by_alias("model", CHAMPION).version) == 1
    assert [(e.kind, e.replaces, e.to) for e in promotions.history()] == [
        ("outside", None, 3),
        ("promotion", 3, 1),
    ]


class Refusing(http.server.BaseHTTPRequestHandler):
    """A server that wants another password."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.end_headers()
        self.wfile.write(b"You are not authenticated.")

    do_POST = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.mark.parametrize("what", ["champion", "alias", "versions", "get"])
def test_who_is_refused_hears_which_variables_to_look_at(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        registry = Registry(f"http://127.0.0.1:{server.server_port}", "model", Trust())
        asked = {
            "champion": registry.promotions.champion,
            "alias": lambda: registry.at(CHAMPION),
            "versions": registry.versions,
            "get": lambda: registry.get(1),
        }
        with pytest.raises(RegistryError) as refused:
            asked[what]()
        server.shutdown()
    assert "MLFLOW_TRACKING_PASSWORD" in str(refused.value)
    with pytest.raises(RegistryError, match="check MLFLOW_TRACKING_URI and that its server runs"):
        asked[what]()
