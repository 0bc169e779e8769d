"""Runs at the same time: of one checkout, and of one fingerprint on two machines. And of a checkout that is read-only."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mtl.registry.promotion import CHAMPION
from mtl.registry.registry import Registry
from mtl.registry.signing import own_keys
from mtl.registry.tracking import FINGERPRINT, Tracker
from mtl.registry.trust import Trust
from tests.conftest import clean_environment, dvc, make_checkout, mtl


def retrain(arguments: tuple[Path, dict[str, str], tuple[str, ...]]) -> subprocess.CompletedProcess[str]:
    """`mtl retrain` in a checkout."""
    folder, environment, words = arguments
    return mtl(folder, "retrain", *words, **environment)


def registry(uri: str, keys: Path) -> Registry:
    return Registry(uri, "multitask", Trust(own=keys))


def test_an_experiment_created_concurrently_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    theirs = Tracker(uri, "one", (tmp_path / "artifacts").as_uri())
    made = theirs.client.get_experiment_by_name("one")
    answers = [None, made, made]  # not yet there when we looked
    monkeypatch.setattr("mlflow.MlflowClient.get_experiment_by_name", lambda *_: answers.pop(0))
    assert Tracker(uri, "one").experiment == theirs.experiment
    assert not answers


@pytest.mark.long
def test_runs_of_one_checkout_go_on_beside_each_other(tmp_path: Path, downloads: Path) -> None:
    checkout = make_checkout(tmp_path / "here", downloads)
    dvc(checkout, "repro", "-q", "prepare", MTL_HOME=str(checkout / ".mtl"))
    files = {p: p.read_bytes() for p in checkout.glob("*.yaml")}
    with ThreadPoolExecutor(3) as pool:
        orders = [(checkout, {}, words) for words in ((), ("--set", "seed=1"), ())]
        plain, changed, again = list(pool.map(retrain, orders))
    # The same twice at a time: one of them says that it is going on already.
    refused = [done for done in (plain, again) if done.returncode == 2]
    assert [done.returncode for done in (plain, again) if done not in refused] == [0], plain.stdout + again.stdout
    assert len(refused) == 1
    assert "another retraining is running" in refused[0].stderr
    assert changed.returncode == 0, changed.stdout[-3000:] + changed.stderr[-2000:]
    found = registry(f"sqlite:///{checkout}/.mtl/mlflow.db", checkout / ".mtl" / "keys")
    versions = found.versions()
    assert len({v.tags[FINGERPRINT] for v in versions}) == len(versions) == 2
    assert all("mtl.decision" in v.tags for v in versions)
    assert {p: p.read_bytes() for p in checkout.glob("*.yaml")} == files
    assert not list((checkout / ".mtl" / "workspaces").iterdir())


@pytest.mark.long
def test_two_machines_with_one_fingerprint_register_one_version(tmp_path: Path, downloads: Path) -> None:
    first = make_checkout(tmp_path / "first", downloads)
    dvc(first, "repro", "-q", "prepare", MTL_HOME=str(first / ".mtl"))
    shutil.copytree(first, tmp_path / "second", symlinks=True)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    keys = tmp_path / "keys"
    environment = {"MLFLOW_TRACKING_URI": uri, "MTL_SIGNING_KEY": str(own_keys(keys)[0])}
    registry(uri, keys).versions()  # the tables are there
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(retrain, [(tmp_path / name, environment, ()) for name in ("first", "second")]))
    found = registry(uri, keys)
    (version,) = found.versions()
    assert all(d.returncode == 0 for d in done), "\n".join(d.stdout[-2500:] + d.stderr[-1500:] for d in done)
    assert [e.to for e in found.promotions.history()] == [version.number]
    champion = found.at(CHAMPION)
    assert champion is not None
    assert champion.number == version.number
    assert "mtl.decision" in version.tags


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="a read-only mount needs root")
def test_a_read_only_checkout_is_retrained_in_a_copy(tmp_path: Path, downloads: Path) -> None:
    checkout, home = make_checkout(tmp_path / "here", downloads), tmp_path / "home"
    shutil.move(checkout / ".mtl", home)
    shutil.rmtree(home / "trainings", ignore_errors=True)
    script = f"mount --bind {checkout} {checkout} && mount -o remount,ro,bind {checkout} && cd {checkout} && "
    environment = clean_environment() | {"PYTHONPATH": str(checkout)}

    def retrained(**more: str) -> subprocess.CompletedProcess[str]:
        command = ["unshare", "--mount", "sh", "-c", f"{script} exec {sys.executable} -m flows.cli retrain"]
        return subprocess.run(command, env=environment | more, capture_output=True, text=True, check=False)

    nowhere = retrained()
    assert nowhere.returncode == 2
    assert "set MTL_HOME" in nowhere.stderr
    done = retrained(MTL_HOME=str(home))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert not (checkout / "dvc.lock").exists()
    (version,) = registry(f"sqlite:///{home}/mlflow.db", home / "keys").versions()
    assert version.tags["mtl.decision"].startswith("promoted")
