"""Two profiles beside each other: unshifted ones rarely alarm, whatever their values are like; shifted ones do."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from mtl.errors import DataError
from mtl.monitor import profile as profiles
from mtl.monitor.drift import compare, holm
from mtl.monitor.embeddings import Embeddings
from mtl.monitor.profile import Profile
from mtl.monitor.two_sample import Scale, merged, psi

Draw = Callable[[np.random.Generator, int], np.ndarray]
F32 = np.float32


def zipf(rng: np.random.Generator, count: int, classes: int = 300) -> np.ndarray:
    """Classes, most of which are rare."""
    share = 1 / np.arange(1, classes + 1)
    return rng.choice(classes, count, p=share / share.sum())


VALUES: dict[str, Draw] = {
    "normal": lambda rng, n: rng.normal(100, 20, n),
    "heavy tails": lambda rng, n: rng.standard_cauchy(n),
    "over many magnitudes": lambda rng, n: np.exp(5 * rng.normal(size=n)),
    "tiny": lambda rng, n: 1e-30 * rng.normal(size=n),
    "sure scores": lambda rng, n: 1 / (1 + np.exp(-rng.normal(11, 3, n))),
    "scores that round to one": lambda rng, n: 1 / (1 + np.exp(-rng.normal(17, 3, n))),
    "years": lambda rng, n: rng.uniform(2010.5, 2019.5, n),
    "kelvin": lambda rng, n: rng.normal(293.15, 0.05, n),
    "grams": lambda rng, n: rng.normal(12000, 3, n),
    "ten steps of float32": lambda rng, n: rng.normal(12000, 0.01, n),
    "seconds of a day since 1970": lambda rng, n: 1.7e9 + rng.uniform(0, 86400, n),
    "finer than float32": lambda rng, n: rng.normal(1.7e9, 100, n),
    "a constant": lambda rng, n: np.full(n, 3.21),
    "a seldom one": lambda rng, n: (rng.random(n) < 0.02) * 1.0,
    "an even one": lambda rng, n: (rng.random(n) < 0.5) * 1.0,
    "counts": lambda rng, n: rng.poisson(2, n),
    "large counts": lambda rng, n: rng.poisson(50, n),
    "half zeros": lambda rng, n: np.where(rng.random(n) < 0.5, 0.0, rng.random(n)),
    "tenths": lambda rng, n: rng.integers(0, 7, n) * 0.1,
    "often missing": lambda rng, n: np.where(rng.random(n) < 0.3, np.nan, rng.normal(size=n)),
}
LABELS: dict[str, Draw] = {
    "two classes": lambda rng, n: rng.integers(0, 2, n),
    "ten classes": lambda rng, n: rng.integers(0, 10, n),
    "many rare classes": zipf,
}


def through_file(folder: Path, reference: Profile) -> Profile:
    """As a package keeps it."""
    profiles.write(folder / "x", reference)
    return profiles.read(folder / "x")


def of_values(values: np.ndarray) -> Profile:
    return Profile({"x": values.astype(F32)})


def of_labels(labels: np.ndarray) -> Profile:
    return Profile({}, {"x": labels}, {"x": [str(i) for i in range(300)]})


@pytest.mark.parametrize("name", [*VALUES, *LABELS])
def test_unshifted_images_alarm_in_at_most_alpha_of_all_looks(name: str, tmp_path: Path) -> None:
    """By significance alone: no least index, no groups. The bound is three standard errors above 5 %."""
    draw, made = (VALUES[name], of_values) if name in VALUES else (LABELS[name], of_labels)
    alarms, looks = 0, 100
    for number in range(looks):
        rng = np.random.default_rng([number, 1])
        reference = through_file(tmp_path, made(draw(rng, 600)))
        batch = made(draw(rng, (50, 200, 900)[number % 3]))
        alarms += any(one.shifted for one in compare(reference, batch, alpha=0.05, min_psi=0.0))
    assert alarms / looks <= 0.05 + 3 * (0.05 * 0.95 / looks) ** 0.5


SHIFTS: dict[str, tuple[Draw, Draw]] = {
    "sure scores": (VALUES["sure scores"], lambda rng, n: 1 / (1 + np.exp(-rng.normal(9, 3, n)))),
    "less sure": (VALUES["scores that round to one"], VALUES["sure scores"]),
    "years": (VALUES["years"], lambda rng, n: rng.uniform(2012.5, 2021.5, n)),
    "kelvin": (VALUES["kelvin"], lambda rng, n: rng.normal(293.2, 0.05, n)),
    "grams": (VALUES["grams"], lambda rng, n: rng.normal(12003, 3, n)),
    "steps": (VALUES["ten steps of float32"], lambda rng, n: rng.normal(12000.01, 0.01, n)),
    "seconds": (VALUES["seconds of a day since 1970"], lambda rng, n: 1.7e9 + rng.uniform(30000, 116400, n)),
    "constant": (VALUES["a constant"], lambda rng, n: np.full(n, 3.22)),
    "no constant": (VALUES["a constant"], lambda rng, n: rng.normal(3.21, 0.01, n)),
    "none": (lambda rng, n: np.zeros(n), lambda rng, n: rng.integers(1, 4, n)),
    "above": (lambda rng, n: np.where(rng.random(n) < 0.95, 0, 3), lambda rng, n: np.full(n, 3)),
    "seldom": (VALUES["a seldom one"], lambda rng, n: (rng.random(n) < 0.2) * 1.0),
    "counts": (VALUES["counts"], lambda rng, n: rng.poisson(3, n)),
    "zeros": (VALUES["half zeros"], lambda rng, n: np.where(rng.random(n) < 0.1, 0.0, rng.random(n))),
}


def test_a_shift_of_a_deviation_or_so_alarms(tmp_path: Path) -> None:
    """Of each kind of values, beside ten that do not shift, with groups and the least index of the settings."""
    found: Counter[str] = Counter()
    for number in range(3):
        rng = np.random.default_rng(number)
        sides = [
            Profile(
                {name: draws[side](rng, count).astype(F32) for name, draws in SHIFTS.items()}
                | {f"same {i}": rng.normal(size=count).astype(F32) for i in range(10)}
            )
            for side, count in enumerate((900, 200))
        ]
        sides[0].groups = np.repeat([0, 1, 2], 300)
        judged = compare(through_file(tmp_path, sides[0]), sides[1], alpha=0.05, min_psi=0.1)
        found.update(one.name for one in judged if one.shifted)
    assert all(found[name] == 3 for name in SHIFTS), found
    assert sum(number for name, number in found.items() if name.startswith("same")) <= 1


def test_a_reference_is_kept_exactly(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    before = Profile(
        {"x": rng.normal(size=50).astype(F32), "y": rng.normal(size=50)},
        {"l": rng.integers(0, 3, 50)},
        {"l": ["a", "b", "c"]},
        rng.normal(size=(50, 4)).astype(F32),
        np.repeat([0, 1], 25),
    )
    after = through_file(tmp_path, before)
    assert all(np.array_equal(after.values[n], before.values[n]) for n in before.values)
    assert after.values["y"].dtype == np.float64
    assert np.array_equal(after.embedding, before.embedding)  # type: ignore[arg-type]
    first = (tmp_path / "x").read_bytes()
    profiles.write(tmp_path / "x", after)
    assert (tmp_path / "x").read_bytes() == first


def test_a_reference_that_was_rounded_is_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"value/x": np.ones(3, F32)}, tmp_path / "old", metadata={"classes": "{}"})
    with pytest.raises(DataError, match="cannot be compared with"):
        profiles.read(tmp_path / "old")


def test_different_precisions_are_compared_at_the_coarser() -> None:
    rng = np.random.default_rng(0)
    for number in range(20):
        reference = Profile({"x": rng.normal(1.7e9, 500, 600).astype(F32)})
        batch = Profile({"x": rng.normal(1.7e9, 500, 300)})
        assert not compare(reference, batch, alpha=0.05 / 20, min_psi=0.0)[0].shifted, number


@pytest.mark.parametrize("value", [1.0, 0.5, 3.21, 255.0])
def test_another_machines_last_digit_is_no_shift(value: float) -> None:
    """Of a value that many images share: all of them, or those that a sigmoid rounds to one."""
    rng = np.random.default_rng(0)
    rest = (value * (1 - rng.random(900) ** 3)).astype(F32)
    for share in (0.3, 1.0):
        reference = np.where(rng.random(900) < share, F32(value), rest)
        batch = np.where(rng.random(300) < share, np.nextafter(F32(value), F32(0)), rest[:300])
        (found,) = compare(of_values(reference), of_values(batch), alpha=0.05, min_psi=0.0)
        assert not found.shifted
        (moved,) = compare(of_values(reference), of_values(batch * F32(0.999)), alpha=0.05, min_psi=0.0)
        assert moved.shifted


# --- embeddings


def with_embedding(
    rng: np.random.Generator, comparisons: int, count: int, shift: float, dimensions: int = 16
) -> Profile:
    values = {f"v{i}": rng.normal(size=count).astype(F32) for i in range(comparisons)}
    return Profile(values, embedding=(rng.normal(size=(count, dimensions)) + shift).astype(F32))


@pytest.mark.parametrize("comparisons", [0, 1, 25, 300])
def test_shifted_embeddings_alarm_among_many_comparisons(comparisons: int) -> None:
    rng = np.random.default_rng(comparisons)
    for alpha in (0.05, 0.001) if comparisons == 25 else (0.05,):
        reference = with_embedding(rng, comparisons, 600, 0.0)
        judged = compare(reference, with_embedding(rng, comparisons, 200, 10.0), alpha=alpha, min_psi=0.1)
        (found,) = [one for one in judged if one.name == "embedding"]
        assert found.shifted
        assert found.p >= alpha / 51  # with as many permutations, however many comparisons


@pytest.mark.parametrize(("images", "dimensions"), [(600, 8), (60, 64), (25, 200)])
def test_unshifted_embeddings_rarely_alarm(images: int, dimensions: int) -> None:
    """Small references of many dimensions too: none is scaled by the images that it is compared with."""
    alarms, looks = 0, 80
    for number in range(looks):
        rng = np.random.default_rng([number, images])
        scales = 10.0 ** rng.integers(-8, 4, dimensions)
        sides = [replace(p, embedding=(p.embedding * scales).astype(F32)) for p in (  # type: ignore[operator]
            with_embedding(rng, 0, images, 0.0, dimensions), with_embedding(rng, 0, 50, 0.0, dimensions)
        )]  # fmt: skip
        alarms += compare(*sides, alpha=0.05, min_psi=0.0)[0].shifted
    assert alarms / looks <= 0.05 + 3 * (0.05 * 0.95 / looks) ** 0.5


def test_embeddings_do_not_depend_on_the_scale_of_a_dimension() -> None:
    rng = np.random.default_rng(0)
    old, new = rng.normal(size=(200, 6)), rng.normal(size=(100, 6)) + 0.3
    found = [
        Embeddings(old * scale, np.random.default_rng(1)).permuted(new * scale, 500)
        for scale in (1.0, 1e-9, 1e9, 10.0 ** np.arange(-3, 3))
    ]
    assert all(one[1] == found[0][1] for one in found)
    assert all(one[0] == pytest.approx(found[0][0], rel=1e-6) for one in found)
    same = np.ones((50, 6))
    assert Embeddings(same, np.random.default_rng(1)).permuted(same[:20], 200) == (pytest.approx(0.0, abs=1e-12), 1.0)


# --- what cannot be compared is said


def reasons(reference: Profile, batch: Profile) -> dict[str, str]:
    judged = compare(reference, batch, alpha=0.05, min_psi=0.1)
    assert all(math.isnan(one.p) and one.test == "none" and not one.shifted for one in judged if one.reason)
    assert all(one.reported().p is None for one in judged if one.reason)
    return {one.name: one.reason for one in judged if one.reason}


def test_what_was_not_looked_at_is_not_unshifted() -> None:
    rng = np.random.default_rng(0)
    reference, batch = with_embedding(rng, 2, 100, 0.0), with_embedding(rng, 2, 50, 0.0)
    reference.labels, reference.classes = {"l": np.zeros(100, np.int64)}, {"l": ["a"]}
    batch.labels, batch.classes = {"l": np.zeros(50, np.int64)}, {"l": ["a"]}
    assert reasons(reference, batch) == {}
    assert reasons(reference, batch.take(np.arange(9)))["v0"] == "too few images have one: 9 in production"
    assert set(reasons(reference, batch.take(np.arange(9)))) == {"v0", "v1", "l", "embedding"}
    assert reasons(reference, replace(batch, embedding=None)) == {"embedding": "production has none"}
    assert reasons(replace(reference, embedding=None), batch) == {"embedding": "the reference has none"}
    assert reasons(reference, replace(batch, values={"v0": batch.values["v0"]})) == {"v1": "production has none"}
    more = replace(batch, values=batch.values | {"new": batch.values["v0"]})
    assert reasons(reference, more) == {"new": "the reference has none"}
    unknown = replace(reference, values=reference.values | {"v0": np.full(100, np.nan, F32)})
    assert reasons(unknown, batch) == {"v0": "too few images have one: 0 in the reference"}


def test_what_is_missing_more_often_is_a_shift() -> None:
    """And what the reference leaves out on purpose, in a whole group, is none."""
    rng = np.random.default_rng(0)
    reference = with_embedding(rng, 1, 300, 0.0)
    reference.groups = np.repeat([0, 1, 2], 100)
    reference.values["v0"][:100] = np.nan
    reference.labels, reference.classes = {"l": np.repeat([-1, 0, 0], 100)}, {"l": ["a"]}
    batch = replace(with_embedding(rng, 1, 100, 0.0), labels={"l": np.zeros(100, np.int64)}, classes={"l": ["a"]})
    assert not any(one.shifted or one.reason for one in compare(reference, batch, alpha=0.05, min_psi=0.1))
    batch.values["v0"][:30], batch.labels["l"][:30] = np.inf, -1
    assert batch.embedding is not None
    batch.embedding[:30, 3] = np.nan
    judged = compare(reference, batch, alpha=0.05, min_psi=0.1)
    assert {one.name: one.test for one in judged if one.shifted} == dict.fromkeys(
        ("v0 missing", "l missing", "embedding missing"), "fisher"
    )
    batch.values["v0"][:] = np.nan
    judged = {one.name: one for one in compare(reference, batch, alpha=0.05, min_psi=0.1)}
    assert judged["v0 missing"].shifted
    assert judged["v0"].reason == "too few images have one: 0 in production"


def test_a_group_of_a_few_images_does_not_hide_a_shift() -> None:
    """Batches drawn from three images differ from the others by anything."""
    rng = np.random.default_rng(0)
    reference = Profile({"x": rng.normal(size=503).astype(F32)}, groups=np.repeat([0, 1, 2], [250, 250, 3]))
    (found,) = compare(reference, Profile({"x": rng.normal(2, 1, 200).astype(F32)}), alpha=0.05, min_psi=0.1)
    assert found.shifted
    assert found.usual < 0.3


# --- parts


def test_holm_with_shares() -> None:
    """By hand: 0.001 ≤ 0.5 · 0.05; then 0.04 ≤ 0.05 · 0.3 / 0.5 is not so, and nothing after it counts."""
    assert holm([0.04, 0.001, 0.03], [0.3, 0.5, 0.2], 0.05) == [False, True, False]
    assert holm([0.04, 0.001, 0.03], [0.3, 0.5, 0.2], 0.1) == [True, True, True]
    assert holm([], [], 0.05) == []
    rng = np.random.default_rng(0)
    p = rng.random(6) * 0.05
    ours = holm(p.tolist(), [1 / 6] * 6, 0.05)
    order = np.argsort(p)
    going, wanted = True, [False] * 6
    for place, i in enumerate(order):
        going = going and p[i] <= 0.05 / (6 - place)
        wanted[i] = bool(going)
    assert ours == wanted


def test_rare_classes_are_put_together_and_none_is_lost() -> None:
    old, new = np.array([400, 0, 3, 90, 2, 5]), np.array([80, 1, 0, 18, 1, 0])
    one, other = merged((old, new))
    assert (one.sum(), other.sum()) == (500, 100)
    assert ((one + other) * 100 / 600 >= 5).all()
    assert sorted((one + other).tolist()) == [120, 480]
    tested: Any = stats.chi2_contingency(np.stack([one, other]))
    assert tested.expected_freq.min() >= 5


@pytest.mark.parametrize("size", [10, 30, 100])
def test_what_the_reference_never_had_is_seen_in_a_small_batch(size: int) -> None:
    """A class, or another value than the one that all images had: put together with it, it would be no difference."""
    labels, half = np.zeros(1500, np.int64), np.arange(size) % 2
    for reference, batch in (
        (
            Profile({}, {"kind": labels}, {"kind": ["cat", "dog"]}),
            Profile({}, {"kind": half}, {"kind": ["cat", "dog"]}),
        ),
        (of_values(labels.astype(F32)), of_values(np.ones(size, F32))),
    ):
        (found,) = compare(reference, batch, alpha=0.05, min_psi=0.1)
        assert found.shifted
        table = np.array([[1500, 0], [size // 2, size // 2] if reference.labels else [0, size]])
        rare = size * size // 2 < 5 * (1500 + size) if reference.labels else size * size < 5 * (1500 + size)
        exact: Any = stats.fisher_exact(table) if rare else stats.chi2_contingency(table)
        assert found.p == pytest.approx(exact.pvalue)


def test_common_values_are_bins_of_their_own() -> None:
    scale = Scale(np.repeat([0.0, 1.0, 2.0], [80, 15, 5]).astype(F32), np.dtype(F32))
    assert scale.binned(np.array([-1.0, 0.0, 0.0, 0.5, 1.0, 3.0])).tolist() == [1, 2, 1, 1, 1]
    assert psi(scale.counts, scale.counts) == 0.0
    assert psi(np.array([0, 50, 50]), np.array([0, 50, 50])) == 0.0


def test_the_stability_index() -> None:
    counts = np.array([100, 100, 100])
    assert psi(counts, counts) == 0.0
    assert psi(counts, counts * 7) == pytest.approx(0.0, abs=1e-4)
    # By hand: shares 0.5/0.5 against 0.9/0.1 of large counts.
    expected = 0.4 * np.log(0.9 / 0.5) + -0.4 * np.log(0.1 / 0.5)
    assert psi(np.array([50000, 50000]), np.array([90000, 10000])) == pytest.approx(expected, rel=1e-3)
    assert np.isfinite(psi(np.array([100, 0]), np.array([0, 100])))
