"""Stages through DVC: what a failed one says reaches the flow as the error that it was, whatever it printed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from flows.checkout.dvc import LOCKED, UserStageError, dvc, run_quietly, run_stage
from mtl.errors import DataError, MtlError, StageError, TrainingError, raised_elsewhere
from tests.conftest import ROOT

USER = 'raise DataError("a label is wrong", found="label 7", fix="mend it")'
OTHER = 'raise StageError("the bucket is away", found="no answer", fix="wait")'


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DVC project whose only stage, `work`, runs work.py."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    dvc(tmp_path, "init", "--no-scm", "-q")
    (tmp_path / "dvc.yaml").write_text(f"stages:\n  work:\n    cmd: {sys.executable} work.py\n")
    return tmp_path


def fails(project: Path, body: str) -> StageError:
    """The error of a run whose stage is this body."""
    head = "from mtl.config import DataError, StageError\nfrom mtl.stages import run_stage\ndef main():\n"
    (project / "work.py").write_text(f"{head}    {body}\nrun_stage(main)\n")
    with pytest.raises(StageError) as caught:
        run_stage("work", project, lambda line: None, force=False, timeout=60)
    return caught.value


def test_user_errors_of_a_stage_are_told_from_transient_ones(project: Path) -> None:
    user = fails(project, USER)
    assert isinstance(user, UserStageError)
    assert str(user) == str(DataError("a label is wrong", found="label 7", fix="mend it"))
    other = fails(project, OTHER)
    assert not isinstance(other, UserStageError)
    assert other.what == "the stage work failed"
    assert other.found == str(StageError("the bucket is away", found="no answer", fix="wait"))


def test_what_a_stage_prints_does_not_say_what_kind_its_error_is(project: Path) -> None:
    """A worker's or a library's line can have the same words."""
    assert not isinstance(
        fails(project, f'print("a worker exited with 3\\nerror: of a worker"); {OTHER}'), UserStageError
    )
    assert not isinstance(fails(project, 'print("exited with 3", flush=True); import os; os._exit(7)'), UserStageError)


def test_a_stage_that_says_nothing_is_shown_by_its_last_lines(project: Path) -> None:
    found = fails(project, 'print("the last line", flush=True); import os; os._exit(1)')
    assert "the last line" in found.found


def test_a_module_s_own_error_is_the_one_that_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "work.py").write_text(
        f"from mtl.config import DataError\nfrom mtl.stages import run_stage\ndef main():\n    {USER}\nrun_stage(main)\n"
    )
    with pytest.raises(StageError) as caught:
        run_quietly("work", folder=tmp_path)
    assert caught.value.found.splitlines()[0] == "a label is wrong"


def test_an_error_is_the_same_in_another_process() -> None:
    error = TrainingError("no room", found="3 MiB", fix="more")
    assert (type(raised_elsewhere(error.document)), str(raised_elsewhere(error.document))) == (
        TrainingError,
        str(error),
    )
    assert type(raised_elsewhere({"kind": "harmless", "what": "w", "found": "", "fix": ""})) is MtlError


def test_the_pinned_dvc_says_in_our_words_that_another_works(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its exit code does not tell: the text is all there is."""
    from dvc.repo import Repo

    monkeypatch.setattr("flows.checkout.dvc.LOCKED_SECONDS", 0.0)
    with Repo(str(project)) as repo, repo.lock, pytest.raises(StageError) as caught:
        dvc(project, "repro")
    assert LOCKED in caught.value.found
