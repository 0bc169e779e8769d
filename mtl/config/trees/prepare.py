"""What `prepare` reads."""

from __future__ import annotations

from mtl.config.trees.cluster import ClusterTree
from mtl.config.trees.data import DataTree


class PrepareTree(ClusterTree, DataTree):
    """The operations, and where shards are built."""
