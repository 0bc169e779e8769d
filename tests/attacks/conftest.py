"""What was tried at which boundary, and whether it was resisted: one row a test that is marked `attack`."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import pytest

BOUNDARIES = (
    "neighbour",
    "local user",
    "web page",
    "registry writer",
    "bucket writer",
    "data supplier",
    "endpoint caller",
)
"""Who is not trusted, as docs/security.md has them."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--table", default="", help="file for the table of attacks, as JSON; it is printed too")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("attack"):
        assert mark.kwargs.keys() == {"boundary", "attack"}, item.nodeid
        assert mark.kwargs["boundary"] in BOUNDARIES, item.nodeid
        item.user_properties.append(("attack", [mark.kwargs["boundary"], mark.kwargs["attack"]]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not (file := config.getoption("--table", default="")):
        return
    rows: dict[tuple[str, str], list[str]] = defaultdict(list)
    for outcome, said in (
        ("passed", "resisted"),
        ("failed", "SUCCEEDED"),
        ("error", "not tried"),
        ("skipped", "not tried"),
    ):
        for report in terminalreporter.stats.get(outcome, []):
            for name, row in getattr(report, "user_properties", ()):
                if name == "attack":
                    rows[row[0], row[1]].append(said)
    table = [
        {"boundary": boundary, "attack": attack, "tests": len(said), "result": max(set(said), key=_harm)}
        for (boundary, attack), said in sorted(rows.items(), key=lambda one: (BOUNDARIES.index(one[0][0]), one[0][1]))
    ]
    for row in table:
        terminalreporter.write_line(f"{row['result']:10} {row['boundary']:16} {row['attack']} ({row['tests']})")
    resisted = sum(row["result"] == "resisted" for row in table)
    terminalreporter.write_line(f"{resisted} of {len(table)} attacks resisted")
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_text(json.dumps(table, indent=1) + "\n")


def _harm(result: str) -> int:
    return ("resisted", "not tried", "SUCCEEDED").index(result)
