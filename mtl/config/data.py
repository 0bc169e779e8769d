"""`data:` where images come from and what is done to them before training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mtl.config.codec import Codec, RawCodec
from mtl.config.files import FilesSource
from mtl.config.operations import Operation
from mtl.config.section import Count, Fraction, Section


class ZooSource(Section):
    """Scenes composed of real digits, animal silhouettes and photographs from registry packages."""

    type: Literal["zoo"]
    num_train: Count = Field(description="scenes in the training split")
    num_val: Count = Field(description="scenes in the validation split")
    num_test: Count = Field(description="scenes in the test split")
    image_size: Annotated[int, Field(ge=48, le=256)] = Field(default=64, description="pixels per side")


class SourcesSource(Section):
    """Three sources with one kind of label each: digits (classes), animals (classes, masks), trees (boxes)."""

    type: Literal["sources"]
    num_train: Count = Field(description="images of each source in the training split, as far as there are so many")
    num_val: Count = Field(description="images of each source in the validation split")
    num_test: Count = Field(description="images of each source in the test split")
    image_size: Annotated[int, Field(ge=48, le=256)] = Field(default=64, description="pixels per side")
    only: Literal["all", "digits", "animals", "trees"] = Field(
        default="all", description="one source alone, to compare with the mixture"
    )


Source = Annotated[ZooSource | SourcesSource | FilesSource, Field(discriminator="type")]


class DataConfig(Section):
    """Where images come from and what is done to them before training."""

    source: Source
    operations: tuple[Operation, ...] = Field(description="applied in this order")
    shard_size: Count = Field(default=2048, description="samples per shard")
    codec: Codec = Field(default=RawCodec(type="raw"), description="how prepared images lie in their shards")
    max_bad_fraction: Fraction = Field(
        default=0.0,
        description="share of images, or of annotations, that cannot be used, above which prepare fails; below, they are left out "
        "and reported",
    )
    update_imports: bool = Field(
        default=False,
        description="before every run, `dvc update` of what `dvc import-url` and `dvc import` brought below data/",
    )

    @model_validator(mode="after")
    def _order(self) -> DataConfig:
        types = [operation.type for operation in self.operations]
        if not types or types[0] != "decode":
            raise ValueError(f"operations must begin with decode, found {types[:1]}")
        for once in ("decode", "orient", "standardize"):
            if types.count(once) > 1:
                raise ValueError(f"operations has {once} {types.count(once)} times; once is allowed")
        if "standardize" in types and types[-1] != "standardize":
            raise ValueError("standardize must be the last operation: training applies it to stored bytes")
        if "orient" in types and types.index("orient") != 1:
            raise ValueError("orient must follow decode: EXIF belongs to the encoded file")
        if "resize" not in types:
            raise ValueError("operations needs a resize: a batch has one size")
        return self
