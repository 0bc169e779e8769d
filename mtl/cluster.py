"""A Ray cluster for as long as something runs: this machine's own, or a connection to one that is there."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

from mtl.config import Config, TrainingError
from mtl.redaction import CREDENTIAL_FILES

_ENVIRONMENT = {
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",  # a local cluster listens on loopback alone
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "60",
    "RAY_raylet_start_wait_time_s": "300",  # slow machines: the raylet would abort
    "RAY_agent_register_timeout_ms": "300000",
    "RAY_DEDUP_LOGS": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",  # it prints every line twice
    "RAY_COLOR_PREFIX": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@contextlib.contextmanager
def cluster(config: Config, num_cpus: int | None = None) -> Generator[Any]:
    """Ray, connected. Nothing of a local one outlives the block.

    Args:
        num_cpus: of a local cluster; all of this machine's by default.

    Raises:
        TrainingError: no cluster answers at the address.
    """
    os.environ.update({key: os.environ.get(key, value) for key, value in _ENVIRONMENT.items()})
    # What is not handed over through the Jobs API runs here.
    local = config.cluster.address == "local" or config.cluster.by_jobs
    scratch: str | None = None
    if local:
        root = str(Path(__file__).parents[1])
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
        # A head of this machine that died does not come back: no use in waiting a minute for it.
        os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", "20")
        os.environ["OMP_NUM_THREADS"] = str(config.train.threads_per_worker)
        # Ray's socket paths may have 107 bytes at most: a short folder of our own, removed at the end.
        scratch = tempfile.mkdtemp(prefix="mtl", dir="/tmp" if sys.platform != "win32" else None)
    import ray

    try:
        if local:
            _start(ray, num_cpus, scratch)
        else:
            _join(ray, config)
        yield ray
    finally:
        ray.shutdown()
        if scratch:
            shutil.rmtree(scratch, ignore_errors=True)


def _start(ray: Any, num_cpus: int | None, scratch: str | None) -> None:
    ray.init(
        num_cpus=num_cpus,
        include_dashboard=False,
        object_store_memory=128 * 2**20,
        _temp_dir=scratch,
        logging_level="error",
    )


def code_environment(config: Config) -> dict[str, Any]:
    """Ray's runtime environment with this code. No secret is in it: nodes have their own credentials."""
    variables = {"OMP_NUM_THREADS": str(config.train.threads_per_worker)}
    return {
        "py_modules": [str(Path(__file__).parent)],
        "excludes": [*CREDENTIAL_FILES, "!*.py"],
        "env_vars": variables,
    }


def _join(ray: Any, config: Config) -> None:
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
