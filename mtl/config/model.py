"""`model:` backbone, neck and sharing."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from mtl.config.section import Count, Fraction, Section


class CompactBackbone(Section):
    """The built-in network for small images on a CPU: residual stages with GroupNorm."""

    type: Literal["compact"]
    widths: tuple[Count, Count, Count, Count] = Field(
        default=(24, 48, 96, 128), description="channels at strides 2, 4, 8 and 16"
    )
    depths: tuple[Count, Count, Count, Count] = Field(
        default=(1, 2, 2, 1), description="residual blocks at each stride"
    )


class MLPBackbone(Section):
    """A perceptron on square patches: 784-64-32 on 28×28 grey images with patches of 28."""

    type: Literal["mlp"]
    patch: Count = Field(default=16, description="pixels per side; also the stride of its features")
    widths: tuple[Count, Count] = Field(default=(64, 32), description="channels of the two layers")


class CNNBackbone(Section):
    """Convolutions 32-64, pool, 128, pool: strides 2 and 4."""

    type: Literal["cnn"]
    widths: tuple[Count, Count, Count] = Field(default=(32, 64, 128), description="channels of the three layers")


class PyramidBackbone(Section):
    """Features pooled at several scales and concatenated: strides 4 and 8."""

    type: Literal["pyramid"]
    widths: tuple[Count, Count, Count] = Field(default=(24, 48, 96), description="channels at strides 2, 4 and 8")
    scales: tuple[Count, ...] = Field(default=(1, 2, 4), description="cells per side to which features are pooled")


Norm = Literal["group", "frozen", "batch"]
_NORM = (
    "group replaces BatchNorm, exact for any number of workers; frozen keeps a pretrained one's statistics; batch "
    "computes them from each worker's own share, which is not exact"
)


class ResNet18Backbone(Section):
    """ResNet-18 (timm)."""

    type: Literal["resnet18"]
    norm: Norm = Field(default="group", description=_NORM)


class EfficientNetLite0Backbone(Section):
    """EfficientNet-Lite0 (timm); `model.pretrained: {type: package}` has its ImageNet weights."""

    type: Literal["efficientnet_lite0"]
    norm: Norm = Field(default="frozen", description=_NORM)


class TimmBackbone(Section):
    """Any timm model that has features_only, by name."""

    type: Literal["timm"]
    name: str = Field(description="a name of timm.list_models()")
    norm: Norm = Field(default="group", description=_NORM)


Backbone = Annotated[
    CompactBackbone
    | MLPBackbone
    | CNNBackbone
    | PyramidBackbone
    | ResNet18Backbone
    | EfficientNetLite0Backbone
    | TimmBackbone,
    Field(discriminator="type"),
]


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class NoPretrained(Section):
    """Random initial weights."""

    type: Literal["none"]


class PackagePretrained(Section):
    """The backbone's ImageNet weights from a registry package, pinned by hash."""

    type: Literal["package"]


class FilePretrained(Section):
    """Weights from a file: safetensors, or a PyTorch file read with weights_only."""

    type: Literal["file"]
    path: str = Field(description="a path, or a URL that fsspec opens")
    sha256: Sha256 = Field(description="of the file: a run is a function of its inputs")
    part: Literal["backbone", "model"] = Field(default="backbone", description="what the file holds")


class HubPretrained(Section):
    """The backbone's weights from the Hugging Face hub."""

    type: Literal["hub"]
    repository: str = Field(description="e.g. timm/resnet18.a1_in1k")
    revision: str = Field(pattern=r"^[0-9a-f]{40}$", description="a commit: a branch would move")
    file: str = Field(default="model.safetensors", description="its name in the repository")


class RunPretrained(Section):
    """The weights of an earlier run's packaged model, all that fit."""

    type: Literal["run"]
    run: str = Field(pattern=r"^[0-9a-f]{32}$", description="MLflow run id")


Pretrained = Annotated[
    NoPretrained | PackagePretrained | FilePretrained | HubPretrained | RunPretrained, Field(discriminator="type")
]


class SharingSection(Section):
    """A sharing's settings, and what its network is like."""

    cut: ClassVar[bool] = True
    """Whether there is a place that all tasks' features pass: else gradients can be compared by parameter only."""
    entangled: ClassVar[bool] = False
    """Whether parameters after the cut are trained by several tasks."""
    shardable: ClassVar[bool] = False
    """Whether each module is called from within its parent alone, as FSDP wants it."""


class HardSharing(SharingSection):
    """One backbone and one neck for all tasks; each task has a head."""

    type: Literal["hard"]
    shardable = True


class CrossStitchSharing(SharingSection):
    """A network per task, their features mixed after every stage by learned factors (Misra et al. 2016)."""

    type: Literal["cross_stitch"]
    cut = False
    own: Fraction = Field(default=0.9, description="a network's own share at first; the others divide the rest")


class MTANSharing(SharingSection):
    """One backbone, and a soft attention network per task over its levels (Liu et al. 2019)."""

    type: Literal["mtan"]
    hidden: Count = Field(default=32, description="channels of the attention networks")


class MMoESharing(SharingSection):
    """Convolutional experts on the neck's features, mixed by a gate per task (Ma et al. 2018)."""

    type: Literal["mmoe"]
    num_experts: Count = Field(default=4, description="experts at each level of the pyramid")


class CGCSharing(SharingSection):
    """Shared experts and experts of each task, mixed by gates (CGC; with more levels PLE; Tang et al. 2020)."""

    type: Literal["cgc"]
    entangled = True
    num_shared: Count = Field(default=2, description="shared experts of an extraction level")
    num_own: Count = Field(default=1, description="experts of each task in an extraction level")
    levels: Count = Field(default=1, description="extraction levels on top of each other; 1 is CGC, more is PLE")


class FusionSharing(SharingSection):
    """Initial predictions of the tasks, distilled into each other before the final heads (PAD-Net, Xu et al. 2018)."""

    type: Literal["fusion"]
    entangled = True
    hidden: Count = Field(default=32, description="channels of a message from one task to another")


Sharing = Annotated[
    HardSharing | CrossStitchSharing | MTANSharing | MMoESharing | CGCSharing | FusionSharing,
    Field(discriminator="type"),
]


class ModelConfig(Section):
    """Backbone, neck and sharing."""

    backbone: Backbone
    neck_channels: Count = Field(default=48, description="channels of every level of the FPN")
    sharing: Sharing
    pretrained: Pretrained = Field(default=NoPretrained(type="none"), description="initial weights")
    min_matched: Fraction = Field(
        default=0.5, description="share of the pretrained part's tensors that must find their place"
    )
    freeze: Literal["none", "backbone"] = Field(default="none", description="what is not trained")
