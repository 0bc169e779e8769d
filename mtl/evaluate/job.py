"""Scoring on a cluster that this machine does not belong to, through Ray's Jobs API; there: `python -m mtl.evaluate.job STORE`.

Weights go out through the store, what the scorers keep of each sample comes back through it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mtl.cluster.handoff import do, result_of, store_of
from mtl.config.trees.evaluation import EvaluationTree
from mtl.errors import SealError
from mtl.evaluate.passes import Rows
from mtl.evaluate.rows_as_bytes import as_bytes, from_bytes
from mtl.evaluate.workers import EvaluationJob, score_on_cluster
from mtl.storage.digest import bytes_sha256
from mtl.storage.seal import Seal, seal_of
from mtl.storage.store import Store

WEIGHTS, ROWS = "weights.safetensors", "rows.npz"


def score_by_job(config: EvaluationTree, job: EvaluationJob, weights: bytes, home: Path) -> list[Rows]:
    """As `score_on_cluster`, on the cluster of `cluster.address`.

    Raises:
        MtlError: what the job wrote down, that another wrote in its place, or that the cluster refuses or is out of reach.
    """
    seal = seal_of("evaluations", home)
    store = store_of(config, "evaluations", job, seal)
    store.put(WEIGHTS, weights)
    digest = result_of(config, "evaluate", "mtl.evaluate.job", job, store, seal)
    found = from_bytes(_checked(store, ROWS, str(digest)))
    store.parent.remove(store.name)
    return found


def run(config: EvaluationTree, job: EvaluationJob, store: Store, seal: Seal) -> str:
    """On the cluster: all rows into the store; their SHA-256."""
    found = as_bytes(score_on_cluster(config, job, _checked(store, WEIGHTS, job.weights)))
    store.put(ROWS, found)
    return bytes_sha256(found)


def _checked(store: Store, name: str, sha256: str) -> bytes:
    data = store.get(name)
    if (found := bytes_sha256(data)) != sha256:
        raise SealError(
            f"{store.url}/{name} is not what was sent",
            found=f"SHA-256 {found}",
            fix="nothing was made of it; look who writes there, and run again",
        )
    return data


if __name__ == "__main__":
    sys.exit(do(run, EvaluationTree, EvaluationJob))
