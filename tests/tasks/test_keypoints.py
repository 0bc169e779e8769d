"""Keypoints: COCO's in, moved with their image, learnt where they are labelled, judged as COCO does."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from faster_coco_eval import COCO, COCOeval_faster

from mtl.config.augment import AugmentConfig
from mtl.config.model import ModelConfig
from mtl.config.tasks import Keypoints as KeypointsConfig
from mtl.data.inspect.gallery import draw
from mtl.data.kinds import KINDS
from mtl.data.kinds.box_table import CROWD
from mtl.data.kinds.keypoints import AREA, KIND, POINTS
from mtl.data.kinds.skeleton import mirrored
from mtl.data.loading.augment import Changes, augmented, draw_changes
from mtl.data.loading.loader import Batch
from mtl.data.prepare.picture import Picture
from mtl.data.shards.manifest import Statistics
from mtl.data.spec import DatasetSpec, TargetSpec
from mtl.errors import ConfigError, DataError
from mtl.tasks import build_model, build_tasks
from mtl.tasks.answers import answer_of
from mtl.tasks.base import ImageSpec
from mtl.tasks.keypoint_targets import targets_of
from mtl.tasks.oks import SIGMAS, oks, sigmas_of
from tests.conftest import not_none
from tests.data.small_sets import fetched, pictures, read

NAMES = ["nose", "left_eye", "right_eye"]
SPEC = TargetSpec(kind="keypoints", classes=("person",), facts={"points": [*NAMES], "edges": [[0, 1], [0, 2]]})
ROW = [4.0, 2.0, 20.0, 18.0, 0.0, 0.0, 200.0, 12.0, 10.0, 2.0, 16.0, 6.0, 2.0, 8.0, 6.0, 1.0]


def coco(
    folder: Path, annotations: list[dict[str, Any]], *categories: dict[str, Any], size: tuple[int, int] = (32, 24)
) -> Path:
    """A COCO file of one picture, 32×24, that says that it has `size`."""
    folder.mkdir(exist_ok=True)
    pictures(folder, ["a.png"])
    person = {"id": 1, "name": "person", "keypoints": NAMES, "skeleton": [[1, 2], [1, 3]]}
    image = {"id": 1, "file_name": "a.png", "width": size[0], "height": size[1]}
    for number, annotation in enumerate(annotations):
        annotation.setdefault("category_id", 1)
        annotation |= {"id": number + 1, "image_id": 1}
    document = {"images": [image], "annotations": annotations, "categories": list(categories) or [person]}
    (folder / "annotations.json").write_text(json.dumps(document))
    return folder


def person(**other: Any) -> dict[str, Any]:
    return {
        "bbox": [4, 2, 16, 16],
        "area": 200,
        "keypoints": [12, 10, 2, 16, 6, 2, 8, 6, 1],
        "num_keypoints": 3,
    } | other


def rows(folder: Path) -> list[list[float]]:
    return read(folder, format="coco", keypoints="people").entries[0].targets["people"]


def test_coco_is_read(tmp_path: Path) -> None:
    reading = read(
        coco(tmp_path, [person(), person(iscrowd=1, keypoints=[0] * 9, num_keypoints=0)]),
        format="coco",
        keypoints="people",
    )
    assert reading.targets["people"] == SPEC
    first, crowd = reading.entries[0].targets["people"]
    assert first == ROW
    assert (crowd[KIND], sum(crowd[POINTS:])) == (CROWD, 0)
    assert len(reading.entries[0].targets["objects"]) == 2
    assert rows(coco(tmp_path / "none", [])) == [], "an image without objects shows none"


def test_points_follow_the_size_that_the_file_declares(tmp_path: Path) -> None:
    (row,) = rows(
        coco(
            tmp_path,
            [person(bbox=[8, 4, 32, 32], area=800, keypoints=[24, 20, 2, 32, 12, 2, 16, 12, 1])],
            size=(64, 48),
        )
    )
    assert row == pytest.approx(ROW)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"keypoints": [1, 2, 2]}, "three numbers per point; found: 3 values; fix:"),
        ({"keypoints": "here"}, "three numbers per point"),
        ({"keypoints": [12, 10, 5, 16, 6, 2, 8, 6, 1]}, "visibility is unknown; found: 5; fix:"),
        ({"num_keypoints": 2}, "num_keypoints is not the number of its labelled points; found: 2, 3 are labelled"),
        ({"keypoints": [12, 10, 2, 99, 6, 2, 8, 6, 1]}, "outside the picture of 32×24"),
    ],
)
def test_a_wrong_annotation_is_named_and_the_others_are_used(tmp_path: Path, wrong: dict[str, Any], said: str) -> None:
    reading = read(coco(tmp_path, [person(), person(**wrong)]), format="coco", keypoints="people")
    assert len(reading.entries[0].targets["people"]) == 1
    (problem,) = reading.problems
    words = " ".join(problem.reason.split()).replace(" ;", ";")
    assert all(
        part.strip() in words for part in said.replace("; found", "\0found").replace("; fix", "\0fix").split("\0")
    )
    assert (problem.loses, "annotation 2" in problem.reason) == ("annotation", True)


@pytest.mark.parametrize(
    ("categories", "said"),
    [
        ([{"id": 1, "name": "cat"}], "no category has keypoints"),
        (
            [{"id": 1, "name": "a", "keypoints": ["x"]}, {"id": 2, "name": "b", "keypoints": ["y"]}],
            "have different keypoints",
        ),
        ([{"id": 1, "name": "a", "keypoints": ["left_eye"]}], "left_eye has no twin right_eye"),
        ([{"id": 1, "name": "a", "keypoints": ["x"], "skeleton": [[1, 2]]}], "a line ends at no point"),
    ],
)
def test_categories_without_what_it_takes_are_refused(
    tmp_path: Path, categories: list[dict[str, Any]], said: str
) -> None:
    with pytest.raises(DataError, match=said) as caught:
        read(coco(tmp_path, [person()], *categories), format="coco", keypoints="people")
    assert caught.value.fix


def test_left_and_right_by_name() -> None:
    told = {
        "left_eye": "right_eye",
        "Right Hip": "Left Hip",
        "eye_l": "eye_r",
        "rear": "rear",
        "nose": "nose",
        "L": "R",
    }
    assert {name: mirrored(name) for name in told} == told


def split_of(table: np.ndarray, size: int = 24) -> Any:
    manifest = SimpleNamespace(statistics=Statistics(mean=(0.0,) * 3, std=(1.0,) * 3), colours=3)
    found = {"image": np.zeros((1, size, size, 3), np.uint8), "people": [table], "people.present": np.ones(1, bool)}
    spec = SimpleNamespace(targets={"people": SPEC})
    return SimpleNamespace(rows=lambda _: found, ids=["a"], manifest=manifest, spec=spec)


def test_a_flip_swaps_left_and_right_and_two_give_back_the_first() -> None:
    flip = Changes(np.array([[[-1, 0, 0], [0, 1, 0]]], np.float32), np.array([[0, 1, 1]], np.float32), np.zeros(1))
    table = np.array([ROW], np.float32)
    (once,) = augmented(split_of(table), np.zeros(1, np.int64), flip).targets["people"]
    points = once[0, POINTS:].view(-1, 3).tolist()
    wanted = [[12, 10, 2], [16, 6, 1], [8, 6, 2]]
    assert np.abs(np.array(points) - wanted).max() < 1e-4, "the eye on the right is now the left one"
    (twice,) = augmented(split_of(once.numpy()), np.zeros(1, np.int64), flip).targets["people"]
    assert np.abs(twice.numpy() - table).max() < 1e-4


def test_points_move_like_box_corners_and_vanish_outside() -> None:
    still = dict.fromkeys(("flip", "brightness", "contrast", "saturation"), 0.0)
    config = AugmentConfig.model_validate(still | {"translate": 0.4, "scale": 0.3, "rotate": 30.0})
    table = np.array([ROW], np.float32)
    gone = 0
    for seed in range(20):
        change = draw_changes(config, seed, 0, 0, 1)
        moved = augmented(split_of(table), np.zeros(1, np.int64), change).targets["people"][0]
        full = np.vstack([change.on(24, 24)[0].astype(np.float64), [0, 0, 1]])
        wanted = (
            np.column_stack([np.array(ROW[POINTS:]).reshape(-1, 3)[:, :2] / 12 - 1, np.ones(3)])
            @ np.linalg.inv(full)[:2].T
        )
        for row in moved:
            points = row[POINTS:].view(-1, 3).numpy()
            places = (wanted + 1) * 12
            inside = ((places >= 0) & (places < 24)).all(1)
            assert ((points[:, 2] > 0) == inside).all()
            assert np.abs(points[inside, :2] - places[inside]).max(initial=0) < 1e-3
            assert float(row[AREA]) == pytest.approx(200 / abs(np.linalg.det(full[:2, :2])), rel=1e-4)
            gone += int((~inside).sum())
    assert gone


def test_resizing_moves_points_and_the_area(tmp_path: Path) -> None:
    from mtl.data.prepare.geometry import Fit

    picture = Picture(image=np.zeros((24, 32, 3), np.uint8))
    kind = KINDS["keypoints"]
    assert kind.enter("people", [ROW], SPEC, picture)
    fit = Fit.of((24, 32), (64, 64), keep_aspect=True)  # twice as large, 8 pixels of padding above
    picture.points["people"] = fit.points(picture.points["people"])
    picture.fits.append(fit)
    (row,) = kind.leave("people", [ROW], SPEC, picture)
    assert row[:4].tolist() == [8, 12, 40, 44]
    assert row[POINTS:].reshape(-1, 3).tolist() == [[24, 28, 2], [32, 20, 2], [16, 20, 1]]
    assert row[AREA] == 800


def test_oks_by_its_formula() -> None:
    sigmas = sigmas_of(NAMES)
    assert sigmas.tolist() == [SIGMAS["nose"], SIGMAS["eye"], SIGMAS["eye"]]
    assert sigmas_of(["a", "b"]).tolist() == [0.5, 0.5]
    truth = np.array([ROW], np.float32)
    exact = np.array(ROW[POINTS:]).reshape(1, -1, 3)[..., :2]
    assert oks(exact, truth, sigmas).item() == 1.0
    off = exact + [[[3.0, 0.0], [0.0, 0.0], [0.0, 0.0]]]
    wanted = (np.exp(-9 / (2 * 200 * (2 * 0.026) ** 2)) + 2) / 3
    assert oks(off, truth, sigmas).item() == pytest.approx(wanted)
    truth[0, POINTS + 2] = 0  # the nose is not labelled: how far off it is does not matter
    assert oks(off, truth, sigmas).item() == 1.0


def coco_eval(images: list[tuple[dict[str, np.ndarray], np.ndarray]]) -> tuple[float, float]:
    """OKS-mAP and mAP50 of faster-coco-eval."""
    annotations: list[dict[str, Any]] = []
    detections: list[dict[str, Any]] = []
    for number, (found, truth) in enumerate(images, 1):
        for row in truth.astype(float):
            x1, y1, x2, y2 = row[:4]
            marks = row[POINTS + 2 :: 3]
            annotations.append(
                {"id": len(annotations) + 1, "image_id": number, "category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1]}
                | {"area": row[AREA], "iscrowd": int(row[KIND]), "keypoints": row[POINTS:].tolist()}
                | {"num_keypoints": int((marks > 0).sum())}
            )
        for points, score in zip(found["points"].astype(float), found["scores"], strict=True):
            flat = np.column_stack([points[:, :2], np.ones(len(points))]).ravel().tolist()
            detections.append({"image_id": number, "category_id": 1, "keypoints": flat, "score": float(score)})
    document = {"images": [{"id": i + 1} for i in range(len(images))], "annotations": annotations}
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO(document | {"categories": [{"id": 1, "name": "person", "keypoints": NAMES}]})
        judge = COCOeval_faster(
            known, known.loadRes(detections), iouType="keypoints", kpt_oks_sigmas=sigmas_of(NAMES).tolist()
        )
        judge.params.areaRng, judge.params.areaRngLbl = [[0, 1e10]], ["all"]
        judge.evaluate()
        judge.accumulate()
    precision = judge.eval["precision"][:, :, 0, 0, -1]
    return float(precision.mean()), float(precision[0].mean())


@pytest.mark.parametrize("seed", range(6))
def test_the_metric_is_cocos(seed: int) -> None:
    rng = np.random.default_rng(seed)
    images: list[tuple[dict[str, np.ndarray], np.ndarray]] = []
    for _ in range(12):
        count, extra = int(rng.integers(1, 4)), int(rng.integers(0, 3))
        corner, side = rng.uniform(0, 100, (count, 2)), rng.uniform(20, 60, (count, 2))
        places = corner[:, None] + rng.uniform(0, 1, (count, 3, 2)) * side[:, None]
        marks = rng.integers(0, 3, (count, 3, 1))
        marks[:, 0] = 2  # of one that has none COCO ignores one detection, and we all
        points = np.concatenate([places * (marks > 0), marks], -1).reshape(count, -1)
        facts = np.column_stack([np.zeros(count), np.zeros(count), side.prod(1) * 0.6])
        truth = np.column_stack([corner, corner + side, facts, points])
        near = places + rng.normal(0, rng.choice([0.5, 2.0, 4.0]), places.shape)
        found = np.concatenate([near, rng.uniform(0, 150, (extra, 3, 2))])
        images.append(
            (
                {
                    "points": found,
                    "scores": rng.permutation(len(found)) + rng.random(len(found)),
                    "labels": np.zeros(len(found), int),
                },
                truth,
            )
        )
    task = tasks_of()["people"]
    scorer = task.scorer()
    for found, truth in images:
        table = torch.from_numpy(truth)
        scorer.add(
            [found], Batch(["a"], torch.zeros(1), {"people": [table]}, {"people": torch.tensor([True])}, torch.zeros(1))
        )
    value = scorer.value()
    assert (value["oks_map"], value["oks_map50"]) == pytest.approx(coco_eval(images), abs=1e-9)
    assert scorer.primary(np.ones((1, 12)), "oks_map") == pytest.approx(value["oks_map"])


def tasks_of(**settings: Any) -> Any:
    config = KeypointsConfig(type="keypoints", hidden=32, **settings)
    return build_tasks({"people": config}, {"people": SPEC}, ImageSpec(32, 32, 3, (0.5,) * 3, (0.2,) * 3))


def batch_of(tables: list[list[list[float]]], present: list[bool]) -> Batch:
    found = [torch.tensor(rows, dtype=torch.float32).reshape(-1, POINTS + 9) for rows in tables]
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(len(tables), 3, 32, 32, generator=generator)
    return Batch(
        list("abcdefgh")[: len(tables)],
        images,
        {"people": found},
        {"people": torch.tensor(present)},
        torch.rand(len(tables)),
    )


def test_what_is_not_labelled_is_no_evidence() -> None:
    unseen = [*ROW[:POINTS], 0, 0, 0, *ROW[POINTS + 3 :]]
    crowd = [*ROW[:5], CROWD, *ROW[6:]]
    tables = [torch.tensor([row]) for row in (ROW, unseen, crowd, ROW)]
    found = targets_of(tables, torch.tensor([True, True, True, False]), (1, 3), (8, 8), 4.0, 1.0)
    inside = (slice(1, 4), slice(1, 5))  # cells of the box
    assert found.point_known[0].all()
    assert not found.point_known[1, 0][inside].any()
    assert found.point_known[1, 0, 7, 7], "beside the object there is no nose"
    assert found.point_known[1, 1:].all()
    assert not found.centre_known[2, 0][inside].any()
    assert not found.point_known[2, :, 2, 2].any()
    assert not found.centre_known[3].any()
    assert not found.point_known[3].any()
    assert found.counts[:, 0].tolist() == [True, True, False, False]
    assert found.labelled[:, 0].tolist() == [[True] * 3, [False, True, True], [False] * 3, [False] * 3]
    task = tasks_of()["people"]
    batch = batch_of([[unseen], [crowd], [ROW]], [True, True, False])
    assert [int(count) for count in task.target_counts(batch)] == [1, 1, 2, 2, 2]
    output = torch.zeros(3, 1 + 4 + 9 + 2, 8, 8, requires_grad=True)
    torch.stack(task.loss_terms(output, batch)).sum().backward()
    assert output.grad is not None
    assert not output.grad[2].any(), "of an image that is not labelled nothing is learnt"
    assert not output.grad[0, 11, 1:4, 1:5].any(), "nor of a nose that nobody marked"


def test_heatmaps_peak_at_the_point_and_decode_to_subpixels() -> None:
    """From targets as if a network had learnt them, back to the objects: the points are where they were."""
    other = [20.0, 18.0, 31.0, 31.0, 0.0, 0.0, 90.0, 25.3, 24.1, 2.0, 29.2, 21.7, 2.0, 21.9, 22.4, 2.0]
    task, tables = tasks_of()["people"], [torch.tensor([ROW, other])]
    found = targets_of(tables, torch.tensor([True]), (1, 3), (8, 8), 4.0, 1.0)
    output = torch.zeros(1, 16, 8, 8)
    output[:, :1], output[:, 11:14] = torch.logit(found.centre_heat, 1e-4), torch.logit(found.point_heat, 1e-4)
    for m in range(2):
        x, y = found.centre_cell[0, m].tolist()
        output[0, 1:5, y, x], output[0, 5:11, y, x] = found.box[0, m], found.offset[0, m].flatten()
        for k in range(3):
            x, y = found.point_cell[0, m, k].tolist()
            output[0, 14:16, y, x] = found.point_inside[0, m, k]
    (prediction,) = task.predict(output)
    strong = prediction["scores"] > 0.9
    assert strong.sum() == 2
    for row in (ROW, other):
        wanted = np.array(row[POINTS:]).reshape(-1, 3)[:, :2]
        apart = np.abs(prediction["points"][strong][..., :2] - wanted).max((1, 2))
        assert apart.min() < 1e-3
        assert np.abs(prediction["boxes"][strong][apart.argmin()] - row[:4]).max() < 1e-3


@pytest.mark.parametrize("upsample", [1, 2])
def test_a_tiny_training_learns_it(upsample: int) -> None:
    torch.manual_seed(0)
    tasks = tasks_of(upsample=upsample)
    values = {"backbone": {"type": "compact"}, "sharing": {"type": "hard"}}
    model = build_model(ModelConfig.model_validate(values), tasks)
    shifted = [[row + (dx if i in (0, 2, 7, 10, 13) else 0) for i, row in enumerate(ROW)] for dx in (0.0, 5.0, 9.0)]
    batch = batch_of([[row] for row in shifted] + [[]], [True] * 4)
    task, optimizer, losses = tasks["people"], torch.optim.Adam(model.parameters(), 3e-3), []
    for _ in range(120):
        terms, counts = task.loss_terms(model(batch.images)["people"], batch), task.target_counts(batch)
        loss = torch.stack([term / count.clamp(min=1) for term, count in zip(terms, counts, strict=True)]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.1 * losses[0]
    predictions = task.predict(model(batch.images)["people"].detach())
    scorer = task.scorer()
    scorer.add(predictions, batch)
    assert scorer.value()["oks_map50"] > 0.9
    assert task.scorer().rows == []
    blind = task.blind(task.truths(batch))
    assert blind["points"].shape[1:] == (3, 3)
    assert "1 objects (are 1)" in task.caption(predictions[0], batch, 0)


def test_answers_in_every_form() -> None:
    task = tasks_of()["people"]
    points = np.array(ROW[POINTS:], np.float32).reshape(1, 3, 3)
    prediction = {"boxes": np.array([ROW[:4]]), "labels": np.zeros(1, int), "scores": np.array([0.9]), "points": points}
    picture, answer = Picture(image=np.zeros((32, 32, 3), np.uint8)), answer_of(task)
    row = answer.row("people", task, prediction, picture)
    (one,) = row["people"]
    assert one["points"][1] == {"name": "left_eye", "x": 16.0, "y": 6.0, "score": 2.0}
    assert answer.distance([one], [one]) == 0.0
    far = one | {"points": [point | {"x": point["x"] + 20} for point in one["points"]]}
    assert answer.distance([one], [far]) == 1.0
    assert answer.facts(task) == {"edges": [[0, 1], [0, 2]]}
    found: dict[str, Any] = next(iter(answer.objects([one], {"person": 1})))
    assert found["keypoints"][:3] == [12.0, 10.0, 2]
    assert answer.category(task) == {"keypoints": NAMES, "skeleton": [[1, 2], [1, 3]]}
    assert np.allclose(not_none(answer.drawn(task, [one]))["points"], points)
    canvas = np.zeros((32, 32, 3), np.uint8)
    assert task.draw(canvas.copy(), answer.drawn(task, [one]), 1).any()
    spec = DatasetSpec(name="x", targets={"people": SPEC})
    sample = {"image": canvas, "people": np.array([ROW], np.float32)}
    assert (draw("a", sample, spec).image != draw("a", {"image": canvas}, spec).image).any()


def test_sigmas_are_one_a_point() -> None:
    with pytest.raises(ConfigError, match="one per point"):
        tasks_of(oks_sigmas=(0.1,))


def test_fetch_and_prepare_keep_them(tmp_path: Path) -> None:
    section = {"own": {"path": str(coco(tmp_path / "set", [person()])), "format": "coco", "keypoints": "people"}}
    spec, samples, _ = fetched(section, tmp_path)
    assert spec.targets["people"] == SPEC
    (sample,) = samples.values()
    assert sample.targets["people"] == [ROW]
