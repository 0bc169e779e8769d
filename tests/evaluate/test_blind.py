"""Nothing that has learnt nothing is promoted: what answers without looking reach, and models that had nothing to see."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydantic import TypeAdapter

from mtl.codecs.maps import encode_depth, encode_normals
from mtl.config.gate import GateConfig
from mtl.config.operations import Resize
from mtl.config.params import Config
from mtl.config.tasks import AnyTask, TaskConfig
from mtl.data.loading.loader import Split, collate, sequential
from mtl.data.prepare.prepare import prepare
from mtl.data.raw.rows import RawSample, write_spec, write_split
from mtl.data.spec import DatasetSpec, TargetSpec
from mtl.errors import DataError
from mtl.evaluate.blind import score_blind
from mtl.evaluate.bootstrap import resample_counts
from mtl.evaluate.evaluation import evaluate_model
from mtl.evaluate.report import _task_report
from mtl.gate import decide
from mtl.reports import EvalReport
from mtl.storage.store import Store
from mtl.tasks import Task, build_tasks, image_spec
from mtl.train.checkpoint import Checkpoints
from mtl.train.loop import run
from mtl.train.process_group import ProcessGroup
from mtl.train.training import Training
from tests.evaluate.test_intervals import CASES

SIDE = 32
COLOURS = ((200, 40, 40), (40, 200, 40), (40, 40, 200))
TARGETS = {
    "kind": TargetSpec(kind="label", classes=("red", "green", "blue")),
    "tags": TargetSpec(kind="labels", classes=tuple("abcde")),
    "size": TargetSpec(kind="value"),
    "things": TargetSpec(kind="boxes", classes=("red", "green", "blue")),
    "parts": TargetSpec(kind="mask", classes=("ground", "thing"), ignored=(255,)),
    "depth": TargetSpec(kind="depth", unit="m", scale=0.001),
    "normals": TargetSpec(kind="normals"),
}
TASKS: dict[str, dict[str, Any]] = {
    "kind": {"type": "classification"},
    "tags": {"type": "multilabel"},
    "size": {"type": "regression"},
    "things": {"type": "detection", "num_convs": 1},
    "parts": {"type": "segmentation"},
    "depth": {"type": "depth"},
    "normals": {"type": "normals"},
    "image": {"type": "reconstruction"},
    "turn": {"type": "rotation"},
    "outline": {"type": "edges"},
}
FIRST = GateConfig(margin=0.02, min_improvement=0.0, confidence=0.95)
Change = Callable[[np.random.Generator, list[RawSample]], list[RawSample]]


def scene(rng: np.random.Generator, identifier: str) -> RawSample:
    """A coloured thing near the middle, and every kind of target of it."""
    kind, tag = int(rng.integers(3)), int(rng.integers(2))
    (x, y), (width, height) = rng.integers(5, 12, 2), rng.integers(10, 15, 2)
    inside = np.s_[y : y + height, x : x + width]
    image = rng.integers(0, 40, (SIDE, SIDE, 3)).astype(np.uint8)
    mask, normals = np.zeros((SIDE, SIDE), np.uint8), np.zeros((SIDE, SIDE, 3))
    depth = np.linspace(1, 5, SIDE)[:, None] * np.ones((1, SIDE))
    normals[..., 2] = 1
    image[inside], mask[inside], normals[inside] = COLOURS[kind], 1, (0.6, 0, 0.8)
    depth[inside] -= 0.5
    targets = {
        "kind": kind,
        "tags": [kind, 3 + tag],
        "size": float(width * height) / 50,
        "things": [[float(x), float(y), float(x + width), float(y + height), float(kind)]],
        "parts": png(mask),
        "depth": encode_depth(depth, 0.001),
        "normals": encode_normals(normals),
    }
    return RawSample(identifier, png(image[..., ::-1]), targets, {})


def png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


def as_they_are(rng: np.random.Generator, samples: list[RawSample]) -> list[RawSample]:
    return samples


def shuffled(rng: np.random.Generator, samples: list[RawSample]) -> list[RawSample]:
    """Each image with another's targets."""
    other = rng.permutation(len(samples))
    return [RawSample(s.id, s.image, samples[i].targets, {}) for s, i in zip(samples, other, strict=True)]


def all_one_image(rng: np.random.Generator, samples: list[RawSample]) -> list[RawSample]:
    grey = png(np.full((SIDE, SIDE, 3), 120, np.uint8))
    return [RawSample(s.id, grey, s.targets, {}) for s in samples]


def all_one_target(rng: np.random.Generator, samples: list[RawSample]) -> list[RawSample]:
    return [RawSample(s.id, s.image, samples[0].targets, {}) for s in samples]


def without(name: str, *, targets: Any = None) -> Change:
    """Every sample without a target, or with another one."""

    def change(rng: np.random.Generator, samples: list[RawSample]) -> list[RawSample]:
        more = {} if targets is None else {name: targets}
        return [RawSample(s.id, s.image, {n: t for n, t in s.targets.items() if n != name} | more, {}) for s in samples]

    return change


def made(
    config: Config, folder: Path, change: Change | dict[str, Change], sizes: tuple[int, ...] = (64, 24, 60)
) -> Path:
    """A prepared data set whose splits were changed, all in the same way or each in its own."""
    rng = np.random.default_rng(0)
    for split, size in zip(("train", "val", "test"), sizes, strict=True):
        how = change.get(split, as_they_are) if isinstance(change, dict) else change
        samples = how(rng, [scene(rng, f"{split}-{i:04}") for i in range(size)])
        write_split(folder / "raw", split, DatasetSpec(name="made", targets=TARGETS), samples)
    write_spec(folder / "raw", DatasetSpec(name="made", targets=TARGETS))
    operations = tuple(
        Resize(type="resize", height=SIDE, width=SIDE) if o.type == "resize" else o for o in config.data.operations
    )
    data = config.data.model_copy(update={"operations": operations})
    prepare(data, folder / "raw", folder / "prepared")
    return folder / "prepared"


def small(config: Config, *names: str, **train: Any) -> Config:
    """Settings of a small model of some of the tasks, or all."""
    adapter: TypeAdapter[TaskConfig] = TypeAdapter(AnyTask)
    tasks = {n: adapter.validate_python({"hidden": 16, **v}) for n, v in TASKS.items() if n in (names or TASKS)}
    backbone = config.model.backbone.model_copy(update={"widths": (8, 16, 16, 16), "depths": (1, 1, 1, 1)})
    values = {"num_workers": 1, "batch_size": 16, "epochs": 3, "ema_decay": 0.8, "warmup": 0.0, "schedule": "constant"}
    return config.model_copy(
        update={
            "tasks": tasks,
            "model": config.model.model_copy(update={"backbone": backbone, "neck_channels": 16}),
            "train": config.train.model_copy(update={**values, **train}),
            "evaluate": config.evaluate.model_copy(update={"num_resamples": 200, "corruptions": ()}),
        }
    )


def judged(config: Config, prepared: Path, folder: Path, *, trained: bool = True) -> EvalReport:
    """The report of a model as training hands it on, or as it was before the first step."""
    training = Training(config, prepared, ProcessGroup())
    if trained:
        run(training, Checkpoints(Store(str(folder / "c")), 1), report=lambda row: None)
    training.averaged.load_state_dict(training.best)
    return evaluate_model(training.averaged, training.tasks, Split(prepared, "test"), config).report


def passed(report: EvalReport) -> set[str | None]:
    """Tasks that may be promoted as far as anything was learnt."""
    asked = [r for r in decide(report, None, None, FIRST).rules if r.name in ("evidence", "better than blind")]
    return {rule.task for rule in asked} - {rule.task for rule in asked if not rule.passed}


@pytest.mark.parametrize("change", [shuffled, all_one_image, all_one_target])
def test_where_there_is_nothing_to_see_no_task_passes(config: Config, tmp_path: Path, change: Change) -> None:
    own = (
        "image",
        "turn",
        "outline",
    )  # what a task makes of the image is there to be seen, unless all images are alike
    names = [n for n in TASKS if change is all_one_image or n not in own]
    report = judged(small(config, *names), made(config, tmp_path, change), tmp_path)
    assert not passed(report)
    assert not decide(report, None, None, FIRST).promote


def test_before_the_first_step_no_task_passes(config: Config, tmp_path: Path) -> None:
    # An untrained network may rank images better than chance does, by luck: no wonder that `tags` is not asked.
    names = [n for n in TASKS if n != "tags"]
    assert not passed(judged(small(config, *names), made(config, tmp_path, as_they_are), tmp_path, trained=False))


def test_what_is_learnt_passes(config: Config, tmp_path: Path) -> None:
    names = ("kind", "parts")
    report = judged(small(config, *names, epochs=14), made(config, tmp_path, as_they_are), tmp_path)
    assert passed(report) == set(names)
    assert decide(report, None, None, FIRST).promote


def test_masks_that_know_no_pixel(config: Config, tmp_path: Path) -> None:
    blank = without("parts", targets=png(np.full((SIDE, SIDE), 255, np.uint8)))
    with pytest.raises(DataError, match="no training image has a target of parts") as caught:
        Training(small(config, "kind", "parts"), made(config, tmp_path / "a", blank), ProcessGroup())
    assert "64 of 64 train, 24 of 24 val, 60 of 60 test images" in str(caught.value)
    only_test = made(config, tmp_path / "b", {"test": blank})
    report = judged(small(config, "kind", "parts", epochs=1), only_test, tmp_path)
    assert report.tasks["parts"].num_targets == 0
    decision = decide(report, report, 1, FIRST)
    assert ("evidence", "parts") in [(rule.name, rule.task) for rule in decision.rules if not rule.passed]


# --- the answers themselves


@pytest.fixture(scope="module")
def test_split(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Split:
    return Split(made(config, tmp_path_factory.mktemp("blind"), as_they_are), "test")


@pytest.fixture(scope="module")
def tasks(config: Config, test_split: Split) -> dict[str, Task]:
    return build_tasks(small(config).tasks, test_split.spec.targets, image_spec(test_split.manifest))


def rivals(task: Task, truths: list[Any], rng: np.random.Generator) -> list[Any]:
    """Other answers that are the same for every image."""
    half = [task.blind([truths[i] for i in rng.permutation(len(truths))[:30]]) for _ in range(3)]
    if task.name in ("kind", "turn"):
        return half + [{"index": c, "scores": [0.25] * 4} for c in range(len(task.target.classes))]
    if task.name == "size":
        return half + [{"value": value} for value in np.linspace(0, 5, 40)]
    if task.name == "things":
        one = {"labels": np.array([0, 1, 2]), "scores": np.array([0.5, 0.4, 0.3])}
        return half + [{**one, "boxes": np.tile(truths[i][:1, :4], (3, 1))} for i in rng.permutation(len(truths))[:20]]
    if task.name in ("parts", "outline"):
        frequent = np.mean([truth == 1 for truth in truths], axis=0)
        return half + [{"mask": (frequent > at).astype(np.uint8)} for at in np.linspace(-0.1, 1.0, 40)]
    if task.name == "depth":
        return half + [{"map": found["map"] + more} for found in half for more in (-0.1, 0.1)]
    if task.name == "image":
        return half + [{"pixels": np.full((SIDE, SIDE, 3), level, np.uint8)} for level in range(0, 256, 8)]
    return half


@pytest.mark.parametrize("name", TASKS)
def test_no_other_answer_without_looking_is_better(name: str, tasks: dict[str, Task], test_split: Split) -> None:
    task = tasks[name]
    batch = collate(test_split, np.arange(len(test_split)))
    task.derive(batch)
    value = score_blind({name: task}, test_split, 25)[name].value()[task.primary]
    # Found by trying, or an order of chance.
    slack = {"tags": 0.05, "things": 0.03, "parts": 0.03, "outline": 0.03, "normals": 0.2}.get(name, 1e-9)
    for answer in rivals(task, task.truths(batch), np.random.default_rng(0)):
        scorer = task.scorer()
        scorer.add(task.blind_answers(answer, batch.draws), batch)
        other = scorer.value()[task.primary]
        assert other <= value + slack if task.directions[task.primary] == "max" else other >= value - slack


def test_an_answer_knows_where_things_mostly_are(tasks: dict[str, Task], test_split: Split) -> None:
    """More than one class, one colour or no box everywhere: a network can learn a place without looking, too."""
    found = {n: s.value()[tasks[n].primary] for n, s in score_blind(tasks, test_split, 25).items()}
    assert found["things"] > 0.1
    assert found["parts"] > 0.6
    assert found["depth"] < 0.3  # the ground alone spans four metres


def test_an_order_of_chance_is_no_better_than_without_looking(tasks: dict[str, Task], test_split: Split) -> None:
    """Beside each class's share it would nearly always seem so: on few samples chance alone is above it."""
    task, rng = tasks["tags"], np.random.default_rng(0)
    blind = score_blind({"tags": task}, test_split, 25)["tags"]
    rows: list[Any] = blind.rows
    counts = rng.multinomial(60, [1 / 60] * 60, size=100).astype(float)
    without = blind.metrics(counts)["map"]
    shares = np.mean([row[1] for row in rows], axis=0).mean()
    above_chance = above_share = 0
    for _ in range(40):
        scorer = task.scorer()
        scorer.rows = [np.stack([rng.random(5), row[1]]) for row in rows]
        found = scorer.metrics(counts)["map"]
        above_chance += np.quantile(found - without, 0.025) > 0
        above_share += np.quantile(found, 0.025) > shares
    assert above_chance <= 4 < 20 < above_share


@pytest.mark.parametrize("count", [4, 8, 15])
def test_few_samples_pass_by_chance_no_more_often_than_many(count: int) -> None:
    """How many samples are enough is left to the interval: here of numbers that know nothing of the truth."""
    task, _, _ = CASES["regression"]
    rng, counts = np.random.default_rng(0), resample_counts(0, 200, count)
    above, draws = 0, 150
    for _ in range(draws):
        truth = rng.gamma(3, 1, count)
        own, blind = task.scorer(), task.scorer()
        own.rows = list(2.67 + 0.3 * rng.normal(size=count) - truth)
        blind.rows = list(task.blind(list(truth))["value"] - truth)
        skill = _task_report(own, task, counts, {}, 0.95, {}, blind).skill
        ends = skill and skill.interval(0.025)
        above += ends is not None and ends[0] > 0
    assert above / draws <= 0.05


@pytest.mark.parametrize("name", ["depth", "normals", "parts", "image"])
@pytest.mark.parametrize("count", [1, 5, 19])
def test_a_memorised_scene_never_passes_with_few_images(
    tasks: dict[str, Task], test_split: Split, name: str, count: int
) -> None:
    """The answer that is best for all 60 images, to some of them: it does not look at any."""
    task = tasks[name]
    key = {"depth": "map", "parts": "mask", "image": "pixels"}.get(name, name)
    answer = task.blind([t for batch in sequential(test_split, 25) for t in task.truths(batch)])
    batch = collate(test_split, np.arange(count))
    own, blind = task.scorer(), task.scorer()
    own.add([answer] * count, batch)
    blind.add([task.blind(task.truths(batch))] * count, batch)
    assert np.asarray(answer[key]).std() > 0  # else there is nothing to know
    counts = resample_counts(0, 200, count)
    report = EvalReport(
        samples_sha256="", num_samples=count, seed=0, num_resamples=200, confidence=0.95,
        tasks={name: _task_report(own, task, counts, {}, 0.95, {}, blind)},
    )  # fmt: skip
    assert not decide(report, None, None, FIRST).promote


def test_where_pixels_are_rarely_known_blocks_of_them_answer(tasks: dict[str, Task]) -> None:
    """As a laser's are, one of sixteen here: the ground is known, and no image by heart."""
    rng = np.random.default_rng(0)
    ground = np.broadcast_to(np.linspace(10, 2, SIDE)[:, None], (SIDE, SIDE))
    truths = [
        np.where(rng.random(ground.shape) < 1 / 16, ground + rng.normal(0, 1, ground.shape), np.nan) for _ in range(20)
    ]
    answer = tasks["depth"].blind(truths)["map"]
    assert np.abs(answer - ground).mean() < 0.7  # one number everywhere: 2
    own, other = (np.mean([np.nanmean(np.abs(found - truth)) for truth in truths]) for found in (answer, ground))
    assert 0.5 < own < other  # by heart it would be below 0.3, and no ground known from elsewhere is to do better


def test_pictures_of_which_many_are_one_are_answered_with_it(tasks: dict[str, Task]) -> None:
    """Black ones, say, at 100 dB: to all pictures their mean is the nearest, and is like none."""
    rng = np.random.default_rng(0)
    truths = [rng.integers(0, 256, (SIDE, SIDE, 3)) * (i % 3 > 0) for i in range(12)]
    assert tasks["image"].blind(truths)["pixels"].max() == 0
    several = [rng.integers(0, 256, (SIDE, SIDE, 3)) for _ in range(12)]
    assert abs(tasks["image"].blind(several)["pixels"] - np.mean(several, 0)).max() < 16  # none by heart


def test_a_split_without_a_target_has_no_answer(tasks: dict[str, Task], config: Config, tmp_path: Path) -> None:
    split = Split(made(config, tmp_path, without("size"), (4, 4, 8)), "test")
    assert set(score_blind(tasks, split, 8)) == set(TASKS) - {"size"}
