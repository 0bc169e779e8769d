"""Ray Train's process group, in whose processes SIGTERM is a notice."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.train.torch import TorchConfig
from ray.train.torch.config import (
    _set_torch_distributed_env_vars,  # pyright: ignore[reportPrivateUsage]
    _setup_torch_process_group,  # pyright: ignore[reportPrivateUsage]
    _TorchBackend,  # pyright: ignore[reportPrivateUsage]
)

from mtl.cluster.session import RENDEZVOUS
from mtl.train.preemption import listen

OF_GPUS = "cpu:gloo,cuda:nccl"
"""Tensors of GPUs travel by NCCL; what has none (objects: samples' ids, statistics of an evaluation, a checkpoint's state) by Gloo, and
takes no memory of a GPU."""


class NoticeBackend(_TorchBackend):
    """Sets up torch.distributed, then each worker's handler."""

    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        """Called by Ray's controller for every new group."""
        if folder := os.environ.get(RENDEZVOUS):
            _meet(worker_group, Path(folder, uuid.uuid4().hex).as_uri(), backend_config.timeout_s)
        else:
            super().on_start(worker_group, backend_config)
        worker_group.execute(listen)


def _meet(worker_group: Any, url: str, timeout_s: int) -> None:
    """As Ray sets a group up, but at a file: torch's own store listens on every address, and asks nobody who comes."""
    gpus = worker_group.get_resources_per_worker().get("GPU", 0)
    setting = {
        "backend": OF_GPUS if gpus else "gloo",
        "world_size": len(worker_group),
        "init_method": url,
        "timeout_s": timeout_s,
    }
    worker_group.execute(_set_torch_distributed_env_vars)
    started = [
        worker_group.execute_single_async(rank, _setup_torch_process_group, world_rank=rank, **setting)
        for rank in range(len(worker_group))
    ]
    ray.get(started)


@dataclass
class GroupConfig(TorchConfig):
    """For `TorchTrainer(torch_config=…)`."""

    @property
    def backend_cls(self) -> type[NoticeBackend]:
        """What Ray sets the group up with."""
        return NoticeBackend
