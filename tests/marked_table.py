"""The table of the tests that carry a mark: one row for each set of the mark's values, with what came of its tests."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

Rows = dict[tuple[str, ...], list[str]]


def note(item: pytest.Item, mark: str, columns: Sequence[str], first: Sequence[str] = ()) -> None:
    """Keep the values of an item's mark with its report, behind the first ones: they are these columns and no other."""
    for one in item.iter_markers(mark):
        assert set(one.kwargs) == set(columns) and not one.args, item.nodeid
        item.user_properties.append((mark, [*first, *(one.kwargs[column] for column in columns)]))


def report(
    reporter: pytest.TerminalReporter,
    file: str,
    mark: str,
    columns: Sequence[str],
    results: Mapping[str, str],
    key: Callable[[tuple[str, ...]], Any] = tuple,
) -> list[dict[str, Any]]:
    """Print the table, a line for each row, and write it as JSON.

    Args:
        results: pytest's outcome → the word for it, from good to bad: a row with several tests is as bad as the worst.
        key: by which rows are sorted.
    """
    found = _rows(reporter, mark, results)
    order = list(results.values())
    table: list[dict[str, Any]] = [
        dict(zip(columns, row, strict=True)) | {"tests": len(found[row]), "result": max(found[row], key=order.index)}
        for row in sorted(found, key=key)
    ]
    for row in table:
        first, second = (row[column] for column in columns)
        reporter.write_line(f"{row['result']:10} {first:16} {second} ({row['tests']})")
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_text(json.dumps(table, indent=1) + "\n")
    return table


def _rows(reporter: pytest.TerminalReporter, mark: str, results: Mapping[str, str]) -> Rows:
    """The values of the mark → what its tests came to, one for each test."""
    found: Rows = defaultdict(list)
    for outcome, said in results.items():
        for report in reporter.stats.get(outcome, []):
            for name, row in getattr(report, "user_properties", ()):
                if name == mark:
                    found[tuple(row)].append(said)
    return found
