"""One training of a comparison, in one process: its metrics, the cost of a step, memory."""

from __future__ import annotations

import contextlib
import logging
import resource
import tempfile
from pathlib import Path

import numpy as np
import torch

from mtl.compare.plan import Trial
from mtl.compare.results import FailedTrial, TrainedTrial, TrialResult, parse_trial
from mtl.data.loading.loader import Split
from mtl.data.shards.staging import ShardManifest, ensure_local
from mtl.errors import MtlError, SealError, TrainingError
from mtl.evaluate.blind import yardsticks
from mtl.evaluate.evaluator import score
from mtl.reports import EpochRow
from mtl.storage.seal import Seal
from mtl.storage.store import Store
from mtl.train.checkpoint import Checkpoints
from mtl.train.loop import run
from mtl.train.process_group import ProcessGroup
from mtl.train.training import Training

_LOG = logging.getLogger(__name__)


def run_trial(trial: Trial, prepared: Path, url: str, seal: Seal, given: ShardManifest | None = None) -> TrialResult:
    """Train, score on test, and keep the result in a folder or bucket; a finished trial is only read. A training that stopped
    with an error of the method's own is a result, too.

    Args:
        url: of the results.
        seal: of the results.
        given: for a node that does not see the prepared folder.

    Raises:
        MtlError, OSError: data, a bucket or the settings are wrong. It says nothing of the method and is not kept as its
            result: the next comparison trains it.
    """
    store, name = Store(url), f"{trial.key}.json"
    if name in store:
        try:
            return parse_trial(seal.read(store, name), f"{url}/{name}")
        except SealError as error:
            _LOG.warning(f"compare: {error.line}; the trial is made again")
    result: TrialResult
    try:
        with tempfile.TemporaryDirectory() as scratch:
            result = _train(trial, ensure_local(prepared, given), Path(scratch))
    except Exception as error:
        if isinstance(error, MtlError | OSError) and not isinstance(error, TrainingError):
            raise
        told = f"{type(error).__name__}: {error}"
        result = FailedTrial(method=trial.method, learning_rate=trial.learning_rate, seed=trial.seed, error=told)
    seal.write(store, name, result.as_json())
    return result


def _train(trial: Trial, prepared: Path, checkpoints: Path) -> TrainedTrial:
    _forget_peak()
    training = Training(trial.config, prepared, ProcessGroup(device=device()))
    seconds: list[float] = []
    kept = Checkpoints(Store(str(checkpoints)), 1, Seal())
    progress = run(training, kept, report=_ignore, stepped=seconds.append)
    training.averaged.load_state_dict(training.best)
    test, size = Split(prepared, "test"), trial.config.evaluate.batch_size
    tasks = training.tasks
    scorers = score(training.averaged, tasks, test, size, device=training.world.device)
    found = {name: scorer.value()[tasks[name].primary] for name, scorer in scorers.items()}
    yards = yardsticks(tasks, test, size)
    return TrainedTrial(
        method=trial.method,
        learning_rate=trial.learning_rate,
        seed=trial.seed,
        val_score=progress.best_score,
        test={name: value if name in yards else None for name, value in found.items()},
        blind={name: yard.blind for name, yard in yards.items()},
        units={name: yard.unit for name, yard in yards.items()},
        history=tuple(EpochRow.model_validate(row) for row in progress.history),
        level=trial.config.objective.level,
        step_seconds=float(np.median(seconds)),
        peak_mib=_peak_mib(),
        directions={n: t.directions[t.primary] for n, t in tasks.items() if not t.config.auxiliary},
        metrics={n: t.primary for n, t in tasks.items()},
    )


def _forget_peak() -> None:
    """Let the process's peak of memory begin again, where the system can."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def _peak_mib() -> float:
    """The most memory that this process held since then."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def device() -> torch.device:
    """The GPU that Ray gave this process, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _ignore(value: object) -> None:
    """Nobody listens."""
