"""What a table of splits has placed: its images, and what belongs to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mtl.config.files import StratifiedSplit
from mtl.data.raw.groups import COPIES, Image, unit_of
from mtl.errors import DataError

NAMED = 5
"""Groups that a message names."""


@dataclass(frozen=True)
class Row:
    """One row of a table of splits. `group`: what the image was in when it was placed; empty: nothing."""

    id: str
    split: str
    group: str = ""


class Placements:
    """What a table of splits says of images, and of the units (groups, copies) that its images belong to.

    Raises:
        DataError: two images of one unit, both in `everything`, are in different splits.
    """

    def __init__(self, settings: StratifiedSplit, rows: Sequence[Row], everything: Iterable[Image]) -> None:
        self.settings = settings
        self.by_id = {row.id: row.split for row in rows}
        present: dict[str, dict[str, list[str]]] = {}
        gone: dict[str, dict[str, list[str]]] = {}
        images = {image.id: image for image in everything if image.id in self.by_id}
        for row in rows:
            unit = self._unit(images.get(row.id, _remembered(row)))
            if unit is not None:
                side = present if row.id in images else gone
                side.setdefault(unit, {}).setdefault(row.split, []).append(row.id)
        self._by_unit = gone | present
        _refuse_divided(settings.table, present)

    def split(self, image: Image) -> str | None:
        """The split of its row, or of what is placed with it; None if the table has neither.

        Raises:
            DataError: rows of its unit, of images that are gone, are in different splits.
        """
        if image.id in self.by_id:
            return self.by_id[image.id]
        known = self._by_unit.get(unit_of(image, self.settings), {})
        if len(known) > 1:
            _refuse_divided(self.settings.table, {unit_of(image, self.settings): known})
        return next(iter(known), None)

    def _unit(self, image: Image) -> str | None:
        """None of an image that is gone and was in no group: its content is not known; nor where its id has none."""
        try:
            unit = unit_of(image, self.settings)
        except DataError:
            return None
        return None if unit == "image\0" else unit


def _remembered(row: Row) -> Image:
    """An image that is gone, with the group or the copies that it had."""
    if row.group.startswith(COPIES):
        return Image(row.id, row.group.removeprefix(COPIES))
    return Image(row.id, content="", group=row.group or None)


def _refuse_divided(table: str, units: Mapping[str, Mapping[str, list[str]]]) -> None:
    divided = {unit: splits for unit, splits in units.items() if len(splits) > 1}
    if divided:
        lines = [
            f"{unit.partition(chr(0))[2]}: "
            + ", ".join(f"{ids[0]} in {split}" for split, ids in sorted(splits.items()))
            for unit, splits in sorted(divided.items())[:NAMED]
        ]
        raise DataError(
            f"{table} has {len(divided)} group(s) in several splits",
            found="; ".join(lines) + (" …" if len(divided) > NAMED else ""),
            fix="remove the rows of these groups, or those of one split, and run mtl data split",
        )
