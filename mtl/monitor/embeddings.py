"""Embeddings beside those of a reference: squared maximum mean discrepancy (Gretton et al. 2012)."""

from __future__ import annotations

import numpy as np

MOST = 300
"""Images of each side that are compared: the cost grows with their square."""
FLAT = 1e-5
"""Of its largest value, the spread below which a dimension is constant but for rounding: it is scaled as the others are on average."""
CHUNK = 1000
"""Permutations that are in memory together."""


class Embeddings:
    """A reference's, float [n, d], ready to be compared with batches.

    Half of the images at most are compared; by the others the dimensions are scaled. By those that are compared, one side would
    be scaled by itself, and look narrower than the other.
    """

    def __init__(self, reference: np.ndarray, rng: np.random.Generator) -> None:
        self.rng = rng
        order = rng.permutation(len(reference))
        number = max(min(MOST, len(reference) // 2), 1)
        rest = reference[order[number:]].astype(np.float64)
        spread = rest.std(0)
        flat = spread <= FLAT * np.abs(rest).max(0)
        self._scale = np.where(flat, np.sqrt(np.mean(spread**2)) if spread.any() else 1.0, spread)
        self._centre = rest.mean(0)
        self._compared = self._scaled(reference[order[:number]])
        self._distances = _distances(self._compared, self._compared)

    def discrepancy(self, batch: np.ndarray) -> float:
        """The squared maximum mean discrepancy of a batch, float [m, d]."""
        kernel = self._kernel(batch)
        return float(_discrepancies(self._as_they_are(len(kernel)), kernel)[0])

    def permuted(self, batch: np.ndarray, num_permutations: int) -> tuple[float, float]:
        """The same, and p: how many of that many permutations of the images reach it, itself among them."""
        kernel, first, reached = self._kernel(batch), len(self._compared), 1
        found = float(_discrepancies(self._as_they_are(len(kernel)), kernel)[0])
        for start in range(0, num_permutations, CHUNK):
            keys = self.rng.random((min(CHUNK, num_permutations - start), len(kernel)))
            rows = np.argpartition(keys, first - 1, axis=1)[:, :first]
            # Permutations that only exchange equal embeddings are equal but for rounding.
            reached += int((_discrepancies(_signs(len(kernel), rows), kernel) >= found - 1e-12).sum())
        return found, reached / (num_permutations + 1)

    def _scaled(self, embeddings: np.ndarray) -> np.ndarray:
        return (embeddings.astype(np.float64) - self._centre) / self._scale

    def _as_they_are(self, total: int) -> np.ndarray:
        return _signs(total, np.arange(len(self._compared))[None])

    def _kernel(self, batch: np.ndarray) -> np.ndarray:
        """Gaussian, of the median distance, of the reference's images and then at most MOST of the batch."""
        chosen = self._scaled(batch[self.rng.permutation(len(batch))[:MOST]])
        across = _distances(self._compared, chosen)
        distances = np.block([[self._distances, across], [across.T, _distances(chosen, chosen)]])
        np.fill_diagonal(distances, 0.0)
        apart = distances[distances > 0]
        return np.exp(-distances / max(float(np.median(apart)), 1e-12)) if len(apart) else np.ones_like(distances)


def _distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Squared, [n, m]."""
    squares = (one**2).sum(1)[:, None] + (other**2).sum(1)
    return np.maximum(squares - 2 * one @ other.T, 0.0)


def _signs(total: int, reference: np.ndarray) -> np.ndarray:
    """What images count for in the squared discrepancy, s·K·s: those of the reference, [permutations, n], and the others."""
    signs = np.full((len(reference), total), -1.0 / (total - reference.shape[1]))
    np.put_along_axis(signs, reference, 1.0 / reference.shape[1], axis=1)
    return signs


def _discrepancies(signs: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    return np.einsum("pi,pi->p", signs @ kernel, signs)
