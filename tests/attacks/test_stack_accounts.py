"""Who the flows are to MLflow, and passwords that are none."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from flows.processes.ui import mlflow_command
from flows.stack.accounts import ACCOUNT, ADMIN_PASSWORD, PASSWORD
from flows.stack.passwords import refuse_weak
from flows.stack.plan import make_plan, read_plan
from flows.stack.servers import responds
from mtl.errors import ConfigError
from mtl.storage.private import write_private
from tests.conftest import ROOT, free_port
from tests.servers import Server, running

GOOD = "3vKp-rT9x_Lq7mZw"
ADMIN = ("admin", "Yc2n-Ht6b_Wd8sJf")


@pytest.mark.attack(boundary="local user", attack="a password that stands in an example")
@pytest.mark.parametrize(
    "password",
    [
        "change-me",
        "change-me-please",
        "ChangeMe1234!",
        "mtl:change-me-now",
        "password12345",
        "minioadmin:minioadmin",
        "short",
        "",
    ]
    + ["aaaaaaaaaaaaaaaa", "my-secret-password", "admin-admin-admin", "4711-change-me"],
)
def test_a_password_of_an_example_is_refused(password: str) -> None:
    with pytest.raises(ConfigError) as refused:
        refuse_weak({"PREFECT_PASSWORD": password, "RAY_TOKEN": GOOD})
    assert "PREFECT_PASSWORD" in str(refused.value)
    assert "RAY_TOKEN" not in str(refused.value)
    assert not password or f" {password}" not in str(refused.value)


@pytest.mark.attack(boundary="local user", attack="a password that stands in an example")
def test_the_command_that_containers_wait_for() -> None:
    words = [sys.executable, "-m", "flows.stack.passwords", "A", "B"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    good = environment | {"A": GOOD, "B": f"user:{ADMIN[1]}"}
    assert subprocess.run(words, env=good, check=False).returncode == 0
    for wrong in ({"B": GOOD}, {"B": "mtl:change-me"}, {"A": ""}):
        done = subprocess.run(words, env=good | wrong, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "passwords that others can guess" in done.stderr
        assert GOOD not in done.stderr


def test_a_stack_that_was_made_before_keeps_its_admin(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    old = (tmp_path / "stack.json").read_text().replace('"mlflow_admin"', '"forgotten"')
    write_private(tmp_path / "stack.json", old)
    again = make_plan(tmp_path)
    assert again.secrets["mlflow_admin"] == plan.secrets["mlflow"] != again.secrets["mlflow"]
    assert read_plan(tmp_path) == make_plan(tmp_path) == again
    assert again.environment()["MLFLOW_TRACKING_USERNAME"] == ACCOUNT
    assert plan.secrets["mlflow"] not in again.environment().values()


def _server(folder: Path, *before: str, **environment: str) -> Server:
    """An MLflow with accounts over SQLite."""
    lines = ["[mlflow]", "default_permission = NO_PERMISSIONS", "admin_username = admin"]
    lines += [f"database_uri = sqlite:///{folder}/accounts.db"]
    lines += ["authorization_function = mlflow.server.auth:authenticate_request_basic_auth"]
    write_private(folder / "auth.ini", "\n".join(lines) + "\n")
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    own = {
        "PYTHONPATH": str(ROOT),
        "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{folder}/mlflow.db",
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "of this test alone",
        ADMIN_PASSWORD: ADMIN[1],
    }
    command = [*before, *mlflow_command(port, "--app-name", "basic-auth")]
    return Server(command, folder, address, lambda: responds(f"{address}/health"), own | environment)


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """An MLflow that the flows used as admin until today; a colleague has an experiment there since."""
    folder = tmp_path_factory.mktemp("mlflow")
    with (
        running(_server(folder)) as server,
        httpx.Client(base_url=f"{server.address}/api/2.0/mlflow", auth=ADMIN, timeout=60) as api,
    ):
        for path, made in (("experiments/create", "ours"), ("registered-models/create", "mtl")):
            api.post(path, json={"name": made}).raise_for_status()
    server = _server(folder, sys.executable, "-m", "flows.stack.accounts", **{PASSWORD: GOOD})
    with running(server), httpx.Client(base_url=f"{server.address}/api/2.0/mlflow", auth=ADMIN, timeout=60) as api:
        api.post("users/create", json={"username": "colleague", "password": "of-a-colleague-7"}).raise_for_status()
        theirs = httpx.BasicAuth("colleague", "of-a-colleague-7")
        api.post("experiments/create", json={"name": "theirs"}, auth=theirs).raise_for_status()
        api.auth = httpx.BasicAuth(ACCOUNT, GOOD)
        yield api


@pytest.mark.slow
@pytest.mark.attack(boundary="registry writer", attack="what the flows know of MLflow makes an admin")
def test_the_flows_are_no_admin(mlflow: httpx.Client) -> None:
    for method, path, body in (
        ("POST", "users/create", {"username": "friend", "password": "of-a-friend-123"}),
        ("PATCH", "users/update-admin", {"username": ACCOUNT, "is_admin": True}),
        ("PATCH", "users/update-password", {"username": "admin", "password": "mine-now-12345"}),
        ("DELETE", "users/delete", {"username": "colleague"}),
    ):
        assert mlflow.request(method, path, json=body).status_code == 403, path
    theirs = mlflow.get("experiments/get-by-name", params={"experiment_name": "theirs"})
    assert theirs.status_code == 403
    assert mlflow.post("runs/create", json={"experiment_id": "2"}).status_code == 403
    assert mlflow.get("experiments/search", params={"max_results": 1}, auth=ADMIN).status_code == 200


@pytest.mark.slow
def test_the_flows_own_what_was_there_and_what_they_make(mlflow: httpx.Client) -> None:
    ours = mlflow.get("experiments/get-by-name", params={"experiment_name": "ours"}).raise_for_status().json()
    experiment = ours["experiment"]["experiment_id"]
    mlflow.post("runs/create", json={"experiment_id": experiment}).raise_for_status()
    new = mlflow.post("experiments/create", json={"name": "new"}).raise_for_status().json()["experiment_id"]
    run = mlflow.post("runs/create", json={"experiment_id": new}).raise_for_status().json()["run"]["info"]
    for name in ("mtl", "another"):
        if name == "another":
            mlflow.post("registered-models/create", json={"name": name}).raise_for_status()
        body = {"name": name, "source": run["artifact_uri"], "run_id": run["run_id"]}
        mlflow.post("model-versions/create", json=body).raise_for_status()
        alias = {"name": name, "alias": "champion", "version": "1"}
        mlflow.post("registered-models/alias", json=alias).raise_for_status()
