"""Which columns of a Hugging Face data set are read, and as what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mtl.config.files import Column, HuggingFaceSet
from mtl.data.formats.hf_features import column_of, kind_of
from mtl.data.formats.hf_fields import Fields, object_fields
from mtl.data.formats.hf_files import features_of
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree

SIZE = ("width", "height")
"""Columns of the size of the picture that was annotated."""


@dataclass
class Plan:
    """Which columns are what. objects: target → its fields."""

    image: str
    columns: dict[str, Column]
    features: dict[str, object]
    objects: dict[str, Fields] = field(default_factory=dict[str, Fields])
    group: str = ""
    time: str = ""

    def wanted(self) -> list[str]:
        """Columns to be read."""
        names = [
            self.image,
            *(name for name in (self.group, self.time) if name),
            *(column.column for column in self.columns.values()),
        ]
        for target, fields in self.objects.items():
            beside = (fields.box, fields.category, fields.area, fields.crowd) if fields.columns else ()
            names += [name for name in beside if name] + ([*SIZE] if self.sized(target) else [])
        return list(dict.fromkeys(names))

    def sized(self, target: str) -> bool:
        """Whether the rows say how large the picture was."""
        return target in self.objects and all(kind_of(self.features.get(name)) == "whole" for name in SIZE)


def plan_of(settings: HuggingFaceSet, features: Mapping[str, object]) -> Plan:
    """What the columns that are wanted are.

    Raises:
        DataError: one is missing, or cannot be what it is to be.
    """
    image = settings.image or image_column(features)
    declared = {t: c if isinstance(c, Column) else Column(column=c, kind="label") for t, c in settings.targets.items()}
    facts = {name for name in (settings.group, settings.time) if name}
    missing = sorted({image, *facts, *(column.column for column in declared.values())} - features.keys())
    if missing:
        raise DataError("columns are missing", found=f"no {missing}; it has {sorted(features)}")
    if image in {column.column for column in declared.values()}:
        raise DataError(
            f"the column {image} has the images, and is to be a target", fix="declare `image`, or leave it out"
        )
    plan = Plan(image, {}, dict(features), group=settings.group, time=settings.time)
    for target, given in settings.targets.items():
        column = declared[target]
        fields = object_fields(column.column, features, settings.category, column.classes)
        if fields is not None:
            plan.objects[target] = fields
        plan.columns[target] = column if fields or isinstance(given, Column) else column_of(given, features[given])
    return plan


def image_column(features: Mapping[str, object]) -> str:
    """The column of the images.

    Raises:
        DataError: none can be, or several.
    """
    images = [name for name, feature in features.items() if kind_of(feature) == "image"]
    for choices in (
        ["image"] if kind_of(features.get("image")) in ("image", "bytes", "text") else [],
        images,
        [name for name, feature in features.items() if kind_of(feature) == "bytes"],
    ):
        if len(choices) == 1:
            return choices[0]
        if choices:
            fix = "declare `image`; others may be masks"
            raise DataError("which column has the images, several could", found=", ".join(choices), fix=fix)
    raise DataError("no column has images", found=f"it has {sorted(features)}", fix="declare `image`")


def check_same(plan: Plan, tree: FileTree, files: Sequence[str]) -> None:
    """What all files say of the columns."""
    for file in files[1:]:
        here = features_of(tree, file)
        different = sorted(name for name in plan.wanted() if here.get(name) != plan.features.get(name))
        if different:
            raise DataError(f"{file} says something else of {', '.join(different)} than the files before it")
