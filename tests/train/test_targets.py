"""What a training does where targets or images are missing: it refuses at once, or says what it does without."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mtl.config.params import Config
from mtl.data.loading import sampler
from mtl.errors import DataError
from mtl.storage.store import Store
from mtl.train.checkpoint import Checkpoints
from mtl.train.loop import run
from mtl.train.process_group import ProcessGroup
from mtl.train.training import Training
from tests.conftest import heard
from tests.evaluate.test_blind import all_one_target, as_they_are, made, small, without


def trained(training: Training, folder: Path) -> list[str]:
    """Train; what was said."""
    with heard() as lines:
        run(training, Checkpoints(Store(str(folder / "c")), 1), report=lambda row: None)
    return lines


def test_tasks_with_validation_targets_choose_the_epoch(config: Config, tmp_path: Path) -> None:
    prepared = made(config, tmp_path, {"val": without("size")}, (32, 16, 8))
    training = Training(small(config, "kind", "size", epochs=2), prepared, ProcessGroup())
    start = {name: value.clone() for name, value in training.best.items()}
    lines = trained(training, tmp_path)
    assert "train: no validation image has a target of size: the best epoch is chosen by the other tasks" in lines
    assert training.progress.best_epoch >= 0
    assert any(not torch.equal(value, training.best[name]) for name, value in start.items())
    for row in training.progress.history:
        assert np.isfinite(float(str(row["val/score"])))
        assert "val/size/mae" not in row
        assert "val/kind/accuracy" in row


def test_without_any_validation_target_it_does_not_begin(config: Config, tmp_path: Path) -> None:
    prepared = made(config, tmp_path, {"val": without("size")}, (32, 16, 8))
    with pytest.raises(DataError, match="no epoch can be chosen") as caught:
        Training(small(config, "size"), prepared, ProcessGroup())
    assert "size: 32 of 32 train, 0 of 16 val, 8 of 8 test images" in str(caught.value)


def test_without_a_training_target_it_does_not_begin(config: Config, tmp_path: Path) -> None:
    prepared = made(config, tmp_path, {"train": without("kind")}, (32, 16, 8))
    with pytest.raises(DataError, match="no training image has a target of kind") as caught:
        Training(small(config, "kind", "size"), prepared, ProcessGroup())
    assert "kind: 0 of 32 train, 16 of 16 val, 8 of 8 test images" in str(caught.value)


def test_without_a_test_target_it_says_that_nothing_will_pass(config: Config, tmp_path: Path) -> None:
    prepared = made(config, tmp_path, {"test": without("kind")}, (32, 16, 8))
    (line,) = Training(small(config, "kind", "size"), prepared, ProcessGroup()).doubts
    assert line.startswith("no test image has a target of kind")


def test_targets_that_are_all_alike_are_said(config: Config, tmp_path: Path) -> None:
    (line,) = Training(
        small(config, "kind"), made(config, tmp_path, all_one_target, (32, 16, 8)), ProcessGroup()
    ).doubts
    assert line.startswith("all validation targets of kind are alike")


def test_an_auxiliary_task_may_lack_validation_and_test_targets(config: Config, tmp_path: Path) -> None:
    prepared = made(config, tmp_path, {"val": without("size"), "test": without("size")}, (32, 16, 8))
    chosen = small(config, "kind", "size")
    aside = chosen.tasks["size"].model_copy(update={"auxiliary": True})
    assert not Training(
        chosen.model_copy(update={"tasks": {**chosen.tasks, "size": aside}}), prepared, ProcessGroup()
    ).doubts


def test_fewer_images_than_a_batch_train_all_the_same(config: Config, tmp_path: Path) -> None:
    prepared = made(config, tmp_path, as_they_are, (10, 8, 8))
    training = Training(small(config, "kind", epochs=3, batch_size=16), prepared, ProcessGroup())
    start = {name: value.clone() for name, value in training.best.items()}
    lines = trained(training, tmp_path)
    assert training.progress.total_steps == 3
    assert any(not torch.equal(value, training.best[name]) for name, value in start.items())
    assert "10 training images are fewer than train.batch_size (16)" in lines[0]


@pytest.mark.parametrize(("num_samples", "batch_size"), [(1, 4), (10, 16), (15, 16), (16, 16), (17, 16), (103, 20)])
def test_every_step_has_a_whole_batch_on_any_number_of_workers(num_samples: int, batch_size: int) -> None:
    order, steps = sampler.epoch_order(0, 0, num_samples), sampler.steps_per_epoch(num_samples, batch_size)
    assert steps == max(num_samples // batch_size, 1)
    for step in range(steps):
        batch = sampler.global_batch(order, step, batch_size)
        assert len(batch) == batch_size
        times = np.bincount(batch, minlength=num_samples)
        assert times.max() - times.min() <= 1
        for workers, accumulate in ((1, 1), (2, 1), (1, 2), (2, 2)):
            shares = [
                places
                for rank in range(workers)
                for places in sampler.micro_batches(batch_size, rank, workers, accumulate)
            ]
            assert min(len(places) for places in shares) > 0
            assert sorted(np.concatenate(shares)) == list(range(batch_size))


def test_a_non_finite_answer_is_an_error_not_a_missing_target(config: Config, tmp_path: Path) -> None:
    from mtl.errors import TrainingError
    from mtl.evaluate.evaluator import score

    training = Training(small(config, "kind", "size"), made(config, tmp_path, as_they_are, (16, 8, 8)), ProcessGroup())
    with torch.no_grad():
        next(training.averaged.task_parameters("size")).fill_(float("nan"))
    with pytest.raises(TrainingError, match="what the model says for size is not finite") as caught:
        score(training.averaged, training.tasks, training.val_split, 4, device=torch.device("cpu"))
    assert "val-0000" in str(caught.value)
