"""What a person finds with `mtl --help` and the tab key."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from flows.cli import ANYWHERE, _with_first, app
from flows.cli.help_panels import PANELS
from tests.conftest import ROOT, clean_environment

LONGEST = 70
"""Characters of what a help page says of a command: one line on most terminals."""


def commands() -> dict[str, object]:
    """Of `mtl` and of its groups, by what is typed."""
    top = get_command(app).commands  # type: ignore[attr-defined]
    below = {f"{name} {own}": one for name, group in top.items() for own, one in getattr(group, "commands", {}).items()}
    return {**top, **below}


def test_a_command_says_in_one_line_what_it_does() -> None:
    said = {words: (one.help or "").split("\n\n")[0] for words, one in commands().items()}  # type: ignore[attr-defined]
    assert len(said) > 30
    assert {words: line for words, line in said.items() if not 0 < len(line) <= LONGEST or "\n" in line} == {}


def test_help_is_by_what_a_person_does() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", "--help"],
        env=clean_environment() | {"PYTHONPATH": str(ROOT), "COLUMNS": "100", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Usage: mtl " in done.stdout
    headings = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("╭")]
    assert headings == ["Options", *PANELS]
    shown = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("│ ") and line[2].isalpha()]
    assert shown[0] == "retrain"
    known = [name for names in PANELS.values() for name in names]
    assert [name for name in shown if name in known] == known
    assert sorted(shown) == sorted(get_command(app).commands)  # type: ignore[attr-defined]


def test_options_of_all_commands_stand_anywhere() -> None:
    words = ["retrain", "--quiet", "--set", "a=1", "--", "--debug"]
    assert _with_first(ANYWHERE, words) == ["--quiet", "retrain", "--set", "a=1", "--", "--debug"]
    assert _with_first(ANYWHERE, ["--debug", "status", "--debug"]) == ["--debug", "status"]


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    """The environment of somebody who has `mtl`."""
    (tmp_path / "bin").mkdir()
    mtl = tmp_path / "bin" / "mtl"
    mtl.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m flows.cli "$@"\n')
    mtl.chmod(0o755)
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return clean_environment() | {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "PATH": path}


def test_a_shell_completes_commands_versions_and_keys(shell: dict[str, str], tmp_path: Path) -> None:
    script = "mtl --install-completion; true"  # `true`, else bash becomes mtl, and is no shell any more
    done = subprocess.run(["bash", "-c", script], env=shell, capture_output=True, text=True, check=False)
    assert "bash completion installed" in done.stdout, done.stdout + done.stderr
    assert "_MTL_COMPLETE=complete_bash" in (tmp_path / ".bash_completions" / "mtl.sh").read_text()
    assert "mtl.sh" in (tmp_path / ".bashrc").read_text()
    (tmp_path / ".mtl" / "reports").mkdir(parents=True)
    for name in ("version-2.html", "version-10.html", "version-2", "other.html"):
        (tmp_path / ".mtl" / "reports" / name).touch()
    (tmp_path / "params.yaml").write_text("seed: 1\ntrain: {epochs: 2, mixing: {type: none}}\ntasks: {}\n")

    def completed(words: str) -> list[str]:
        typed = {"_MTL_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        done = subprocess.run(["mtl"], cwd=tmp_path, env=shell | typed, capture_output=True, text=True, check=False)
        return done.stdout.split()

    assert completed("mtl ret") == ["retrain"]
    assert completed("mtl promote ") == ["10", "2"]
    assert completed("mtl retrain --set t") == ["train.epochs=", "train.mixing."]
