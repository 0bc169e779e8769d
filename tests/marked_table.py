"""The table of the tests that carry a mark: one row for each set of the mark's values, with what came of its tests."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

Rows = dict[tuple[str, ...], list[str]]


def note(item: pytest.Item, mark: str, columns: Sequence[str], first: Sequence[str] = ()) -> None:
    """Keep the values of an item's mark with its report, behind the first ones: they are these columns and no other."""
    for one in item.iter_markers(mark):
        assert set(one.kwargs) == set(columns) and not one.args, item.nodeid
        item.user_properties.append((mark, [*first, *(one.kwargs[column] for column in columns)]))


def rows(reporter: pytest.TerminalReporter, mark: str, results: Mapping[str, str]) -> Rows:
    """The values of the mark -> what its tests came to, one for each test; results: pytest's outcome -> the word."""
    found: Rows = defaultdict(list)
    for outcome, said in results.items():
        for report in reporter.stats.get(outcome, []):
            for name, row in getattr(report, "user_properties", ()):
                if name == mark:
                    found[tuple(row)].append(said)
    return dict(sorted(found.items()))


def write(file: str, table: Sequence[Mapping[str, object]]) -> None:
    """Write the table as JSON."""
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_text(json.dumps(table, indent=1) + "\n")
