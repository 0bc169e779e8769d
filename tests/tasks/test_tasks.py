"""Losses, metrics and heads of every task type."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mtl.config.params import Config
from mtl.data.loading.augment import augmented, draw_changes
from mtl.data.loading.loader import Split, collate
from mtl.errors import ConfigError
from mtl.evaluate.bootstrap import interval, resample_counts
from mtl.tasks import build_model, build_tasks, image_spec
from mtl.tasks.average_precision import Matches, average_precisions, match
from mtl.tasks.depth import _sums as depth_sums


def test_bootstrap_weights_equal_repeated_samples() -> None:
    """A resample is the data set with samples repeated: weights must give the same metric as repeating them."""
    rng = np.random.default_rng(1)
    rows: list[Matches | None] = []
    for _ in range(12):
        truth = np.array([[10.0, 10.0, 30.0, 30.0, 0.0]])
        box = truth[:, :4] + rng.normal(0, 6, (1, 4))
        rows.append(match(box, np.array([0]), rng.random(1), truth, 1))
    counts = resample_counts(3, 5, 12)
    assert (counts.sum(1) == 12).all()
    for row in counts:
        repeated = [rows[i] for i, times in enumerate(row) for _ in range(int(times))]
        direct = average_precisions(repeated, np.ones((1, 12)), 1, 1)[0, 0, 0]
        assert average_precisions(rows, row[None], 1, 1)[0, 0, 0] == pytest.approx(direct, abs=1e-9)
    assert interval(np.arange(1001.0), 0.95) == pytest.approx((25.0, 975.0))


def test_augmentation_moves_boxes_with_the_pixels(config: Config, prepared: Path) -> None:
    """A box drawn as pixels and moved as an image must match the box moved as numbers."""
    split = Split(prepared, "train")
    strong = config.augment.model_copy(update={"flip": 0.5, "translate": 0.1, "scale": 0.2, "rotate": 0.0})
    indices = np.arange(32)
    changes = draw_changes(strong, 0, 0, 0, 32)
    moved = augmented(split, indices, changes)
    checked = 0
    for i in range(32):
        # The digit (class 1 of the mask) is drawn once per scene, and its box is the first.
        ys, xs = np.nonzero(moved.targets["regions"][i].numpy() == 1)
        table = moved.targets["objects"][i].numpy()
        if not len(table) or table[0, 4] >= 10 or xs.min() == 0 or ys.min() == 0 or xs.max() == 63 or ys.max() == 63:
            continue
        hull = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
        assert np.abs(table[0, :4] - hull).max() < 2.0, i
        checked += 1
    assert checked > 15


def test_a_target_that_the_data_lack_is_explained(config: Config, prepared: Path) -> None:
    split = Split(prepared, "train")
    wrong = {"depth": config.tasks["count"].model_copy(update={"target": "digit"})}
    with pytest.raises(ConfigError, match="targets of that kind: count"):
        build_tasks(wrong, split.spec.targets, image_spec(split.manifest))


def test_timm_backbones_by_name(config: Config, prepared: Path) -> None:
    from mtl.config.model import TimmBackbone

    split = Split(prepared, "train")
    tasks = build_tasks(config.tasks, split.spec.targets, image_spec(split.manifest))
    chosen = config.model.model_copy(update={"backbone": TimmBackbone(type="timm", name="resnet18")})
    outputs = build_model(chosen, tasks)(collate(split, np.arange(2)).images)
    assert outputs["regions"].shape == (2, 3, 64, 64)
    wrong = config.model.model_copy(update={"backbone": TimmBackbone(type="timm", name="resnet81")})
    with pytest.raises(ConfigError, match="did you mean"):
        build_model(wrong, tasks)


def test_relative_errors_of_depth_have_no_unit() -> None:
    """By hand: 10 % and 50 % off, the second and what is not above 0 beyond a factor of 1.25; 0 and below is not known."""
    truth, found = np.array([[1.0, 2.0, 4.0, 0.0]]), np.array([[1.1, 3.0, -1.0, 7.0]])
    wanted = (np.array([0.1, 1.0, 5.0]).sum(), np.array([0.1, 0.5, 1.25]).sum(), 1)
    for unit in (1e-9, 1e-3, 1.0, 1e3):
        count, error, _, relative, close = depth_sums(found * unit, truth * unit)
        assert count == 3
        assert (error / unit, relative, close) == pytest.approx(wanted)
