"""`train.order:` in which order an epoch goes through the training images."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mtl.config.section import Count, Section


class WholeOrder(Section):
    """A random order of all images: each step may need any shard."""

    type: Literal["whole"]


class WindowOrder(Section):
    """Shards in random order, images mixed over a window of them: what a node can read whose disk does not hold all shards."""

    type: Literal["window"]
    shards: Count = Field(
        description="over which images are mixed at any time; a node's disk must hold its part of them"
    )
    lanes: Count = Field(
        default=1,
        description="parts of every batch that read shards of their own. If the number of workers divides it, each worker reads "
        "1 / num_workers of the shards, not all; it changes the order, the number of workers does not",
    )

    @model_validator(mode="after")
    def _divides(self) -> WindowOrder:
        if self.shards % self.lanes:
            raise ValueError(f"shards ({self.shards}) must be a multiple of lanes ({self.lanes})")
        return self


Order = Annotated[WholeOrder | WindowOrder, Field(discriminator="type")]
