"""What scorers keep of samples, as bytes that travel through a bucket: arrays and JSON, nothing that runs when it is read."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mtl.evaluate.passes import Rows
from mtl.tasks.average_precision import Matches

HEAD = "head"


@dataclass(frozen=True)
class _Form:
    """A kind of row: its arrays, and it again from them."""

    kind: type[Any]
    arrays: Callable[[Any], list[np.ndarray]]
    row: Callable[..., Any]


def _numbers(found: np.ndarray) -> tuple[float, ...]:
    return tuple(found.tolist())


FORMS = {
    "number": _Form(float, lambda row: [np.array(row, np.float64)], float),
    "numbers": _Form(tuple, lambda row: [np.array(row, np.float64)], _numbers),
    "array": _Form(np.ndarray, lambda row: [row], np.asarray),
    "matches": _Form(Matches, lambda row: [row.scores, row.labels, row.hits, row.num_boxes, row.ignored], Matches),
}
"""All kinds of rows that a scorer may keep."""


def as_bytes(found: Sequence[Rows]) -> bytes:
    """Rows of passes as an npz file: of each field of a task's rows all numbers in a row, and their shapes."""
    arrays: dict[str, np.ndarray] = {}
    head: list[dict[str, Any]] = []
    for place, one in enumerate(found):
        forms: dict[str, str] = {}
        for name, rows in one.rows.items():
            known = [row for row in rows if row is not None]
            forms[name] = next(
                (form for form, of in FORMS.items() if known and isinstance(known[0], of.kind)), "number"
            )
            key = f"{place}/{name}"
            arrays[f"{key}/known"] = np.array([row is not None for row in rows], bool)
            fields = zip(*(FORMS[forms[name]].arrays(row) for row in known), strict=True)
            for number, values in enumerate(fields):
                arrays[f"{key}/{number}"] = np.concatenate([value.ravel() for value in values])
                arrays[f"{key}/{number}/shapes"] = np.array([value.shape for value in values], np.int64)
        head.append({"ids": one.ids, "not_finite": one.not_finite, "forms": forms})
    arrays[HEAD] = np.frombuffer(json.dumps(head).encode(), np.uint8)
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def from_bytes(data: bytes) -> list[Rows]:
    """The rows again."""
    found: list[Rows] = []
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        for place, one in enumerate(json.loads(arrays[HEAD].tobytes())):
            rows = {name: _rows(arrays, f"{place}/{name}", form) for name, form in one["forms"].items()}
            found.append(Rows(one["ids"], rows, one["not_finite"]))
    return found


def _rows(arrays: Any, key: str, form: str) -> list[Any]:
    known = arrays[f"{key}/known"]
    fields: list[list[np.ndarray]] = []
    while (name := f"{key}/{len(fields)}") in arrays:
        shapes = arrays[f"{name}/shapes"]
        ends = np.cumsum(shapes.prod(1, dtype=np.int64))[:-1]
        parts = np.split(arrays[name], ends)
        fields.append([part.reshape(shape) for part, shape in zip(parts, shapes.tolist(), strict=True)])
    rows = iter([FORMS[form].row(*values) for values in zip(*fields, strict=True)])
    return [next(rows) if there else None for there in known]
