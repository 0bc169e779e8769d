"""A training on a cluster of several nodes that come and go; its checkpoints in a bucket."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import s3fs

from mtl.data.prepare.job import RECORDS, SHARDS, by_job
from mtl.data.prepare.prepare import prepare
from mtl.data.raw.rows import RawSample, read_split
from mtl.data.spec import DatasetSpec
from mtl.errors import DataError
from mtl.storage.seal import seal_of
from mtl.storage.store import Store
from tests.conftest import clean_environment, dvc, free_port, heard, make_checkout, not_none, set_params
from tests.data.test_formats import TASKS, configured, fetched, image_folder
from tests.data.test_prepare import contents
from tests.flows.watch import Watched, kill_family
from tests.servers import object_store, running, s3_environment

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


def stage(
    checkout: Path,
    address: str,
    storage: str,
    changes: Sequence[str] = (),
    inside: Sequence[str] = (),
    **environment: str,
) -> Watched:
    """The train stage on a cluster, with changes to SETTINGS; inside: words before the command, of whatever it is in.

    The checkout is shared by the tests: each says its settings anew, so that none finds another's finished training.
    """
    places = (f"cluster.address={address}", f"cluster.storage={storage}")
    set_params(checkout / "params.yaml", *SETTINGS, *places, *changes)
    own = clean_environment() | {"PYTHONPATH": str(checkout), "MTL_HOME": str(checkout / ".mtl")}
    return Watched([*inside, sys.executable, "-m", "mtl.stages.train"], checkout, own | environment)


@pytest.mark.long
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
        new = cluster.add_node(num_cpus=1, object_store_memory=80_000_000)
        back = training.until("train: with 3 workers after 2", 240)
        training.until("train: step ", 60)
        drain(cluster.address, new.node_id)
        training.until("for a machine is about to leave", 30)
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


@pytest.fixture
def jobs(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a cluster's Jobs API; two of its nodes train."""
    for name, value in {"RAY_AUTH_MODE": "disabled", "RAY_raylet_start_wait_time_s": "300"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")  # as an image has it
    from ray.cluster_utils import Cluster

    port = free_port()
    head = {"num_cpus": 0, "object_store_memory": 80_000_000, "include_dashboard": True, "dashboard_port": port}
    found = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(2):
            found.add_node(num_cpus=1, object_store_memory=80_000_000)
        yield f"http://127.0.0.1:{port}"
    finally:
        found.shutdown()


@pytest.mark.long
def test_a_remote_training_is_joined_stopped_and_finished(prepared_checkout: Path, jobs: str, bucket: str) -> None:
    from ray.job_submission import JobSubmissionClient

    short = ("train.epochs=24", "train.num_workers=2", "train.min_workers=2")
    first = stage(prepared_checkout, jobs, f"{bucket}/handed", short)
    first.until("handed over", 120)
    first.until("train: step 20/", 240)
    kill_family(first.process.pid)  # the machine that handed it over is lost: the job goes on
    again = stage(prepared_checkout, jobs, f"{bucket}/handed", short)
    again.until("train: joins the job mtl-", 120)
    again.until("train: step ", 60)
    assert again.end() == 130
    client = JobSubmissionClient(jobs)
    deadline = time.monotonic() + 60
    while str(client.list_jobs()[0].status.value) == "RUNNING":
        assert time.monotonic() < deadline
        time.sleep(1)
    last = stage(prepared_checkout, jobs, f"{bucket}/handed", short)
    last.until("train: goes on from step", 240)
    assert last.process.wait(300) == 0
    assert (prepared_checkout / "outputs" / "train" / "weights.safetensors").exists()
    assert len(client.list_jobs()) == 2
    for job in client.list_jobs():  # nothing secret travels with a job
        described = json.dumps([job.entrypoint, job.runtime_env]) + client.get_job_logs(not_none(job.submission_id))
        assert os.environ["AWS_SECRET_ACCESS_KEY"] not in described


@pytest.mark.slow
def test_shards_built_by_a_job_are_those_built_here(
    raw: Path, spec: DatasetSpec, jobs: str, bucket: str, tmp_path: Path
) -> None:
    scenes: list[RawSample] = [s for s in read_split(raw, "train", spec) if "species" in s.targets]
    settings = {"path": f"{bucket}/animals"} | image_folder(tmp_path / "animals", scenes, spec)
    broken = next((tmp_path / "animals").rglob("*.png"))
    broken.write_bytes(broken.read_bytes()[:300])
    s3fs.S3FileSystem().put(str(tmp_path / "animals"), f"{bucket}/animals", recursive=True)
    config = configured({"own": settings}, {"species": TASKS["species"]})
    lenient = config.data.model_copy(update={"max_bad_fraction": 0.1, "shard_size": 32})
    cluster = {"address": jobs, "storage": f"{bucket}/work", "prepare": "ray"}
    config = config.model_copy(update={"data": lenient, "cluster": config.cluster.model_copy(update=cluster)})
    fetched(config, tmp_path / "raw")
    here = prepare(lenient, tmp_path / "raw", tmp_path / "here")
    assert [found.id for found in here.quarantined] == [f"{broken.parent.name}/{broken.stem}"]
    # One shard is there already, of a job that was killed.
    first, *others = [record for record in here.shards if record.num_samples]
    seal = seal_of("preparations", tmp_path / "home")
    half = Store(f"{bucket}/work/preparations/{seal.name}")
    half.put(f"{SHARDS}/{first.file}", (tmp_path / "here" / first.file).read_bytes())
    seal.write(half.child(RECORDS), f"{first.file}.json", first.model_dump(mode="json"))
    with heard() as lines:
        prepare(lenient, tmp_path / "raw", tmp_path / "there", runner=by_job(config, tmp_path / "home"))
    assert contents(tmp_path / "here") == contents(tmp_path / "there")
    told = "\n".join(lines)
    assert f"prepare: {first.file}" not in told
    assert all(f"prepare: {record.file} with {record.num_samples} images" in told for record in others)
    assert Store(f"{bucket}/work").names() == []


def test_a_job_cannot_read_images_of_this_machine(raw: Path, spec: DatasetSpec, tmp_path: Path) -> None:
    scenes: list[RawSample] = [s for s in read_split(raw, "train", spec) if "species" in s.targets]
    settings = {"path": str(tmp_path / "animals")} | image_folder(tmp_path / "animals", scenes, spec)
    config = configured({"own": settings}, {"species": TASKS["species"]})
    fetched(config, tmp_path / "raw")
    with pytest.raises(DataError, match="cannot reach this machine's images"):
        prepare(config.data, tmp_path / "raw", tmp_path / "there", runner=by_job(config, tmp_path / "home"))


@pytest.mark.slow
def test_a_cluster_out_of_reach_says_so(prepared_checkout: Path, bucket: str) -> None:
    training = stage(prepared_checkout, f"http://127.0.0.1:{free_port()}", f"{bucket}/nobody")
    training.until("is out of reach", 120)
    assert training.process.wait(60) == 1  # another try may help


@pytest.mark.slow
def test_no_memory_ends_with_the_batch_size_to_try(prepared_checkout: Path) -> None:
    """Ray's own monitor ends a worker, here at a tiny share of the machine."""
    limits = {"RAY_memory_usage_threshold": "0.03", "RAY_memory_monitor_refresh_ms": "100"}
    training = stage(prepared_checkout, "local", "''", **limits)
    training.until("fix:   set train.batch_size to 12", 120)
    assert training.process.wait(60) == 3
    assert "out of memory with batches of 24 images" in training.output


def drain(address: str, node: str) -> None:
    """What an autoscaler does when a spot instance is about to be taken away."""
    words = ["drain-node", "--address", address, "--node-id", node, "--deadline-remaining-seconds", "60"]
    words += ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "spot instance"]
    ray = str(Path(sys.executable).with_name("ray"))
    done = subprocess.run([ray, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class Hosts:
    """Two hosts of one network, in namespaces of this machine; each runs a node of one Ray cluster."""

    HEAD = "10.77.0.1:6379"

    def __init__(self, folder: Path) -> None:
        self.names = [f"mtl{os.getpid()}{side}" for side in "ab"]
        self.folder = folder
        self.nodes: dict[int, subprocess.Popen[bytes]] = {}
        # A cut link is silent: how soon it is noticed is a setting of the head.
        self.environment = {
            "GLOO_SOCKET_IFNAME": "eth0",
            "RAY_AUTH_MODE": "disabled",
            "RAY_health_check_period_ms": "1000",
            "RAY_health_check_timeout_ms": "3000",
            "RAY_health_check_failure_threshold": "5",
        }

    def __enter__(self) -> Hosts:
        a, b = self.names
        for words in (
            f"netns add {a}",
            f"netns add {b}",
            f"link add {a} type veth peer name {b}",
            f"link set {a} netns {a} name eth0",
            f"link set {b} netns {b} name eth0",
            *(f"-n {n} addr add 10.77.0.{i + 1}/24 dev eth0" for i, n in enumerate(self.names)),
            *(f"-n {n} link set {device} up" for n in self.names for device in ("eth0", "lo")),
        ):
            subprocess.run(["ip", *words.split()], check=True, capture_output=True)
        self.start(0)
        self.start(1)
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes.values():
            _end_family(node)
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], check=False)

    def inside(self, index: int) -> list[str]:
        """Words before a command that is to run on a host."""
        return ["ip", "netns", "exec", self.names[index]]

    def start(self, index: int) -> None:
        """Start a host's node; the first is the head."""
        where = ["--head", "--port=6379", "--include-dashboard=false"] if index == 0 else [f"--address={self.HEAD}"]
        command = [*self.inside(index), str(Path(sys.executable).with_name("ray")), "start", "--block", *where]
        command += [f"--node-ip-address=10.77.0.{index + 1}", "--num-cpus=1", "--object-store-memory=80000000"]
        command += ["--disable-usage-stats"]
        log = (self.folder / f"node-{index}.log").open("ab")
        environment = clean_environment() | self.environment
        self.nodes[index] = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        time.sleep(8)

    def link(self, state: str) -> None:
        """Cut the cable, or mend it."""
        subprocess.run(["ip", "-n", self.names[0], "link", "set", "eth0", state], check=True)

    def again(self, index: int) -> None:
        """What a supervisor does (KubeRay, systemd): start a node whose raylet ended itself when it was cut off."""
        _end_family(self.nodes[index])
        self.start(index)


def _end_family(process: subprocess.Popen[bytes]) -> None:
    kill_family(process.pid)
    process.wait(20)


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("ip") is None, reason="network namespaces need root")
def test_a_cut_link_shrinks_the_group_and_a_mended_one_grows_it(prepared_checkout: Path, tmp_path: Path) -> None:
    set_params(prepared_checkout / "params.yaml", "train.num_workers=2")
    with Hosts(tmp_path) as hosts:
        storage = str(tmp_path / "shared")
        training = stage(prepared_checkout, hosts.HEAD, storage, inside=hosts.inside(0), **hosts.environment)
        try:
            training.until("train: step 30/", 240)
            hosts.link("down")
            lost = training.until("train: with 1 workers after 2", 300)
            training.until("train: step ", 60)
            hosts.link("up")
            hosts.again(1)
            back = training.until("train: with 2 workers after 1", 300)
            training.until("train: step ", 60)
        finally:
            code = training.end()
    assert code == 130
    print(f"link cut: alone after {lost:.0f} s; mended: two after {back:.0f} s")
