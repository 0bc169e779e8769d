"""What is read of MLflow without importing it is what MLflow's own client reads."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from mtl.errors import RegistryError
from mtl.registry.records.client import ReadingClient
from mtl.registry.tracking import connect, explained, reading
from tests.conftest import not_none
from tests.servers import mlflow_server, running


@pytest.fixture(scope="module", params=["sqlite", pytest.param("http", marks=pytest.mark.slow)])
def uri(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("mlflow")
    if request.param == "http":
        with running(mlflow_server(folder, f"sqlite:///{folder}/server.db")) as server:
            yield server.address
    else:
        yield f"sqlite:///{folder}/mlflow.db"


@pytest.fixture(scope="module")
def run(uri: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run with artifacts and two versions, one of which has an alias."""
    client = connect(uri)
    artifacts = None if uri.startswith("http") else tmp_path_factory.mktemp("artifacts").as_uri()  # else here
    experiment = client.create_experiment("one", artifacts, tags={"a": "b", "é": ""})
    run = client.create_run(experiment, run_name="first").info.run_id
    client.log_param(run, "change/000001", "x" * 6000)
    client.set_tag(run, "mtl.é", "ü\n'")
    client.log_text(run, "report", "evaluate/report.json")
    client.log_text(run, "weights", "model/artifacts/bundle/weights")
    client.create_registered_model("model")
    for number in range(2):
        client.create_model_version(
            "model", f"{client.get_run(run).info.artifact_uri}/model", run, tags={"n": str(number)}
        )
    client.set_registered_model_alias("model", "champion", "2")
    return run


class Forbidden:
    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"MLflow's own client was asked: {name}")


def light(uri: str) -> ReadingClient:
    forbidden: Any = Forbidden()
    return ReadingClient(uri, lambda _: forbidden)


def test_the_same_as_mlflows(uri: str, run: str, tmp_path: Path) -> None:
    own, full = light(uri), connect(uri)
    for found, other in (
        (own.get_experiment_by_name("one"), full.get_experiment_by_name("one")),
        (own.get_model_version("model", "1"), full.get_model_version("model", "1")),
        (own.find_alias("model", "champion"), full.get_model_version_by_alias("model", "champion")),
        (own.get_run(run).info, full.get_run(run).info),
        (own.get_run(run).data, full.get_run(run).data),
    ):
        same = [key for key in vars(found) if hasattr(other, key) and not key.endswith("_time")]
        assert len(same) >= 2
        assert {key: getattr(found, key) for key in same} == {key: getattr(other, key) for key in same}
    assert own.get_experiment_by_name("two") is None
    assert own.find_alias("model", "challenger") is None
    assert Path(own.download_artifacts(run, "evaluate/report.json", str(tmp_path))).read_text() == "report"


def test_what_is_absent_is_mlflows_to_say(uri: str, run: str, tmp_path: Path) -> None:
    client = reading(uri)
    with pytest.raises(MlflowException):
        client.get_model_version("model", "7")
    with pytest.raises(RegistryError), explained(uri):
        client.get_run("0" * 32)
    with pytest.raises((OSError, MlflowException)):
        client.download_artifacts(run, "evaluate/nothing.json", str(tmp_path))
    assert reading(uri).find_alias("nothing", "champion") is None
    path = Path(client.download_artifacts(run, "model", str(tmp_path)), "artifacts", "bundle", "weights")
    assert path.read_text() == "weights"


def test_what_is_deleted(uri: str, run: str) -> None:
    full = connect(uri)
    version = full.create_model_version("model", f"{full.get_run(run).info.artifact_uri}/model", run).version
    full.set_registered_model_alias("model", "gone", version)
    full.delete_model_version("model", version)
    client = reading(uri)
    assert client.find_alias("model", "gone") is None
    with pytest.raises(MlflowException):
        client.get_model_version("model", version)
    other = full.create_experiment("three")
    full.delete_experiment(other)
    assert not_none(client.get_experiment_by_name("three")).lifecycle_stage == "deleted"


def test_another_schema_is_mlflows(uri: str, run: str, tmp_path: Path) -> None:
    if uri.startswith("http"):
        pytest.skip("of a database")
    shutil.copyfile(uri.removeprefix("sqlite:///"), tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    assert not_none(light(uri).get_experiment_by_name("one")).name == "one"
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("update alembic_version set version_num = 'other'")
    with pytest.raises(AssertionError, match="own client was asked"):
        light(uri).get_experiment_by_name("one")


@pytest.mark.parametrize("name", ["MLFLOW_TRACKING_AWS_SIGV4", "MLFLOW_TRACKING_INSECURE_TLS", "MLFLOW_WORKSPACE"])
def test_other_ways_to_a_server_are_mlflows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "true")
    with pytest.raises(AssertionError, match="own client was asked"):
        light("http://127.0.0.1:9").get_experiment_by_name("one")


def test_writing_is_mlflows(uri: str, run: str) -> None:
    client = reading(uri)
    made = client.create_run(client.create_experiment("written")).info.run_id
    assert light(uri).get_run(made).info.status == "RUNNING"
    assert isinstance(client._full, mlflow.MlflowClient)
