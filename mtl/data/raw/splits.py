"""Which image goes to which split. Except by a table or a date that is declared, an image's place depends on nothing but
itself, or the group that it belongs to: new images never move an old one.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from pathlib import Path

from mtl.config.files import FoldsSplit, GivenSplit, HashedSplit, RandomSplit, StratifiedSplit, TimeSplit
from mtl.data.raw.groups import Image, unit_of
from mtl.data.raw.placements import Placements, Row
from mtl.data.spec import SPLITS
from mtl.errors import DataError
from mtl.storage import atomic
from mtl.storage.csv_cells import as_cell, from_cell

AnySplit = RandomSplit | StratifiedSplit | FoldsSplit | TimeSplit | GivenSplit


def splitter(settings: AnySplit, everything: Iterable[Image] = ()) -> Callable[[Image], str]:
    """A function of one image.

    Args:
        everything: the data set, so that a table of splits is known to have placed the groups of its images.

    Raises:
        DataError: the table of splits cannot be read, or has a group in two splits; from the function: the image does
            not say what is needed, or its group lies in two splits of the table.
    """
    if isinstance(settings, GivenSplit):
        has_val = any(image.split == "val" for image in everything)
        return lambda image: _given(image, settings, draws=not has_val)
    if isinstance(settings, TimeSplit):
        return lambda image: _by_time(image, settings)
    if isinstance(settings, FoldsSplit):
        return lambda image: _fold(image, settings)
    if isinstance(settings, StratifiedSplit):
        table = Placements(settings, read_rows(Path(settings.table)), everything)
        return lambda image: table.split(image) or by_hash(image, settings)
    return lambda image: by_hash(image, settings)


def position(image: Image, settings: HashedSplit | GivenSplit, purpose: str = "split") -> float:
    """A number from 0 to 1 that the image's group, or its content, always has."""
    text = f"{purpose}\0{settings.salt}\0{unit_of(image, settings)}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48


def by_hash(image: Image, settings: HashedSplit) -> str:
    """The split whose share of 0 to 1 the image's position lies in."""
    place = position(image, settings)
    if place < settings.test:
        return "test"
    return "val" if place < settings.test + settings.val else "train"


def _fold(image: Image, settings: FoldsSplit) -> str:
    if position(image, settings) < settings.test:
        return "test"
    return "val" if int(position(image, settings, "fold") * settings.folds) == settings.index else "train"


def _given(image: Image, settings: GivenSplit, *, draws: bool) -> str:
    """As its set says; of training images some are drawn for validation where no set has any."""
    if image.split is None:
        raise DataError(
            "no set says its split", fix="name the folders train, val and test, or choose another split.type"
        )
    drawn = draws and image.split == "train" and position(image, settings) < settings.val
    return "val" if drawn else image.split


def _by_time(image: Image, settings: TimeSplit) -> str:
    day = _day(image, settings)
    if day >= settings.test_from:
        return "test"
    return "val" if day >= settings.val_from else "train"


def _day(image: Image, settings: TimeSplit) -> date:
    try:
        if image.time is not None:
            return datetime.fromisoformat(image.time).date()
        found = re.search(settings.pattern, image.id)
        if found is not None:
            return date(*(int(part) for part in found.groups()))
    except (ValueError, TypeError) as error:
        raise DataError("its time is no date", found=f"{image.time or image.id}: {error}", fix="ISO 8601") from error
    raise DataError("no set says its time, and its id has no date", found=image.id, fix="set split.pattern")


def read_rows(path: Path) -> list[Row]:
    """The rows, an id once. A missing table is an empty one.

    Raises:
        DataError: it has other columns, a split that is none, or an id in two splits.
    """
    if not path.exists():
        return []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is no CSV", found=str(error)) from error
    found: dict[str, Row] = {}
    for row in rows:
        if not row.get("id") or row.get("split") not in SPLITS:
            fix = f"split is one of {', '.join(SPLITS)}"
            raise DataError(f"{path}: a row is not id,split", found=str(row), fix=fix)
        made = Row(from_cell(row["id"]), row["split"], from_cell(row.get("group") or ""))
        if found.setdefault(made.id, made).split != made.split:
            raise DataError(f"{path}: {made.id} is in two splits", found=f"{found[made.id].split}, {made.split}")
    return list(found.values())


def read_table(path: Path) -> dict[str, str]:
    """id → split; errors as of `read_rows`."""
    return {row.id: row.split for row in read_rows(path)}


def write_table(path: Path, table: Mapping[str, str], groups: Mapping[str, str] | None = None) -> None:
    """Write id → split, sorted, so that a commit shows what is new; and what group an image is in, if any is in one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    known = {found: group for found, group in (groups or {}).items() if group}
    with atomic.replacing(path) as scratch, scratch.open("w", encoding="utf-8", newline="") as file:
        names = "".join(
            [*table, *known.values()]
        )  # csv takes a carriage return for the end of a row, and does not quote it
        rows = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL if "\r" in names else csv.QUOTE_MINIMAL)
        rows.writerow(["id", "split", *(["group"] if known else [])])
        lines = ([i, table[i], *([known.get(i, "")] if known else [])] for i in sorted(table))
        rows.writerows([as_cell(cell) for cell in line] for line in lines)
