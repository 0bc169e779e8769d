"""What was tried at which boundary, and whether it was resisted: one row for each attack that a test is marked with."""

from __future__ import annotations

import pytest

from tests import marked_table

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
RESULTS = {"passed": "resisted", "skipped": "not tried", "error": "not tried", "failed": "SUCCEEDED"}
"""From good to bad: an attack with several tests is as bad as the worst of them."""


def pytest_runtest_setup(item: pytest.Item) -> None:
    marked_table.note(item, "attack", ("boundary", "attack"))
    assert all(mark.kwargs["boundary"] in BOUNDARIES for mark in item.iter_markers("attack")), item.nodeid


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not (file := config.getoption("--table")):
        return
    table = marked_table.report(
        terminalreporter,
        file,
        "attack",
        ("boundary", "attack"),
        RESULTS,
        key=lambda row: (BOUNDARIES.index(row[0]), row[1]),
    )
    good = sum(row["result"] == RESULTS["passed"] for row in table)
    terminalreporter.write_line(f"{good} of {len(table)} attacks resisted")
