"""`model:` backbone, neck and sharing; `objective:` how the tasks' losses become one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mtl.config.section import Count, Positive, Section


class CompactBackbone(Section):
    """The built-in network for small images on a CPU: residual stages with GroupNorm."""

    type: Literal["compact"]
    widths: tuple[Count, Count, Count, Count] = Field(
        default=(24, 48, 96, 128), description="channels at strides 2, 4, 8 and 16"
    )
    depths: tuple[Count, Count, Count, Count] = Field(
        default=(1, 2, 2, 1), description="residual blocks at each stride"
    )


class TimmBackbone(Section):
    """Any timm model that has features_only, by name."""

    type: Literal["timm"]
    name: str = Field(description="a name of timm.list_models()")
    pretrained: bool = Field(default=False, description="download ImageNet weights from the hub")


Backbone = Annotated[CompactBackbone | TimmBackbone, Field(discriminator="type")]


class HardSharing(Section):
    """One backbone and one neck for all tasks; each task has a head."""

    type: Literal["hard"]


class ModelConfig(Section):
    """Backbone, neck and sharing."""

    backbone: Backbone
    neck_channels: Count = Field(default=48, description="channels of every level of the FPN")
    sharing: HardSharing


class FixedWeighting(Section):
    """Each task's own `weight`."""

    type: Literal["fixed"]


class UncertaintyWeighting(Section):
    """Homoscedastic uncertainty (Kendall et al. 2018): exp(-s)·loss + s, s learned for each task."""

    type: Literal["uncertainty"]
    learning_rate: Positive = Field(default=0.01, description="of the tasks' log variances")


Weighting = Annotated[FixedWeighting | UncertaintyWeighting, Field(discriminator="type")]


class ObjectiveConfig(Section):
    """How the tasks' losses become one."""

    weighting: Weighting
