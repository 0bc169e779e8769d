"""Which situations of daily life were lived through: one row for each that a test is marked with."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flows.registry.relocation import relocate
from tests import marked_table
from tests.conftest import embedded

RESULTS = {"passed": "works", "skipped": "not tried", "error": "not tried", "failed": "FAILS"}
"""From good to bad: a situation with several tests is as bad as the worst of them."""


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without anything in it, to be copied: to make its tables takes seconds."""
    from mtl.registry.tracking import connect

    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    connect(f"sqlite:///{path}")
    return path


@pytest.fixture
def here(retrained: Path, tmp_path: Path) -> Path:
    """A copy of the checkout with one version, which a test may spoil."""
    folder = tmp_path / "hére"
    shutil.copytree(retrained, folder, symlinks=True)
    relocate(embedded(folder))
    return folder


def pytest_runtest_setup(item: pytest.Item) -> None:
    marked_table.note(item, "daily", ("situation",), [item.path.stem.removeprefix("test_")])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not (file := config.getoption("--table")):
        return
    table = marked_table.report(terminalreporter, file, "daily", ("subject", "situation"), RESULTS)
    good = sum(row["result"] == RESULTS["passed"] for row in table)
    terminalreporter.write_line(f"{good} of {len(table)} situations work")
