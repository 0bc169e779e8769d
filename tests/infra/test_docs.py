"""The documentation is about what is there."""

from __future__ import annotations

import re
import subprocess

from tests.conftest import ROOT
from tools.references import MADE


def test_pages_are_made_from_code_and_settings() -> None:
    stale = [name for name, make in MADE.items() if (ROOT / name).read_text(encoding="utf-8") != make()]
    assert not stale, "run `make docs`"


def test_make_help_lists_every_public_target() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    text = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", text, re.M))
    assert set(re.findall(r"^([a-z-]+) ", shown, re.M)) == targets
    (phony,) = re.findall(r"^\.PHONY: (.*)", text, re.M)
    assert set(phony.split()) == targets


def test_no_module_has_a_name_that_says_nothing() -> None:
    for package in ("mtl", "flows"):
        for path in (ROOT / package).rglob("*.py"):
            assert path.stem not in {"utils", "helpers", "common", "core", "manager", "misc"}, path


def test_no_test_has_a_name_longer_than_60() -> None:
    long = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^\s*def (test_\w+)", path.read_text(), re.M)
        if len(name) > 60
    }
    assert not long


def test_the_tables_of_the_sizing_are_those_of_the_model() -> None:
    from dataclasses import fields

    from benchmarks.sizing import Constants, constants_table, tables

    text = (ROOT / "docs" / "sizing.md").read_text()
    for table in tables():
        assert "\n".join(table) in text, "run `python -m benchmarks.sizing`"
    said = constants_table()[2:]
    assert len(said) == len(fields(Constants))
    origin = re.compile("Measured|Not measured|Data sheet|Computed|Counted|params.yaml|of the measurement")
    assert [line for line in said if not origin.search(line)] == []


def test_modules_that_documents_name_are_there() -> None:
    pages = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    named = {
        (page.name, path)
        for page in [*pages, *(ROOT / "docs" / "how-to").glob("*.md")]
        for path in re.findall(r"`((?:mtl|flows|tools|tests|docs|infra|benchmarks)/[\w./-]+)`", page.read_text())
    }
    assert len(named) > 50
    assert sorted((page, path) for page, path in named if not list(ROOT.glob(f"{path}*"))) == []
