"""The gradient of one optimizer step, the same for any number of workers, micro-batches and any division of labour.

Counts, losses, Gramians and Jacobians are summed over all workers *before* they are used. Three ways to the gradient:

sum         one backward pass of the weighted sum; the weights may depend on the global losses
features    the model is cut at its shared features: a backward pass through each head gives the tasks' gradients
            there, their tasks × tasks products travel, one backward pass goes on from the combination
parameters  a backward pass per task; the whole Jacobian travels
"""

from __future__ import annotations

from mtl.train.gradients.base import GradientMethod, Outcome
from mtl.train.gradients.features import FeatureGradients, never_met
from mtl.train.gradients.parameters import ParameterGradients
from mtl.train.gradients.sum import SumGradients

__all__ = ["FeatureGradients", "GradientMethod", "Outcome", "ParameterGradients", "SumGradients", "never_met"]
