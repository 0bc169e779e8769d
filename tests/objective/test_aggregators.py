"""Every aggregator against its paper's formula on the Jacobian itself, at any scale and with gradients of unequal lengths."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torchjd.aggregation as jd
from hypothesis import given, settings
from hypothesis import strategies as st
from torchjd.linalg import QuadprogProjector

from mtl.config.choices import sections
from mtl.config.objective import ObjectiveConfig
from mtl.objective.aggregation import AGGREGATORS
from mtl.objective.aggregation.stateful import draws
from mtl.seeds import Stream, torch_seed
from tests.objective.tiny_steps import Steps

AT_BOTH_LEVELS = [name for name in AGGREGATORS if not sections()["aggregators"][name].needs_jacobian]
SCALES = (1e-6, 1e-3, 1.0, 1e6)
RATIOS = (1.0, 30.0, 1e4)
"""Of the longest gradient to the shortest."""


def aggregator(name: str, num_tasks: int = 4, **options: Any) -> Any:
    values = {"weighting": {"type": "fixed"}, "aggregator": {"type": name, **options}, "level": "parameters"}
    return AGGREGATORS[name](ObjectiveConfig.model_validate(values).aggregator, num_tasks, seed=5)


def unclipped(name: str) -> dict[str, Any]:
    """Without the one length that is no ratio."""
    return {"max_norm": 0.0} if name == "nash_mtl" else {}


def coefficients(ours: Any, jacobian: np.ndarray) -> np.ndarray:
    with ours.drawing():
        return ours.coefficients(
            torch.from_numpy(jacobian @ jacobian.T), torch.ones(len(jacobian), dtype=torch.bool)
        ).numpy()


def combined(ours: Any, jacobian: np.ndarray) -> np.ndarray:
    """The one gradient of a method of either kind."""
    if hasattr(ours, "coefficients"):
        return coefficients(ours, jacobian) @ jacobian
    with ours.drawing():
        return ours.combine(torch.from_numpy(jacobian.copy()), torch.ones(len(jacobian), dtype=torch.bool)).numpy()


def jacobian_of(seed: int, num_tasks: int = 4, ratio: float = 1.0, scale: float = 1.0, columns: int = 9) -> np.ndarray:
    """Gradients that conflict, of lengths that differ by a factor, in random order."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(num_tasks, columns))
    rows -= rng.uniform(0.0, 1.0) * rows.mean(0)
    lengths = rng.permutation(np.logspace(0.0, np.log10(ratio), num_tasks))
    return scale * lengths[:, None] * rows / np.linalg.norm(rows, axis=1, keepdims=True)


# The papers' formulas. What they ask to be found is found here by trying every set of tasks that can be active.


def subsets(num_tasks: int) -> Iterator[list[int]]:
    for size in range(num_tasks + 1):
        yield from (list(chosen) for chosen in itertools.combinations(range(num_tasks), size))


def upgrad(jacobian: np.ndarray) -> np.ndarray:
    """Σ of the gradients' projections onto the cone of the vectors that hurt no task (Quinton & Rey 2024, eq. 4)."""
    units = jacobian / np.linalg.norm(jacobian, axis=1, keepdims=True)
    total = np.zeros(jacobian.shape[1])
    for gradient in jacobian:
        candidates: list[np.ndarray] = []
        for chosen in subsets(len(jacobian)):
            onto = units[chosen]
            point = gradient - np.linalg.pinv(onto) @ (onto @ gradient) if chosen else gradient
            if (units @ point).min() >= -1e-9 * np.linalg.norm(gradient):
                candidates.append(point)
        total += min(candidates, key=lambda point: np.linalg.norm(point - gradient))
    return total


def mgda(jacobian: np.ndarray) -> np.ndarray:
    """The shortest vector of the convex hull (Désidéri 2012), times the tasks."""
    candidates: list[np.ndarray] = []
    for chosen in subsets(len(jacobian)):
        if not chosen:
            continue
        first, others = jacobian[chosen[0]], jacobian[chosen[1:]] - jacobian[chosen[0]]
        shares = np.linalg.lstsq(others.T, -first, rcond=None)[0]
        if (shares >= 0).all() and shares.sum() <= 1:
            candidates.append(first + shares @ others)
    return len(jacobian) * min(candidates, key=np.linalg.norm)


def aligned_mtl(jacobian: np.ndarray) -> np.ndarray:
    """All singular values brought to the least (Senushkin et al. 2023, eq. 14), times the tasks' mean."""
    left, values, right = np.linalg.svd(jacobian, full_matrices=False)
    return (values.min() * left @ right).sum(0)


def imtl_g(jacobian: np.ndarray) -> np.ndarray:
    """Equal projections: (g₁ - gₜ) · direction of unit vectors is 0 (Liu et al. 2021, eq. 6), times the tasks."""
    units = jacobian / np.linalg.norm(jacobian, axis=1, keepdims=True)
    differences, unit_differences = jacobian[0] - jacobian[1:], units[0] - units[1:]
    others = np.linalg.solve((differences @ unit_differences.T).T, unit_differences @ jacobian[0])
    return len(jacobian) * np.concatenate([[1 - others.sum()], others]) @ jacobian


def config(jacobian: np.ndarray) -> np.ndarray:
    """(Σ gᵢ · u) u, with u along pinv(unit gradients) · 1 (Liu et al. 2024, eq. 2 and 3)."""
    units = jacobian / np.linalg.norm(jacobian, axis=1, keepdims=True)
    direction = np.linalg.pinv(units) @ np.ones(len(jacobian))
    direction /= np.linalg.norm(direction)
    return (jacobian @ direction).sum() * direction


FORMULAS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "upgrad": upgrad,
    "mgda": mgda,
    "aligned_mtl": aligned_mtl,
    "imtl_g": imtl_g,
    "config": config,
}


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", FORMULAS)
def test_the_gradient_is_the_papers(name: str, scale: float, ratio: float) -> None:
    for seed in range(4):
        jacobian = jacobian_of(seed, ratio=ratio, scale=scale)
        wanted = FORMULAS[name](jacobian)
        assert np.linalg.norm(combined(aggregator(name), jacobian) - wanted) < 1e-6 * np.linalg.norm(wanted), seed


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("scale", SCALES)
def test_cagrad_has_the_best_worst_task_of_its_ball(scale: float, ratio: float) -> None:
    """Liu et al. 2021, eq. 3 and its dual (eq. 5): no point of the ball has a worst task above the dual's value."""
    for seed, c in itertools.product(range(4), (0.2, 0.5, 0.9)):
        jacobian = jacobian_of(seed, ratio=ratio, scale=scale)
        found = coefficients(aggregator("cagrad", c=c), jacobian)
        mean, direction = jacobian.mean(0), found @ jacobian / 4
        ball = c * np.linalg.norm(mean)
        weights = (found - 1) / (found - 1).sum()
        bound = weights @ jacobian @ mean + ball * np.linalg.norm(weights @ jacobian)
        assert np.linalg.norm(direction - mean) <= ball * (1 + 1e-9)
        assert (weights > -1e-9).all()
        size = np.linalg.norm(jacobian, axis=1).min() * np.linalg.norm(direction)
        assert (jacobian @ direction).min() >= bound - 1e-6 * size


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("scale", SCALES)
def test_bargaining_and_fairness_solve_their_equations(scale: float, ratio: float) -> None:
    """Gx = 1/x for a Gramian of norm 1 (Navon et al. 2022, claim 3.2), Gx = x^(-1/α) of mean 1 (Ban & Ji 2024, eq. 4)."""
    for seed in range(4):
        jacobian = jacobian_of(seed, ratio=ratio, scale=scale)
        gramian = jacobian @ jacobian.T
        x = coefficients(aggregator("nash_mtl", max_norm=0.0), jacobian)
        assert np.allclose(gramian / np.linalg.norm(gramian) @ x * x, 1.0, rtol=1e-6)
        for alpha in (0.5, 1.0, 2.0, 5.0):
            x = coefficients(aggregator("fairgrad", alpha=alpha), jacobian)
            assert np.allclose(gramian / np.diag(gramian).mean() @ x * x ** (1 / alpha), 1.0, rtol=1e-6), alpha


def test_bargaining_is_cut_at_its_longest_step() -> None:
    for scale in SCALES:
        jacobian = jacobian_of(1, scale=scale)
        free = combined(aggregator("nash_mtl", max_norm=0.0), jacobian)
        cut = combined(aggregator("nash_mtl", max_norm=0.5), jacobian)
        assert np.allclose(cut, free * min(1.0, 0.5 / np.linalg.norm(free)))


def outcomes(jacobian: np.ndarray, wanted: np.ndarray | None, beta: float = 0.5) -> list[tuple[np.ndarray, np.ndarray]]:
    """What gradient surgery can come to in any order of three tasks, each outcome with the cosines remembered after it.

    Without wanted cosines PCGrad (Yu et al. 2020, algorithm 1), else GradVac (Wang et al. 2021, algorithm 1).
    """
    each: list[list[tuple[np.ndarray, np.ndarray]]] = []
    for i, gradient in enumerate(jacobian):
        each.append([])
        for order in itertools.permutations([j for j in range(len(jacobian)) if j != i]):
            moved, met = gradient.copy(), np.zeros(len(jacobian)) if wanted is None else wanted[i].copy()
            for j in order:
                other = jacobian[j]
                cosine = moved @ other / np.linalg.norm(moved) / np.linalg.norm(other)
                goal = 0.0 if wanted is None else wanted[i, j]
                if cosine < goal:
                    turn = goal * np.sqrt(1 - cosine**2) - cosine * np.sqrt(1 - goal**2)
                    moved += np.linalg.norm(moved) * turn / np.linalg.norm(other) / np.sqrt(1 - goal**2) * other
                met[j] = (1 - beta) * met[j] + beta * cosine
            each[-1].append((moved, met))
    products = itertools.product(*each)
    return [(sum(m for m, _ in one), np.stack([met for _, met in one])) for one in products]  # type: ignore[misc]


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", ["pcgrad", "gradvac"])
def test_surgery_is_the_papers_in_some_order(name: str, scale: float, ratio: float) -> None:
    ours = aggregator(name, 3)
    states: list[np.ndarray | None] = [None if name == "pcgrad" else np.zeros((3, 3))]
    for seed in range(3):
        jacobian = jacobian_of(seed, 3, ratio=ratio, scale=scale)
        found = combined(ours, jacobian)
        ours.end_step()
        possible = [outcome for state in states for outcome in outcomes(jacobian, state)]
        same = [met for wanted, met in possible if np.allclose(found, wanted, rtol=1e-6, atol=1e-8 * scale)]
        assert same, seed
        states = [None] if name == "pcgrad" else list(same)


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("warmup", [0, 2])
def test_excess_risks_are_the_papers(warmup: int, scale: float, ratio: float) -> None:
    """He et al. 2024, eq. 7 to 9: risks gᵀ diag(Σ g²)^(-1/2) g in multiples of the first, weights by their exponential."""
    ours = aggregator("excess_mtl", warmup_steps=warmup, step_size=0.3)
    squares, first, weights = np.zeros((4, 9)), np.zeros(4), np.full(4, 0.25)
    lengths = np.random.default_rng(0).permutation(np.logspace(0.0, np.log10(ratio), 4))
    for step in range(5):
        jacobian = scale * lengths[:, None] * jacobian_of(step)
        squares += jacobian**2
        risks = (jacobian**2 / np.sqrt(squares)).sum(1)
        if step < max(warmup, 1):
            first += risks / max(warmup, 1)
        if step >= warmup:
            weights = weights * np.exp(0.3 * risks / first)
            weights /= weights.sum()
        assert np.allclose(combined(ours, jacobian), 4 * weights @ jacobian, rtol=1e-9, atol=1e-12 * scale)
        ours.end_step()


REFERENCES: dict[str, tuple[Any, float, float, dict[str, Any]]] = {
    # torchjd's own aggregator; how many times ours is as long (methods that average there, sum here); how exact theirs
    # is at these lengths; our settings.
    "upgrad": (jd.UPGrad(projector=QuadprogProjector(norm_eps=0.0, reg_eps=1e-12)), 4.0, 1e-6, {}),
    "pcgrad": (jd.PCGrad(), 1.0, 1e-6, {}),
    "cagrad": (jd.CAGrad(c=0.5, norm_eps=0.0), 4.0, 1e-3, {}),
    "aligned_mtl": (jd.AlignedMTL(), 4.0, 1e-6, {}),
    "imtl_g": (jd.IMTLG(), 4.0, 1e-6, {}),
    "graddrop": (jd.GradDrop(), 1.0, 1e-6, {}),
    "gradvac": (jd.GradVac(), 1.0, 1e-6, {}),
    "config": (jd.ConFIG(), 1.0, 1e-6, {}),
    "fairgrad": (jd.FairGrad(alpha=1.0), 1.0, 1e-6, {}),
    "excess_mtl": (jd.ExcessMTL(n_warmup_steps=1), 4.0, 1e-4, {"warmup_steps": 1}),
}
JACOBIANS = st.integers(0, 10_000).map(lambda seed: np.random.default_rng(seed).normal(size=(4, 9)))


@contextlib.contextmanager
def same_numbers(ours: Any, jacobian: torch.Tensor) -> Iterator[None]:
    """Within it, torch.rand gives the numbers that our GradDrop draws."""
    numbers = draws(jacobian, torch_seed(ours.seed, Stream.AGGREGATION, ours.step))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "rand", lambda shape, **_: (numbers(shape[0]) + 1.0) / 2.0)
        yield


@pytest.mark.parametrize("name", REFERENCES)
@settings(max_examples=8, deadline=None)
@given(jacobian=JACOBIANS)
def test_aggregators_equal_torchjd(name: str, jacobian: np.ndarray) -> None:
    reference, factor, tolerance, options = REFERENCES[name]
    jacobian = jacobian / np.sqrt((jacobian**2).sum(1).mean())  # the length at which FairGrad's is ours
    if hasattr(reference, "reset"):
        reference.reset()
    ours, theirs = aggregator(name, **options), torch.from_numpy(jacobian)
    for _ in range(2):  # twice, for those with a memory
        with ours.drawing(), same_numbers(ours, theirs):
            wanted = factor * reference(theirs).numpy()
        assert np.linalg.norm(combined(ours, jacobian) - wanted) < tolerance * np.linalg.norm(wanted)
        ours.end_step()


@pytest.mark.parametrize("name", AGGREGATORS)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), power=st.floats(-6, 6), ratio=st.floats(0, 4), num_tasks=st.integers(2, 6))
def test_the_unit_of_the_losses_does_not_matter(
    name: str, seed: int, power: float, ratio: float, num_tasks: int
) -> None:
    scale = 10.0**power
    one, other = (aggregator(name, num_tasks, **unclipped(name)) for _ in range(2))
    for step in range(2):
        jacobian = jacobian_of(seed + step, num_tasks, 10.0**ratio)
        found, scaled = combined(one, jacobian), combined(other, scale * jacobian)
        assert np.linalg.norm(scaled / scale - found) < 1e-6 * np.linalg.norm(found)
        one.end_step()
        other.end_step()


@pytest.mark.parametrize("level", ["features", "parameters"])
@pytest.mark.parametrize("name", AGGREGATORS)
def test_nor_does_it_in_the_gradients_of_a_network(name: str, level: str) -> None:
    """In float32, from the losses on; powers of two change no digit."""
    if level == "features" and sections()["aggregators"][name].needs_jacobian:
        return
    found: dict[int, torch.Tensor] = {}
    for power in (-20, 0, 20):
        chosen = {"type": name, **unclipped(name)}
        steps = Steps({"weighting": {"type": "fixed"}, "aggregator": chosen, "level": level})
        with steps.multiplied(2.0**power, "a", "b", "turn"):
            for number in range(2):  # twice, for those with a memory
                steps.method.model.zero_grad(set_to_none=True)
                outcome = steps.method.compute([steps.batch(number)])
                steps.method.objective.after_step(outcome.losses, None, outcome.present)
        gradients = [p.grad.flatten() for p in steps.method.model.parameters() if p.grad is not None]
        found[power] = torch.cat(gradients) / 2.0**power
    for power in (-20, 20):
        assert torch.allclose(found[power], found[0], rtol=1e-5, atol=1e-6 * float(found[0].abs().max()))


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 10_000), ratio=st.floats(1.5, 5), num_tasks=st.integers(2, 7))
def test_upgrad_hurts_no_task_however_short_its_gradient(seed: int, ratio: float, num_tasks: int) -> None:
    jacobian = jacobian_of(seed, num_tasks, 10.0**ratio)
    found = combined(aggregator("upgrad", num_tasks), jacobian)
    cosines = jacobian @ found / np.linalg.norm(jacobian, axis=1) / np.linalg.norm(found)
    assert cosines.min() > -1e-10


def test_short_conflicting_gradients_are_not_just_summed() -> None:
    for scale in SCALES:
        jacobian = scale * np.array([[1.0, 0.0], [-0.9, 0.3]])
        assert np.allclose(coefficients(aggregator("upgrad", 2), jacobian), [1.9, 2.0])


@pytest.mark.parametrize("name", AT_BOTH_LEVELS)
@settings(max_examples=15, deadline=None)
@given(jacobian=JACOBIANS)
def test_aggregators_find_a_direction_that_helps(name: str, jacobian: np.ndarray) -> None:
    """Together the tasks descend; the methods that promise it hurt no single one."""
    found = coefficients(aggregator(name), jacobian) @ jacobian
    # IMTL-G's weights can have both signs, so it promises equal projections, not descent.
    if name != "imtl_g":
        assert found @ found > 0
    if name in ("upgrad", "mgda", "nash_mtl", "fairgrad", "config"):
        assert (jacobian @ found).min() > -1e-9 * np.linalg.norm(found)


LENGTHS = {"cagrad": 1.5, "fairgrad": 0.5}
"""Of the step where four tasks have one gradient, in sums; 1 where it is not said."""


@pytest.mark.parametrize("name", AT_BOTH_LEVELS)
def test_equal_gradients_mostly_step_as_far_as_their_sum(name: str) -> None:
    jacobian = np.tile(np.random.default_rng(0).normal(size=9), (4, 1))
    found = combined(aggregator(name, **unclipped(name)), jacobian)
    assert np.allclose(found, LENGTHS.get(name, 1.0) * jacobian.sum(0), rtol=1e-5)


def test_methods_differ_without_conflict_too() -> None:
    """In lengths and directions."""
    jacobian = np.diag([1.0, 2.0, 3.0, 4.0])
    found = {name: combined(aggregator(name, **unclipped(name)), jacobian) for name in AT_BOTH_LEVELS}
    total = jacobian.sum(0)
    assert {name for name, one in found.items() if np.allclose(one, total)} == {"upgrad", "pcgrad", "gradvac"}


DEGENERATE = {
    "opposite": np.array([[1.0, 0.0], [-1.0, 0.0]]),
    "opposite and unequal": np.array([[1.0, 0.0], [-1e-4, 0.0]]),
    "the same twice": np.array([[1.0, 0.5], [1.0, 0.5], [0.0, 1.0]]),
    "around zero": np.array([[1.0, 0.0], [-0.5, 0.8], [-0.5, -0.8]]),
    "evenly around zero": np.array([[1.0, 0.0], [-0.5, 0.75**0.5], [-0.5, -(0.75**0.5)]]),
    "more tasks than dimensions": np.random.default_rng(0).normal(size=(6, 2)),
    "one without a gradient": np.array([[1.0, 0.5], [0.0, 0.0], [-0.5, 1.0]]),
    "none with a gradient": np.zeros((3, 2)),
}


@pytest.mark.parametrize("case", DEGENERATE)
@pytest.mark.parametrize("name", AGGREGATORS)
def test_gradients_that_cancel_repeat_or_vanish_stop_nothing(name: str, case: str) -> None:
    ours = aggregator(name, len(DEGENERATE[case]))
    for step in range(3):
        # As float32 would have them: alike to seven digits.
        noise = 1.0 + 1e-7 * np.random.default_rng(step).normal(size=DEGENERATE[case].shape)
        found = combined(ours, noise * DEGENERATE[case])
        assert np.isfinite(found).all()
        ours.end_step()
        if case == "one without a gradient":  # the others go on without it
            assert np.linalg.norm(found) > 0
            assert found @ noise[0] != 0


@pytest.mark.parametrize("name", AT_BOTH_LEVELS)
def test_non_finite_products_are_passed_on_and_forgotten(name: str) -> None:
    ours, other = aggregator(name), aggregator(name)
    gramian = torch.from_numpy(jacobian_of(0) @ jacobian_of(0).T)
    for bad in (torch.nan, torch.inf):
        broken = gramian.clone()
        broken[1, 1] = bad
        with ours.drawing():
            assert not torch.isfinite(ours.coefficients(broken, torch.ones(4, dtype=torch.bool))).any()
    for seed in range(3):
        assert np.array_equal(combined(ours, jacobian_of(seed)), combined(other, jacobian_of(seed)))
        ours.end_step()
        other.end_step()
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in ours.state_dict().items())
