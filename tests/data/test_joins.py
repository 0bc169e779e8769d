"""Mixup, cutmix and mosaic: images and every kind of target against places that are counted pixel by pixel."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mtl.config.augment import AugmentConfig
from mtl.data.kinds.boxes import MIN_VISIBLE
from mtl.data.kinds.keypoints import POINTS
from mtl.data.loading.changes import WAYS, Changes
from mtl.data.loading.draws import draw_changes
from mtl.data.loading.layers import joined
from mtl.data.loading.loader import Batch
from mtl.data.loading.views import MIXUP, Plan, read_for
from mtl.data.shards.manifest import Statistics
from mtl.data.spec import TargetSpec
from mtl.objective.losses import cross_entropy
from tests.data.test_augment import MOVING, STILL

HEIGHT, WIDTH, NUMBER = 24, 32, 24
SPECS = {
    "o": TargetSpec(kind="boxes", classes=("a", "b")),
    "p": TargetSpec(kind="keypoints", classes=("a",), facts={"points": ["tip", "tail"]}),
    "m": TargetSpec(kind="mask", classes=("a", "b", "c")),
    "d": TargetSpec(kind="depth"),
    "n": TargetSpec(kind="normals"),
    "label": TargetSpec(kind="label", classes=("a", "b", "c")),
    "labels": TargetSpec(kind="labels", classes=("a", "b", "c")),
    "v": TargetSpec(kind="value"),
}


def raw_rows(rng: np.random.Generator, number: int) -> dict[str, Any]:
    """Whole pixels everywhere, so that what is seen can be counted."""
    corners = np.sort(rng.integers(0, [[WIDTH, HEIGHT]], (number, 3, 2, 2)), axis=2).astype(np.float32)
    corners[:, :, 1] += 1
    boxes = [
        np.concatenate([b.reshape(3, 4), np.array([[0, 0], [1, 0], [0, 1]])], 1).astype(np.float32) for b in corners
    ]
    poses: list[np.ndarray] = []
    for box in boxes:
        points = np.concatenate([box[:, :2] + 0.5, np.full((3, 1), 2), box[:, 2:4] - 0.5, np.full((3, 1), 1)], 1)
        poses.append(np.concatenate([box[:, :4], np.array([[0, 0, 9.0]] * 3), points], 1).astype(np.float32))
    normals = rng.normal(size=(number, HEIGHT, WIDTH, 3)).astype(np.float32)
    return {
        "image": rng.integers(0, 256, (number, HEIGHT, WIDTH, 3), np.uint8),
        "o": boxes,
        "p": poses,
        "m": rng.integers(0, 3, (number, HEIGHT, WIDTH)).astype(np.uint8),
        "d": rng.uniform(1, 5, (number, HEIGHT, WIDTH)).astype(np.float32),
        "n": normals / np.linalg.norm(normals, axis=-1, keepdims=True),
        "label": rng.integers(0, 3, number),
        "labels": rng.integers(0, 2, (number, 3)).astype(np.uint8),
        "v": rng.uniform(0, 1, number).astype(np.float32),
        **{f"{name}.present": np.ones(number, bool) for name in SPECS},
    }


class Set:
    """A split in memory, of samples without any change."""

    def __init__(self, seed: int = 0, number: int = NUMBER) -> None:
        self.raw = raw_rows(np.random.default_rng(seed), number)
        self.ids = [str(i) for i in range(number)]
        statistics = Statistics(mean=(0.0,) * 3, std=(1.0,) * 3)
        self.manifest = SimpleNamespace(statistics=statistics, colours=3, height=HEIGHT, width=WIDTH)
        self.spec = SimpleNamespace(targets=SPECS)

    def rows(self, indices: np.ndarray) -> dict[str, Any]:
        return {
            name: [values[i] for i in indices] if isinstance(values, list) else values[indices]
            for name, values in self.raw.items()
        }


def drawn(number: int, seed: int = 0, of: tuple[str, ...] = (), **how: Any) -> Changes:
    return draw_changes(AugmentConfig.model_validate(STILL | how, strict=False), seed, 0, 0, number, of)


def made(split: Any, changes: Changes, places: np.ndarray | None = None) -> Batch:
    torch.set_num_threads(1)
    number = len(changes.draws)
    return joined(split, np.arange(number), changes, np.arange(number) if places is None else places)


def one_hot(label: int) -> np.ndarray:
    return np.eye(3)[label]


def test_mixup_mixes_images_and_classes_and_knows_nothing_else() -> None:
    split, changes = Set(), drawn(NUMBER, mixup={"probability": 0.7, "alpha": 1.0})
    split.raw["label.present"][:6] = False
    split.raw["label"][:6] = -1
    batch, joins = made(split, changes), changes.joins
    assert joins is not None
    mixed = joins.how == MIXUP
    assert 0.4 < mixed.mean() < 0.95
    for i in range(NUMBER):
        other, share = (joins.others[i, 0], joins.shares[i]) if mixed[i] else (i, 1.0)
        image = share * split.raw["image"][i] + (1 - share) * split.raw["image"][other].astype(float)
        assert np.abs(batch.images[i].permute(1, 2, 0).numpy() * 255 - image).max() < 1e-3
        there = bool(split.raw["label.present"][[i, other]].all())
        assert bool(batch.present["label"][i]) == there, "half a class is not a class"
        label, others = split.raw["label"], split.raw["labels"].astype(float)
        if there:
            wanted = share * one_hot(label[i]) + (1 - share) * one_hot(label[other])
            assert np.abs(batch.targets["label"][i].numpy() - wanted).max() < 1e-6
        wanted = share * others[i] + (1 - share) * others[other]
        assert np.abs(batch.targets["labels"][i].numpy() - wanted).max() < 1e-6
        for name in ("o", "p", "m", "d", "n", "v"):
            assert bool(batch.present[name][i]) == (not mixed[i]), name


def left(box: np.ndarray, hidden: np.ndarray) -> tuple[np.ndarray, float]:
    """What is left of a box of whole pixels where some are hidden, bool [height, width]: its hull, and its share."""
    x1, y1, x2, y2 = box.astype(int)
    inside = np.zeros((HEIGHT, WIDTH), bool)
    inside[y1:y2, x1:x2] = True
    seen = inside & ~hidden
    if not seen.any():
        return box, 0.0
    ys, xs = np.nonzero(seen)
    return np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]), seen.sum() / inside.sum()


def check_rows(batch: Batch, split: Set, i: int, parts: list[tuple[int, np.ndarray]]) -> None:
    """Boxes and points of image i; parts: sample, and where it is seen, without a shift."""
    boxes, points = list[list[float]](), list[list[float]]()
    for sample, seen in parts:
        for row, pose in zip(split.raw["o"][sample], split.raw["p"][sample], strict=True):
            hull, share = left(row[:4], ~seen)
            if share >= MIN_VISIBLE or (row[5] and share > 0):
                boxes.append([*hull, *row[4:]])
            if share >= MIN_VISIBLE:
                kept = pose[POINTS:].reshape(-1, 3).copy()
                kept *= [[seen[int(y), int(x)]] for x, y, _ in kept]
                points.append([*hull, *pose[4:POINTS], *kept.ravel()])
    for name, wanted in (("o", boxes), ("p", points)):
        found = np.array(sorted(batch.targets[name][i].tolist()))
        assert found.shape == np.array(sorted(wanted)).shape, name
        assert not wanted or np.abs(found - np.array(sorted(wanted))).max() < 1e-3, name


def test_cutmix_pastes_pixels_boxes_and_points() -> None:
    split, changes = Set(1, 60), drawn(60, 4, cutmix={"probability": 0.8})
    split.raw["d.present"][:20] = False
    split.raw["d"][:20] = np.nan
    split.raw["o.present"][10:20] = False
    batch, joins = made(split, changes), changes.joins
    assert joins is not None
    plan = Plan.of(joins, np.arange(60), HEIGHT, WIDTH)
    areas = [0.0]
    for i in range(60):
        x1, y1, x2, y2 = plan.windows[i, 1]
        inside = np.zeros((HEIGHT, WIDTH), bool)
        inside[y1:y2, x1:x2] = True
        other = joins.others[i, 0] if joins.how[i] else i
        areas.append(inside.mean())
        image = np.where(inside[..., None], split.raw["image"][other], split.raw["image"][i])
        assert np.abs(batch.images[i].permute(1, 2, 0).numpy() * 255 - image).max() < 1e-3
        mask = np.where(inside, split.raw["m"][other], split.raw["m"][i])
        assert (batch.targets["m"][i].numpy() == mask).all()
        depth = np.where(inside, split.raw["d"][other], split.raw["d"][i])
        assert np.allclose(batch.targets["d"][i].numpy(), depth, atol=1e-5, equal_nan=True)
        assert bool(batch.present["d"][i]) == split.raw["d.present"][[i, other]].any()
        normals = np.where(inside[..., None], split.raw["n"][other], split.raw["n"][i])
        assert np.abs(batch.targets["n"][i].permute(1, 2, 0).numpy() - normals).max() < 1e-5
        share = 1 - inside.mean()
        wanted = share * one_hot(split.raw["label"][i]) + (1 - share) * one_hot(split.raw["label"][other])
        assert np.abs(batch.targets["label"][i].numpy() - wanted).max() < 1e-6
        assert bool(batch.present["o"][i]) == split.raw["o.present"][[i, other]].all()
        check_rows(batch, split, i, [(i, ~inside), *([(other, inside)] if joins.how[i] else [])])
    assert max(areas) > 0.5
    assert 0.15 < np.mean(areas) < 0.5


def test_a_mosaic_is_four_images_around_a_point() -> None:
    """Depths hold the number of their image and their own place, so each pixel says where it is from."""
    split = Set(2)
    ys, xs = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    changes = drawn(NUMBER, 3, mosaic={"probability": 1.0})
    joins = changes.joins
    assert joins is not None
    found = list[np.ndarray]()
    for value in (np.broadcast_to(np.arange(NUMBER)[:, None, None], (NUMBER, HEIGHT, WIDTH)), xs, ys):
        split.raw["d"] = np.broadcast_to(value, (NUMBER, HEIGHT, WIDTH)).astype(np.float32).copy()
        found.append(made(split, changes).targets["d"].numpy())
    batch = made(split, changes)
    assert not batch.present["label"].any()
    assert not batch.present["v"].any()
    which, x, y = (value[:, :, :] for value in found)
    for i in range(NUMBER):
        samples = [i, *joins.others[i].tolist()]
        middle = WIDTH * (0.25 + 0.5 * joins.middles[i, 0]), HEIGHT * (0.25 + 0.5 * joins.middles[i, 1])
        cx, cy = (round(value) for value in middle)
        boxes = list[list[float]]()
        for sample, rows, columns in zip(
            samples,
            [slice(0, cy), slice(0, cy), slice(cy, None), slice(cy, None)],
            [slice(0, cx), slice(cx, None)] * 2,
            strict=True,
        ):
            assert np.allclose(which[i, rows, columns], sample), "each cell shows its own image"
            inner = (slice(1, -1), slice(1, -1))  # at an image's edge there is nothing to be linear between
            (zoom,) = {round(1 / step, 3) for step in np.diff(x[i, rows, columns][inner], axis=1).ravel()[:1].tolist()}
            assert 0.5 <= zoom <= 1.0
            # Where the image's own first corner lies.
            left_edge = xs[rows, columns][inner][0, 0] - x[i, rows, columns][inner][0, 0] * zoom
            top_edge = ys[rows, columns][inner][0, 0] - y[i, rows, columns][inner][0, 0] * zoom
            right_edge, low_edge = left_edge + zoom * WIDTH, top_edge + zoom * HEIGHT
            assert min(abs(left_edge - cx), abs(right_edge - cx)) < 0.05, "a corner of it lies on the middle"
            assert min(abs(top_edge - cy), abs(low_edge - cy)) < 0.05
            cell = np.array([columns.start, rows.start, columns.stop or WIDTH, rows.stop or HEIGHT], float)
            for row in split.raw["o"][sample]:
                hull = row[:4] * zoom + [left_edge, top_edge] * 2
                inside = [*np.maximum(hull[:2], cell[:2]), *np.minimum(hull[2:], cell[2:])]
                share = max(inside[2] - inside[0], 0) * max(inside[3] - inside[1], 0) / np.prod(hull[2:] - hull[:2])
                assert abs(share - MIN_VISIBLE) > 1e-3
                if share > (0 if row[5] else MIN_VISIBLE):
                    boxes.append([*inside, *row[4:]])
        rows_found = np.array(sorted(batch.targets["o"][i].tolist()))
        assert rows_found.shape == np.array(sorted(boxes)).shape
        assert not boxes or np.abs(rows_found - np.array(sorted(boxes))).max() < 0.05


EVERYTHING: dict[str, Any] = MOVING | {
    "crop": {"scale": (0.3, 1.0)},
    "rand_augment": {},
    "erasing": {"probability": 0.5},
    "mixup": {"probability": 0.3},
    "cutmix": {"probability": 0.3},
    "mosaic": {"probability": 0.3},
}


def test_any_share_of_a_batch_is_made_alike() -> None:
    """So any number of workers and of micro-batches makes the same images; each reads what it needs and no more."""
    split, changes = Set(3), drawn(NUMBER, 5, **EVERYTHING)
    whole = made(split, changes)
    assert changes.joins is not None
    assert set(changes.joins.how.tolist()) == {0, 1, 2, 3}
    for places in (np.arange(0, NUMBER, 2), np.arange(1, NUMBER, 3), np.array([7])):
        batch = made(split, changes, places)
        assert batch.ids == [whole.ids[p] for p in places]
        pairs = [(batch.images, whole.images), (batch.originals, whole.originals), (batch.draws, whole.draws)]
        pairs += [(batch.present[name], whole.present[name]) for name in SPECS]
        pairs += [
            (batch.targets[n], whole.targets[n]) for n, spec in SPECS.items() if spec.kind not in ("boxes", "keypoints")
        ]
        for one, other in pairs:
            assert torch.equal(one.nan_to_num(), other[torch.from_numpy(places)].nan_to_num())
        for name in ("o", "p"):
            for i, place in enumerate(places.tolist()):
                assert torch.equal(batch.targets[name][i], whole.targets[name][place])
        plan = Plan.of(changes.joins, places, HEIGHT, WIDTH)
        assert {*plan.places.tolist()} == {*read_for(changes.joins, np.arange(NUMBER), places).tolist()}


def test_a_view_that_is_there_is_not_made_again() -> None:
    """What a share of the batch makes for itself is what the whole has of its images' own views, bit for bit."""
    split, changes = Set(4), drawn(NUMBER, 6, **MOVING, mixup={"probability": 0.4}, cutmix={"probability": 0.4})
    split.spec = SimpleNamespace(targets={name: SPECS[name] for name in ("m", "label")})
    assert changes.joins is not None
    places = np.arange(NUMBER)
    assert len(Plan.of(changes.joins, places, HEIGHT, WIDTH, clips=False).places) == NUMBER
    one = int(np.flatnonzero(changes.joins.how > 0)[0])
    assert len(Plan.of(changes.joins, places[[one]], HEIGHT, WIDTH, clips=False).places) == 2
    whole = made(split, changes)
    for place in places:
        alone = made(split, changes, np.array([place]))
        assert torch.equal(alone.images[0], whole.images[place])
        assert torch.equal(alone.targets["m"][0], whole.targets["m"][place])
        assert torch.equal(alone.targets["label"][0], whole.targets["label"][place])


def test_images_come_together_with_others_of_their_source() -> None:
    sources = ("a", "b", "b") * 7 + ("c",)
    how = EVERYTHING | {"sources": {"b": {"mixup": "off", "mosaic": "off", "cutmix": {"probability": 1.0}}}}
    joins = drawn(22, 1, sources, **how).joins
    assert joins is not None
    for i, source in enumerate(sources):
        assert {sources[other] for other in joins.others[i]} == {source}
        assert source == "c" or joins.others[i, 0] != i
    assert {WAYS[how] for how, source in zip(joins.how, sources, strict=True) if source == "b"} == {"cutmix"}
    assert joins.how[-1] == 0, "alone in its batch, it stays so"


def test_joins_move_no_number_of_the_others() -> None:
    without = {name: value for name, value in EVERYTHING.items() if name not in ("mixup", "cutmix", "mosaic")}
    one, other = drawn(16, 9, **EVERYTHING), drawn(16, 9, **without)
    assert np.array_equal(one.matrix, other.matrix)
    assert np.array_equal(one.draws, other.draws)
    assert one.parts is not None
    assert other.parts is not None
    assert np.array_equal(one.parts.rows, other.parts.rows)
    assert other.joins is None


def test_shares_are_drawn_from_beta() -> None:
    joins = drawn(4000, mixup={"probability": 1.0, "alpha": 0.4}).joins
    assert joins is not None
    wanted = np.random.default_rng(0).beta(0.4, 0.4, 4000)
    assert np.abs(np.sort(joins.shares) - np.sort(wanted)).mean() < 0.02


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_shares_of_classes_have_torch_s_loss(smoothing: float) -> None:
    torch.manual_seed(0)
    logits, present = torch.randn(5, 3, requires_grad=True), torch.tensor([True, True, False, True, True])
    labels = torch.tensor([0, 2, -1, 1, 1])
    hard = cross_entropy(logits, labels, present, smoothing)
    soft = F.one_hot(labels.clamp(min=0), 3).float()
    assert torch.allclose(cross_entropy(logits, soft, present, smoothing), hard, atol=1e-6)
    mixed = 0.3 * soft + 0.7 * soft.roll(1, 0)
    wanted = F.cross_entropy(logits[present], mixed[present], reduction="sum", label_smoothing=smoothing)
    assert torch.allclose(cross_entropy(logits, mixed, present, smoothing), wanted, atol=1e-6)
