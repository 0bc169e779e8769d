"""A comparison on a cluster that this machine does not belong to, through Ray's Jobs API; there: `python -m mtl.compare.job STORE`.

Shards come to each node by their DVC hash; every finished trial is in the store, and not trained again.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic import Field, JsonValue

from mtl.cluster.handoff import do, result_of, store_of
from mtl.cluster.protocol import Job
from mtl.compare.plan import Comparison
from mtl.compare.results import TrialResult, parse_trials
from mtl.compare.run import run_comparison
from mtl.config.params import Config
from mtl.data.shards.staging import ShardManifest
from mtl.errors import DataError
from mtl.storage.seal import Seal, seal_of
from mtl.storage.store import Store
from mtl.train.content import code_and_data


class ComparisonJob(Job):
    """A comparison."""

    trials: str = Field(description="the folder of their results, as `trials_of` says it")
    wanted: dict[str, JsonValue] = Field(description="a `Comparison`")
    prepared: str
    shard_manifest: ShardManifest


def hand_over(
    config: Config,
    wanted: Comparison,
    prepared: Path,
    given: ShardManifest | None,
    home: Path,
) -> list[TrialResult]:
    """As `run_comparison`, on the cluster of `cluster.address`.

    Raises:
        DataError: the shards are not in a DVC remote that the cluster can reach.
        MtlError: what the job wrote down, or that the cluster refuses or is out of reach.
    """
    if given is None:
        raise DataError(
            f"the cluster at {config.cluster.address} cannot reach this machine's shards",
            fix="use a DVC remote in a bucket: dvc remote add -d team s3://…",
        )
    job = ComparisonJob(
        config=config.model_dump(mode="json"),
        trials=trials_of(prepared),
        wanted=wanted.model_dump(mode="json"),
        prepared=str(prepared),
        shard_manifest=given,
    )
    seal = seal_of("comparisons", home)
    store = store_of(config, "comparisons", job, seal)
    results = result_of(config, "compare", "mtl.compare.job", job, store, seal)
    return parse_trials({"trials": results}, f"the result in {store.url}")


def trials_of(prepared: Path) -> str:
    """The folder of the trials' results: other code and other data have another."""
    return f"trials/{code_and_data(prepared, Path(__file__).parent)[:16]}"


def run(config: Config, job: ComparisonJob, store: Store, seal: Seal) -> list[dict[str, object]]:
    """On the cluster: all trials; those of another comparison with the same settings are taken as they are."""
    wanted = Comparison.model_validate(job.wanted, strict=False)
    url = store.parent.child(job.trials).url
    results = run_comparison(config, wanted, Path(job.prepared), url, seal, job.shard_manifest)
    return [result.as_json() for result in results]


if __name__ == "__main__":
    sys.exit(do(run, Config, ComparisonJob))
