"""Every weighting against its paper's formula, at any scale of losses and gradients; what an auxiliary task may change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torchjd.scalarization as sc

from mtl.config.objective import ObjectiveConfig
from mtl.config.tasks import TaskConfig
from mtl.objective.aggregation import AGGREGATORS
from mtl.objective.combination import Objective
from mtl.objective.weighting import WEIGHTINGS, Weighting
from mtl.seeds import Stream, torch_seed

SCALES = (1e-6, 1e-3, 1.0, 1e6)
NUM_STEPS, STEPS_PER_EPOCH = 12, 3
THREE: Mapping[str, TaskConfig] = {name: TaskConfig() for name in ("a", "b", "c")}
PRESENT = torch.ones(3, dtype=torch.bool)


def weighting(name: str, tasks: Mapping[str, TaskConfig] = THREE, **options: Any) -> Weighting:
    chosen = ObjectiveConfig.model_validate({"weighting": {"type": name, **options}}).weighting
    return WEIGHTINGS[name](chosen, tasks, 7)


@dataclass
class Moment:
    """One step: the losses before and after it, and the gradients, whose lengths differ by up to 10⁴."""

    losses: torch.Tensor
    after: torch.Tensor
    jacobian: torch.Tensor

    @property
    def gramian(self) -> torch.Tensor:
        return self.jacobian @ self.jacobian.T


def moments(scale: float = 1.0, num_tasks: int = 3) -> Iterator[Moment]:
    generator = torch.Generator().manual_seed(1)
    lengths = torch.logspace(-4, 0, num_tasks, dtype=torch.float64)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    for _ in range(NUM_STEPS):
        losses, kept = 0.1 + 2 * uniform(num_tasks), 0.5 + 0.6 * uniform(num_tasks)
        jacobian = lengths[:, None] * (uniform(num_tasks, 5) - 0.4)
        yield Moment(scale * losses, scale * losses * kept, scale * jacobian)


def run(ours: Weighting, scale: float = 1.0) -> Iterator[tuple[Moment, torch.Tensor]]:
    """A training's moments, each with the weights that a method gives in it; its own parameters are learned by SGD."""
    own = ours.parameter_group()
    optimizer = torch.optim.SGD(own["params"], lr=0.1) if own else None  # pyright: ignore[reportArgumentType]
    for number, moment in enumerate(moments(scale)):
        yield moment, ours.weights(moment.losses, PRESENT, moment.gramian)
        loss = ours.own_loss(moment.losses, PRESENT)
        if optimizer and loss is not None:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        ours.after_step(moment.losses, moment.after, PRESENT)
        if number % STEPS_PER_EPOCH == STEPS_PER_EPOCH - 1:
            ours.end_epoch()


# The papers' formulas, each a generator: a moment is sent, the weights come back.

Formula = Callable[[], Any]


def derivative(scalarize: Callable[[torch.Tensor], torch.Tensor], losses: torch.Tensor) -> torch.Tensor:
    values = losses.clone().requires_grad_()
    return torch.autograd.grad(scalarize(values), values)[0]


def fixed() -> Any:
    while True:
        yield torch.ones(3, dtype=torch.float64)


def gls() -> Any:
    moment = yield
    while True:
        moment = yield derivative(lambda x: x.prod() ** (1 / 3), moment.losses)


def stch() -> Any:
    """After 2 steps of a plain mean, μ log Σ exp(λ f / μ) of losses in multiples of their means then (Lin et al., eq. 8)."""
    first = yield
    second = yield torch.full((3,), 1 / 3, dtype=torch.float64)
    moment = yield torch.full((3,), 1 / 3, dtype=torch.float64)
    unit = (first.losses + second.losses) / 2
    while True:
        moment = yield derivative(lambda x: 0.3 * torch.logsumexp(x / unit / 3 / 0.3, 0), moment.losses)


def famo() -> Any:
    """c · Σ z log ℓ; the logits go along the gradient of Σ z · (what log ℓ fell) by Adam (Liu et al. 2023, algorithm 1)."""
    logits = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
    adam = torch.optim.Adam([logits], lr=0.025, weight_decay=1e-3)
    moment = yield
    while True:
        shares = torch.softmax(logits, 0).detach() / moment.losses
        now = moment
        moment = yield shares / shares.sum()
        adam.zero_grad()
        (torch.softmax(logits, 0) @ (now.losses.log() - now.after.log())).backward()
        adam.step()


def dwa() -> Any:
    """K · softmax of the ratio of the last two epochs' means (Liu et al. 2019, eq. 7)."""
    means: list[torch.Tensor] = []
    moment = yield
    while True:
        seen: list[torch.Tensor] = []
        for _ in range(STEPS_PER_EPOCH):
            seen.append(moment.losses)
            rates = means[-1] / means[-2] if len(means) > 1 else torch.ones(3, dtype=torch.float64)
            moment = yield 3 * torch.softmax(rates / 2.0, 0)
        means.append(torch.stack(seen).mean(0))


def gradnorm() -> Any:
    """The weights minimise Σ |G - mean(G) · rate^α| by Adam, the goal held, and sum to K (Chen et al. 2018, eq. 2)."""
    weights = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))
    adam = torch.optim.Adam([weights], lr=0.025, eps=1e-30)
    moment = yield
    first = moment.losses
    while True:
        now = moment
        moment = yield weights.detach().clone()
        norms = weights * now.jacobian.norm(dim=1)
        rate = now.losses / first
        goal = (norms.mean() * (rate / rate.mean()) ** 1.5).detach()
        adam.zero_grad()
        (norms - goal).abs().sum().backward()
        adam.step()
        with torch.no_grad():
            weights *= 3 / weights.sum()


def db_mtl() -> Any:
    """Gradients of the log losses, all as long as the longest (Lin et al. 2023, eq. 3 and 4, without memory)."""
    moment = yield
    while True:
        logarithmic = moment.jacobian / moment.losses[:, None]
        lengths = logarithmic.norm(dim=1)
        moment = yield lengths.max() / lengths / moment.losses


def learned(scalarize: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Formula:
    """A parameter per task, learned with the model (here by SGD); the weights are the loss's derivative."""

    def formula() -> Any:
        own = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
        sgd = torch.optim.SGD([own], lr=0.1)
        moment = yield
        while True:
            now = moment
            moment = yield derivative(lambda x: scalarize(own.detach(), x).sum(), now.losses)
            sgd.zero_grad()
            scalarize(own, now.losses).sum().backward()
            sgd.step()

    return formula


def rlw() -> Any:
    """K · softmax of normal numbers (Lin et al. 2022)."""
    step = 0
    yield
    while True:
        random = torch.Generator().manual_seed(torch_seed(7, Stream.WEIGHTING, step))
        drawn = torch.randn(3, generator=random, dtype=torch.float64)
        yield 3 * torch.softmax(drawn, 0)
        step += 1


FORMULAS: dict[str, tuple[Formula, dict[str, Any]]] = {
    "fixed": (fixed, {}),
    "uncertainty": (learned(lambda s, loss: torch.exp(-s) * loss + s), {}),
    "dwa": (dwa, {}),
    "rlw": (rlw, {}),
    "gls": (gls, {}),
    "stch": (stch, {"mu": 0.3, "warmup_steps": 2}),
    "imtl_l": (learned(lambda s, loss: torch.exp(s) * loss - s), {}),
    "famo": (famo, {}),
    "gradnorm": (gradnorm, {}),
    "db_mtl": (db_mtl, {"beta": 0.0}),
}


def test_no_method_is_without_a_formula() -> None:
    assert set(FORMULAS) == set(WEIGHTINGS)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", FORMULAS)
def test_the_weights_are_the_papers(name: str, scale: float) -> None:
    if name in ("uncertainty", "imtl_l"):
        scale = scale**0.1  # these learn the scale itself, by steps as long as it
    formula, options = FORMULAS[name][0](), FORMULAS[name][1]
    next(formula)
    for moment, weights in run(weighting(name, **options), scale):
        assert torch.allclose(weights, formula.send(moment), rtol=1e-9, atol=0.0)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", [n for n in WEIGHTINGS if n not in ("uncertainty", "imtl_l")])
def test_the_unit_of_the_losses_does_not_turn_the_gradient(name: str, scale: float) -> None:
    """But where the method learns the unit itself, or (STCH) is told to take raw losses."""
    options: dict[str, Any] = {"warmup_steps": 2} if name == "stch" else {}
    pairs = zip(run(weighting(name, **options)), run(weighting(name, **options), scale), strict=True)
    for (moment, weights), (_, scaled) in pairs:
        one, other = weights @ moment.jacobian, scaled @ moment.jacobian
        assert torch.allclose(one / one.norm(), other / other.norm(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "options", "reference"),
    [
        ("gls", {}, sc.GeometricMean()),
        ("stch", {"mu": 0.3, "warmup_steps": 0}, sc.STCH(mu=0.3)),
        ("imtl_l", {}, sc.IMTLL(3).double()),
        ("fixed", {}, sc.Sum()),
        ("famo", {}, sc.FAMO(3).double()),
        ("dwa", {}, sc.DWA()),
    ],
)
def test_weightings_equal_torchjd(name: str, options: dict[str, Any], reference: Any) -> None:
    ours = weighting(name, **options)
    for moment in moments():
        found = ours.weights(moment.losses, PRESENT)
        assert torch.allclose(found, derivative(reference, moment.losses), rtol=1e-6)
        ours.after_step(moment.losses, moment.after, PRESENT)
        ours.end_epoch()
        if name == "famo":
            reference.update(moment.after)
        if name == "dwa":
            reference.step()


def test_uncertainty_is_twice_torchjds() -> None:
    ours: Any = weighting("uncertainty")
    reference = sc.UW(3).double()
    losses = next(moments()).losses
    with torch.no_grad():
        for values in (ours.log_variance, reference.log_var):
            values.copy_(torch.tensor([0.1, -0.3, 0.5]))
    assert torch.allclose(ours.weights(losses, PRESENT), 2 * derivative(reference, losses))
    assert torch.allclose(ours.own_loss(losses, PRESENT), 2 * reference(losses))  # type: ignore[arg-type]


def test_a_memory_of_lengths_is_of_their_squares() -> None:
    ours = weighting("db_mtl", beta=0.75)
    ones = torch.ones(3, dtype=torch.float64)
    ours.weights(ones, PRESENT, torch.diag(torch.tensor([1.0, 1.0, 4.0], dtype=torch.float64)))
    ours.after_step(ones, None, PRESENT)
    # The squares are now 1, 1 and 4, then 0.75 of them and a quarter of the new ones: 1.75, 1 and 4.
    found = ours.weights(ones, PRESENT, torch.diag(torch.tensor([4.0, 1.0, 4.0], dtype=torch.float64)))
    assert torch.allclose(found, torch.tensor([(4 / 1.75) ** 0.5, 2.0, 1.0], dtype=torch.float64))


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_a_loss_of_zero_breaks_nothing(name: str) -> None:
    ours = weighting(name)
    for step, moment in enumerate(moments()):
        zero = torch.tensor([0.0, 1.0, 1.0]) if step % 3 == 0 else torch.ones(3)
        losses, gramian = moment.losses * zero, moment.gramian * zero[:, None] * zero
        found = ours.weights(losses, PRESENT, gramian)
        assert torch.isfinite(found).all()
        assert (found[1:] > 0).all()
        assert found.max() < 1e6
        ours.after_step(losses, moment.after * zero, PRESENT)
    assert all(torch.isfinite(value).all() for value in ours.state_dict().values())


def test_famo_ignores_a_task_that_the_step_ruined() -> None:
    ours: Any = weighting("famo")
    losses = torch.ones(3, dtype=torch.float64)
    ours.weights(losses, PRESENT)
    ours.after_step(losses, torch.tensor([torch.inf, 0.5, 0.9], dtype=torch.float64), PRESENT)
    assert torch.isfinite(ours.logits).all()
    assert ours.logits[1] < ours.logits[2]  # what fell more gets less


AUXILIARY = {**THREE, "x": TaskConfig(auxiliary=True, weight=0.2)}
ALL_FOUR = torch.ones(4, dtype=torch.bool)


def with_auxiliary(values: torch.Tensor, last: float) -> torch.Tensor:
    return torch.cat([values, torch.tensor([last], dtype=torch.float64)])


@pytest.mark.parametrize("name", WEIGHTINGS)
@pytest.mark.parametrize(("loss", "length"), [(1e-3, 1e-4), (4.0, 30.0), (1e3, 1e4)])
def test_an_auxiliary_task_changes_no_weight_but_its_own(name: str, loss: float, length: float) -> None:
    """The other tasks' weights, and all that is learned, are those without it, to the last bit."""
    ours = weighting(name, AUXILIARY, **FORMULAS[name][1])
    for number, (moment, alone) in enumerate(run(weighting(name, **FORMULAS[name][1]))):
        gramian = torch.zeros(4, 4, dtype=torch.float64)
        gramian[:3, :3], gramian[3, 3] = moment.gramian, length**2
        gramian[3, :3] = gramian[:3, 3] = -0.9 * length * moment.jacobian.norm(dim=1)
        losses = with_auxiliary(moment.losses, loss)
        found = ours.weights(losses, ALL_FOUR, gramian)
        assert torch.equal(found[:3], alone)
        # The mean of the others' factors (their declared weights are 1), but not above the declared weight.
        assert float(found[3]) == pytest.approx(0.2 * min(1.0, float(alone.mean())))
        own = ours.own_loss(losses, ALL_FOUR)
        if own is not None:
            (gradient,) = torch.autograd.grad(own, ours.parameter_group()["params"])  # type: ignore[index]
            with torch.no_grad():
                ours.parameter_group()["params"][0].sub_(0.1 * gradient)  # type: ignore[index]
        ours.after_step(losses, with_auxiliary(moment.after, loss * 0.01), ALL_FOUR)
        if number % STEPS_PER_EPOCH == STEPS_PER_EPOCH - 1:
            ours.end_epoch()


@pytest.mark.parametrize("name", AGGREGATORS)
def test_an_auxiliary_gradient_is_added_to_what_comes_without_it(name: str) -> None:
    values = {"weighting": {"type": "fixed"}, "aggregator": {"type": name}, "level": "parameters"}
    chosen = ObjectiveConfig.model_validate(values)
    alone, ours = Objective(chosen, THREE), Objective(chosen, AUXILIARY)
    for moment in moments():
        added = 30.0 * torch.randn(5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        jacobian = torch.cat([moment.jacobian, added[None]])
        wanted, _ = alone.combine(moment.jacobian.clone(), torch.ones(3).double(), moment.gramian, PRESENT)
        weights = ours.weighting.weights(torch.ones(4, dtype=torch.float64), ALL_FOUR)
        found, coefficients = ours.combine(jacobian.clone(), weights, jacobian @ jacobian.T, ALL_FOUR)
        assert torch.allclose(found, wanted + 0.2 * added, rtol=1e-9, atol=1e-12)
        assert coefficients[3] == 1.0
        for objective, size in ((alone, 3), (ours, 4)):
            losses = torch.ones(size, dtype=torch.float64)
            objective.after_step(losses, losses, torch.ones(size, dtype=torch.bool))


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_a_lone_auxiliary_task_has_its_declared_weight(name: str) -> None:
    ours, present = weighting(name, AUXILIARY), torch.tensor([False, False, False, True])
    losses = present.double()
    assert ours.weights(losses, present, torch.diag(losses)).tolist() == [0.0, 0.0, 0.0, 0.2]
    ours.after_step(losses, losses, present)
    assert all(torch.isfinite(value).all() for value in ours.state_dict().values())
