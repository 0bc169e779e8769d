"""`sources`: partial labels from three origins, and how steps draw from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from mtl.config.data import SourcesSource
from mtl.config.mixing import Mixing
from mtl.config.params import Config
from mtl.data.loading.loader import Split, collate
from mtl.data.loading.mixing import Mixer, build_mixer
from mtl.data.prepare.prepare import prepare
from mtl.data.sources.mixed import fetch_sources
from mtl.data.sources.trees import PHOTOGRAPHS, load_trees
from mtl.errors import ConfigError
from mtl.reports.types import EpochRow
from tests.conftest import ROOT, heard

GROUPS = {"a": np.arange(0, 800), "b": np.arange(800, 900), "c": np.arange(900, 1000)}
TEACHES = {"a": ["x"], "b": ["y", "z"], "c": ["z"]}


def mixing(**values: Any) -> Mixing:
    adapter: TypeAdapter[Mixing] = TypeAdapter(Mixing)
    return adapter.validate_python(values)


def mixer(**values: Any) -> Mixer:
    return Mixer(mixing(**values), GROUPS, TEACHES, seed=7)


def shares(found: Mixer, steps: int = 200) -> dict[str, float]:
    counts = dict.fromkeys(GROUPS, 0)
    for step in range(steps):
        for index in found.next_batch(step, 32):
            counts[next(name for name, indices in GROUPS.items() if index in indices)] += 1
    return {name: count / (32 * steps) for name, count in counts.items()}


@pytest.fixture(scope="module")
def sources(config: Config, downloads: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    settings = SourcesSource(type="sources", num_train=40, num_val=12, num_test=20)
    fetch_sources(settings, 0, folder / "raw", downloads)
    prepare(config.data, folder / "raw", folder / "prepared")
    return folder / "prepared"


def test_each_source_has_its_own_labels_alone(sources: Path) -> None:
    split = Split(sources, "train")
    names = np.array(split.slices()["source"])
    taught = {"digits": {"digit"}, "animals": {"species", "animals"}, "trees": {"trees"}}
    for source, targets in taught.items():
        for target in split.spec.targets:
            assert (split.present(target)[names == source] == (target in targets)).all(), (source, target)
    batch = collate(split, np.nonzero(names == "trees")[0])
    boxes = np.concatenate([table.numpy() for table in batch.targets["trees"]])
    assert len(boxes) > 20
    assert (boxes[:, :4].min() >= 0) and (boxes[:, :4].max() <= 64)


def test_no_photograph_of_trees_is_in_two_splits(downloads: Path) -> None:
    names = [name for of_split in PHOTOGRAPHS.values() for name in of_split]
    assert len(names) == len(set(names))
    photographs, record = load_trees(downloads)
    assert record.num_items == sum(len(p.boxes) for group in photographs.values() for p in group)
    assert len(photographs["train"][0].boxes) == 574


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({"type": "natural"}, {"a": 0.8, "b": 0.1, "c": 0.1}),
        ({"type": "equal"}, {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}),
        ({"type": "temperature", "temperature": 2.0}, {"a": 0.586, "b": 0.207, "c": 0.207}),
    ],
)
def test_shares_are_the_declared_ones(values: dict[str, Any], wanted: dict[str, float]) -> None:
    assert shares(mixer(**values)) == pytest.approx(wanted, abs=0.01)


def test_each_sample_of_a_source_comes_once_before_repeats() -> None:
    found = mixer(type="equal")
    drawn = [int(i) for step in range(9) for i in found.next_batch(step, 32)]
    from_b = [i for i in drawn if i in GROUPS["b"]]
    assert 90 < len(from_b) <= 100
    assert len(set(from_b)) == len(from_b)
    for step in range(9, 40):
        found.next_batch(step, 32)
    assert found.drawn["b"] > 400


def test_the_roulette_follows_what_is_behind() -> None:
    by_loss = mixer(type="roulette", memory=0.0, floor=0.3)
    by_loss.observe({"x": 1.0, "y": 1.0, "z": 1.0})
    by_loss.observe({"x": 0.1, "y": 1.0, "z": 1.0})
    found = by_loss.probabilities()
    assert found["a"] == pytest.approx(0.1 + 0.7 * 0.1 / 2.1)
    by_gap = mixer(type="roulette", by="gap", baselines={"x": 0.5, "y": 1.0, "z": 1.0}, memory=0.0, floor=0.0)
    by_gap.observe({"x": 1.0, "y": 1.0, "z": 1.5})
    assert by_gap.probabilities() == pytest.approx({"a": 1.0 / 1.75, "b": 0.25 / 1.75, "c": 0.5 / 1.75})


def test_the_roulette_does_not_depend_on_the_unit_of_a_loss() -> None:
    found: list[dict[str, float]] = []
    for unit in (1.0, 1e-14):
        made = mixer(type="roulette", memory=0.0, floor=0.3)
        for losses in ({"x": 1.0, "y": 1.0, "z": 1.0}, {"x": 0.1, "y": 0.7, "z": 1.0}):
            made.observe({task: loss * unit for task, loss in losses.items()})
        found.append(made.probabilities())
    assert found[0] == pytest.approx(found[1])


def test_a_mixer_resumes_exactly() -> None:
    whole, part = (mixer(type="roulette", memory=0.9) for _ in range(2))
    for step in range(5):
        assert (whole.next_batch(step, 32) == part.next_batch(step, 32)).all()
        for found in (whole, part):
            found.observe({"x": 1.0 / (step + 1), "y": 1.0})
    other = mixer(type="roulette", memory=0.9)
    other.load_state_dict(part.state_dict())
    assert (whole.next_batch(5, 32) == other.next_batch(5, 32)).all()


def test_mixing_one_source_is_refused(config: Config, prepared: Path) -> None:
    with pytest.raises(ConfigError, match="draws from sources, and this data set has one alone"):
        build_mixer(mixing(type="equal"), Split(prepared, "train"), {}, 0)
    with pytest.raises(ValueError, match="needs the tasks' baselines"):
        mixing(type="roulette", by="gap")


def test_images_with_other_labels_each_are_drawn_on_one_sheet(sources: Path, config: Config, tmp_path: Path) -> None:
    from mtl.config.params import load
    from mtl.evaluate.evaluator import score
    from mtl.evaluate.pictures import draw_curves, draw_predictions
    from mtl.evaluate.report import build_report
    from mtl.evaluate.tables import write_tables
    from mtl.tasks import build_model, build_tasks, image_spec

    chosen = load(ROOT / "params.yaml", [f"@{ROOT}/docs/examples/sources.yaml", "evaluate.num_resamples=100"])
    split = Split(sources, "test")
    tasks = build_tasks(chosen.tasks, split.spec.targets, image_spec(split.manifest))
    model = build_model(chosen.model, tasks)
    scorers = score(model, tasks, split, 16, device=torch.device("cpu"))
    report = build_report(scorers, tasks, split, chosen)
    assert all(task.metrics[task.primary].value is not None for task in report.tasks.values())
    assert set(report.tasks["digit"].slices["source"]) <= {"digits", "animals", "trees"}
    write_tables(tmp_path, report, scorers)
    draw_curves(tmp_path, scorers, [EpochRow.model_validate({"epoch": 0, "train/digit/loss": 1.0})])
    draw_predictions(tmp_path, model, tasks, scorers, split, 8)
    assert (tmp_path / "good.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("objective", "doubted"),
    [
        (["objective.aggregator={type: pcgrad}"], True),
        (["objective.aggregator={type: pcgrad}", "objective.level=parameters"], False),
        ([], False),
    ],
)
def test_tasks_that_never_share_an_image_are_named(
    objective: list[str], doubted: bool, sources: Path, tmp_path: Path
) -> None:
    from mtl.config.params import load
    from mtl.storage.store import Store
    from mtl.train.checkpoint import Checkpoints
    from mtl.train.gradients import never_met
    from mtl.train.loop import run
    from mtl.train.process_group import ProcessGroup
    from mtl.train.training import Training

    short = ["train.epochs=1", "train.batch_size=40", "train.num_workers=1"]
    chosen = load(ROOT / "params.yaml", [f"@{ROOT}/docs/examples/sources.yaml", *short, *objective])
    training = Training(chosen, sources, ProcessGroup())
    # species and animals are both of the animals' images.
    pairs = never_met(training.train_split, training.tasks.values())
    assert len(pairs) == 5
    assert ("animals", "species") not in pairs
    with heard() as lines:
        run(training, Checkpoints(Store(str(tmp_path)), 1), report=lambda row: None)
    said = [line for line in lines if "never conflict" in line]
    assert len(said) == doubted
    assert all("no image teaches both animals and digit (and 4 other pairs of tasks)" in line for line in said)


def test_tasks_of_the_same_images_have_met(config: Config, prepared: Path) -> None:
    from mtl.tasks import build_tasks, image_spec
    from mtl.train.gradients import never_met

    split = Split(prepared, "train")
    assert never_met(split, build_tasks(config.tasks, split.spec.targets, image_spec(split.manifest)).values()) == []
