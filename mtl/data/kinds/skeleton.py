"""The points of objects: their names, and what COCO's files say of them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import Field, model_validator

from mtl.config.section import Section
from mtl.data.spec import TargetSpec
from mtl.errors import DataError

BESIDE = 1.0
"""Pixels by which a point may lie beside its picture: rounding."""


class Skeleton(Section):
    """The points of an object."""

    points: tuple[str, ...] = Field(min_length=1, description="their names")
    edges: tuple[tuple[int, int], ...] = Field(
        default=(), description="pairs that are joined by a line, counted from 0"
    )

    @model_validator(mode="after")
    def _whole(self) -> Skeleton:
        if len({*self.points}) < len(self.points):
            raise ValueError(f"two points have one name: {', '.join(self.points)}")
        if not all(0 <= end < len(self.points) for edge in self.edges for end in edge):
            raise ValueError(f"a line ends at no point; there are {len(self.points)}")
        if lacking := [name for name in self.points if mirrored(name) not in self.points]:
            raise ValueError(f"{lacking[0]} has no twin {mirrored(lacking[0])}, which it is in a mirror")
        return self

    @property
    def twins(self) -> list[int]:
        """Which point each is in a mirror: left and right change places."""
        return [self.points.index(mirrored(name)) for name in self.points]


def mirrored(name: str) -> str:
    """The name with left and right exchanged, also as l and r that stand alone."""
    other = {"left": "right", "right": "left", "l": "r", "r": "l"}

    def exchanged(found: re.Match[str]) -> str:
        word = other[found[0].lower()]
        return word.upper() if found[0].isupper() else word.capitalize() if found[0][0].isupper() else word

    return re.sub(r"left|right|(?<![a-z])[lr](?![a-z])", exchanged, name, flags=re.IGNORECASE)


def skeleton_of(spec: TargetSpec) -> Skeleton:
    """The points of a target's objects."""
    return Skeleton.model_validate(spec.facts, strict=False)


def skeleton_of_category(category: Mapping[str, Any]) -> Skeleton:
    """Of a category of COCO's, whose lines are counted from 1."""
    names, lines = category["keypoints"], category.get("skeleton") or []
    try:
        edges = [[end - 1 for end in line] for line in lines]
        return Skeleton.model_validate({"points": [str(name) for name in names], "edges": edges}, strict=False)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"the keypoints of the category {category['name']} are none",
            found=str(error).replace("\n", "; "),
            fix="`keypoints` is a list of names, `skeleton` a list of pairs of their numbers, from 1",
        ) from error


def triples(annotation: Mapping[str, Any], number: int) -> list[list[float]]:
    """x, y, visibility of each point; of an object without any, that nothing is known."""
    found = annotation.get("keypoints")
    if not found:
        return [[0.0, 0.0, 0.0] for _ in range(number)]
    sound = isinstance(found, list) and all(isinstance(v, int | float) and math.isfinite(v) for v in found)
    if not sound or len(found) != 3 * number:
        size = f"{len(found)} values" if isinstance(found, list) else type(found).__name__
        raise DataError(
            "keypoints are not three numbers per point", found=size, fix=f"x, y, visibility of {number} points"
        )
    return [[float(v) for v in found[i : i + 3]] for i in range(0, len(found), 3)]


def check_labelled(annotation: Mapping[str, Any], seen: list[float], points: np.ndarray, size: tuple[int, int]) -> None:
    """Refuse marks of visibility that are none, a number of labelled points that is another, and points outside.

    Args:
        seen: visibility of each point: 0, 1 or 2.
        points: float [points, 2], x and y.
        size: width and height.

    Raises:
        DataError: which it is.
    """
    if strange := [mark for mark in seen if mark not in (0, 1, 2)]:
        raise DataError("a point's visibility is unknown", found=f"{strange[0]:g}", fix="0, 1 or 2")
    labelled, said = sum(mark > 0 for mark in seen), annotation.get("num_keypoints", None)
    if annotation.get("keypoints") and said is not None and said != labelled:
        raise DataError(
            "num_keypoints is not the number of its labelled points", found=f"{said}, {labelled} are labelled"
        )
    there = points[np.array(seen) > 0]
    if len(there) and not (there.min() >= -BESIDE and (there <= np.array(size) + BESIDE).all()):
        raise DataError(
            f"a labelled point lies outside the picture of {size[0]}×{size[1]}", found=str(there.round(1).tolist())
        )
