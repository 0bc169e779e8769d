"""Training is exact over workers, resumes to the bit, and stops with a reason."""

from __future__ import annotations

import resource
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mtl.config.params import Config
from mtl.data.loading.loader import Split, collate
from mtl.errors import TrainingError
from mtl.storage.seal import Seal
from mtl.storage.store import Store
from mtl.train import launch
from mtl.train.checkpoint import Checkpoints
from mtl.train.loop import run
from mtl.train.optimizer import schedule_factor
from mtl.train.process_group import ProcessGroup
from mtl.train.step import train_step
from mtl.train.training import Training
from tests.conftest import heard


def quiet(line: Any) -> None:
    """Say nothing."""


def test_a_resumed_training_ends_with_the_same_weights(config: Config, prepared: Path, tmp_path: Path) -> None:
    whole, seal = Training(config, prepared, ProcessGroup()), Seal()
    run(whole, Checkpoints(Store(str(tmp_path / "whole")), 2), report=quiet)

    class Killed(Exception):
        pass

    broken = Training(config, prepared, ProcessGroup())
    original = broken.one_step

    def die_at_step_five(order: np.ndarray) -> None:
        if broken.progress.total_steps == 5:
            raise Killed
        original(order)

    broken.one_step = die_at_step_five  # type: ignore[method-assign]
    with pytest.raises(Killed):
        run(broken, Checkpoints(Store(str(tmp_path / "broken")), 2, seal), report=quiet)
    resumed = Training(config, prepared, ProcessGroup())
    with heard() as lines:
        progress = run(resumed, Checkpoints(Store(str(tmp_path / "broken")), 2, seal), report=quiet)
    assert "train: goes on from step 4" in lines
    assert progress.total_steps == 6
    for name, value in whole.best.items():
        assert torch.equal(value, resumed.best[name]), name


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path: Path) -> None:
    checkpoints = Checkpoints(Store(str(tmp_path)), keep=2)
    for step in (1, 2, 3):
        checkpoints.save(step, {"step": step})
    checkpoints.flush()
    assert not (tmp_path / "step-00000001").exists()
    (path,) = (tmp_path / "step-00000003").glob("state-*.pt")
    path.write_bytes(path.read_bytes()[:-1])
    with heard() as lines:
        assert checkpoints.latest() == {"step": 2}
    assert "step-00000003 is damaged" in lines[0]
    (tmp_path / "step-00000002" / "manifest.json").unlink()
    assert checkpoints.latest() is None


def test_no_space_for_a_checkpoint_is_explained(tmp_path: Path) -> None:
    """Nothing half written is left."""
    checkpoints = Checkpoints(Store(str(tmp_path)), keep=2)
    checkpoints.save(1, {"x": torch.zeros(10)})
    checkpoints.flush()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        checkpoints.save(2, {"x": torch.zeros(1_000_000)})
        with pytest.raises(TrainingError, match="cannot write to") as caught:
            checkpoints.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "MiB free" in str(caught.value)
    assert not list((tmp_path / "step-00000002").iterdir())
    assert checkpoints.latest() is not None


def test_a_loss_that_is_not_finite_stops_before_the_step(config: Config, prepared: Path) -> None:
    training = Training(config, prepared, ProcessGroup())
    batch = collate(training.train_split, np.arange(4))
    batch.images[2] = torch.nan
    before = {n: v.clone() for n, v in training.model.state_dict().items()}
    sound = collate(training.train_split, np.arange(4))
    for step, given in ((17, batch), (18, sound), (19, sound)):  # launched before anybody reads of step 17
        made = train_step(
            training.method, training.optimizer, [given], step=step, clip_norm=5.0, verdicts=training.verdicts
        )[1]
        training.ema.update(training.model, made)
    with pytest.raises(TrainingError, match="not finite at step 17") as caught:
        training.read()
    assert "digit" in str(caught.value)
    assert "train-000002" in str(caught.value)
    assert all(torch.equal(v, before[n]) for n, v in training.ema.shadow.items())
    assert all(torch.equal(v, before[n]) for n, v in training.model.state_dict().items())


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle", "constant"])
def test_schedules_rise_then_fall(schedule: str, config: Config) -> None:
    factor = schedule_factor(config.train.model_copy(update={"schedule": schedule, "warmup": 0.2}), 100)
    values = [factor(step) for step in range(100)]
    assert values[0] < 0.1
    assert max(values) == pytest.approx(1.0)
    assert values.index(max(values)) in range(18, 22)
    assert values[-1] == 1.0 if schedule == "constant" else values[-1] < 0.01


def test_the_split_reads_the_same_after_a_copy(prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared, tmp_path / "copy")
    a, b = (collate(Split(folder, "val"), np.arange(5)) for folder in (prepared, tmp_path / "copy"))
    assert torch.equal(a.images, b.images)


def test_more_workers_than_processors_are_said(config: Config) -> None:
    many = config.model_copy(update={"train": config.train.model_copy(update={"num_workers": 4096})})
    assert "4096 workers take turns on" in launch._crowded(many)
    away = many.model_copy(update={"cluster": many.cluster.model_copy(update={"address": "head:6379"})})
    alone = config.model_copy(update={"train": config.train.model_copy(update={"num_workers": 1})})
    assert launch._crowded(away) == launch._crowded(alone) == ""
