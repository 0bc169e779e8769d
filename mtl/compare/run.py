"""All trials of a comparison, as Ray tasks."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from mtl.cluster.session import cluster
from mtl.compare.plan import Comparison, Trial, methods, trials, weighted
from mtl.compare.results import FailedTrial, TrialResult
from mtl.compare.table import best_method, mean_weights
from mtl.compare.trial import run_trial
from mtl.config.params import Config
from mtl.data.shards.staging import ShardManifest
from mtl.logs import of
from mtl.reports.events import ProgressEvent
from mtl.storage.seal import Seal

_LOG = logging.getLogger(__name__)


def run_comparison(
    config: Config,
    wanted: Comparison,
    prepared: Path,
    url: str,
    seal: Seal,
    given: ShardManifest | None = None,
) -> list[TrialResult]:
    """Train every trial that is not finished; then the frozen weights of the best method. Returns all results.

    Args:
        url: folder or bucket of the trials' results.
        seal: of these: others' are not taken.
        given: for nodes that do not see the prepared folder.

    Frozen weights tell what a method's adaptation is worth beyond the weights that it ends up with (Gama & Grassi 2025).
    """
    found = methods(config, wanted)
    with cluster(config):
        place = (prepared, url, seal, given)
        results = _run_all(trials(found, wanted), config, place)
        best = best_method(results, [name for name in found if not name.startswith(("alone", "static", "equal"))])
        if best:
            frozen = weighted(config, mean_weights(results, best, list(config.tasks)))
            again = trials({f"frozen {best}": frozen}, wanted)
            results += _run_all(again, config, place)
    return results


def _run_all(
    planned: Sequence[Trial], config: Config, place: tuple[Path, str, Seal, ShardManifest | None]
) -> list[TrialResult]:
    import ray

    gpu = config.cluster.use_gpu == "auto" and ray.cluster_resources().get("GPU", 0) >= 1
    remote = ray.remote(num_cpus=1, num_gpus=1 if gpu else 0)(run_trial)
    different = {trial.key: trial for trial in planned}  # the fixed weights may be the equal ones
    waiting = {remote.remote(trial, *place): trial for trial in different.values()}  # pyright: ignore[reportCallIssue]
    results: dict[str, TrialResult] = {}
    begun = ProgressEvent(done=0, total=len(different), unit="trials")
    _LOG.info(f"0/{len(different)} trials", extra=of(begun))
    while waiting:
        (done,), _ = ray.wait(list(waiting))
        trial = waiting.pop(done)
        result: TrialResult = ray.get(done)
        results[trial.key] = result
        score = result.error if isinstance(result, FailedTrial) else f"validation {result.val_score:.4f}"
        line = (
            f"{len(results)}/{len(different)} {trial.method}, rate {trial.learning_rate:g}, seed {trial.seed}: {score}"
        )
        _LOG.info(line, extra=of(ProgressEvent(done=len(results), total=len(different), unit="trials")))
    return [results[trial.key].model_copy(update={"method": trial.method}) for trial in planned]
