"""`augment:`, `train:` and `cluster:`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mtl.config.section import Count, Fraction, NonNegative, Positive, Section


class AugmentConfig(Section):
    """Random changes of a training image; boxes and masks move with it."""

    flip: Fraction = Field(description="probability of a horizontal flip")
    translate: Fraction = Field(description="largest shift, as a share of the image")
    scale: Fraction = Field(description="largest zoom in or out, as a share")
    rotate: NonNegative = Field(description="largest turn, in degrees")
    brightness: Fraction = Field(description="largest change, as a share of the range")
    contrast: Fraction = Field(description="largest change, as a share")
    saturation: Fraction = Field(description="largest change, as a share")


class TrainConfig(Section):
    """Optimizer, schedule, precision, checkpoints."""

    num_workers: Count = Field(description="Ray Train processes; the result's bits depend on it")
    threads_per_worker: Count = Field(description="CPU threads a worker; the result's bits depend on it")
    epochs: Count
    batch_size: Count = Field(description="images per optimizer step, summed over workers")
    optimizer: Literal["adamw", "sgd"]
    learning_rate: Positive
    weight_decay: NonNegative
    schedule: Literal["cosine", "one_cycle", "constant"]
    warmup: Fraction = Field(description="share of all steps in which the learning rate rises")
    clip_norm: NonNegative = Field(description="largest norm of the gradient; 0 is off")
    ema_decay: Annotated[float, Field(ge=0.0, lt=1.0, strict=False)] = Field(
        description="decay of the weights' moving average, which is what is evaluated; 0 is off"
    )
    precision: Literal["auto", "float32", "bf16"] = Field(description="auto: bf16 where the device computes in it")
    patience: Count = Field(description="epochs without a better validation score before training stops")
    checkpoint_every: Count = Field(description="steps between checkpoints")
    keep_checkpoints: Count = Field(description="complete checkpoints kept")
    max_failures: Annotated[int, Field(ge=0)] = Field(description="lost workers or nodes that one run survives")


class ClusterConfig(Section):
    """Where Ray runs. No stage depends on it: moving to a cluster rebuilds nothing."""

    address: str = Field(description="local starts a cluster on this machine; else ray's address of a running one")
    use_gpu: Literal["auto", "never"] = Field(description="auto: one GPU a worker where the cluster has enough")
