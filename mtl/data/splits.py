"""Which image goes to which split. Except by a table or a date that is declared, an image's place depends on nothing but
itself: new images never move an old one."""

from __future__ import annotations

import csv
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from mtl.config import DataError
from mtl.config.files import FoldsSplit, GivenSplit, HashedSplit, RandomSplit, StratifiedSplit, TimeSplit
from mtl.data.spec import SPLITS

AnySplit = RandomSplit | StratifiedSplit | FoldsSplit | TimeSplit | GivenSplit


@dataclass(frozen=True)
class Image:
    """What a split may depend on. `content` is the digest of its bytes: copies of an image share a place."""

    id: str
    content: str
    split: str | None = None
    group: str | None = None
    time: str | None = None


def splitter(settings: AnySplit) -> Callable[[Image], str]:
    """A function of one image.

    Raises:
        DataError: the table of splits cannot be read; from the function: the image does not say what is needed.
    """
    if isinstance(settings, GivenSplit):
        return _given
    if isinstance(settings, TimeSplit):
        return lambda image: _by_time(image, settings)
    if isinstance(settings, FoldsSplit):
        return lambda image: _fold(image, settings)
    if isinstance(settings, StratifiedSplit):
        table = read_table(Path(settings.table))
        return lambda image: table.get(image.id) or by_hash(image, settings)
    return lambda image: by_hash(image, settings)


def position(image: Image, settings: HashedSplit, purpose: str = "split") -> float:
    """A number from 0 to 1 that the image's group, or its content, always has."""
    group = image.group
    if group is None and settings.group:
        found = re.search(settings.group, image.id)
        if found is None or found.group(1) is None:
            raise DataError("its id has no group", found=f"{image.id!r} against {settings.group!r}")
        group = found.group(1)
    text = f"{purpose}\0{settings.salt}\0" + (f"group\0{group}" if group is not None else f"image\0{image.content}")
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


def _given(image: Image) -> str:
    if image.split is None:
        raise DataError(
            "no set says its split", fix="name the folders train, val and test, or choose another split.type"
        )
    return image.split


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


def read_table(path: Path) -> dict[str, str]:
    """id → split.

    Raises:
        DataError: it has other columns, or a split that is none. A missing table is an empty one.
    """
    if not path.exists():
        return {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is no CSV", found=str(error)) from error
    bad = [row for row in rows if not row.get("id") or row.get("split") not in SPLITS]
    if bad:
        raise DataError(f"{path}: a row is not id,split", found=str(bad[0]), fix=f"split is one of {', '.join(SPLITS)}")
    return {row["id"]: row["split"] for row in rows}


def write_table(path: Path, table: Mapping[str, str]) -> None:
    """Write id → split, sorted, so that a commit shows what is new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["id", "split"])
        rows.writerows(sorted(table.items()))


def stratify(
    units: Sequence[tuple[str, Counter[str]]], known: Mapping[str, str], val: float, test: float
) -> dict[str, str]:
    """A split for every unit that has none, so that every label comes near its share in each split.

    Iterative stratification (Sechidis, Tsoumakas & Vlahavas 2011): the label that fewest units are left of goes first,
    each of its units to the split that lacks it most.

    Args:
        units: an image's id, or a group's name, with how often it has each label; in an order that breaks ties.
        known: units that are placed already; they stay and count.
    """
    shares = {"train": 1.0 - val - test, "val": val, "test": test}
    totals: Counter[str] = Counter()
    for _, labels in units:
        totals.update(labels)
        totals[""] += 1
    lacking = {split: {label: share * count for label, count in totals.items()} for split, share in shares.items()}
    result = dict(known)
    waiting = {name: labels for name, labels in units if name not in known}
    for name, labels in units:
        if name in known:
            _take(lacking[known[name]], labels)
    left = Counter({label: sum(labels[label] > 0 for labels in waiting.values()) for label in totals if label})
    order = {name: place for place, (name, _) in enumerate(units)}
    holders: dict[str, list[str]] = {label: [] for label in left}
    for name in waiting:
        for label in waiting[name]:
            holders[label].append(name)
    while waiting:
        rarest = min((label for label in left if left[label] > 0), key=lambda label: (left[label], label), default="")
        names = [n for n in holders.get(rarest, list(waiting)) if n in waiting] if rarest else list(waiting)
        for name in sorted(names, key=order.__getitem__):
            labels = waiting.pop(name)
            chosen = max(SPLITS, key=lambda s: (lacking[s].get(rarest, 0.0), lacking[s][""], shares[s]))
            result[name] = chosen
            _take(lacking[chosen], labels)
            left.subtract(label for label in labels if labels[label] > 0)
    return result


def _take(lacking: dict[str, float], labels: Counter[str]) -> None:
    lacking[""] -= 1
    for label, count in labels.items():
        lacking[label] -= count
