"""A few points of the matrix; `make faults` runs all."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

import pytest

from tests.faults.lab import Lab
from tests.faults.points import POINTS, SERVERS

CHOSEN = ("train: driver in mid-epoch", "promote: entry, no alias")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, downloads: Path) -> Iterator[Lab]:
    """Checkouts at every stage."""
    found = Lab(tmp_path_factory.mktemp("faults"), downloads)
    found.open()
    yield found
    found.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", CHOSEN)
def test_a_killed_run_ends_with_one_version(lab: Lab, name: str) -> None:
    result = lab.check(next(point for point in [*POINTS, *SERVERS] if point.name == name))
    assert result.survived, result


def test_the_matrix_has_forty_points_and_each_its_name() -> None:
    names = [point.name for point in [*POINTS, *SERVERS]]
    assert len(names) == len(set(names)) >= 40


@pytest.mark.parametrize("call", sorted({point.call for point in [*POINTS, *SERVERS] if point.call}))
def test_every_function_at_which_something_is_killed_is_there(call: str) -> None:
    module, function, *_ = call.split(":")
    assert callable(attrgetter(function)(importlib.import_module(module)))
