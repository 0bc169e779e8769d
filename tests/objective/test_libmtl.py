"""The gradients of LibMTL 1.1.5 (Lin & Zhang 2023), from its own classes, beside ours on the same losses.

Its CAGrad does not run with the present scipy.
"""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch import nn

# LibMTL asks for a module that torchvision no longer has; the function that it wants is torch's.
sys.modules.setdefault("torchvision.models.utils", torch.hub)

from LibMTL.architecture import HPS  # noqa: E402
from LibMTL.weighting import EW, GLS, IMTL, MGDA, PCGrad  # noqa: E402

from mtl.config.objective import ObjectiveConfig  # noqa: E402
from mtl.config.tasks import TaskConfig  # noqa: E402
from mtl.objective.combination import Objective  # noqa: E402
from tests.conftest import not_none  # noqa: E402


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 5)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.layer(inputs))


def losses_of(model: Any, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    outputs = model(inputs)
    return torch.stack([(outputs[name][:, 0] - targets[:, i]).pow(2).mean() for i, name in enumerate(outputs)])


def theirs(weighting: Any, num_tasks: int, **options: Any) -> tuple[Any, torch.Tensor, torch.Tensor, torch.Tensor]:
    """A LibMTL model as its trainer builds it, its inputs and targets, and the shared gradient that it comes to."""

    class Model(HPS, weighting):
        def __init__(self) -> None:
            names = [f"t{i}" for i in range(num_tasks)]
            heads = nn.ModuleDict({name: nn.Linear(5, 1) for name in names})
            super().__init__(names, Encoder, heads, False, False, torch.device("cpu"))
            self.init_param()

        def zero_grad_share_params(self) -> None:
            # Since torch 2.0 the default is None, which LibMTL does not expect.
            self.encoder.zero_grad(set_to_none=False)

    torch.manual_seed(3)
    model = Model()
    inputs, targets = torch.randn(12, 6), torch.randn(12, num_tasks)
    model.backward(losses_of(model, inputs, targets), **options)
    gradient = torch.cat([not_none(p.grad).flatten() for p in model.get_share_params()])
    model.zero_grad()
    return model, inputs, targets, gradient


def ours(model: Any, inputs: torch.Tensor, targets: torch.Tensor, num_tasks: int, **values: Any) -> torch.Tensor:
    """The gradient of our objective from the same losses."""
    config = ObjectiveConfig.model_validate({"weighting": {"type": "fixed"}, "level": "parameters", **values})
    objective = Objective(config, {f"t{i}": TaskConfig() for i in range(num_tasks)})
    losses = losses_of(model, inputs, targets)
    shared = list(model.get_share_params())
    rows = [torch.autograd.grad(loss, shared, retain_graph=True) for loss in losses]
    jacobian = torch.stack([torch.cat([g.flatten() for g in row]) for row in rows]).double()
    present = torch.ones(num_tasks, dtype=torch.bool)
    weights = objective.weighting.weights(losses.detach().double(), present)
    return objective.combine(jacobian, weights, jacobian @ jacobian.T, present)[0].float()


@pytest.mark.parametrize(
    ("weighting", "num_tasks", "options", "values", "factor"),
    [
        (EW, 3, {}, {}, 1.0),
        (GLS, 3, {}, {"weighting": {"type": "gls"}}, 1.0),
        # In what order LibMTL projects is drawn by another generator: with two tasks there is one order.
        (PCGrad, 2, {}, {"aggregator": {"type": "pcgrad"}}, 1.0),
        # These average over the tasks, ours sum.
        (IMTL, 3, {}, {"aggregator": {"type": "imtl_g"}}, 3.0),
        (MGDA, 2, {"mgda_gn": "none"}, {"aggregator": {"type": "mgda"}}, 2.0),
    ],
)
def test_the_gradient_is_libmtls(
    weighting: Any, num_tasks: int, options: dict[str, Any], values: dict[str, Any], factor: float
) -> None:
    model, inputs, targets, wanted = theirs(weighting, num_tasks, **options)
    found = ours(model, inputs, targets, num_tasks, **values) / factor
    assert torch.allclose(found, wanted, rtol=2e-3, atol=1e-5)
