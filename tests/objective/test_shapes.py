"""Shapes of tensors, as signatures have them, are those of whole trainings, of tasks and of their answers."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.shapes import CHECKED

ROOMS = ("tests/golden", "tests/tasks", "tests/objective/wrong_shapes.py")


@pytest.mark.slow
def test_signatures_say_what_is_computed() -> None:
    """In a process of its own: checks make calls half as slow again, which the other tests need not pay."""
    words = [sys.executable, "-m", "pytest", *ROOMS, "-q", "-m", "not slow and not long"]
    words += ["-k", "not tiny_training and not fetch_and_prepare"]
    done = subprocess.run(words, cwd=ROOT, env=os.environ | {CHECKED: "1"}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_the_library_itself_checks_nothing() -> None:
    names = ("beartype", "jaxtyped", "import_hook")
    sources = [path for room in ("mtl", "flows") for path in (ROOT / room).rglob("*.py")]
    assert not [path for path in sources if any(name in path.read_text() for name in names)]
