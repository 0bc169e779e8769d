"""`objective:` how the tasks' losses become one gradient."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mtl.config.section import Count, Fraction, NonNegative, Positive, Section


class FixedWeighting(Section):
    """Each task's own `weight`."""

    type: Literal["fixed"]


class UncertaintyWeighting(Section):
    """Homoscedastic uncertainty (Kendall et al. 2018): exp(-s)·loss + s, s learned for each task."""

    type: Literal["uncertainty"]
    learning_rate: Positive = Field(default=0.01, description="of the tasks' log variances")


class DWAWeighting(Section):
    """Dynamic weight average (Liu et al. 2019): more for the tasks whose loss fell less over the last two epochs."""

    type: Literal["dwa"]
    temperature: Positive = Field(default=2.0, description="higher is more even")


class RLWWeighting(Section):
    """Random loss weighting (Lin et al. 2022): softmax of normal numbers, drawn anew each step."""

    type: Literal["rlw"]


class GLSWeighting(Section):
    """Geometric loss strategy (Chennupati et al. 2019): the geometric mean of the losses."""

    type: Literal["gls"]


class STCHWeighting(Section):
    """Smooth Tchebycheff (Lin et al. 2024): a smooth maximum over the tasks' losses."""

    type: Literal["stch"]
    mu: Positive = Field(default=0.1, description="smoothing; smaller is closer to the maximum")
    warmup_steps: Annotated[int, Field(ge=0)] = Field(
        default=100,
        description="steps of a plain mean, whose mean losses are the unit from then on; 0 takes raw losses",
    )


class IMTLLWeighting(Section):
    """Impartial multi-task learning, loss balance (Liu et al. 2021): exp(s)·loss - s, s learned for each task."""

    type: Literal["imtl_l"]
    learning_rate: Positive = Field(default=0.01, description="of the tasks' log scales")


class FAMOWeighting(Section):
    """Fast adaptive multitask optimization (Liu et al. 2023): every log loss falls at the same rate; a second forward
    pass a step."""

    type: Literal["famo"]
    learning_rate: Positive = Field(default=0.025, description="of the tasks' logits")
    weight_decay: NonNegative = Field(default=1e-3, description="of the tasks' logits")


class GradNormWeighting(Section):
    """GradNorm (Chen et al. 2018): gradient norms at the shared features pulled together, by training rate."""

    type: Literal["gradnorm"]
    alpha: NonNegative = Field(default=1.5, description="how strongly slower tasks are favoured")
    learning_rate: Positive = Field(default=0.025, description="of the tasks' weights")


class DBMTLWeighting(Section):
    """Dual balancing (Lin et al. 2023): log losses, their gradients scaled to the largest norm."""

    type: Literal["db_mtl"]
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


class SumAggregator(Section):
    """The plain sum of the weighted gradients."""

    type: Literal["sum"]


class UPGradAggregator(Section):
    """Each gradient projected so that it hurts no other, then summed (Quinton & Rey 2024)."""

    type: Literal["upgrad"]


class PCGradAggregator(Section):
    """Gradient surgery (Yu et al. 2020): what conflicts is projected away, in random order."""

    type: Literal["pcgrad"]


class CAGradAggregator(Section):
    """Conflict-averse (Liu et al. 2021): the best worst task within a ball around the mean gradient."""

    type: Literal["cagrad"]
    c: NonNegative = Field(default=0.5, description="radius of the ball, in norms of the mean gradient")


class MGDAAggregator(Section):
    """Multiple gradient descent (Désidéri 2012, Sener & Koltun 2018): the shortest vector in the convex hull."""

    type: Literal["mgda"]


class NashMTLAggregator(Section):
    """Bargaining (Navon et al. 2022): the Nash solution among the tasks."""

    type: Literal["nash_mtl"]
    max_norm: NonNegative = Field(
        default=1.0, description="largest norm of the gradient, in the unit of the losses; 0 is off"
    )
    every: Count = Field(default=1, description="steps between two solutions")


class AlignedMTLAggregator(Section):
    """Independent component alignment (Senushkin et al. 2023): all principal components made equally long."""

    type: Literal["aligned_mtl"]
    scale: Literal["min", "median", "rmse"] = Field(default="min", description="to which singular value")


class IMTLGAggregator(Section):
    """Impartial multi-task learning, gradient balance (Liu et al. 2021): equal projections on every task."""

    type: Literal["imtl_g"]


class GradDropAggregator(Section):
    """Sign dropout (Chen et al. 2020): each coordinate keeps one sign, drawn by its purity. Parameter level."""

    type: Literal["graddrop"]


class GradVacAggregator(Section):
    """Gradient vaccine (Wang et al. 2021): cosines pulled towards their running mean, in random order."""

    type: Literal["gradvac"]
    beta: Fraction = Field(default=0.5, description="speed of the running mean")


class FairGradAggregator(Section):
    """α-fair resource allocation (Ban & Ji 2024)."""

    type: Literal["fairgrad"]
    alpha: Positive = Field(default=1.0, description="1 is proportional fairness, larger is closer to max-min")


class ConFIGAggregator(Section):
    """Conflict-free direction (Liu et al. 2024): the same cosine to every task's gradient."""

    type: Literal["config"]


class ExcessMTLAggregator(Section):
    """Robust to label noise (He et al. 2024): weights by excess risk, from squared gradients. Parameter level."""

    type: Literal["excess_mtl"]
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

PARAMETER_LEVEL_ONLY = {"graddrop": "draws a sign for each coordinate", "excess_mtl": "sums squares by coordinate"}
"""Aggregators that need the whole Jacobian, and why the tasks × tasks products of its rows are not enough."""

GRAMIAN_WEIGHTINGS = ("gradnorm", "db_mtl")
"""Weightings that look at the lengths of the tasks' gradients."""


class ObjectiveConfig(Section):
    """How the tasks' losses become one gradient: a weight for each task, then an aggregator of their gradients."""

    weighting: Weighting
    aggregator: Aggregator = Field(default=SumAggregator(type="sum"))
    level: Literal["features", "parameters"] = Field(
        default="features",
        description="where gradients are compared: at the shared features (tasks × tasks numbers travel, one backward "
        "pass; tasks that no image has both targets of never conflict there) or at the shared parameters (a backward pass "
        "a task, tasks × parameters numbers travel)",
    )

    @property
    def compares_gradients(self) -> bool:
        """Whether the tasks' gradients are needed one by one."""
        return self.aggregator.type != "sum" or self.weighting.type in GRAMIAN_WEIGHTINGS

    @model_validator(mode="after")
    def _possible(self) -> ObjectiveConfig:
        reason = PARAMETER_LEVEL_ONLY.get(self.aggregator.type)
        if reason and self.level == "features":
            raise ValueError(f"the aggregator {self.aggregator.type} {reason}: set objective.level to parameters")
        return self
