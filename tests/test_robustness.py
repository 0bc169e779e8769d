"""Corruptions, slices and the champion on data that have moved since it was judged."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mtl.config import Config, DataError
from mtl.config.data import Resize
from mtl.data import manifest
from mtl.data.loader import Split
from mtl.data.prepare import prepare
from mtl.data.raw import RawSample, read_split, write_spec, write_split
from mtl.data.spec import SPLITS, DatasetSpec
from mtl.evaluate.judge import judge_model, judge_weights
from mtl.evaluate.robustness import CORRUPTIONS, corrupt, robustness
from mtl.gate import comparable
from mtl.package.bundle import read_bundle
from mtl.package.rejudge import rejudge
from mtl.tasks import Task, build_model, build_tasks, image_spec


@pytest.fixture
def weights(bundle: Path) -> Path:
    return bundle / "weights.safetensors"


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_a_corruption_changes_pixels_and_is_reproducible(kind: str, channels: int) -> None:
    image = np.random.default_rng(0).integers(40, 200, (32, 48, channels), np.uint8)
    damaged = corrupt(image, kind, 7)  # type: ignore[arg-type]
    assert damaged.shape == image.shape
    assert damaged.dtype == np.uint8
    assert (damaged != image).mean() > 0.3
    assert np.array_equal(damaged, corrupt(image, kind, 7))  # type: ignore[arg-type]
    assert np.array_equal(damaged, corrupt(image, kind, 8)) == (kind != "noise")  # type: ignore[arg-type]


def test_without_a_corruption_it_is_what_the_report_says(config: Config, prepared: Path, weights: Path) -> None:
    found = judge_weights(config, prepared, weights).report
    for task in found.tasks.values():
        if task.auxiliary:
            assert task.robustness == {}
        else:
            # All 48 test images: the clean value is the metric itself.
            assert task.robustness["none"] == pytest.approx(task.metrics[task.primary].value)
            assert set(task.robustness) == {"none", *config.evaluate.corruptions}


def test_no_corruptions_cost_nothing(config: Config, prepared: Path) -> None:
    tasks: dict[str, Task] = {}
    assert robustness(torch.nn.Identity(), tasks, Split(prepared, "test"), (), 10, 5) == {}


def test_slices_are_resampled_with_the_whole(config: Config, prepared: Path, weights: Path) -> None:
    report = judge_weights(config, prepared, weights).report
    split = Split(prepared, "test")
    for name, task in report.tasks.items():
        for attribute, values in task.slices.items():
            for value, found in values.items():
                assert found.num_samples == split.slices()[attribute].count(value) >= 20
                assert len(found.replicates) == min(200, config.evaluate.num_resamples)
                low, high = np.min(found.replicates), np.max(found.replicates)
                assert found.value is None or low - 1e-9 <= found.value <= high + 1e-9, name


def test_a_bundle_is_judged_as_its_weights_were(config: Config, prepared: Path, weights: Path, bundle: Path) -> None:
    outputs = prepared.parent / "outputs-as-they-were"
    outputs.mkdir()
    (outputs / "prepared").symlink_to(prepared)
    before = judge_weights(config, prepared, weights).report
    assert rejudge(bundle, config, outputs) == before


def moved(config: Config, raw: Path, spec: DatasetSpec, folder: Path, *, size: int = 64) -> Path:
    """Other test images, and other operations if `size` is another one."""
    for split in SPLITS:
        samples = list(read_split(raw, split, spec))
        if split == "test":
            extra = list(read_split(raw, "val", spec))[:8]
            samples = samples[:-10] + [
                RawSample(f"new-{s.id}", s.image, {n: t for n, t in s.targets.items() if n in spec.targets}, s.slices)
                for s in extra
            ]
        write_split(folder / "raw", split, spec, samples)
    write_spec(folder / "raw", spec)
    operations = tuple(
        Resize(type="resize", height=size, width=size) if o.type == "resize" else o for o in config.data.operations
    )
    data = config.data.model_copy(update={"operations": operations})
    prepare(data, folder / "raw", folder / "prepared", say=lambda line: None)
    return folder


@pytest.mark.parametrize("size", [64, 32])
def test_the_champion_is_judged_on_moved_data_with_its_own_preprocessing(
    config: Config, raw: Path, spec: DatasetSpec, weights: Path, bundle: Path, tmp_path: Path, size: int
) -> None:
    outputs = moved(config, raw, spec, tmp_path, size=size)
    again = rejudge(bundle, config, outputs)
    present = manifest.read(outputs / "prepared")
    assert again.samples_sha256 == present.split_sha256["test"]
    assert again.num_samples == 46
    assert again.not_judged == {}
    # The same by hand: the champion's operations and statistics on the new test images.
    own = tmp_path / "own"
    prepare(config.data, outputs / "raw", own, say=lambda line: None)
    split = Split(own, "test")
    image = read_bundle(bundle)[2].image
    described = manifest.Statistics(mean=image.mean, std=image.std)
    split.manifest = split.manifest.model_copy(update={"statistics": described})
    tasks = build_tasks(config.tasks, spec.targets, image_spec(split.manifest))
    model = build_model(config.model, tasks)
    model.load_state_dict(load_file(weights))
    by_hand = judge_model(model, tasks, split, config, "test").report
    assert again.tasks == by_hand.tasks
    assert comparable(again, by_hand)


def test_a_task_whose_classes_changed_is_named(
    config: Config, raw: Path, spec: DatasetSpec, bundle: Path, tmp_path: Path
) -> None:
    species = spec.targets["species"]
    wider = species.model_copy(update={"classes": (*species.classes, "unicorn")})
    other = spec.model_copy(update={"targets": {**spec.targets, "species": wider}})
    again = rejudge(bundle, config, moved(config, raw, other, tmp_path))
    assert set(again.not_judged) == {"species"}
    assert "unicorn" in again.not_judged["species"]
    assert "species" not in again.tasks
    assert "digit" in again.tasks


def test_a_bundle_that_is_damaged_is_refused(config: Config, prepared: Path, bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle, tmp_path / "bundle")
    (tmp_path / "bundle" / "weights.safetensors").write_bytes(b"nothing")
    with pytest.raises(DataError, match="damaged"):
        rejudge(tmp_path / "bundle", config, prepared.parent)
