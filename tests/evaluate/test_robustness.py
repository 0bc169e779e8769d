"""Corruptions, slices and the champion on data that have moved since it was judged."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mtl.config.operations import Resize
from mtl.config.params import Config
from mtl.config.tasks import Edges, Rotation
from mtl.config.tasks import Reconstruction as ReconstructionConfig
from mtl.data.loading.loader import CPU, Split
from mtl.data.prepare.prepare import prepare
from mtl.data.raw.rows import RawSample, read_split, write_spec, write_split
from mtl.data.shards import manifest
from mtl.data.spec import SPLITS, DatasetSpec
from mtl.errors import DataError
from mtl.evaluate.evaluation import evaluate_model, evaluate_weights
from mtl.evaluate.passes import batches, passes_of
from mtl.evaluate.pictures import draw_images
from mtl.evaluate.report import build_report
from mtl.evaluate.robustness import CORRUPTIONS, corrupt
from mtl.gate import comparable
from mtl.package.bundle import read_bundle
from mtl.package.pictures import pictures_beside
from mtl.package.reevaluate import reevaluate
from mtl.reports import EvalReport
from mtl.reports.beside import PicturesBeside
from mtl.reports.notes import notes
from mtl.reports.pictures import Picture, Pictures
from mtl.tasks import build_model, build_tasks, image_spec
from mtl.tasks.reconstruction import to_pixels


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
    found = evaluate_weights(config, prepared, weights).report
    for task in found.tasks.values():
        if task.auxiliary:
            assert task.robustness == {}
        else:
            # All 48 test images: the clean value is the metric itself.
            assert task.robustness["none"] == pytest.approx(task.metrics[task.primary].value)
            assert set(task.robustness) == {"none", *config.evaluate.corruptions}


def test_no_corruptions_cost_nothing(config: Config) -> None:
    (only,) = passes_of(10, config.evaluate.model_copy(update={"corruptions": ()}))
    assert (only.kind, only.indices.tolist()) == ("whole", list(range(10)))


def test_slices_are_resampled_with_the_whole(config: Config, prepared: Path, weights: Path) -> None:
    report = evaluate_weights(config, prepared, weights).report
    split = Split(prepared, "test")
    for name, task in report.tasks.items():
        for attribute, values in task.slices.items():
            for value, found in values.items():
                assert found.num_samples == split.slices()[attribute].count(value) >= 20
                assert len(found.replicates) == min(200, config.evaluate.num_resamples)
                known = [value for value in found.replicates if value is not None]
                low, high = min(known), max(known)
                assert found.value is None or low - 1e-9 <= found.value <= high + 1e-9, name


def test_a_bundle_is_judged_as_its_weights_were(config: Config, prepared: Path, weights: Path, bundle: Path) -> None:
    outputs = prepared.parent / "outputs-as-they-were"
    outputs.mkdir()
    (outputs / "prepared").symlink_to(prepared)
    before = evaluate_weights(config, prepared, weights).report
    assert reevaluate(bundle, config, outputs) == before


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
    prepare(data, folder / "raw", folder / "prepared")
    return folder


@pytest.mark.parametrize("size", [64, 32])
def test_without_a_test_split_validation_evaluates_the_champion(
    config: Config, raw: Path, spec: DatasetSpec, bundle: Path, tmp_path: Path, size: int
) -> None:
    """With other operations than the present ones (32 pixels) its samples are prepared anew."""
    reports = list[EvalReport]()
    for name, picture in (("one", 11), ("other", -1)):
        folder = tmp_path / name
        for split in SPLITS:
            samples = [] if split == "test" else list(read_split(raw, split, spec))
            if split == "val":  # the last one's pixels may be another's
                last = samples[11]
                samples = [*samples[:11], RawSample(last.id, samples[picture].image, last.targets, last.slices)]
            write_split(folder / "raw", split, spec, samples)
        judged = spec.model_copy(update={"judged_on": "val"})
        write_spec(folder / "raw", judged)
        operations = tuple(
            Resize(type="resize", height=size, width=size) if o.type == "resize" else o for o in config.data.operations
        )
        data = config.data.model_copy(update={"operations": operations})
        prepare(data, folder / "raw", folder / "prepared")
        reports.append(reevaluate(bundle, config, folder))
        assert (reports[-1].split, reports[-1].num_samples) == ("val", 12)
    assert notes(reports[0])[0].startswith("judged on the validation split, for there is no test split")
    assert not comparable(*reports)  # the same ids, but an image has changed


@pytest.mark.parametrize("size", [pytest.param(64, marks=pytest.mark.slow), 32])
def test_the_champion_is_evaluated_with_its_own_preprocessing(
    config: Config, raw: Path, spec: DatasetSpec, weights: Path, bundle: Path, tmp_path: Path, size: int
) -> None:
    outputs = moved(config, raw, spec, tmp_path, size=size)
    again = reevaluate(bundle, config, outputs)
    present = manifest.read(outputs / "prepared")
    assert again.samples_sha256 == present.split_sha256["test"]
    assert again.num_samples == 46
    assert again.not_judged == {}
    # The same by hand: the champion's operations and statistics on the new test images.
    own = tmp_path / "own"
    prepare(config.data, outputs / "raw", own)
    split = Split(own, "test")
    image = read_bundle(bundle)[2].image
    described = manifest.Statistics(mean=image.mean, std=image.std)
    split.manifest = split.manifest.model_copy(update={"statistics": described})
    tasks = build_tasks(config.tasks, spec.targets, image_spec(split.manifest))
    model = build_model(config.model, tasks)
    model.load_state_dict(load_file(weights))
    by_hand = evaluate_model(model, tasks, split, config).report
    assert again.tasks == by_hand.tasks
    assert comparable(again, by_hand)
    # And of a few of them, the pictures; without the rest being prepared.
    some = np.array([3, 20, 45])
    by_hand = draw_images(model, tasks, split, some)
    shown = Pictures(pictures=tuple(Picture(id=split.ids[i], kind="bad", drawn="", lines=()) for i in some[::-1]))
    beside = pictures_beside(bundle, config, outputs, shown)
    assert beside == PicturesBeside(pictures=tuple(each.picture(i, "bad") for i, each in by_hand.items()))


def test_a_task_whose_classes_changed_is_named(
    config: Config, raw: Path, spec: DatasetSpec, bundle: Path, tmp_path: Path
) -> None:
    species = spec.targets["species"]
    wider = species.model_copy(update={"classes": (*species.classes, "unicorn")})
    other = spec.model_copy(update={"targets": {**spec.targets, "species": wider}})
    again = reevaluate(bundle, config, moved(config, raw, other, tmp_path))
    assert set(again.not_judged) == {"species"}
    assert "unicorn" in again.not_judged["species"]
    assert "species" not in again.tasks
    assert "digit" in again.tasks
    shown = Pictures(
        pictures=(Picture(id=Split(tmp_path / "prepared", "test").ids[0], kind="good", drawn="", lines=()),)
    )
    mine = config.model_copy(update={"tasks": {**config.tasks, "depth": config.tasks["count"]}})
    beside = pictures_beside(bundle, mine, tmp_path, shown)
    assert beside.remark.startswith("it has no task depth; species is not drawn: it learned [")
    assert not any(line.startswith("species") for line in beside.pictures[0].lines)
    assert any(line.startswith("count") for line in beside.pictures[0].lines)


def test_a_bundle_that_is_damaged_is_refused(config: Config, prepared: Path, bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle, tmp_path / "bundle")
    (tmp_path / "bundle" / "weights.safetensors").write_bytes(b"nothing")
    with pytest.raises(DataError, match="damaged"):
        reevaluate(tmp_path / "bundle", config, prepared.parent)


def test_what_is_true_of_a_damaged_image_is_what_was_true_before(prepared: Path) -> None:
    """Or a task that makes its own targets would be judged by the damage's."""
    split = Split(prepared, "test")
    image = image_spec(split.manifest)
    kinds = {"outline": Edges(type="edges"), "image": ReconstructionConfig(type="reconstruction")}
    tasks = build_tasks({**kinds, "turn": Rotation(type="rotation")}, split.spec.targets, image)
    (clean,), (noisy,) = (list(batches(split, kind, [np.arange(8)], CPU)) for kind in ("none", "noise"))
    for batch in (clean, noisy):
        for task in tasks.values():
            task.derive(batch)
    assert not torch.equal(clean.images, noisy.images)
    for name in ("outline", "turn"):
        target = tasks[name].target_name
        assert torch.equal(clean.targets[target], noisy.targets[target])
    assert not torch.equal(clean.views["turn"], noisy.views["turn"])  # what it looks at is damaged
    scorer = tasks["image"].scorer()
    scorer.add([{"pixels": pixels} for pixels in to_pixels(clean.images, image)], noisy)
    assert scorer.value()["psnr"] == 100.0  # to have undone the damage is perfect


def test_resamples_go_by_id_whatever_the_order(config: Config, prepared: Path) -> None:
    split = Split(prepared, "test")
    task = build_tasks({"count": config.tasks["count"]}, split.spec.targets, image_spec(split.manifest))["count"]
    errors, order = np.random.default_rng(0).normal(0, 1, len(split)), np.random.default_rng(1).permutation(len(split))
    found: list[EvalReport] = []
    for chosen in (np.arange(len(split)), order):
        scorer = task.scorer()
        scorer.rows = list(errors[chosen])
        other = Split(prepared, "test")
        other.ids = [split.ids[i] for i in chosen]
        found.append(build_report({"count": scorer}, {"count": task}, other, config))
    one, another = found
    assert comparable(one, another)
    assert one.tasks["count"].replicates == pytest.approx(another.tasks["count"].replicates)
    assert one.tasks["count"].jackknife == pytest.approx(another.tasks["count"].jackknife)


def test_a_champion_that_reads_other_images_is_not_compared(
    config: Config, raw: Path, spec: DatasetSpec, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many, but not the same: what pairs by place would compare different images."""
    outputs = moved(config, raw, spec, tmp_path, size=32)

    def prepare_without_one(data: Any, source: Path, folder: Path) -> None:
        samples = list(read_split(source, "test", spec))
        samples[0] = RawSample("another", samples[0].image, samples[0].targets, samples[0].slices)
        (source / "test.parquet").unlink()
        write_split(source, "test", spec, sorted(samples, key=lambda sample: sample.id))
        prepare(data, source, folder)

    monkeypatch.setattr("mtl.package.reevaluate.prepare", prepare_without_one)
    with pytest.raises(DataError, match="they cannot be compared") as caught:
        reevaluate(bundle, config, outputs)
    assert "46 and 46 images; in one of the two alone: another, " in str(caught.value)
