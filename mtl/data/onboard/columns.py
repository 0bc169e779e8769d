"""What the columns of a table may be targets of, by their names and cells; and why others are none."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from mtl.config.files.base import MISSING
from mtl.data.formats.cells import Cell, has_decimal_commas, mark_of, parts, whole
from mtl.data.onboard.column_roles import FILE, FOLD, GROUP, ID, Guess, is_number, plain_name, role

MOST_CLASSES = 20
"""Whole numbers of which there are more are numbers, not names of classes."""
FEW_CLASSES = 5
"""Texts of which there are more are names or descriptions, if many of them occur once."""
MOST_TAGS = 200
"""Different labels in lists above which they are words of a text."""

_CODE = re.compile(r"encoded_?pixels|(^|_)rle($|_)|segmentation|polygon|points|landmark|embedding|bbox|boxes")
_INTEGER = re.compile(r"[+-]?\d{1,18}")


def guess(columns: Mapping[str, Sequence[Cell]], together: bool = True) -> Guess:
    """What columns may be, all but those of images and maps.

    Args:
        together: columns of 0 and 1 may be one target of several labels.
    """
    found = Guess()
    marked = [name for name, cells in columns.items() if together and _is_mark(name, cells)]
    grouped = _together({name: columns[name] for name in marked}, found)
    unused: list[str] = []
    for name, cells in columns.items():
        known = [cell for cell in cells if cell not in MISSING]
        if name in grouped or not name:
            continue
        gaps = len(known) < len(cells)
        reason = "no cell has a value" if not known else role(name, known, found) or _target(name, known, gaps, found)
        if reason:
            unused.append(f"{name} ({reason})")
    unused += _doubles(columns, found)
    if not found.targets and found.group and not GROUP.search(plain_name(found.group)):
        found.add(found.group, {"column": found.group, "kind": "label"})
        unused = [reason for reason in unused if not reason.startswith(f"{found.group} (")]
        found.group = ""
    if unused:
        found.facts.append(f"columns that are no targets: {', '.join(unused)}")
    return found


def _doubles(columns: Mapping[str, Sequence[Cell]], found: Guess) -> list[str]:
    """Take away numbers that stand for the labels of another column: class_id beside class_name."""
    labels = {name: s["column"] for name, s in found.targets.items() if s["kind"] == "label" and "column" in s}
    numbers = {n: c for n, c in labels.items() if all(is_number(cell) for cell in columns[c] if cell not in MISSING)}
    gone: list[str] = []
    for name, column in numbers.items():
        for other in (c for n, c in labels.items() if n not in numbers):
            pairs = {*zip(columns[column], columns[other], strict=True)}
            if len(pairs) == len({*columns[column]}) == len({*columns[other]}) and name in found.targets:
                del found.targets[name]
                gone.append(f"{column} (the number of {other})")
    return gone


def _target(name: str, known: Sequence[Cell], gaps: bool, found: Guess) -> str:
    """Add a target; or why it is none."""
    lists = [cell for cell in known if not isinstance(cell, str)]
    texts = [cell for cell in known if isinstance(cell, str)]
    parts_of = (part for cell in lists for part in cell)
    coded = _CODE.search(plain_name(name)) or any(part[:1] == "{" for part in parts_of)
    if 2 * len(lists) >= len(known) and not coded:
        return _tags(name, known, "|", found)
    if coded or any(cell[:1] == "{" or cell[:2] == "[{" for cell in texts):
        return "it has outlines, boxes or other lists of numbers, which tables are not read for"
    distinct = {whole(cell) for cell in texts}
    if len(distinct) == 1:
        return f"always {texts[0]}"
    if all(_INTEGER.fullmatch(str(cell)) for cell in distinct):
        return _whole(name, texts, gaps, found)
    if all(is_number(cell) for cell in texts) and (has_decimal_commas(texts) or not any("," in cell for cell in texts)):
        found.add(name, {"column": name, "kind": "value"})
        return ""
    if all(is_number(cell) for cell in texts):
        return "numbers with separators of thousands, or with decimal commas: set `decimal`"
    separator = next((s for s in "|;, " if _is_listed(texts, s)), "")
    if separator or all(cell[:1] + cell[-1:] == "[]" for cell in texts):
        return _tags(name, texts, separator or ",", found)
    once = sum(count == 1 for count in Counter(texts).values())
    if len(distinct) > max(2, len(texts) // 2) or (len(distinct) > FEW_CLASSES and 3 * once > len(distinct)):
        return "texts that hardly ever occur twice"
    found.add(name, {"column": name, "kind": "label"})
    return ""


def _whole(name: str, texts: Sequence[str], gaps: bool, found: Guess) -> str:
    """Whole numbers: numbers of rows, classes, or values. 1.0 is a value; in a column with gaps, which tools can keep as such
    alone, it may be a class, if the others are counted from 0.
    """
    values = Counter(int(str(whole(text))) for text in texts)
    if any("." in text for text in texts) and not (gaps and {*values} == {*range(len(values))}):
        found.add(name, {"column": name, "kind": "value"})
        return ""
    if len(values) == len(texts) > 2 and max(values) - min(values) == len(texts) - 1:
        return "numbers of rows"
    if len(values) == len(texts) and min(values) > 10**8:
        return "names or numbers of rows"
    if len(values) > MOST_CLASSES or len(values) > max(2, len(texts) // 2):
        found.add(name, {"column": name, "kind": "value"})
        return ""
    settings: dict[str, object] = {"column": name, "kind": "label"}
    if -1 in values and 0 in values and min(values) == -1 and len(values) > 2:
        settings["also_missing"] = ["-1"]
        found.facts.append(f"{name}: −1 is taken for no label, as the others are counted from 0")
    found.add(name, settings)
    return ""


def _is_listed(texts: Sequence[str], separator: str) -> bool:
    """Whether cells are lists of labels: their parts occur again in other combinations."""
    split = [parts(text, separator) for text in texts]
    if not any(len(found) > 1 for found in split):
        return False
    if separator in "|;":
        return True
    labels = Counter(label for found in split for label in {*found})
    vary = len({len(found) for found in split}) > 1  # red car and blue bus are two words each
    return vary and len(labels) < len({*texts}) and len(labels) * 2 <= len(texts) and min(labels.values()) > 1


def _tags(name: str, known: Sequence[Cell], separator: str, found: Guess) -> str:
    labels = Counter(label for cell in known for label in {*parts(cell, separator)})
    if not labels or len(labels) > MOST_TAGS or len(labels) > len(known):
        return "lists of words or numbers that are no labels"
    settings: dict[str, object] = {"column": name, "kind": "labels"}
    if separator != "|":
        settings["separator"] = separator
    if any(isinstance(cell, str) for cell in known):
        shown = max(known, key=lambda cell: len(parts(cell, separator)))
        found.facts.append(f"{name}: several labels per cell, between them {separator!r}: {shown}")
    found.add(name, settings)
    return ""


def _is_mark(name: str, cells: Sequence[Cell]) -> bool:
    """Whether a column has 0 and 1 alone, −1 for what is uncertain, and gaps."""
    plain = plain_name(name)
    if FOLD.search(plain) or FILE.search(plain) or GROUP.search(plain) or ID.search(plain):
        return False
    marks = {mark_of(cell, MISSING) for cell in cells if isinstance(cell, str)} - {None}
    return all(isinstance(cell, str) for cell in cells) and bool(marks) and marks <= {-1.0, 0.0, 1.0} and 1.0 in marks


def _together(columns: Mapping[str, Sequence[Cell]], found: Guess) -> set[str]:
    """Columns of 0 and 1 as one target of several labels, if there are so many that they are its classes."""
    names = list(columns)
    rows = [[mark_of(cell, MISSING) for cell in row] for row in zip(*columns.values(), strict=True)]
    only = bool(rows) and all(sum(mark == 1 for mark in row) == 1 for row in rows)
    if len(names) < 2 or (len(names) == 2 and not only):
        return set()
    has_zero = any(mark == 0 for row in rows for mark in row)  # without, −1 is what is not there
    unknown = sum(any(mark is None or (has_zero and mark < 0) for mark in row) for row in rows)
    if 2 * unknown > len(rows):
        for name in names:
            found.add(name, {"column": name, "kind": "label", "also_missing": ["-1"]})
        found.facts.append(
            f"{', '.join(names)}: a task each, for {unknown} of {len(rows)} rows do not say all; −1, uncertain, is not known"
        )
        return {*names}
    found.add("labels", {"columns": names, "kind": "labels"})
    found.facts.append(f"labels: the columns {', '.join(names)}, which are 0 or 1")
    if only:
        found.facts.append("labels: every row has exactly one; kind: label makes it a choice of one")
    return {*names}
