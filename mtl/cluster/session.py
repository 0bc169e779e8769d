"""A Ray cluster for as long as something runs: this machine's own, or a connection to one that is there."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sys
from collections.abc import Generator
from importlib import import_module
from pathlib import Path
from typing import Any

from mtl.config.trees.cluster import ClusterTree
from mtl.errors import TrainingError
from mtl.logs import EVENTS
from mtl.output.redaction import CREDENTIAL_FILES
from mtl.surroundings import short_scratch

_ENVIRONMENT = {
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "60",
    "RAY_raylet_start_wait_time_s": "300",  # slow machines: the raylet would abort
    "RAY_agent_register_timeout_ms": "300000",
    "RAY_DEDUP_LOGS": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",  # it prints every line twice
    "RAY_COLOR_PREFIX": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


RENDEZVOUS = "MTL_RENDEZVOUS"
"""The folder where workers of a local cluster meet: a file there needs no port, as torch's store does."""
_LOOPBACK = "lo" if sys.platform == "linux" else "lo0"


def on_loopback(scratch: str) -> dict[str, str]:
    """The environment of a cluster of this machine alone, read before Ray is imported; scratch: a folder of all its nodes."""
    return {
        # Ray takes every address of the machine for its own, but where it believes that clusters are not to be had.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "GLOO_SOCKET_IFNAME": _LOOPBACK,
        "NCCL_SOCKET_IFNAME": _LOOPBACK,
        RENDEZVOUS: scratch,
    }


@contextlib.contextmanager
def cluster(config: ClusterTree, num_cpus: int | None = None) -> Generator[Any]:
    """Ray, connected. Nothing of a local one outlives the block; it listens on loopback alone, and to who has its token.

    Args:
        num_cpus: of a local cluster; all of this machine's by default.

    Raises:
        TrainingError: no cluster answers at the address.
    """
    os.environ.update({key: os.environ.get(key, value) for key, value in _ENVIRONMENT.items()})
    # What is not handed over through the Jobs API runs here.
    local = config.cluster.address == "local" or config.cluster.by_jobs
    with _own_cluster(config, num_cpus) if local else _joined(config) as ray:
        yield ray


def gpu_for_each(ray: Any, config: ClusterTree) -> bool:
    """Whether the cluster has a GPU for each worker, and may be asked for them."""
    return config.cluster.use_gpu == "auto" and ray.cluster_resources().get("GPU", 0) >= config.train.num_workers


@contextlib.contextmanager
def _own_cluster(config: ClusterTree, num_cpus: int | None) -> Generator[object]:
    scratch = short_scratch()  # removed at the end
    root = str(Path(__file__).parents[2])
    own = on_loopback(scratch) | {
        "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")])),
        "OMP_NUM_THREADS": str(config.train.threads_per_worker),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        # A head of this machine that died does not come back: no use in waiting a minute for it.
        "RAY_gcs_rpc_server_reconnect_timeout_s": "20",
    }
    # Given back at the end: another cluster has another token, and other addresses.
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    import ray

    try:
        _read_environment()
        _start(ray, num_cpus, scratch)
        yield ray
    finally:
        ray.shutdown()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        _read_environment()
        shutil.rmtree(scratch, ignore_errors=True)


def _read_environment() -> None:
    """Let Ray read again what it reads once in a process: whether there is a token, which, and whose addresses are its own."""
    constants: Any = import_module("ray._private.ray_constants")
    raylet: Any = import_module("ray._raylet")
    constants.ENABLE_RAY_CLUSTER = os.environ.get(constants.ENABLE_RAY_CLUSTERS_ENV_VAR) != "0"
    raylet.Config.initialize("")
    raylet.AuthenticationTokenLoader.instance().reset_cache()


def _start(ray: Any, num_cpus: int | None, scratch: str) -> None:
    ray.init(
        "local",  # else RAY_ADDRESS would be joined, which may be another project's
        num_cpus=num_cpus,
        include_dashboard=False,
        object_store_memory=128 * 2**20,
        _temp_dir=scratch,
        logging_level="error",
    )
    if (address := ray.util.get_node_ip_address()) not in ("127.0.0.1", "::1"):
        raise TrainingError(
            "a local Ray cluster is to be on loopback", found=f"it is on {address}", fix="report it, with Ray's version"
        )


@contextlib.contextmanager
def _joined(config: ClusterTree) -> Generator[object]:
    import ray

    try:
        _join(ray, config)
        yield ray
    finally:
        ray.shutdown()


def code_environment(config: ClusterTree) -> dict[str, Any]:
    """Ray's runtime environment with this code. No secret is in it: nodes have their own credentials."""
    variables = {"OMP_NUM_THREADS": str(config.train.threads_per_worker)}
    variables |= {EVENTS: os.environ[EVENTS]} if EVENTS in os.environ else {}  # its lines come back to a flow
    return {
        "py_modules": [str(Path(__file__).parents[1])],
        "excludes": [*CREDENTIAL_FILES, "!*.py"],
        "env_vars": variables,
    }


def _join(ray: Any, config: ClusterTree) -> None:
    """Connect to a running cluster and send it this code."""
    try:
        # A job has its environment already, and "auto" is the cluster that it runs on.
        ray.init(
            config.cluster.address,
            runtime_env=None if config.cluster.address == "auto" else code_environment(config),
            logging_level="error",
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise TrainingError(
            f"no Ray cluster answers at {config.cluster.address}",
            found=str(error).splitlines()[0],
            fix="start it, or set cluster.address to local",
        ) from error
