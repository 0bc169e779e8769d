"""A training on a cluster of several nodes that come and go; its checkpoints in a bucket."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import s3fs

from tests.conftest import clean_environment, dvc, make_checkout, set_params
from tests.servers import object_store, running, s3_environment
from tests.watch import Watched

SETTINGS = (
    "data.source.num_train=400",
    "train.epochs=400",
    "train.patience=400",
    "train.num_workers=3",
    "train.min_workers=1",
    "train.batch_size=24",
    "train.checkpoint_every=10",
)


@pytest.fixture(scope="module")
def prepared_checkout(tmp_path_factory: pytest.TempPathFactory, downloads: Path) -> Path:
    """A checkout whose data are prepared."""
    folder = make_checkout(tmp_path_factory.mktemp("elastic"), downloads, *SETTINGS)
    dvc(folder, "repro", "-q", "prepare", MTL_HOME=str(folder / ".mtl"))
    return folder


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Buckets, and credentials for them in the environment."""
    with running(object_store(tmp_path / "store")) as server:
        for name, value in s3_environment(server.address).items():
            monkeypatch.setenv(name, value)
        yield "s3://store"


@pytest.fixture
def cluster(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head without CPUs, whose nodes have the bucket's credentials; the test adds nodes, each of its own processes."""
    for name, value in {"RAY_AUTH_MODE": "disabled", "RAY_raylet_start_wait_time_s": "300"}.items():
        monkeypatch.setenv(name, value)
    from ray.cluster_utils import Cluster

    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 80_000_000})
    try:
        yield found
    finally:
        found.shutdown()


def stage(checkout: Path, address: str, storage: str) -> Watched:
    """The train stage on a cluster."""
    set_params(checkout / "params.yaml", f"cluster.address={address}", f"cluster.storage={storage}")
    own = clean_environment() | {"PYTHONPATH": str(checkout), "MTL_HOME": str(checkout / ".mtl")}
    return Watched([sys.executable, "-m", "mtl.stages.train"], checkout, own)


@pytest.mark.slow
def test_a_lost_node_shrinks_the_group_and_a_new_one_grows_it(
    prepared_checkout: Path, cluster: Any, bucket: str
) -> None:
    nodes = [cluster.add_node(num_cpus=1, object_store_memory=80_000_000) for _ in range(3)]
    training = stage(prepared_checkout, cluster.address, f"{bucket}/trainings")
    try:
        training.until("train: step 30/", 240)
        cluster.remove_node(nodes[0], allow_graceful=False)
        lost = training.until("train: with 2 workers after 3", 240)
        resumed = int(training.output.split("train: goes on from step ")[-1].split()[0])
        steps = [int(line.split("/")[0]) for line in training.output.split("train: step ")[1:]]
        assert max(steps) - resumed < 20  # a checkpoint every 10 steps, a line every 10
        training.until("train: step ", 60)
        cluster.add_node(num_cpus=1, object_store_memory=80_000_000)
        back = training.until("train: with 3 workers after 2", 240)
        training.until("train: step ", 60)
    finally:
        code = training.end()
    assert code == 130
    print(f"with two after {lost:.0f} s, with three again after {back:.0f} s")
    client = s3fs.S3FileSystem(skip_instance_cache=True)
    files = client.find(f"{bucket}/trainings")
    manifests = [path for path in files if path.endswith("manifest.json")]
    assert 1 <= len(manifests) <= 2  # train.keep_checkpoints, and nothing else is left of the training
    for path in manifests:
        document = json.loads(client.cat_file(path))
        ((name, _),) = document["files"].items()
        assert client.info(f"{path.rsplit('/', 1)[0]}/{name}")["size"] == document["bytes"]
    assert not [path for path in files if "/ray/" in path or path.endswith(".tmp")]
