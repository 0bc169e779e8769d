"""One affine map: image, boxes, masks, depths and normals agree to a tenth of a pixel, through every operation and every
augmentation, and predictions on their way back."""

from __future__ import annotations

import io
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from mtl.config import tasks as kinds_of_task
from mtl.config.augment import AugmentConfig
from mtl.config.operations import Decode, Equalize, Orient, Resize
from mtl.config.params import Config
from mtl.data.loading.augment import augmented, draw_changes
from mtl.data.loading.loader import Batch
from mtl.data.prepare.build import prepare_sample
from mtl.data.prepare.geometry import Fit, resample, resample_classes, resample_measures
from mtl.data.prepare.operations import run
from mtl.data.prepare.picture import Picture
from mtl.data.raw.rows import RawSample
from mtl.data.shards.manifest import Statistics
from mtl.data.spec import DatasetSpec, TargetSpec
from mtl.errors import DataError
from mtl.tasks import build_model, build_tasks
from mtl.tasks.base import ImageSpec

TENTH = 0.1
PROPERTY = settings(max_examples=60, deadline=None)


def coordinates(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """x and y of every pixel's centre, float32 [height, width]."""
    y, x = np.mgrid[:height, :width].astype(np.float32) + 0.5
    return x, y


def bump(x: np.ndarray, y: np.ndarray, height: int, width: int, at: tuple[float, float]) -> np.ndarray:
    """A smooth round hill, 0 to 1, that is over well before the border."""
    across, down = (x - at[0] * width) / (0.12 * width), (y - at[1] * height) / (0.12 * height)
    return np.exp(-(across**2 + down**2) / 2)


def centroid(weight: np.ndarray) -> np.ndarray:
    """x, y of the centre of mass, in pixels."""
    x, y = coordinates(*weight.shape)
    weight = np.where(weight > 0.02 * weight.max(), weight, 0.0)
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


def example(height: int, width: int, at: tuple[float, float]) -> Picture:
    """A hill as image and as mask, with its box; what x and y are as depths; one direction everywhere as normals."""
    x, y = coordinates(height, width)
    hill = bump(x, y, height, width, at)
    mask = (hill > 0.5).astype(np.uint8)
    ys, xs = np.nonzero(mask)
    box = np.array([[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]], np.float32)
    normals = np.broadcast_to(np.array([0.48, 0.36, 0.8], np.float32), (height, width, 3))
    image = np.repeat((hill * 255).round().astype(np.uint8)[..., None], 3, 2)
    maps = {"x": x, "y": y, "n": np.ascontiguousarray(normals)}
    return Picture(image=image, points={"o": box.reshape(-1, 2)}, masks={"m": mask}, maps=maps)


SIDES = st.integers(40, 180)
AT = st.tuples(st.floats(0.45, 0.55), st.floats(0.45, 0.55))
RESIZE = st.builds(
    lambda height, width, keep: Resize(type="resize", height=height, width=width, keep_aspect=keep),
    st.integers(32, 120),
    st.integers(32, 120),
    st.booleans(),
)


@PROPERTY
@given(SIDES, SIDES, AT, st.lists(RESIZE, min_size=1, max_size=2))
def test_resizing_moves_everything_by_one_map(height: int, width: int, at: Any, resizes: list[Resize]) -> None:
    before = example(height, width, at)
    after = run(resizes, example(height, width, at))
    scale, offset = np.array(after.scale), np.array(after.offset)
    # Where the picture lies in the frame is what `Fit` says: the depths, which hold their own place, follow it exactly.
    x, y = coordinates(resizes[-1].height, resizes[-1].width)
    known = np.isfinite(after.maps["x"])
    place = {"x": (x - offset[0]) / scale[0], "y": (y - offset[1]) / scale[1]}
    for axis, size, factor in (("x", width, scale[0]), ("y", height, scale[1])):
        margin = 2.0 + 2.0 / factor  # at the edge there is nothing to be a mean of
        inner = known & (place[axis] > margin) & (place[axis] < size - margin)
        # A picture that is shrunk to a few pixels is edge all over.
        assert np.abs(after.maps[axis] - place[axis])[inner].max(initial=0.0) * factor < TENTH * len(resizes)
    moved = centroid(after.image[..., 0].astype(float))
    assert np.abs(moved - (centroid(before.image[..., 0].astype(float)) * scale + offset)).max() < TENTH
    assert np.abs(after.points["o"] - (before.points["o"] * scale + offset)).max() < 1e-3
    normals = after.maps["n"][known]
    assert np.abs(normals - [0.48, 0.36, 0.8]).max() < 1e-5, "the surface is the same, nearer or farther"
    assert (np.isfinite(after.maps["n"][..., 0]) == known).all()
    assert (known == (after.masks["m"] != 255)).mean() > 0.97


@PROPERTY
@given(SIDES, SIDES, AT, st.lists(RESIZE, min_size=1, max_size=2))
def test_the_way_back_inverts_at_the_exact_image_size(height: int, width: int, at: Any, resizes: list[Resize]) -> None:
    before = example(height, width, at)
    after = run(resizes, example(height, width, at))
    scale = np.array(after.scale)
    assert after.classes_back(after.masks["m"]).shape == (height, width)
    assert np.abs(after.points_back(after.points["o"]) - before.points["o"]).max() < 1e-2
    frame = np.array([[0, 0, resizes[-1].width, resizes[-1].height]], np.float32)
    assert np.abs(after.boxes_back(frame) - [0, 0, width, height]).max() < 1e-3, "clipped to the picture"
    for axis, factor in (("x", scale[0]), ("y", scale[1])):
        found = after.measures_back(after.maps[axis])
        assert found.shape == (height, width)
        margin = math.ceil(4 + 4 / scale.min())
        middle = np.abs(found - before.maps[axis])[margin:-margin, margin:-margin]
        assert np.nanmax(middle, initial=0.0) * factor < 2 * TENTH * len(resizes), "there and back"
    assert after.measures_back(after.maps["n"]).shape == (height, width, 3)


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("size", [(64, 64), (48, 96)])
@pytest.mark.parametrize("source", [(427, 640), (128, 128), (100, 67), (64, 64), (45, 30), (20, 200)])
def test_masks_lie_where_the_image_does_and_come_back_there(
    source: tuple[int, int], size: tuple[int, int], keep: bool
) -> None:
    """On the mean over shapes: a single one is drawn on whole pixels, and each of its sides is off by up to half of one."""
    rng = np.random.default_rng(0)
    there: list[np.ndarray] = []
    back: list[np.ndarray] = []
    for at in rng.uniform(0.4, 0.6, (12 if max(source) > 300 else 80, 2)):
        before = example(*source, (at[0], at[1])).masks["m"]
        picture = Picture(image=np.zeros((*source, 3), np.uint8), masks={"m": before})
        run([Resize(type="resize", height=size[0], width=size[1], keep_aspect=keep)], picture)
        scale, offset, middle = np.array(picture.scale), np.array(picture.offset), centroid(before.astype(float))
        there.append(centroid((picture.masks["m"] == 1).astype(float)) - (middle * scale + offset))
        came = picture.classes_back(picture.masks["m"])
        back.append((centroid((came == 1).astype(float)) - middle) * np.minimum(scale, 1.0))
    assert np.abs(np.mean(there, 0)).max() < TENTH
    assert np.abs(np.mean(back, 0)).max() < TENTH


@PROPERTY
@given(st.integers(1, 14), st.integers(1, 14), st.integers(1, 14), st.integers(1, 14), st.integers(0, 1000))
def test_a_pixel_of_a_mask_has_the_class_of_most_of_its_area(
    n: int, m: int, height: int, width: int, seed: int
) -> None:
    """Against counts on a grid so fine that both sizes lie on it."""
    rng = np.random.default_rng(seed)
    mask = rng.choice(np.array([0, 1, 2, 255], np.uint8), (n, m), p=[0.5, 0.2, 0.1, 0.2])
    found = resample_classes(mask, (height, width))
    assert found.shape == (height, width)
    fine = mask.repeat(height, 0).repeat(width, 1).reshape(height, n, width, m).transpose(0, 2, 1, 3)
    areas = {label: (fine == label).sum((2, 3)) for label in (0, 1, 2, 255)}
    most = np.max(list(areas.values()), axis=0)
    mine = np.select([found == label for label in areas], list(areas.values()))
    if height >= n and width >= m:
        ys, xs = (np.arange(1, 2 * size, 2) * length / (2 * size) for size, length in ((height, n), (width, m)))
        clear = np.ix_(ys % 1 > 0, xs % 1 > 0)  # whose centre lies in one pixel, not between two
        assert (found == mask[np.ix_(ys.astype(int), xs.astype(int))])[clear].all()
    if height <= n and width <= m:
        assert (mine == most).all()
        rarer = sorted(areas, key=lambda label: (label == 255, (mask == label).sum()))
        wanted = np.array(rarer)[np.argmax([areas[label] for label in rarer], axis=0)]
        same = len({(mask == label).sum() for label in (0, 1, 2)}) < 3  # which is rarer is open
        assert same or (found == wanted).all()


@PROPERTY
@given(st.integers(2, 14), st.integers(2, 14), st.integers(0, 1000))
def test_a_map_is_the_mean_of_what_is_known(n: int, m: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = int(rng.integers(1, n + 1)), int(rng.integers(1, m + 1))
    values = rng.uniform(1, 5, (n, m)).astype(np.float32)
    values[rng.random((n, m)) < 0.4] = np.nan
    found = resample_measures(values, (height, width))
    fine = values.repeat(height, 0).repeat(width, 1).reshape(height, n, width, m).transpose(0, 2, 1, 3)
    share = np.isfinite(fine).mean((2, 3))
    clear = np.abs(share - 0.5) > 1e-3
    assert (np.isfinite(found) == (share >= 0.5))[clear].all()
    there = clear & (share > 0.5)
    assert (
        np.abs(found - np.nansum(fine, (2, 3)) / np.maximum(np.isfinite(fine).sum((2, 3)), 1))[there].max(initial=0)
        < 1e-4
    )


def test_directions_average_and_opposite_ones_are_unknown() -> None:
    """Where two sides meet, their middle."""
    left, right = [0.6, 0.0, 0.8], [-0.6, 0.0, 0.8]
    found = resample_measures(np.array([[left, right]], np.float32), (1, 1))
    assert found[0, 0] == pytest.approx([0.0, 0.0, 1.0], abs=1e-6)
    against = np.array([[[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]]], np.float32)
    assert np.isnan(resample_measures(against, (1, 1))).all()


def test_anisotropic_stretch_shifts_nothing() -> None:
    """OpenCV's INTER_AREA does not average where a side grows: it would take two of the ten pixels."""
    x, _ = coordinates(20, 400)
    found = resample(x, (40, 40))
    assert np.abs(found - (coordinates(40, 40)[0] * 10)).max() < 1.0, "a tenth of a pixel of 10"


def test_a_line_as_thin_as_a_pixel_stays_at_half_the_size() -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[31] = 1
    assert (resample_classes(mask, (32, 32)) == 1).sum() == 32


def test_extra_channels_and_turned_files_keep_to_the_map() -> None:
    """An EXIF-turned file: boxes and masks are of the picture as a viewer shows it, and come back so."""
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = np.zeros((50, 90, 3), np.uint8)
    stored[10:20, 60:80] = 255
    buffer = io.BytesIO()
    Image.fromarray(stored).save(buffer, "PNG", exif=exif)
    shown = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(buffer.getvalue()))))
    assert shown.shape == (90, 50, 3)
    ys, xs = np.nonzero(shown[..., 0])
    box = np.array([[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]], np.float32)
    operations = (
        Decode(type="decode"),
        Orient(type="orient"),
        Equalize(type="equalize"),
        Resize(type="resize", height=48, width=64, keep_aspect=True),
    )
    found = run(
        operations,
        Picture(
            image=stored[:0],
            encoded=buffer.getvalue(),
            points={"o": box.reshape(-1, 2)},
            masks={"m": shown[..., 0] // 255},
        ),
    )
    ys, xs = np.nonzero(found.masks["m"] == 1)
    assert np.abs(found.points["o"].ravel() - [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]).max() < 1.0
    assert found.classes_back(np.zeros((48, 64), np.uint8)).shape == (90, 50)
    assert np.abs(found.boxes_back(found.points["o"].reshape(-1, 4)) - box).max() < 1e-4
    wide = Fit.of((90, 50), (48, 64), keep_aspect=True).image(np.dstack([shown, shown]))
    assert wide.shape == (48, 64, 6)
    assert (wide[..., :3] == wide[..., 3:]).all()


def test_a_box_in_the_padding_is_outside_the_picture(config: Config) -> None:
    """Of a wide picture on a square frame: what reaches out by less than half a pixel is clipped to the picture."""
    buffer = io.BytesIO()
    Image.new("RGB", (100, 50)).save(buffer, "PNG")
    resize = Resize(type="resize", height=64, width=64, keep_aspect=True)
    data = config.data.model_copy(update={"operations": (Decode(type="decode"), resize)})
    spec = DatasetSpec(name="t", targets={"o": TargetSpec(kind="boxes", classes=("a",))})

    def ready(*corners: float) -> list[float]:
        sample = RawSample("a", buffer.getvalue(), {"o": [[*corners, 0]]})
        return prepare_sample(sample, spec, data)["o"][0].tolist()

    assert ready(0, 0, 100, 50) == [0, 16, 64, 48, 0]
    assert ready(-0.5, -0.5, 50, 50.5) == [0, 16, 32, 48, 0]
    for wrong in ((0, -5, 100, 50), (0, 0, math.nan, 50)):
        with pytest.raises(DataError, match="outside the image"):
            ready(*wrong)


# Augmentation.


EXACT = ({"flip": 0.5}, {"translate": 0.1})
"""Augmentations that keep pixels whole."""


def split_of(pictures: list[Picture], at: list[int]) -> Any:
    """A split in memory."""
    kinds: dict[str, Any] = {"o": "boxes", "m": "mask", "x": "depth", "y": "depth", "n": "normals"}
    targets = {name: TargetSpec(kind=kind, classes=("a", "b")) for name, kind in kinds.items()}

    def rows(indices: np.ndarray) -> dict[str, Any]:
        chosen = [pictures[i] for i in indices]
        found: dict[str, Any] = {"image": np.stack([p.image for p in chosen])}
        found["o"] = [np.column_stack([p.points["o"].reshape(-1, 4), [1.0]]).astype(np.float32) for p in chosen]
        found["m"] = np.stack([p.masks["m"] for p in chosen])
        found |= {name: np.stack([p.maps[name] for p in chosen]) for name in ("x", "y", "n")}
        return found | {f"{name}.present": np.ones(len(chosen), bool) for name in targets}

    manifest = SimpleNamespace(statistics=Statistics(mean=(0.0,) * 3, std=(1.0,) * 3), colours=3)
    return SimpleNamespace(
        rows=rows, ids=[str(i) for i in at], manifest=manifest, spec=SimpleNamespace(targets=targets)
    )


def changed(picture: Picture, seed: int, **how: float) -> Batch:
    """One picture, augmented in four ways."""
    torch.set_num_threads(1)
    still = dict.fromkeys(("flip", "translate", "scale", "rotate", "brightness", "contrast", "saturation"), 0.0)
    config = AugmentConfig.model_validate(still | how)
    return augmented(split_of([picture], [0]), np.zeros(4, np.int64), draw_changes(config, seed, 0, 0, 4))


def fitted(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """From what x and y came to lie where: the map from the old picture to the new one, float64 [2, 3]."""
    new = np.stack(coordinates(*x.shape), -1).reshape(-1, 2).astype(float)
    old = np.stack([x, y], -1).reshape(-1, 2)
    middle = (np.abs(new - new.mean(0)) < 0.2 * np.array(x.shape[::-1])).all(1)  # nothing is reflected there
    found, *_ = np.linalg.lstsq(np.column_stack([old[middle], np.ones(middle.sum())]), new[middle], rcond=None)
    return found.T


@settings(max_examples=30, deadline=None)
@given(
    st.integers(48, 100),
    st.integers(48, 100),
    AT,
    st.integers(0, 1000),
    st.sampled_from([{"flip": 0.5}, {"translate": 0.1}, {"scale": 0.2}, {"rotate": 30.0}, {}]),
)
def test_augmenting_moves_everything_by_one_map(
    height: int, width: int, at: Any, seed: int, how: dict[str, float]
) -> None:
    picture = example(height, width, at)
    middle = centroid(picture.masks["m"].astype(float))
    batch = changed(picture, seed, **(how or {"flip": 0.5, "translate": 0.1, "scale": 0.15, "rotate": 15.0}))
    x, y, normals = (batch.targets[name].numpy() for name in ("x", "y", "n"))
    for i in range(4):
        matrix = fitted(x[i], y[i])
        linear = matrix[:, :2]
        zoom = math.sqrt(abs(np.linalg.det(linear)))
        assert np.abs(linear @ linear.T / zoom**2 - np.eye(2)).max() < 1e-3, "a turn, a flip, a zoom: never a shear"
        hill = bump(x[i], y[i], height, width, at)
        assert np.abs(centroid(batch.images[i, 0].numpy()) - centroid(hill)).max() < TENTH
        apart = centroid((batch.targets["m"][i].numpy() == 1).astype(float)) - (linear @ middle + matrix[:, 2])
        assert np.abs(apart).max() < (TENTH if how in EXACT else 0.6), "a mask's pixels are whole"
        x1, y1, x2, y2 = picture.points["o"].ravel()
        corners = linear @ np.array([[x1, x2, x2, x1], [y1, y1, y2, y2]]) + matrix[:, 2:]
        wanted = [*corners.min(1), *corners.max(1)]
        assert np.abs(batch.targets["o"][i][0, :4].numpy() - wanted).max() < TENTH
        across = linear @ [0.48, 0.36] / zoom
        assert np.abs(normals[i][:, height // 2, width // 2] - [*across, 0.8]).max() < 1e-3
        assert np.abs(np.linalg.norm(normals[i], axis=0) - 1).max() < 1e-5


def test_masks_are_turned_and_zoomed_without_a_shift_on_the_mean() -> None:
    apart: list[np.ndarray] = []
    for seed, at in enumerate(np.random.default_rng(0).uniform(0.45, 0.55, (24, 2))):
        picture = example(64, 96, (at[0], at[1]))
        batch = changed(picture, seed, flip=0.5, translate=0.05, scale=0.2, rotate=20.0)
        for i in range(4):
            matrix = fitted(*(batch.targets[name][i].numpy() for name in ("x", "y")))
            wanted = matrix[:, :2] @ centroid(picture.masks["m"].astype(float)) + matrix[:, 2]
            apart.append(centroid((batch.targets["m"][i].numpy() == 1).astype(float)) - wanted)
    assert np.abs(np.mean(apart, 0)).max() < TENTH


def test_beyond_a_mirrored_border_a_surface_slants_the_other_way() -> None:
    picture = example(64, 64, (0.5, 0.5))
    batch = changed(picture, 3, translate=0.3)
    x, normals = batch.targets["x"].numpy(), batch.targets["n"].numpy()
    mirrored = np.diff(x, axis=2, append=x[..., -1:]) < -0.5
    assert mirrored.any()
    assert np.abs(normals[:, 0][mirrored] + 0.48).max() < 1e-5
    straight = np.diff(x, axis=2, append=x[..., -1:]) > 0.5
    assert np.abs(normals[:, 0][straight] - 0.48).max() < 1e-5


def test_a_model_of_any_size_predicts_at_that_size(config: Config) -> None:
    size = (33, 50)
    configs = {
        "m": kinds_of_task.Segmentation(type="segmentation"),
        "x": kinds_of_task.Depth(type="depth"),
        "n": kinds_of_task.Normals(type="normals"),
        "image": kinds_of_task.Reconstruction(type="reconstruction"),
    }
    image = ImageSpec(*size, 3, (0.0,) * 3, (1.0,) * 3)
    tasks = build_tasks(configs, split_of([], []).spec.targets, image)
    batch = changed(example(*size, (0.5, 0.5)), 0)
    torch.manual_seed(0)
    backbone = config.model.backbone.model_copy(update={"widths": (8, 8, 12, 12), "depths": (1, 1, 1, 1)})
    outputs = build_model(config.model.model_copy(update={"backbone": backbone}), tasks).eval()(batch.images)
    for name, task in tasks.items():
        assert all(torch.isfinite(term) for term in task.loss_terms(outputs[name], batch))
        (first, *_) = task.predict(outputs[name].detach())
        assert next(iter(first.values())).shape[:2] == size
