"""What a column says besides targets: a split, a group, a time, a number of the row. And what is found in all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mtl.config.files.base import TAKEN
from mtl.data.formats.base import SPLIT_MARKS, cell_split, split_of
from mtl.data.formats.cells import Cell
from mtl.data.onboard.look import identifier

_SPLIT = {"split", "subset", "partition"}
_PERHAPS_SPLIT = {"set", "phase", "usage", "dataset", "part"}
_TIME = re.compile(r"(^|_)(time|date|datetime|timestamp|created|captured|taken|day)($|_)")
GROUP = re.compile(
    r"(^|_)(patient|subject|person|participant|case|animal|individual|lesion|scene|video|sequence|session|group|series)"
    r"(_(id|ids|uid|no|nr|number|name|code|key|index))?$"
)
_LABEL = re.compile(r"class|categor|label|species|breed|type|diagnos|target|grade|stage")
ID = re.compile(r"(^|_)(id|ids|uid|uuid|guid)$")
"""Names of what a row is, or of what several rows belong to."""
_ROW = re.compile(r"(^|_)(index|idx|row|nr|no|number|hash|phash|md5|sha\d*|checksum|url|uri|link)$|^unnamed|hash$")
"""Names of what a row is, where no two have the same."""
FILE = re.compile(
    r"(^|_)(filesize|file_size|size_bytes|bytes|channels|bit_depth|dpi|seed)$"
    r"|^((image|img|original|orig|picture)_?)*(width|height)$|^[wh]$"
)
FOLD = re.compile(r"(^|_)(k?fold|cv)($|_)|^is_(train|valid|val|test)$")
_REAL = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")
_DATE = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}([ T].*)?")


@dataclass
class Guess:
    """What a table's columns are. targets: name → a Column's settings, or its name; facts: what is not used, and why."""

    targets: dict[str, Any] = field(default_factory=dict[str, Any])
    split: str = ""
    group: str = ""
    time: str = ""
    facts: list[str] = field(default_factory=list[str])

    def add(self, name: str, settings: Any) -> None:
        """A target, under a name that no other has."""
        chosen, number = identifier(name), 2
        while chosen in self.targets or chosen in TAKEN:
            chosen, number = f"{identifier(name)}_{number}", number + 1
        self.targets[chosen] = settings


def plain_name(name: str) -> str:
    """Words of a name in lower case: ImageId as image_id."""
    return identifier(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name))


def role(name: str, known: Sequence[Cell], guess: Guess) -> str:
    """What a column says besides targets, or nothing; then it may be a target."""
    plain, distinct = plain_name(name), {*known}
    if plain in _SPLIT | _PERHAPS_SPLIT and all(isinstance(cell, str) and split_of(cell) for cell in known):
        guess.split = guess.split or name
        return "train, val, test" if guess.split == name else "a further split"
    if plain in _SPLIT:
        return (
            f"a split whose parts are not called train, val and test, but {', '.join(sorted(map(str, distinct))[:3])}"
        )
    parts = {split_of(cell) if isinstance(cell, str) else None for cell in distinct}
    marked = name.strip().lower() in SPLIT_MARKS and all(
        isinstance(cell, str) and cell_split(name, cell) for cell in known
    )
    if marked and guess.split in SPLIT_MARKS:
        guess.facts.append(
            f"{guess.split} and {name} are a split together, which is not read: a column of train, val, test is"
        )
        guess.split = ""
        return "a part of a split"
    if marked or (None not in parts and len(parts) > 1):  # whatever its name: no classes are called so
        guess.split = guess.split or name
        return "train, val, test" if guess.split == name else "a further split"
    if FOLD.search(plain):
        return "numbers of folds, which are no split: split: {type: folds} makes one"
    if _is_of_times(plain, known):
        if all(isinstance(cell, str) and _is_time(cell) for cell in known):
            guess.time = guess.time or name
            return "the time"
        return "a time, not in ISO 8601"
    is_id = bool(ID.search(plain)) and not _LABEL.search(plain)
    if is_id or GROUP.search(plain):
        return _group(name, known, guess)
    if _ROW.search(plain) and len(distinct) == len(known) and not any("." in str(c) and is_number(c) for c in known):
        return "names or numbers of rows"
    return "of the file" if FILE.search(plain) and all(is_number(cell) for cell in known) else ""


def _group(name: str, known: Sequence[Cell], found: Guess) -> str:
    """What several rows have in common, a patient before an id; or what a row is called."""
    if not 2 < len({*known}) < len(known):
        return "names or numbers of rows"
    if not found.group or (GROUP.search(plain_name(name)) and not GROUP.search(plain_name(found.group))):
        found.group = name
    return "what stays in one split" if found.group == name else "a further group"


def _is_of_times(plain: str, known: Sequence[Cell]) -> bool:
    """Whether a column has dates, by its cells, or by its name and numbers in all cells: day and night are labels."""
    if all(isinstance(cell, str) and _DATE.fullmatch(cell) for cell in known):
        return True
    named = _TIME.search(plain) and not _LABEL.search(plain)
    return bool(named) and all(any(letter.isdecimal() for letter in str(cell)) for cell in known)


def _is_time(cell: str) -> bool:
    try:
        return bool(datetime.fromisoformat(cell)) and not cell.isdecimal()
    except ValueError:
        return False


def is_number(cell: Cell) -> bool:
    """Whether a cell is written as a number, with a point or a comma."""
    return isinstance(cell, str) and _REAL.fullmatch(cell) is not None
