"""What a process says reaches whoever watches: the same text on the same stream at once, without secrets, in the form wanted."""

from __future__ import annotations

import io
import json
import logging
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flows.checkout.dvc import run_module
from flows.run_log import FOREIGN, show_lines
from mtl.errors import ConfigError, DataError
from mtl.logs import EVENTS, VARIABLE, of, set_up_logging
from mtl.reports.events import EpochEvent, StepEvent, say_again, told
from mtl.reports.types import EpochRow
from tests.conftest import ROOT, clean_environment

LOG = logging.getLogger("mtl.a.module")


class Terminal(io.StringIO):
    """What looks like one."""

    def isatty(self) -> bool:
        return True


def test_lines_are_the_text_alone_on_the_stream_of_their_level(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging()
    LOG.info("train: step 10/20 loss 50 %")
    LOG.warning("not used: x")
    LOG.error("error: y\n  found: z")
    LOG.debug("nobody wants to know")
    logging.getLogger("a.library").info("its own line")
    assert tuple(capsys.readouterr()) == ("train: step 10/20 loss 50 %\n", "not used: x\nerror: y\n  found: z\n")


def test_a_line_is_there_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the stream is a pipe, which waits until it has some thousand characters."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8"))
    set_up_logging()
    LOG.info("train: step 10/20")
    assert raw.getvalue() == b"train: step 10/20\n"


def test_commands_with_a_result_on_stdout_log_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging().all_to_stderr = True
    LOG.info("a line")
    assert tuple(capsys.readouterr()) == ("", "a line\n")


def test_a_line_has_no_secret(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "abcdefgh-1234567")
    for form in ("plain", "json", "rich"):
        handler = set_up_logging(form)
        handler.form = form
        LOG.info("the key is %s", "abcdefgh-1234567")
        LOG.warning("an escape: \x1b]52;c;x\x07")
        shown = "".join(capsys.readouterr())
        assert "abcdefgh" not in shown, form
        assert "<AWS_SECRET_ACCESS_KEY>" in shown, form
        assert "\x07" not in shown, form


def test_json_is_an_object_a_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(VARIABLE, "json")
    set_up_logging()
    LOG.info("zwei\nZeilen")
    (line,) = capsys.readouterr().out.splitlines()
    found: dict[str, Any] = json.loads(line)
    assert found.pop("time")
    assert found == {"level": "info", "logger": "mtl.a.module", "message": "zwei\nZeilen"}


def test_a_terminal_shows_warnings_in_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    set_up_logging()
    LOG.info("a line [of brackets]")
    LOG.warning("a warning [of brackets] that is longer than a terminal is wide " + "x" * 80)
    assert streams[0].getvalue() == "a line [of brackets]\n"
    text = streams[1].getvalue()
    assert text.startswith("\x1b[33ma warning [of brackets] that")
    assert text.count("\n") == 1


def test_another_process_s_lines_are_plain_whatever_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, "json")
    set_up_logging("plain")
    LOG.info("x")
    assert capsys.readouterr().out == "x\n"


def test_an_unknown_form_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "xml")
    with pytest.raises(ConfigError, match=VARIABLE):
        set_up_logging()


def test_it_is_set_up_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert show_lines() is set_up_logging("json") is show_lines()
    LOG.info("once")
    assert capsys.readouterr().out == "once\n"


def test_a_line_and_its_event_cross_to_the_flow(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(EVENTS, "1")
    monkeypatch.setenv(VARIABLE, "json")  # of whoever called the flow
    handler = set_up_logging("plain")
    row = EpochRow.model_validate({"epoch": 0, "step": 7, "val/a/miou": 0.5, "train/a/loss": math.nan})
    LOG.warning("zwei\nZeilen @mtl {", extra=of(EpochEvent(epochs=2, row=row)))
    LOG.info("", extra=of(StepEvent(step="train", state="running")))
    shown = capsys.readouterr()
    assert shown.err == ""
    first, second = map(told, shown.out.splitlines())
    assert first is not None and isinstance(first.event, EpochEvent)
    assert (first.level, first.message, first.event.row.step) == ("warning", "zwei\nZeilen @mtl {", 7)
    assert math.isnan(first.event.row.metrics["train/a/loss"])
    assert second is not None and second.event == StepEvent(step="train", state="running")
    handler.form = "plain"
    heard: list[object] = []
    for line in (first, second):
        say_again(line, heard.append)
    assert tuple(capsys.readouterr()) == ("", "zwei\nZeilen @mtl {\n")
    assert heard == [first.event, second.event]


@pytest.mark.parametrize("line", ["", "a line", "@mtl {", "@mtl {}", '@mtl {"level":"info","logger":"x","message":1}'])
def test_what_is_no_line_of_ours_is_told_apart(line: str) -> None:
    assert told(line) is None


CHILD = """
import logging, sys
from mtl.errors import DataError
from mtl.stages import run_stage
def main():
    print("a library's", file=sys.stderr)
    logging.getLogger("mtl.x").info("ours")
    if sys.argv[1:]:
        raise DataError("damaged", found="a.png", fix="delete it")
run_stage(main)
"""


def test_a_module_s_lines_are_heard_and_its_error_is_raised(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work.py").write_text(CHILD)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    foreign: list[str] = []
    monkeypatch.setattr(FOREIGN, "info", foreign.append)
    show_lines()
    run_module("work", folder=tmp_path)
    assert tuple(capsys.readouterr()) == ("ours\n", "")
    assert foreign == ["a library's"]
    with pytest.raises(DataError, match="damaged") as caught:
        run_module("work", "badly", folder=tmp_path)
    assert (caught.value.found, caught.value.fix) == ("a.png", "delete it")
    assert tuple(capsys.readouterr()) == ("ours\n", "")  # once, by who catches the error


IN_A_FLOW = """
import logging
from prefect import flow
from prefect.testing.utilities import prefect_test_harness
from flows.run_log import show_lines
log = logging.getLogger("mtl.a.module")

@flow(name="talks")
def talks():
    log.info("within 100 %")

with prefect_test_harness(server_startup_timeout=240):
    show_lines()
    talks()
log.info("outside")
"""


@pytest.mark.slow
def test_a_flow_s_lines_are_its_run_s() -> None:
    """Prefect shows them with the run's name, and keeps them; outside they are plain."""
    environment = clean_environment() | {"PYTHONPATH": str(ROOT), "DO_NOT_TRACK": "1"}
    command = [sys.executable, "-c", IN_A_FLOW]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "outside\n"
    (line,) = [line for line in done.stderr.splitlines() if "within" in line]
    assert "| INFO    | Flow run" in line
    assert line.endswith("within 100 %")
