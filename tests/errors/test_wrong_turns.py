"""The wrong turns of `turns.py`, each with the real command in a checkout of its own."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.cli.exit_codes import ExitCode
from mtl import errors
from tests.conftest import ROOT
from tests.errors.commands import Commands
from tests.errors.turns import CLASSES, ELSEWHERE, INIT, TURNS, Turn, images

ERRORS = {name for name in vars(errors) if name.endswith("Error")} | {"GitError", "UserStageError"}
PAGE = ROOT / "docs" / "how-to" / "errors.md"
GIT = ("git", "-c", "user.name=t", "-c", "user.email=t@example.com")


@pytest.fixture(scope="module")
def commands() -> Iterator[Commands]:
    running = Commands()
    yield running
    running.close()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout without code, as a git repository."""
    folder = tmp_path_factory.mktemp("original")
    for name in ("params.yaml", "dvc.yaml", ".gitignore"):
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / ".dvc", folder / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp", "config.local"))
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"]):
        subprocess.run([*GIT, *words], cwd=folder, check=True)
    return folder


@pytest.fixture
def checkout_without_code(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "checkout"))


def of(turn: Turn) -> object:
    marks = [pytest.mark.slow] if turn.slow else []
    return pytest.param(turn, id=f"{' '.join(turn.words)[:30]}: {turn.found[:24]}", marks=marks)


@pytest.mark.parametrize("turn", [of(turn) for turn in TURNS])
def test_a_wrong_turn_ends_in_what_found_and_fix(turn: Turn, commands: Commands, checkout_without_code: Path) -> None:
    folder = checkout_without_code
    held = turn.prepare(folder)
    (folder / turn.where).mkdir(parents=True, exist_ok=True)
    port = folder / "port"
    words = [port.read_text() if word == "@port" else word for word in turn.words]
    ended = commands.run(folder / turn.where, *words, **turn.environment)
    assert ended.code == ExitCode.MEND, ended
    assert "Traceback" not in ended.err, ended.err
    what, found, fix = parts(ended.err)
    assert re.search(pattern(turn.sees), what), (turn.sees, what)
    assert turn.found in f"{what}\n{found}", ended.err
    assert turn.fix in fix, ended.err
    del held


def parts(err: str) -> tuple[str, str, str]:
    """What, what was found, and how to mend it, of the error that ended a command."""
    _, separator, text = err.partition("error: ")
    assert separator, err
    what, _, rest = text.partition("\n  found: ")
    found, separator, fix = rest.partition("\n  fix:   ") if rest else ("", *what.partition("\n  fix:   ")[1:])
    assert separator and fix.strip(), f"nothing says how to mend it:\n{err}"
    return what, found, fix


def pattern(sees: str) -> str:
    """What the documentation lists, as it is found in an error."""
    return ".*".join(map(re.escape, sees.split("…")))


def test_nobody_at_the_keyboard_changes_nothing(commands: Commands, checkout_without_code: Path) -> None:
    images(*CLASSES)(checkout_without_code)
    before = (checkout_without_code / "params.yaml").read_bytes()
    ended = commands.run(checkout_without_code, *INIT[:-1])
    assert ended.code == ExitCode.NO and "no answer: nothing was changed" in ended.err
    assert (checkout_without_code / "params.yaml").read_bytes() == before


def test_the_page_lists_what_was_tried() -> None:
    listed = set(re.findall(r"^\| `([^`]+)` \|", PAGE.read_text(), re.M))
    assert listed == {turn.sees for turn in TURNS} | ELSEWHERE.keys()
    assert len({(turn.words, turn.found) for turn in TURNS}) + len(ELSEWHERE) >= 40
    for test in ELSEWHERE.values():
        path, name = test.split("::")
        assert f"def {name}(" in (ROOT / path).read_text(), test


def test_the_page_has_every_exit_code() -> None:
    listed = {int(number) for number in re.findall(r"^\| (\d+) \|", PAGE.read_text(), re.M)}
    assert listed == set(ExitCode)


@pytest.mark.skipif(not shutil.which("make"), reason="make")
def test_an_old_python_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    for name in ("Makefile", "requirements.lock", "infra/build.lock", "pyproject.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    old = tmp_path / "python3.9"
    old.write_text(f'#!/bin/sh\nexec {sys.executable} -c "import sys; sys.version_info = (3, 9, 1); $2"\n')
    old.chmod(0o700)
    done = subprocess.run(["make", f"PYTHON={old}", "setup"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    for line in ("error: Python 3.11 or 3.12 is needed", "found: 3.9", "fix:   make PYTHON="):
        assert line in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_no_error_of_a_flow_lacks_a_way_to_mend_it() -> None:
    lacking = [
        f"{path}:{call.lineno}"
        for path in (ROOT / "flows").rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in ERRORS and call.args
        if not any(word.arg == "fix" for word in call.keywords)
    ]
    assert lacking == []
