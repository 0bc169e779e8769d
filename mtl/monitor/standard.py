"""A reference, ready to be compared with batches: what does not depend on them is computed once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from mtl.monitor.embeddings import Embeddings
from mtl.monitor.profile import Profile
from mtl.monitor.two_sample import (
    FEW_VALUES,
    Counts,
    Scale,
    by_value,
    chi_squared,
    coarser,
    kolmogorov_smirnov,
    merged,
    more_often,
    psi,
)
from mtl.seeds import Stream, generator

FEWEST = 10
"""Images of either side below which nothing is compared."""

Test = Literal["ks", "chi2", "fisher", "mmd", "none"]


@dataclass(frozen=True)
class Pair:
    """Both sides of one comparison: counts by bin, class, or (there, missing); values where it is of values."""

    test: Test
    counts: Counts
    values: Counts | None = None

    def p(self) -> float:
        """Of the test that there is no difference."""
        if self.test == "fisher":
            return more_often(self.counts)
        if self.values is None:
            return chi_squared(merged(self.counts))
        return kolmogorov_smirnov(*self.values) if self.test == "ks" else chi_squared(merged(by_value(*self.values)))

    def index(self) -> float:
        """The population stability index."""
        return psi(*self.counts) if self.values is not None or self.test == "fisher" else psi(*merged(self.counts))

    def means(self) -> tuple[float | None, float | None]:
        """Of the values."""
        return (None, None) if self.values is None else (float(self.values[0].mean()), float(self.values[1].mean()))


class Standard:
    """A profile that batches are compared with."""

    def __init__(self, reference: Profile, seed: int) -> None:
        self.profile, self.seed = reference, seed
        self._scales: dict[tuple[str, object], Scale] = {}
        self._there = {name: presence(reference, name) for name in names(reference)}
        self._embeddings: Embeddings | None = None

    def pairs(self, batch: Profile) -> dict[str, Pair]:
        """Comparison → its sides, of what both have; but for embeddings, sorted by name."""
        found: dict[str, Pair] = {}
        for name in self._there.keys() & names(batch):
            old, new = self._there[name], presence(batch, name)
            if min(old.sum(), new.sum()) >= FEWEST and name != "embedding":
                found[name] = self._values(name, batch) if name in batch.values else self._labels(name, batch)
            if min(len(old), len(new)) >= FEWEST and old.any() and not (old.all() and new.all()):
                counts = np.bincount(~old, minlength=2), np.bincount(~new, minlength=2)
                found[f"{name} missing"] = Pair("fisher", counts)
        return dict(sorted(found.items()))

    def embeddings(self, batch: Profile) -> tuple[Embeddings, np.ndarray]:
        """The reference's, and those of a batch, where both have enough of them."""
        if self._embeddings is None:
            rng = generator(self.seed, Stream.REFERENCE_EMBEDDINGS)
            self._embeddings = Embeddings(_finite(self.profile), rng)
        return self._embeddings, _finite(batch)

    def lacks(self, name: str, batch: Profile) -> str:
        """Why there is no comparison of that name; empty: there is one."""
        sides = {
            "the reference": self._there.get(name),
            "production": presence(batch, name) if name in names(batch) else None,
        }
        without = [side for side, there in sides.items() if there is None]
        if without:
            return f"{without[0]} has none"
        few = [f"{int(t.sum())} in {side}" for side, t in sides.items() if t is not None and t.sum() < FEWEST]
        return f"too few images have one: {', '.join(few)}" if few else ""

    def _values(self, name: str, batch: Profile) -> Pair:
        reference = self.profile.values[name]
        dtype = coarser(reference, batch.values[name])
        if (name, dtype) not in self._scales:
            self._scales[name, dtype] = Scale(reference, dtype)
        scale = self._scales[name, dtype]
        new = scale.settled(batch.values[name])
        few = scale.num_values <= FEW_VALUES and len(np.unique(np.concatenate([scale.values, new]))) <= FEW_VALUES
        return Pair("chi2" if few else "ks", (scale.counts, scale.binned(new)), (scale.values, new))

    def _labels(self, name: str, batch: Profile) -> Pair:
        sides = [side.labels[name][side.labels[name] >= 0] for side in (self.profile, batch)]
        counts = [np.bincount(side, minlength=len(self.profile.classes[name])) for side in sides]
        return Pair("chi2", (counts[0], counts[1]))


def names(profile: Profile) -> set[str]:
    """All that a profile has of images."""
    return {*profile.values, *profile.labels, *(["embedding"] if profile.embedding is not None else [])}


def presence(profile: Profile, name: str) -> np.ndarray:
    """Which images have a value, bool; without groups in which none has it: there it was left out on purpose."""
    if name in profile.values:
        there = np.isfinite(profile.values[name])
    elif name in profile.labels:
        there = profile.labels[name] >= 0
    else:
        assert profile.embedding is not None
        there = np.asarray(np.isfinite(profile.embedding).all(1))
    return there if profile.groups is None else there[np.isin(profile.groups, np.unique(profile.groups[there]))]


def _finite(profile: Profile) -> np.ndarray:
    """Embeddings without a number that is none."""
    assert profile.embedding is not None
    return profile.embedding[np.isfinite(profile.embedding).all(1)]
