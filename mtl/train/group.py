"""Ray Train's process group, in whose processes SIGTERM is a notice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ray.train.torch import TorchConfig
from ray.train.torch.config import _TorchBackend  # pyright: ignore[reportPrivateUsage]

from mtl.train.notice import listen


class NoticeBackend(_TorchBackend):
    """Sets up torch.distributed, then each worker's handler."""

    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        """Called by Ray's controller for every new group."""
        super().on_start(worker_group, backend_config)
        worker_group.execute(listen)


@dataclass
class GroupConfig(TorchConfig):
    """For `TorchTrainer(torch_config=…)`."""

    @property
    def backend_cls(self) -> type[NoticeBackend]:
        """What Ray sets the group up with."""
        return NoticeBackend
