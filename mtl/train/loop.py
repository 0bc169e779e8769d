"""The training loop of one worker, from the last complete checkpoint to the end."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable

from mtl.errors import MtlError
from mtl.logs import of
from mtl.train.checkpoint import Checkpoints
from mtl.train.gradients import never_met
from mtl.train.pace import Pace
from mtl.train.preemption import END, NONE, Preemption
from mtl.train.training import Progress, Training

_LOG = logging.getLogger(__name__)


class Stopped(Exception):  # no error: somebody asked for it
    """The training ended early, with a checkpoint of its last step."""


def run(
    training: Training,
    checkpoints: Checkpoints,
    *,
    report: Callable[[dict[str, float]], None],
    notice: Preemption | None = None,
    stepped: Callable[[float], None] | None = None,
) -> Progress:
    """Train to the end of the last epoch, or until patience ends.

    Args:
        report: called on every worker after each epoch with that epoch's metrics.
        notice: what may ask for a checkpoint, or an end, between two steps.
        stepped: called on every worker after each optimizer step with the seconds that it took.

    Raises:
        Stopped: a notice asked for it.
    """
    try:
        _resume(training, checkpoints)
        _train(training, checkpoints, notice or Preemption(), report, stepped)
        _first_does(training, checkpoints.flush)
    finally:
        training.feed.reset()  # its threads end
        with contextlib.suppress(MtlError):  # it was said, or something worse is on its way
            checkpoints.flush()
    return training.progress


def _train(
    training: Training,
    checkpoints: Checkpoints,
    notice: Preemption,
    report: Callable[[dict[str, float]], None],
    stepped: Callable[[float], None] | None,
) -> None:
    config, progress = training.config.train, training.progress
    pace = Pace(config.batch_size, config.epochs * training.steps_per_epoch, training.config.cluster.log_every)
    began = time.monotonic() - progress.seconds
    training.expect()
    while progress.epoch < config.epochs and progress.epoch - max(progress.best_epoch, 0) <= config.patience:
        order = training.order(progress.epoch)
        while progress.step < training.steps_per_epoch:
            started = time.perf_counter()
            training.one_step(order)
            asked = NONE
            if pace.reads(progress.total_steps) or training.reads_each_step:
                _read(training, pace)
                asked = training.world.highest(notice.level())
            seconds = time.perf_counter() - started
            pace.stepped(seconds)
            if stepped:
                stepped(seconds)
            progress.seconds = time.monotonic() - began
            if asked != NONE:
                _heed(training, checkpoints, notice, asked)
            elif progress.total_steps % config.checkpoint_every == 0 and progress.step < training.steps_per_epoch:
                _read(training, pace)
                _save(training, checkpoints)
        _read(training, pace)
        row = training.end_epoch()
        _save(training, checkpoints)
        report(row)


def _heed(training: Training, checkpoints: Checkpoints, notice: Preemption, asked: int) -> None:
    """A checkpoint now, because a worker's machine leaves or the run is to end."""
    _save(training, checkpoints)
    _first_does(training, checkpoints.flush)
    if training.world.first:
        why = "the run is to stop" if asked == END else "a machine is about to leave"
        _LOG.info(f"train: checkpoint at step {training.progress.total_steps}, for {why}")
    notice.saved()
    if asked == END:
        raise Stopped


def _resume(training: Training, checkpoints: Checkpoints) -> None:
    state = training.world.from_first(checkpoints.latest() if training.world.first else None)
    if state is not None:
        training.load(state)
    progress, size = training.progress, training.world.size
    before = progress.worlds[-1][1] if progress.worlds else size
    if not progress.worlds or before != size:
        progress.worlds.append([progress.total_steps, size])
    if training.world.first and training.compiling.said:
        _LOG.info(f"train: {training.compiling.said}")
    if state is not None and training.world.first:
        _LOG.info(f"train: goes on from step {progress.total_steps}")
        if before != size:
            _LOG.info(
                f"train: with {size} workers after {before}: the same samples in the same order, "
                "but the weights will differ by rounding"
            )
    elif training.world.first:
        _doubt(training)


def _doubt(training: Training) -> None:
    """Say at the beginning what cannot be judged, and where an aggregator will have nothing to do."""
    for line in training.doubts:
        _LOG.info(f"train: {line}")
    objective = training.config.objective
    if objective.aggregator.type == "sum" or objective.level == "parameters":
        return
    pairs = never_met(training.train_split, training.tasks.values())
    if pairs:
        more = f" (and {len(pairs) - 1} other pairs of tasks)" if len(pairs) > 1 else ""
        _LOG.info(
            f"train: no image teaches both {' and '.join(pairs[0])}{more}: compared at the features their gradients never "
            "conflict, whatever they want of the shared parameters; objective.level: parameters compares them there"
        )


def _read(training: Training, pace: Pace) -> None:
    """Wait for the device, and tell of the steps since the last reading; all workers do it together, at the same steps."""
    told = training.read()
    step = training.progress.total_steps
    pace.plan(step, training.world.highest(pace.ahead()))
    if not training.world.first:
        return
    for one in told:
        if one.left_out:
            _LOG.info(f"train: step {one.step + 1} was left out: {one.left_out}")
    if told and not told[-1].left_out and pace.due(step):
        line = f"train: step {step}/{pace.total} loss {sum(told[-1].losses.values()):.3f}"
        _LOG.info(line if step % pace.log_every == 0 else "", extra=of(pace.event(step, training.progress.seconds)))


def _save(training: Training, checkpoints: Checkpoints) -> None:
    """The first worker writes, in the background."""
    step, state = training.progress.total_steps, training.state()
    _first_does(training, lambda: checkpoints.save(step, state))


def _first_does(training: Training, action: Callable[[], None]) -> None:
    """Something that one worker does for all; all stop together if it cannot."""
    problem: MtlError | None = None
    if training.world.first:
        try:
            action()
        except MtlError as error:
            problem = error
    problem = training.world.from_first(problem)
    if problem is not None:
        raise problem
