"""Crops, operations on colours, erased rectangles, by source: against exact places, and against torchvision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as TF

from mtl.config.augment import AugmentConfig
from mtl.data.kinds.boxes import MIN_VISIBLE
from mtl.data.loading.augment import augmented
from mtl.data.loading.changes import PHOTOMETRIC, Changes, Operations, Rectangles
from mtl.data.loading.draws import draw_changes
from mtl.data.loading.loader import Batch
from mtl.data.loading.photometric import operated
from mtl.data.prepare.picture import Picture
from mtl.data.shards.manifest import Statistics
from tests.data.test_geometry import AT, TENTH, bump, centroid, example, fitted, split_of

STILL: dict[str, Any] = dict.fromkeys(
    ("flip", "translate", "scale", "rotate", "brightness", "contrast", "saturation"), 0.0
)


def drawn(number: int, seed: int = 0, of: tuple[str, ...] = (), **how: Any) -> Changes:
    config = AugmentConfig.model_validate(STILL | how, strict=False)
    return draw_changes(config, seed, 0, 0, number, of)


def changed(picture: Picture, changes: Changes) -> Batch:
    torch.set_num_threads(1)
    return augmented(split_of([picture], [0]), np.zeros(len(changes.draws), np.int64), changes)


# Crops.


@settings(max_examples=12, deadline=None)
@given(st.integers(48, 100), st.integers(48, 100), AT, st.integers(0, 1000), st.booleans())
def test_a_crop_moves_everything_by_one_map(height: int, width: int, at: Any, seed: int, more: bool) -> None:
    picture = example(height, width, at)
    how: dict[str, Any] = {"flip": 0.5, "rotate": 10.0, "scale": 0.1} if more else {}
    changes = drawn(4, seed, crop={"scale": (0.5, 1.0), "ratio": (0.75, 4 / 3)}, **how)
    batch = changed(picture, changes)
    assert changes.parts is not None
    parts = changes.parts.on(height, width)
    x, y, normals = (batch.targets[name].numpy() for name in ("x", "y", "n"))
    for i, (left, top, wide, high) in enumerate(parts.tolist()):
        matrix = fitted(x[i], y[i])
        linear = matrix[:, :2]
        if not more:
            exact = np.array([[width / wide, 0, -left * width / wide], [0, height / high, -top * height / high]])
            assert np.abs(matrix - exact).max() < 1e-2 * max(exact.max(), 1)
        hill = bump(x[i], y[i], height, width, at)
        assert np.abs(centroid(batch.images[i, 0].numpy()) - centroid(hill)).max() < TENTH
        x1, y1, x2, y2 = picture.points["o"].ravel()
        corners = linear @ np.array([[x1, x2, x2, x1], [y1, y1, y2, y2]]) + matrix[:, 2:]
        hull = np.array([*corners.min(1), *corners.max(1)])
        clipped = hull.clip(0, [width, height] * 2)
        share = np.prod(clipped[2:] - clipped[:2]) / np.prod(hull[2:] - hull[:2])
        if abs(share - MIN_VISIBLE) > 0.01:
            assert len(batch.targets["o"][i]) == (share > MIN_VISIBLE)
        for row in batch.targets["o"][i]:
            assert np.abs(row[:4].numpy() - clipped).max() < TENTH
        assert np.abs(np.linalg.norm(normals[i], axis=0) - 1).max() < 1e-5
        if not more:
            assert np.abs(normals[i] - np.array([0.48, 0.36, 0.8])[:, None, None]).max() < 1e-5, (
                "the surface is the same"
            )


def test_a_crop_is_torchvision_s() -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (64, 64, 3), np.uint8)
    picture = example(64, 64, (0.5, 0.5))
    picture.image, picture.masks["m"] = noise, rng.integers(0, 2, (64, 64)).astype(np.uint8)
    changes = drawn(6, 3, crop={"scale": (0.1, 1.0)})
    batch, parts = changed(picture, changes), changes.parts
    assert parts is not None
    image, mask = torch.from_numpy(noise).permute(2, 0, 1).float(), torch.from_numpy(picture.masks["m"])[None]
    for i, (left, top, width, height) in enumerate(parts.on(64, 64).tolist()):
        place: tuple[Any, ...] = (top, left, height, width, [64, 64])
        wanted = TF.resized_crop(image, *place, interpolation=v2.InterpolationMode.BILINEAR, antialias=False)
        # Theirs ends at the part: within half a pixel of its edge ours still sees what lies beside it in the image.
        inner = [slice(int(np.ceil(32 / side)), 64 - int(np.ceil(32 / side))) for side in (height, width)]
        apart = (batch.images[i] * 255 - wanted).abs()[:, inner[0], inner[1]]
        assert apart.max() < 0.05
        theirs = TF.resized_crop(mask, *place, interpolation=v2.InterpolationMode.NEAREST_EXACT)[0]
        assert (batch.targets["m"][i] == theirs).float().mean() > 0.995, "but where two pixels are as near"


def test_crops_are_as_torchvision_draws_them() -> None:
    """Area, shape and place have the same distribution."""
    config = {"scale": (0.2, 0.9), "ratio": (0.5, 2.0)}
    changes = drawn(1500, 1, crop=config)
    assert changes.parts is not None
    ours = changes.parts.on(200, 200)
    torch.manual_seed(0)
    image = torch.zeros(1, 200, 200)
    theirs = np.array([_theirs(image, config) for _ in range(1500)])
    for of in (lambda r: r[:, 2] * r[:, 3], lambda r: np.log(r[:, 2] / r[:, 3]), lambda r: r[:, 0], lambda r: r[:, 1]):
        one, other = np.sort(of(ours.astype(float))), np.sort(of(theirs.astype(float)))
        assert np.abs(one - other).mean() < 0.05 * np.ptp(other)
    assert (ours[:, :2] >= 0).all()
    assert (ours[:, :2] + ours[:, 2:] <= 200).all()


def _theirs(image: torch.Tensor, config: dict[str, Any]) -> tuple[int, int, int, int]:
    found = v2.RandomResizedCrop(200, **config).make_params([image])
    return found["left"], found["top"], found["width"], found["height"]


def test_what_fits_nowhere_is_cut_to_the_nearest_ratio() -> None:
    changes = drawn(8, crop={"scale": (1.0, 1.0), "ratio": (2.0, 3.0)})
    assert changes.parts is not None
    assert changes.parts.on(60, 60).tolist() == [[0, 15, 60, 30]] * 8


# Colours.


def operation(name: str, amount: float, number: int = 1) -> Operations:
    which = np.full((number, 1), PHOTOMETRIC.index(name))
    return Operations(which, np.full((number, 1), amount, np.float32))


THEIRS: dict[str, Any] = {
    "identity": lambda image, amount: image,
    "brightness": lambda image, amount: TF.adjust_brightness(image, 1 + 0.9 * amount),
    "contrast": lambda image, amount: TF.adjust_contrast(image, 1 + 0.9 * amount),
    "saturation": lambda image, amount: TF.adjust_saturation(image, 1 + 0.9 * amount),
    "sharpness": lambda image, amount: TF.adjust_sharpness(image, 1 + 0.9 * amount),
    "hue": lambda image, amount: TF.adjust_hue(image, 0.3 * amount),
    "autocontrast": lambda image, amount: TF.autocontrast(image),
    "solarize": lambda image, amount: TF.solarize(image, 1 - abs(amount)),
    "posterize": lambda image, amount: TF.posterize((image * 255).to(torch.uint8), 8 - round(4 * abs(amount))) / 255,
    "equalize": lambda image, amount: TF.equalize((image * 255).to(torch.uint8)) / 255,
}


@pytest.mark.parametrize("name", PHOTOMETRIC)
@pytest.mark.parametrize("channels", [1, 3])
def test_an_operation_is_torchvision_s(name: str, channels: int) -> None:
    rng = np.random.default_rng(5)
    images = torch.from_numpy(rng.integers(20, 200, (4, channels, 24, 30))).float()
    images[1] = 77.0  # flat: nothing to stretch
    images[2, :, :2] = 255.0
    for amount in (0.3, -0.3, 1.0, -1.0):
        found = operated(images, operation(name, amount, 4))
        if channels == 1 and name in ("hue", "saturation"):
            assert torch.equal(found, images), "grey has none"
            continue
        for i in range(4):
            wanted = THEIRS[name](images[i] / 255, amount) * 255
            assert (found[i] - wanted).abs().max() < 0.02, (name, amount, i)


def test_each_image_has_its_own_operations_in_order() -> None:
    rng = np.random.default_rng(6)
    images = torch.from_numpy(rng.integers(0, 256, (5, 3, 16, 16))).float()
    which = rng.integers(0, len(PHOTOMETRIC), (5, 3))
    amounts = rng.uniform(-1, 1, (5, 3)).astype(np.float32)
    found = operated(images, Operations(which, amounts))
    for i in range(5):
        alone = images[i : i + 1]
        for place in range(3):
            alone = operated(
                alone, Operations(which[i : i + 1, place : place + 1], amounts[i : i + 1, place : place + 1])
            )
        assert torch.equal(found[i], alone[0])


def test_operations_are_drawn_as_said() -> None:
    changes = drawn(3000, rand_augment={"num_ops": 2, "magnitude": 15, "operations": ("hue", "solarize", "equalize")})
    assert changes.operations is not None
    which, amounts = changes.operations.which, changes.operations.amounts
    assert which.shape == (3000, 2)
    shares = np.bincount(which.ravel(), minlength=len(PHOTOMETRIC)) / which.size
    assert {PHOTOMETRIC[i] for i in np.flatnonzero(shares)} == {"hue", "solarize", "equalize"}
    assert np.abs(shares[shares > 0] - 1 / 3).max() < 0.03
    assert set(np.abs(amounts).ravel().tolist()) == {0.5}
    assert abs((amounts > 0).mean() - 0.5) < 0.03


def test_channels_beside_the_image_keep_their_values() -> None:
    """Of a grey image with two channels made of it, only the first is the image."""
    picture = example(32, 32, (0.5, 0.5))
    split = split_of([picture], [0])
    split.manifest.colours = 1
    changes = drawn(8, contrast=0.9, saturation=0.9, rand_augment={"num_ops": 4, "magnitude": 30})
    images = augmented(split, np.zeros(8, np.int64), changes).images
    given = torch.from_numpy(picture.image).float().permute(2, 0, 1) / 255
    assert all(torch.allclose(image[1:], given[1:], atol=1e-6) for image in images)
    assert not torch.allclose(images[:, 0], given[None, 0], atol=1e-2)


# Erasing.


def test_a_rectangle_is_filled_and_targets_stay() -> None:
    picture = example(40, 56, (0.5, 0.5))
    split = split_of([picture], [0])
    split.manifest.statistics = Statistics(mean=(0.2, 0.3, 0.4), std=(0.5, 0.5, 0.5))
    indices = np.zeros(64, np.int64)
    before = augmented(split, indices, drawn(64))
    changes = drawn(64, erasing={"probability": 0.5, "fill": "random"})
    after = augmented(split, indices, changes)
    assert changes.erased is not None
    areas = changes.erased.areas.on(40, 56)
    assert 0.3 < (areas[:, 2] > 0).mean() < 0.7
    for i, (left, top, width, height) in enumerate(areas.tolist()):
        inside = torch.zeros(40, 56, dtype=torch.bool)
        inside[top : top + height, left : left + width] = True
        assert torch.equal(after.images[i][:, ~inside], before.images[i][:, ~inside])
        fill = torch.from_numpy(changes.erased.fill[i, :3])[:, None]
        assert (after.images[i][:, inside] == fill).all()
        assert width * height == 0 or 0.015 < width * height / (40 * 56) < 0.36
    assert torch.equal(after.originals, before.images), (
        "of what is erased tasks make their targets from the whole image"
    )
    for name, value in after.targets.items():
        wanted = before.targets[name]
        assert torch.equal(getattr(value, "rows", value), getattr(wanted, "rows", wanted)), name


def test_the_mean_fill_is_the_mean_colour() -> None:
    changes = drawn(8, erasing={"probability": 1.0})
    assert changes.erased is not None
    assert (changes.erased.fill == 0).all()
    assert (changes.erased.areas.on(64, 64)[:, 2] > 0).all()


# What is drawn.


ALL: dict[str, Any] = {"crop": {"scale": (0.3, 1.0)}, "rand_augment": {}, "erasing": {"probability": 0.5}}
MOVING: dict[str, Any] = {
    "flip": 0.5,
    "translate": 0.1,
    "rotate": 10.0,
    "scale": 0.2,
    "brightness": 0.2,
    "contrast": 0.2,
    "saturation": 0.2,
}


def test_a_new_change_moves_no_number_of_the_others() -> None:
    alone = {name: drawn(16, 7, **MOVING, **{name: value}) for name, value in ALL.items()}
    together, without = drawn(16, 7, **MOVING, **ALL), drawn(16, 7, **MOVING)
    for found in (together, *alone.values()):
        assert all(np.array_equal(getattr(found, n), getattr(without, n)) for n in ("matrix", "colour", "draws"))
    assert together.parts is not None
    assert alone["crop"].parts is not None
    assert np.array_equal(together.parts.rows, alone["crop"].parts.rows)
    assert together.operations is not None
    assert alone["rand_augment"].operations is not None
    assert np.array_equal(together.operations.which, alone["rand_augment"].operations.which)
    assert together.erased is not None
    assert alone["erasing"].erased is not None
    assert np.array_equal(together.erased.fill, alone["erasing"].erased.fill)
    assert (without.parts, without.operations, without.erased) == (None, None, None)


def test_a_source_has_its_own_changes_and_no_other_notices() -> None:
    sources = ("a", "b") * 8
    how = MOVING | ALL
    one = drawn(16, 2, **how)
    two = drawn(
        16,
        2,
        sources,
        **how,
        sources={"b": {"flip": 0.0, "rotate": 0.0, "crop": "off", "erasing": {"probability": 1.0}}},
    )
    a, b = np.arange(0, 16, 2), np.arange(1, 16, 2)
    assert np.array_equal(two.matrix[a], one.matrix[a])
    assert one.parts is not None
    assert two.parts is not None
    assert np.array_equal(two.parts.rows[a], one.parts.rows[a])
    assert two.parts.on(50, 60)[b].tolist() == [[0, 0, 60, 50]] * 8
    assert (two.matrix[b, 0, 1] == 0).all(), "no turn"
    assert two.erased is not None
    assert one.erased is not None
    assert (two.erased.areas.on(64, 64)[b, 2] > 0).all()
    assert np.array_equal(two.erased.areas.rows[a], one.erased.areas.rows[a])


def test_a_part_that_is_the_whole_changes_no_bit() -> None:
    picture = example(48, 64, (0.5, 0.5))
    plain = drawn(8, 5, **MOVING)
    whole = Changes(plain.matrix, plain.colour, plain.draws, Rectangles(np.tile([1.0, 1.0, 0.3, 0.9], (8, 1))))
    one, other = changed(picture, plain), changed(picture, whole)
    for a, b in zip(one.tensors(), other.tensors(), strict=True):
        assert torch.equal(a.nan_to_num(), b.nan_to_num())
