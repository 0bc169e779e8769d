"""What people said of a whole picture: choices, tags, flags and numbers, as targets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from mtl.config.files import Column
from mtl.data.formats.documents import number, shown
from mtl.data.spec import TargetSpec
from mtl.errors import DataError

Answer = list[str] | float
"""Names, or a number."""


def answer_specs(columns: Mapping[str, Column], answers: Iterable[Mapping[str, Answer]]) -> dict[str, TargetSpec]:
    """The targets of answers; their classes are those declared, or all that were given, sorted."""
    given: dict[str, set[str]] = {name: set() for name in columns}
    for found in answers:
        for name, answer in found.items():
            if isinstance(answer, list):
                given[name].update(answer)
    specs: dict[str, TargetSpec] = {}
    for name, column in columns.items():
        if column.kind not in ("label", "labels", "value"):
            raise DataError(f"{name}: an answer is no {column.kind}", fix="kind: label, labels or value")
        classes = column.classes or tuple(sorted(given[name], key=_by_value))
        specs[name] = TargetSpec(kind=column.kind, classes=() if column.kind == "value" else classes, unit=column.unit)
    return specs


def _by_value(name: str) -> tuple[bool, int, str]:
    return (False, int(name), name) if name.isdecimal() and len(name) < 16 else (True, 0, name)


def answer_value(name: str, answer: Answer, spec: TargetSpec, notes: Counter[str]) -> Any:
    """An answer as a target's value; None if it is none of the classes, which is noted.

    Raises:
        DataError: it is no number, or there are several answers where one is wanted.
    """
    if spec.kind == "value":
        value = number(answer[0] if isinstance(answer, list) and len(answer) == 1 else answer)
        if value is None:
            raise DataError(f"{name} is no number", found=shown(answer))
        return value
    given = answer if isinstance(answer, list) else [f"{answer:g}"]
    known = [spec.classes.index(one) for one in dict.fromkeys(given) if one in spec.classes]
    if len(known) < len(set(given)):
        notes[f"answers to {name} that are none of its classes, passed over"] += 1
    if spec.kind == "labels":
        return sorted(known)
    if len(known) > 1:
        raise DataError(f"{name} has several answers where one is wanted", found=shown(given), fix="kind: labels")
    return known[0] if known else None
