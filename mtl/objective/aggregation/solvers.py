"""The small convex problems of the aggregators, solved to rounding: tasks numbers, in float64.

Everything is in cosines and unit vectors, so every tolerance is relative. Active sets (SciPy's non-negative least
squares, Lawson & Hanson 1974) end at the solution itself; first-order solvers stop near it, and the further from it
the more unequal the gradients are.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from scipy.optimize import brentq, nnls

Array = np.ndarray

RIDGE = 1e-14
"""Added to cosines of 1 where the gradients may cancel each other altogether: what would be endless is large."""

PARETO = 1e-10
"""A vector that short, beside the shortest gradient, is none: no direction helps all tasks."""


def unit_vectors(cosines: Array) -> Array:
    """Vectors [rows, rows] of length 1 with these cosines."""
    values, vectors = np.linalg.eigh(cosines)
    return vectors * np.sqrt(np.maximum(values, 0.0))


def cone_projection(units: Array, row: int) -> Array:
    """What must be added to one vector so that the sum hurts none: its projection onto the dual cone of all.

    Returns: factors ≥ 0 of all vectors, [rows].
    """
    return nnls(units.T, -units[row], maxiter=100 * len(units))[0]


def shortest(vectors: Array) -> Array:
    """Weights [rows], ≥ 0 and of sum 1, of the shortest vector in the convex hull of vectors [rows, columns].

    Least squares with one row more, which asks for a sum of 1, have the same solution up to its length. The vectors are
    brought to length 1, so that long ones do not drown short ones.
    """
    lengths = np.linalg.norm(vectors, axis=1)
    if not lengths.all():
        nothing = (lengths == 0.0).astype(np.float64)
        return nothing / nothing.sum()
    share = lengths.min() / lengths
    system = np.vstack([(vectors / lengths[:, None]).T, share])
    wanted = np.zeros(len(system))
    wanted[-1] = 1.0
    weights = share * nnls(system, wanted, maxiter=100 * len(vectors))[0]
    return weights / weights.sum()


def averse_to_conflict(vectors: Array, radius: float) -> Array:
    """Factors [rows] of vectors, whose weighted mean lies in a ball around their mean, and has the largest least product
    with them of all points there.

    The point is mean + ball · p / ‖p‖, with p in the convex hull of the vectors; by the conditions of Karush, Kuhn and
    Tucker p + r · mean is the shortest of `vectors + r · mean`, for the one r with ‖p‖ = ball · r.

    Args:
        radius: of the ball, in lengths of the mean.
    """
    mean = vectors.mean(0)
    ball = radius * float(np.linalg.norm(mean))
    even = np.ones(len(vectors))
    lengths = np.linalg.norm(vectors, axis=1)
    if ball == 0.0 or np.linalg.norm(shortest(vectors) @ vectors) <= PARETO * lengths.min():
        return even

    def excess(r: float) -> float:
        return float(np.linalg.norm(shortest(vectors + r * mean) @ vectors)) - ball * r

    highest = 2.0 * float(lengths.max()) / ball
    r = cast(float, brentq(excess, 0.0, highest, xtol=1e-18 * highest, rtol=4 * np.finfo(float).eps))
    return even + len(vectors) * shortest(vectors + r * mean) / r


def fair(cosines: Array, logarithms: Array, power: float) -> Array:
    """x > 0 with cosines · x = e^logarithms · x^-power, [rows].

    It is the one minimum of a convex function, so damped Newton steps go there from anywhere. A step is halved until
    it no longer overshoots.
    """
    matrix = cosines + RIDGE * np.eye(len(cosines))

    def pull(at: Array) -> Array:
        return np.exp(logarithms - power * np.log(at))

    x = np.exp(logarithms / (1.0 + power))  # the solution if no two gradients had anything in common
    for _ in range(200):
        here = pull(x)
        slope = matrix @ x - here
        move = np.linalg.solve(matrix + np.diag(power * here / x), slope)
        decrement = float(slope @ move)
        if decrement <= 1e-26 * float(x @ matrix @ x):
            break
        share = 0.9 / max(float((move / x).max()), 0.9)
        while share > 1e-9 and float((matrix @ (x - share * move) - pull(x - share * move)) @ move) < -0.5 * decrement:
            share /= 2.0
        x = x - share * move
    return x


def equal_angles(cosines: Array) -> Array:
    """Factors [rows] of unit vectors whose sum has the same product, 1, with each of them; nearest to it where none has;
    zeros if nothing is near.
    """
    found = np.linalg.pinv(cosines, hermitian=True) @ np.ones(len(cosines))
    return found if found @ cosines @ found > PARETO else np.zeros(len(cosines))
