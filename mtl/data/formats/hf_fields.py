"""Columns of objects of a Hugging Face data set: which field has the boxes, and which says their class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mtl.data.formats.hf_features import kind_of, named_classes
from mtl.errors import DataError

NAMES = (
    "category",
    "categories",
    "categoryname",
    "categoryid",
    "categoryids",
    "class",
    "classes",
    "classname",
    "classlabel",
    "classid",
    "label",
    "labels",
    "labelname",
    "labelid",
    "name",
    "names",
)


@dataclass(frozen=True)
class Fields:
    """Names of the fields of objects; empty where there is none. columns: the fields are columns of the rows themselves."""

    box: str
    category: str
    classes: tuple[str, ...]
    area: str = ""
    crowd: str = ""
    columns: bool = False


def object_fields(column: str, features: Mapping[str, Any], category: str, declared: tuple[str, ...]) -> Fields | None:
    """The fields of a column of objects, or of one of boxes beside one of classes; None if it is neither.

    Raises:
        DataError: which field says the class cannot be told.
    """
    fields, beside = fields_of(features[column]), False
    if not box_field(fields):
        kind = kind_of(features[column])
        if "box" not in column.lower() or kind not in ("list of list of real", "list of list of whole"):
            return None
        lists = {n: f.feature for n, f in features.items() if kind_of(f).startswith("list of ")}
        fields, beside = {column: lists[column], **{n: f for n, f in lists.items() if n != column}}, True
    box = column if beside else box_field(fields)
    chosen = category or _category(column, fields, box, declared)
    if chosen and chosen not in fields:
        raise DataError(f"{column} has no field {chosen}", found=f"it has {sorted(fields)}", fix="correct `category`")
    classes = named_classes(fields[chosen]) if chosen else ()

    def optional(name: str) -> str:
        return name if name in fields else ""

    return Fields(box, chosen, classes, optional("area"), optional("iscrowd"), beside)


def _category(column: str, fields: Mapping[str, object], box: str, declared: tuple[str, ...]) -> str:
    """The field that says the class: the only one of declared classes; else by its name, text before numbers."""

    def is_named(name: str) -> bool:
        return name.lower().replace("_", "").replace("-", "") in NAMES

    kinds = {name: kind_of(feature) for name, feature in fields.items() if name != box}
    choices = (
        [name for name, kind in kinds.items() if kind == "classes"],
        [name for name, kind in kinds.items() if kind == "text" and is_named(name)],
        [name for name, kind in kinds.items() if kind == "whole" and is_named(name)],
        [name for name, kind in kinds.items() if kind == "text"],
    )
    found = next((names for names in choices if names), [])
    if len(found) == 1 or (not found and len(declared) == 1):
        return found[0] if found else ""
    what = f"which field of {column} says the class, " + ("several could" if found else "none is called so")
    fix = "declare `category`; of a single class, declare it: {column: …, classes: [name]}"
    raise DataError(what, found=", ".join(found or sorted(kinds)), fix=fix)


def fields_of(feature: object) -> dict[str, object]:
    """Field → what it is, of a struct of lists or a list of structs; nothing of anything else."""
    inner = getattr(feature, "feature", None)
    if isinstance(inner, dict):
        return dict(inner)
    return {n: getattr(f, "feature", f) for n, f in feature.items()} if isinstance(feature, dict) else {}


def box_field(fields: Mapping[str, object]) -> str:
    """The field of boxes: lists of numbers, by their name; nothing if there is none."""
    names = [n for n, f in fields.items() if "box" in n.lower() and kind_of(f) in ("list of real", "list of whole")]
    return names[0] if len(names) == 1 else "bbox" if "bbox" in names else ""
