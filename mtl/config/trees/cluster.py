"""What whoever runs something on Ray reads."""

from __future__ import annotations

from mtl.config.cluster import ClusterConfig
from mtl.config.section import Section
from mtl.config.train import TrainConfig


class ClusterTree(Section):
    """Where Ray runs, and with how many threads per process (`train.threads_per_worker`)."""

    train: TrainConfig
    cluster: ClusterConfig
