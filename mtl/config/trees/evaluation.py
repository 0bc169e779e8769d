"""What `evaluate`, and whoever judges a model again, reads."""

from __future__ import annotations

from mtl.config.trees.cluster import ClusterTree
from mtl.config.trees.model import ModelTree


class EvaluationTree(ClusterTree, ModelTree):
    """The model and how it is judged, and where."""
