"""A colleague's day: a fresh clone against the team's servers, then the first machine's disk is gone, and a third rebuilds it all."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mtl.registry.signing import own_keys
from tests.conftest import dvc, make_checkout, mtl, set_params
from tests.servers import mlflow_server, object_store, running, s3_environment


@dataclass(frozen=True)
class Team:
    """What a team shares: the code's origin, and what everybody's environment says."""

    folder: Path
    origin: Path
    environment: dict[str, str]
    bucket: dict[str, str]


def git(folder: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def told(folder: Path, *words: str, **environment: str) -> str:
    """What a command printed; it must succeed."""
    done = mtl(folder, *words, **environment)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory, downloads: Path) -> Iterator[Team]:
    """After the first machine's first run: version 1 is champion. Its disk holds the MLflow server, too."""
    folder = tmp_path_factory.mktemp("team")
    first = folder / "first"
    first.mkdir()
    make_checkout(first, downloads)
    key, _ = own_keys(folder / "secret")
    (folder / "store").mkdir()
    store, server = (
        object_store(folder / "store"),
        mlflow_server(first / "server", f"sqlite:///{first}/server/mlflow.db"),
    )
    with running(store), running(server):
        bucket = s3_environment(store.address)
        shared = bucket | {"MLFLOW_TRACKING_URI": server.address, "MTL_SIGNING_KEY": str(key)}
        dvc(first, "remote", "add", "--default", "--force", "team", "s3://store/dvc")
        git(first, "add", "-A")
        git(first, "commit", "-qm", "The team's remote")
        told(first, "retrain", **shared)
        git(first, "add", "dvc.lock")
        git(first, "commit", "-qm", "The first run")
        git(folder, "clone", "-q", "--bare", "first", "origin")
        yield Team(folder, folder / "origin", shared, bucket)


@pytest.fixture(scope="module")
def colleague(team: Team) -> Path:
    """A fresh clone on another machine, after its retraining: version 2 is champion."""
    git(team.folder, "clone", "-q", str(team.origin), "colleague")
    clone = team.folder / "colleague"
    dvc(clone, "pull", **team.environment)
    status = json.loads(told(clone, "status", "--json", **team.environment))
    assert status["champion"]["version"] == 1
    assert "unchanged" in told(clone, "retrain", **team.environment)
    set_params(clone / "params.yaml", "train.epochs=3", "gate.margin=1.0")
    git(clone, "commit", "-qam", "One epoch more; a gate that lets tiny models pass")
    told(clone, "retrain", **team.environment)
    assert json.loads(told(clone, "lineage", "2", "--json", **team.environment))["version"] == 2
    if json.loads(told(clone, "status", "--json", **team.environment))["champion"]["version"] != 2:
        told(clone, "promote", "2", "--override", "--why", "tiny models prove nothing", **team.environment)
    git(clone, "commit", "-qam", "The second run")
    git(clone, "push", "-q", "origin", "HEAD")
    return clone


@pytest.mark.long
@pytest.mark.daily(situation="a colleague's fresh clone: dvc pull, status, retrain, the gate, promote")
def test_a_fresh_clone_goes_on_where_the_team_is(team: Team, colleague: Path) -> None:
    history = json.loads(told(colleague, "history", "--json", **team.environment))
    assert [entry["to"] for entry in history] == [1, 2]
    first = json.loads(told(team.folder / "first", "status", "--json", **team.environment))
    assert first["champion"]["version"] == 2


@pytest.mark.long
@pytest.mark.daily(situation="a colleague without the team's key")
def test_without_the_teams_key_nothing_is_promoted(team: Team, colleague: Path) -> None:
    stranger = {name: value for name, value in team.environment.items() if name != "MTL_SIGNING_KEY"}
    assert "unverified" in told(colleague, "status", **stranger)
    refused = mtl(colleague, "rollback", **stranger)
    assert refused.returncode == 2
    assert "MTL_SIGNING_KEY" in refused.stderr + refused.stdout or "MTL_SIGNING_PUBLIC_KEY" in refused.stderr
    assert json.loads(told(colleague, "status", "--json", **team.environment))["champion"]["version"] == 2


@pytest.mark.long
@pytest.mark.daily(situation="the first machine's disk is gone: restore on a third, reproduce")
def test_a_third_machine_rebuilds_what_the_first_lost(team: Team, colleague: Path) -> None:
    server = team.folder / "first" / "server"
    database = {"MLFLOW_BACKEND_STORE_URI": f"sqlite:///{server}/mlflow.db"}
    database |= {"MLFLOW_ARTIFACTS_DESTINATION": str(server / "artifacts")}
    told(colleague, "backup", "s3://store/backups", **team.environment, **database)
    shutil.rmtree(team.folder / "first")
    shutil.rmtree(colleague)
    git(team.folder, "clone", "-q", str(team.origin), "third")
    third = team.folder / "third"
    own = team.bucket | {"MTL_SIGNING_KEY": team.environment["MTL_SIGNING_KEY"]}
    told(third, "restore", "s3://store/backups", **own)
    assert json.loads(told(third, "status", "--json", **own))["champion"]["version"] == 2
    assert "identical" in told(third, "reproduce", "2", **own)
    assert "unchanged" in told(third, "retrain", **own)
