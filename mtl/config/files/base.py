"""What sets of every format have."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from mtl.config.masks import ClassValue, MaskValue, check_values
from mtl.config.section import Positive, Section

TAKEN = ("id", "key", "image")
"""Columns of the raw data set itself."""


def _free(name: str) -> str:
    if name in TAKEN:
        raise ValueError(f"a target cannot be called {name}: the data set has a column of its own of this name")
    return name


TargetName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$"), AfterValidator(_free)]

MISSING = (
    "",
    "NA",
    "N/A",
    "n/a",
    "NaN",
    "nan",
    "-NaN",
    "-nan",
    "None",
    "NULL",
    "null",
    "<NA>",
    "#N/A",
    "#N/A N/A",
    "#NA",
    "1.#IND",
    "-1.#IND",
    "1.#QNAN",
    "-1.#QNAN",
    "NaT",
    "-",
    "--",
    "?",
)
"""What tools write for a value that is not known: pandas' own list, R's NA, SQL's NULL, and dashes."""


class FileSet(Section):
    """What every format has."""

    path: str = Field(description="folder, archive or URL; relative to the repository's root")
    id_prefix: str = Field(default="", description="put before every image id: sets with one id are one image")
    licence: str = Field(default="unknown", description="kept in the lineage of every model")
    ignore: tuple[str, ...] = Field(
        default=(), description="files that are no part of the set, as .gitignore has them: the account says so of them"
    )


class Column(Section):
    """A column of a table as a target, or several columns of 0 and 1 that are a class each."""

    column: str = Field(default="", description="its name")
    columns: tuple[str, ...] = Field(
        default=(), description="instead: a column per class, 1 where the image shows it; -1, uncertain, is not known"
    )
    kind: Literal["label", "labels", "value", "mask", "depth"] = Field(
        description="mask, depth: the cell is a file's path"
    )
    classes: tuple[str, ...] = Field(default=(), description="the cell's values in order; all found, sorted, if empty")
    separator: str = Field(default="|", min_length=1, description="between the labels in a cell of kind labels")
    missing: tuple[str, ...] = Field(
        default=MISSING, description="cells that say that nothing is known; a declared class never does"
    )
    also_missing: tuple[str, ...] = Field(default=(), description="further ones, e.g. -1")
    unit: str = Field(default="", description="of a value or a depth")
    scale: Positive = Field(default=1.0, description="depth of one step of the 16-bit PNG, in `unit`")
    values: tuple[ClassValue, ...] = Field(
        default=(), description="what a mask's pixels have for each class, as `mask_pairs` has it; 0, 1, 2 … if empty"
    )
    ignored: tuple[MaskValue, ...] = Field(default=(), description="a mask's values whose pixels are not known")

    @model_validator(mode="after")
    def _masks(self) -> Column:
        if (self.values or self.ignored) and self.kind != "mask":
            raise ValueError(f"values and ignored are of masks, found kind {self.kind}")
        check_values(self.values, self.ignored, len(self.classes))
        return self

    @model_validator(mode="after")
    def _one(self) -> Column:
        if bool(self.column) == bool(self.columns):
            raise ValueError("a target is one `column`, or several `columns`")
        if self.columns and self.kind not in ("label", "labels"):
            raise ValueError(f"several columns are of kind label or labels, found {self.kind}")
        if self.columns and self.classes and len(self.classes) != len(self.columns):
            raise ValueError(f"{len(self.columns)} columns have {len(self.classes)} classes; one each, in their order")
        check_values(self.values, self.ignored, len(self.classes))
        return self

    @cached_property
    def unknown(self) -> frozenset[str]:
        """Cells that say that nothing is known."""
        return frozenset([*self.missing, *self.also_missing]) - {*self.classes}

    @property
    def names(self) -> tuple[str, ...]:
        """All columns that it is read from."""
        return self.columns or (self.column,)
