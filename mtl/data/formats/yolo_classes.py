"""Which class a line of a YOLO set is of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mtl.data.formats.yolo_lines import Row, Survey, class_number
from mtl.errors import DataError


@dataclass(frozen=True)
class Classes:
    """Names of classes in order; index by the number or name that lines have; numbers and names that are left out."""

    names: tuple[str, ...]
    index: Mapping[int | str, int]
    others: frozenset[int | str] = frozenset()

    def of(self, row: Row) -> int | None:
        """The index of a line's class; None if it is left out.

        Raises:
            DataError: it is no class.
        """
        number = None if row.dota else class_number(row.label)
        key = row.label if number is None else number
        if key in self.others:
            return None
        if key not in self.index:
            numbers = sorted(k for k in {*self.index, *self.others} if isinstance(k, int))
            known = f"0 to {len(numbers) - 1}" if numbers == [*range(len(numbers))] else str(numbers[:20])
            raise DataError("unknown class", found=row.label[:40], fix=f"it is one of {known}")
        return self.index[key]


def classes_of(declared: Mapping[int, str], chosen: tuple[str, ...], survey: Survey, where: str) -> Classes:
    """The classes that are declared, of which `chosen` are taken; if none are declared, `chosen` by their numbers.

    Args:
        declared: number → name.
        survey: of all lines.
        where: the file that declares them, for messages.

    Raises:
        DataError: there are none, none of them is declared, or the lines count from 1.
    """
    if not declared and survey.names and not survey.numbers:  # DOTA's lines name them
        declared = dict(enumerate(sorted(survey.names)))
    by_number = declared or dict(enumerate(chosen))
    if not by_number:
        fix = "`classes:` in params.yaml, `names:` in data.yaml, or classes.txt with a name per line"
        raise DataError(f"{where} does not say its classes' names", fix=fix)
    _refuse_from_one(by_number, survey)
    taken = chosen or tuple(dict.fromkeys(by_number.values()))
    if not set(taken) & set(by_number.values()):
        raise DataError(
            f"{where} has none of the declared classes",
            found=f"it has {[*by_number.values()][:12]}",
            fix="`classes` takes and orders names that it has",
        )
    said: dict[int | str, str] = {**by_number, **{name: name for name in by_number.values()}}
    index = {key: taken.index(name) for key, name in said.items() if name in taken}
    return Classes(taken, index, frozenset(said.keys() - index.keys()))


def _refuse_from_one(names: Mapping[int, str], survey: Survey) -> None:
    last, seen = max(names), survey.numbers
    if seen and sorted(names) == [*range(last + 1)] and min(seen) == 1 and max(seen) == last + 1:
        raise DataError(
            "lines count classes from 1, names from 0",
            found=f"classes 1 to {last + 1} in the lines, 0 to {last} among the names",
            fix="subtract 1 from the first number of every line; or give names their numbers, names: {1: …, 2: …}",
        )
