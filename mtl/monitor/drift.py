"""Tests for shift between two profiles, corrected for their number, so that a look at unshifted images rarely alarms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from mtl.monitor.profile import Profile
from mtl.monitor.standard import Standard, Test, names
from mtl.reports.monitoring import Shift
from mtl.seeds import Stream, generator

NUM_PERMUTATIONS = 500
"""Of the embeddings' test, at least; as many more as let its p fall to a tenth of what is asked of it."""
EMBEDDING_SHARE = 0.2
"""Of alpha that the embeddings' test has, however many other comparisons there are: it alone sees all of an image."""
OWN_BATCHES, OWN_SIZE, OWN_FEWEST = 50, 1000, 20
"""Batches drawn from each group of the reference, their size at most, and images below which a group is none to draw from."""


@dataclass(frozen=True)
class Finding:
    """One comparison.

    p is of a two-sample test: Kolmogorov-Smirnov for values, chi-squared for labels and for values of which there are few
    different ones, Fisher's for what is missing more often, permutations of the maximum mean discrepancy for embeddings. `index`
    is the population stability index, or the squared MMD; `usual` the largest one of batches of this size from any group of the
    reference against its other groups. `reason`: why there was no test (p and index are NaN then): what was not compared is not
    known to be unshifted.
    """

    name: str
    test: Test
    p: float
    index: float
    reference: float | None
    batch: float | None
    usual: float = 0.0
    shifted: bool = False
    reason: str = ""

    def reported(self) -> Shift:
        """As reports have it: None for what is not a number."""
        plain = {key: None if isinstance(v, float) and math.isnan(v) else v for key, v in asdict(self).items()}
        return Shift.model_validate(plain)


def compare(
    reference: Profile,
    batch: Profile,
    *,
    alpha: float,
    min_psi: float,
    seed: int = 0,
    usual: Mapping[str, float] | None = None,
) -> list[Finding]:
    """Every comparison, the surest first, `shifted` where it is; then what could not be compared, with its reason.

    Shifted means: significant at `alpha` over all comparisons together (Holm 1979, with a share of alpha for the embeddings),
    further from the reference than its own groups are from each other (production images come from places and days of their
    own), and for values and labels a stability index of at least `min_psi` as well, for in a large batch the smallest shift is
    significant.

    Args:
        usual: `usual_indices` of batches of this size, where they are known.
    """
    batch, standard = replace(batch, groups=None), Standard(reference, seed)
    pairs = standard.pairs(batch)
    found = [Finding(name, pair.test, pair.p(), pair.index(), *pair.means()) for name, pair in pairs.items()]
    share = max(EMBEDDING_SHARE, 1 / (len(found) + 1)) if not standard.lacks("embedding", batch) else 0.0
    weights = [(1 - share) / max(len(found), 1)] * len(found)
    if share:
        found.append(_embedding(standard, batch, alpha * (share if weights else 1.0)))
        weights.append(share)
    usual = usual_indices(reference, len(batch), seed) if usual is None else usual
    judged = [
        replace(one, usual=usual.get(one.name, 0.0), shifted=sure and _far(one, usual, min_psi))
        for one, sure in zip(found, holm([one.p for one in found], weights, alpha), strict=True)
    ]
    judged.sort(key=lambda one: (one.p, -one.index))
    lacking = {name: standard.lacks(name, batch) for name in sorted(names(reference) | names(batch))}
    nothing = Finding("", "none", math.nan, math.nan, None, None)
    return judged + [replace(nothing, name=name, reason=reason) for name, reason in lacking.items() if reason]


def holm(p: Sequence[float], weights: Sequence[float], alpha: float) -> list[bool]:
    """Which of several hypotheses are refused at `alpha` over all of them, each with its share of it (Holm 1979)."""
    refused = [False] * len(p)
    left = float(sum(weights))
    for i in sorted(range(len(p)), key=lambda i: p[i] / weights[i]):
        if p[i] > alpha * weights[i] / left:
            break
        refused[i] = True
        left -= weights[i]
    return refused


def _far(one: Finding, usual: Mapping[str, float], min_psi: float) -> bool:
    return one.index > usual.get(one.name, 0.0) and (one.test == "mmd" or one.index >= min_psi)


def _embedding(standard: Standard, batch: Profile, asked: float) -> Finding:
    """With as many permutations as its p needs to fall clearly below what is asked of it."""
    embeddings, own = standard.embeddings(batch)
    index, p = embeddings.permuted(own, max(NUM_PERMUTATIONS, math.ceil(10 / asked)))
    return Finding("embedding", "mmd", p, index, None, None)


def usual_indices(reference: Profile, size: int, seed: int = 0) -> dict[str, float]:
    """Comparison → the largest index of batches of the reference's own groups; nothing if it has a single one."""
    largest: dict[str, float] = {}
    if reference.groups is None:
        return largest
    found, counts = np.unique(reference.groups, return_counts=True)
    rng = generator(seed, Stream.USUAL_BATCHES)
    for group in found[counts >= OWN_FEWEST] if len(found) > 1 else []:
        own = np.flatnonzero(reference.groups == group)
        others = Standard(reference.take(np.flatnonzero(reference.groups != group)), seed)
        for _ in range(OWN_BATCHES):
            batch = reference.take(rng.choice(own, min(size, OWN_SIZE)))
            indices = {name: pair.index() for name, pair in others.pairs(batch).items()}
            if not others.lacks("embedding", batch):
                embeddings, part = others.embeddings(batch)
                indices["embedding"] = embeddings.discrepancy(part)
            for name, index in indices.items():
                largest[name] = max(largest.get(name, 0.0), index)
    return largest
