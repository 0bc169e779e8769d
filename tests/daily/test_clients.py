"""The tools' own clients, on a checkout with a champion: whatever they do there, every version verifies before and after."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from flows.registry.load import registry_of
from flows.registry.relocation import relocate
from tests.conftest import ROOT, clean_environment, embedded, free_port, mtl
from tests.flows.watch import Watched
from tests.servers import ask, basic_of

MODEL = "multitask"
MLFLOW = {
    "mlflow.pyfunc.load_model": f"import mlflow; mlflow.pyfunc.load_model('models:/{MODEL}@champion')",
    "mlflow runs, searched and read": (
        f"import mlflow; c = mlflow.MlflowClient(); v = c.get_model_version('{MODEL}', '1'); "
        "c.list_artifacts(v.run_id); mlflow.search_runs(search_all_experiments=True)"
    ),
    "a note and a tag that somebody sets in MLflow": (
        f"import mlflow; c = mlflow.MlflowClient(); c.set_model_version_tag('{MODEL}', '1', 'mine', 'yes'); "
        f"c.update_model_version('{MODEL}', '1', 'a note'); c.set_registered_model_alias('{MODEL}', 'best', '1')"
    ),
}
DVC = {
    "dvc exp run": ["exp", "run", "-S", "evaluate.num_resamples=120"],
    "dvc exp show": ["exp", "show", "--json"],
    "dvc diff": ["diff", "--json"],
    "dvc metrics and plots": ["plots", "show", "--json"],
    "dvc push": ["push"],
    "dvc pull": ["pull"],
    "dvc checkout --force": ["checkout", "--force"],
    "dvc gc --workspace": ["gc", "--workspace", "--force"],
}


@pytest.fixture(scope="module")
def here(retrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a checkout with a champion, for all of these one after the other."""
    folder = tmp_path_factory.mktemp("clients") / "checkout"
    shutil.copytree(retrained, folder, symlinks=True)
    relocate(embedded(folder))
    return folder


@pytest.fixture(autouse=True)
def every_version_verifies(here: Path, tmp_path: Path) -> None:
    """Before the test; `_verify` says it after."""
    _verify(here, tmp_path / "before")


def _verify(here: Path, scratch: Path) -> None:
    registry = registry_of(embedded(here), MODEL)
    champion = registry.champion()
    assert champion is not None
    for version in registry.versions():
        assert version.doubt is None
        registry.package(version, scratch / str(version.number))
        registry.evaluation(version)


def _run(here: Path, *words: str) -> str:
    own = {"PYTHONPATH": str(ROOT), "DVC_NO_ANALYTICS": "1", "MLFLOW_TRACKING_URI": embedded(here).mlflow_uri}
    own["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own |= {f"GIT_{who}_{what}": "t@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(
        words, cwd=here, env=clean_environment() | own, capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "code", [pytest.param(code, id=name, marks=pytest.mark.daily(situation=name)) for name, code in MLFLOW.items()]
)
def test_mlflow_in_python(here: Path, tmp_path: Path, code: str) -> None:
    _run(here, sys.executable, "-c", code)
    _verify(here, tmp_path / "after")


@pytest.mark.slow
@pytest.mark.daily(situation="mlflow models predict")
def test_mlflow_models_predict(here: Path, tmp_path: Path) -> None:
    image = next((here / "outputs").rglob("*.png")).read_bytes()
    given = tmp_path / "given.json"
    given.write_text(json.dumps({"dataframe_records": [{"image": base64.b64encode(image).decode()}]}))
    words = ["-m", f"models:/{MODEL}@champion", "-i", str(given), "-t", "json", "--env-manager", "local"]
    said = _run(here, sys.executable, "-m", "mlflow", "models", "predict", *words)
    assert json.loads(said[said.index("{") :])["predictions"]
    _verify(here, tmp_path / "after")


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [pytest.param(words, id=name, marks=pytest.mark.daily(situation=name)) for name, words in DVC.items()]
)
def test_dvc_in_the_checkout(here: Path, tmp_path: Path, words: list[str]) -> None:
    _run(here, sys.executable, "-m", "dvc", *words)
    _verify(here, tmp_path / "after")


@pytest.mark.slow
@pytest.mark.daily(situation="dvc import of the prepared data into another project")
def test_dvc_import(here: Path, tmp_path: Path) -> None:
    _run(here, "git", "add", "-f", "dvc.lock")
    _run(here, "git", "commit", "-qm", "a run", "--allow-empty")
    other = tmp_path / "other"
    other.mkdir()
    for words in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        _run(other, *words)
    _run(other, sys.executable, "-m", "dvc", "import", str(here), "outputs/prepared", "-o", "prepared")
    assert (other / "prepared" / "manifest.json").exists()
    _verify(here, tmp_path / "after")


@pytest.mark.long
@pytest.mark.daily(
    situation="a run that is started, and one that is cancelled, in Prefect's page, while mtl serve runs"
)
def test_prefect_starts_and_cancels_a_run(here: Path, tmp_path: Path) -> None:
    port = free_port()
    own = clean_environment() | {"PYTHONPATH": str(here), "MTL_PREFECT_PORT": str(port)}
    api, login = f"http://127.0.0.1:{port}/api", basic_of(here / ".mtl")

    def state(run: str) -> str:
        return ask(f"{api}/flow_runs/{run}", login)["state"]["type"]

    def until(run: str, *wanted: str) -> None:
        deadline = time.monotonic() + 300
        while (now := state(run)) not in wanted:
            assert time.monotonic() < deadline, now
            time.sleep(1)

    served = Watched([sys.executable, "-m", "flows.cli", "serve"], here, own)
    try:
        served.until("schedule ", 300)
        deadline = time.monotonic() + 200
        while not (found := [d for d in _deployments(api, login) if d["name"].startswith("scheduled")]):
            assert time.monotonic() < deadline, served.output
            time.sleep(1)
        create = f"{api}/deployments/{found[0]['id']}/create_flow_run"
        until(ask(create, login, {})["id"], "COMPLETED")
        forced = ask(create, login, {"parameters": {"force": True}})["id"]
        until(forced, "RUNNING")
        time.sleep(5)
        ask(f"{api}/flow_runs/{forced}/set_state", login, {"state": {"type": "CANCELLING"}})
        until(forced, "CANCELLED", "CRASHED")
    finally:
        family = psutil.Process(served.process.pid).children(recursive=True)
        served.end(seconds=120)
    _, alive = psutil.wait_procs(family, timeout=60)
    assert not alive, [process.cmdline() for process in alive]
    assert mtl(here, "status").returncode == 0
    _verify(here, tmp_path / "after")


def _deployments(api: str, login: str) -> list[dict[str, str]]:
    try:
        return ask(f"{api}/deployments/filter", login, {})
    except OSError:  # the server is starting
        return []
