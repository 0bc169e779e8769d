"""`cluster:` where Ray runs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mtl.config.section import Count, Positive, Section


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
    use_gpu: Literal["auto", "never"] = Field(description="auto: one GPU per worker where the cluster has enough")
    log_every: Count = Field(
        default=10,
        description="steps after which their losses are read and told, sooner where steps are slow; in between nothing waits "
        "for the device",
    )
    loader_threads: Count = Field(
        default=2,
        description="threads of a worker that load and augment, beside the one that trains; on processors no more "
        "than train.threads_per_worker",
    )
    prefetch: Annotated[int, Field(ge=0)] = Field(
        default=4, description="batches that are loaded ahead; 0 loads each when it is its turn"
    )
    prepare: Literal["cores", "ray"] = Field(
        default="cores", description="where prepare runs: on this machine's cores, or on the cluster"
    )

    shards: Literal["auto", "local", "stream"] = Field(
        default="auto",
        description="local: each node has all shards before it trains; stream: it fetches those that it reads next, from "
        "`storage` or the DVC remote, into a cache of bounded size; auto: local where they take at most half of the free disk",
    )
    shard_cache_gib: Positive | None = Field(
        default=None, description="largest size of a node's cache of streamed shards; half of the free disk if not said"
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
        if self.shards == "stream" and not self.storage:
            raise ValueError("shards: stream needs storage: a bucket (s3://…) or a folder that every node sees")
        return self
