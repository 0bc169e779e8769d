"""Formats with a row or a record per image or object, any targets of which are columns."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mtl.config.files.base import Column, FileSet, TargetName

BoxForm = Literal["xyxy", "xywh", "cxcywh"]
"""Four numbers of a box: two corners; the left upper corner, width and height; or the centre, width and height."""


class Tabular(FileSet):
    """What tables have: CSV, TSV, Parquet, or JSON lines."""

    table: str = Field(default="table.csv", description="the file, inside path: .csv, .tsv, .parquet, .jsonl or .json")
    image: str = Field(default="image", description="the column of the images' paths, names or ids")
    images: str = Field(
        default="",
        description="folder inside path that they are relative to; looked for if empty, as paths and as names",
    )
    header: bool = Field(
        default=True, description="the first line has the columns' names; otherwise they are called 1, 2, 3 …"
    )
    delimiter: Annotated[str, Field(max_length=1)] = Field(
        default="", description="between cells; a comma, semicolon, tab or bar is found in the header if empty"
    )
    encoding: str = Field(default="", description="e.g. latin-1; UTF-8, or what a byte order mark says, if empty")
    decimal: Literal["", ".", ","] = Field(
        default="", description="the mark before a number's decimals; if empty, a comma is one where it can be no other"
    )
    split: str = Field(
        default="", description="the column that says train, val or test; the table's name or folder says it if empty"
    )
    group: str = Field(default="", description="the column of what must stay in one split, e.g. a patient")
    time: str = Field(default="", description="the column of the time, ISO 8601")
    slices: tuple[str, ...] = Field(default=(), description="columns by which results are told apart")


class TableSet(Tabular):
    """A CSV, Parquet or JSONL file with a row per image and any targets as columns; an empty cell is an absent target."""

    format: Literal["table"]
    targets: dict[TargetName, Column] = Field(description="target → column; none for images without labels")


class ClassListSet(FileSet):
    """Text files with a line per image: its name, and the number of its class or classes; as ImageNet, Caffe and MMPretrain have them."""

    format: Literal["class_list"]
    lists: tuple[str, ...] = Field(
        default=(),
        description="the files, inside path; those that are called as splits are, train.txt, val_list.txt …, if empty",
    )
    images: str = Field(default="", description="folder that names are relative to; they are looked for if empty")
    names: str = Field(
        default="",
        description="the file of the classes' names, a line per class, e.g. synsets.txt; numbers are names if empty",
    )
    first: Literal[0, 1] = Field(default=0, description="the number of the first class, where `names` does not say it")
    target: TargetName = Field(default="label", description="the target of the classes")
    kind: Literal["label", "labels"] = Field(
        default="label", description="labels: a line may have any number of classes"
    )
    classes: tuple[str, ...] = Field(
        default=(),
        description="those of `names` to take, in order; if it is empty, the names in the order of the numbers",
    )


class BoxTableSet(Tabular):
    """Boxes as rows of a table: RetinaNet's, DeepForest's, TensorFlow's, Open Images' and other CSV files."""

    format: Literal["box_table"]
    image: str = Field(default="", description="the column of the images' paths, names or ids; by its name if empty")
    box: tuple[str, ...] = Field(
        default=(), description="four columns, or one of a list of four numbers; by their names if empty"
    )
    form: BoxForm | None = Field(
        default=None,
        description="what the four are: two corners, the left upper corner and the size, or the centre and the size; by the "
        "columns' names, or if only one can be, by their values, if null",
    )
    relative: bool | None = Field(
        default=None, description="shares of the picture's sides, not pixels; by the values if null"
    )
    label: str = Field(default="", description="the column of the classes; by its name if empty")
    boxes: TargetName = Field(default="objects", description="the target of the boxes")
    classes: tuple[str, ...] = Field(
        default=(), description="class names in order; all found, sorted, if empty. One, if no column says the class"
    )
    names: str = Field(
        default="", description="a table, inside path, of the labels' codes and names, e.g. class-descriptions.csv"
    )
    crowd: str = Field(default="", description="the column that marks a box of many objects, e.g. IsGroupOf")
    size: tuple[str, ...] = Field(
        default=(), description="two columns, of the width and height of the picture that was annotated"
    )


class HuggingFaceSet(FileSet):
    """A data set of Hugging Face `datasets`: saved to disk (Arrow), its Parquet files, or images with metadata.csv or .jsonl."""

    format: Literal["huggingface"]
    image: str = Field(default="", description="the column of the images; the only one that can be if empty")
    targets: dict[TargetName, Annotated[str, Field(min_length=1)] | Column] = Field(
        description="target → column: ClassLabel, text, number, image (mask) or objects; or a column with its kind and classes"
    )
    boxes: BoxForm | None = Field(
        default=None,
        description="what the four numbers of a box are; if null, by the values, and refused where they leave a choice",
    )
    relative: bool | None = Field(
        default=None, description="shares of the picture's sides, not pixels; by the values if null"
    )
    category: str = Field(default="", description="the field of a box's class; the only one that can be if empty")
    group: str = Field(default="", description="the column of what must stay in one split, e.g. a patient")
    time: str = Field(default="", description="the column of the time, ISO 8601")


class WebDatasetSet(FileSet):
    """WebDataset tar files: members of one key are one sample."""

    format: Literal["webdataset"]
    image: str = Field(default="", description="the images' extension; the only one that is no target if empty")
    targets: dict[TargetName, Column] = Field(
        description="target → its extension (`column`), e.g. cls, txt or seg.png; `json:key` is a key of the json member"
    )
    group: str = Field(default="", description="the member of what must stay in one split, e.g. json:patient")
    time: str = Field(default="", description="the member of the time, ISO 8601")
