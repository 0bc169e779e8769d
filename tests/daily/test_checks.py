"""What a command needs is looked at before it begins, and all that is missing is said at once."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import flows.checks as checks
from flows.checks import QUICK, TRAINING, check, remote
from flows.schedule.deployments import serve_schedule
from flows.settings import Settings
from flows.versions.backup import back_up
from flows.versions.predict import predict
from mtl.config.params import Config, load
from mtl.errors import MtlError
from mtl.registry.registry import Registry
from tests.conftest import ROOT, dvc, free_port, make_checkout, mtl
from tests.daily import situation


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in [name for name in os.environ if name.startswith("MTL_")]:
        monkeypatch.delenv(name)
    root = tmp_path / "checkout"
    (root / ".dvc").mkdir(parents=True)
    (root / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    (root / ".dvc" / "config").write_text((ROOT / ".dvc" / "config").read_text())
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    (root / ".mtl").mkdir()
    return Settings(root, root / ".mtl", f"sqlite:///{root}/.mtl/mlflow.db", None)


@pytest.fixture
def config(settings: Settings) -> Config:
    return load(settings.root / "params.yaml")


@situation("nothing is missing, in a checkout that never ran")
def test_all_is_there(settings: Settings, config: Config) -> None:
    check(settings, config, [*QUICK, *TRAINING])
    assert not (settings.home / "mlflow.db").exists()


@situation("key, registry, remote, storage and disk wrong: all are named at once, before anything is trained")
def test_everything_at_once(settings: Settings, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTL_SIGNING_KEY", "/nowhere/key.pem")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(checks, "FREE_BYTES", 2**62)
    (settings.root / ".dvc" / "config.local").write_text("['remote \"local\"']\n    url = /dev/null/remote\n")
    elsewhere = Settings(settings.root, settings.home, f"http://127.0.0.1:{free_port()}", None)
    cluster = config.cluster.model_copy(update={"storage": "/dev/null/checkpoints"})
    with pytest.raises(MtlError, match=r"[56] things are missing, and nothing was begun") as caught:
        check(elsewhere, config.model_copy(update={"cluster": cluster}), TRAINING)
    for fragment in ("MTL_SIGNING_KEY", "MLflow at http", "the DVC remote", "cluster.storage", "is nearly full"):
        assert fragment in str(caught.value)


@situation("no DVC remote is declared, or its server does not answer")
def test_remotes(settings: Settings, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "ANSWER_SECONDS", 3.0)
    (settings.root / ".dvc" / "config").write_text("[core]\n    analytics = false\n")
    with pytest.raises(MtlError, match="there is no DVC remote to push to"):
        check(settings, config, [remote])
    url = f"http://127.0.0.1:{free_port()}"
    words = f"[core]\n    remote = team\n['remote \"team\"']\n    url = s3://bucket/data\n    endpointurl = {url}\n"
    keys = "    access_key_id = a\n    secret_access_key = b\n"
    (settings.root / ".dvc" / "config").write_text(words + keys)
    with pytest.raises(MtlError, match=r"the DVC remote s3://bucket/data.* cannot be written to"):
        check(settings, config, [remote])


@situation("DVC's files are broken, lost, or have the marks of a merge")
def test_files_of_dvc(settings: Settings, config: Config) -> None:
    lock = settings.root / "dvc.lock"
    lock.write_text("<<<<<<< HEAD\nschema: '2.0'\n=======\nschema: '1.0'\n>>>>>>> theirs\n")
    with pytest.raises(MtlError, match=r"dvc\.lock is not valid YAML(?s:.*)a merge that was not finished"):
        check(settings, config, TRAINING)
    lock.unlink()
    (settings.root / ".dvc" / "config").write_text("[core\nremote = x\n")
    with pytest.raises(MtlError, match=r"DVC's settings in .* cannot be used"):
        check(settings, config, [remote])
    shutil.rmtree(settings.root / ".dvc")
    with pytest.raises(MtlError, match=r"DVC's settings in .* cannot be used(?s:.*)not inside of a DVC repository"):
        check(settings, config, [remote])


@pytest.mark.slow
@situation("mtl retrain and mtl serve: found before a server starts or a stage runs")
def test_retrain_and_serve(tmp_path: Path) -> None:
    folder = tmp_path / "checkout"
    folder.mkdir()
    make_checkout(folder, tmp_path / "no downloads")
    dvc(folder, "remote", "modify", "--local", "local", "url", "/dev/null/remote")
    for words in (["retrain"], ["serve"]):
        done = mtl(folder, *words, MTL_SIGNING_KEY="/nowhere/key.pem")
        assert done.returncode == 2, done.stdout + done.stderr
        for fragment in ("2 things are missing, and nothing was begun", "MTL_SIGNING_KEY", "the DVC remote"):
            assert fragment in done.stderr
    assert not (folder / "outputs").exists()
    assert not (folder / ".mtl" / "prefect" / "prefect.db").exists()


@situation("mtl backup without a key, or to a place that cannot be written to: nothing is copied")
def test_backup(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Registry(settings.mlflow_uri, "m", settings.trust)
    monkeypatch.setenv("MTL_SIGNING_KEY", "/nowhere/key.pem")
    with pytest.raises(MtlError, match="nothing can be signed"):
        back_up(settings, str(tmp_path / "back-ups"))
    assert not (tmp_path / "back-ups").exists()
    with pytest.raises(MtlError, match="2 things are missing"):
        back_up(settings, "/dev/null/x")


@situation("mtl predict to a place that cannot be written to")
def test_predict(settings: Settings) -> None:
    with pytest.raises(MtlError, match="--out cannot be written to"):
        predict(settings, ["champion"], ["x.png"], "/dev/null/out", ["parquet"])


def test_serve_refuses(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTL_SIGNING_KEY", "/nowhere/key.pem")
    with pytest.raises(MtlError, match="nothing can be signed"):
        serve_schedule(settings)
