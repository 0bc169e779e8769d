"""What reaches a terminal or a pipe: our lines and the display; all others are in the log, whose place is said."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from flows.terminal.display import Display
from flows.terminal.log_file import KEPT_FILES, new_log
from flows.terminal.progress import RunProgress
from mtl.reports.events import EpochEvent, ProgressEvent, StepEvent
from mtl.reports.types import EpochRow
from tests.conftest import ROOT, clean_environment
from tests.flows.screen import on_terminal, seen

COMMAND = '''
import logging, os, signal, subprocess, sys, warnings
import flows.cli
from flows.cli import app, main
flows.cli.GO_ON["try"] = "run it again to go on"
from flows.run_log import FOREIGN, await_steps, step
from flows.settings import enter_checkout
from flows.terminal import current, stop_display
from mtl.errors import DataError
from mtl.logs import of
from mtl.reports.events import ChampionEvent, EpochEvent, ProgressEvent, ResultEvent
from mtl.reports.types import EpochRow
log = logging.getLogger("mtl.a.module")

def noise():
    os.write(2, b"FOREIGN of C++\\n")
    warnings.warn("FOREIGN warning")
    subprocess.run(["sh", "-c", "echo FOREIGN of a child >&2"])
    logging.getLogger("a.library").error("FOREIGN of a library")
    FOREIGN.info("FOREIGN of a stage")

@app.command("try")
def run(as_json: bool = False, ends: str = "well"):
    """A run."""
    if as_json:
        current().use_json()
    enter_checkout()
    await_steps(["fetch", "train"])
    with step("fetch"):
        noise()
        log.info("fetch: 96 images")
    log.info("", extra=of(ChampionEvent(version=3, metrics={"val/digit/accuracy": 0.5})))
    with step("train"):
        for done in (10, 20, 30):
            event = ProgressEvent(done=done, total=60, unit="steps", images_per_second=812.3, seconds_left=250.0)
            log.info(f"train: step {done}/60 loss 1.0", extra=of(event))
        row = EpochRow.model_validate({"epoch": 0, "step": 30, "val/score": 0.2, "val/digit/accuracy": 0.75,
                                       "train/count/loss": float("nan")})
        log.info("train: epoch 1/2", extra=of(EpochEvent(epochs=2, row=row)))
        if ends == "badly":
            raise DataError("an image is damaged", found="photo.png", fix="delete it")
        if ends == "crash":
            {}["nothing"]
        if ends == "stopped":
            signal.raise_signal(signal.SIGINT)
    log.warning("a warning of ours")
    log.info("", extra=of(ResultEvent(version=4, promoted=True, reason="better")))
    if not current().json:
        print("decision promoted")

main()
'''
OURS = ("log ", "fetch: ", "train: ", "a warning of ours", "decision promoted")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("params.yaml", "dvc.yaml"):
        (tmp_path / name).write_text("")
    return tmp_path


def environment(**more: str) -> dict[str, str]:
    return clean_environment() | {"PYTHONPATH": str(ROOT)} | more


def piped(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", COMMAND, *words]
    return subprocess.run(command, cwd=place, env=environment(), capture_output=True, text=True, check=False)


def log_of(place: Path) -> str:
    (path,) = (place / ".mtl" / "logs").glob("try-*.log")
    assert path.stat().st_mode & 0o077 == 0
    return path.read_text()


def test_a_terminal_shows_one_display(place: Path) -> None:
    code, written = on_terminal([sys.executable, "-c", COMMAND, "try"], place, environment())
    shown = seen(written)
    assert code == 0, written
    assert "\x1b[" in written
    assert shown[0].startswith("log      .mtl/logs/try-")
    assert [line.split()[:2] for line in shown if line.split()[:1] == ["✓"]] == [["✓", "fetch"], ["✓", "train"]]
    assert any(line.split() == ["digit", "accuracy", "0.7500", "0.5000"] for line in shown)
    assert any("validation, epoch 1" in line and "champion 3" in line for line in shown)
    assert [line for line in shown if line][-1] == "decision promoted"
    assert shown.count("a warning of ours") == 1
    assert "train: done" not in written
    assert "FOREIGN" not in written
    kept = log_of(place)
    for of in ("of C++", "warning", "of a child", "of a library", "of a stage"):
        assert f"FOREIGN {of}" in kept
    assert "fetch: 96 images" in kept


@pytest.mark.parametrize("plain", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"MTL_LOG_FORMAT": "plain"}])
def test_who_wants_no_colour_gets_none(plain: dict[str, str], place: Path) -> None:
    code, written = on_terminal([sys.executable, "-c", COMMAND, "try"], place, environment(**plain))
    assert code == 0, written
    assert "\x1b[3" not in written
    assert ("\x1b" in written) == ("NO_COLOR" in plain)  # the display stays, without colours


def test_a_narrow_terminal_loses_columns_not_lines(place: Path) -> None:
    _, written = on_terminal([sys.executable, "-c", COMMAND, "try"], place, environment(), columns=32)
    shown = seen(written)
    assert any(line.split()[:2] == ["✓", "train"] for line in shown)
    assert any(line.split()[:1] == ["digit"] for line in shown)
    assert all(len(line) <= 32 for line in shown if line.split()[:1] in (["✓"], ["digit"], ["task"]))


def test_a_pipe_gets_few_plain_lines(place: Path) -> None:
    done = piped(place, "try")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert all(line.startswith(OURS) for line in lines), done.stdout
    assert [line for line in lines if "step" in line] == ["train: step 10/60 loss 1.0"]  # the next half a minute later
    assert done.stderr == "a warning of ours\n"


def test_quiet_leaves_the_result_and_errors(place: Path) -> None:
    done = piped(place, "try", "--quiet")
    assert (done.stdout, done.stderr) == ("decision promoted\n", "")
    failed = piped(place, "--quiet", "try", "--ends", "badly")
    assert failed.stdout == ""
    assert failed.stderr.startswith(
        "error: an image is damaged\n  found: photo.png\n  fix:   delete it\n  log:   .mtl/logs/try-"
    )
    assert failed.stderr.count("\n") == 4
    assert failed.returncode == 2


def test_json_is_an_object_a_line_and_ends_with_the_result(place: Path) -> None:
    done = piped(place, "try", "--as-json")
    assert done.stderr == ""
    rows = [json.loads(line, parse_constant=pytest.fail) for line in done.stdout.splitlines()]
    assert rows[-1]["event"] == {
        "kind": "result", "version": 4, "promoted": True, "reason": "better", "unchanged": False, "metrics": {}
    }  # fmt: skip
    kinds = [row["event"]["kind"] for row in rows if "event" in row]
    assert set(kinds) == {"step", "progress", "epoch", "champion", "result"}
    assert {"level": "warning", "message": "a warning of ours"}.items() <= rows[-2].items()
    failed = piped(place, "try", "--as-json", "--ends", "badly")
    event = json.loads(failed.stdout.splitlines()[-1])["event"]
    assert (event["kind"], event["error"], event["fix"]) == ("error", "DataError", "delete it")
    assert Path(place, event["log"]).exists()


def test_a_crash_is_few_lines_and_its_traceback_is_in_the_log(place: Path) -> None:
    done = piped(place, "try", "--ends", "crash")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "error: a mistake in the program: KeyError: 'nothing'" in done.stderr
    assert "  log:   .mtl/logs/try-" in done.stderr
    assert "Traceback" in log_of(place)
    shown = piped(place, "try", "--ends", "crash", "--debug")
    assert "Traceback" in shown.stderr and "nothing" in shown.stderr and "log:" in shown.stderr


def test_ctrl_c_ends_with_what_happens_next(place: Path) -> None:
    code, written = on_terminal([sys.executable, "-c", COMMAND, "try", "--ends", "stopped"], place, environment())
    shown = [line for line in seen(written) if line]
    assert code == 130
    assert shown[-1] == "stopped; run it again to go on"
    assert any(line.split()[:2] == ["✗", "train"] for line in shown)
    assert "Traceback" not in written
    piped_too = piped(place, "try", "--ends", "stopped", "--quiet")
    assert (piped_too.returncode, piped_too.stderr) == (130, "stopped; run it again to go on\n")


def test_logs_of_a_home_are_bounded(tmp_path: Path) -> None:
    for number in range(KEPT_FILES + 20):
        path = new_log(tmp_path, f"c{number}")
        path.write_text("x")
    assert len([*(tmp_path / "logs").iterdir()]) == KEPT_FILES


def test_nothing_is_left_of_a_log_without_lines(place: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from flows.cli import main; main()", "data", "sync"],
        cwd=place,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stdout
    assert "log:" not in done.stderr
    assert not [*(place / ".mtl" / "logs").iterdir()]


def test_a_step_that_begins_again_forgets_what_it_said() -> None:
    progress = RunProgress()
    progress.hear(StepEvent(step="train", state="running"), 10.0)
    assert progress.say("train: step 10/20\nloss 1")
    progress.hear(ProgressEvent(done=10, total=20, unit="steps"), 11.0)
    assert progress.steps["train"].said == "step 10/20 loss 1"
    progress.hear(StepEvent(step="train", state="failed"), 15.0)
    assert progress.steps["train"].seconds == 5.0
    assert not progress.say("nobody's")
    progress.hear(StepEvent(step="train", state="running"), 20.0)
    assert (progress.steps["train"].said, progress.pace) == ("", None)


def test_another_training_begins_with_its_own_first_epoch() -> None:
    display = Display(io.StringIO())
    display.stop()
    pace = ProgressEvent(done=1, total=90, unit="steps")
    row = EpochRow.model_validate({"epoch": 7, "step": 9, "val/score": 0.1})
    for event in (StepEvent(step="count", state="running"), EpochEvent(epochs=9, row=row), pace):
        display.hear(event)
    assert display._told(pace) == ["epoch 9/9", "1/90 steps"]
    display.hear(StepEvent(step="count", state="done"))
    display.hear(StepEvent(step="digit", state="running"))
    assert display._told(pace) == ["1/90 steps"]


def test_only_one_metric_of_a_task_is_shown_without_a_champion() -> None:
    progress = RunProgress()
    row = EpochRow.model_validate({"epoch": 1, "step": 9, "val/score": 0.1, "val/a/miou": 0.3, "train/a/loss": 2.0})
    progress.hear(EpochEvent(epochs=2, row=row), 0.0)
    assert progress.metrics() == [("a", "miou", 0.3, None)]
