"""`augment:`, `train:` and `cluster:`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

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


class NaturalMixing(Section):
    """Every sample once an epoch: sources in proportion to their size."""

    type: Literal["natural"]


class EqualMixing(Section):
    """As many samples from each source, whatever its size."""

    type: Literal["equal"]


class TemperatureMixing(Section):
    """Size to the power of 1 / temperature: 1 is natural, large is equal."""

    type: Literal["temperature"]
    temperature: Annotated[float, Field(ge=1.0, strict=False)] = Field(default=2.0, description="1 is natural")


class RouletteMixing(Section):
    """More from the sources whose tasks are behind: by recent loss, or by the gap to a single-task baseline."""

    type: Literal["roulette"]
    by: Literal["loss", "gap"] = Field(
        default="loss", description="recent loss relative to the first; or relative to `baselines`, above 1"
    )
    baselines: dict[str, Positive] = Field(default_factory=dict, description="task → its loss when trained alone")
    memory: Fraction = Field(default=0.98, description="of the running losses, by step")
    floor: Fraction = Field(default=0.3, description="share of the draws that stays even over the sources")

    @model_validator(mode="after")
    def _known(self) -> RouletteMixing:
        if self.by == "gap" and not self.baselines:
            raise ValueError("roulette by gap needs the tasks' baselines")
        return self


Mixing = Annotated[NaturalMixing | EqualMixing | TemperatureMixing | RouletteMixing, Field(discriminator="type")]


class TrainConfig(Section):
    """Optimizer, schedule, precision, checkpoints."""

    num_workers: Count = Field(description="Ray Train processes; the result's bits depend on it")
    min_workers: Count | None = Field(
        default=None, description="fewest with which a training goes on while others are lost; num_workers if not said"
    )
    threads_per_worker: Count = Field(description="CPU threads a worker; the result's bits depend on it")
    epochs: Count
    batch_size: Count = Field(description="images per optimizer step, summed over workers")
    accumulate: Count = Field(default=1, description="micro-batches a worker computes one after the other for a step")
    parallelism: Literal["data", "tasks"] = Field(
        default="data", description="workers divide the images, or (many heavy heads) the tasks; the result is the same"
    )
    sharding: Literal["none", "fsdp"] = Field(
        default="none", description="fsdp: weights, gradients and optimizer state are divided among the workers (FSDP2)"
    )
    compile: bool = Field(default=False, description="torch.compile of the network")
    mixing: Mixing = Field(default=NaturalMixing(type="natural"), description="how steps draw from several sources")
    max_skipped: Annotated[int, Field(ge=0)] = Field(
        default=0, description="steps in a row that are left out as not finite before training stops"
    )
    layer_decay: Annotated[float, Field(gt=0.0, le=1.0, strict=False)] = Field(
        default=1.0,
        description="factor of the learning rate from each stage of the backbone to the one before it; stages end where the "
        "levels of its features do",
    )
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
    checkpoint_every: Count = Field(description="steps between checkpoints, which are written in the background")
    keep_checkpoints: Count = Field(description="complete checkpoints kept")
    max_failures: Annotated[int, Field(ge=0)] = Field(description="lost workers or nodes that one run survives")


class ClusterConfig(Section):
    """Where Ray runs. No stage depends on it: moving to a cluster rebuilds nothing."""

    address: str = Field(
        description="local starts a cluster on this machine; host:port is Ray's address of a running one that this machine "
        "belongs to; http://host:8265 hands work to one through its Jobs API"
    )
    storage: str = Field(
        default="",
        description="where a training keeps its checkpoints: a bucket (s3://…) or a folder that every node sees; "
        "MTL_HOME if not said",
    )
    use_gpu: Literal["auto", "never"] = Field(description="auto: one GPU a worker where the cluster has enough")
    prepare: Literal["cores", "ray"] = Field(
        default="cores", description="where prepare runs: on this machine's cores, or on the cluster"
    )

    @property
    def by_jobs(self) -> bool:
        """Whether the cluster is reached through its Jobs API."""
        return self.address.startswith(("http://", "https://"))

    @model_validator(mode="after")
    def _reachable(self) -> ClusterConfig:
        if self.by_jobs and "://" not in self.storage:
            raise ValueError(
                f"address {self.address} is another machine's: checkpoints and results need storage in a bucket (s3://…)"
            )
        return self
