"""Formats with a row or a record an image, any targets of which are columns."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mtl.config.files.base import Column, FileSet, TargetName


class TableSet(FileSet):
    """A CSV or Parquet file with a row an image and any targets as columns; an empty cell is an absent target."""

    format: Literal["table"]
    table: str = Field(default="table.csv", description="the file, inside path")
    image: str = Field(default="image", description="the column of the images' paths, inside path")
    targets: dict[TargetName, Column]
    split: str = Field(default="", description="the column that says train, val or test")
    group: str = Field(default="", description="the column of what must stay in one split, e.g. a patient")
    time: str = Field(default="", description="the column of the time, ISO 8601")
    slices: tuple[str, ...] = Field(default=(), description="columns by which results are told apart")


class HuggingFaceSet(FileSet):
    """A data set of Hugging Face `datasets`: saved to disk (Arrow), or its Parquet files."""

    format: Literal["huggingface"]
    image: str = Field(default="image", description="the column of the images")
    targets: dict[TargetName, str] = Field(description="target → column: ClassLabel, number, image (mask) or objects")


class WebDatasetSet(FileSet):
    """WebDataset tar files: members of one key are one sample."""

    format: Literal["webdataset"]
    targets: dict[TargetName, Column] = Field(
        description="target → its extension (`column`), e.g. cls, txt or seg.png; `json:key` is a key of the json member"
    )
