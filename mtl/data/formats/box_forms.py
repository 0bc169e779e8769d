"""What the four numbers of a box mean, where nothing says it: what can be told from the numbers themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from mtl.errors import DataError

Corners = tuple[float, float, float, float]

FORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "xyxy": lambda b: b,
    "xywh": lambda b: np.hstack([b[:, :2], b[:, :2] + b[:, 2:]]),
    "cxcywh": lambda b: np.hstack([b[:, :2] - b[:, 2:] / 2, b[:, :2] + b[:, 2:] / 2]),
}
"""Form → from rows of four numbers to x1, y1, x2, y2."""
WORDS = {
    "xyxy": "x1, y1, x2, y2",
    "xywh": "x, y, width, height",
    "cxcywh": "centre, width, height",
}
FEW_WRONG = 0.02
"""The share of boxes that may be wrong in themselves, or reach beyond their picture, in a form that is the right one."""
BEYOND = 0.02
"""By how much of a side a box may reach beyond its picture: rounding, not another form."""

ENOUGH = 10
"""Different boxes whose spread says something."""


class Form(NamedTuple):
    """How boxes are written. relative: in shares of the picture's sides."""

    form: str
    relative: bool

    @property
    def words(self) -> str:
        """As a person says it."""
        return f"{WORDS[self.form]} in {'shares of the sides' if self.relative else 'pixels'}"

    def corners(self, numbers: Sequence[float]) -> Corners:
        """x1, y1, x2, y2 of four numbers."""
        a, b, c, d = numbers
        if self.form == "xyxy":
            return a, b, c, d
        return (a, b, a + c, b + d) if self.form == "xywh" else (a - c / 2, b - d / 2, a + c / 2, b + d / 2)


class Sample(NamedTuple):
    """Boxes that are looked at: four numbers each [n, 4], width and height of their pictures [n, 2], and their areas, if said."""

    boxes: np.ndarray
    sizes: np.ndarray
    areas: np.ndarray | None = None


def are_relative(boxes: np.ndarray) -> bool:
    """Whether numbers are shares: none is above 1, but for rounding. A box of pixels would lie in the picture's first one."""
    finite = boxes[np.isfinite(boxes)]
    return bool(finite.size) and float(finite.max()) <= 1.0 + BEYOND


def fits(sample: Sample, form: Form) -> bool:
    """Whether the boxes, but for a few, are sound in this form."""
    return _share_wrong(sample, form) <= FEW_WRONG


def fitting(sample: Sample, relative: bool) -> list[Form]:
    """Forms in which the boxes are sound. A centre in pixels is one only if nothing else is: nobody writes it."""
    found = [form for name in FORMS if fits(sample, form := Form(name, relative))]
    return [form for form in found if relative or len(found) == 1 or form.form != "cxcywh"]


def find_form(sample: Sample, form: str | None, relative: bool | None) -> Form:
    """The form that is declared, or the only one in which the boxes lie in their pictures and are spread as boxes are.

    Raises:
        DataError: several could be meant, or none.
    """
    shares = are_relative(sample.boxes) if relative is None else relative
    if form is not None:
        return Form(form, shares)
    found = _by_spread(sample.boxes, fitting(sample, shares))
    if len(found) == 1:
        return found[0]
    words = " or ".join(f"{one.form} ({one.words})" for one in found)
    raise DataError(
        "what the four numbers of a box are, nothing says",
        found=f"they may be {words}" if found else f"in none of {', '.join(FORMS)} do they lie in their pictures",
        fix=f"declare it: one of {', '.join(FORMS)}",
    )


def _by_spread(boxes: np.ndarray, forms: list[Form]) -> list[Form]:
    """Of forms that are all possible, those that the spread of the numbers speaks for, if it speaks for corners or sizes at all.

    Wherever objects are, a right corner moves with the left one: their difference varies less than it does alone. A width
    does not: the difference varies more, by as much as the left side does. Half of that, on both axes, is asked for.
    """
    distinct = np.unique(boxes, axis=0)
    if len(forms) < 2 or len(distinct) < ENOUGH:
        return forms
    starts, ends = distinct[:, :2], distinct[:, 2:]
    more = (ends - starts).var(0) - ends.var(0)
    enough = 0.5 * starts.var(0)
    if (starts.var(0) == 0).any():
        return forms
    if (more > enough).all():
        return [form for form in forms if form.form != "xyxy"]
    return [form for form in forms if form.form == "xyxy"] if (more < -enough).all() else forms


def _share_wrong(sample: Sample, form: Form) -> float:
    """The share of boxes that have no area, do not lie in their picture, or have another area than is said of them."""
    if not len(sample.boxes):
        return 0.0
    corners = FORMS[form.form](sample.boxes)
    sizes = np.ones_like(sample.sizes) if form.relative else sample.sizes
    width, height = corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1]
    margin = BEYOND * sizes + (0.0 if form.relative else 1.0)
    bad = ~((width > 0) & (height > 0))
    bad |= (corners[:, :2] < -margin).any(1) | (corners[:, 2:] > sizes + margin).any(1)
    if sample.areas is not None:
        scale = sample.sizes.prod(1) if form.relative else 1.0
        said, area = sample.areas, width * height
        near = np.isclose(said, area, rtol=0.02, atol=1.0) | np.isclose(said, area * scale, rtol=0.02, atol=1.0)
        bad |= np.isfinite(said) & (said > 0) & ~near
    return float(bad.mean())
