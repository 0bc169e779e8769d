"""Changes that targets do not follow are refused, by source; those that they follow change nothing of how a training runs."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mtl.config import read_params
from mtl.config.augment import CHANGES, AugmentConfig
from mtl.config.choices import sections
from mtl.config.params import Config, parse
from mtl.config.tasks import TaskConfig
from mtl.data.kinds import KINDS
from mtl.data.kinds.base import Kind
from mtl.data.loading import sampler
from mtl.data.loading.layers import joined
from mtl.data.loading.loader import Split
from mtl.errors import ConfigError
from mtl.tasks import TASKS, Task, build_model, build_tasks, image_spec
from mtl.train.augmenting import Augmenting
from mtl.train.process_group import ProcessGroup
from mtl.train.training import Training
from tests.conftest import ROOT
from tests.data.test_joins import EVERYTHING
from tests.model.test_sharing import model_config, task_configs
from tests.train.host_reads import HostReads
from tests.train.test_feed import digest, fed, loading

COLUMNS = [*CHANGES]


@pytest.fixture
def values() -> dict[str, Any]:
    return copy.deepcopy(read_params(ROOT / "params.yaml"))


def refusal(values: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(values)
    return str(caught.value)


def test_what_no_source_can_follow_is_refused_with_the_settings(values: dict[str, Any]) -> None:
    values["augment"]["crop"] = {"scale": [0.5, 1.0]}
    found = refusal(values)
    assert "augment.crop does not go with count (tasks.count: of a part of the image" in found
    assert "crop_invariant: true" in found
    values["tasks"]["count"]["crop_invariant"] = True
    assert parse(values).augment.crop is not None
    values["augment"]["mosaic"] = {}
    assert "augment.mosaic does not go with count, digit, species" in refusal(values)
    values["augment"] |= {"mosaic": None, "mixup": {"probability": 0.6}, "cutmix": {}}
    assert "add up to 1.1" in refusal(values)


@pytest.mark.parametrize(
    ("section", "fragment"),
    [
        ({"crop": {"scale": [0.9, 0.5]}}, "the smallest comes first"),
        ({"crop": {"scale": [0.0, 0.5]}}, "augment.crop.scale.0"),
        ({"rand_augment": {"operations": ["shear"]}}, "shear"),
        ({"rand_augment": {"magnitude": 31}}, "augment.rand_augment.magnitude"),
        ({"erasing": {"probabilty": 0.5}}, "did you mean 'probability'"),
        ({"sources": {"a": {"crop": {"scael": [0.5, 1.0]}}}}, "augment.sources.a.crop"),
    ],
)
def test_a_wrong_setting_is_named(values: dict[str, Any], section: dict[str, Any], fragment: str) -> None:
    values["augment"] |= section
    assert fragment in refusal(values)


def test_a_source_that_differs_leaves_the_question_to_the_data(values: dict[str, Any]) -> None:
    values["augment"] |= {"crop": {}, "sources": {"counts": {"crop": "off"}}}
    config = parse(values).augment
    assert config.of("counts").crop is None
    assert config.of("other").crop is not None
    again = AugmentConfig.model_validate_json(config.model_dump_json(), strict=False)
    assert again == config, "as a worker gets it"


class Sources:
    """A split whose first half is of one source, with counts, and whose other half is of another, with classes."""

    def __len__(self) -> int:
        return 10

    def slices(self) -> dict[str, list[str]]:
        return {"source": ["counts"] * 5 + ["classes"] * 5}

    def present(self, target: str) -> np.ndarray:
        return (np.arange(10) < 5) == (target == "count")


def augmenting(config: Config, everything: Path, **augment: Any) -> Augmenting:
    manifest = Split(everything, "train").manifest
    configs = {name: task for name, task in config.tasks.items() if name in ("count", "digit")}
    tasks = build_tasks(configs, manifest.spec.targets, image_spec(manifest))
    values = config.augment.model_dump() | augment
    split: Any = Sources()
    return Augmenting(AugmentConfig.model_validate(values, strict=False), split, tasks)


def test_a_change_is_refused_by_the_targets_that_a_source_has(config: Config, everything: Path) -> None:
    with pytest.raises(ConfigError, match=r"augment.crop does not go with count") as caught:
        augmenting(config, everything, crop={})
    assert "10 training images, 5 with a target of count" in str(caught.value)
    with pytest.raises(ConfigError, match=r"set augment.sources.counts.crop: off"):
        augmenting(config, everything, crop={}, sources={"classes": {"flip": 0.0}})
    found = augmenting(config, everything, crop={}, sources={"counts": {"crop": "off"}})
    parts = found.draw(np.arange(10), 0, 0, 0).parts
    assert parts is not None
    assert (parts.on(64, 64)[:5] == [0, 0, 64, 64]).all()
    assert (parts.on(64, 64)[5:, 2:] < 64).any()
    augmenting(config, everything, sources={"classes": {"crop": {}, "mixup": {}}})
    with pytest.raises(ConfigError, match="no training image is of class") as caught:
        augmenting(config, everything, sources={"class": {"flip": 0.0}})
    assert "choose from classes, counts" in str(caught.value)


def test_sources_that_nobody_tells_apart_are_refused(config: Config, everything: Path) -> None:
    split = Split(everything, "train")
    wanted = config.augment.model_validate(
        config.augment.model_dump() | {"sources": {"a": {"flip": 0.0}}}, strict=False
    )
    with pytest.raises(ConfigError, match="this data set has one alone"):
        Augmenting(wanted, split, {})


def test_the_page_says_what_the_classes_say() -> None:
    lines = (ROOT / "docs" / "how-to" / "augmentation.md").read_text(encoding="utf-8").splitlines()
    lines = lines[lines.index("## Which targets follow") : lines.index("## What it costs")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    assert rows[0] == ["task", *COLUMNS]
    found = {row[0]: row[1:] for row in rows[2:]}
    types = sections()["tasks"]
    assert found == {name: [kind.follows.get(c, "refused") for c in COLUMNS] for name, kind in types.items()}


def test_a_type_that_says_nothing_follows_colours_alone() -> None:
    assert {change for change in CHANGES if not TaskConfig().refusal(change)} == {"rand_augment", "erasing"}
    assert "does not say" in TaskConfig().refusal("mosaic")


def test_kinds_make_what_their_tasks_say_they_follow() -> None:
    """Where a task's target is mixed or pasted, its kind says how; elsewhere nothing is known of such an image."""
    for name, task in sections()["tasks"].items():
        kind = TASKS[name].kind
        if kind is None:
            continue
        joins = type(KINDS[kind]).join is not Kind.join
        assert joins == any(
            task.follows.get(change) not in (None, "refused") for change in ("mixup", "cutmix", "mosaic")
        )


def tasks_of(split: Split) -> dict[str, Task]:
    return build_tasks(task_configs(), split.spec.targets, image_spec(split.manifest))


def test_every_task_learns_from_images_with_all_changes(everything: Path) -> None:
    """Losses and gradients are finite; nothing is read on the host on the way."""
    split = Split(everything, "train")
    tasks = tasks_of(split)
    torch.manual_seed(0)
    model = build_model(model_config("hard"), tasks)
    for change in (
        {},
        {"mixup": {"probability": 1.0}},
        {"cutmix": {"probability": 1.0}},
        {"mosaic": {"probability": 1.0}},
    ):
        (name,) = change or ("erasing",)
        config = AugmentConfig.model_validate(
            EVERYTHING | {"mixup": None, "cutmix": None, "mosaic": None} | change, strict=False
        )
        chosen = {n: task for n, task in tasks.items() if not task.config.refusal(name)}
        drawn = Augmenting(config.model_copy(update={"crop": None}), split, chosen).draw(np.arange(8), 1, 0, 0)
        with HostReads() as reads:
            batch = joined(split, np.arange(8), drawn, np.arange(8))
        assert reads.found == []
        for task in tasks.values():
            task.derive(batch)
        outputs = model(batch.images, batch.views)
        total = torch.zeros(())
        for n, task in chosen.items():
            terms, counts = task.loss_terms(outputs[n], batch), task.target_counts(batch)
            assert float(counts[0]) > 0, (name, n)
            total = total + sum(term / count.clamp(min=1) for term, count in zip(terms, counts, strict=True))
        assert torch.isfinite(total)
        gradients = torch.autograd.grad(total, [p for p in model.parameters() if p.requires_grad], allow_unused=True)
        assert all(torch.isfinite(g).all() for g in gradients if g is not None)


def with_changes(config: Config, **more: Any) -> Config:
    """Tasks whose targets follow everything but mixup and mosaic."""
    tasks = {name: task for name, task in config.tasks.items() if name in ("digit", "objects", "regions", "image")}
    wanted = EVERYTHING | {"mixup": None, "mosaic": None, "cutmix": {"probability": 0.5}}
    return config.model_copy(
        update={"tasks": tasks, "augment": AugmentConfig.model_validate(wanted, strict=False), **more}
    )


def test_threads_prefetch_and_a_resume_change_no_bit(config: Config, prepared: Path) -> None:
    wanted = with_changes(config)
    training = Training(wanted, prepared, ProcessGroup())
    order = sampler.epoch_order(0, 0, len(training.train_split))
    found: list[list[list[torch.Tensor]]] = []
    for threads, prefetch in ((1, 0), (3, 5)):
        feed = fed(training, loading(wanted, threads, prefetch))
        found.append([digest(feed.take(0, step, step, order)) for step in range(4)])
        state = feed.mixer_state()
        again = fed(training, loading(wanted, threads, prefetch))
        again.load_mixer_state(state)
        found[-1].append(digest(again.take(0, 4, 4, order)))
        feed.reset()
        again.reset()
    for one, other in zip(*found, strict=True):
        assert all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(one, other, strict=True))


def test_workers_read_what_their_images_are_made_of(config: Config, prepared: Path) -> None:
    """What a worker tells its shards that it will read is what it reads."""
    wanted = with_changes(config)
    training = Training(wanted, prepared, ProcessGroup())
    read, rows = list[np.ndarray](), training.train_split.rows

    def noted(indices: np.ndarray, *given: Any, **options: Any) -> Any:
        read.append(indices)
        return rows(indices, *given, **options)

    training.train_split.rows = noted  # type: ignore[method-assign]
    order = training.order(0)
    told = training._reading(0, 1)
    for step in (1, 2):
        indices = sampler.global_batch(order, step, wanted.train.batch_size)
        training.batches(indices, 0, step)
        assert sorted(set(read.pop().tolist())) == sorted(set(next(told).tolist()))
