"""What sets of every format have."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mtl.config.section import Positive, Section

TargetName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class FileSet(Section):
    """What every format has."""

    path: str = Field(description="folder, archive or URL; relative to the repository's root")
    id_prefix: str = Field(default="", description="put before every image id: sets with one id are one image")
    licence: str = Field(default="unknown", description="kept in the lineage of every model")
    ignore: tuple[str, ...] = Field(
        default=(), description="files that are no part of the set, as .gitignore has them: the account says so of them"
    )


class Column(Section):
    """A column of a table as a target."""

    column: str
    kind: Literal["label", "labels", "value", "mask", "depth"] = Field(
        description="mask, depth: the cell is a file's path"
    )
    classes: tuple[str, ...] = Field(default=(), description="the cell's values in order; all found, sorted, if empty")
    separator: str = Field(default="|", description="between the labels in a cell of kind labels")
    unit: str = Field(default="", description="of a value or a depth")
    scale: Positive = Field(default=1.0, description="depth of one step of the 16-bit PNG, in `unit`")
