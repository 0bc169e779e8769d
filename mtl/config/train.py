"""`train:` optimizer, schedule, precision, checkpoints."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from mtl.config.mixing import Mixing, NaturalMixing
from mtl.config.order import Order, WholeOrder
from mtl.config.section import Count, Fraction, NonNegative, Positive, Section
from mtl.config.workers import AUTO, ON_CPUS


def _or_auto(schema: dict[str, Any]) -> None:
    """What an editor may be told: a file may say `auto`, which whoever reads it has settled."""
    number = {key: schema.pop(key) for key in ("type", "minimum")}
    schema |= {"anyOf": [number, {"const": AUTO}], "default": AUTO}


class TrainConfig(Section):
    """Optimizer, schedule, precision, checkpoints."""

    num_workers: Count = Field(
        default=ON_CPUS,
        description="Ray Train processes; the result's bits depend on it. auto, or nothing: one per GPU of this machine, else "
        "two on processors; the number is part of the run's fingerprint",
        json_schema_extra=_or_auto,
    )
    min_workers: Count | None = Field(
        default=None, description="fewest with which a training goes on while others are lost; num_workers if not said"
    )
    threads_per_worker: Count = Field(description="CPU threads per worker; the result's bits depend on it")
    epochs: Count = Field(description="passes over the training images")
    batch_size: Count = Field(description="images per optimizer step, summed over workers")
    accumulate: Count = Field(
        default=1, description="micro-batches that a worker computes one after the other, per step"
    )
    parallelism: Literal["data", "tasks"] = Field(
        default="data", description="workers divide the images, or (many heavy heads) the tasks; the result is the same"
    )
    sharding: Literal["none", "fsdp"] = Field(
        default="none", description="fsdp: weights, gradients and optimizer state are divided among the workers (FSDP2)"
    )
    deterministic: bool | Literal["auto"] = Field(
        default="auto",
        description="whether a training repeated on the same kind of machine gives the same bits; auto: on processors, where it "
        "costs nothing; on GPUs faster convolutions are chosen by trying, in TensorFloat-32 where float32 is asked for",
    )
    compile: Literal["auto", "off", "default", "reduce-overhead"] = Field(
        default="off",
        description="torch.compile of network, losses and counts of targets, each without a break. default: by Inductor; "
        "reduce-overhead: replayed as CUDA graphs, too, for steps that take as long to launch as to compute. auto: off on "
        "processors, where bits must come again and in short trainings; the start says what was chosen and why. Not the default until "
        "it has been measured on GPUs",
    )
    activation_checkpointing: Literal["off", "stages"] = Field(
        default="off",
        description="stages: what the stages of a backbone compute is computed again in the backward pass instead of kept: less "
        "memory, more time, the same result",
    )
    mixing: Mixing = Field(default=NaturalMixing(type="natural"), description="how steps draw from several sources")
    order: Order = Field(
        default=WholeOrder(type="whole"), description="of the images in an epoch; the result's bits depend on it"
    )
    max_skipped: Annotated[int, Field(ge=0)] = Field(
        default=0, description="steps in a row that are left out as not finite before training stops"
    )
    layer_decay: Annotated[float, Field(gt=0.0, le=1.0, strict=False)] = Field(
        default=1.0,
        description="factor of the learning rate from each stage of the backbone to the one before it; stages end where the "
        "levels of its features do",
    )
    optimizer: Literal["adamw", "sgd"]
    learning_rate: Positive = Field(description="the highest of the schedule")
    weight_decay: NonNegative = Field(description="of the optimizer")
    schedule: Literal["cosine", "one_cycle", "constant"]
    warmup: Fraction = Field(description="share of all steps in which the learning rate rises")
    clip_norm: NonNegative = Field(description="largest norm of the gradient; 0 is off")
    ema_decay: Annotated[float, Field(ge=0.0, lt=1.0, strict=False)] = Field(
        description="decay of the weights' moving average, which is what is evaluated; 0 is off"
    )
    precision: Literal["auto", "float32", "bf16"] = Field(description="auto: bf16 where the device computes in it")
    patience: Count = Field(description="epochs without a better validation score before training stops")
    checkpoint_every: Count = Field(description="steps between checkpoints, which are written in the background")
    keep_checkpoints: Count = Field(description="complete checkpoints kept")
    max_failures: Annotated[int, Field(ge=0)] = Field(description="lost workers or nodes that one run survives")
