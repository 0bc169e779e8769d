"""`objective:` how the tasks' losses become one gradient."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from mtl.config.section import Count, Fraction, NonNegative, Positive, Section


class WeightingSection(Section):
    """A weighting's settings, and what its method asks for: whoever trains asks here, and nowhere else."""

    needs_losses: ClassVar[bool] = False
    """Whether the factors depend on the losses of the very step that they weigh."""
    needs_gramian: ClassVar[bool] = False
    """Whether they depend on the Gramian of the tasks' gradients."""
    needs_losses_after: ClassVar[bool] = False
    """Whether `learn` wants the losses of the same batch under the new weights: a second forward pass."""


class FixedWeighting(WeightingSection):
    """Each task's own `weight`."""

    type: Literal["fixed"]


class UncertaintyWeighting(WeightingSection):
    """Homoscedastic uncertainty (Kendall et al. 2018): exp(-s)·loss + s, s learned for each task."""

    type: Literal["uncertainty"]
    learning_rate: Positive = Field(default=0.01, description="of the tasks' log variances")


class DWAWeighting(WeightingSection):
    """Dynamic weight average (Liu et al. 2019): more for the tasks whose loss fell less over the last two epochs."""

    type: Literal["dwa"]
    temperature: Positive = Field(default=2.0, description="higher is more even")


class RLWWeighting(WeightingSection):
    """Random loss weighting (Lin et al. 2022): softmax of normal numbers, drawn anew each step."""

    type: Literal["rlw"]


class GLSWeighting(WeightingSection):
    """Geometric loss strategy (Chennupati et al. 2019): the geometric mean of the losses."""

    type: Literal["gls"]
    needs_losses = True


class STCHWeighting(WeightingSection):
    """Smooth Tchebycheff (Lin et al. 2024): a smooth maximum over the tasks' losses."""

    type: Literal["stch"]
    needs_losses = True
    mu: Positive = Field(default=0.1, description="smoothing; smaller is closer to the maximum")
    warmup_steps: Annotated[int, Field(ge=0)] = Field(
        default=100,
        description="steps of a plain mean, whose mean losses are the unit from then on; 0 takes raw losses",
    )


class IMTLLWeighting(WeightingSection):
    """Impartial multi-task learning, loss balance (Liu et al. 2021): exp(s)·loss - s, s learned for each task."""

    type: Literal["imtl_l"]
    learning_rate: Positive = Field(default=0.01, description="of the tasks' log scales")


class FAMOWeighting(WeightingSection):
    """Fast adaptive multitask optimization (Liu et al. 2023): every log loss falls at the same rate; a second forward
    pass per step.
    """

    type: Literal["famo"]
    needs_losses = True
    needs_losses_after = True
    learning_rate: Positive = Field(default=0.025, description="of the tasks' logits")
    weight_decay: NonNegative = Field(default=1e-3, description="of the tasks' logits")


class GradNormWeighting(WeightingSection):
    """GradNorm (Chen et al. 2018): gradient norms at the shared features pulled together, by training rate."""

    type: Literal["gradnorm"]
    needs_losses = True
    needs_gramian = True
    alpha: NonNegative = Field(default=1.5, description="how strongly slower tasks are favoured")
    learning_rate: Positive = Field(default=0.025, description="of the tasks' weights")


class DBMTLWeighting(WeightingSection):
    """Dual balancing (Lin et al. 2023): log losses, their gradients scaled to the largest norm."""

    type: Literal["db_mtl"]
    needs_losses = True
    needs_gramian = True
    beta: Fraction = Field(default=0.9, description="memory of the running norms; 0 uses the present step alone")


Weighting = Annotated[
    FixedWeighting
    | UncertaintyWeighting
    | DWAWeighting
    | RLWWeighting
    | GLSWeighting
    | STCHWeighting
    | IMTLLWeighting
    | FAMOWeighting
    | GradNormWeighting
    | DBMTLWeighting,
    Field(discriminator="type"),
]


class AggregatorSection(Section):
    """An aggregator's settings, and what its method asks for."""

    compares_gradients: ClassVar[bool] = True
    """Whether it wants the tasks' gradients one by one."""
    needs_jacobian: ClassVar[str] = ""
    """Why the tasks × tasks products of the Jacobian's rows are not enough; empty if they are."""
    on_host: ClassVar[str] = ""
    """Why it works on the host, which waits in each step for the device to give it the tasks × tasks products; empty if it
    works on the device.
    """


class SumAggregator(AggregatorSection):
    """The plain sum of the weighted gradients."""

    type: Literal["sum"]
    compares_gradients = False


class UPGradAggregator(AggregatorSection):
    """Each gradient projected so that it hurts no other, then summed (Quinton & Rey 2024)."""

    type: Literal["upgrad"]
    on_host = "solves least squares with bounds"


class PCGradAggregator(AggregatorSection):
    """Gradient surgery (Yu et al. 2020): what conflicts is projected away, in random order."""

    type: Literal["pcgrad"]


class CAGradAggregator(AggregatorSection):
    """Conflict-averse (Liu et al. 2021): the best worst task within a ball around the mean gradient."""

    type: Literal["cagrad"]
    on_host = "searches for a root of least squares with bounds"
    c: NonNegative = Field(default=0.5, description="radius of the ball, in norms of the mean gradient")


class MGDAAggregator(AggregatorSection):
    """Multiple gradient descent (Désidéri 2012, Sener & Koltun 2018): the shortest vector in the convex hull."""

    type: Literal["mgda"]
    on_host = "solves least squares with bounds"


class NashMTLAggregator(AggregatorSection):
    """Bargaining (Navon et al. 2022): the Nash solution among the tasks."""

    type: Literal["nash_mtl"]
    on_host = "solves equations by Newton's steps, as many as it takes"
    max_norm: NonNegative = Field(
        default=1.0, description="largest norm of the gradient, in the unit of the losses; 0 is off"
    )
    every: Count = Field(default=1, description="steps between two solutions")


class AlignedMTLAggregator(AggregatorSection):
    """Independent component alignment (Senushkin et al. 2023): all principal components made equally long."""

    type: Literal["aligned_mtl"]
    on_host = "takes eigenvectors, for which CUDA waits too"
    scale: Literal["min", "median", "rmse"] = Field(default="min", description="to which singular value")


class IMTLGAggregator(AggregatorSection):
    """Impartial multi-task learning, gradient balance (Liu et al. 2021): equal projections on every task."""

    type: Literal["imtl_g"]
    on_host = "takes a pseudoinverse, for which CUDA waits too"


class GradDropAggregator(AggregatorSection):
    """Sign dropout (Chen et al. 2020): each coordinate keeps one sign, drawn by its purity. Parameter level."""

    type: Literal["graddrop"]
    needs_jacobian = "draws a sign for each coordinate"


class GradVacAggregator(AggregatorSection):
    """Gradient vaccine (Wang et al. 2021): cosines pulled towards their running mean, in random order."""

    type: Literal["gradvac"]
    beta: Fraction = Field(default=0.5, description="speed of the running mean")


class FairGradAggregator(AggregatorSection):
    """α-fair resource allocation (Ban & Ji 2024)."""

    type: Literal["fairgrad"]
    on_host = "solves equations by Newton's steps, as many as it takes"
    alpha: Positive = Field(default=1.0, description="1 is proportional fairness, larger is closer to max-min")


class ConFIGAggregator(AggregatorSection):
    """Conflict-free direction (Liu et al. 2024): the same cosine to every task's gradient."""

    type: Literal["config"]
    on_host = "takes a pseudoinverse, for which CUDA waits too"


class ExcessMTLAggregator(AggregatorSection):
    """Robust to label noise (He et al. 2024): weights by excess risk, from squared gradients. Parameter level."""

    type: Literal["excess_mtl"]
    needs_jacobian = "sums squares by coordinate"
    step_size: Positive = Field(default=1.0, description="of the exponentiated weight update")
    warmup_steps: Annotated[int, Field(ge=0)] = Field(default=0, description="steps of equal weights at first")


Aggregator = Annotated[
    SumAggregator
    | UPGradAggregator
    | PCGradAggregator
    | CAGradAggregator
    | MGDAAggregator
    | NashMTLAggregator
    | AlignedMTLAggregator
    | IMTLGAggregator
    | GradDropAggregator
    | GradVacAggregator
    | FairGradAggregator
    | ConFIGAggregator
    | ExcessMTLAggregator,
    Field(discriminator="type"),
]


class ObjectiveConfig(Section):
    """How the tasks' losses become one gradient: a weight for each task, then an aggregator of their gradients."""

    weighting: Weighting
    aggregator: Aggregator = Field(default=SumAggregator(type="sum"))
    level: Literal["features", "parameters"] = Field(
        default="features",
        description="where gradients are compared: at the shared features (tasks × tasks numbers travel, one backward "
        "pass; tasks that no image has both targets of never conflict there) or at the shared parameters (a backward pass "
        "per task, tasks × parameters numbers travel)",
    )

    @property
    def compares_gradients(self) -> bool:
        """Whether the tasks' gradients are needed one by one."""
        return self.aggregator.compares_gradients or self.weighting.needs_gramian

    @model_validator(mode="after")
    def _possible(self) -> ObjectiveConfig:
        reason = self.aggregator.needs_jacobian
        if reason and self.level == "features":
            raise ValueError(f"the aggregator {self.aggregator.type} {reason}: set objective.level to parameters")
        return self
